//! The ready queue: slots of processes that have something to do, in order.
//!
//! Invariants: Y1 a slot is in the queue at most once (the `QUEUED` flag), so its length is bounded by the process table.
//! Y2 `slots` is a live boxed slice of `mask + 1` places, a power of two; only `grow` and `drop` replace it.
#![expect(
    unsafe_code,
    reason = "no bounds test per activation; proven by order_holds_across_growth_and_wrap"
)]

use std::cell::Cell;
use std::ptr::NonNull;

/// Places of a fresh queue.
const FIRST: u32 = 4096;

/// Slots in FIFO order.
pub(crate) struct Ready {
    slots: Cell<NonNull<Cell<u32>>>,
    mask: Cell<u32>,
    head: Cell<u32>,
    tail: Cell<u32>,
}

impl Ready {
    pub(crate) fn new() -> Self {
        Self {
            slots: Cell::new(places(vec![Cell::new(0); FIRST as usize])),
            mask: Cell::new(FIRST - 1),
            head: Cell::new(0),
            tail: Cell::new(0),
        }
    }

    #[inline(always)]
    fn place(&self, position: u32) -> &Cell<u32> {
        // SAFETY: Y2: masked, so inside the slice.
        let place = unsafe { self.slots.get().add((position & self.mask.get()) as usize) };
        // SAFETY: a live cell; nobody keeps the reference across `grow`.
        unsafe { place.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn push(&self, slot: u32) {
        if self.len() > self.mask.get() {
            self.grow();
        }
        // After the growth, which moves both ends.
        let tail = self.tail.get();
        self.place(tail).set(slot);
        self.tail.set(tail.wrapping_add(1));
    }

    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<u32> {
        let head = self.head.get();
        if head == self.tail.get() {
            return None;
        }
        self.head.set(head.wrapping_add(1));
        Some(self.place(head).get())
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[cold]
    #[inline(never)]
    fn grow(&self) {
        let (head, length) = (self.head.get(), self.mask.get() + 1);
        let mut larger = Vec::with_capacity(2 * length as usize);
        larger.extend((0..length).map(|index| self.place(head.wrapping_add(index)).clone()));
        larger.resize(2 * length as usize, Cell::new(0));
        let former = self.slots.replace(places(larger));
        // SAFETY: Y2: made by `places` with this length, and out of use.
        unsafe { release(former, length) };
        self.head.set(0);
        self.tail.set(length);
        self.mask.set(2 * length - 1);
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // SAFETY: Y2: made by `places` with this length.
        unsafe { release(self.slots.get(), self.mask.get() + 1) };
    }
}

fn places(places: Vec<Cell<u32>>) -> NonNull<Cell<u32>> {
    NonNull::from(Box::leak(places.into_boxed_slice())).cast()
}

/// # Safety
/// `slots` came from [`places`] with `length` places and is not used any more.
unsafe fn release(slots: NonNull<Cell<u32>>, length: u32) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(slots.as_ptr(), length as usize)) });
}

#[cfg(test)]
mod tests {
    use super::Ready;
    use std::collections::VecDeque;

    #[test]
    fn order_holds_across_growth_and_wrap() {
        let ready = Ready::new();
        let mut oracle = VecDeque::new();
        for round in 0..40u32 {
            for value in 0..round * 100 {
                ready.push(value);
                oracle.push_back(value);
            }
            for _ in 0..round * 70 {
                assert_eq!(ready.pop(), oracle.pop_front());
            }
            assert_eq!(ready.len() as usize, oracle.len());
        }
        while let Some(value) = oracle.pop_front() {
            assert_eq!(ready.pop(), Some(value));
        }
        assert_eq!(ready.pop(), None);
    }
}
