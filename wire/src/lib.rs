//! Identities, frames and the message registry of shard-runtime.
//!
//! Pure data: this crate has no thread, no socket and no clock. What needs time or randomness takes it as an
//! argument. See `ARCHITECTURE.md` for where each piece is used.

// The macros name this crate by its own name, also inside it and in its tests.
extern crate self as shard_wire;

mod body;
pub mod cursor;
mod error;
pub mod frame;
pub mod header;
mod ids;
mod key;
pub mod limits;
mod message;
mod node_name;
mod payload;
mod registry;
mod schema;
mod wire_ops;

pub use body::Body;
pub use error::{JsonError, WireError};
pub use ids::{Incarnation, IncarnationKey, LocalId, Pid, ShardId};
pub use key::{BODY_FORMAT, MessageKey};
pub use message::{Message, Vtable};
pub use node_name::{NodeCrc, NodeName, NodeNameError};
pub use payload::{Erased, INLINE_BYTES, Payload};
pub use registry::{KeyHasher, MessageEntry, Place, Registry, RegistryError};
pub use schema::Schema;
pub use shard_wire_macros::{data, message};
pub use wire_ops::{BodyOps, ErasedReply, WireOps};

/// What the emitted code of `#[message]` and `#[data]` names. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::body::{BodyDeserializer, BodySerializer, BodyValidator};
    pub use crate::message::{Message, Vtable};
    pub use crate::registry::{MESSAGES, MessageEntry};
    pub use crate::schema::{Schema, Shape};
    pub use crate::wire_ops::WireOps;
    pub use {linkme, rkyv, schemars, serde};
}
