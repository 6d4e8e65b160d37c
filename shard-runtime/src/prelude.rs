//! What a file that declares actors imports.

pub use crate::{
    ActorError, ActorResult, CallError, ChildSpec, Context, Down, Event, EventOptions, ExitReason,
    ExitSignal, Inspect, Named, Node, NodeError, Pid, Priority, ReplyTo, SendError, SpawnError, SpawnOptions,
    Supervisor, SupervisorSpec, Topic, actor, data, handle, message,
};
