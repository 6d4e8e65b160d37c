//! The bound of a bounded mailbox: how many places each queue has, and who may take one.
//!
//! Invariants: M1 a place is reserved before its message is queued and given back when the message leaves the queue, so
//! `used` never passes the limit except by places that are taken by force. M2 a word carries its process's generation, so a
//! sender that looks at a reused slot takes nothing. M3 only the owning shard opens and closes a bound; anybody reserves.
//! Cost: one compare-and-swap per message of a bounded process; an unbounded one has none of this.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The queues of a mailbox, as indices.
pub(crate) const QUEUES: usize = 4;
/// Index of Main; Urgent, System and Log are 0, 1 and 2, as in the extension.
pub(crate) const MAIN: usize = 3;

const COUNT: u64 = u32::MAX as u64;

/// What happens to a message that finds its queue full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFull {
    /// The sender gets the message back with `MailboxFull`. A sender that wants to wait for room uses `send_wait`.
    #[default]
    Reject,
    /// The new message is dropped and counted; the sender is told `Ok`. A call is answered with `Dropped`.
    DropNewest,
    /// The oldest message of the queue is dropped and counted. A call among them is answered with `Dropped`.
    DropOldest,
}

/// Why a place was not given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoPlace {
    /// All places are taken.
    Full,
    /// The process has gone.
    Gone,
}

/// The bound of one process; all-zero bytes are a valid, closed one.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Bound {
    /// Per queue: `generation:32 | used:32`.
    used: [AtomicU64; QUEUES],
    limit: AtomicU32,
    policy: AtomicU32,
    /// Symbols: 0 means that there is none.
    fallback: AtomicU32,
    tag: AtomicU32,
}

#[cfg(not(feature = "loom"))]
const _: () = assert!(size_of::<Bound>() == 64);

