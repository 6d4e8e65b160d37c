//! Sends to processes that need a look first: bounded mailboxes and their policies, processes that are ending.
//!
//! A place is reserved before a message is queued or crosses to another shard, and given back when it leaves the queue; so
//! what arrives from another shard has its place. Invariant: M1 of [`Bound`](crate::process::Bound).
//! Cost: one compare-and-swap per message of a bounded process; a wait for room costs a waiter.

use crate::actor::{Call, Fallback};
use crate::error::{CallError, SendError, SendReason};
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{Bound, Extension, Flags, MAIN_QUEUE, NoPlace, OnFull, Record, bump};
use crate::shard::waiter::State;
use crate::shard::{Home, Parcel, Port, Shard};
use crate::symbol::Symbol;
use shard_wire::{Erased, LocalId, Message, Pid, vtable};
use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Waits for room that one queue keeps. What exceeds it is refused with `Overloaded`.
const MAX_ROOM_WAITS: usize = 1 << 16;

/// From how many of them on a look for stale ones is worth its while.
const STALE_ROOM_WAITS: usize = 64;

/// What becomes of a message for a bounded mailbox.
pub(crate) enum Admission {
    /// It has a place.
    Enter,
    /// It is dropped, and its sender is told `Ok`.
    Drop,
    /// Its sender gets it back.
    Refuse(SendReason),
}

/// Says to one sender that a queue may have room. If that sender has gone meanwhile, the next one is told.
#[derive(Debug)]
pub(crate) struct Room {
    local: u64,
    queue: usize,
    home: Home,
    is_taken: bool,
}

impl Room {
    /// The sender is there, and will try.
    pub(crate) fn take(mut self) {
        self.is_taken = true;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.is_taken {
            let (local, queue) = (self.local, self.queue);
            self.home.post(move |shard| shard.pass_room_on(local, queue));
        }
    }
}

/// The queue that an envelope's flags name, as an index of [`Bound`] and of the extension's queues.
pub(crate) fn queue_index(flags: u64) -> usize {
    match flags & Meta::QUEUE {
        Meta::MAIN => MAIN_QUEUE,
        Meta::URGENT => Extension::URGENT,
        Meta::LOG => Extension::LOG,
        _ => Extension::SYSTEM,
    }
}

impl Port {
    /// Asks for a place in a mailbox of this shard. From any thread. For a process without a bound it is there.
    pub(crate) fn admit(&self, local: LocalId, flags: u64) -> Admission {
        match self.table.traits_of(local.0) {
            None => Admission::Refuse(SendReason::NoProcess),
            Some(traits) if traits & Flags::TERMINATED != 0 => Admission::Refuse(SendReason::Terminated),
            Some(traits) if traits & Flags::BOUNDED == 0 => Admission::Enter,
            Some(_) => {
                let bound = self.table.bound(local.slot());
                let force = bound.policy() == OnFull::DropOldest;
                admit(bound, local, flags, force)
            }
        }
    }

    /// Gives a place back whose message did not get away. From any thread.
    #[cold]
    pub(crate) fn cancel_place(&self, local: LocalId, flags: u64) {
        if self.table.traits_of(local.0).is_some_and(|traits| traits & Flags::BOUNDED != 0) {
            self.table.bound(local.slot()).cancel(queue_index(flags), local.generation());
        }
    }
}

fn admit(bound: &Bound, local: LocalId, flags: u64, force: bool) -> Admission {
    let (queue, generation) = (queue_index(flags), local.generation());
    let place = if force { bound.force(queue, generation) } else { bound.reserve(queue, generation) };
    match (place, bound.policy()) {
        (Ok(()), _) => Admission::Enter,
        (Err(NoPlace::Gone), _) => Admission::Refuse(SendReason::NoProcess),
        (Err(NoPlace::Full), OnFull::Reject) => Admission::Refuse(SendReason::MailboxFull),
        (Err(NoPlace::Full), OnFull::DropNewest | OnFull::DropOldest) => Admission::Drop,
    }
}

