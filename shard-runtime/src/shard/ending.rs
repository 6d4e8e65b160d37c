//! The end of a process on its shard.
//!
//! Order (each step contains panics of its own): the suspended handler is dropped, `terminate` runs, names, aliases and
//! events are freed, the id is cleared, links and monitors fire, queued messages are dropped and their callers told why, the
//! actor is dropped, the slot is freed. So whoever is told can start a successor under the same name at once.
//! Invariant: G1 a slot's next generation is kept in `Identity::born` while it is free; at the last one it is retired.
#![expect(unsafe_code, reason = "owns actor bodies; proven by an_actor_is_dropped_exactly_once")]

use crate::actor::ActorTable;
use crate::error::{CallError, ExitReason, SendReason};
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{Extension, FIRST_SLOT, Flags, Identity, Record, bump};
use crate::shard::{LogLevel, Shard};
use crate::symbol::Symbol;
use shard_wire::LocalId;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// What the callers of a process that ends are told.
pub(super) fn refusal_for(reason: &ExitReason) -> CallError {
    match reason {
        ExitReason::Kill => CallError::Killed,
        ExitReason::Panic(_) => CallError::Panicked,
        _ => CallError::Terminated,
    }
}

impl Shard {
    /// Ends a process.
    #[cold]
    #[inline(never)]
    pub(super) fn bury(&self, record: &Record, reason: ExitReason) {
        let id = record.id.load(Relaxed);
        if record.flags() & Flags::DEDICATED != 0 {
            return self.abandon(record, id, reason);
        }
        let identity = self.table.table().identity(id as u32);
        // SAFETY: A1: a used record's `actor` is a `&'static ActorTable`.
        let table: &'static ActorTable = unsafe { &*record.actor.load(Relaxed) };
        self.refusal.set(refusal_for(&reason));
        if record.flags() & Flags::START != 0 {
            self.count(|cells| &cells.spawn_failed, 1);
        }
        let was_live = record.flags() & (Flags::LIVE | Flags::START) == Flags::LIVE;
        let was_starting = record.flags() & Flags::START != 0;
        let sender = record.flags() & (Flags::SENDER | Flags::COMPRESSES);
        record.set_flags(Flags::QUEUED | Flags::RUNNING | Flags::TERMINATED | sender);
        self.in_hand.set(EnvelopePtr::NULL);
        if was_live && !record.live.get().is_null() {
            self.count(|cells| &cells.interrupted, 1);
        }
        // The reason's own `Display` and `Drop` are the user's code.
        self.contain(|| self.log_end(table.behavior, identity.name.load(Relaxed), id, &reason));
        if !record.live.get().is_null() {
            self.contain(|| self.cancel_live(record));
        }
        self.watch_end(record, &reason);
        let reason = if table.has_terminate {
            // Shared with whoever asks for it in there, which few do.
            let shared = Rc::new(reason);
            self.run_terminate(record, table, id, &shared);
            Rc::unwrap_or_clone(shared)
        } else {
            reason
        };
        if self.annex.is_some() {
            // The rest of what the world sees is done by the home shard.
            self.report_end(id, reason.clone());
        } else {
            self.free_addresses(record, id);
            self.retire(record, identity);
            self.leave_application(identity.application.load(Relaxed));
        }
        // From here on nothing can be sent to it, so what is queued is all there will be.
        if self.annex.is_none() {
            // ORDERING: pairs with the Acquire load of a reader's sweep.
            record.id.store(0, Release);
        }
        let mut extension = self.take_extension(record);
        self.write_obituary(id, &reason);
        if let Some(extension) = &mut extension {
            if extension.preserve && (was_starting || !reason.is_ordinary()) {
                self.keep_mailbox(id, was_starting, record, extension);
            }
            self.end_relations(id, &mut extension.relations, &reason);
        }
        self.drop_queues(record, extension, &reason);
        self.contain(|| drop(reason));
        // SAFETY: A1; no handler borrows the body any more, and it is not touched again.
        self.contain(|| unsafe { table.drop_body(record) });
        if self.annex.is_some() {
            // Nobody else gets this record, and readers see what has become of the process.
            record.set_flags(Flags::TERMINATED);
        } else {
            record.set_flags(0);
            self.free_slot(identity, id);
        }
        self.refusal.set(CallError::NoReply);
    }

    pub(super) fn take_extension(&self, record: &Record) -> Option<Box<Extension>> {
        let extension = record.extension.replace(std::ptr::null_mut());
        // SAFETY: made from a box by `with_extension`; taken out of the record, once.
        (!extension.is_null()).then(|| unsafe { Box::from_raw(extension) })
    }

    fn run_terminate(&self, record: &Record, table: &'static ActorTable, id: u64, reason: &Rc<ExitReason>) {
        self.ending.replace(Some(Rc::clone(reason)));
        self.current.set(record);
        self.current_id.set(id);
        self.sent.set(0);
        self.in_hand.set(EnvelopePtr::NULL);
        self.intake.set(EnvelopePtr::NULL);
        self.limit.set(0);
        if record.flags() & Flags::SENDER != 0 {
            self.shut_gate();
        }
        self.contain(|| {
            // SAFETY: A1; the suspended handler is gone, so nobody borrows the body.
            unsafe { table.terminate(self, record) };
        });
        self.rest_gate();
        if !record.live.get().is_null() {
            self.count(|cells| &cells.terminate_cut, 1);
            self.contain(|| self.cancel_live(record));
        }
        bump(&record.out, self.sent.replace(0));
        let last = self.ending.replace(None);
        self.contain(|| drop(last));
    }

