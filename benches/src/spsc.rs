//! The batched ring that stands for "as fast as two pinned threads can hand over 64-byte items".
//!
//! A peer, not the product's ring: no wake-up, no close, no spill, one fixed capacity, plain data only.
//! Owns: slots and both cursors. Invariants: R1 `head <= tail <= head + CAPACITY`. R2 the producer writes only slots in
//! `[tail, head + CAPACITY)`, the consumer reads only slots in `[head, tail)`.
//! Threads: [`Producer`] and [`Consumer`] may live on different threads; neither can be cloned.
//! Cost: one release store per published batch, one acquire load per drained batch.
#![expect(
    unsafe_code,
    reason = "slots are shared between two threads under R1 and R2; proven by spsc::tests::every_item_arrives_once_in_order"
)]

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slots of a ring.
pub const CAPACITY: usize = 8192;
const MASK: usize = CAPACITY - 1;
const _: () = assert!(CAPACITY.is_power_of_two());

/// One item: a cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct Item(pub [u64; 8]);

/// Keeps a cursor on lines of its own (two, because of the adjacent-line prefetcher).
#[repr(align(128))]
struct Padded(AtomicUsize);

struct Ring {
    head: Padded,
    tail: Padded,
    slots: Box<[UnsafeCell<Item>; CAPACITY]>,
}

// SAFETY: the slots are the only part that is not `Sync`; R2 gives each slot one owner at a time, handed over by the
// release stores and acquire loads of the cursors.
unsafe impl Sync for Ring {}

/// The writing half.
pub struct Producer {
    ring: Arc<Ring>,
    tail: usize,
    published: usize,
    /// The consumer's cursor as last seen, so that a push rarely touches its line.
    head_seen: usize,
}

/// The reading half.
pub struct Consumer {
    ring: Arc<Ring>,
    head: usize,
    tail_seen: usize,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("tail", &self.tail)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Makes an empty ring. Its memory is touched, so that the first lap pays no page fault.
#[must_use]
pub fn ring() -> (Producer, Consumer) {
    let slots: Vec<UnsafeCell<Item>> = (0..CAPACITY).map(|_| UnsafeCell::new(Item([1; 8]))).collect();
    let slots =
        slots.into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("CAPACITY slots were made"));
    let ring = Arc::new(Ring { head: Padded(AtomicUsize::new(0)), tail: Padded(AtomicUsize::new(0)), slots });
    (
        Producer { ring: Arc::clone(&ring), tail: 0, published: 0, head_seen: 0 },
        Consumer { ring, head: 0, tail_seen: 0 },
    )
}

impl Producer {
    /// Writes `item` without publishing it; false when the ring is full.
    #[inline]
    pub fn push(&mut self, item: Item) -> bool {
        if self.tail.wrapping_sub(self.head_seen) > MASK {
            // ORDERING: pairs with the Release store in `Consumer::drain`: what was read there is free to be overwritten.
            self.head_seen = self.ring.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) > MASK {
                return false;
            }
        }
        let slot = self.ring.slots[self.tail & MASK].get();
        // SAFETY: R2: the slot lies in `[tail, head + CAPACITY)` and there is one producer.
        unsafe { *slot = item };
        self.tail = self.tail.wrapping_add(1);
        true
    }

    /// Asks for the line of a later slot, as the product's ring does.
    #[inline]
    pub fn claim_ahead(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint: it reads and writes nothing, and processors that do not know it ignore it.
        unsafe {
            let slot = self.ring.slots[(self.tail + 16) & MASK].get();
            std::arch::asm!("prefetchw [{}]", in(reg) slot, options(nostack, preserves_flags, readonly));
        }
    }

    /// Shows all items written so far to the consumer.
    #[inline]
    pub fn publish(&mut self) {
        if self.published != self.tail {
            // ORDERING: pairs with the Acquire load in `Consumer::drain`: the slots are written before they are seen.
            self.ring.tail.0.store(self.tail, Ordering::Release);
            self.published = self.tail;
        }
    }
}

impl Consumer {
    /// Reads up to `max` items in place, then frees them all at once; returns how many.
    #[inline]
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(&Item)) -> usize {
        if self.head == self.tail_seen {
            // ORDERING: pairs with the Release store in `Producer::publish`.
            self.tail_seen = self.ring.tail.0.load(Ordering::Acquire);
        }
        let count = self.tail_seen.wrapping_sub(self.head).min(max);
        for offset in 0..count {
            let slot = self.ring.slots[self.head.wrapping_add(offset) & MASK].get();
            // SAFETY: R2: the slot lies in `[head, tail)` and there is one consumer.
            each(unsafe { &*slot });
        }
        if count > 0 {
            self.head = self.head.wrapping_add(count);
            // ORDERING: pairs with the Acquire load in `Producer::push`: the items were read before their slots are free.
            self.ring.head.0.store(self.head, Ordering::Release);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_arrives_once_in_order() {
        const COUNT: u64 = 100_000;
        let (mut producer, mut consumer) = ring();
        let writer = std::thread::Builder::new()
            .spawn(move || {
                for n in 0..COUNT {
                    while !producer.push(Item([n; 8])) {
                        producer.publish();
                        std::thread::yield_now();
                    }
                    if n % 7 == 0 {
                        producer.publish();
                    }
                }
                producer.publish();
            })
            .expect("a thread starts");
        let mut next = 0;
        while next < COUNT {
            let count = consumer.drain(256, |item| {
                assert_eq!(item.0, [next; 8]);
                next += 1;
            });
            if count == 0 {
                std::thread::yield_now();
            }
        }
        writer.join().expect("the writer ends");
        assert_eq!(consumer.drain(1, |_| {}), 0);
    }

    #[test]
    fn a_full_ring_refuses_and_hides_what_is_not_published() {
        let (mut producer, mut consumer) = ring();
        for n in 0..CAPACITY {
            assert!(producer.push(Item([n as u64; 8])));
        }
        assert!(!producer.push(Item::default()));
        assert_eq!(consumer.drain(CAPACITY, |_| {}), 0);
        producer.publish();
        assert_eq!(consumer.drain(CAPACITY, |_| {}), CAPACITY);
        assert!(producer.push(Item::default()));
    }
}
