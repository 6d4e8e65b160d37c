//! The ready queue: slots of processes that have something to do, in order.
//!
//! Invariant: Y1 a slot is in the queue at most once (the `QUEUED` flag), so its length is bounded by the process table.

use std::cell::{Cell, RefCell};

/// Slots in FIFO order.
pub(crate) struct Ready {
    slots: RefCell<Box<[u32]>>,
    mask: Cell<u32>,
    head: Cell<u32>,
    tail: Cell<u32>,
}

impl Ready {
    pub(crate) fn new() -> Self {
        let slots = vec![0; 4096].into_boxed_slice();
        Self { mask: Cell::new(4095), slots: RefCell::new(slots), head: Cell::new(0), tail: Cell::new(0) }
    }

    #[inline(always)]
    pub(crate) fn push(&self, slot: u32) {
        if self.len() > self.mask.get() {
            self.grow();
        }
        // After the growth, which moves both ends.
        let tail = self.tail.get();
        if let Some(place) = self.slots.borrow_mut().get_mut((tail & self.mask.get()) as usize) {
            *place = slot;
        }
        self.tail.set(tail.wrapping_add(1));
    }

    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<u32> {
        let head = self.head.get();
        if head == self.tail.get() {
            return None;
        }
        let slot = self.slots.borrow().get((head & self.mask.get()) as usize).copied();
        self.head.set(head.wrapping_add(1));
        slot
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[cold]
    #[inline(never)]
    fn grow(&self) {
        let (head, length) = (self.head.get(), self.mask.get() + 1);
        let mut slots = self.slots.borrow_mut();
        let mut larger = Vec::with_capacity(2 * length as usize);
        larger.extend((0..length).map(|index| slots[(head.wrapping_add(index) & self.mask.get()) as usize]));
        larger.resize(2 * length as usize, 0);
        *slots = larger.into_boxed_slice();
        self.head.set(0);
        self.tail.set(length);
        self.mask.set(2 * length - 1);
    }
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
