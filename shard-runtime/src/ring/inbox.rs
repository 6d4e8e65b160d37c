//! The inbox of one shard for senders outside any shard: other threads, foreign wakers, the control thread.
//!
//! Owns: the queue, its bound and the shard's sleep flag. Invariants: I1 `len` counts every message between acceptance
//! and the end of the batch that took it, and never passes the limit. I2 what was accepted before `close` is taken by
//! the shard: `is_finished` is true only after the last of it.
//! Threads: `push` from anywhere; `drain`, `close` and `is_finished` by the owning shard. Who ends a process whose thread is
//! stuck drains too: the queue takes several consumers.
//! Cost: a push is two contended read-modify-writes and, per 31 messages, one allocation by the queue; a drain is one
//! read-modify-write per message and one per batch. A sender that loses its core inside a push holds up the drain until
//! it runs again. Peer shards use their rings: this lane is 4 to 20 times slower.

use std::fmt;

use thiserror::Error;

use super::sleep::Sleep;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, SegQueue};

/// Messages that may wait in one inbox, unless configured otherwise: 1 Mi.
pub const DEFAULT_INBOX_LIMIT: usize = 1 << 20;

/// Set in `len` once the shard takes no more; the other bits count.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Why an inbox refused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InboxRefusal {
    /// Too many messages wait; a retry makes sense once the shard has caught up.
    #[error(
        "the inbox of the shard is full with {limit} messages: slow the senders outside, or raise the inbox limit"
    )]
    Full {
        /// The limit, in messages.
        limit: usize,
    },
    /// The shard has stopped; a retry is pointless.
    #[error(
        "the shard has stopped and takes no more messages: send to another node, or start the node again"
    )]
    Closed,
}

/// A message that an inbox did not take, and why.
#[derive(Error)]
#[error("{reason}")]
pub struct InboxError<T> {
    /// Why.
    pub reason: InboxRefusal,
    message: T,
}

impl<T> InboxError<T> {
    /// The message that was refused.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.message
    }
}

impl<T> fmt::Debug for InboxError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// One shard's lane for everybody outside, and its sleep flag.
pub struct Inbox<T> {
    sleep: Sleep,
    queue: SegQueue<T>,
    len: AtomicUsize,
    limit: usize,
    refused_total: AtomicU64,
}

impl<T: Send> Inbox<T> {
    /// An open inbox for at most `limit` messages.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            sleep: Sleep::new(),
            queue: SegQueue::new(),
            len: AtomicUsize::new(0),
            limit: limit.min(CLOSED - 1),
            refused_total: AtomicU64::new(0),
        }
    }

    /// Queues one message, and runs `wake` if the shard sleeps and nobody else has woken it.
    ///
    /// # Errors
    /// [`InboxError`] with the message when the inbox is full or closed.
    pub fn push(&self, message: T, wake: impl FnOnce()) -> Result<(), InboxError<T>> {
        // LIMIT: a compare-and-swap, so that a refused sender never costs another one its place. Relaxed is enough: the
        // count guards no memory, the queue hands over the message.
        let reserved = self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |len| {
            // The closed bit is above any limit.
            (len < self.limit).then_some(len + 1)
        });
        match reserved {
            Ok(_) => {
                self.queue.push(message);
                self.sleep.wake(wake);
                Ok(())
            }
            Err(len) => {
                self.refused_total.fetch_add(1, Ordering::Relaxed);
                let closed = len & CLOSED != 0;
                let reason =
                    if closed { InboxRefusal::Closed } else { InboxRefusal::Full { limit: self.limit } };
                Err(InboxError { reason, message })
            }
        }
    }

    /// Queues one message that must not be refused while the shard lives: the limit does not hold for it. For kills, wakers
    /// and answers, whose number is that of the processes and requests they are for.
    ///
    /// # Errors
    /// [`InboxError`] with the message when the inbox is closed.
    pub fn push_reserved(&self, message: T, wake: impl FnOnce()) -> Result<(), InboxError<T>> {
        let reserved = self
            .len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |len| (len & CLOSED == 0).then_some(len + 1));
        if reserved.is_err() {
            self.refused_total.fetch_add(1, Ordering::Relaxed);
            return Err(InboxError { reason: InboxRefusal::Closed, message });
        }
        self.queue.push(message);
        self.sleep.wake(wake);
        Ok(())
    }

    /// Takes up to `max` messages, oldest first, and returns how many.
    ///
    /// Room for new ones is made once, at the end. If `each` panics, the message it had was its own.
    pub fn drain(&self, max: usize, mut each: impl FnMut(T)) -> usize {
        let mut taken = Taken { len: &self.len, count: 0 };
        while taken.count < max {
            let Some(message) = self.queue.pop() else { break };
            taken.count += 1;
            each(message);
        }
        taken.count
    }

    /// Refuses all messages from now on; those accepted before still have to be drained.
    pub fn close(&self) {
        self.len.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Opens a closed inbox again for the next shard that uses it. `false`: it is not closed, or not finished.
    pub fn reopen(&self) -> bool {
        self.len.compare_exchange(CLOSED, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether messages are refused because the shard has stopped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.len.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Whether the inbox is closed and everything it had accepted was taken.
    ///
    /// A sender may be between its acceptance and its push: drain again until this is true.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.len.load(Ordering::Relaxed) == CLOSED
    }

    /// Whether no message waits: part of the re-check before the shard parks.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages accepted and not yet handed back; approximate while others push.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed) & !CLOSED
    }

    /// Messages that may wait at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Messages ever refused.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused_total.load(Ordering::Relaxed)
    }

    /// The shard's sleep flag, which the senders of its rings use too.
    #[must_use]
    #[inline]
    pub fn sleep(&self) -> &Sleep {
        &self.sleep
    }
}

