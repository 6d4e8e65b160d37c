//! What a file that declares actors imports.

pub use crate::{
    ActorError, ActorResult, CallError, Context, ExitReason, Inspect, Named, Node, NodeError, Pid, Priority,
    ReplyTo, SendError, SpawnError, SpawnOptions, actor, data, handle, message,
};
