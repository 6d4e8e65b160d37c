//! The synchronisation primitives of the registered modules: std, or loom under our own `cfg(shard_loom)`.
//!
//! Owns: the one switch between the two worlds, so that each proven file is written once. Invariant: S1 a module that
//! loom proves takes atomics, cells, fences and shared pointers from here only.
//! Threads: any. Cost: none; the std side is re-exports and one transparent cell.

#[cfg(shard_loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

#[cfg(not(shard_loom))]
pub(crate) use self::cell::UnsafeCell;
#[cfg(not(shard_loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

#[cfg(not(shard_loom))]
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
