//! Memory for handler futures: size classes of 64 bytes, kept on free lists.
//!
//! Invariants: F1 a slot is on a free list or in use. F2 every slot of a class has the class's size and 64-byte alignment.
//! Cost: a load and a store per future while warm. Futures above 4 KiB go to the allocator each time.
#![expect(unsafe_code, reason = "allocator calls and free lists; proven by slots_are_reused_and_freed")]

use std::alloc::Layout;
use std::cell::{Cell, RefCell};

const CLASS_BYTES: usize = 64;
const CLASSES: usize = 4096 / CLASS_BYTES + 1;

/// The shard's pool of future slots.
pub(crate) struct FuturePool {
    free: [Cell<*mut u8>; CLASSES],
    owned: RefCell<Vec<(*mut u8, usize)>>,
    bytes: Cell<u64>,
}

impl FuturePool {
    pub(crate) fn new() -> Self {
        Self {
            free: [const { Cell::new(std::ptr::null_mut()) }; CLASSES],
            owned: RefCell::default(),
            bytes: Cell::new(0),
        }
    }

    /// A slot for this layout.
    #[inline(always)]
    pub(crate) fn take(&self, layout: Layout) -> *mut u8 {
        let class = layout.size().div_ceil(CLASS_BYTES);
        let Some(list) = self.free.get(class) else { return allocate(layout) };
        let slot = list.get();
        if slot.is_null() || layout.align() > CLASS_BYTES {
            return self.fresh(class, layout);
        }
        // SAFETY: F1: a free slot's first word links to the next.
        list.set(unsafe { slot.cast::<*mut u8>().read() });
        slot
    }

    /// Gives a slot back whose future is gone.
    #[inline(always)]
    pub(crate) fn give(&self, slot: *mut u8, layout: Layout) {
        let class = layout.size().div_ceil(CLASS_BYTES);
        match self.free.get(class) {
            Some(list) if layout.align() <= CLASS_BYTES => {
                // SAFETY: F1: the slot is free from here on, at least 64 bytes large.
                unsafe { slot.cast::<*mut u8>().write(list.get()) };
                list.set(slot);
            }
            _ => free(slot, layout),
        }
    }

    /// Bytes held for futures of pooled sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    #[cold]
    #[inline(never)]
    fn fresh(&self, class: usize, layout: Layout) -> *mut u8 {
        if layout.align() > CLASS_BYTES {
            return allocate(layout);
        }
        let slot = allocate(class_layout(class));
        self.owned.borrow_mut().push((slot, class));
        self.bytes.set(self.bytes.get() + (class * CLASS_BYTES) as u64);
        slot
    }
}

impl Drop for FuturePool {
    fn drop(&mut self) {
        for (slot, class) in self.owned.get_mut().drain(..) {
            free(slot, class_layout(class));
        }
    }
}

fn class_layout(class: usize) -> Layout {
    Layout::from_size_align(class * CLASS_BYTES, CLASS_BYTES).unwrap_or(Layout::new::<[u64; 512]>())
}

fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: a kept future has at least a head, so the size is not zero.
    let slot = unsafe { std::alloc::alloc(layout) };
    if slot.is_null() {
        std::alloc::handle_alloc_error(layout);
    }
    slot
}

fn free(slot: *mut u8, layout: Layout) {
    // SAFETY: allocated with this layout by `allocate`, given back once.
    unsafe { std::alloc::dealloc(slot, layout) }
}

#[cfg(test)]
mod tests {
    use super::FuturePool;
    use std::alloc::Layout;

    #[test]
    fn slots_are_reused_and_freed() {
        let pool = FuturePool::new();
        let small = Layout::from_size_align(100, 64).unwrap();
        let first = pool.take(small);
        let second = pool.take(small);
        assert_ne!(first, second);
        pool.give(first, small);
        assert_eq!(pool.take(Layout::from_size_align(128, 64).unwrap()), first);
        assert_eq!(pool.bytes(), 256);
        let large = Layout::from_size_align(10_000, 64).unwrap();
        pool.give(pool.take(large), large);
        let wide = Layout::from_size_align(256, 256).unwrap();
        let slot = pool.take(wide);
        assert_eq!(slot.align_offset(256), 0);
        pool.give(slot, wide);
        assert_eq!(pool.bytes(), 256);
    }
}
