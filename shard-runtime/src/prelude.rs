//! What a file that declares actors imports.

pub use crate::{
    ActorError, ActorResult, CallError, ChildSpec, Context, Down, ExitReason, ExitSignal, Inspect, Named,
    Node, NodeError, Pid, Priority, ReplyTo, SendError, SpawnError, SpawnOptions, Supervisor, SupervisorSpec,
    actor, data, handle, message,
};
