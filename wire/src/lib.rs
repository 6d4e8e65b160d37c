//! Identities, frames and the message registry of shard-runtime.
//!
//! Pure data: this crate has no thread, no socket and no clock. What needs time or randomness takes it as an
//! argument. See `ARCHITECTURE.md` for where each piece is used.
//!
//! ```
//! use shard_wire::frame::{FrameBuf, FrameHead, Parsed, parse};
//! use shard_wire::header::FrameKind;
//! use shard_wire::{Erased, Registry, message};
//!
//! #[message(name = "doc::Add")]
//! struct Add {
//!     n: i64,
//! }
//!
//! let registry = Registry::collect()?;
//! let add = Erased::new(Add { n: 2 });
//! let mut batch = FrameBuf::default();
//! let key = registry.by_name("doc::Add").ok_or("not linked")?.ops().key();
//! batch.push_frame(&FrameHead { key, ..FrameHead::new(FrameKind::Send) }, |body| add.encode(body))?;
//!
//! let Parsed::Frame(frame) = parse(batch.as_slice(), batch.max_frame())? else { return Err("cut".into()) };
//! let back = registry.resolve(frame.header.key)?.ops().decode(frame.body)?;
//! assert_eq!(back.downcast::<Add>().map_err(|_| "another type")?.n, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Bytes here come from peers: nothing may panic on them or cut a number silently. Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )
)]

// The macros name this crate by its own name, also inside it and in its tests.
extern crate self as shard_wire;

mod ack;
pub mod ask;
mod body;
pub mod compress;
pub mod cursor;
mod error;
pub mod event;
pub mod flow;
pub mod frame;
pub mod handshake;
pub mod header;
mod holding;
mod ids;
mod key;
pub mod limits;
mod message;
mod node_name;
mod payload;
pub mod placement;
mod registry;
pub mod relation;
mod schema;
pub mod session;
mod text;
mod view;
mod wire_ops;

pub use ack::{ACK_BYTES, Ack};
pub use body::Body;
pub use error::{JsonError, WireError};
pub use holding::{Holding, Holds};
pub use ids::{Alias, Incarnation, IncarnationKey, LocalId, Pid, Ref, ShardId};
pub use ids::{ArchivedAlias, ArchivedIncarnationKey, ArchivedLocalId, ArchivedPid, ArchivedRef};
pub use key::{BODY_FORMAT, MessageKey};
pub use message::{Message, Table, Vtable, vtable};
pub use node_name::{NodeCrc, NodeName, NodeNameError};
pub use payload::{Erased, INLINE_BYTES, Payload};
pub use registry::{KeyHasher, MessageEntry, Place, Registry, RegistryError, TYPES};
pub use schema::Schema;
pub use shard_wire_macros::{data, message};
pub use text::{AddressError, EventId, ParseIdError, ProcessId, ShortAlias, ShortPid, ShortRef};
pub use view::{Lease, View, ViewOps, ViewPool, Viewable};
pub use wire_ops::{BodyOps, ErasedReply, Older, WireOps};

/// What the emitted code of `#[message]` and `#[data]` names. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::body::{BodyDeserializer, BodySerializer, BodyValidator};
    pub use crate::message::{Message, Table, Vtable, vtable};
    pub use crate::registry::{MESSAGES, MessageEntry};
    pub use crate::schema::{Schema, Shape};
    pub use crate::view::{View, Viewable};
    pub use crate::wire_ops::{Older, WireOps};
    pub use {linkme, rkyv, schemars, serde};
}
