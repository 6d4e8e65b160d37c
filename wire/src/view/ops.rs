//! Views without their types: how one is made of received bytes, of a message, and a message of one.
//!
//! Invariant: O1 as in [`wire_ops`](crate::wire_ops): every function of a table is of the one message type the table names.
#![expect(
    unsafe_code,
    reason = "calls erased functions; proven by archived::tests::views_and_messages_become_each_other"
)]

use crate::body::Body;
use crate::error::{JsonError, WireError};
use crate::frame::BodyWriter;
use crate::message::{Vtable, vtable};
use crate::payload::{Erased, Payload};
use crate::view::{Lease, View, ViewPool, Viewable};
use crate::wire_ops::BodyOps;
use serde_json::Value;

/// Operations on the views of one message type.
#[derive(Debug)]
pub struct ViewOps {
    message: fn() -> &'static Vtable,
    view: fn() -> &'static Vtable,
    open: unsafe fn(Lease, *mut Payload) -> Result<(), WireError>,
    own: unsafe fn(*const Payload, *mut Payload) -> Result<(), WireError>,
}

unsafe fn open<M: Viewable>(lease: Lease, payload: *mut Payload) -> Result<(), WireError> {
    let view = View::<M>::open(lease)?;
    // SAFETY: the caller gives a payload that is valid for writes and holds nothing.
    unsafe { Payload::write(payload, view) };
    Ok(())
}

unsafe fn own<M: Viewable>(view: *const Payload, payload: *mut Payload) -> Result<(), WireError> {
    // SAFETY: O1: the caller gives a live view of an `M`, which outlives this call.
    let message = unsafe { Payload::borrow::<View<M>>(view) }.decode()?;
    // SAFETY: the caller gives a payload that is valid for writes and holds nothing.
    unsafe { Payload::write(payload, message) };
    Ok(())
}

pub(crate) unsafe fn encode<M: Viewable>(
    payload: *const Payload,
    out: &mut BodyWriter<'_>,
) -> Result<(), WireError> {
    // SAFETY: O1: the caller gives a live view of an `M`. Archives may lie at any multiple of 16, as bodies do.
    out.put(unsafe { Payload::borrow::<View<M>>(payload) }.bytes())
}

pub(crate) unsafe fn encode_as<New: Viewable, Old: Body + for<'a> From<&'a New>>(
    payload: *const Payload,
    out: &mut BodyWriter<'_>,
) -> Result<(), WireError> {
    // SAFETY: O1: the caller gives a live view of a `New`, which outlives this call.
    let new = unsafe { Payload::borrow::<View<New>>(payload) }.decode()?;
    Old::from(&new).encode(out)
}

unsafe fn decode<M: Viewable>(bytes: &[u8], payload: *mut Payload) -> Result<(), WireError> {
    let invalid = WireError::Body { message: std::any::type_name::<M>(), len: bytes.len() };
    // SAFETY: forwarded.
    unsafe { open::<M>(Lease::copied(bytes).ok_or(invalid)?, payload) }
}

unsafe fn to_json<M: Viewable>(payload: *const Payload) -> Result<Value, JsonError> {
    // SAFETY: O1: the caller gives a live view of an `M`, which outlives this call.
    let view = unsafe { Payload::borrow::<View<M>>(payload) };
    view.decode()
        .map_err(|error| unreadable::<M, _>(&error, |message, source| JsonError::Encode { message, source }))?
        .to_json()
}

unsafe fn from_json<M: Viewable>(json: &Value, payload: *mut Payload) -> Result<(), JsonError> {
    let view = View::new(&M::from_json(json)?).map_err(|error| {
        unreadable::<M, _>(&error, |message, source| JsonError::Decode { message, source })
    })?;
    // SAFETY: the caller gives a payload that is valid for writes and holds nothing.
    unsafe { Payload::write(payload, view) };
    Ok(())
}

fn unreadable<M, E>(error: &WireError, of: fn(&'static str, serde_json::Error) -> E) -> E {
    of(std::any::type_name::<M>(), serde::ser::Error::custom(error))
}

/// The operations of views as bodies.
pub(crate) const fn body_ops<M: Viewable>() -> BodyOps {
    BodyOps::by::<View<M>>(
        (encode::<M>, decode::<M>, |bytes| M::view(bytes).map(|_| ())),
        (to_json::<M>, from_json::<M>, M::json_schema),
    )
}

impl ViewOps {
    /// The operations of views of `M`.
    #[must_use]
    pub const fn of<M: Viewable>() -> Self {
        Self { message: vtable::<M>, view: vtable::<View<M>>, open: open::<M>, own: own::<M> }
    }

    /// The table of the views.
    #[must_use]
    #[inline]
    pub fn vtable(&self) -> &'static Vtable {
        (self.view)()
    }

    /// A view of the archive in these bytes, which start at a multiple of 16.
    ///
    /// # Errors
    /// [`WireError::Body`] if they are no archive of the message.
    #[inline]
    pub fn open(&self, lease: Lease) -> Result<Erased, WireError> {
        let mut payload = Payload::EMPTY;
        // SAFETY: the payload is local and empty.
        unsafe { (self.open)(lease, &raw mut payload) }?;
        // SAFETY: O1: both are of one message type, and the payload was just filled.
        Ok(unsafe { Erased::from_parts((self.view)(), payload) })
    }
}

impl Vtable {
    /// The table of the type that a value of this one can become: of a message its view, of a view its message. `None` for
    /// messages that never leave their node.
    #[must_use]
    pub fn other_form(&self) -> Option<&'static Self> {
        match self.view_ops() {
            Some(ops) => Some((ops.message)()),
            None => Some(self.wire_ops()?.view_ops()?.vtable()),
        }
    }
}

impl Erased {
    /// A view of the message, or the message of the view; this one stays as it is.
    ///
    /// # Errors
    /// [`WireError::Encode`] for a message that never leaves its node, and what encoding and decoding refuse.
    pub fn to_other_form(&self, pool: &mut ViewPool) -> Result<Self, WireError> {
        let Some(ops) = self.vtable().view_ops() else {
            let no_view = || WireError::Encode { message: self.vtable().type_name() };
            let ops = self.vtable().wire_ops().and_then(|ops| ops.view_ops()).ok_or_else(no_view)?;
            return ops.open(pool.encode(|out| self.encode(out))?);
        };
        let mut payload = Payload::EMPTY;
        // SAFETY: P2: it holds a live view of the message that `ops` are of; the payload is local and empty.
        unsafe { (ops.own)(self.payload(), &raw mut payload) }?;
        // SAFETY: O1: both are of one message type, and the payload was just filled.
        Ok(unsafe { Self::from_parts((ops.message)(), payload) })
    }
}
