//! Why a message was not accepted. The message comes back.

use std::fmt;
use sync_wrapper::SyncWrapper;

/// A message that was not accepted, and why. [`SendError::into_inner`] gives the message back, unharmed.
#[non_exhaustive]
pub struct SendError<M> {
    /// Why.
    pub reason: SendReason,
    /// Wrapped, so that the error is `Sync` whatever the message is, and `?` works in every handler.
    message: SyncWrapper<M>,
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
    /// The target is ending: its `terminate` runs, or it was killed inside a callback on a thread of its own. Retrying does
    /// not help.
    #[error("the process is ending; look up its successor by name")]
    Terminated,
    /// The target's mailbox holds as many messages as it may. Retry later, wait for room with `send_wait`, or send less.
    #[error("the target's mailbox is full; slow down, or wait for room with `send_wait`")]
    MailboxFull,
    /// The alias was deleted, or never existed. Its process may live: ask it for another.
    #[error("no such alias: it was deleted or its process has ended")]
    AliasUnknown,
    /// No room came up within the time given. Nothing was sent.
    #[error("the target's mailbox stayed full for as long as was waited")]
    Expired,
    /// The node is stopping, or has stopped.
    #[error("the node is stopping")]
    Stopping,
}

impl<M> SendError<M> {
    #[cold]
    pub(crate) fn new(reason: SendReason, message: M) -> Self {
        Self { reason, message: SyncWrapper::new(message) }
    }

    /// Why, and the message.
    #[must_use]
    pub fn into_parts(self) -> (SendReason, M) {
        (self.reason, self.message.into_inner())
    }

    /// The message.
    #[must_use]
    pub fn into_inner(self) -> M {
        self.message.into_inner()
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

/// What became of an important send that did not succeed.
#[non_exhaustive]
pub enum DeliveryError<M> {
    /// It did not reach the mailbox; the message comes back.
    Refused(SendError<M>),
    /// Nothing was heard in time: it may or may not have reached the mailbox. A retry may deliver it twice.
    Unknown,
}

impl<M> fmt::Debug for DeliveryError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

impl<M> fmt::Display for DeliveryError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Unknown => {
                f.write_str("no acknowledgement in time; the message may or may not have arrived")
            }
        }
    }
}

impl<M> std::error::Error for DeliveryError<M> {}
