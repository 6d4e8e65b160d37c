//! The synchronisation primitives of the registered modules: std, or loom with the feature `loom`.
//!
//! Owns: the one switch between the two worlds, so that each proven file is written once. Invariant: S1 a module that
//! loom proves takes atomics, cells, fences, wakers, queues and shared pointers from here only.
//! Threads: any. Cost: none; the std side is re-exports and one transparent cell.

#[cfg(feature = "loom")]
pub(crate) use self::queue::SegQueue;
#[cfg(feature = "loom")]
pub(crate) use self::waker::AtomicWaker;
#[cfg(feature = "loom")]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
};

#[cfg(not(feature = "loom"))]
pub(crate) use self::cell::UnsafeCell;
#[cfg(not(feature = "loom"))]
pub(crate) use atomic_waker::AtomicWaker;
#[cfg(not(feature = "loom"))]
pub(crate) use crossbeam_queue::SegQueue;
#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(not(feature = "loom"))]
mod cell {
    /// A cell with loom's interface: the pointer lives only inside the closure.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline]
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Hands out the pointer for reading or writing; the caller upholds exclusive access.
        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(feature = "loom")]
mod waker {
    /// loom's atomic waker with the signature of the one it stands in for.
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self(loom::future::AtomicWaker::new())
        }

        pub(crate) fn register(&self, waker: &std::task::Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }
}

#[cfg(feature = "loom")]
mod queue {
    use super::{AtomicBool, AtomicUsize, Ordering};

    /// Stands in for crossbeam's queue, with its steps as a waiting shard sees them: a push reserves a place, writes it
    /// and marks it; the queue counts as non-empty from the reservation on; a pop waits for the mark. No lock lies
    /// between `push` and `is_empty`, or it would hide a missing fence of the sleep protocol. Holds four messages ever.
    pub(crate) struct SegQueue<T> {
        head: AtomicUsize,
        tail: AtomicUsize,
        slots: [Slot<T>; 4],
    }

    struct Slot<T> {
        marked: AtomicBool,
        #[expect(clippy::disallowed_types, reason = "loom's mutex, never contended: the mark comes first")]
        item: loom::sync::Mutex<Option<T>>,
    }

    impl<T> SegQueue<T> {
        pub(crate) fn new() -> Self {
            let slot = || Slot { marked: AtomicBool::new(false), item: loom::sync::Mutex::new(None) };
            Self {
                head: AtomicUsize::new(0),
                tail: AtomicUsize::new(0),
                slots: [slot(), slot(), slot(), slot()],
            }
        }

        pub(crate) fn push(&self, item: T) {
            let slot = &self.slots[self.tail.fetch_add(1, Ordering::AcqRel)];
            *slot.item.lock().unwrap() = Some(item);
            slot.marked.store(true, Ordering::Release);
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let head = self.head.load(Ordering::Relaxed);
            if head == self.tail.load(Ordering::Acquire) {
                return None;
            }
            let slot = &self.slots[head];
            while !slot.marked.load(Ordering::Acquire) {
                loom::thread::yield_now();
            }
            self.head.store(head + 1, Ordering::Relaxed);
            slot.item.lock().unwrap().take()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.head.load(Ordering::Relaxed) == self.tail.load(Ordering::Relaxed)
        }
    }
}

/// Runs a model with at most two preemptions, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
#[cfg(all(test, feature = "loom"))]
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(body);
}
