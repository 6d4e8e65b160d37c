//! The sending end of a ring with its spill: what a full ring cannot take waits here, in order.
//!
//! Owns: the sender, and the messages behind it. Invariants: O1 while the spill holds anything, new messages go behind
//! it, so order is kept. O2 a message is in the ring, in the spill, or back with the caller: never dropped here.
//! Threads: the source shard. Cost: nothing beyond the ring's while the spill is empty; a spilled message costs one
//! push and one pop of a `VecDeque`, which may allocate.

use std::collections::VecDeque;
use std::fmt;

use thiserror::Error;

use super::spsc::Sender;

/// Messages that may wait behind one full ring, unless configured otherwise: 1 Mi, at most 64 MiB.
pub const DEFAULT_SPILL_LIMIT: usize = 1 << 20;

/// Spill slots kept for the next time once the spill has drained.
const KEPT_SLOTS: usize = 4096;

/// The ring to a shard is full and so is the spill behind it; the message comes back.
///
/// A retry makes sense once the target shard has caught up.
#[derive(Error)]
#[error(
    "the ring to the shard is full and {limit} messages wait behind it: slow the senders, or raise the spill limit"
)]
pub struct SpillFull<T> {
    /// The limit, in messages.
    pub limit: usize,
    message: T,
}

impl<T> SpillFull<T> {
    /// The message that was refused.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.message
    }
}

impl<T> fmt::Debug for SpillFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpillFull").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The lane to one peer shard, seen from the source shard.
pub struct Outbox<T: Send> {
    sender: Sender<T>,
    spill: VecDeque<T>,
    limit: usize,
    spilled_total: u64,
    refused_total: u64,
}

impl<T: Send> Outbox<T> {
    /// The sending end of a ring, with room for `limit` messages behind it.
    #[must_use]
    pub fn new(sender: Sender<T>, limit: usize) -> Self {
        Self { sender, spill: VecDeque::new(), limit, spilled_total: 0, refused_total: 0 }
    }

    /// Queues one message, unseen by the target until [`publish`](Self::publish).
    ///
    /// # Errors
    /// [`SpillFull`] with the message when ring and spill are full.
    #[inline]
    pub fn push(&mut self, message: T) -> Result<(), SpillFull<T>> {
        if self.spill.is_empty() {
            match self.sender.push(message) {
                Ok(()) => Ok(()),
                Err(message) => self.spill_behind(message),
            }
        } else {
            self.spill_behind(message)
        }
    }

    /// Queues one message that must not be refused: the limit does not hold for it. For signals, whose number is that of the
    /// relations and requests they answer.
    pub fn push_reserved(&mut self, message: T) {
        let message = if self.spill.is_empty() {
            match self.sender.push(message) {
                Ok(()) => return,
                Err(message) => message,
            }
        } else {
            message
        };
        self.spilled_total += 1;
        self.spill.push_back(message);
    }

    /// Queues one message made in its slot. `false`: the ring is full or messages wait behind it, and `make` was not
    /// called; then [`push`](Self::push) is to be used.
    #[inline]
    pub fn push_with(&mut self, make: impl FnOnce() -> T) -> bool {
        self.spill.is_empty() && self.sender.push_with(make)
    }

    #[cold]
    fn spill_behind(&mut self, message: T) -> Result<(), SpillFull<T>> {
        // LIMIT: messages waiting behind one ring.
        if self.spill.len() >= self.limit {
            self.refused_total += 1;
            return Err(SpillFull { limit: self.limit, message });
        }
        self.spilled_total += 1;
        self.spill.push_back(message);
        Ok(())
    }

    /// Refills the ring from the spill and publishes; returns how many messages are new to the target.
    ///
    /// A non-zero return is the caller's cue to wake the target if it sleeps. Call it once per turn, also when nothing
    /// was pushed, for as long as [`backlog`](Self::backlog) is not 0.
    #[inline]
    pub fn publish(&mut self) -> usize {
        if !self.spill.is_empty() {
            self.refill();
        }
        self.sender.publish()
    }

    #[cold]
    fn refill(&mut self) {
        while !self.spill.is_empty() {
            let spill = &mut self.spill;
            let made = self.sender.push_with(|| match spill.pop_front() {
                Some(message) => message,
                None => unreachable!("the spill holds something"),
            });
            if !made {
                return;
            }
        }
        self.spill.shrink_to(KEPT_SLOTS);
    }

