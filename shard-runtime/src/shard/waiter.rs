//! Who waits for what on this shard: replies of calls, timers, delayed sends, callers outside any shard.
//!
//! Owns: a table of waiters with generations. A reference to one is `shard:12 | generation:32 | index:20` and travels in
//! envelopes, parcels and frames; bit 63 is clear, since it marks callers on other nodes.
//! Invariants: W1 a waiter is WAITING, DONE (its payload holds a reply), FAILED (its code holds an error) or FREE, and only
//! an answer, a refusal or its timer moves it on. W2 freeing bumps the generation, so a late answer is recognised.
//! W3 only the owning shard touches its waiters. W4 the payload of a DONE waiter has the type its `Call` expects, because
//! the reference was made by a call with that message type and travels with it.
//! Cost of a call: one table entry and one timer; no allocation while warm.
#![expect(unsafe_code, reason = "erased replies; proven by replies_are_dropped_exactly_once")]

use crate::error::CallError;
use crate::reactor::memory::Mapping;
use crate::shard::Shard;
use crate::shard::timers::Interval;
use crate::wheel::TimerKey;
use shard_wire::{Payload, WireOps};
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::task::Waker;

/// Most waiters of one shard: 64 MiB of address space, committed as used.
const MAX_WAITERS: u32 = 1 << 20;
const INDEX_BITS: u32 = 20;
const INDEX_MASK: u32 = MAX_WAITERS - 1;
const _: () = assert!(MAX_WAITERS == 1 << INDEX_BITS);
const BYTES: usize = MAX_WAITERS as usize * size_of::<Waiter>();
/// No waiter.
const NOBODY: u32 = u32::MAX;

/// What became of a wait, for a callback.
pub(crate) enum Outcome {
    /// A reply; its payload is of the type the caller expects.
    Reply(Payload),
    /// No reply.
    Failed(CallError),
    /// The time has come (timers only).
    Due,
}

/// A function that gets the outcome, on the shard.
pub(crate) type Callback = Box<dyn FnOnce(&Shard, Outcome)>;

/// Who is told, apart from a process of this shard.
pub(crate) enum Sink {
    /// A function that runs on the shard.
    Callback(Callback),
    /// The waker of a combinator inside a handler.
    Waker(Waker),
    /// A repeated send.
    Interval(Box<Interval>),
}

/// States of a waiter (W1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// Zero, as the memory of a waiter that was never used.
    Free = 0,
    Waiting,
    Done,
    Failed,
}

/// What ends a wait in time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm {
    None,
    /// A timer of the wheel.
    Wheel(TimerKey),
    /// A place in the list of waits that all take the default time: between these two, by index.
    Listed {
        before: u32,
        after: u32,
    },
}

#[repr(align(64))]
pub(crate) struct Waiter {
    pub(crate) generation: Cell<u32>,
    pub(crate) owner: Cell<u32>,
    /// Next free waiter while FREE, number of the error while FAILED.
    pub(crate) code: Cell<u32>,
    /// When it fails, or is due, in units of 2^20 ticks, cut to 32 bits: compare by wrapping difference.
    pub(crate) due: Cell<u32>,
    pub(crate) payload: UnsafeCell<Payload>,
    pub(crate) alarm: Cell<Alarm>,
    pub(crate) state: Cell<State>,
    /// A sleep or a delayed send: its timer completes it instead of failing it.
    pub(crate) is_timer: Cell<bool>,
    /// A wait of the runtime's own, for room or for a spawn: no call of the user's, so none that fails or is answered late.
    pub(crate) is_own: Cell<bool>,
    /// The reply comes from another node: while it waits, the payload holds a [`RemoteWait`].
    is_remote: Cell<bool>,
    pub(crate) extra: Cell<*mut Extra>,
}

const _: () = assert!(size_of::<Waiter>() == 64);

/// What few waiters have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) sink: Option<Sink>,
}

/// A wait for a reply from another node.
#[derive(Clone, Copy)]
pub(crate) struct RemoteWait {
    pub(crate) ops: &'static WireOps,
    /// Incarnation key of the node that owes the reply.
    pub(crate) peer: u64,
}

/// A shard's waiters.
pub(crate) struct Waiters {
    base: NonNull<Waiter>,
    /// What `base` points into.
    _memory: Mapping,
    high: Cell<u32>,
    free: Cell<u32>,
    used: Cell<u32>,
    /// First and last of the waits that take the default time: they end in the order of their beginning, so none of them
    /// needs a timer of its own.
    first: Cell<u32>,
    last: Cell<u32>,
    listed: Cell<u32>,
    shard: u64,
    /// Generation of a waiter that was never used.
    born: u32,
}

