//! Why a node did not start, or what ended it.

use crate::error::{
    AppError, CallError, CronError, EnableError, EventError, ExitReason, NodeRouteError, PreflightError,
    RegistrarError, SendError, SendReason, SpawnError,
};
use shard_wire::Message;
use shard_wire::handshake::CookiePolicyError;

/// Why a node did not start, or what ended it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node's name is not `name@host`.
    #[error("`{0}` is not a node name: it must be two non-empty parts joined by one `@`, at most 255 bytes")]
    BadName(String),
    /// A setting is out of range.
    #[error("the setting `{setting}` is {value}, but must be {must_be}")]
    BadSetting {
        /// Which.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        must_be: &'static str,
    },
    /// The machine lacks something the runtime needs.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Something given to the builder could not be enabled for other nodes.
    #[error(transparent)]
    Enable(#[from] EnableError),
    /// A cron job given to the builder could not be added.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The program is built with `panic = "abort"`.
    #[error(
        "the program is built with panic = \"abort\", so a panic in one actor would end the node; use panic = \"unwind\""
    )]
    PanicAbort,
    /// Memory could not be reserved.
    #[error("could not reserve memory for {what}: {source}; check ulimit -v and vm.overcommit_memory")]
    Memory {
        /// For what.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("could not start the thread `{thread}`: {source}")]
    Thread {
        /// Its name.
        thread: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// More nodes in one OS process than it can hold.
    #[error("this OS process already runs {0} nodes, which is the limit")]
    TooManyNodes(usize),
    /// Two message types share a key or a name.
    #[error("message types collide: {0}")]
    Messages(String),
    /// The listening address could not be bound.
    #[error("could not listen on {address}: {source}; choose another port or stop what uses it")]
    Listen {
        /// The address.
        address: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The registrar refused or could not be reached.
    #[error(transparent)]
    Registrar(#[from] RegistrarError),
    /// The node was started without a network.
    #[error("the node has no network: start it with `listen`, `registrar` or `route`")]
    NoNetwork,
    /// The cookie does not suffice for where the node listens.
    #[error(transparent)]
    Cookie(#[from] CookiePolicyError),
    /// A route cannot be used.
    #[error(transparent)]
    Route(#[from] NodeRouteError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}; check that getrandom is allowed")]
    Randomness(getrandom::Error),
    /// A shard did not come up, or stopped on its own.
    #[error("shard {shard} failed: {reason}")]
    Shard {
        /// Its index.
        shard: u16,
        /// What happened.
        reason: String,
    },
    /// An application was not loaded or started.
    #[error(transparent)]
    App(#[from] AppError),
    /// An event of the node was not registered.
    #[error("the event `{name}` of the node was not registered: {source}")]
    Event {
        /// Its name.
        name: String,
        /// Why.
        source: EventError,
    },
    /// A permanent application ended, and the node stopped because of it.
    #[error("the node stopped because the application `{application}` ended: {reason}")]
    AppFailed {
        /// Which.
        application: String,
        /// Why it ended.
        reason: ExitReason,
    },
    /// Processes were left when the node stopped.
    #[error("the node stopped with {0} processes left; the log names them")]
    LeftBehind(usize),
    /// Signals could not be waited for.
    #[error("could not wait for signals: {0}")]
    Signals(std::io::Error),
    /// A process was not started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A call has no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A message was not accepted.
    #[error(transparent)]
    Send(#[from] SendReason),
}

impl<M: Message> From<SendError<M>> for NodeError {
    fn from(error: SendError<M>) -> Self {
        Self::Send(error.reason)
    }
}
