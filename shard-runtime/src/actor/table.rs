//! The actor trait that `#[actor]` implements, and its erased form: one table of functions per actor type.
//!
//! Invariant: A1 a record whose `actor` word is the table of `A` has a `body` that points to a live `A` made by `Box`.
#![expect(unsafe_code, reason = "type-erased actors; proven by an_actor_is_dropped_exactly_once")]

use crate::actor::batch::{Batch, Closed, Exit};
use crate::actor::inspect::Inspect;
use crate::process::Record;
use crate::shard::Shard;
use shard_wire::Vtable;
use std::marker::PhantomData;

/// An actor. Implemented by `#[actor]`, not by hand.
pub trait Actor: Sized + 'static {
    /// Stable short name of the type, `module.Type`, as it appears in metrics and tools.
    const BEHAVIOR: &'static str;
    /// What kind of behaviour it is, as tools show it.
    const KIND: &'static str = "actor";
    /// The message types of the arms, in source order: used only when a type has more than one table address.
    const TYPES: &'static [&'static Vtable];
    /// Whether there is an `init` to run before the first message.
    const HAS_INIT: bool;
    /// Whether there is a `terminate` to run at the end.
    const HAS_TERMINATE: bool;
    /// Handles a batch of messages.
    fn dispatch(batch: Batch<'_, Self>) -> Closed<'_>;
    /// Runs `init`.
    fn init(batch: Batch<'_, Self>) -> Closed<'_>;
    /// Runs `terminate`.
    fn terminate(batch: Batch<'_, Self>) -> Closed<'_>;
    /// Reports the actor's own values to diagnostics.
    fn inspect(&self, _out: &mut Inspect) {}
}

/// The erased functions of one actor type.
pub(crate) struct ActorTable {
    dispatch: unsafe fn(&Shard, &Record) -> Exit,
    init: unsafe fn(&Shard, &Record) -> Exit,
    terminate: unsafe fn(&Shard, &Record) -> Exit,
    inspect: unsafe fn(*const u8, &mut Inspect),
    drop: unsafe fn(*mut u8),
    pub(crate) behavior: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) has_terminate: bool,
    /// The message types of the arms, if some of them are views; else none.
    pub(crate) views: &'static [&'static Vtable],
}

const fn has_views(types: &[&'static Vtable]) -> bool {
    let mut rest = types;
    while let [first, others @ ..] = rest {
        if first.view_ops().is_some() {
            return true;
        }
        rest = others;
    }
    false
}

/// Makes the table of an actor type.
pub(crate) struct TableOf<A>(PhantomData<A>);

impl<A: Actor> TableOf<A> {
    pub(crate) const TABLE: &'static ActorTable = &ActorTable {
        dispatch: Self::dispatch,
        init: Self::init,
        terminate: Self::terminate,
        inspect: Self::inspect,
        drop: Self::drop,
        behavior: A::BEHAVIOR,
        kind: A::KIND,
        has_terminate: A::HAS_TERMINATE,
        views: if has_views(A::TYPES) { A::TYPES } else { &[] },
    };

    /// # Safety
    /// A1: the record's body is an `A`, not borrowed by a suspended handler.
    unsafe fn dispatch(shard: &Shard, record: &Record) -> Exit {
        // SAFETY: forwarded.
        A::dispatch(unsafe { Batch::new(shard, record) }).exit()
    }

    /// # Safety
    /// As for `dispatch`; the shard's intake is empty.
    unsafe fn init(shard: &Shard, record: &Record) -> Exit {
        // SAFETY: forwarded.
        A::init(unsafe { Batch::new(shard, record) }).exit()
    }

    /// # Safety
    /// As for `init`.
    unsafe fn terminate(shard: &Shard, record: &Record) -> Exit {
        // SAFETY: forwarded.
        A::terminate(unsafe { Batch::new(shard, record) }).exit()
    }

    /// # Safety
    /// `body` points to a live `A` that nobody borrows mutably.
    unsafe fn inspect(body: *const u8, out: &mut Inspect) {
        // SAFETY: the caller's promise.
        unsafe { &*body.cast::<A>() }.inspect(out);
    }

    /// # Safety
    /// `body` points to a live `A` made by `Box` that nobody borrows; it is gone afterwards.
    unsafe fn drop(body: *mut u8) {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(body.cast::<A>()) });
    }
}

impl ActorTable {
    /// # Safety
    /// The record's `actor` is this table (A1), and no suspended handler borrows the body.
    #[inline(always)]
    pub(crate) unsafe fn dispatch(&self, shard: &Shard, record: &Record) -> Exit {
        // SAFETY: forwarded.
        unsafe { (self.dispatch)(shard, record) }
    }

    /// # Safety
    /// As for `dispatch`.
    pub(crate) unsafe fn init(&self, shard: &Shard, record: &Record) -> Exit {
        // SAFETY: forwarded.
        unsafe { (self.init)(shard, record) }
    }

    /// # Safety
    /// As for `dispatch`.
    pub(crate) unsafe fn terminate(&self, shard: &Shard, record: &Record) -> Exit {
        // SAFETY: forwarded.
        unsafe { (self.terminate)(shard, record) }
    }

    /// # Safety
    /// The record's `actor` is this table (A1), and nobody borrows the body mutably.
    pub(crate) unsafe fn inspect(&self, record: &Record, out: &mut Inspect) {
        // SAFETY: forwarded.
        unsafe { (self.inspect)(record.body.get(), out) }
    }

    /// # Safety
    /// The record's `actor` is this table (A1), and nobody borrows the body; it is gone afterwards.
    pub(crate) unsafe fn drop_body(&self, record: &Record) {
        // SAFETY: forwarded.
        unsafe { (self.drop)(record.body.get()) }
    }
}