impl Waiters {
    pub(crate) fn new(shard: u16) -> std::io::Result<Self> {
        Self::in_memory(Mapping::reserve(BYTES)?, shard, 1)
    }

    /// Waiters of a shard that took its index over from another one: none has a generation below `born`, so references to
    /// waiters of the former shard stay stale.
    pub(crate) fn following(shard: u16, born: u32) -> std::io::Result<Self> {
        Self::in_memory(Mapping::reserve_small(BYTES)?, shard, born.max(1))
    }

    fn in_memory(memory: Mapping, shard: u16, born: u32) -> std::io::Result<Self> {
        let base = NonNull::new(memory.address().cast()).ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            base,
            _memory: memory,
            high: Cell::new(0),
            free: Cell::new(u32::MAX),
            used: Cell::new(0),
            first: Cell::new(NOBODY),
            last: Cell::new(NOBODY),
            listed: Cell::new(0),
            shard: u64::from(shard) << 52,
            born,
        })
    }

    /// A generation above that of every reference ever given out; `None` if there is none left.
    pub(crate) fn next_first(&self) -> Option<u32> {
        let highest = (0..self.high.get()).map(|index| self.at(index).generation.get()).max();
        highest.map_or(Some(self.born), |highest| highest.checked_add(1))
    }

    /// Waiters in use.
    pub(crate) fn used(&self) -> u32 {
        self.used.get()
    }

    #[inline(always)]
    fn address(&self, index: u32) -> NonNull<Waiter> {
        // SAFETY: masked, so inside the mapping, which lives as long as `self`.
        unsafe { self.base.add((index & INDEX_MASK) as usize) }
    }

    #[inline(always)]
    fn at(&self, index: u32) -> &Waiter {
        debug_assert!(index < self.high.get(), "a waiter that was never made");
        // SAFETY: inside the mapping; every index below `high` was initialised by `fresh`, and references come from it.
        unsafe { self.address(index).as_ref() }
    }

    /// The waiter, if the reference is still good.
    #[inline(always)]
    pub(crate) fn find(&self, reference: u64) -> Option<&Waiter> {
        let address = self.address(reference as u32);
        let place = address.as_ptr();
        // SAFETY: inside the mapping, which is zero where no waiter was made, and zero is a valid generation.
        let generation = unsafe { (*place).generation.get() };
        // SAFETY: as above; zero is `Free`.
        let state = unsafe { (*place).state.get() };
        // Shard and generation in one compare: a reference of another shard names nothing here.
        let expected = self.shard >> INDEX_BITS | u64::from(generation);
        if reference >> INDEX_BITS != expected || state == State::Free {
            return None;
        }
        // SAFETY: not free, so `fresh` made it.
        Some(unsafe { address.as_ref() })
    }

    /// A waiter for the process in `owner`; `None` when all are used.
    #[inline(always)]
    pub(crate) fn take(&self, owner: u32) -> Option<(u64, &Waiter)> {
        let mut index = self.free.get();
        if index == u32::MAX {
            index = self.fresh()?;
        } else {
            self.free.set(self.at(index).code.get());
        }
        let waiter = self.at(index);
        waiter.state.set(State::Waiting);
        waiter.owner.set(owner);
        self.used.set(self.used.get() + 1);
        let reference = self.shard | u64::from(waiter.generation.get()) << INDEX_BITS | u64::from(index);
        Some((reference, waiter))
    }

    #[cold]
    #[inline(never)]
    fn fresh(&self) -> Option<u32> {
        let index = self.high.get();
        if index == MAX_WAITERS {
            return None;
        }
        let waiter = Waiter {
            generation: Cell::new(self.born),
            owner: Cell::new(0),
            code: Cell::new(0),
            due: Cell::new(0),
            payload: UnsafeCell::new(Payload::EMPTY),
            alarm: Cell::new(Alarm::None),
            state: Cell::new(State::Free),
            is_timer: Cell::new(false),
            is_own: Cell::new(false),
            is_remote: Cell::new(false),
            extra: Cell::new(std::ptr::null_mut()),
        };
        // SAFETY: inside the mapping, and not yet used by anybody.
        unsafe { self.address(index).write(waiter) };
        self.high.set(index + 1);
        Some(index)
    }

    /// Frees a waiter whose payload and timer are gone (W2).
    #[inline(always)]
    pub(crate) fn free(&self, reference: u64) {
        let index = reference as u32 & INDEX_MASK;
        let waiter = self.at(index);
        if !waiter.extra.get().is_null() {
            drop(waiter.take_extra());
        }
        waiter.state.set(State::Free);
        waiter.is_timer.set(false);
        waiter.is_own.set(false);
        waiter.is_remote.set(false);
        self.used.set(self.used.get() - 1);
        // A waiter whose generation would wrap is retired, so that no reference ever names two waits. Generations begin at 1:
        // with index 0 on shard 0 the reference would else be 0, which means "nobody waits".
        let Some(generation) = waiter.generation.get().checked_add(1) else { return };
        waiter.generation.set(generation);
        waiter.code.set(self.free.get());
        self.free.set(index);
    }

    /// Appends a wait to the list of those that take the default time.
    #[inline(always)]
    pub(crate) fn enlist(&self, waiter: &Waiter, reference: u64) {
        let index = reference as u32 & INDEX_MASK;
        let before = self.last.replace(index);
        waiter.alarm.set(Alarm::Listed { before, after: NOBODY });
        self.listed.set(self.listed.get() + 1);
        if before == NOBODY {
            self.first.set(index);
        } else {
            self.relink(before, |(before, _)| (before, index));
        }
    }

    /// Takes a wait out of that list.
    #[inline(always)]
    pub(crate) fn delist(&self, before: u32, after: u32) {
        self.listed.set(self.listed.get() - 1);
        if before == NOBODY {
            self.first.set(after);
        } else {
            self.relink(before, |(further, _)| (further, after));
        }
        if after == NOBODY {
            self.last.set(before);
        } else {
            self.relink(after, |(_, further)| (before, further));
        }
    }

    #[inline(always)]
    fn relink(&self, index: u32, change: impl FnOnce((u32, u32)) -> (u32, u32)) {
        let alarm = &self.at(index).alarm;
        if let Alarm::Listed { before, after } = alarm.get() {
            let (before, after) = change((before, after));
            alarm.set(Alarm::Listed { before, after });
        }
    }

    /// Waits in that list.
    pub(crate) fn listed(&self) -> u32 {
        self.listed.get()
    }

    /// The first wait of that list: its reference and when it is due, in units of 2^20 ticks, cut to 32 bits.
    #[inline]
    pub(crate) fn first_due(&self) -> Option<(u64, u32)> {
        let first = self.first.get();
        (first != NOBODY).then(|| (self.reference(first), self.at(first).due.get()))
    }

    /// Whether there is no waiter left.
    pub(crate) fn is_full(&self) -> bool {
        self.used.get() == MAX_WAITERS
    }

    /// References of the calls that the process in this slot waits for.
    pub(crate) fn calls_of(&self, owner: u32) -> Vec<u64> {
        (0..self.high.get())
            .filter_map(|index| {
                let waiter = self.at(index);
                let waits = waiter.owner.get() == owner
                    && waiter.state.get() == State::Waiting
                    && !waiter.is_timer.get()
                    && !waiter.has_callback();
                waits.then(|| self.reference(index))
            })
            .collect()
    }

    fn reference(&self, index: u32) -> u64 {
        self.shard | u64::from(self.at(index).generation.get()) << INDEX_BITS | u64::from(index)
    }

    /// References of all waiters that wait for a reply of this incarnation.
    pub(crate) fn waiting_for(&self, peer: u64) -> Vec<u64> {
        (0..self.high.get())
            .filter_map(|index| {
                let waiter = self.at(index);
                let waits = waiter.state.get() == State::Waiting
                    && waiter.remote().is_some_and(|wait| wait.peer == peer);
                waits.then(|| self.reference(index))
            })
            .collect()
    }
}

