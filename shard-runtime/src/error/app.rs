//! Why an application was not loaded, started, stopped or changed.

use crate::error::ExitReason;
use std::time::Duration;

/// Why an application was not loaded, started, stopped or changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The name is empty or longer than 255 bytes.
    #[error("`{0}` is not a name for an application: it must have 1 to 255 bytes")]
    BadName(Box<str>),
    /// An application of this name is loaded.
    #[error("an application `{0}` is loaded already; unload it first or choose another name")]
    Taken(Box<str>),
    /// No application of this name is loaded.
    #[error("no application `{0}` is loaded")]
    Unknown(Box<str>),
    /// It has no members.
    #[error("the application `{0}` has no members; add at least one to its specification")]
    Empty(Box<str>),
    /// Its `name` or `spec` panicked.
    #[error("the application's specification panicked: {0}")]
    SpecPanicked(Box<str>),
    /// The node has as many applications as it can hold.
    #[error("the node has {limit} applications, which is the limit; unload one")]
    Limit {
        /// The limit.
        limit: usize,
    },
    /// It depends on an application that is not loaded, or not running.
    #[error("`{application}` depends on `{on}`, which is not {must_be}")]
    Depends {
        /// Which.
        application: Box<str>,
        /// On what.
        on: Box<str>,
        /// `loaded` or `running`.
        must_be: &'static str,
    },
    /// Applications depend on each other in a circle.
    #[error("applications depend on each other in a circle: {}", path.join(" -> "))]
    Cycle {
        /// The circle; its first name is its last.
        path: Vec<String>,
    },
    /// It depends on the network, and the node has none.
    #[error("`{0}` depends on the network: start the node with `listen`, `registrar` or `route`")]
    NeedsNetwork(Box<str>),
    /// A running application depends on it. Stop that one first, or use force.
    #[error("`{by}` depends on `{application}` and runs; stop it first")]
    NeededBy {
        /// Which.
        application: Box<str>,
        /// Who depends on it.
        by: Box<str>,
    },
    /// It runs, or is starting.
    #[error("the application `{0}` runs")]
    Running(Box<str>),
    /// It is being stopped; that goes on whoever waits for it.
    #[error("the application `{0}` is being stopped")]
    Stopping(Box<str>),
    /// It is loaded and does not run.
    #[error("the application `{0}` does not run")]
    NotRunning(Box<str>),
    /// Its `init` failed. `terminate` is not called.
    #[error("the init of `{application}` failed: {reason}")]
    Init {
        /// Which.
        application: Box<str>,
        /// Why.
        reason: ExitReason,
    },
    /// Its `init` was not done in time.
    #[error("the init of `{application}` was not done within {limit:?}")]
    InitTimeout {
        /// Which.
        application: Box<str>,
        /// How long it had.
        limit: Duration,
    },
    /// A member did not start, or ended while others were starting. Those that had started were ended.
    #[error("member {member} of `{application}` did not start: {reason}")]
    Member {
        /// Which.
        application: Box<str>,
        /// The member's name, or its place in the list, from 0.
        member: Box<str>,
        /// Why.
        reason: ExitReason,
    },
    /// It was stopped while it was starting.
    #[error("the application `{0}` was stopped while it was starting")]
    Interrupted(Box<str>),
    /// The node's shard that runs applications gave no answer in time.
    #[error("no answer within {limit:?}; what was asked for goes on")]
    Timeout {
        /// How long was waited.
        limit: Duration,
    },
    /// It was asked for on a shard thread, which must not wait.
    #[error("applications are started and stopped from outside a shard: a shard thread must not wait")]
    OnShard,
    /// The node is stopping, or has stopped.
    #[error("the node is stopping")]
    NodeStopping,
}
