//! Birth and death of a process on its shard.
//!
//! Order of an end (each step contains panics of its own): the suspended handler is dropped, `terminate` runs, the name is
//! freed, queued messages are dropped and their callers told why, the id is cleared, the actor is dropped, the slot is freed.
//! Invariant: G1 a slot's next generation is kept in `Identity::born` while it is free; at the last one it is retired.
#![expect(unsafe_code, reason = "owns actor bodies; proven by an_actor_is_dropped_exactly_once")]

use crate::actor::SpawnOptions;
use crate::actor::{Actor, ActorTable, TableOf};
use crate::error::{CallError, ExitReason, SpawnError};
use crate::mailbox::{EnvelopePtr, Meta};
use crate::names::NameError;
use crate::oneshot;
use crate::process::{
    Extension, FIRST_SLOT, Flags, Identity, InspectAnswer, PendingInspect, Record, StartedAnswer, bump,
};
use crate::shard::core::DEFAULT_BUDGET;
use crate::shard::{Inbound, LogLevel, Shard};
use crate::symbol::Symbol;
use shard_wire::{LocalId, Pid, ShardId};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, Release};

impl Shard {
    /// Starts a process on this shard.
    #[inline]
    pub(crate) fn spawn<A: Actor>(
        &self,
        factory: impl FnOnce() -> A,
        options: &SpawnOptions,
        parent: u64,
    ) -> Result<Pid, SpawnError> {
        let body = Box::new(factory());
        let (record, id) = self.claim(options)?;
        record.body.set(Box::into_raw(body).cast());
        self.start(record, id, TableOf::<A>::TABLE, A::HAS_INIT, options, parent);
        Ok(self.pid(id))
    }

    /// Starts a process and tells when its `init` is done.
    pub(crate) fn spawn_and_tell<A: Actor>(
        &self,
        factory: impl FnOnce() -> A,
        options: &SpawnOptions,
        told: impl FnOnce(Result<Pid, SpawnError>) + 'static,
    ) {
        match self.spawn(factory, options, LocalId::CORE.0) {
            Err(error) => {
                self.count(|cells| &cells.spawn_failed, 1);
                told(Err(error));
            }
            Ok(pid) if !A::HAS_INIT => told(Ok(pid)),
            Ok(pid) => {
                let answer: StartedAnswer = Box::new(move |started| {
                    told(started.map(|()| pid).map_err(|reason| SpawnError::Init { reason }));
                });
                let record = self.table.record(pid.local.slot());
                self.with_extension(record, |extension| extension.started = Some(answer));
            }
        }
    }

    /// The same for a caller outside: the answer goes to a channel, which the caller can still use if the factory panics.
    pub(crate) fn spawn_and_tell_outside<A: Actor>(
        &self,
        factory: impl FnOnce() -> A,
        options: &SpawnOptions,
        answer: &Cell<Option<oneshot::Sender<Result<Pid, SpawnError>>>>,
    ) {
        let actor = factory();
        let Some(answer) = answer.take() else { return };
        self.spawn_and_tell(
            move || actor,
            options,
            move |outcome| {
                // The spawner may have stopped waiting; the process stays, as its name and the tables show.
                let _unheard = answer.send(outcome);
            },
        );
    }

    /// The node stops: no more spawns, and the pump ends after its turn.
    pub(crate) fn begin_stop(&self) {
        self.stopping.set(true);
    }

    /// A free slot and its new id, with the name claimed.
    #[inline]
    fn claim(&self, options: &SpawnOptions) -> Result<(&Record, u64), SpawnError> {
        if self.stopping.get() {
            return Err(SpawnError::Stopping);
        }
        let free = self.free_slots.borrow_mut().pop();
        let Some(slot) = free.or_else(|| self.table.table().take_fresh()) else {
            return Err(SpawnError::ProcessLimit { limit: self.table.table().slots() - FIRST_SLOT });
        };
        let record = self.table.record(slot);
        let generation = self.table.table().identity(slot).born.load(Relaxed) as u32;
        let Some(shard) = ShardId::new(self.index) else {
            return Err(SpawnError::NoShard { shard: self.index, shards: self.node.shards() });
        };
        let id = LocalId::new(shard, generation, slot).0;
        let symbol = match options.name_text() {
            None => 0,
            Some(name) => match self.claim_name(name, id) {
                Ok(symbol) => symbol,
                Err(error) => {
                    self.free_slots.borrow_mut().push(slot);
                    return Err(error);
                }
            },
        };
        self.table.table().identity(slot).name.store(symbol, Relaxed);
        Ok((record, id))
    }