impl Waiter {
    /// Stores a reply.
    #[inline(always)]
    pub(crate) fn put<R>(&self, value: R) {
        // SAFETY: W3: one thread; W1: a waiting waiter's payload is empty.
        unsafe { Payload::write(self.payload.get(), value) };
        self.state.set(State::Done);
    }

    /// Stores an erased reply.
    pub(crate) fn put_erased(&self, payload: Payload) {
        // SAFETY: W3: one thread; W1: a waiting waiter's payload is empty.
        unsafe { self.payload.get().write(payload) };
        self.state.set(State::Done);
    }

    /// Notes that the reply comes from another node.
    pub(crate) fn set_remote(&self, wait: RemoteWait) {
        debug_assert!(self.state.get() == State::Waiting, "only a waiting waiter waits for a node");
        // SAFETY: W3: one thread; W1: a waiting waiter's payload is free, and `RemoteWait` is plain data.
        unsafe { Payload::write(self.payload.get(), wait) };
        self.is_remote.set(true);
    }

    /// Which node owes the reply, and how to decode it.
    pub(crate) fn remote(&self) -> Option<RemoteWait> {
        if !self.is_remote.get() || self.state.get() != State::Waiting {
            return None;
        }
        // SAFETY: written by `set_remote`; it is `Copy`, so reading it leaves it there.
        Some(unsafe { Payload::read::<RemoteWait>(self.payload.get()) })
    }

