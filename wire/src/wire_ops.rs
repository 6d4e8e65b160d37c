//! Operations of a message type that may leave the node, on its erased value and on its reply.
//!
//! Owns: [`WireOps`] and [`BodyOps`], tables of functions built at compile time by `#[message]`.
//! Invariant: O1 every function of a table is instantiated for the one type the table names, and each unsafe function
//! asks for a payload that holds, or shall hold, a value of that type.
//! Cost: one indirect call per message encoded or decoded.
#![expect(
    unsafe_code,
    reason = "calls erased functions; proven by tests/messages.rs: every_shape_round_trips"
)]

use crate::body::Body;
use crate::error::{JsonError, WireError};
use crate::frame::BodyWriter;
use crate::key::MessageKey;
use crate::message::{Message, Vtable};
use crate::payload::{Erased, Payload};
use crate::view::{self, View, ViewOps, Viewable};
use serde_json::Value;
use std::any::TypeId;
use std::mem::ManuallyDrop;

/// Operations on one erased type that can be a body: a message or a reply.
#[derive(Debug)]
pub struct BodyOps {
    type_id: TypeId,
    type_name: fn() -> &'static str,
    drop: unsafe fn(*mut Payload),
    encode: Encode,
    decode: Decode,
    check: Check,
    to_json: ToJson,
    from_json: FromJson,
    json_schema: fn() -> Value,
}

unsafe fn encode<T: Body>(payload: *const Payload, out: &mut BodyWriter<'_>) -> Result<(), WireError> {
    // SAFETY: O1: the caller gives a live `T`, which outlives this call.
    unsafe { Payload::borrow::<T>(payload) }.encode(out)
}

unsafe fn decode<T: Body>(bytes: &[u8], payload: *mut Payload) -> Result<(), WireError> {
    let value = T::decode(bytes)?;
    // SAFETY: the caller gives a payload that is valid for writes and holds nothing.
    unsafe { Payload::write(payload, value) };
    Ok(())
}

unsafe fn to_json<T: Body>(payload: *const Payload) -> Result<Value, JsonError> {
    // SAFETY: O1: the caller gives a live `T`, which outlives this call.
    unsafe { Payload::borrow::<T>(payload) }.to_json()
}

unsafe fn from_json<T: Body>(json: &Value, payload: *mut Payload) -> Result<(), JsonError> {
    let value = T::from_json(json)?;
    // SAFETY: the caller gives a payload that is valid for writes and holds nothing.
    unsafe { Payload::write(payload, value) };
    Ok(())
}

