//! The send path: from a typed message and an address to a mailbox, a ring or a link.
//!
//! Cost of a same-shard send: an envelope from the free list, its words, two links and an add; no hash, no lock, no
//! allocation for messages up to 24 bytes.

use crate::actor::{Addressed, Call, Route, Target};
use crate::error::{CallError, SendError, SendReason};
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{Extension, Flags, INSTRUMENTS, Record, bump};
use crate::shard::bounded::Admission;
use crate::shard::gate::{is_traced_gate, is_watched_gate};
use crate::shard::waiter::{Alarm, RemoteWait, Sink, State, Waiter};
use crate::shard::{Outcome, Parcel, Shard};
use crate::wheel::TimerKey;
use shard_wire::header::Deadline;
use shard_wire::{Erased, LocalId, Message, Payload, Pid, Table, Vtable, vtable};
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// Ticks of a waiter's `due`: 2^20, less than a millisecond.
pub(super) const DUE_SHIFT: u32 = 20;
/// Bit that marks a caller on another node in a reply reference.
pub(crate) const REMOTE_CALLER: u64 = 1 << 63;

impl Shard {
    /// Sends to a process.
    #[inline(always)]
    pub(crate) fn deliver<M: Message>(
        &self,
        to: Pid,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let record = self.table.record(to.local.slot());
        let special = u64::from(record.flags() & Flags::SPECIAL);
        if (to.node.0 ^ self.gate.get()) | (record.id.load(Relaxed) ^ to.local.0) | special != 0 {
            return self.elsewhere(to, message, flags, reply);
        }
        let envelope = self.pool.take();
        envelope.fill(vtable::<M>(), self.current_id.get(), self.stamp() | flags, message);
        if flags & (Meta::CALL | Meta::REMOTE) != 0 {
            envelope.set_reply(reply);
        }
        self.count_sent();
        self.enqueue(record, envelope, flags);
        Ok(())
    }