/// Makes room for what a drain has taken, also when it panics.
struct Taken<'a> {
    len: &'a AtomicUsize,
    count: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.count != 0 {
            self.len.fetch_sub(self.count, Ordering::Relaxed);
        }
    }
}

impl<T: Send> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("len", &self.len()).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(feature = "loom")))]
#[path = "inbox_tests.rs"]
mod tests;

#[cfg(all(test, feature = "loom"))]
mod loom_tests {
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::{Inbox, InboxRefusal};

    #[test]
    fn loom_inbox_wakes_for_both_producers() {
        crate::sync::model(|| {
            let inbox = Arc::new(Inbox::<usize>::new(4));
            let parker = Arc::new(Notify::new());
            let producers: Vec<_> = (0..2)
                .map(|id| {
                    let (inbox, parker) = (Arc::clone(&inbox), Arc::clone(&parker));
                    thread::spawn(move || inbox.push(id, || parker.notify()).unwrap())
                })
                .collect();
            let (mut taken, mut sum) = (0, 0);
            while taken < 2 {
                let fresh = inbox.drain(8, |id| sum += id);
                taken += fresh;
                if fresh == 0 && inbox.sleep().prepare_park(|| !inbox.is_empty()) {
                    parker.wait();
                    inbox.sleep().cancel_park();
                }
            }
            for producer in producers {
                producer.join().unwrap();
            }
            assert_eq!((taken, sum, inbox.len()), (2, 1, 0));
        });
    }

    #[test]
    fn loom_inbox_close_loses_nothing_it_accepted() {
        crate::sync::model(|| {
            let inbox = Arc::new(Inbox::<usize>::new(4));
            let producers: Vec<_> = (0..2)
                .map(|id| {
                    let inbox = Arc::clone(&inbox);
                    // One of each kind: a full inbox takes what is reserved, a closed one does not.
                    let push = move |inbox: &Inbox<usize>| match id {
                        0 => inbox.push(id, || ()),
                        _ => inbox.push_reserved(id, || ()),
                    };
                    thread::spawn(move || match push(&inbox) {
                        Ok(()) => 1,
                        Err(error) => {
                            assert_eq!(error.reason, InboxRefusal::Closed);
                            assert_eq!(error.into_inner(), id);
                            0
                        }
                    })
                })
                .collect();
            inbox.close();
            let mut taken = 0;
            while !inbox.is_finished() {
                taken += inbox.drain(8, |_| ());
                thread::yield_now();
            }
            let accepted: usize = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
            assert_eq!(accepted, taken);
        });
    }

    /// The one place is taken by whoever comes first; what is reserved comes in all the same, and wakes the shard.
    #[test]
    fn loom_inbox_takes_what_is_reserved_beyond_its_limit() {
        crate::sync::model(|| {
            let inbox = Arc::new(Inbox::<usize>::new(1));
            let parker = Arc::new(Notify::new());
            let spawn = |push: fn(&Inbox<usize>, &Notify) -> usize| {
                let (inbox, parker) = (Arc::clone(&inbox), Arc::clone(&parker));
                thread::spawn(move || push(&inbox, &parker))
            };
            let ordinary =
                spawn(|inbox, parker| usize::from(inbox.push(10, || parker.notify()).is_ok()) * 10);
            let reserved = spawn(|inbox, parker| {
                inbox.push_reserved(1, || parker.notify()).unwrap();
                1
            });
            let (mut sum, mut is_there) = (0, false);
            while !is_there {
                let fresh = inbox.drain(8, |id| {
                    sum += id;
                    is_there |= id == 1;
                });
                if fresh == 0 && inbox.sleep().prepare_park(|| !inbox.is_empty()) {
                    parker.wait();
                    inbox.sleep().cancel_park();
                }
            }
            let accepted = ordinary.join().unwrap() + reserved.join().unwrap();
            inbox.drain(8, |id| sum += id);
            assert_eq!((sum, inbox.len()), (accepted, 0));
        });
    }
}
