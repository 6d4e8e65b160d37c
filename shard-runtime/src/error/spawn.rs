//! Why a process was not started.

use crate::error::ExitReason;
use shard_wire::Pid;

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The name is taken. Retry with another name, or after its holder has ended.
    #[error("the name `{name}` is taken by {holder:?}; choose another or wait for its holder to end")]
    NameTaken {
        /// The name.
        name: Box<str>,
        /// Who holds it.
        holder: Pid,
    },
    /// The name is empty or longer than 255 bytes, or the node knows too many names.
    #[error("the name is not usable: {0}")]
    BadName(&'static str),
    /// The shard's process table is full.
    #[error(
        "the shard's process table is full ({limit} processes); raise `max_processes` or spawn elsewhere"
    )]
    ProcessLimit {
        /// Processes the table can hold.
        limit: u32,
    },
    /// There is no shard with this index.
    #[error("there is no shard {shard} on this node; it has {shards}")]
    NoShard {
        /// The index asked for.
        shard: u16,
        /// Shards of the node.
        shards: u16,
    },
    /// `init` returned an error, panicked, or the process was killed before it was up.
    #[error("the process did not start: {reason}")]
    Init {
        /// Why it ended.
        reason: ExitReason,
    },
    /// The factory panicked.
    #[error("the actor's factory panicked: {message}")]
    FactoryPanicked {
        /// The panic's message.
        message: Box<str>,
    },
    /// `init` was not done in time. The process stays and may still come up.
    #[error("init was not done within {limit:?}; it may still come up")]
    Timeout {
        /// How long was waited.
        limit: std::time::Duration,
    },
    /// The options place the process on another shard, which a spawn that does not wait cannot reach.
    #[error("the options place the process on another shard; use `cx.spawn_wait`")]
    OtherShard,
    /// The options give the process a thread of its own, where its factory must go: a spawn that does not wait keeps it.
    #[error("a process on a thread of its own is made there; use `cx.spawn_wait` or `node.spawn`")]
    Dedicated,
    /// A supervisor, pool or router works with children on its own shard, so it cannot have a thread of its own.
    #[error("a {kind} cannot have a thread of its own; give threads to its children")]
    NotAlone {
        /// What was to be started.
        kind: &'static str,
    },
    /// The node has as many processes on threads of their own as it may have.
    #[error(
        "the node has {limit} processes on threads of their own already; end some, or let several tasks share one"
    )]
    ThreadLimit {
        /// The limit.
        limit: u16,
    },
    /// The system refused a thread, or memory for it.
    #[error(
        "no thread for the process: {source}; raise the limit of threads (`ulimit -u`, the container's pids limit) or of memory"
    )]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
    /// As many calls and timers wait on the shard as it can hold. Retry when some have ended.
    #[error("too many calls and timers wait on this shard; retry later")]
    TooManyWaits,
    /// A spawn that waits was asked for on a shard thread.
    #[error("a blocking spawn is not allowed on a shard thread; use `cx.spawn` or `cx.spawn_wait`")]
    OnShard,
    /// The application that the process would belong to is being stopped.
    #[error("the application `{application}` is being stopped")]
    AppStopping {
        /// Which.
        application: Box<str>,
    },
    /// The node is stopping, or has stopped.
    #[error("the node is stopping")]
    Stopping,
}
