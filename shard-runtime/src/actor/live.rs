//! A handler's future in a slot of the shard's pool, with what it borrows and what becomes of its result; once suspended,
//! with the functions that know its type.
//!
//! Invariants: L1 `Kept` begins with its `Live`, so a pointer to one is a pointer to the other. L2 while a record's
//! `live` word is set, the future borrows the actor and nobody else touches it. L3 a kept future is polled and dropped on
//! its shard only. L4 `done` is taken by the poll that ends the future, and else dropped after it.
#![expect(unsafe_code, reason = "type-erased futures; proven by a_suspended_handler_is_dropped_on_kill")]

use crate::actor::{Context, Exit};
use crate::shard::{FuturePool, Shard};
use shard_wire::Pid;
use std::alloc::Layout;
use std::mem::{ManuallyDrop, MaybeUninit, needs_drop};
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

/// A future as it lies in the pool. Only reached by way of raw pointers: the future borrows its neighbour.
#[repr(C, align(64))]
struct Kept<'s, F, C> {
    /// Written when the future is kept.
    head: MaybeUninit<Live>,
    /// What the handler borrows.
    context: Context<'s>,
    done: ManuallyDrop<C>,
    /// L4; looked at only if `done` has anything to drop.
    is_done: bool,
    future: MaybeUninit<F>,
}

impl<'s, F, C> Kept<'s, F, C>
where
    F: Future,
    C: FnOnce(&'s Shard, F::Output) -> Exit,
{
    const LAYOUT: Layout = Layout::new::<Self>();

    /// The future in a slot.
    ///
    /// # Safety
    /// `Slot::fill` filled the slot.
    #[inline(always)]
    unsafe fn future<'x>(slot: *mut Self) -> &'x mut F {
        // SAFETY: the caller's promise.
        let place = unsafe { &mut (*slot).future };
        // SAFETY: `fill` wrote it.
        unsafe { place.assume_init_mut() }
    }

    /// Polls the future where it lies; a direct call, so that it can be inlined.
    ///
    /// # Safety
    /// `Slot::fill` filled the slot, and the future has not finished.
    #[inline(always)]
    unsafe fn poll(slot: *mut Self, task: &mut TaskContext<'_>) -> Poll<Exit> {
        // SAFETY: the caller's promise.
        let future = unsafe { Self::future(slot) };
        // SAFETY: pool slots do not move, and the future is dropped in place.
        match unsafe { Pin::new_unchecked(future) }.poll(task) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => {
                // SAFETY: the slot is filled, and a finished future does not use what it borrowed any more.
                let rest = unsafe { &mut *slot };
                if needs_drop::<C>() {
                    rest.is_done = true;
                }
                // SAFETY: L4: not taken before, and from here on not dropped.
                let done = unsafe { ManuallyDrop::take(&mut rest.done) };
                Poll::Ready(done(rest.context.shard(), result))
            }
        }
    }

    /// Drops what the slot holds, not the slot.
    ///
    /// # Safety
    /// `Slot::fill` filled the slot; what it held is gone afterwards.
    #[inline(always)]
    unsafe fn drop_held(slot: *mut Self) {
        let _rest = needs_drop::<C>().then(|| Rest(slot));
        // SAFETY: the caller's promise.
        let future: *mut F = unsafe { Self::future(slot) };
        // SAFETY: as above.
        unsafe { future.drop_in_place() };
    }

    unsafe fn poll_erased(live: *mut Live, task: &mut TaskContext<'_>) -> Poll<Exit> {
        // SAFETY: L1: `keep` made this pair.
        unsafe { Self::poll(live.cast(), task) }
    }

    unsafe fn drop_erased(live: *mut Live) {
        // SAFETY: L1: `keep` made this pair.
        unsafe { Self::drop_held(live.cast()) }
    }
}

/// Drops what was not taken, after the future, also if that panics.
struct Rest<'s, F, C>(*mut Kept<'s, F, C>);

impl<F, C> Drop for Rest<'_, F, C> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the future, which borrowed from the slot, is gone.
        let kept = unsafe { &mut *self.0 };
        if !kept.is_done {
            // SAFETY: L4: not taken, and the slot is given back after this.
            unsafe { ManuallyDrop::drop(&mut kept.done) };
        }
    }
}

/// A future in its slot while it is polled for the first time.
pub(crate) struct Slot<'s, F, C>
where
    F: Future,
    C: FnOnce(&'s Shard, F::Output) -> Exit,
{
    kept: *mut Kept<'s, F, C>,
    pool: &'s FuturePool,
}

impl<'s, F, C> Slot<'s, F, C>
where
    F: Future,
    C: FnOnce(&'s Shard, F::Output) -> Exit,
{
    /// Makes a future that borrows the context next to it. `done` makes an exit of its result.
    #[inline(always)]
    pub(crate) fn fill(
        pool: &'s FuturePool,
        context: Context<'s>,
        make: impl FnOnce(&'s mut Context<'s>) -> F,
        done: C,
    ) -> Self {
        let kept = pool.take(Kept::<'s, F, C>::LAYOUT).cast::<Kept<'s, F, C>>();
        let vacant = Vacant::<F, C> { kept, pool };
        let empty = Kept {
            head: MaybeUninit::uninit(),
            context,
            done: ManuallyDrop::new(done),
            is_done: false,
            future: MaybeUninit::uninit(),
        };
        // SAFETY: the pool gives memory of this layout that stays in place until it is given back.
        unsafe { kept.write(empty) };
        // SAFETY: just written; only the future that is made here reaches it, until it is finished.
        let context = unsafe { &mut (*kept).context };
        let future = make(context);
        // SAFETY: as above.
        let place = unsafe { &mut (*kept).future };
        place.write(future);
        let _taken = ManuallyDrop::new(vacant);
        Self { kept, pool }
    }

    #[inline(always)]
    pub(crate) fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Exit> {
        // SAFETY: filled by `fill`, polled until done or kept.
        unsafe { Kept::poll(self.kept, task) }
    }

    /// Makes it a kept future and returns its erased form, which the record takes over.
    #[inline(always)]
    pub(crate) fn keep(self, sender: Pid) -> *mut Live {
        let slot = ManuallyDrop::new(self);
        let head = Live {
            poll: Kept::<'s, F, C>::poll_erased,
            drop: Kept::<'s, F, C>::drop_erased,
            layout: Kept::<'s, F, C>::LAYOUT,
            sender,
        };
        // SAFETY: filled by `fill`; the head is plain data, and L1.
        unsafe { slot.kept.cast::<Live>().write(head) };
        slot.kept.cast()
    }
}

impl<'s, F, C> Drop for Slot<'s, F, C>
where
    F: Future,
    C: FnOnce(&'s Shard, F::Output) -> Exit,
{
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: filled by `fill` and not kept.
        unsafe { Kept::drop_held(self.kept) };
        self.pool.give(self.kept.cast(), Kept::<'s, F, C>::LAYOUT);
    }
}

/// Memory that goes back if making the future panics.
struct Vacant<'s, F, C> {
    kept: *mut Kept<'s, F, C>,
    pool: &'s FuturePool,
}

impl<F, C> Drop for Vacant<'_, F, C> {
    fn drop(&mut self) {
        self.pool.give(self.kept.cast(), Layout::new::<Kept<'_, F, C>>());
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
