//! Why a message was not accepted. The message comes back.

use crate::actor::OwnedRoute;
use shard_wire::Pid;
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
    /// Its time was up before it reached the mailbox: no room came up, or it was too long under way. It was not delivered.
    #[error("the time given was up before the message reached the mailbox; it was not delivered")]
    Expired,
    /// The node is stopping, or has stopped.
    #[error("the node is stopping")]
    Stopping,
    /// The target's node is stopping and takes nothing new; the message was not delivered. Retry with another node, or with
    /// this one once it is back.
    #[error(
        "the target's node is stopping and takes nothing new; send to another node, or to this one once it is back"
    )]
    NodeStopping,
    /// The target's node speaks an older protocol, which does not acknowledge messages or take them to its aliases; or the
    /// delivery to be tried again is another process's.
    #[error(
        "not possible: the target's node does not acknowledge messages or take them to aliases, or another process sent this one"
    )]
    Unsupported,
    /// The target's node does not know this message type or version.
    #[error("the target's node does not know this message type; deploy the version that declares it")]
    UnknownType,
    /// The target's node could not decode the message.
    #[error("the target's node could not decode the message; the two nodes disagree about its type")]
    Undecodable,
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
    /// Nothing was heard in time, or the session with the target's node ended: it may or may not have reached the mailbox.
    /// For a target on another node it comes with the message, to be tried again without being delivered twice. `None` for
    /// a target on this node: the message is with the target's shard.
    Unknown(Option<Unconfirmed<M>>),
}

impl<M> fmt::Debug for DeliveryError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
            Self::Unknown(unconfirmed) => f.debug_tuple("Unknown").field(unconfirmed).finish(),
        }
    }
}

impl<M> fmt::Display for DeliveryError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Unknown(_) => {
                f.write_str("no acknowledgement in time; the message may or may not have arrived")
            }
        }
    }
}

impl<M> std::error::Error for DeliveryError<M> {}

/// Names one important message of a process to another node: all attempts to deliver it have the same one. Never used twice
/// in the life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId(pub(crate) u64);

/// An important message to another node of which nothing was heard: [`Context::retry_important`] tries again under the same
/// id, and the receiving shard does not deliver it twice.
///
/// [`Context::retry_important`]: crate::Context::retry_important
#[must_use = "the message may not have arrived: try again, or drop this on purpose"]
pub struct Unconfirmed<M> {
    pub(crate) id: DeliveryId,
    /// Who sent it.
    pub(crate) from: Pid,
    /// Where the first attempt went: a process, or a name that was not resolved then.
    pub(crate) to: OwnedRoute,
    pub(crate) queue: u64,
    /// Why the last attempt was not sent.
    pub(crate) why: Option<SendReason>,
    message: SyncWrapper<M>,
}

impl<M> Unconfirmed<M> {
    #[cold]
    pub(crate) fn new(id: DeliveryId, from: Pid, to: OwnedRoute, queue: u64, message: M) -> Self {
        Self { id, from, to, queue, why: None, message: SyncWrapper::new(message) }
    }

    pub(crate) fn message_mut(&mut self) -> &mut M {
        self.message.get_mut()
    }

    /// It was not delivered.
    #[cold]
    pub(crate) fn refused(self, reason: SendReason) -> DeliveryError<M> {
        DeliveryError::Refused(SendError::new(reason, self.message.into_inner()))
    }

    /// This attempt was not sent; an earlier one may have been.
    #[cold]
    pub(crate) fn not_sent(mut self, reason: SendReason) -> DeliveryError<M> {
        self.why = Some(reason);
        DeliveryError::Unknown(Some(self))
    }

    /// Why the last retry was not even sent; `None` if it was sent and nothing was heard. What became of the earlier attempts
    /// is not known either way.
    #[must_use]
    pub fn reason(&self) -> Option<SendReason> {
        self.why
    }

    /// The delivery, as its receiver knows it.
    #[must_use]
    pub fn id(&self) -> DeliveryId {
        self.id
    }

    /// The message. Sent as a new one it may be delivered twice.
    #[must_use]
    pub fn into_inner(self) -> M {
        self.message.into_inner()
    }
}

impl<M> fmt::Debug for Unconfirmed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Unconfirmed");
        shown.field("id", &self.id).field("to", &self.to).field("reason", &self.why).finish_non_exhaustive()
    }
}
