#![expect(
    unsafe_code,
    reason = "the reply cell is written and read by two threads; proven by loom_oneshot_*"
)]
//! A reply slot for a thread outside any shard: the shard sends one value or drops its end.
//!
//! Owns: the value between send and receipt. Invariants: Q1 the cell holds a value exactly while `VALUE` is set. Q2 the
//! sender touches the cell before it sets `VALUE`, and afterwards only if `GONE` was set before; the receiver touches it
//! only after it saw `VALUE`, and never after it set `GONE`. So at each moment one side may touch it.
//! Threads: `Sender` usually on a shard, `Receiver` on a thread that blocks or polls; both may move.
//! Cost: one allocation for the pair; a send is one read-modify-write plus a wake-up if somebody waits; a blocking wait
//! allocates its waker once. No lock.
//! Shutdown: dropping the sender closes; dropping the receiver gives a later value back to the sender.

use std::fmt;
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use thiserror::Error;

use crate::sync::{Arc, AtomicU8, AtomicWaker, Ordering, UnsafeCell};

/// The cell holds a value.
const VALUE: u8 = 1;
/// The sender has sent or was dropped.
const DONE: u8 = 2;
/// The receiver was dropped.
const GONE: u8 = 4;

/// Why no reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The other side went away without a reply; a retry is a new request.
    #[error(
        "the reply slot was dropped without a reply: the process or its shard has gone, ask again if it restarts"
    )]
    Closed,
    /// Nothing came in time; the reply may still come to a later receive.
    #[error("no reply in time: the process is busy or its shard is stuck, wait longer or look at the shard")]
    Timeout,
}

struct Slot<T> {
    state: AtomicU8,
    waker: AtomicWaker,
    cell: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: Q2 gives the cell one user at a time, handed over through `state`; the value only moves between threads.
unsafe impl<T: Send> Sync for Slot<T> {}
// SAFETY: the slot owns the value, which may be dropped on another thread because `T: Send`.
unsafe impl<T: Send> Send for Slot<T> {}

/// The end that replies; dropping it closes the slot.
pub struct Sender<T: Send> {
    slot: Arc<Slot<T>>,
}

/// The end that waits: blocking with [`recv_timeout`](Self::recv_timeout), or as a future.
///
/// As a future it is cancel safe: dropping it gives a later value back to the sender.
pub struct Receiver<T: Send> {
    slot: Arc<Slot<T>>,
}

/// An empty slot.
#[must_use]
pub fn channel<T: Send>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Slot {
        state: AtomicU8::new(0),
        waker: AtomicWaker::new(),
        cell: UnsafeCell::new(MaybeUninit::uninit()),
    });
    (Sender { slot: Arc::clone(&slot) }, Receiver { slot })
}

impl<T> Slot<T> {
    /// Moves the value out.
    ///
    /// # Safety
    /// The cell holds a value, the caller is the only one to touch it, and clears `VALUE` or never looks again.
    unsafe fn take(&self) -> T {
        self.cell.with_mut(|cell| {
            // SAFETY: the caller has the cell to itself and it holds a value.
            unsafe { cell.cast::<T>().read() }
        })
    }
}

impl<T: Send> Sender<T> {
    /// Sends the reply.
    ///
    /// # Errors
    /// The value comes back if nobody waits any more.
    pub fn send(self, value: T) -> Result<(), T> {
        self.slot.cell.with_mut(|cell| {
            // SAFETY: Q2: `VALUE` is not set yet, and only this sender, consumed here, can set it.
            unsafe { cell.write(MaybeUninit::new(value)) }
        });
        // ORDERING: Release pairs with the Acquire load in `try_recv`: the value comes before the mark. Acquire pairs
        // with the Release in the receiver's drop: it is done with the cell.
        let before = self.slot.state.fetch_or(VALUE | DONE, Ordering::AcqRel);
        if before & GONE != 0 {
            self.slot.state.fetch_and(!VALUE, Ordering::Relaxed);
            // SAFETY: Q2: the receiver had gone before the mark was set, so nobody else reads the value written above.
            return Err(unsafe { self.slot.take() });
        }
        self.slot.waker.wake();
        Ok(())
    }

    /// Whether the receiver has gone, so that a reply need not be made.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.slot.state.load(Ordering::Relaxed) & GONE != 0
    }
}