type Encode = unsafe fn(*const Payload, &mut BodyWriter<'_>) -> Result<(), WireError>;
type Decode = unsafe fn(&[u8], *mut Payload) -> Result<(), WireError>;
type Check = fn(&[u8]) -> Result<(), WireError>;
type ToJson = unsafe fn(*const Payload) -> Result<Value, JsonError>;
type FromJson = unsafe fn(&Value, *mut Payload) -> Result<(), JsonError>;

impl BodyOps {
    /// The operations of `T`.
    #[must_use]
    pub const fn of<T: Body>() -> Self {
        Self::by::<T>(
            (encode::<T>, decode::<T>, |bytes| T::view(bytes).map(|_| ())),
            (to_json::<T>, from_json::<T>, T::json_schema),
        )
    }

    /// The operations of `T` by these functions, which are of `T` (O1).
    pub(crate) const fn by<T: Send + 'static>(
        (encode, decode, check): (Encode, Decode, Check),
        (to_json, from_json, json_schema): (ToJson, FromJson, fn() -> Value),
    ) -> Self {
        let (type_id, type_name) = (TypeId::of::<T>(), std::any::type_name::<T> as fn() -> &'static str);
        let drop = Payload::drop_as::<T>;
        Self { type_id, type_name, drop, encode, decode, check, to_json, from_json, json_schema }
    }

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

    /// Appends the archive of the value in `payload`.
    ///
    /// # Errors
    /// [`WireError::Encode`] if the value refuses, [`WireError::FrameTooLarge`] at the limit of the frame.
    ///
    /// # Safety
    /// `payload` holds a live value of this table's type.
    #[inline]
    pub unsafe fn encode(&self, payload: *const Payload, out: &mut BodyWriter<'_>) -> Result<(), WireError> {
        // SAFETY: forwarded; O1.
        unsafe { (self.encode)(payload, out) }
    }

    /// Writes the value archived in `bytes` into `payload`. On an error nothing is written.
    ///
    /// # Errors
    /// [`WireError::Body`] if `bytes` are no archive of this type.
    ///
    /// # Safety
    /// `payload` is valid for writes; what it holds is overwritten without being dropped.
    #[inline]
    pub unsafe fn decode(&self, bytes: &[u8], payload: *mut Payload) -> Result<(), WireError> {
        // SAFETY: forwarded; O1.
        unsafe { (self.decode)(bytes, payload) }
    }

    /// Validates `bytes`, so that a view of them may be taken.
    ///
    /// # Errors
    /// [`WireError::Body`] if `bytes` are no archive of this type.
    #[inline]
    pub fn check(&self, bytes: &[u8]) -> Result<(), WireError> {
        (self.check)(bytes)
    }

    /// The value in `payload` as JSON.
    ///
    /// # Errors
    /// [`JsonError::Encode`] if it has no JSON form.
    ///
    /// # Safety
    /// `payload` holds a live value of this table's type.
    pub unsafe fn to_json(&self, payload: *const Payload) -> Result<Value, JsonError> {
        // SAFETY: forwarded; O1.
        unsafe { (self.to_json)(payload) }
    }

    /// Writes the value in a JSON document into `payload`. On an error nothing is written.
    ///
    /// # Errors
    /// [`JsonError::Decode`] if the document does not fit.
    ///
    /// # Safety
    /// `payload` is valid for writes; what it holds is overwritten without being dropped.
    pub unsafe fn from_json(&self, json: &Value, payload: *mut Payload) -> Result<(), JsonError> {
        // SAFETY: forwarded; O1.
        unsafe { (self.from_json)(json, payload) }
    }

    /// The JSON schema of the type.
    #[must_use]
    pub fn json_schema(&self) -> Value {
        (self.json_schema)()
    }
}

/// Operations of one message type, and of its reply type.
#[derive(Debug)]
pub struct WireOps {
    key: MessageKey,
    name: &'static str,
    // A function, because a static that named the message's table would be defined by itself.
    vtable: fn() -> &'static Vtable,
    body: BodyOps,
    reply: BodyOps,
    older: &'static [Older],
    view: Option<&'static ViewOps>,
}

/// An earlier version of a message type.
#[derive(Debug)]
pub struct Older {
    vtable: fn() -> &'static Vtable,
    later: fn() -> &'static Vtable,
    upgrading: &'static WireOps,
    encode: Encode,
}

unsafe fn encode_as<New, Old>(payload: *const Payload, out: &mut BodyWriter<'_>) -> Result<(), WireError>
where
    New: Message,
    Old: Body + for<'a> From<&'a New>,
{
    // SAFETY: O1: the caller gives a live `New`, which outlives this call.
    Old::from(unsafe { Payload::borrow::<New>(payload) }).encode(out)
}

unsafe fn decode_from<Old: Body, New: Message + From<Old>>(
    bytes: &[u8],
    payload: *mut Payload,
) -> Result<(), WireError> {
    let value = New::from(Old::decode(bytes)?);
    // SAFETY: the caller gives a payload that is valid for writes and holds nothing.
    unsafe { Payload::write(payload, value) };
    Ok(())
}

impl Older {
    /// `Old` as an earlier version of `New`. `upgrading`: what [`WireOps::upgrading`] gives for both.
    #[must_use]
    pub const fn of<Old, New>(upgrading: &'static WireOps) -> Self
    where
        Old: Message + Body + for<'a> From<&'a New>,
        New: Message + From<Old>,
    {
        let later = crate::message::vtable::<New>;
        Self { vtable: crate::message::vtable::<Old>, later, upgrading, encode: encode_as::<New, Old> }
    }

    /// The same, of views of `New`.
    #[must_use]
    pub const fn of_views<Old, New>(upgrading: &'static WireOps) -> Self
    where
        Old: Message + Body + for<'a> From<&'a New>,
        New: Viewable + From<Old>,
    {
        let later = crate::message::vtable::<View<New>>;
        Self { vtable: crate::message::vtable::<Old>, later, upgrading, encode: view::encode_as::<New, Old> }
    }

    /// The key of the earlier version; `None` if that never leaves the node.
    #[must_use]
    pub fn key(&self) -> Option<MessageKey> {
        Some((self.vtable)().wire_ops()?.key())
    }

    /// The operations by which its archives become values of the later version.
    #[must_use]
    pub fn upgrading(&self) -> &'static WireOps {
        self.upgrading
    }

    /// Appends the archive, in the earlier version, of a message that stays where it is.
    ///
    /// # Errors
    /// As for [`WireOps::encode`].
    ///
    /// # Panics
    /// `M` is not the later version.
    pub fn encode<M: Message>(&self, message: &M, out: &mut BodyWriter<'_>) -> Result<(), WireError> {
        assert!((self.later)().is::<M>(), "the operations of another message type");
        Payload::lend(message, |payload| {
            // SAFETY: O1 and the type test above; the payload is only borrowed.
            unsafe { (self.encode)(payload, out) }
        })
    }
}

impl WireOps {
    /// The operations of `M`, whose wire name is `name`.
    #[must_use]
    pub const fn of<M>(name: &'static str) -> Self
    where
        M: Message + Body,
        M::Reply: Body,
    {
        Self {
            key: MessageKey::of(name, M::HASH),
            name,
            vtable: crate::message::vtable::<M>,
            body: BodyOps::of::<M>(),
            reply: BodyOps::of::<M::Reply>(),
            older: &[],
            view: None,
        }
    }

    /// The operations of views of `M`, whose wire name is `name`. To other nodes they are messages like all others.
    #[must_use]
    pub const fn of_views<M: Viewable>(name: &'static str) -> Self
    where
        M::Reply: Body,
    {
        let mut ops = Self::of::<M>(name);
        ops.vtable = crate::message::vtable::<View<M>>;
        ops.body = view::body_ops::<M>();
        ops
    }

    /// The same, of a message of which there are views.
    #[must_use]
    pub const fn with_views<M: Viewable>(mut self) -> Self {
        self.view = Some(const { &ViewOps::of::<M>() });
        self
    }

    /// The same, of a message that has earlier versions, the newest of them first.
    #[must_use]
    pub const fn with_older(mut self, older: &'static [Older]) -> Self {
        self.older = older;
        self
    }

    /// The operations that read `Old`, whose wire name is `name`, as `New`.
    #[must_use]
    pub const fn upgrading<Old, New>(name: &'static str) -> Self
    where
        Old: Message + Body,
        New: Message<Reply = Old::Reply> + Body + From<Old>,
        New::Reply: Body,
    {
        let mut ops = Self::of::<New>(name);
        ops.key = MessageKey::of(name, Old::HASH);
        ops.body.decode = decode_from::<Old, New>;
        ops.body.check = |bytes| Old::view(bytes).map(|_| ());
        ops
    }

    /// Earlier versions that are still read, and written to nodes that know none later; the newest first.
    #[must_use]
    #[inline]
    pub fn older(&self) -> &'static [Older] {
        self.older
    }

    /// How views of the message are made; `None` for views themselves, and for what reads an earlier version.
    #[must_use]
    #[inline]
    pub fn view_ops(&self) -> Option<&'static ViewOps> {
        self.view
    }

    /// The key in frame headers.
    #[must_use]
    #[inline]
    pub fn key(&self) -> MessageKey {
        self.key
    }

    /// The wire name: `crate::module::Type`, unless the message names another.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The message type's table.
    #[must_use]
    #[inline]
    pub fn vtable(&self) -> &'static Vtable {
        (self.vtable)()
    }

    /// Operations on the message.
    #[must_use]
    #[inline]
    pub fn body(&self) -> &BodyOps {
        &self.body
    }

    /// Operations on the reply.
    #[must_use]
    #[inline]
    pub fn reply(&'static self) -> &'static BodyOps {
        &self.reply
    }

    /// Appends the archive of a message that stays where it is.
    ///
    /// # Errors
    /// [`WireError::Encode`] if the value refuses, [`WireError::FrameTooLarge`] at the limit of the frame.
    ///
    /// # Panics
    /// `M` is not the type of these operations.
    #[inline]
    pub fn encode<M: Message>(&self, message: &M, out: &mut BodyWriter<'_>) -> Result<(), WireError> {
        assert!(self.vtable().is::<M>(), "the operations of another message type");
        Payload::lend(message, |payload| {
            // SAFETY: O1 and the type test above; the payload is only borrowed.
            unsafe { self.body.encode(payload, out) }
        })
    }

    /// Appends the archive of an erased reply, if it is of the reply's type.
    ///
    /// # Errors
    /// As for [`WireOps::encode`]; a payload of another type is a [`WireError::Encode`].
    ///
    /// # Safety
    /// `payload` holds a live value of the type that `table` describes.
    pub unsafe fn encode_reply(
        &self,
        table: &Vtable,
        payload: *const Payload,
        out: &mut BodyWriter<'_>,
    ) -> Result<(), WireError> {
        if table.type_id() != self.reply.type_id() {
            return Err(WireError::Encode { message: self.reply.type_name() });
        }
        // SAFETY: the caller's promise and the type test above.
        unsafe { self.reply.encode(payload, out) }
    }

    /// The message archived in `bytes`, which start at an address that is a multiple of 16.
    ///
    /// # Errors
    /// [`WireError::Body`] if `bytes` are no archive of this type.
    #[inline]
    pub fn decode(&self, bytes: &[u8]) -> Result<Erased, WireError> {
        let mut payload = Payload::EMPTY;
        // SAFETY: the payload is local and empty.
        unsafe { self.body.decode(bytes, &raw mut payload) }?;
        // SAFETY: O1: `body` and `vtable` are of one type, and the payload was just filled.
        Ok(unsafe { Erased::from_parts((self.vtable)(), payload) })
    }

    /// The message in a JSON document. `{}` stands for a message without fields.
    ///
    /// # Errors
    /// [`JsonError::Decode`] if the document does not fit.
    pub fn from_json(&self, json: &Value) -> Result<Erased, JsonError> {
        let mut payload = Payload::EMPTY;
        // SAFETY: the payload is local and empty.
        unsafe { self.body.from_json(json, &raw mut payload) }?;
        // SAFETY: O1: `body` and `vtable` are of one type, and the payload was just filled.
        Ok(unsafe { Erased::from_parts((self.vtable)(), payload) })
    }

    /// The reply archived in `bytes`, which start at an address that is a multiple of 16.
    ///
    /// # Errors
    /// [`WireError::Body`] if `bytes` are no archive of the reply type.
    #[inline]
    pub fn decode_reply(&'static self, bytes: &[u8]) -> Result<ErasedReply, WireError> {
        let mut payload = Payload::EMPTY;
        // SAFETY: the payload is local and empty.
        unsafe { self.reply.decode(bytes, &raw mut payload) }?;
        Ok(ErasedReply { ops: &self.reply, payload })
    }
}

impl Erased {
    /// Appends the archive of the message.
    ///
    /// # Errors
    /// [`WireError::Encode`] if the type never leaves the node or the value refuses, [`WireError::FrameTooLarge`] at
    /// the limit of the frame.
    pub fn encode(&self, out: &mut BodyWriter<'_>) -> Result<(), WireError> {
        let ops = self
            .vtable()
            .wire_ops()
            .ok_or_else(|| WireError::Encode { message: self.vtable().type_name() })?;
        // SAFETY: P2: the payload holds a live value of the vtable's type, which is the table's by O1.
        unsafe { ops.body.encode(self.payload(), out) }
    }

    /// The message as JSON; `None` for a type that never leaves the node.
    ///
    /// # Errors
    /// [`JsonError::Encode`] if the value has no JSON form.
    pub fn to_json(&self) -> Result<Option<Value>, JsonError> {
        let Some(ops) = self.vtable().wire_ops() else { return Ok(None) };
        // SAFETY: P2: the payload holds a live value of the vtable's type, which is the table's by O1.
        unsafe { ops.body.to_json(self.payload()) }.map(Some)
    }
}

/// A reply that carries its own type.
#[derive(Debug)]
pub struct ErasedReply {
    ops: &'static BodyOps,
    payload: Payload,
}

// SAFETY: it holds a value of a type that is a `Body`, and every body is `Send`.
unsafe impl Send for ErasedReply {}

impl ErasedReply {
    /// The operations of the reply's type.
    #[must_use]
    pub fn ops(&self) -> &'static BodyOps {
        self.ops
    }

    /// Splits into parts. The caller now owns the value in the payload and must consume it.
    #[must_use]
    pub fn into_parts(self) -> (&'static BodyOps, Payload) {
        let this = ManuallyDrop::new(self);
        (this.ops, this.payload)
    }

    /// The value, if it is an `R`.
    ///
    /// # Errors
    /// Gives the reply back if it is of another type.
    pub fn downcast<R: 'static>(self) -> Result<R, Self> {
        if self.ops.type_id != TypeId::of::<R>() {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: the type was tested; `ManuallyDrop` keeps it from being dropped again.
        Ok(unsafe { Payload::read::<R>(&raw const this.payload) })
    }

    /// The reply as JSON.
    ///
    /// # Errors
    /// [`JsonError::Encode`] if the value has no JSON form.
    pub fn to_json(&self) -> Result<Value, JsonError> {
        // SAFETY: the payload holds a live value of the table's type.
        unsafe { self.ops.to_json(&raw const self.payload) }
    }
}

impl Drop for ErasedReply {
    fn drop(&mut self) {
        // SAFETY: the payload holds a live value of this type, dropped once, here.
        unsafe { (self.ops.drop)(&raw mut self.payload) }
    }
}