    /// Whether nothing waits behind the ring and half of it is free: time to let senders go on that spilled.
    #[must_use]
    pub fn is_roomy(&self) -> bool {
        self.spill.is_empty() && self.sender.len() <= self.sender.capacity() / 2
    }

    /// Messages that wait in the spill now.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.spill.len()
    }

    /// Memory held by the spill, in bytes, without what its messages point to.
    #[must_use]
    pub fn spill_bytes(&self) -> usize {
        self.spill.capacity() * size_of::<T>()
    }

    /// Messages that ever went through the spill.
    #[must_use]
    pub fn spilled_total(&self) -> u64 {
        self.spilled_total
    }

    /// Messages that ever came back because ring and spill were full.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused_total
    }

    /// Messages not yet taken by the target: in the ring or behind it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sender.len() + self.spill.len()
    }

    /// Whether the target has taken everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the target has dropped its end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Messages that will never be taken once the target is gone, in order; the ring's own are dropped with it.
    pub fn take_backlog(&mut self) -> impl Iterator<Item = T> + '_ {
        self.spill.drain(..)
    }
}

impl<T: Send> fmt::Debug for Outbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("sender", &self.sender)
            .field("backlog", &self.spill.len())
            .field("spilled_total", &self.spilled_total)
            .field("refused_total", &self.refused_total)
            .finish()
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::Outbox;
    use crate::ring::spsc::channel;

    proptest! {
        #[test]
        fn order_survives_the_spill_and_nothing_is_lost(
            limit in 0usize..20,
            steps in prop::collection::vec((0u8..4, 0usize..9), 1..300),
        ) {
            let (tx, mut rx) = channel::<Box<u32>>(4);
            let mut outbox = Outbox::new(tx, limit);
            // Accepted and not yet taken; the first `visible` of them are published.
            let (mut oracle, mut visible): (VecDeque<u32>, usize) = (VecDeque::new(), 0);
            let (mut next, mut refused) = (0, 0);
            for (kind, count) in steps {
                match kind {
                    0 | 1 => for _ in 0..count {
                        match outbox.push(Box::new(next)) {
                            Ok(()) => oracle.push_back(next),
                            Err(full) => {
                                prop_assert_eq!((outbox.backlog(), full.limit), (limit, limit));
                                prop_assert_eq!(*full.into_inner(), next);
                                refused += 1;
                            }
                        }
                        next += 1;
                    },
                    2 => visible += outbox.publish(),
                    _ => {
                        let mut got = VecDeque::new();
                        rx.drain(count, |item| got.push_back(*item));
                        let expected: VecDeque<u32> = oracle.drain(..count.min(visible)).collect();
                        visible -= expected.len();
                        prop_assert_eq!(got, expected);
                    }
                }
                prop_assert_eq!((outbox.len(), rx.len()), (oracle.len(), visible));
                prop_assert_eq!(outbox.refused_total(), refused);
            }
            while !oracle.is_empty() {
                outbox.publish();
                rx.drain(usize::MAX, |item| assert_eq!(Some(*item), oracle.pop_front()));
            }
            prop_assert_eq!((outbox.is_empty(), rx.is_empty()), (true, true));
        }
    }

    #[test]
    fn a_drained_spill_gives_its_memory_back() {
        let (tx, mut rx) = channel::<[u64; 8]>(2);
        let mut outbox = Outbox::new(tx, 100_000);
        for value in 0..50_000 {
            outbox.push([value; 8]).unwrap();
        }
        assert!(outbox.spill_bytes() >= 49_998 * 64);
        let mut taken = 0;
        while !outbox.is_empty() {
            outbox.publish();
            taken += rx.drain(usize::MAX, drop);
        }
        outbox.publish();
        assert_eq!((taken, outbox.spilled_total()), (50_000, 49_998));
        assert!(outbox.spill_bytes() <= 2 * super::KEPT_SLOTS * 64, "{}", outbox.spill_bytes());
    }

    #[test]
    fn what_a_gone_target_never_takes_comes_back() {
        let (tx, rx) = channel::<u32>(2);
        let mut outbox = Outbox::new(tx, 8);
        for value in 0..5 {
            outbox.push(value).unwrap();
        }
        drop(rx);
        assert!(outbox.is_closed());
        assert_eq!(outbox.take_backlog().collect::<Vec<_>>(), [2, 3, 4]);
    }
}
