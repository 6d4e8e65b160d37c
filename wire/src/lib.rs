//! Identities, frames and the message registry of shard-runtime.
//!
//! Pure data: this crate has no thread, no socket and no clock. What needs time or randomness takes it as an
//! argument. See `ARCHITECTURE.md` for where each piece is used.

pub mod handshake;
mod ids;
mod message;
mod node_name;
mod payload;
pub mod placement;
pub mod session;

pub use ids::{Incarnation, IncarnationKey, LocalId, Pid, ShardId};
pub use message::{Message, Vtable, WireOps};
pub use node_name::{NodeCrc, NodeName, NodeNameError};
pub use payload::{Erased, INLINE_BYTES, Payload};
