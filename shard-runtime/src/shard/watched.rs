//! What the journal of a test bed is told of what processes do.
//!
//! Cost on a real node: none per message. The gate, which each send compares with its target's node anyway, has a value of
//! its own on a shard that is watched: there, every send takes the way of those that have options.
//! Invariant: W1 only a simulated shard is watched, and from then on until it is dropped.

use crate::error::{ExitReason, SendError};
use crate::mailbox::Meta;
use crate::process;
use crate::shard::gate::{is_traced_gate, is_watched_gate};
use crate::shard::{LogLevel, Shard};
use crate::symbol::Symbol;
use crate::testing::{
    Copied, CronRan, Ended, ExitSent, Journal, Logged, Party, Published, Record, Registered, Sent, Spawned,
};
use shard_wire::{LocalId, Message, Pid, Vtable, vtable};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl Shard {
    pub(super) fn journal(&self) -> Option<&Journal> {
        self.logical()?.journal()
    }

    fn party(&self, pid: Pid) -> Party {
        let is_own = pid.node.0 == self.key && pid.local != LocalId::CORE;
        let port = self.node.port(pid.local.shard()).filter(|_| is_own);
        let name = port.map_or(0, |port| port.table.identity(pid.local.slot()).name.load(Relaxed));
        let name = self.node.symbols().text(Symbol(name)).filter(|name| !name.is_empty());
        Party { pid, name: name.map(Arc::from) }
    }

    /// Writes down what the current process does; the number of the record.
    fn note(&self, make: impl FnOnce(&Journal, Duration, Party) -> Record) -> Option<u64> {
        let journal = self.journal()?;
        let at = Duration::from_nanos(self.now_ns());
        let who = self.party(self.current_pid());
        journal.put(at, |at| make(journal, at, who))
    }

    /// Sends on a watched shard.
    #[cold]
    #[inline(never)]
    pub(super) fn deliver_watched<M: Message>(
        &self,
        to: Pid,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let flags = self.with_send_queue(flags);
        let number = self.note_send(to, vtable::<M>(), &message, flags);
        let sent = if is_traced_gate(self.gate.get()) {
            self.unprioritized(|| self.deliver_traced(to, message, flags, reply))
        } else {
            self.ungated(|| self.deliver(to, message, flags, reply))
        };
        if sent.is_err()
            && let Some(number) = number
            && let Some(journal) = self.journal()
        {
            journal.take_back(number);
        }
        sent
    }

    fn note_send(&self, to: Pid, vtable: &'static Vtable, message: &dyn Any, flags: u64) -> Option<u64> {
        let is_call = flags & Meta::CALL != 0;
        if is_call && self.current_id.get() == LocalId::CORE.0 {
            // The test's own question.
            return None;
        }
        let to = self.party(to);
        self.note(|journal, at, from| {
            let message = Copied::of(vtable, journal.copy(message));
            Record::Sent(Sent { at, from, to, is_call, message })
        })
    }

    /// A process has been started.
    #[inline]
    pub(super) fn watch_spawn(&self, record: &process::Record) {
        if self.is_watched() {
            self.note_spawn(record);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_spawn(&self, record: &process::Record) {
        let behavior = record.behavior().unwrap_or_default();
        let child = self.party(self.pid(record.id.load(Relaxed)));
        let by = self.party(self.pid(self.identity(record).parent.load(Relaxed)));
        self.note(|_, at, _| Record::Spawned(Spawned { at, by, child, behavior }));
    }

    /// A process ends.
    #[inline]
    pub(super) fn watch_end(&self, record: &process::Record, reason: &ExitReason) {
        if self.is_watched() {
            self.note_end(record, reason);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_end(&self, record: &process::Record, reason: &ExitReason) {
        let behavior = record.behavior().unwrap_or_default();
        let (who, reason) = (self.party(self.pid(record.id.load(Relaxed))), reason.clone());
        self.note(|_, at, _| Record::Ended(Ended { at, who, behavior, reason }));
    }

    /// The current process publishes an event, if the gate says that somebody wants to know. The gate is not open.
    #[cold]
    #[inline(never)]
    pub(super) fn watch_publication<M: Message>(&self, event: &Arc<str>, message: &M) {
        if is_watched_gate(self.gate.get()) {
            self.note(|journal, at, by| {
                let message = Copied::of(vtable::<M>(), journal.copy(message));
                Record::Published(Published { at, by, event: Arc::clone(event), message })
            });
        }
    }

    /// The current process has registered an event.
    #[cold]
    pub(super) fn watch_registration(&self, event: &Arc<str>) {
        if self.is_watched() {
            self.note(|_, at, by| Record::Registered(Registered { at, by, event: Arc::clone(event) }));
        }
    }

    /// The current process sends an exit signal.
    #[cold]
    pub(super) fn watch_exit(&self, to: Pid, reason: &ExitReason) {
        if self.is_watched() {
            let (to, reason) = (self.party(to), reason.clone());
            self.note(|_, at, from| Record::ExitSent(ExitSent { at, from, to, reason }));
        }
    }

    /// A line of a process is kept.
    #[inline]
    pub(crate) fn watch_line(
        &self,
        local: u64,
        level: LogLevel,
        text: &str,
        fields: &[(&'static str, String)],
    ) {
        if self.is_watched() {
            let (by, text, fields) = (self.party(self.pid(local)), text.to_owned(), fields.to_vec());
            self.note(|_, at, _| Record::Logged(Logged { at, by, level, text, fields }));
        }
    }

    /// A job of cron runs.
    #[cold]
    pub(crate) fn watch_job(&self, job: &Arc<str>) {
        if self.is_watched() {
            self.note(|_, at, _| Record::CronRan(CronRan { at, job: Arc::clone(job) }));
        }
    }
}