impl Shard {
    /// Sends to a process of this shard that needs a look, or to nobody.
    #[inline(never)]
    pub(super) fn deliver_special<M: Message>(
        &self,
        to: Pid,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let record = self.table.record(to.local.slot());
        let admission = if record.id.load(Relaxed) == to.local.0 {
            self.admit_here(record, to.local, flags)
        } else {
            Admission::Refuse(SendReason::NoProcess)
        };
        match admission {
            Admission::Enter if record.flags() & Flags::DEDICATED != 0 => {
                self.deliver_to_annex(record, to, message, flags, reply)
            }
            Admission::Enter => {
                let envelope = self.pool.take();
                envelope.fill(vtable::<M>(), self.current_id.get(), self.stamp.get() | flags, message);
                if flags & (Meta::CALL | Meta::REMOTE) != 0 {
                    envelope.set_reply(reply);
                }
                self.sent.set(self.sent.get() + 1);
                self.enqueue(record, envelope, flags);
                self.trim(record, queue_index(flags));
                Ok(())
            }
            Admission::Drop => {
                self.sent.set(self.sent.get() + 1);
                self.drop_newest(message, flags, reply);
                Ok(())
            }
            Admission::Refuse(reason) => self.refused(to, reason, message, flags),
        }
    }

    pub(super) fn admit_here(&self, record: &Record, local: LocalId, flags: u64) -> Admission {
        let traits = record.flags();
        if traits & Flags::TERMINATED != 0 {
            return Admission::Refuse(SendReason::Terminated);
        }
        if traits & Flags::BOUNDED == 0 {
            return Admission::Enter;
        }
        let bound = self.table.bound(local.slot());
        // The oldest messages of a process that sends to itself are those of its running batch: they cannot be dropped.
        let force = bound.policy() == OnFull::DropOldest && traits & Flags::RUNNING == 0;
        admit(bound, local, flags, force)
    }

    /// A message is dropped by its target's policy.
    #[cold]
    pub(super) fn drop_newest<M>(&self, message: M, flags: u64, reply: u64) {
        self.count(|cells| &cells.policy_dropped, 1);
        self.contain(|| drop(message));
        if flags & Meta::CALL != 0 {
            self.refuse(reply, CallError::Dropped);
        }
    }

    /// A message was refused: to the fallback if there is one, else back to the sender. What is at a fallback already goes
    /// no further: two processes that are each other's would pass it to and fro.
    #[cold]
    pub(super) fn refused<M: Message>(
        &self,
        to: Pid,
        reason: SendReason,
        message: M,
        flags: u64,
    ) -> Result<(), SendError<M>> {
        let is_own = to.local.0 == self.current_id.get();
        let is_fallback = TypeId::of::<M>() == TypeId::of::<Fallback>();
        if reason == SendReason::MailboxFull && flags & Meta::CALL == 0 && !is_own && !is_fallback {
            let port = self.node.port(to.local.shard());
            let (name, tag) = port.map_or((0, 0), |port| port.table.bound(to.local.slot()).fallback());
            let holder = self.node.symbols().text(Symbol(name)).and_then(|name| self.node.lookup(name));
            if let Some(holder) = holder.filter(|holder| *holder != to) {
                return self.fall_back(to, holder, tag, message, flags);
            }
        }
        self.count_send_error(flags, false);
        Err(SendError::new(reason, message))
    }

    fn fall_back<M: Message>(
        &self,
        pid: Pid,
        holder: Pid,
        tag: u32,
        message: M,
        flags: u64,
    ) -> Result<(), SendError<M>> {
        let tag: Arc<str> = self.node.symbols().text(Symbol(tag)).unwrap_or("").into();
        let wrapped = Fallback { pid, tag, message: Erased::new(message) };
        self.deliver(holder, wrapped, flags & Meta::QUEUE, 0).map_err(|error| {
            let reason = error.reason;
            match error.into_inner().message.downcast::<M>() {
                Ok(message) => SendError::new(reason, message),
                Err(_) => unreachable!("a fallback comes back as what it was packed as"),
            }
        })
    }

