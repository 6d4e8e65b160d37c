//! Why a message was not accepted. The message comes back.

use std::fmt;

/// A message that was not accepted, and why.
#[non_exhaustive]
pub struct SendError<M> {
    /// Why.
    pub reason: SendReason,
    /// The message, unharmed.
    pub message: M,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SendReason {
    /// The process has ended, or never existed. Retrying does not help; ask for its new pid.
    #[error("no such process: it has ended; look up its successor by name")]
    NoProcess,
    /// No process holds this name now. Retry once its owner has started.
    #[error("no process is registered under this name; check its spelling and whether its owner runs")]
    NameUnknown,
    /// The pid belongs to an incarnation of a node that is not known: restarted, or never met.
    #[error(
        "no route to this incarnation: its node has restarted or was never connected; look up the pid again"
    )]
    NoRoute,
    /// The node is known, but not connected now. The runtime keeps dialling; retry after a node-up.
    #[error("not connected to the target's node; it is being dialled, retry after node-up")]
    NotConnected,
    /// The link's outbox holds as many bytes as it may. Retry later, or send less.
    #[error("the outbox to the target's node is full; slow down or raise the outbox limit")]
    OutboxFull,
    /// The spill towards another shard, or a shard's inbox, holds as many messages as it may.
    #[error("the target's shard does not keep up: its inbound queue is full; slow down")]
    Overloaded,
    /// The type is marked `#[message(local)]` and cannot leave the node.
    #[error("the message type is local and cannot leave its node; drop `local` from its #[message]")]
    LocalOnly,
    /// The encoded message is larger than one frame may be.
    #[error("the encoded message is larger than the link's frame limit")]
    TooLarge,
    /// Encoding failed.
    #[error("the message could not be encoded")]
    Encode,
    /// The node is stopping, or has stopped.
    #[error("the node is stopping")]
    Stopping,
}

impl<M> SendError<M> {
    #[cold]
    pub(crate) fn new(reason: SendReason, message: M) -> Self {
        Self { reason, message }
    }

    /// The message.
    #[must_use]
    pub fn into_inner(self) -> M {
        self.message
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<M> std::error::Error for SendError<M> {}