    #[cold]
    fn claim_name(&self, name: &str, id: u64) -> Result<u32, SpawnError> {
        let symbol = self.node.symbols().intern(name).map_err(|_| {
            SpawnError::BadName("the node knows too many names; reuse names instead of numbering them")
        })?;
        self.node.names().register(name, LocalId(id)).map_err(|error| match error {
            NameError::NameTaken { holder } => {
                SpawnError::NameTaken { name: name.into(), holder: self.pid(holder.0) }
            }
            _ => SpawnError::BadName("it is empty or longer than 255 bytes"),
        })?;
        Ok(symbol.0)
    }

    #[inline]
    fn start(
        &self,
        record: &Record,
        id: u64,
        table: &'static ActorTable,
        has_init: bool,
        options: &SpawnOptions,
        parent: u64,
    ) {
        let identity = self.table.table().identity(id as u32);
        let now = self.now.get();
        record.actor.store(std::ptr::from_ref(table).cast_mut(), Relaxed);
        record.tail.set(EnvelopePtr::head_of(&record.head));
        record.budget.set(options.budget_or(DEFAULT_BUDGET));
        for counter in
            [&record.pushed, &record.taken, &record.out, &record.wakeups, &record.run, &record.latency]
        {
            counter.store(0, Relaxed);
        }
        record.last.store(now, Relaxed);
        identity.parent.store(parent, Relaxed);
        identity.leader.store(if parent == LocalId::CORE.0 { id } else { parent }, Relaxed);
        identity.born.store(now, Relaxed);
        for counter in [&identity.init, &identity.other_in, &identity.other_taken, &identity.signal] {
            counter.store(0, Relaxed);
        }
        identity.application.store(0, Relaxed);
        record.set_flags(if has_init { Flags::START } else { 0 });
        // ORDERING: pairs with the Acquire load of a reader's sweep: who sees the id sees the rest.
        record.id.store(id, Release);
        let cells = self.cells();
        bump(&cells.spawned, 1);
        bump(&cells.processes, 1);
        if has_init {
            self.make_ready(record);
        }
    }

    /// The cold part of a record.
    #[inline]
    pub(super) fn identity(&self, record: &Record) -> &Identity {
        self.table.table().identity(record.slot())
    }

    /// Works on the lazy part of a process, which is made on first use.
    pub(super) fn with_extension<R>(&self, record: &Record, f: impl FnOnce(&mut Extension) -> R) -> R {
        if record.extension.get().is_null() {
            record.extension.set(Box::into_raw(Box::new(Extension::new())));
        }
        // SAFETY: made from a box above, owned by the record; one thread, and `f` cannot reach it another way.
        f(unsafe { &mut *record.extension.get() })
    }

    /// The same, if there is one.
    pub(super) fn with_existing_extension<R>(
        &self,
        record: &Record,
        f: impl FnOnce(&mut Extension) -> Option<R>,
    ) -> Option<R> {
        if record.extension.get().is_null() { None } else { self.with_extension(record, f) }
    }

    /// Kills a process of this node.
    pub(crate) fn kill(&self, pid: Pid) {
        self.signal(pid, ExitReason::Kill);
    }