    /// Queues a message that no bound refuses; it takes a place all the same.
    pub(super) fn enqueue_by_force(&self, record: &Record, envelope: EnvelopePtr, flags: u64) {
        if record.flags() & Flags::BOUNDED != 0 {
            let local = LocalId(record.id.load(Relaxed));
            // The only process that has no place for it is one whose count is full: four billion messages.
            let _counted = self.table.bound(local.slot()).force(queue_index(flags), local.generation());
        }
        self.enqueue(record, envelope, flags);
    }

    /// Takes a parcel for a process that needs a look. Its place was reserved where it was sent.
    #[cold]
    #[inline(never)]
    pub(super) fn arrive_special(&self, record: &Record, parcel: Parcel) {
        if record.flags() & Flags::TERMINATED != 0 {
            return self.dead_letter(parcel);
        }
        if record.flags() & Flags::DEDICATED != 0 {
            return self.pass_to_annex(record, parcel);
        }
        let flags = parcel.meta & Meta::FLAGS;
        self.enqueue_parcel(record, parcel);
        self.trim(record, queue_index(flags));
    }

    /// Drops the oldest messages that are more than the mailbox holds, if that is its policy.
    fn trim(&self, record: &Record, queue: usize) {
        if record.flags() & (Flags::BOUNDED | Flags::RUNNING) != Flags::BOUNDED {
            return;
        }
        let bound = self.table.bound(record.slot());
        if bound.policy() != OnFull::DropOldest {
            return;
        }
        while bound.used(queue) > u64::from(bound.limit()) {
            let Some(envelope) = self.pop_oldest(record, queue) else { return };
            bound.release(queue, 1);
            self.count(|cells| &cells.policy_dropped, 1);
            self.drop_queued(envelope, CallError::Dropped);
        }
    }

    /// Takes the oldest message of a queue out, those of the runtime apart.
    fn pop_oldest(&self, record: &Record, queue: usize) -> Option<EnvelopePtr> {
        if queue != MAIN_QUEUE {
            let envelope =
                self.with_extension(record, |extension| extension.queues[queue].pop_droppable())?;
            bump(&self.identity(record).other_taken, 1);
            return Some(envelope);
        }
        let envelope = record.pop_droppable()?;
        if record.depth() > 0 {
            record.oldest.store(record.head.get().meta() >> Meta::BITS, Relaxed);
        }
        Some(envelope)
    }

    /// Messages have left a queue of a bounded mailbox: their places are free, and those who wait for room are told.
    #[cold]
    #[inline(never)]
    pub(super) fn release_places(&self, record: &Record, queue: usize, count: u64) {
        self.table.bound(record.slot()).release(queue, count);
        if self.is_annex() {
            return self.report_room(record);
        }
        for _ in 0..count {
            if !self.offer_room(record, queue) {
                return;
            }
        }
    }

    /// Tells the first who waits for room in a queue; `false` if nobody does.
    pub(super) fn offer_room(&self, record: &Record, queue: usize) -> bool {
        let waiter = self.with_existing_extension(record, |extension| extension.room[queue].pop_front());
        let Some(waiter) = waiter else { return false };
        let offer = Room { local: record.id.load(Relaxed), queue, home: self.home(), is_taken: false };
        self.answer_own(waiter, offer);
        true
    }

    /// An offer of room found nobody: the next one gets it.
    fn pass_room_on(&self, local: u64, queue: usize) {
        if let Some(record) = self.live_record(local) {
            let bound = self.table.bound(local as u32);
            if bound.used(queue) < u64::from(bound.limit()) {
                self.offer_room(record, queue);
            }
        }
    }

    /// A message that had its place did not get away.
    #[cold]
    pub(crate) fn forget_place(&self, local: LocalId, flags: u64) {
        if let Some(port) = self.node.port(local.shard()) {
            port.cancel_place(local, flags);
        }
    }