    /// Takes the reply out.
    #[inline(always)]
    pub(crate) fn get<R>(&self) -> R {
        debug_assert!(self.state.get() == State::Done, "a reply is taken from a waiter that has one");
        // SAFETY: W1 and W4: a DONE waiter holds a reply of the type its call expects.
        unsafe { Payload::read::<R>(self.payload.get()) }
    }

    /// Changes the extra part, which is made on first use.
    pub(crate) fn set_extra(&self, change: impl FnOnce(&mut Extra)) {
        if self.extra.get().is_null() {
            self.extra.set(Box::into_raw(Box::default()));
        }
        // SAFETY: W3: owned by this waiter; `change` cannot reach it another way.
        change(unsafe { &mut *self.extra.get() });
    }

    /// Whether a function, not a handler, waits.
    fn has_callback(&self) -> bool {
        let extra = self.extra.get();
        // SAFETY: W3: owned by this waiter, made from a box by `set_extra`.
        let extra = unsafe { extra.as_ref() };
        extra.is_some_and(|extra| matches!(extra.sink, Some(Sink::Callback(_) | Sink::Interval(_))))
    }

    pub(crate) fn take_extra(&self) -> Option<Box<Extra>> {
        let extra = self.extra.replace(std::ptr::null_mut());
        // SAFETY: made by `set_extra` from a box, taken once.
        (!extra.is_null()).then(|| unsafe { Box::from_raw(extra) })
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        for index in 0..self.high.get() {
            drop(self.at(index).take_extra());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{INDEX_BITS, State, Waiters};

    #[test]
    fn a_follower_on_the_same_index_knows_no_reference_of_its_predecessor() {
        let former = Waiters::following(1030, 0).unwrap();
        let mut given = Vec::new();
        for _ in 0..3 {
            let (reference, _) = former.take(7).unwrap();
            given.push(reference);
            former.free(reference);
        }
        given.extend([former.take(7).unwrap().0, former.take(7).unwrap().0]);
        let first = former.next_first().unwrap();
        let follower = Waiters::following(1030, first).unwrap();
        let fresh: Vec<u64> = (0..4).filter_map(|_| Some(follower.take(7)?.0)).collect();
        assert!(given.iter().all(|old| follower.find(*old).is_none()));
        assert!(fresh.iter().all(|new| follower.find(*new).is_some() && !given.contains(new)));
        let last = Waiters::following(1030, u32::MAX).unwrap();
        assert_eq!(last.next_first(), Some(u32::MAX));
        last.take(7).unwrap();
        assert_eq!(last.next_first(), None, "nobody may follow");
    }

    #[test]
    fn a_freed_reference_is_stale() {
        let waiters = Waiters::new(3).unwrap();
        let (first, _) = waiters.take(7).unwrap();
        assert_eq!(first >> 52, 3);
        assert_ne!(first, 0);
        waiters.find(first).unwrap().put(41u64);
        assert_eq!(waiters.find(first).unwrap().state.get(), State::Done);
        assert_eq!(waiters.find(first).unwrap().get::<u64>(), 41);
        waiters.free(first);
        assert!(waiters.find(first).is_none());
        let (second, _) = waiters.take(7).unwrap();
        assert_ne!(first, second);
        assert!(waiters.find(first).is_none());
        for never in [0, u64::MAX, 3 << 52, 3 << 52 | 77, 3 << 52 | 1 << INDEX_BITS | 77] {
            assert!(waiters.find(never).is_none(), "{never:#x} was never given out");
        }
        assert_eq!(waiters.used(), 1);
    }
}