    /// Sends to whatever an address leads to.
    pub(crate) fn deliver_route<M: Message>(
        &self,
        route: Route<'_>,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        match route {
            Route::Pid(pid) => self.deliver(pid, message, flags, reply),
            Route::Name(name) => match self.node.lookup(name) {
                Some(pid) => self.deliver_addressed(pid, || Target::name(name), message, flags, reply),
                None => {
                    self.count_send_error(flags, false);
                    Err(SendError::new(SendReason::NameUnknown, message))
                }
            },
            Route::Alias(alias) if alias.node.0 != self.key => {
                self.deliver_far_alias(alias, message, flags, reply)
            }
            Route::Alias(alias) => match self.alias_owner(alias) {
                Some(local) => {
                    self.deliver_addressed(self.pid(local), || Target::Alias(alias), message, flags, reply)
                }
                None => {
                    self.count_send_error(flags, false);
                    Err(SendError::new(SendReason::AliasUnknown, message))
                }
            },
            Route::Remote { name, node } if node == self.node.name() => {
                self.deliver_route(Route::Name(name), message, flags, reply)
            }
            Route::Remote { name, node } => self.deliver_named(name, node, message, flags, reply),
        }
    }

    /// Sends to the process that a name or alias led to, which may want to know by which.
    fn deliver_addressed<M: Message>(
        &self,
        to: Pid,
        by: impl FnOnce() -> Target,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        if !self.is_split(to.local) {
            return self.deliver(to, message, flags, reply);
        }
        self.deliver(to, Addressed { by: by(), message }, flags, reply)
            .map_err(|error| SendError::new(error.reason, error.into_inner().message))
    }

    /// Puts an envelope into its queue and makes the process ready.
    #[inline(always)]
    pub(super) fn enqueue(&self, record: &Record, envelope: EnvelopePtr, flags: u64) {
        if flags & Meta::QUEUE != Meta::MAIN {
            return self.enqueue_other(record, envelope, flags);
        }
        record.push(envelope);
        let state = record.flags();
        if state & Flags::QUEUED == 0 {
            if state & Flags::LIVE == 0 {
                if INSTRUMENTS {
                    record.oldest.store(envelope.meta() >> Meta::BITS, Relaxed);
                }
                record.set_flags(state | Flags::QUEUED);
                self.ready.push(record.slot());
            } else if record.depth() == 1 {
                record.oldest.store(envelope.meta() >> Meta::BITS, Relaxed);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn enqueue_other(&self, record: &Record, envelope: EnvelopePtr, flags: u64) {
        let queue = match flags & Meta::QUEUE {
            Meta::URGENT => Extension::URGENT,
            Meta::LOG => Extension::LOG,
            _ => Extension::SYSTEM,
        };
        let is_first =
            record.depth() == 0 && self.with_extension(record, |extension| !extension.is_queue_left());
        if is_first {
            record.oldest.store(envelope.meta() >> Meta::BITS, Relaxed);
        }
        self.with_extension(record, |extension| extension.queues[queue].push(envelope));
        bump(&self.identity(record).other_in, 1);
        record.add_flags(Flags::OTHER);
        if queue == Extension::URGENT && record.flags() & Flags::RUNNING != 0 {
            // Urgent cuts the running batch at the next message.
            self.limit.set(0);
        }
        if record.flags() & Flags::LIVE == 0 {
            self.make_ready(record);
        }
    }

    /// Not a process of this shard: another shard's, another node's, or nobody.
    #[inline(never)]
    fn elsewhere<M: Message>(&self, to: Pid, message: M, flags: u64, reply: u64) -> Result<(), SendError<M>> {
        let gate = self.gate.get();
        if gate != self.key {
            if is_watched_gate(gate) {
                return self.deliver_watched(to, message, flags, reply);
            }
            let flags = self.with_send_queue(flags);
            if is_traced_gate(gate) {
                return self.unprioritized(|| self.deliver_traced(to, message, flags, reply));
            }
            return self.ungated(|| self.deliver(to, message, flags, reply));
        }
        if to.node.0 != self.key {
            return self.deliver_remote(to, message, flags, reply);
        }
        let shard = to.local.shard();
        if shard == self.index {
            return self.deliver_special(to, message, flags, reply);
        }
        if !self.lives_elsewhere(to.local) {
            let admission = self.node.port(shard).map(|port| port.admit(to.local, flags));
            match admission {
                Some(Admission::Enter) => {}
                Some(Admission::Drop) => {
                    self.count_sent();
                    self.drop_newest(message, flags, reply);
                    return Ok(());
                }
                Some(Admission::Refuse(reason)) => return self.refused(to, reason, message, flags),
                None => return self.refused(to, SendReason::NoProcess, message, flags),
            }
        }
        let meta = self.stamp() | flags;
        let make =
            |message: M| Parcel::new(to.local.0, vtable::<M>(), self.current_id.get(), meta, reply, message);
        let mut message = Some(message);
        self.mesh.push_with(self, shard, || match message.take() {
            Some(message) => make(message),
            None => unreachable!("a parcel is made once"),
        });
        // Not taken: the ring is full, or not there yet.
        if let Some(message) = message
            && let Some(refused) = self.mesh.push(self, shard, make(message))
        {
            self.forget_place(to.local, flags);
            self.count_send_error(flags, false);
            return Err(SendError::new(SendReason::Overloaded, refused.into_message()));
        }
        self.count_sent();
        Ok(())
    }

    /// Whether a process lives on another shard of this node and takes what comes. Looked up once per activation and target:
    /// the words that tell lie in the line that the target's shard writes for each message, and would travel to and fro
    /// between two CPUs.
    #[inline]
    fn lives_elsewhere(&self, local: LocalId) -> bool {
        let seen = (local.0, self.now.get());
        if self.seen.get() == seen {
            return true;
        }
        let shard = local.shard();
        let traits = self.node.port(shard).and_then(|port| port.table.traits_of(local.0));
        let lives = traits.is_some_and(|traits| traits & Flags::SPECIAL == 0);
        if lives {
            self.seen.set(seen);
        }
        lives
    }

    #[cold]
    pub(crate) fn count_send_error(&self, flags: u64, remote: bool) {
        if self.quiet.get() {
            return;
        }
        let is_call = flags & Meta::CALL != 0;
        self.count(
            |cells| match (is_call, remote) {
                (false, false) => &cells.send_errors_local,
                (false, true) => &cells.send_errors_remote,
                (true, false) => &cells.call_errors_local,
                (true, true) => &cells.call_errors_remote,
            },
            1,
        );
    }

    /// Takes a parcel that lies in a ring: a message goes from its slot into an envelope without a detour.
    #[inline]
    pub(super) fn accept_in_place(&self, parcel: &ManuallyDrop<Parcel>) {
        let record = self.table.record(parcel.target as u32);
        let special = parcel.meta & (Meta::REPLY | Meta::REFUSE | Meta::TASK);
        let look = u64::from(record.flags() & Flags::SPECIAL);
        if special | look | (record.id.load(Relaxed) ^ parcel.target) != 0 {
            return self.accept(Parcel::take_over(parcel));
        }
        let envelope = self.pool.take();
        envelope.fill_erased(parcel.vtable, parcel.from, parcel.meta, parcel.payload);
        if parcel.meta & (Meta::CALL | Meta::REMOTE) != 0 {
            envelope.set_reply(parcel.reply);
        }
        self.enqueue(record, envelope, parcel.meta & Meta::FLAGS);
    }

    /// Takes a parcel from the inbox.
    #[inline(never)]
    pub(super) fn accept(&self, parcel: Parcel) {
        if parcel.meta & (Meta::REPLY | Meta::REFUSE) != 0 {
            return self.accept_reply(parcel);
        }
        if parcel.meta & Meta::TASK != 0 {
            let task = parcel.into_task();
            return self.contain(|| task(self));
        }
        let record = self.table.record(parcel.target as u32);
        if record.id.load(Relaxed) != parcel.target {
            return self.dead_letter(parcel);
        }
        if record.flags() & Flags::SPECIAL != 0 {
            return self.arrive_special(record, parcel);
        }
        self.enqueue_parcel(record, parcel);
    }

    /// Moves a parcel into an envelope of a process's queue.
    pub(super) fn enqueue_parcel(&self, record: &Record, parcel: Parcel) {
        let parcel = parcel.unpack();
        let envelope = self.pool.take();
        envelope.fill_erased(parcel.vtable, parcel.from, parcel.meta, parcel.payload);
        if parcel.meta & (Meta::CALL | Meta::REMOTE) != 0 {
            envelope.set_reply(parcel.reply);
        }
        self.enqueue(record, envelope, parcel.meta & Meta::FLAGS);
    }

    /// A message of another node finds the shard's memory budget used up.
    #[cold]
    #[inline(never)]
    fn over_budget(&self, parcel: Parcel) {
        self.port.count_over_budget();
        if parcel.meta & Meta::CALL != 0 {
            self.refuse(parcel.reply, CallError::Send(SendReason::Overloaded));
        }
        // The message's own `drop` is the user's code.
        self.contain(|| drop(parcel));
    }

    #[cold]
    #[inline(never)]
    pub(super) fn dead_letter(&self, parcel: Parcel) {
        self.count(|cells| &cells.dead_letters, 1);
        if parcel.meta & Meta::CALL != 0 {
            self.refuse(parcel.reply, CallError::Send(SendReason::NoProcess));
        }
        // The message's own `drop` is the user's code.
        self.contain(|| drop(parcel));
    }

    #[cold]
    fn accept_reply(&self, parcel: Parcel) {
        if parcel.meta & Meta::REFUSE != 0 {
            return self.refuse(parcel.target, CallError::from_code(parcel.refusal_code()));
        }
        match self.waiters.find(parcel.target) {
            Some(waiter) if waiter.state.get() == State::Waiting => {
                let reference = parcel.target;
                let parcel = parcel.unpack();
                self.complete(reference, parcel.payload);
            }
            _ => {
                self.count(|cells| &cells.late_replies, 1);
                self.contain(|| drop(parcel));
            }
        }
    }

    /// Sends a request and makes its waiter.
    #[inline(always)]
    pub(crate) fn call<M: Message>(&self, to: Pid, request: M, timeout: u64) -> Call<'_, M::Reply> {
        let waiter = self.wait_for_reply(timeout);
        if waiter != 0 {
            if to == self.current_pid() {
                self.refuse(waiter, CallError::SelfCall);
            } else if let Err(error) = self.deliver(to, request, Meta::CALL, waiter) {
                self.refuse(waiter, CallError::Send(error.reason));
            }
        }
        Call::new(self, waiter)
    }

    /// Sends a request to whatever an address leads to.
    pub(crate) fn call_route<M: Message>(
        &self,
        route: Route<'_>,
        request: M,
        timeout: u64,
    ) -> Call<'_, M::Reply> {
        if let Route::Pid(pid) = route {
            return self.call(pid, request, timeout);
        }
        self.call_flagged(route, request, Meta::MAIN, timeout)
    }

    /// The same, at a priority.
    pub(crate) fn call_flagged<M: Message>(
        &self,
        route: Route<'_>,
        request: M,
        queue: u64,
        timeout: u64,
    ) -> Call<'_, M::Reply> {
        let waiter = self.wait_for_reply(timeout);
        if waiter != 0 {
            // By whatever address: it would wait for itself.
            if self.resolve(route) == Some(self.current_pid()) {
                self.refuse(waiter, CallError::SelfCall);
            } else if let Err(error) = self.deliver_route(route, request, Meta::CALL | queue, waiter) {
                self.refuse(waiter, CallError::Send(error.reason));
            }
        }
        Call::new(self, waiter)
    }

    /// A waiter with a deadline; 0 if there are none left.
    #[inline(always)]
    pub(crate) fn wait_for_reply(&self, timeout: u64) -> u64 {
        let Some((reference, waiter)) = self.waiters.take(self.current_id.get() as u32) else { return 0 };
        let deadline = self.now.get().saturating_add(timeout);
        // Rounded up: a wait never ends early.
        waiter.due.set((deadline >> DUE_SHIFT) as u32 + 1);
        if timeout == self.default_timeout {
            self.waiters.enlist(waiter, reference);
            return reference;
        }
        self.arm(waiter, reference, deadline)
    }

    #[inline(never)]
    fn arm(&self, waiter: &Waiter, reference: u64, deadline: u64) -> u64 {
        match self.wheel.borrow_mut().insert(deadline, reference) {
            Ok(timer) => waiter.alarm.set(Alarm::Wheel(timer)),
            Err(_) => self.waiters.free(reference),
        }
        reference
    }

    /// Takes the alarm of a waiter back.
    #[inline(always)]
    pub(super) fn disarm(&self, waiter: &Waiter) {
        match waiter.alarm.replace(Alarm::None) {
            Alarm::None => {}
            Alarm::Listed { before, after } => self.waiters.delist(before, after),
            Alarm::Wheel(timer) => self.disarm_timer(timer),
        }
    }

    #[inline(never)]
    fn disarm_timer(&self, timer: TimerKey) {
        self.wheel.borrow_mut().cancel(timer);
    }

    /// Polls a call.
    #[inline(always)]
    pub(crate) fn poll_waiter<R>(
        &self,
        reference: u64,
        task: &TaskContext<'_>,
    ) -> Poll<Result<R, CallError>> {
        let Some(waiter) = self.waiters.find(reference) else {
            return Poll::Ready(Err(CallError::Send(SendReason::Overloaded)));
        };
        match waiter.state.get() {
            State::Done => {
                let reply = waiter.get::<R>();
                self.waiters.free(reference);
                Poll::Ready(Ok(reply))
            }
            State::Failed => {
                let error = CallError::from_code(waiter.code.get());
                self.waiters.free(reference);
                Poll::Ready(Err(error))
            }
            State::Waiting | State::Free => {
                if !crate::shard::current::is_own_waker(task.waker()) {
                    let waker = task.waker().clone();
                    waiter.set_extra(|extra| extra.sink = Some(Sink::Waker(waker)));
                }
                if !waiter.is_timer.get() {
                    self.mark_calling();
                }
                Poll::Pending
            }
        }
    }

    /// Drops a call: frees its waiter and, if it came and was not taken, its reply.
    #[inline(always)]
    pub(crate) fn free_waiter<R: Send + 'static>(&self, reference: u64) {
        let Some(waiter) = self.waiters.find(reference) else { return };
        let done = waiter.state.get() == State::Done;
        self.disarm(waiter);
        if done {
            return self.drop_unread::<R>(reference, waiter);
        }
        self.waiters.free(reference);
    }

    /// The reply is there, and whoever waited for it is not.
    #[cold]
    fn drop_unread<R: Send + 'static>(&self, reference: u64, waiter: &Waiter) {
        if !waiter.is_timer.get() && !waiter.is_own.get() {
            self.count(|cells| &cells.late_replies, 1);
        }
        let reply = waiter.get::<R>();
        self.waiters.free(reference);
        drop(reply);
    }

    /// Marks a wait as the runtime's own.
    pub(super) fn own_wait(&self, timeout: u64) -> u64 {
        let reference = self.wait_for_reply(timeout);
        if let Some(waiter) = self.waiters.find(reference) {
            waiter.is_own.set(true);
        }
        reference
    }

    /// Ends a wait of the runtime's own, on whatever shard. One that is over already is no reply that came late.
    pub(crate) fn answer_own<R: Send + 'static>(&self, reference: u64, value: R) {
        self.tell(LocalId(reference).shard(), move |shard| {
            let waits =
                shard.waiters.find(reference).is_some_and(|waiter| waiter.state.get() == State::Waiting);
            if waits {
                let table = const { &Table::<()>::local() }.erased();
                shard.answer(reference, table, value);
            } else {
                shard.contain(|| drop(value));
            }
        });
    }

    /// Answers a call with a value.
    #[inline(always)]
    pub(crate) fn answer<R: Send + 'static>(&self, reference: u64, request: &'static Vtable, value: R) {
        if reference >> 52 == u64::from(self.index)
            && let Some(waiter) = self.waiters.find(reference)
            && waiter.state.get() == State::Waiting
            && waiter.extra.get().is_null()
        {
            waiter.put(value);
            self.disarm(waiter);
            self.resume(self.table.record(waiter.owner.get()));
            return;
        }
        self.answer_slow(reference, request, value);
    }

    #[inline(never)]
    fn answer_slow<R: Send + 'static>(&self, reference: u64, request: &'static Vtable, value: R) {
        let table = const { &Table::<R>::local() }.erased();
        if reference & REMOTE_CALLER != 0 {
            return self.answer_remote(reference, request, Parcel::new(0, table, 0, 0, 0, value));
        }
        let parcel = Parcel::new(reference, table, 0, Meta::REPLY, 0, value);
        let shard = LocalId(reference).shard();
        if shard == self.index {
            return self.accept_reply(parcel);
        }
        // As many as there are calls: no bound refuses them.
        if let Some(refused) = self.mesh.push_reserved(self, shard, parcel) {
            self.count(|cells| &cells.dead_letters, 1);
            self.contain(|| drop(refused));
        }
    }

    /// Completes a waiting waiter with an erased reply.
    pub(super) fn complete(&self, reference: u64, payload: Payload) {
        let Some(waiter) = self.waiters.find(reference) else { return };
        self.disarm(waiter);
        match waiter.take_extra().and_then(|extra| extra.sink) {
            Some(Sink::Callback(callback)) => {
                self.waiters.free(reference);
                self.contain(|| callback(self, Outcome::Reply(payload)));
            }
            sink => {
                waiter.put_erased(payload);
                if let Some(Sink::Waker(waker)) = sink {
                    self.contain(|| waker.wake());
                }
                self.resume(self.table.record(waiter.owner.get()));
            }
        }
    }

    /// Answers a call with an error.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&self, reference: u64, error: CallError) {
        if reference == 0 {
            return;
        }
        if reference & REMOTE_CALLER != 0 {
            return self.refuse_remote(reference, error);
        }
        let shard = LocalId(reference).shard();
        if shard != self.index {
            let table = const { &Table::<u64>::local() }.erased();
            let parcel = Parcel::new(reference, table, 0, Meta::REFUSE, 0, u64::from(error.code()));
            if self.mesh.push_reserved(self, shard, parcel).is_some() {
                self.count(|cells| &cells.dead_letters, 1);
            }
            return;
        }
        self.fail(reference, error);
    }

    /// Fails a waiter of this shard.
    pub(crate) fn fail(&self, reference: u64, error: CallError) {
        let Some(waiter) = self.waiters.find(reference) else { return };
        if waiter.state.get() != State::Waiting {
            return;
        }
        self.disarm(waiter);
        let sink = waiter.take_extra().and_then(|extra| extra.sink);
        if let Some(Sink::Callback(callback)) = sink {
            self.waiters.free(reference);
            return self.contain(|| callback(self, Outcome::Failed(error)));
        }
        waiter.code.set(error.code());
        waiter.state.set(State::Failed);
        if let Some(Sink::Waker(waker)) = sink {
            self.contain(|| waker.wake());
        }
        self.resume(self.table.record(waiter.owner.get()));
    }

    /// A reply of another node. It completes a waiter only if that node owes it.
    pub(crate) fn complete_remote(&self, reference: u64, key: u64, body: &[u8]) {
        let wait = self.waiters.find(reference).and_then(|waiter| waiter.remote());
        let Some(wait) = wait.filter(|wait| wait.peer == key) else {
            return self.count(|cells| &cells.late_replies, 1);
        };
        match wait.ops.decode_reply(body) {
            Ok(reply) => self.complete(reference, reply.into_parts().1),
            Err(_) => self.fail(reference, CallError::Decode),
        }
    }

    /// An error of another node. It fails a waiter only if that node owes the reply.
    pub(crate) fn fail_remote(&self, reference: u64, key: u64, error: CallError) {
        let wait = self.waiters.find(reference).and_then(|waiter| waiter.remote());
        if wait.is_some_and(|wait| wait.peer == key) {
            self.count_send_error(Meta::CALL, true);
            self.fail(reference, error);
        }
    }

    /// Notes that a reply comes from another node.
    pub(crate) fn expect_remote(&self, reference: u64, wait: RemoteWait) {
        if let Some(waiter) = self.waiters.find(reference)
            && waiter.state.get() == State::Waiting
        {
            waiter.set_remote(wait);
        }
    }

    /// References of the waiters that wait for this incarnation.
    pub(crate) fn waiting_for(&self, key: u64) -> Vec<u64> {
        self.waiters.waiting_for(key)
    }

    /// When a call ends, in the time of a link; never if the link does not stand yet.
    pub(crate) fn deadline_on(&self, link: u32, reference: u64) -> Deadline {
        let links = self.net.links.borrow();
        let owned = links.get(link as usize).and_then(Option::as_ref);
        // Without a socket, both ends of an older protocol have no clock in common.
        let link = owned.map(|owned| &owned.data).filter(|data| data.is_numbered() || data.socket.is_some());
        let Some(link) = link else { return Deadline::NONE };
        // The waiter of a call that another shard has sent here is not known here.
        let Some(due) = self.due_of(reference).or_else(|| self.net.hop_due.get()) else {
            return Deadline::NONE;
        };
        let left = self.clock.span_ns(due.saturating_sub(self.now.get())) / 1_000_000;
        Deadline::after(self.link_ms(link.clock), left)
    }

    /// The tick at which a waiter of this shard gives up.
    pub(crate) fn due_of(&self, reference: u64) -> Option<u64> {
        let due = self.waiters.find(reference)?.due.get();
        let now = self.now.get();
        let left = due.wrapping_sub((now >> DUE_SHIFT) as u32).cast_signed().max(0);
        Some(now + (u64::from(left.unsigned_abs()) << DUE_SHIFT))
    }

    /// Puts a message of another node into a mailbox of this shard.
    #[inline]
    pub(crate) fn put_message(&self, to: u64, from: u64, meta: u64, reply: u64, message: Erased) {
        let (vtable, payload) = message.into_parts();
        let stamped = self.stamp.get() | meta;
        let record = self.table.record(to as u32);
        if self.port.is_over_budget() {
            return self.over_budget(Parcel { target: to, vtable, from, meta: stamped, payload, reply });
        }
        if record.id.load(Relaxed) != to {
            return self.dead_letter(Parcel { target: to, vtable, from, meta: stamped, payload, reply });
        }
        if record.flags() & Flags::SPECIAL != 0 {
            let parcel = Parcel { target: to, vtable, from, meta: stamped, payload, reply };
            return self.admit_parcel(record, parcel);
        }
        let envelope = self.pool.take();
        envelope.fill_erased(vtable, from, stamped, payload);
        envelope.set_reply(reply);
        self.enqueue(record, envelope, meta & Meta::FLAGS);
    }

    /// Whether a process lives on this shard now.
    #[inline]
    pub(crate) fn exists(&self, local: u64) -> bool {
        self.table.record(local as u32).id.load(Relaxed) == local
    }

    /// Hands a parcel to another shard; gives it back if ring and spill are full.
    pub(crate) fn push_parcel(&self, shard: u16, parcel: Parcel) -> Option<Parcel> {
        if shard == self.index {
            self.accept(parcel);
            return None;
        }
        self.mesh.push(self, shard, parcel)
    }

    /// Runs `f` with another process as the sender of what it sends.
    pub(crate) fn speaking_as<R>(&self, local: u64, f: impl FnOnce() -> R) -> R {
        let before = self.current_id.replace(local);
        let result = f();
        self.current_id.set(before);
        result
    }

    /// Runs sends whose failure is not, or not yet, their sender's to hear: the caller counts what becomes of the message.
    pub(crate) fn quietly<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.quiet.replace(true);
        let result = f();
        self.quiet.set(before);
        result
    }

    /// A call on behalf of somebody who is not a process: the callback gets the outcome on this shard.
    pub(crate) fn call_with_callback<M: Message>(
        &self,
        route: Route<'_>,
        request: M,
        timeout: Duration,
        done: impl FnOnce(Result<M::Reply, CallError>) + 'static,
    ) {
        self.call_first_with_callback(std::iter::once(route), request, timeout, done);
    }

    /// The same of the first of these targets that takes the request.
    pub(crate) fn call_first_with_callback<'r, M: Message>(
        &self,
        routes: impl IntoIterator<Item = Route<'r>>,
        mut request: M,
        timeout: Duration,
        done: impl FnOnce(Result<M::Reply, CallError>) + 'static,
    ) {
        let reference = self.wait_for_reply(self.ticks(timeout));
        let Some(waiter) = self.waiters.find(reference) else {
            return done(Err(CallError::Send(SendReason::Overloaded)));
        };
        let callback = Box::new(move |_: &Self, outcome: Outcome| {
            done(match outcome {
                Outcome::Reply(payload) => Ok(Parcel::reply_of::<M>(payload)),
                Outcome::Failed(error) => Err(error),
                Outcome::Due => Err(CallError::Timeout),
            });
        });
        waiter.set_extra(|extra| {
            extra.sink = Some(Sink::Callback(callback));
        });
        let mut why = SendReason::NoProcess;
        let mut routes = routes.into_iter().peekable();
        while let Some(route) = routes.next() {
            let send = || self.deliver_route(route, request, Meta::CALL, reference);
            // It is one call, so that it fails once, with the last of them.
            let sent = if routes.peek().is_some() { self.quietly(send) } else { send() };
            match sent {
                Ok(()) => return,
                Err(error) => (why, request) = error.into_parts(),
            }
        }
        self.refuse(reference, CallError::Send(why));
    }
}