    /// A message of another node for a process that needs a look.
    #[cold]
    #[inline(never)]
    pub(super) fn admit_parcel(&self, record: &Record, parcel: Parcel) {
        let (flags, reply) = (parcel.meta & Meta::FLAGS, parcel.reply);
        match self.admit_here(record, LocalId(parcel.target), flags) {
            Admission::Enter => self.arrive_special(record, parcel),
            Admission::Drop => self.drop_newest(parcel, flags, reply),
            Admission::Refuse(reason) => {
                self.count(|cells| &cells.mailbox_refused, 1);
                self.contain(|| drop(parcel));
                if flags & Meta::CALL != 0 {
                    self.refuse(reply, CallError::Send(reason));
                }
            }
        }
    }

    /// Puts an important message of another node into a mailbox of this shard. What the target's policy drops counts as taken,
    /// as it does for senders of this node.
    pub(crate) fn put_important(
        &self,
        to: u64,
        from: u64,
        meta: u64,
        key: u64,
        message: Erased,
    ) -> Result<(), SendReason> {
        let record = self.table.record(to as u32);
        let flags = meta & Meta::FLAGS;
        let admission = if self.port.is_over_budget() {
            self.port.count_over_budget();
            Admission::Refuse(SendReason::Overloaded)
        } else if record.id.load(Relaxed) == to {
            self.admit_here(record, LocalId(to), flags)
        } else {
            Admission::Refuse(SendReason::NoProcess)
        };
        match admission {
            Admission::Enter => {
                let (vtable, payload) = message.into_parts();
                let meta = self.stamp.get() | meta;
                self.arrive_special(record, Parcel { target: to, vtable, from, meta, payload, reply: key });
                Ok(())
            }
            Admission::Drop => {
                self.drop_newest(message, flags, 0);
                Ok(())
            }
            Admission::Refuse(reason) => {
                if reason == SendReason::MailboxFull {
                    self.count(|cells| &cells.mailbox_refused, 1);
                }
                self.contain(|| drop(message));
                Err(reason)
            }
        }
    }

    /// Waits until the queue that these flags name may have room at a process of this node, `timeout` ticks at most.
    pub(crate) fn wait_for_room(&self, to: Pid, flags: u64, timeout: u64) -> Call<'_, Room> {
        let waiter = self.own_wait(timeout);
        if waiter != 0 {
            if to.node.0 == self.key {
                let (local, queue) = (to.local, queue_index(flags));
                self.tell(local.shard(), move |shard| shard.want_room(local, queue, waiter));
            } else {
                self.refuse(waiter, CallError::Send(SendReason::MailboxFull));
            }
        }
        Call::new(self, waiter)
    }

    /// Whether somebody waits by this reference, as far as this shard knows.
    fn may_wait(&self, reference: u64) -> bool {
        LocalId(reference).shard() != self.index
            || self.waiters.find(reference).is_some_and(|waiter| waiter.state.get() == State::Waiting)
    }

    fn want_room(&self, local: LocalId, queue: usize, waiter: u64) {
        let Some(record) = self.live_record(local.0) else {
            return self.refuse(waiter, CallError::Send(SendReason::NoProcess));
        };
        let bound = self.table.bound(local.slot());
        let has_bound = record.flags() & Flags::BOUNDED != 0;
        if !has_bound || bound.used(queue) < u64::from(bound.limit()) {
            let offer = Room { local: local.0, queue, home: self.home(), is_taken: false };
            return self.answer_own(waiter, offer);
        }
        let is_full = self.with_extension(record, |extension| {
            let room = &mut extension.room[queue];
            // Who has given up stays until it is offered room: those of this shard are forgotten now and then.
            if room.len() >= STALE_ROOM_WAITS && room.len().is_power_of_two() {
                room.retain(|&waiter| self.may_wait(waiter));
            }
            // LIMIT: waits for room of one queue.
            let is_full = room.len() >= MAX_ROOM_WAITS;
            if !is_full {
                room.push_back(waiter);
            }
            is_full
        });
        if is_full {
            self.refuse(waiter, CallError::Send(SendReason::Overloaded));
        } else if record.flags() & Flags::DEDICATED != 0 {
            self.await_room(record);
        }
    }
}
