//! What makes a type a message: its reply type and the table of operations on its erased form.
//!
//! Owns: [`Vtable`], the per-type table whose **address** is the type's identity inside a process.
//! Invariant: M1 a vtable is only ever built for one type, so `type_id` decides when two addresses differ.
#![expect(
    unsafe_code,
    reason = "calls erased functions; proven by payload::tests::each_value_is_dropped_exactly_once"
)]

use crate::holding::{Holding, Holds};
use crate::payload::Payload;
use crate::view::{View, ViewOps, Viewable};
use crate::wire_ops::WireOps;
use std::any::TypeId;
use std::marker::PhantomData;

/// A value that can be sent to a process. Written by `#[message]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    note = "declare it with `#[message]`, or with `#[message(local)]` if it never leaves its node"
)]
pub trait Message: Send + Sized + 'static {
    /// What a `call` with this message answers; `()` for one-way messages.
    type Reply: Send + 'static;
    /// The type's table. `#[message]` makes it a `static`, so that its address is unique. Its type says whose table it is, so
    /// no implementation can pass another type's off as its own.
    const TABLE: &'static Table<Self>;
}

/// The erased table of a message type.
#[must_use]
#[inline(always)]
pub const fn vtable<M: Message>() -> &'static Vtable {
    M::TABLE.erased()
}

/// The table of one type, and known to be of that type.
#[derive(Debug)]
#[repr(transparent)]
pub struct Table<T> {
    erased: Vtable,
    of: PhantomData<fn() -> T>,
}

impl<M: Viewable> Table<View<M>> {
    /// The table of the views of a message. `ops`: what [`WireOps::of_views`] gives for it.
    #[must_use]
    pub const fn view(ops: &'static WireOps) -> Self {
        let Self { erased, of } = Self::wire(ops);
        Self { erased: Vtable { view: Some(const { &ViewOps::of::<M>() }), ..erased }, of }
    }
}

impl<T: Send + 'static> Table<T> {
    /// The table of a type that never leaves the node.
    #[must_use]
    pub const fn local() -> Self {
        Self {
            erased: Vtable {
                type_id: TypeId::of::<T>(),
                type_name: std::any::type_name::<T>,
                drop: Payload::drop_as::<T>,
                wire: None,
                view: None,
                holding: None,
            },
            of: PhantomData,
        }
    }

    /// The table of a type that may leave the node.
    #[must_use]
    pub const fn wire(ops: &'static WireOps) -> Self {
        let Self { erased, of } = Self::local();
        Self { erased: Vtable { wire: Some(ops), ..erased }, of }
    }

    /// The table of a type that never leaves the node and holds a message of type `M`.
    #[must_use]
    pub const fn holding<M: Message>() -> Self
    where
        T: Holds<M>,
    {
        let Self { erased, of } = Self::local();
        Self { erased: Vtable { holding: Some(const { &Holding::of::<T, M>() }), ..erased }, of }
    }

    /// The table without its type.
    #[must_use]
    #[inline(always)]
    pub const fn erased(&self) -> &Vtable {
        &self.erased
    }
}

/// Operations on one erased message type.
#[derive(Debug)]
pub struct Vtable {
    type_id: TypeId,
    type_name: fn() -> &'static str,
    drop: unsafe fn(*mut Payload),
    wire: Option<&'static WireOps>,
    view: Option<&'static ViewOps>,
    holding: Option<&'static Holding>,
}

impl Vtable {
    /// The type's identity.
    #[must_use]
    pub fn type_id(&self) -> TypeId {
        self.type_id
    }

    /// The type's name as the compiler prints it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    /// Operations for the wire; `None` for `#[message(local)]`.
    #[must_use]
    pub fn wire_ops(&self) -> Option<&'static WireOps> {
        self.wire
    }

    /// For the table of a [`View`]: how it and its message become each other.
    #[must_use]
    #[inline]
    pub const fn view_ops(&self) -> Option<&'static ViewOps> {
        self.view
    }

    /// For the table of a type that [holds](Holds) messages of another one: how it comes to.
    #[must_use]
    pub fn holding(&self) -> Option<&'static Holding> {
        self.holding
    }

    /// The table of what a caller asked with: of the message that is held, for a type that holds one.
    #[must_use]
    pub fn asked(&'static self) -> &'static Self {
        self.holding.map_or(self, Holding::held)
    }

    /// Whether this is the table of `M`.
    #[must_use]
    #[inline(always)]
    pub fn is<M: Message>(&self) -> bool {
        std::ptr::eq(self, vtable::<M>()) || self.type_id == TypeId::of::<M>()
    }

    /// Drops the erased value.
    ///
    /// # Safety
    /// `payload` holds a live value of this table's type, which is not used again.
    pub unsafe fn drop_payload(&self, payload: *mut Payload) {
        // SAFETY: forwarded; M1 makes the function the right one for the value.
        unsafe { (self.drop)(payload) }
    }
}
