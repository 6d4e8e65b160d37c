//! Why another node did not do what it was asked to: start a process, start, stop or describe an application.

use crate::error::{ExitReason, LinkError};

/// Names one request to start a process on another node: whoever tries again under it gets the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpawnId(pub(crate) u64);

/// Why another node was not asked, or did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The node is known, or is none, but there is no session with it now. Retry after a node-up.
    #[error("not connected to the node; it is being dialled if its address is known, retry after node-up")]
    NotConnected,
    /// The node is stopping. Nothing was begun there: ask another node, or this one later.
    #[error("the node is stopping and takes nothing new; ask another one, or this one later")]
    NodeStopping,
    /// The node speaks an older protocol.
    #[error("the node speaks an older protocol, which has no such requests; deploy a newer version there")]
    Unsupported,
    /// It is this node.
    #[error("it is this node itself; use `spawn`, `start_app` or `stop_app`")]
    OwnNode,
    /// As much is asked at once as may be, or the link is full. Retry later.
    #[error("too much is being asked at once, or the link to the node is full; retry later")]
    Overloaded,
    /// What is asked does not fit a frame, or a name, a text or a list in it is too long.
    #[error("the request does not fit: its arguments, or a name, text or list in it, are too long")]
    TooLarge,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The session with the node ended before it answered.
    #[error("the session with the node ended before it answered")]
    Disconnected,
    /// Nothing is enabled there under this name.
    #[error("nothing is enabled under this name there; enable it on that node, or check the spelling")]
    NameUnknown,
    /// This node is not on the list there.
    #[error("that node does not allow it to this one; put this node on its list")]
    NotAllowed,
    /// The other node does not understand the request, or its answer is not understood.
    #[error("the two nodes do not understand each other; deploy one version on both")]
    Malformed,
    /// This node is stopping, or has stopped.
    #[error("this node is stopping")]
    Stopping,
    /// It was asked for on a shard thread, which must not wait.
    #[error("a blocking request is not allowed on a shard thread; use the methods of `Context`")]
    OnShard,
}

/// Why there is no process on another node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteSpawnError {
    /// It was not asked for, or nothing was heard. After `Timeout` and `Disconnected` a retry under the id is safe: it gives
    /// the process that the first attempt started, or starts it when there is none.
    #[error("{why}")]
    Ask {
        /// Why.
        #[source]
        why: AskError,
        /// The request.
        id: SpawnId,
    },
    /// The type of the arguments is local, so they cannot leave the node.
    #[error("the type of the arguments is local and cannot leave its node; drop `local` from its #[message]")]
    LocalArguments,
    /// The arguments could not be encoded.
    #[error("the arguments could not be encoded")]
    Encode,
    /// A value of the environment cannot be sent: it is no text, number or truth value, or there are more than 64.
    #[error(
        "`{key}` of the environment cannot be sent: it must be a text, number or truth value, one of at most 64"
    )]
    Env {
        /// Its key.
        key: String,
    },
    /// What is enabled under this name takes arguments of another type, or of another version of it, without a conversion.
    #[error("what is enabled under this name takes arguments of another type, or another version of it")]
    WrongArguments,
    /// The other node could not decode the arguments.
    #[error("the other node could not decode the arguments; the two nodes disagree about their type")]
    Undecodable,
    /// The process did not start: its `init` failed, was late, or it was killed.
    #[error("the process did not start: {reason}")]
    Init {
        /// Why.
        reason: ExitReason,
    },
    /// The factory panicked.
    #[error("the factory panicked on the other node: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The other node has no room for one more process.
    #[error("the other node has no room: {text}")]
    Limit {
        /// What it says.
        text: String,
    },
    /// The name that the process was to register is taken there.
    #[error("the name `{name}` is taken on the other node; choose another")]
    Taken {
        /// The name.
        name: String,
    },
    /// The name that the process was to register is not usable.
    #[error("the name that the process was to register is not usable: it must have 1 to 255 bytes")]
    BadName,
    /// The other node has no such shard.
    #[error("the other node has no shard of this number")]
    NoShard,
    /// The application that the process would belong to is being stopped there.
    #[error("the application that the process would belong to is being stopped there")]
    AppStopping,
    /// A request under this id asked for something else.
    #[error("a request under this id asked for something else; use a new one")]
    Mismatch {
        /// The request.
        id: SpawnId,
    },
    /// The process was started and given up since nobody claimed it in time. Ask again with a new id.
    #[error("the process was started and killed since nobody claimed it in time; ask again with a new id")]
    Unclaimed {
        /// The request.
        id: SpawnId,
    },
    /// The process ran, but the link or monitor to it that was wanted could not be made; it was killed.
    #[error("the link or monitor to the process could not be made, so it was killed: {0}")]
    Relation(#[source] LinkError),
}

/// Why an application of another node was not started, stopped or described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteAppError {
    /// It was not asked for, or nothing was heard.
    #[error("{0}")]
    Ask(#[from] AskError),
    /// No application of this name is loaded there.
    #[error("no application of this name is loaded there")]
    Unknown,
    /// It runs, or is starting.
    #[error("the application runs there")]
    Running,
    /// It does not run.
    #[error("the application does not run there")]
    NotRunning,
    /// It is being stopped.
    #[error("the application is being stopped there")]
    Stopping,
    /// A running application depends on it, or it depends on one that is not there.
    #[error("{0}")]
    Depends(String),
    /// It did not start.
    #[error("{0}")]
    Failed(String),
    /// It has not started or ended in time; that goes on there.
    #[error("it has not ended or started in time; that goes on there")]
    Late,
}

/// Why something was not enabled for other nodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnableError {
    /// Something is enabled under this name.
    #[error("something is enabled under the name `{0}`; disable it first")]
    Taken(Box<str>),
    /// Nothing is enabled under this name.
    #[error("nothing is enabled under the name `{0}`")]
    Unknown(Box<str>),
    /// The name is empty or longer than 255 bytes.
    #[error("`{0}` is not a name: it must have 1 to 255 bytes")]
    BadName(Box<str>),
    /// A name on the list is no name of a node.
    #[error("`{0}` on the list is no name of a node: it must be `name@host`")]
    BadNode(Box<str>),
    /// The type of the arguments is local, so they cannot come from another node.
    #[error("the arguments `{0}` are of a local type; drop `local` from its #[message]")]
    LocalArguments(&'static str),
    /// As much is enabled as may be.
    #[error("the node has {0} names enabled, or a list has as many nodes, which is the limit")]
    Limit(usize),
}

/// Why a process that another node had asked for was ended: nobody there has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unclaimed {
    /// It was not claimed in time.
    #[error("{node} asked for it and did not claim it in time")]
    Late {
        /// Who asked for it.
        node: String,
    },
    /// Whoever asked for it did not wait.
    #[error("{node} asked for it and does not want it")]
    Unwanted {
        /// Who asked for it.
        node: String,
    },
    /// The session ended before it was claimed.
    #[error("{node} asked for it, and the session ended before it was claimed")]
    SessionEnded {
        /// Who asked for it.
        node: String,
    },
}