impl<T: Send> Drop for Sender<T> {
    fn drop(&mut self) {
        // After a send the mark is there already: nothing to tell.
        // ORDERING: Release for symmetry with `send`; the receiver reads no cell on the strength of `DONE` alone.
        if self.slot.state.fetch_or(DONE, Ordering::AcqRel) & DONE == 0 {
            self.slot.waker.wake();
        }
    }
}

impl<T: Send> Receiver<T> {
    /// What is there now: a value, the end, or nothing yet (`None`).
    fn try_recv(&mut self) -> Option<Result<T, RecvError>> {
        // ORDERING: pairs with the Release in `Sender::send`.
        let state = self.slot.state.load(Ordering::Acquire);
        if state & VALUE != 0 {
            self.slot.state.fetch_and(!VALUE, Ordering::Relaxed);
            // SAFETY: Q2: `VALUE` was seen and this is the only receiver, so the value is there and ours.
            return Some(Ok(unsafe { self.slot.take() }));
        }
        (state & DONE != 0).then_some(Err(RecvError::Closed))
    }

    fn poll_recv(&mut self, waker: &Waker) -> Poll<Result<T, RecvError>> {
        if let Some(result) = self.try_recv() {
            return Poll::Ready(result);
        }
        self.slot.waker.register(waker);
        // Looked at again: a send before the registration would wake nobody.
        self.try_recv().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T: Send> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_recv(cx.waker())
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        // ORDERING: pairs with the exchange in `Sender::send`. A value that is there goes with the slot.
        self.slot.state.fetch_or(GONE, Ordering::AcqRel);
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.state.load(Ordering::Relaxed) & VALUE != 0 {
            // SAFETY: Q1, and both ends are gone.
            drop(unsafe { self.take() });
        }
    }
}

/// Blocking; compiled under loom but not modelled, for loom has no time: the models wait by the same polls.
mod blocking {
    use std::sync::Arc;
    use std::task::{Poll, Wake, Waker};
    use std::thread::{Thread, current, park_timeout};
    use std::time::Duration;

    use super::{Receiver, RecvError};

    impl<T: Send> Receiver<T> {
        /// Blocks this thread until the reply is there, the sender is gone, or `timeout` has passed.
        ///
        /// For threads outside any shard: on a shard thread it would stop the shard.
        ///
        /// # Errors
        /// [`RecvError::Closed`] or [`RecvError::Timeout`]; after a time-out it may be called again.
        pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
            let started = crate::clock::now();
            let waker = Waker::from(Arc::new(Unpark(current())));
            loop {
                if let Poll::Ready(result) = self.poll_recv(&waker) {
                    return result;
                }
                let left = timeout.saturating_sub(started.elapsed());
                if left.is_zero() {
                    return Err(RecvError::Timeout);
                }
                park_timeout(left);
            }
        }
    }

    /// Wakes a thread that blocks in a receive.
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
}

impl<T: Send> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

impl<T: Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("state", &self.slot.state.load(Ordering::Relaxed)).finish()
    }
}

#[cfg(all(test, not(feature = "loom")))]
#[path = "oneshot_tests.rs"]
mod tests;

#[cfg(all(test, feature = "loom"))]
mod loom_tests {
    use loom::future::block_on;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::{RecvError, channel};
    use crate::sync::model;

    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn loom_oneshot_wakes_for_a_reply() {
        model(|| {
            let (sender, receiver) = channel::<Box<u32>>();
            let shard = thread::spawn(move || assert!(sender.send(Box::new(7)).is_ok()));
            assert_eq!(block_on(receiver), Ok(Box::new(7)));
            shard.join().unwrap();
        });
    }

    #[test]
    fn loom_oneshot_wakes_for_the_end() {
        model(|| {
            let (sender, receiver) = channel::<u32>();
            let shard = thread::spawn(move || drop(sender));
            assert_eq!(block_on(receiver), Err(RecvError::Closed));
            shard.join().unwrap();
        });
    }

    #[test]
    fn loom_oneshot_drops_a_late_value_once() {
        model(|| {
            let drops = Arc::new(AtomicUsize::new(0));
            let (sender, mut receiver) = channel::<Counted>();
            let value = Counted(Arc::clone(&drops));
            let shard = thread::spawn(move || drop(sender.send(value)));
            drop(receiver.try_recv());
            drop(receiver);
            shard.join().unwrap();
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }
}
