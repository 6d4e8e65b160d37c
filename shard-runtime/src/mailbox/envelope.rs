//! The envelope: one queued message in 64 bytes, and the 8-byte handle by which it is passed around.
//!
//! Owns: the layout of an envelope and the packing of its `meta` word.
//! Invariants: E1 an [`EnvelopePtr`] that is not null points into a chunk of the shard's [`Pool`](super::Pool), which is
//! unmapped only with the shard, or at a queue head seen as an envelope of which only `next` is touched.
//! E2 only the owning shard's thread touches envelopes. E3 between `fill` and the take of its payload an envelope holds
//! a live message of the type its vtable describes.
//! Cost: written once and read once; 8 bytes are copied where it is handed on.
#![expect(unsafe_code, reason = "intrusive nodes; proven by order_and_count_match_the_oracle")]

use shard_wire::{Payload, Vtable};
use std::cell::Cell;

/// Time stamp and flags of an envelope: `ticks << 8 | flags`.
pub(crate) struct Meta;

impl Meta {
    /// The reply word holds a waiter.
    pub(crate) const CALL: u64 = 1;
    /// The sender lives on another node.
    pub(crate) const REMOTE: u64 = 2;
    /// Two bits that name the queue: [`Meta::MAIN`] to [`Meta::LOG`].
    pub(crate) const QUEUE: u64 = 3 << 2;
    /// Main queue: normal priority.
    pub(crate) const MAIN: u64 = 0;
    /// System queue: high priority, down messages.
    pub(crate) const SYSTEM: u64 = 1 << 2;
    /// Urgent queue: maximum priority, exit signals, inspect requests.
    pub(crate) const URGENT: u64 = 2 << 2;
    /// Log queue.
    pub(crate) const LOG: u64 = 3 << 2;
    /// Between shards only: the parcel is a reply to the waiter in its target word.
    pub(crate) const REPLY: u64 = 1 << 4;
    /// Between shards only: the waiter in the target word is refused; the payload is a `CallError`.
    pub(crate) const REFUSE: u64 = 1 << 5;
    /// Between shards only: the payload is a boxed function to run on the target shard.
    pub(crate) const TASK: u64 = 1 << 6;
    /// Comes from the runtime: no policy of a full mailbox drops it.
    pub(crate) const RUNTIME: u64 = 1 << 7;
    /// Width of the flags.
    pub(crate) const BITS: u32 = 8;
    /// Mask of the flags.
    pub(crate) const FLAGS: u64 = (1 << Self::BITS) - 1;
}

/// One queued message.
#[repr(C, align(64))]
pub(crate) struct Envelope {
    pub(crate) next: EnvelopePtr,
    pub(crate) vtable: &'static Vtable,
    pub(crate) from: u64,
    pub(crate) meta: u64,
    pub(crate) payload: Payload,
    /// Calls: the waiter. Messages of other nodes: the sender's incarnation key. Otherwise not written.
    pub(crate) reply: u64,
}

const _: () = assert!(size_of::<Envelope>() == 64);
const _: () = assert!(std::mem::offset_of!(Envelope, next) == 0, "a queue head is seen as an envelope");

/// Handle of an envelope. Null means none.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct EnvelopePtr(*mut Envelope);

impl EnvelopePtr {
    pub(crate) const NULL: Self = Self(std::ptr::null_mut());

    /// A handle of pool memory.
    ///
    /// # Safety
    /// E1: `raw` points to 64 writable bytes, 64-byte aligned, that live as long as the shard.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: *mut Envelope) -> Self {
        Self(raw)
    }

    /// A queue's head word seen as an envelope, so that a push needs no test for "empty".
    #[inline(always)]
    pub(crate) fn head_of(cell: &Cell<Self>) -> Self {
        Self(cell.as_ptr().cast::<Envelope>())
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    #[inline(always)]
    pub(crate) fn next(self) -> Self {
        // SAFETY: E1, E2: the first word of what it points to is a handle.
        unsafe { self.0.cast::<Self>().read() }
    }

    #[inline(always)]
    pub(crate) fn set_next(self, next: Self) {
        // SAFETY: E1, E2: the first word of what it points to is a handle.
        unsafe { self.0.cast::<Self>().write(next) }
    }

    #[inline(always)]
    pub(crate) fn vtable(self) -> &'static Vtable {
        // SAFETY: E1, E2; called on filled envelopes only (E3).
        unsafe { (*self.0).vtable }
    }

    #[inline(always)]
    pub(crate) fn set_vtable(self, vtable: &'static Vtable) {
        // SAFETY: E1, E2: a plain store into the pool.
        unsafe { (*self.0).vtable = vtable }
    }

    #[inline(always)]
    pub(crate) fn from(self) -> u64 {
        // SAFETY: E1, E2; filled (E3).
        unsafe { (*self.0).from }
    }

    #[inline(always)]
    pub(crate) fn meta(self) -> u64 {
        // SAFETY: E1, E2; filled (E3).
        unsafe { (*self.0).meta }
    }

    #[inline(always)]
    pub(crate) fn reply(self) -> u64 {
        // SAFETY: E1, E2; callers ask only when the flags say that it was written.
        unsafe { (*self.0).reply }
    }

    #[inline(always)]
    pub(crate) fn payload(self) -> *mut Payload {
        // SAFETY: E1: an address inside the envelope, not a reference.
        unsafe { &raw mut (*self.0).payload }
    }

    /// Writes all but `next` and `reply`.
    #[inline(always)]
    pub(crate) fn fill<T>(self, vtable: &'static Vtable, from: u64, meta: u64, value: T) {
        self.set_head(vtable, from, meta);
        // SAFETY: E1: the payload is pool memory without a live value.
        unsafe { Payload::write(self.payload(), value) }
    }

    /// Writes the header words and moves an erased payload in.
    #[inline(always)]
    pub(crate) fn fill_erased(self, vtable: &'static Vtable, from: u64, meta: u64, payload: Payload) {
        self.set_head(vtable, from, meta);
        // SAFETY: E1: the payload is pool memory without a live value.
        unsafe { self.payload().write(payload) }
    }

    #[inline(always)]
    fn set_head(self, vtable: &'static Vtable, from: u64, meta: u64) {
        self.set_vtable(vtable);
        // SAFETY: E1, E2: a plain store into the pool.
        unsafe { (*self.0).from = from };
        // SAFETY: E1, E2: a plain store into the pool.
        unsafe { (*self.0).meta = meta };
    }

    #[inline(always)]
    pub(crate) fn set_reply(self, reply: u64) {
        // SAFETY: E1, E2: a plain store into the pool.
        unsafe { (*self.0).reply = reply }
    }

    /// Drops the message it holds. Not for envelopes whose payload was taken.
    pub(crate) fn drop_message(self) {
        let vtable = self.vtable();
        // SAFETY: E3: the payload is live and of this type; the caller does not use it again.
        unsafe { vtable.drop_payload(self.payload()) }
    }
}
