#![expect(
    unsafe_code,
    reason = "slots are uninitialised memory shared by two threads; proven by loom_ring_*"
)]
//! One-producer, one-consumer ring between an ordered pair of shards.
//!
//! Owns: slots and both cursors. Not the wake-up: that is `sleep`; not the spill: that is `outbox`.
//! Invariants: R1 `head <= tail <= head + capacity`, in wrapping arithmetic. R2 slots in `[head, tail)` are
//! initialised, all others are not, where `tail` is the producer's own cursor until it publishes. R3 only the producer
//! writes `tail` and slots outside `[head, tail)`; only the consumer writes `head` and moves out of slots inside it.
//! Threads: `Sender` lives on the source shard, `Receiver` on the target shard; neither is `Clone` or `Sync`.
//! Cost: one release store per published batch, one acquire load and one release store per drained batch; the
//! producer loads the opposite cursor only when its cached copy says full. No allocation, no syscall. The producer asks for
//! the lines of the slots to come, so that it does not wait for one at a time.
//! Shutdown: dropping the sender publishes what it pushed; either half can see that the other is gone; what is left
//! when both are gone is dropped once.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell};

/// Size and alignment of one slot, in bytes: one cache line.
pub const SLOT_BYTES: usize = 64;

/// Slots of a ring between two shards, unless configured otherwise: 512 KiB, committed as used. A sleeping receiver takes
/// tens of microseconds to wake, in which a sender fills a few thousand slots.
pub const DEFAULT_CAPACITY: usize = 8192;

/// How many slots before its use a cache line is asked for: see docs/adr/0012.
const AHEAD: usize = 16;

#[repr(C, align(64))]
struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

/// Two cache lines to itself: the adjacent-line prefetcher pulls lines in pairs.
#[repr(align(128))]
struct Line<T>(T);

struct Shared<T> {
    tail: Line<AtomicUsize>,
    head: Line<AtomicUsize>,
    sender_gone: AtomicBool,
    receiver_gone: AtomicBool,
    mask: usize,
    slots: Box<[Slot<T>]>,
}

// SAFETY: R3 gives every slot one user at a time, and the cursors hand slots over with release and acquire; items only
// move from one thread to the other, which `T: Send` allows.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: the slots own their items, which may be dropped on another thread because `T: Send`.
unsafe impl<T: Send> Send for Shared<T> {}

/// The producing half; owned by the source shard.
pub struct Sender<T: Send> {
    shared: Arc<Shared<T>>,
    tail: usize,
    published: usize,
    /// Last `head` seen: never ahead of the real one, so "not full" is always true.
    head_seen: usize,
    not_sync: PhantomData<Cell<()>>,
}

/// The consuming half; owned by the target shard.
pub struct Receiver<T: Send> {
    shared: Arc<Shared<T>>,
    head: usize,
    /// Last `tail` seen: never ahead of the real one.
    tail_seen: usize,
    not_sync: PhantomData<Cell<()>>,
}

/// A ring of at least `capacity` slots, rounded up to a power of two (at least 2).
///
/// An item must fit one slot of [`SLOT_BYTES`]; anything larger does not compile.
#[must_use]
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    const {
        assert!(
            size_of::<Slot<T>>() == SLOT_BYTES || cfg!(feature = "loom"),
            "a ring item must fit one 64-byte slot"
        )
    };
    let capacity = capacity.max(2).next_power_of_two();
    let shared = Arc::new(Shared {
        tail: Line(AtomicUsize::new(0)),
        head: Line(AtomicUsize::new(0)),
        sender_gone: AtomicBool::new(false),
        receiver_gone: AtomicBool::new(false),
        mask: capacity - 1,
        slots: (0..capacity).map(|_| Slot(UnsafeCell::new(MaybeUninit::uninit()))).collect(),
    });
    let sender =
        Sender { shared: Arc::clone(&shared), tail: 0, published: 0, head_seen: 0, not_sync: PhantomData };
    (sender, Receiver { shared, head: 0, tail_seen: 0, not_sync: PhantomData })
}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, cursor: usize) -> &Slot<T> {
        &self.slots[cursor & self.mask]
    }

    /// Asks for a slot's cache line for writing, in good time.
    #[inline]
    fn claim(&self, cursor: usize) {
        // `_mm_prefetch` asks for a line to read unless the build names a newer processor.
        #[cfg(all(target_arch = "x86_64", not(any(feature = "loom", miri))))]
        // SAFETY: a hint: it reads and writes nothing, and processors that do not know it ignore it.
        unsafe {
            let slot = self.slots.as_ptr().wrapping_add(cursor & self.mask);
            std::arch::asm!("prefetchw [{}]", in(reg) slot, options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(all(target_arch = "x86_64", not(any(feature = "loom", miri)))))]
        let _ = cursor;
    }

    fn capacity(&self) -> usize {
        self.mask + 1
    }
}

