//! The actor trait that `#[actor]` implements, and its erased form: one table of functions per actor type.
//!
//! Invariant: A1 a record whose `actor` word is the table of `A` has a `body` that points to a live `A` made by `Box`.
#![expect(unsafe_code, reason = "type-erased actors; proven by tests/lifecycle.rs::an_actor_is_dropped_exactly_once")]

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
    pub(crate) has_terminate: bool,
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
        has_terminate: A::HAS_TERMINATE,
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

/// `module.Type` of a module path and a type name, for [`Actor::BEHAVIOR`]. The result has `N` bytes.
#[must_use]
pub const fn behavior_name<const N: usize>(module_path: &str, type_name: &str) -> [u8; N] {
    let (path, name) = (module_path.as_bytes(), type_name.as_bytes());
    let mut out = [0; N];
    let start = last_segment(path);
    let mut written = 0;
    let mut index = start;
    while index < path.len() {
        out[written] = path[index];
        written += 1;
        index += 1;
    }
    out[written] = b'.';
    written += 1;
    index = 0;
    while index < name.len() {
        out[written] = name[index];
        written += 1;
        index += 1;
    }
    assert!(written == N, "the length was computed from the same two strings");
    out
}

/// Length of [`behavior_name`]'s result.
#[must_use]
pub const fn behavior_name_length(module_path: &str, type_name: &str) -> usize {
    module_path.len() - last_segment(module_path.as_bytes()) + 1 + type_name.len()
}

const fn last_segment(path: &[u8]) -> usize {
    let mut start = path.len();
    while start > 0 && path[start - 1] != b':' {
        start -= 1;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::{behavior_name, behavior_name_length};

    #[test]
    fn a_behavior_is_the_last_module_and_the_type() {
        const N: usize = behavior_name_length("a::b::lifecycle", "Child");
        assert_eq!(&behavior_name::<N>("a::b::lifecycle", "Child"), b"lifecycle.Child");
        const M: usize = behavior_name_length("demo", "X");
        assert_eq!(&behavior_name::<M>("demo", "X"), b"demo.X");
    }
}
