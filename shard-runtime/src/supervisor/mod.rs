//! The supervisor's restart algorithm: a pure state machine, events in, actions out.
//!
//! Owns: what a supervisor, a child specification and a restart policy are, and every decision about them: who is
//! started, stopped, restarted, disabled or given up, in which order and with which reason. Not the doing: an actor
//! executes the actions and reports what came of them.
//! Invariants: V1 at most one start is outstanding. V2 a specification never has two instances (simple one for one: an
//! instance never has two processes). V3 the machine ends only when no child is left. V4 every request is answered once.
//! V5 once all starts, stops and timers are answered, the machine is running or has ended.
//! Threads: none; a machine belongs to the actor that executes it. Time and randomness are arguments.
//! Cost: cold path. A child's end costs a few map look-ups; only group restarts and a shutdown walk all children.

mod actor;
mod backoff;
mod child;
mod ending;
mod error;
mod event;
mod group;
mod inspect;
mod intensity;
mod machine;
mod manage;
mod reason;
mod snapshot;
mod spec;
mod stop;

#[cfg(test)]
mod tests;

pub use actor::{
    AddChild, Child, ChildEvent, Children, DisableChild, EnableChild, RemoveChild, StartChild, Supervisor,
    TerminateInstance,
};
pub use backoff::Backoff;
pub use error::{InvalidSpec, SupervisorError};
pub use event::{ChildId, Phase};
pub use snapshot::{ChildSnapshot, ChildState, RestartRecord, Snapshot, SpecSnapshot};
pub use spec::{ChildSpec, OnExceed, Shutdown, Strategy, SupervisorSpec, SupervisorType};

#[cfg(test)]
pub(crate) use event::{Action, Event, Outcome, Request, RequestId, Token};
#[cfg(test)]
pub(crate) use machine::Machine;
#[cfg(test)]
pub(crate) use reason::Reason;
