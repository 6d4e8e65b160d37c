//! Errors, one type per area.

mod actor;
mod call;
mod node;
mod preflight;
mod send;
mod spawn;

pub use actor::{ActorError, ActorResult, ExitReason};
pub use call::CallError;
pub use node::NodeError;
pub use preflight::PreflightError;
pub use send::{SendError, SendReason};
pub use spawn::SpawnError;
