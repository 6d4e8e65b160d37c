//! Message bodies: rkyv archives written in place and always validated before they are read.
//!
//! Owns: [`Body`], what a type needs to be a body, implemented for every type that qualifies.
//! Invariants: B1 bytes become a value or a view only after validation, which checks bounds, alignment, overlap, and
//! depth up to [`MAX_BODY_DEPTH`](crate::limits::MAX_BODY_DEPTH). B2 a body starts at an address that is a multiple of
//! [`BODY_ALIGN`](crate::limits::BODY_ALIGN), and no archived type asks for more.
//! Cost: encoding copies each value once, into the batch buffer; decoding flat bodies allocates nothing.

use crate::error::{JsonError, WireError};
use crate::frame::{BodyWriter, Sink};
use crate::limits::{BODY_ALIGN, MAX_BODY_DEPTH};
use crate::schema::Schema;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Strategy};
use rkyv::ser::Serializer;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::{Archive, Deserialize, Portable, Serialize};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// What a body is serialised with: no shared pointers, so nothing to remember between two values.
pub type BodySerializer<'a> = Strategy<Serializer<&'a mut Sink, ArenaHandle<'a>, ()>, Failure>;
/// What a body is deserialised with.
pub type BodyDeserializer = Strategy<(), Failure>;
/// What a body is validated with.
pub type BodyValidator<'a> = Strategy<ArchiveValidator<'a>, Failure>;

/// A type that may travel between nodes, as a message or as a reply.
///
/// Implemented for every type that qualifies: those with `#[message]` or `#[data]`, numbers, texts, collections,
/// tuples, `Option`, `Result` and identities such as [`Pid`](crate::Pid).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot leave the node",
    note = "put `#[data]` on `{Self}` if it is yours, or make the message `#[message(local)]`"
)]
pub trait Body: Archive + Schema + Send + 'static {
    /// Appends the archive of the value.
    ///
    /// # Errors
    /// [`WireError::Encode`] if a value refuses, [`WireError::FrameTooLarge`] at the limit of the frame.
    fn encode(&self, out: &mut BodyWriter<'_>) -> Result<(), WireError>;

    /// The value in `bytes`, which start at an address that is a multiple of 16.
    ///
    /// # Errors
    /// [`WireError::Body`] if `bytes` are no archive of this type.
    fn decode(bytes: &[u8]) -> Result<Self, WireError>
    where
        Self: Sized;

    /// Borrows the archived value in `bytes`, without copying. Validated as by [`Body::decode`].
    ///
    /// # Errors
    /// [`WireError::Body`] if `bytes` are no archive of this type.
    fn view(bytes: &[u8]) -> Result<&Self::Archived, WireError>;

    /// The value of an archive that was validated.
    ///
    /// # Errors
    /// [`WireError::Body`] if a value refuses.
    fn from_archived(archived: &Self::Archived) -> Result<Self, WireError>
    where
        Self: Sized;

    /// The value as JSON.
    ///
    /// # Errors
    /// [`JsonError::Encode`] if it has no JSON form.
    fn to_json(&self) -> Result<serde_json::Value, JsonError>;

    /// The value in a JSON document. `{}` stands for a type without fields.
    ///
    /// # Errors
    /// [`JsonError::Decode`] if the document does not fit.
    fn from_json(json: &serde_json::Value) -> Result<Self, JsonError>
    where
        Self: Sized;

    /// The JSON schema of the type.
    fn json_schema() -> serde_json::Value;
}

impl<T> Body for T
where
    T: Archive + Schema + Send + 'static,
    T: for<'a> Serialize<BodySerializer<'a>>,
    T: serde::Serialize + DeserializeOwned + JsonSchema,
    T::Archived: Portable + Deserialize<T, BodyDeserializer> + for<'a> CheckBytes<BodyValidator<'a>>,
{
    #[inline]
    fn encode(&self, out: &mut BodyWriter<'_>) -> Result<(), WireError> {
        const {
            assert!(
                align_of::<T::Archived>() <= BODY_ALIGN,
                "the archived type asks for more alignment than a body has"
            )
        };
        out.serialize(
            |serializer| rkyv::api::serialize_using(self, serializer).map(|_| ()),
            std::any::type_name::<T>,
        )
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let archived = T::view(bytes)?;
        rkyv::api::deserialize_using(archived, &mut ()).map_err(|Failure| invalid::<T>(bytes))
    }

    #[inline]
    fn view(bytes: &[u8]) -> Result<&T::Archived, WireError> {
        let mut validator = ArchiveValidator::with_max_depth(bytes, MAX_BODY_DEPTH);
        rkyv::api::access_with_context::<T::Archived, _, Failure>(bytes, &mut validator)
            .map_err(|Failure| invalid::<T>(bytes))
    }

    #[inline]
    fn from_archived(archived: &T::Archived) -> Result<Self, WireError> {
        rkyv::api::deserialize_using(archived, &mut ()).map_err(|Failure| WireError::Body {
            message: std::any::type_name::<T>(),
            len: size_of::<T::Archived>(),
        })
    }

    fn to_json(&self) -> Result<serde_json::Value, JsonError> {
        serde_json::to_value(self)
            .map_err(|source| JsonError::Encode { message: std::any::type_name::<T>(), source })
    }

    fn from_json(json: &serde_json::Value) -> Result<Self, JsonError> {
        let first = match T::deserialize(json) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // A unit struct is `null` for serde, but a tool that fills in a form sends `{}`.
        let empty = json.as_object().is_some_and(serde_json::Map::is_empty);
        match T::deserialize(serde_json::Value::Null) {
            Ok(value) if empty && size_of::<T>() == 0 => Ok(value),
            _ => Err(JsonError::Decode { message: std::any::type_name::<T>(), source: first }),
        }
    }

    fn json_schema() -> serde_json::Value {
        schemars::schema_for!(T).to_value()
    }
}

#[cold]
fn invalid<T>(bytes: &[u8]) -> WireError {
    WireError::Body { message: std::any::type_name::<T>(), len: bytes.len() }
}
