//! Applications: named groups of processes with a failure policy, an environment and hooks of their life.
//!
//! The node's steward, a process of shard 0, owns their states. A member is watched before it is listed, and listed before the
//! application is said to run, so none that ends is missed. Each application has one process that runs its hooks.
//! Invariants: A1 only the steward changes a state. A2 an application has ended when no process belongs to it any more, or those
//! that are left were killed and named. Threads: the steward's shard; readers see immutable snapshots.
//! Cost: nothing per message; a spawn below a member costs one look at a short list and one atomic add.

mod context;
mod core_event;
mod desk;
mod hooks;
mod info;
mod lifecycle;
mod order;
mod spec;
mod steward;
mod table;
mod teardown;

pub use context::AppContext;
pub use core_event::CoreEvent;
pub use info::{AppInfo, AppState};
pub use spec::{AppFailure, AppMode, AppSpec, Application};

pub(crate) use core_event::CORE_EVENT;
pub(crate) use desk::{Asked, Change, Load, Start, Stop, Unload, plan};
pub(crate) use hooks::Candidate;
pub(crate) use order::ordered;
pub(crate) use steward::{Emptied, NodeSession, STEWARD, Steward};
pub(crate) use table::Apps;
