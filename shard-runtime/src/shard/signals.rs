//! What reaches a process out of band: kills, untrapped exits, inspect requests, cancelled waits.
//!
//! Invariant: K1 a signal never needs the handler: it waits in the extension, and the next activation of the process, which it
//! causes, sees it before anything else.

use crate::error::{CallError, ExitReason};
use crate::mailbox::Meta;
use crate::process::{Far, Flags, InspectAnswer, PendingInspect, Record, Trap};
use crate::shard::Shard;
use shard_wire::compress::LEAST_THRESHOLD;
use shard_wire::{LocalId, Pid};
use std::sync::atomic::Ordering::Relaxed;

/// Inspect requests that wait for one process. What exceeds them answers the oldest.
pub(super) const MAX_INSPECTS: usize = 64;

impl Shard {
    /// Kills a process of this shard: at once if it is idle or suspended, else when its handler returns.
    pub(crate) fn kill_here(&self, local: u64) {
        let Some(record) = self.live_record(local).filter(|_| local != crate::app::STEWARD) else { return };
        self.identity(record).signal.set(local);
        if record.flags() & Flags::DEDICATED != 0 {
            return self.order_end(record, ExitReason::Kill, true);
        }
        let replaced = self.with_extension(record, |extension| extension.signal.replace(ExitReason::Kill));
        self.signalled(record);
        drop(replaced);
    }

    /// Ends a process for a reason of somebody else. A signal that is there already stays.
    pub(super) fn end_by_signal(&self, record: &Record, reason: ExitReason) {
        if record.flags() & Flags::DEDICATED != 0 {
            return self.order_end(record, reason, false);
        }
        let unused = self.with_extension(record, |extension| match &extension.signal {
            Some(_) => Some(reason),
            None => {
                extension.signal = Some(reason);
                None
            }
        });
        self.signalled(record);
        // Outside of the extension: a reason's `Drop` is the user's code, which may reach this very process.
        drop(unused);
    }

    /// Ends a process that nobody has: nothing of it is kept for a successor.
    pub(crate) fn end_unclaimed(&self, record: &Record, reason: ExitReason) {
        self.with_extension(record, |extension| extension.preserve = false);
        self.end_by_signal(record, reason);
    }

    fn signalled(&self, record: &Record) {
        record.add_flags(Flags::SIGNAL);
        if record.flags() & Flags::RUNNING != 0 {
            // It signalled itself: the batch ends with the message in hand.
            self.limit.set(0);
        }
        self.make_ready(record);
    }

    /// Asks a process to report about itself at its next boundary between handlers.
    ///
    /// Gives the answer function back if there is no such process.
    pub(crate) fn inspect(
        &self,
        local: u64,
        items: Vec<String>,
        answer: InspectAnswer,
    ) -> Result<(), InspectAnswer> {
        let Some(record) = self.live_record(local) else { return Err(answer) };
        if record.flags() & Flags::DEDICATED != 0 {
            self.inspect_annex(record, items, answer);
            return Ok(());
        }
        let oldest = self.with_extension(record, |extension| {
            let pending = &mut extension.inspects;
            // LIMIT: requests that wait for a suspended handler. Who asked first has most likely given up.
            let oldest = (pending.len() >= MAX_INSPECTS).then(|| pending.remove(0));
            pending.push(PendingInspect { items, answer });
            oldest
        });
        if let Some(oldest) = oldest {
            let why = "too many requests wait for the process's handler";
            self.contain(|| (oldest.answer)(vec![("error".to_owned(), why.to_owned())]));
        }
        record.add_flags(Flags::INSPECT);
        if record.flags() & Flags::LIVE == 0 {
            self.make_ready(record);
        }
        Ok(())
    }

    /// Whether the current process's exit signals arrive as messages from now on.
    pub(crate) fn trap_exits(&self, on: bool) {
        if let Some(record) = self.live_record(self.current_id.get()) {
            self.with_extension(record, |extension| {
                // A supervisor's own setting stays.
                if extension.trap != Trap::All {
                    extension.trap = if on { Trap::On } else { Trap::Off };
                }
            });
        }
    }

    /// All exit signals of the current process arrive as messages, those of its parent too.
    pub(crate) fn trap_all_exits(&self) {
        if let Some(record) = self.live_record(self.current_id.get()) {
            self.with_extension(record, |extension| extension.trap = Trap::All);
        }
    }