impl<T> Slot<T> {
    /// Moves an item in.
    ///
    /// # Safety
    /// The slot is uninitialised and nobody else touches it until its cursor is published (R2, R3).
    #[inline]
    unsafe fn fill(&self, item: T) {
        self.0.with_mut(|slot| {
            // SAFETY: the caller has the slot to itself; the cell's memory is valid for writes.
            unsafe { slot.write(MaybeUninit::new(item)) }
        });
    }

    /// Shows the item; the slot counts as uninitialised afterwards.
    ///
    /// # Safety
    /// As for [`take`](Self::take); `each` takes the item over.
    #[inline]
    unsafe fn show(&self, each: impl FnOnce(&ManuallyDrop<T>)) {
        self.0.with_mut(|slot| {
            // SAFETY: the caller has the slot to itself and it holds an item; `ManuallyDrop` has the item's layout.
            each(unsafe { &*slot.cast::<ManuallyDrop<T>>() });
        });
    }

    /// Moves the item out; the slot is uninitialised afterwards.
    ///
    /// # Safety
    /// The slot is initialised and nobody else touches it until its cursor is given back (R2, R3).
    #[inline]
    unsafe fn take(&self) -> T {
        self.0.with_mut(|slot| {
            // SAFETY: the caller has the slot to itself and it holds an item.
            unsafe { slot.cast::<T>().read() }
        })
    }
}

impl<T: Send> Sender<T> {
    /// Puts one item into the ring, unseen by the receiver until [`publish`](Self::publish).
    ///
    /// # Errors
    /// The item comes back when the ring is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head_seen) > self.shared.mask && !self.refresh() {
            return Err(item);
        }
        self.shared.claim(self.tail.wrapping_add(AHEAD));
        let slot = self.shared.slot(self.tail);
        // SAFETY: R1 checked above: `tail` is outside `[head, tail)`, so the slot is empty and ours until published.
        unsafe { slot.fill(item) };
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Makes an item in its slot, unseen by the receiver until [`publish`](Self::publish). `false`: the ring is full, and
    /// `make` was not called.
    #[inline]
    pub fn push_with(&mut self, make: impl FnOnce() -> T) -> bool {
        if self.tail.wrapping_sub(self.head_seen) > self.shared.mask && !self.refresh() {
            return false;
        }
        self.shared.claim(self.tail.wrapping_add(AHEAD));
        let slot = self.shared.slot(self.tail);
        // SAFETY: as in `push`; if `make` panics, the slot stays empty and the cursor where it is.
        unsafe { slot.fill(make()) };
        self.tail = self.tail.wrapping_add(1);
        true
    }

    /// Makes all pushed items visible to the receiver and returns how many are new to it.
    ///
    /// A non-zero return is the caller's cue to wake a parked receiver.
    #[inline]
    pub fn publish(&mut self) -> usize {
        let fresh = self.tail.wrapping_sub(self.published);
        if fresh != 0 {
            // ORDERING: pairs with the Acquire load in `Receiver::refresh`; the items come before the cursor.
            self.shared.tail.0.store(self.tail, Ordering::Release);
            self.published = self.tail;
        }
        fresh
    }

    /// Loads the receiver's cursor; `true` if there is room now.
    #[cold]
    fn refresh(&mut self) -> bool {
        // ORDERING: pairs with the Release store in `Restore::drop`; the receiver is done with slots before `head`.
        self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head_seen) <= self.shared.mask
    }

    /// Items pushed and not yet published.
    #[must_use]
    pub fn unpublished(&self) -> usize {
        self.tail.wrapping_sub(self.published)
    }

    /// Items in the ring now, published or not; the receiver may be taking some away.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.shared.head.0.load(Ordering::Relaxed))
    }

    /// Whether the receiver has taken everything that was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots of the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// Whether the receiver was dropped: nothing pushed from now on will be handled.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // ORDERING: pairs with the Release store in `Receiver::drop`.
        self.shared.receiver_gone.load(Ordering::Acquire)
    }
}

