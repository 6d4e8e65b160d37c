//! A suspended handler: its future, kept in a slot of the shard's pool with the functions that know its type.
//!
//! Invariants: L1 `Kept<F>` begins with its `Live`, so a pointer to one is a pointer to the other. L2 while a record's
//! `live` word is set, the future borrows the actor and nobody else touches it. L3 a kept future is polled and dropped on
//! its shard only.
#![expect(unsafe_code, reason = "type-erased futures; proven by a_suspended_handler_is_dropped_on_kill")]

use crate::actor::Exit;
use shard_wire::Pid;
use std::alloc::Layout;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

/// Head of a kept future.
#[repr(C)]
pub(crate) struct Live {
    poll: unsafe fn(*mut Self, &mut TaskContext<'_>) -> Poll<Exit>,
    drop: unsafe fn(*mut Self),
    layout: Layout,
    /// Sender of the message that the suspended handler handles.
    pub(crate) sender: Pid,
}

/// A future with its head, as it lies in the pool.
#[repr(C, align(64))]
pub(crate) struct Kept<F> {
    head: Live,
    future: F,
}

impl<F: Future<Output = Exit>> Kept<F> {
    pub(crate) const LAYOUT: Layout = Layout::new::<Self>();

    /// Writes the future into a slot.
    ///
    /// # Safety
    /// `slot` is writable memory of `LAYOUT` that stays in place until `drop_future`.
    #[inline(always)]
    pub(crate) unsafe fn place(slot: *mut Self, future: F) {
        // SAFETY: the caller's promise.
        let field = unsafe { &raw mut (*slot).future };
        // SAFETY: as above; nothing is overwritten that would need a drop.
        unsafe { field.write(future) };
    }

    /// Polls the future where it lies; a direct call, so that it can be inlined.
    ///
    /// # Safety
    /// `place` filled the slot, and the future has not finished.
    #[inline(always)]
    pub(crate) unsafe fn poll(slot: *mut Self, task: &mut TaskContext<'_>) -> Poll<Exit> {
        // SAFETY: the caller's promise.
        let future = unsafe { &mut (*slot).future };
        // SAFETY: pool slots do not move, and the future is dropped in place.
        unsafe { Pin::new_unchecked(future) }.poll(task)
    }

    /// Makes the slot a kept future and returns its erased form.
    ///
    /// # Safety
    /// `place` filled the slot.
    pub(crate) unsafe fn keep(slot: *mut Self, sender: Pid) -> *mut Live {
        let head = Live { poll: Self::poll_erased, drop: Self::drop_erased, layout: Self::LAYOUT, sender };
        // SAFETY: the caller's promise; the head is plain data.
        unsafe { slot.cast::<Live>().write(head) };
        slot.cast()
    }

    /// Drops the future, not the slot.
    ///
    /// # Safety
    /// `place` filled the slot; the future is gone afterwards.
    #[inline(always)]
    pub(crate) unsafe fn drop_future(slot: *mut Self) {
        // SAFETY: the caller's promise.
        let field = unsafe { &raw mut (*slot).future };
        // SAFETY: as above.
        unsafe { field.drop_in_place() };
    }

    unsafe fn poll_erased(live: *mut Live, task: &mut TaskContext<'_>) -> Poll<Exit> {
        // SAFETY: L1: `keep` made this pair.
        unsafe { Self::poll(live.cast(), task) }
    }

    unsafe fn drop_erased(live: *mut Live) {
        // SAFETY: L1: `keep` made this pair.
        unsafe { Self::drop_future(live.cast()) }
    }
}

impl Live {
    /// Polls a kept future.
    ///
    /// # Safety
    /// `live` came from `keep` and has not been dropped; L3.
    pub(crate) unsafe fn poll(live: *mut Self, task: &mut TaskContext<'_>) -> Poll<Exit> {
        // SAFETY: the caller's promise.
        let poll = unsafe { (*live).poll };
        // SAFETY: the function was made for this future.
        unsafe { poll(live, task) }
    }

    /// Drops a kept future and returns the layout of its slot.
    ///
    /// # Safety
    /// As for `poll`; it is gone afterwards.
    pub(crate) unsafe fn finish(live: *mut Self) -> Layout {
        // SAFETY: the caller's promise.
        let layout = unsafe { (*live).layout };
        // SAFETY: as above.
        let drop = unsafe { (*live).drop };
        // SAFETY: the function was made for this future.
        unsafe { drop(live) };
        layout
    }

    /// Sender of the message being handled.
    ///
    /// # Safety
    /// As for `poll`.
    pub(crate) unsafe fn sender(live: *const Self) -> Pid {
        // SAFETY: the caller's promise.
        unsafe { (*live).sender }
    }
}
