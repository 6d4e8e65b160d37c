//! A FIFO of envelopes with an exact count, for Urgent, System and Log. Main is inlined in the process record.
//!
//! Invariant: Q1 `count` envelopes are linked from `head`; with `count == 0` both ends are null.

use super::envelope::{EnvelopePtr, Meta};

/// Intrusive queue of envelopes.
pub(crate) struct Queue {
    head: EnvelopePtr,
    tail: EnvelopePtr,
    count: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self::NEW
    }
}

impl Queue {
    pub(crate) const NEW: Self = Self { head: EnvelopePtr::NULL, tail: EnvelopePtr::NULL, count: 0 };

    pub(crate) fn push(&mut self, envelope: EnvelopePtr) {
        if self.count == 0 {
            self.head = envelope;
        } else {
            self.tail.set_next(envelope);
        }
        self.tail = envelope;
        self.count += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<EnvelopePtr> {
        if self.count == 0 {
            return None;
        }
        let first = self.head;
        self.remove(1, first);
        Some(first)
    }

    /// Takes the first envelope out that does not come from the runtime.
    pub(crate) fn pop_droppable(&mut self) -> Option<EnvelopePtr> {
        let (mut before, mut at) = (EnvelopePtr::NULL, self.head);
        for _ in 0..self.count {
            if at.meta() & Meta::RUNTIME != 0 {
                (before, at) = (at, at.next());
                continue;
            }
            if before.is_null() {
                return self.pop();
            }
            if at == self.tail {
                self.tail = before;
            } else {
                before.set_next(at.next());
            }
            self.count -= 1;
            return Some(at);
        }
        None
    }

    /// Unlinks the first `count` envelopes, the last of which is `last`.
    pub(crate) fn remove(&mut self, count: u64, last: EnvelopePtr) {
        debug_assert!(count <= self.count, "more envelopes removed than queued");
        self.count -= count;
        if self.count == 0 {
            *self = Self::NEW;
        } else {
            self.head = last.next();
        }
    }

    pub(crate) fn head(&self) -> EnvelopePtr {
        self.head
    }

    pub(crate) fn len(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::mailbox::Pool;
    use std::collections::VecDeque;

    #[test]
    fn order_and_count_match_the_oracle() {
        let pool = Pool::new(8).unwrap();
        let mut queue = Queue::NEW;
        let mut oracle = VecDeque::new();
        let mut seed = 7u64;
        for step in 0..10_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if !seed.is_multiple_of(3) || oracle.is_empty() {
                let envelope = pool.take();
                envelope.set_reply(step);
                queue.push(envelope);
                oracle.push_back(step);
            } else {
                let envelope = queue.pop().unwrap();
                assert_eq!(Some(envelope.reply()), oracle.pop_front());
                pool.give(envelope);
            }
            assert_eq!(queue.len(), oracle.len() as u64);
        }
    }
}