    /// Ends a process out of band: at once if it is idle or suspended, else when its handler returns.
    pub(crate) fn signal(&self, pid: Pid, reason: ExitReason) {
        if pid.node.0 != self.key {
            return;
        }
        let local = pid.local.0;
        if pid.local.shard() != self.index {
            if let Some(port) = self.node.port(pid.local.shard()) {
                port.table.identity(local as u32).signal.store(local, Relaxed);
                let task = Box::new(move |shard: &Self| shard.signal(pid, reason));
                if port.post(Inbound::Task(task)).is_err() {
                    self.node.count_inbox_refused();
                }
            }
            return;
        }
        let record = self.table.record(local as u32);
        if record.id.load(Relaxed) != local {
            return;
        }
        self.identity(record).signal.store(local, Relaxed);
        self.with_extension(record, |extension| {
            extension.signal.get_or_insert(reason);
        });
        record.add_flags(Flags::SIGNAL);
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
        let record = self.table.record(local as u32);
        if record.id.load(Relaxed) != local {
            return Err(answer);
        }
        self.with_extension(record, |extension| extension.inspects.push(PendingInspect { items, answer }));
        record.add_flags(Flags::INSPECT);
        if record.flags() & Flags::LIVE == 0 {
            self.make_ready(record);
        }
        Ok(())
    }

    /// Claims a name for the current process.
    pub(crate) fn register_current(&self, name: &str) -> Result<(), SpawnError> {
        let id = self.current_id.get();
        let identity = self.table.table().identity(id as u32);
        if identity.name.load(Relaxed) != 0 {
            return Err(SpawnError::NameTaken { name: name.into(), holder: self.current_pid() });
        }
        let symbol = self.claim_name(name, id)?;
        identity.name.store(symbol, Relaxed);
        Ok(())
    }

    /// Ends a process.
    #[cold]
    #[inline(never)]
    pub(super) fn bury(&self, record: &Record, reason: ExitReason) {
        let id = record.id.load(Relaxed);
        let identity = self.table.table().identity(id as u32);
        // SAFETY: A1: a used record's `actor` is a `&'static ActorTable`.
        let table: &'static ActorTable = unsafe { &*record.actor.load(Relaxed) };
        self.refusal.set(match reason {
            ExitReason::Kill => CallError::Killed,
            ExitReason::Panic(_) => CallError::Panicked,
            _ => CallError::Terminated,
        });
        record.set_flags(Flags::QUEUED | Flags::RUNNING | Flags::TERMINATED);
        self.in_hand.set(EnvelopePtr::NULL);
        // The reason's own `Display` and `Drop` are the user's code.
        self.contain(|| self.log_end(table.behavior, identity.name.load(Relaxed), id, &reason));
        self.contain(|| self.cancel_live(record));
        let reason = Rc::new(reason);
        if table.has_terminate {
            self.run_terminate(record, table, id, &reason);
        }
        self.contain(|| drop(reason));
        self.free_name(identity, id);
        self.retire(record, identity);
        // From here on nothing can be sent to it, so what is queued is all there will be.
        // ORDERING: pairs with the Acquire load of a reader's sweep.
        record.id.store(0, Release);
        self.drop_queues(record);
        // SAFETY: A1; no handler borrows the body any more, and it is not touched again.
        self.contain(|| unsafe { table.drop_body(record) });
        record.set_flags(0);
        self.free_slot(identity, id);
        self.refusal.set(CallError::NoReply);
    }

    fn run_terminate(&self, record: &Record, table: &'static ActorTable, id: u64, reason: &Rc<ExitReason>) {
        self.ending.replace(Some(Rc::clone(reason)));
        self.current.set(record);
        self.current_id.set(id);
        self.sent.set(0);
        self.in_hand.set(EnvelopePtr::NULL);
        self.intake.set(EnvelopePtr::NULL);
        self.limit.set(0);
        self.contain(|| {
            // SAFETY: A1; the suspended handler is gone, so nobody borrows the body.
            unsafe { table.terminate(self, record) };
        });
        if !record.live.get().is_null() {
            self.count(|cells| &cells.terminate_cut, 1);
            self.contain(|| self.cancel_live(record));
        }
        bump(&record.out, self.sent.replace(0));
        let last = self.ending.replace(None);
        self.contain(|| drop(last));
    }