impl Bound {
    /// Opens the bound for a new process.
    pub(crate) fn open(&self, generation: u32, limit: u32, policy: OnFull, fallback: u32, tag: u32) {
        self.limit.store(limit, Ordering::Relaxed);
        self.policy.store(policy as u32, Ordering::Relaxed);
        self.fallback.store(fallback, Ordering::Relaxed);
        self.tag.store(tag, Ordering::Relaxed);
        for word in &self.used {
            // ORDERING: pairs with the Acquire in `take`: who reserves with this generation sees this limit. A swap stands
            // in one line with the reservations of senders that come too late; loom does not know that of a store.
            word.swap(u64::from(generation) << 32, Ordering::Release);
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn reserve(&self, queue: usize, generation: u32) -> Result<(), NoPlace> {
        self.take(queue, generation, false)
    }

    /// Takes a place even if there is none: for what must not be refused.
    pub(crate) fn force(&self, queue: usize, generation: u32) -> Result<(), NoPlace> {
        self.take(queue, generation, true)
    }

    fn take(&self, queue: usize, generation: u32, force: bool) -> Result<(), NoPlace> {
        let Some(used) = self.used.get(queue) else { return Err(NoPlace::Gone) };
        // ORDERING: pairs with the Release in `open`.
        let mut word = used.load(Ordering::Acquire);
        loop {
            if (word >> 32) as u32 != generation {
                return Err(NoPlace::Gone);
            }
            let count = word & COUNT;
            if count == COUNT || !force && count >= u64::from(self.limit.load(Ordering::Relaxed)) {
                return Err(NoPlace::Full);
            }
            match used.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Gives one place back that was reserved for a message that was then not sent. From any thread.
    pub(crate) fn cancel(&self, queue: usize, generation: u32) {
        let Some(used) = self.used.get(queue) else { return };
        let is_mine = |word: u64| (word >> 32) as u32 == generation && word & COUNT > 0;
        let _gone = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            is_mine(word).then_some(word.wrapping_sub(1))
        });
    }

    /// Gives places back of messages that left the queue. Called by the owning shard only.
    pub(crate) fn release(&self, queue: usize, count: u64) {
        if let Some(used) = self.used.get(queue) {
            used.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Places taken in a queue.
    pub(crate) fn used(&self, queue: usize) -> u64 {
        self.used.get(queue).map_or(0, |used| used.load(Ordering::Relaxed) & COUNT)
    }

    /// Places of each queue.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// What happens to a message that finds its queue full.
    pub(crate) fn policy(&self) -> OnFull {
        match self.policy.load(Ordering::Relaxed) {
            1 => OnFull::DropNewest,
            2 => OnFull::DropOldest,
            _ => OnFull::Reject,
        }
    }

    /// Symbols of the fallback's name and tag; 0 means that there is none.
    pub(crate) fn fallback(&self) -> (u32, u32) {
        (self.fallback.load(Ordering::Relaxed), self.tag.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, MAIN, OnFull};
    use crate::sync::{AtomicU32, AtomicU64};

    fn closed() -> Bound {
        Bound {
            used: std::array::from_fn(|_| AtomicU64::new(0)),
            limit: AtomicU32::new(0),
            policy: AtomicU32::new(0),
            fallback: AtomicU32::new(0),
            tag: AtomicU32::new(0),
        }
    }

    #[cfg(not(feature = "loom"))]
    #[test]
    fn a_queue_has_its_own_places_and_a_stale_sender_none() {
        use super::NoPlace;
        let bound = closed();
        bound.open(7, 2, OnFull::DropOldest, 0, 0);
        assert_eq!(bound.reserve(MAIN, 7), Ok(()));
        assert_eq!(bound.reserve(MAIN, 7), Ok(()));
        assert_eq!(bound.reserve(MAIN, 7), Err(NoPlace::Full));
        assert_eq!(bound.reserve(0, 7), Ok(()));
        assert_eq!(bound.reserve(0, 6), Err(NoPlace::Gone));
        assert_eq!(bound.force(MAIN, 7), Ok(()));
        assert_eq!((bound.used(MAIN), bound.used(0)), (3, 1));
        bound.release(MAIN, 2);
        assert_eq!(bound.reserve(MAIN, 7), Ok(()));
        assert_eq!(bound.policy(), OnFull::DropOldest);
        bound.open(8, 1, OnFull::Reject, 0, 0);
        assert_eq!(bound.force(MAIN, 7), Err(NoPlace::Gone));
        assert_eq!((bound.reserve(MAIN, 8), bound.used(MAIN)), (Ok(()), 1));
    }

    /// Two senders and the owner, who gives back and closes: never more places than the limit, none for the dead.
    #[cfg(feature = "loom")]
    #[test]
    fn loom_bound_never_gives_more_places_than_it_has() {
        use crate::sync::Ordering;
        crate::sync::model(|| {
            let bound = loom::sync::Arc::new(closed());
            bound.open(1, 1, OnFull::Reject, 0, 0);
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let bound = bound.clone();
                    loom::thread::spawn(move || bound.reserve(MAIN, 1).is_ok())
                })
                .collect();
            let given = senders.into_iter().map(|sender| sender.join().unwrap()).filter(|&ok| ok).count();
            assert_eq!((given, bound.used(MAIN)), (1, 1));
            let bound_2 = bound.clone();
            let late = loom::thread::spawn(move || bound_2.reserve(MAIN, 1));
            bound.release(MAIN, 1);
            bound.open(2, 1, OnFull::Reject, 0, 0);
            let _either = late.join().unwrap();
            assert_eq!((bound.used[MAIN].load(Ordering::Relaxed) >> 32, bound.used(MAIN)), (2, 0));
        });
    }

    /// A sender that takes a place and does not get its message away, against an owner that ends the process and gives the
    /// slot to another one: nobody takes or gives back a place of the successor.
    #[cfg(feature = "loom")]
    #[test]
    fn loom_bound_a_late_cancel_touches_no_successor() {
        crate::sync::model(|| {
            let bound = loom::sync::Arc::new(closed());
            bound.open(1, 2, OnFull::Reject, 0, 0);
            let senders: Vec<_> = [false, true]
                .into_iter()
                .map(|force| {
                    let bound = bound.clone();
                    loom::thread::spawn(move || {
                        let place = if force { bound.force(0, 1) } else { bound.reserve(0, 1) };
                        if place.is_ok() {
                            bound.cancel(0, 1);
                        }
                    })
                })
                .collect();
            bound.open(2, 2, OnFull::Reject, 0, 0);
            assert_eq!(bound.reserve(0, 2), Ok(()));
            for sender in senders {
                sender.join().unwrap();
            }
            assert_eq!(bound.used(0), 1);
        });
    }
}
