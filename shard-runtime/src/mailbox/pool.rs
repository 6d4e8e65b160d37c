//! The shard's envelopes: mapped in chunks, kept on a free list, never given back to the system while the shard lives.
//!
//! Invariants: E1 of [`envelope`](super::envelope). O1 an envelope is on the free list or in exactly one queue.
//! Cost: take and give are two loads and a store; a chunk of 2 MiB is mapped when the list is empty.
//! Memory: the high-water mark of queued messages times 64 bytes, published as `mapped_bytes`.
#![expect(unsafe_code, reason = "pool memory; proven by order_and_count_match_the_oracle")]

use super::envelope::{Envelope, EnvelopePtr};
use crate::reactor::memory::Mapping;
use std::cell::{Cell, RefCell};

/// Bytes mapped at once: one huge page.
const CHUNK_BYTES: usize = 2 << 20;
/// Bytes mapped at once by the pool of a shard with one process.
const SMALL_CHUNK_BYTES: usize = REFILL * size_of::<Envelope>();
/// Envelopes linked onto the free list at once, so that a refill does not touch a whole chunk.
const REFILL: usize = 256;

/// Free envelopes of one shard.
pub(crate) struct Pool {
    free: Cell<EnvelopePtr>,
    fresh: Cell<*mut Envelope>,
    fresh_end: Cell<*mut Envelope>,
    /// Envelopes that are not on the free list.
    used: Cell<u64>,
    chunks: RefCell<Vec<Mapping>>,
    chunk_bytes: usize,
}

impl Pool {
    /// A pool with at least `prefault` envelopes touched and ready.
    ///
    /// # Errors
    /// The system refused the memory.
    pub(crate) fn new(prefault: usize) -> std::io::Result<Self> {
        let pool = Self::empty(CHUNK_BYTES);
        let mut held = EnvelopePtr::NULL;
        for _ in 0..prefault.div_ceil(REFILL) {
            pool.try_refill()?;
            let mut last = pool.free.get();
            for _ in 1..REFILL {
                last = last.next();
            }
            last.set_next(held);
            held = pool.free.replace(EnvelopePtr::NULL);
        }
        pool.free.set(held);
        Ok(pool)
    }

    /// A pool that grows in small pieces: for the shard of one process.
    pub(crate) fn small() -> Self {
        Self::empty(SMALL_CHUNK_BYTES)
    }

    fn empty(chunk_bytes: usize) -> Self {
        Self {
            free: Cell::new(EnvelopePtr::NULL),
            fresh: Cell::new(std::ptr::null_mut()),
            fresh_end: Cell::new(std::ptr::null_mut()),
            used: Cell::new(0),
            chunks: RefCell::default(),
            chunk_bytes,
        }
    }

    /// Takes an envelope without a message.
    #[inline(always)]
    pub(crate) fn take(&self) -> EnvelopePtr {
        if self.free.get().is_null() {
            self.refill();
        }
        let envelope = self.free.get();
        self.free.set(envelope.next());
        self.used.set(self.used.get() + 1);
        envelope
    }

    /// Gives back one envelope whose message is gone.
    #[inline(always)]
    pub(crate) fn give(&self, envelope: EnvelopePtr) {
        envelope.set_next(self.free.get());
        self.free.set(envelope);
        self.used.set(self.used.get() - 1);
    }

    /// Gives back a chain of `count` envelopes from `first` to `last`.
    #[inline(always)]
    pub(crate) fn give_chain(&self, first: EnvelopePtr, last: EnvelopePtr, count: u64) {
        self.used.set(self.used.get() - count);
        last.set_next(self.free.get());
        self.free.set(first);
    }

    /// Bytes of the envelopes in use: what is queued on this shard, without what messages point to.
    #[inline]
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.get() * size_of::<Envelope>() as u64
    }

    /// Bytes mapped for envelopes.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.chunks.borrow().len() as u64 * self.chunk_bytes as u64
    }

    /// Out of memory for messages is the one condition that the send path cannot report: the system has none for any
    /// other allocation either.
    #[cold]
    #[inline(never)]
    fn refill(&self) {
        if self.try_refill().is_err() {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<[Envelope; REFILL]>());
        }
    }

    fn try_refill(&self) -> std::io::Result<()> {
        if self.fresh.get() == self.fresh_end.get() {
            let chunk = match self.chunk_bytes {
                SMALL_CHUNK_BYTES => Mapping::reserve_small(SMALL_CHUNK_BYTES)?,
                bytes => Mapping::reserve(bytes)?,
            };
            let start = chunk.address().cast::<Envelope>();
            self.fresh.set(start);
            self.fresh_end.set(start.wrapping_add(self.chunk_bytes / size_of::<Envelope>()));
            self.chunks.borrow_mut().push(chunk);
        }
        let start = self.fresh.get();
        for index in 0..REFILL {
            let raw = start.wrapping_add(index);
            // SAFETY: E1: inside the chunk just mapped, which `chunks` keeps until the shard goes.
            let envelope = unsafe { EnvelopePtr::from_raw(raw) };
            let next = if index + 1 < REFILL {
                // SAFETY: E1: as above; a chunk is a whole number of refills.
                unsafe { EnvelopePtr::from_raw(raw.wrapping_add(1)) }
            } else {
                self.free.get()
            };
            envelope.set_next(next);
        }
        // SAFETY: E1: the first of the envelopes linked above.
        self.free.set(unsafe { EnvelopePtr::from_raw(start) });
        self.fresh.set(start.wrapping_add(REFILL));
        Ok(())
    }
}

const _: () = assert!((CHUNK_BYTES / size_of::<Envelope>()).is_multiple_of(REFILL));