impl<T: Send> Drop for Sender<T> {
    fn drop(&mut self) {
        self.publish();
        // ORDERING: pairs with the Acquire load in `Receiver::is_closed`; the last batch comes before the mark.
        self.shared.sender_gone.store(true, Ordering::Release);
    }
}

/// Gives handled slots back, also when the closure of a drain panics.
struct Restore<'a, T> {
    shared: &'a Shared<T>,
    head: &'a mut usize,
}

impl<T> Drop for Restore<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: pairs with the Acquire load in `Sender::refresh`; slots are emptied before they are given back.
        self.shared.head.0.store(*self.head, Ordering::Release);
    }
}

impl<T: Send> Receiver<T> {
    /// Moves up to `max` published items out, in order, and returns how many.
    ///
    /// The slots go back to the sender in one step at the end. If `each` panics, the item it had was its own and
    /// those behind it stay in the ring.
    #[inline]
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(T)) -> usize {
        if self.tail_seen.wrapping_sub(self.head) < max {
            self.refresh();
        }
        let count = self.tail_seen.wrapping_sub(self.head).min(max);
        if count == 0 {
            return 0;
        }
        let end = self.head.wrapping_add(count);
        let cursor = Restore { shared: &self.shared, head: &mut self.head };
        while *cursor.head != end {
            let slot = cursor.shared.slot(*cursor.head);
            // SAFETY: R2: `head` is before a published `tail`, so the slot holds an item, and it is ours until `head`
            // passes it.
            let item = unsafe { slot.take() };
            // The cursor moves first: a panic below must not leave an emptied slot inside `[head, tail)`.
            *cursor.head = cursor.head.wrapping_add(1);
            each(item);
        }
        count
    }

    /// Shows up to `max` published items where they lie, in order, and returns how many. Whoever sees an item owns it: it
    /// is not dropped by the ring.
    ///
    /// The slots go back to the sender in one step at the end. If `each` panics, the item it had counts as taken and those
    /// behind it stay in the ring.
    #[inline]
    pub fn drain_in_place(&mut self, max: usize, mut each: impl FnMut(&ManuallyDrop<T>)) -> usize {
        if self.tail_seen.wrapping_sub(self.head) < max {
            self.refresh();
        }
        let count = self.tail_seen.wrapping_sub(self.head).min(max);
        if count == 0 {
            return 0;
        }
        let end = self.head.wrapping_add(count);
        let cursor = Restore { shared: &self.shared, head: &mut self.head };
        while *cursor.head != end {
            let slot = cursor.shared.slot(*cursor.head);
            *cursor.head = cursor.head.wrapping_add(1);
            // SAFETY: R2: the slot holds an item, and it is ours until `head` is given back by `Restore`.
            unsafe { slot.show(&mut each) };
        }
        count
    }

    #[inline]
    fn refresh(&mut self) {
        // ORDERING: pairs with the Release store in `Sender::publish`.
        self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
    }

    /// Published items that wait now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.tail.0.load(Ordering::Relaxed).wrapping_sub(self.head)
    }

    /// Whether no published item waits: the re-check before a shard parks.
    ///
    /// Relaxed is enough: the sleep protocol puts a sequentially consistent fence before it.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots of the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// Whether the sender was dropped and everything it sent was drained: nothing will ever come again.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // ORDERING: pairs with the Release store in `Sender::drop`; after it, `tail` is final.
        self.shared.sender_gone.load(Ordering::Acquire) && self.is_empty()
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        // ORDERING: pairs with the Acquire load in `Sender::is_closed`.
        self.shared.receiver_gone.store(true, Ordering::Release);
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: both halves are gone and the sender published on its way out, so `[head, tail)` is exactly the
            // initialised slots (R2), each visited once.
            drop(unsafe { self.slot(head).take() });
            head = head.wrapping_add(1);
        }
    }
}

impl<T: Send> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).field("unpublished", &self.unpublished()).finish()
    }
}

impl<T: Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish()
    }
}

#[cfg(all(test, not(feature = "loom")))]
#[path = "spsc_tests.rs"]
mod tests;

#[cfg(all(test, feature = "loom"))]
#[path = "spsc_loom.rs"]
mod loom_tests;