    fn free_name(&self, identity: &Identity, id: u64) {
        let symbol = identity.name.load(Relaxed);
        if symbol == 0 {
            return;
        }
        identity.name.store(0, Relaxed);
        if let Some(name) = self.node.symbols().text(Symbol(symbol)) {
            self.node.names().unregister(name, LocalId(id));
        }
    }

    /// Drops what is still queued and tells the callers why there will be no answer.
    fn drop_queues(&self, record: &Record) {
        let drop_one = |envelope: EnvelopePtr| {
            let (meta, reply) = (envelope.meta(), envelope.reply());
            self.count(|cells| &cells.dead_letters, 1);
            self.contain(|| envelope.drop_message());
            self.pool.give(envelope);
            if meta & Meta::CALL != 0 {
                self.refuse(reply, self.refusal.get());
            }
        };
        while record.depth() > 0 {
            let envelope = record.head.get();
            record.remove(1, envelope);
            drop_one(envelope);
        }
        if record.extension.get().is_null() {
            return;
        }
        // SAFETY: made from a box by `with_extension`; taken out of the record, once.
        let mut extension = unsafe { Box::from_raw(record.extension.replace(std::ptr::null_mut())) };
        for queue in &mut extension.queues {
            while let Some(envelope) = queue.pop() {
                drop_one(envelope);
            }
        }
        for request in extension.inspects {
            self.contain(|| (request.answer)(vec![("error".to_owned(), "the process has ended".to_owned())]));
        }
        if let Some(started) = extension.started {
            self.contain(|| started(Err("it ended before its init was done; its log line says why".into())));
        }
    }

    fn retire(&self, record: &Record, identity: &Identity) {
        let cells = self.cells();
        let total_in = record.pushed.load(Relaxed) + identity.other_in.load(Relaxed);
        for (cell, value) in [
            (&cells.retired_in, total_in),
            (&cells.retired_out, record.out.load(Relaxed)),
            (&cells.retired_run, record.run.load(Relaxed)),
            (&cells.retired_wakeups, record.wakeups.load(Relaxed)),
            (&cells.retired_latency, record.latency.load(Relaxed)),
            (&cells.terminated, 1),
        ] {
            bump(cell, value);
        }
        cells.processes.store(cells.processes.load(Relaxed).saturating_sub(1), Relaxed);
    }

    fn free_slot(&self, identity: &Identity, id: u64) {
        let generation = LocalId(id).generation();
        if generation < LocalId::MAX_GENERATION {
            identity.born.store(u64::from(generation) + 1, Relaxed);
            self.free_slots.borrow_mut().push(id as u32);
        }
    }

    /// Ends all processes: what is left when the node stops.
    pub(crate) fn end_all(&self) {
        let _scope = super::current::Scope::enter(self);
        self.stopping.set(true);
        for slot in FIRST_SLOT..self.table.table().high() {
            let record = self.table.record(slot);
            if record.id.load(Relaxed) != 0 {
                self.bury(record, ExitReason::Shutdown);
            }
        }
        self.mesh.publish(self);
        self.flush_links();
        // What is still in the inbox is dropped here, so that whoever waits for it learns that there will be no answer.
        self.port.inbox.close();
        while !self.port.inbox.is_finished() {
            self.port.inbox.drain(usize::MAX, |item| self.contain(|| drop(item)));
        }
    }

    /// A message for which the process has no handler.
    #[cold]
    pub(crate) fn unhandled(&self, record: &Record, envelope: EnvelopePtr) {
        self.count(|cells| &cells.unhandled, 1);
        let type_name = envelope.vtable().type_name();
        self.log_line(LogLevel::Warning, record.id.load(Relaxed), || {
            format!("no handler for {type_name}: the message is dropped; add a #[handle] for it")
        });
        let (meta, reply) = (envelope.meta(), envelope.reply());
        self.contain(|| envelope.drop_message());
        if meta & Meta::CALL != 0 {
            self.refuse(reply, CallError::Unhandled);
        }
    }
}