    pub(super) fn free_name(&self, identity: &Identity, id: u64) {
        let symbol = identity.name.load(Relaxed);
        if symbol == 0 {
            return;
        }
        identity.name.store(0, Relaxed);
        if let Some(name) = self.node.symbols().text(Symbol(symbol)) {
            self.node.names().unregister(name, LocalId(id));
        }
    }

    /// Drops a queued message and tells its caller why there will be no answer.
    pub(super) fn drop_queued(&self, envelope: EnvelopePtr, why: CallError) {
        let (meta, reply) = (envelope.meta(), envelope.reply());
        self.contain(|| envelope.drop_message());
        self.pool.give(envelope);
        if meta & Meta::CALL != 0 {
            self.refuse(reply, why);
        }
    }

    /// Drops what is still queued, and answers whoever waits for the process.
    pub(super) fn drop_queues(
        &self,
        record: &Record,
        extension: Option<Box<Extension>>,
        reason: &ExitReason,
    ) {
        let why = self.refusal.get();
        while record.depth() > 0 {
            let envelope = record.head.get();
            record.remove(1, envelope);
            self.count(|cells| &cells.mailbox_lost, 1);
            self.drop_queued(envelope, why);
        }
        let Some(mut extension) = extension else { return };
        for queue in &mut extension.queues {
            while let Some(envelope) = queue.pop() {
                self.count(|cells| &cells.mailbox_lost, 1);
                self.drop_queued(envelope, why);
            }
        }
        self.free_waiter::<()>(extension.init_timer);
        for waiter in extension.room.iter_mut().flat_map(std::mem::take) {
            self.refuse(waiter, CallError::Send(SendReason::NoProcess));
        }
        for request in std::mem::take(&mut extension.inspects) {
            self.contain(|| (request.answer)(vec![("error".to_owned(), "the process has ended".to_owned())]));
        }
        if let Some(started) = extension.started.take() {
            let reason = reason.clone();
            self.contain(|| started(self, Err(reason)));
        }
        // Values of the environment, and a signal that came too late, may be the last of their kind, and their `Drop` the
        // user's code.
        self.contain(|| drop(extension));
    }

    pub(super) fn retire(&self, record: &Record, identity: &Identity) {
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

    pub(super) fn free_slot(&self, identity: &Identity, id: u64) {
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
        self.drop_tasks();
        self.fell(crate::app::STEWARD);
        self.drop_memories();
        self.mesh.publish(self);
        self.flush_links();
        // What is still in the inbox is dropped here, so that whoever waits for it learns that there will be no answer.
        self.port.inbox.close();
        while !self.port.inbox.is_finished() {
            self.port.inbox.drain(usize::MAX, |item| self.contain(|| drop(item)));
        }
    }

    /// Ends a process of the runtime itself.
    fn fell(&self, id: u64) {
        let record = self.table.record(id as u32);
        if record.id.load(Relaxed) != id {
            return;
        }
        // SAFETY: A1: a used record's `actor` is a `&'static ActorTable`.
        let table: &'static ActorTable = unsafe { &*record.actor.load(Relaxed) };
        record.set_flags(Flags::QUEUED | Flags::RUNNING | Flags::TERMINATED);
        self.free_addresses(record, id);
        record.id.store(0, Release);
        let mut extension = self.take_extension(record);
        if let Some(extension) = &mut extension {
            self.end_relations(id, &mut extension.relations, &ExitReason::Shutdown);
        }
        self.drop_queues(record, extension, &ExitReason::Shutdown);
        // SAFETY: A1; it never suspends, so no handler borrows the body, and it is not touched again.
        self.contain(|| unsafe { table.drop_body(record) });
        record.set_flags(0);
    }

    /// Drops what is remembered of ended processes: reasons, and mailboxes that no successor has claimed.
    fn drop_memories(&self) {
        for obituary in self.obituaries.take() {
            // A reason's `Drop` is the user's code.
            self.contain(|| drop(obituary));
        }
        self.drop_all_kept();
    }

    /// A message for which the process has no handler.
    #[cold]
    pub(crate) fn unhandled(&self, record: &Record, envelope: EnvelopePtr) {
        if envelope.vtable().is::<crate::behavior::Retire>() {
            // It is nobody's message: the process ends here, with what came before handled.
            self.contain(|| envelope.drop_message());
            return self.end_by_signal(record, ExitReason::Normal);
        }
        self.no_handler(record, envelope, &envelope.vtable().type_name());
    }

    /// A message of the type with this name is dropped, and its caller told.
    #[cold]
    pub(crate) fn no_handler(&self, record: &Record, envelope: EnvelopePtr, type_name: &dyn Display) {
        self.count(|cells| &cells.unhandled, 1);
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