    /// Messages that wait at a process of this shard, and the one that it is at, if it is.
    pub(crate) fn backlog_of(&self, local: u64) -> u64 {
        let Some(record) = self.live_record(local) else { return u64::MAX };
        let annex =
            if record.flags() & Flags::DEDICATED == 0 { None } else { self.node.port(record.annex()) };
        if let Some(annex) = annex {
            return annex.table.published(local as u32).record.depth() + annex.inbox.len() as u64;
        }
        let identity = self.identity(record);
        let others = identity.other_in.load(Relaxed).wrapping_sub(identity.other_taken.load(Relaxed));
        record.depth() + others + u64::from(record.flags() & Flags::LIVE != 0)
    }

    /// Whether what is sent to the current process by name or alias arrives as such from now on.
    pub(crate) fn split_handle(&self, on: bool) {
        let Some(record) = self.live_record(self.current_id.get()) else { return };
        if on {
            record.add_flags(Flags::SPLIT);
        } else {
            record.clear_flags(Flags::SPLIT);
        }
    }

    /// Sets from which length on bodies of the current process are compressed.
    pub(crate) fn compress_from(&self, threshold: Option<u32>) {
        let Some(record) = self.live_record(self.current_id()) else { return };
        let compress_at = threshold.map_or(0, |threshold| threshold.max(LEAST_THRESHOLD));
        self.with_extension(record, |extension| extension.compress_at = compress_at);
        match compress_at {
            0 => record.clear_flags(Flags::COMPRESSES),
            _ => record.add_flags(Flags::COMPRESSES),
        }
    }

    /// Whether a message for another node may be compressed or part of a trace, so that it is worth asking
    /// [`Shard::compresses_from`] and the trace flag. A record that is another process's only costs these questions.
    #[inline]
    pub(crate) fn may_be_special(&self, from: u64, flags: u64) -> bool {
        let own = self.table.record(from as u32).flags() & Flags::COMPRESSES;
        u64::from(own) | flags >> Meta::BITS != 0
    }

    /// From which length on bodies of this process are compressed, in bytes; 0: none is. A message that came from another
    /// shard says so itself, above its flags.
    #[cold]
    pub(crate) fn compresses_from(&self, from: u64, flags: u64) -> u32 {
        let carried = (flags >> Meta::BITS) as u32;
        if carried != 0 {
            return carried;
        }
        let record = self.table.record(from as u32);
        if record.id.load(Relaxed) != from || record.flags() & Flags::COMPRESSES == 0 {
            return 0;
        }
        self.with_existing_extension(record, |extension| Some(extension.compress_at)).unwrap_or(0)
    }

    /// Whether a process of this node lives and was spawned by another one.
    pub(crate) fn is_child(&self, local: LocalId, parent: LocalId) -> bool {
        self.node.port(local.shard()).is_some_and(|port| {
            port.table.identity(local.slot()).parent.load(Relaxed) == parent.0 && port.table.exists(local.0)
        })
    }

    /// Parent and leader of the current process.
    pub(crate) fn family_of_current(&self) -> (Pid, Pid) {
        let id = self.current_id.get();
        let identity = self.table.table().identity(id as u32);
        let home = self.home_index() == self.index && id != LocalId::CORE.0;
        let far = self.live_record(id).filter(|_| home).and_then(|record| self.far_of(record));
        if let Some(far) = far {
            return (far.parent, far.leader);
        }
        (self.pid(identity.parent.load(Relaxed)), self.pid(identity.leader.load(Relaxed)))
    }

    /// Who has asked for a process from another node.
    pub(crate) fn far_of(&self, record: &Record) -> Option<Far> {
        self.with_existing_extension(record, |extension| extension.far)
    }

    /// Ends the waits of a suspended process for replies: its calls return `Canceled`. Returns how many there were, as far as
    /// this shard knows: a process on a thread of its own does not say.
    pub(crate) fn cancel_waits(&self, local: u64) -> usize {
        let Some(record) = self.live_record(local) else { return 0 };
        if record.flags() & Flags::DEDICATED != 0 {
            self.tell(record.annex(), move |annex| {
                annex.cancel_waits(local);
            });
            return 0;
        }
        let waits = self.waiters.calls_of(record.slot());
        for reference in &waits {
            self.fail(*reference, CallError::Canceled);
        }
        waits.len()
    }
}
