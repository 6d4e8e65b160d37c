//! To whom an I/O process sends what it reads.

use crate::actor::OwnedRoute;
use crate::error::{SendError, SendReason};
use crate::mailbox::Meta;
use crate::shard::Shard;
use shard_wire::{Alias, Message, Pid};

/// To whom an I/O process sends what it reads: a pid, a registered name or an alias of its node. A name is looked up each time,
/// so that the successor of a process that was restarted gets what follows.
#[derive(Clone, Debug)]
pub struct IoTarget(pub(crate) OwnedRoute);

impl From<Pid> for IoTarget {
    fn from(pid: Pid) -> Self {
        Self(OwnedRoute::Pid(pid))
    }
}

impl From<Alias> for IoTarget {
    fn from(alias: Alias) -> Self {
        Self(OwnedRoute::Alias(alias))
    }
}

impl From<&str> for IoTarget {
    fn from(name: &str) -> Self {
        Self(OwnedRoute::Name(name.into()))
    }
}

impl From<String> for IoTarget {
    fn from(name: String) -> Self {
        Self(OwnedRoute::Name(name.into()))
    }
}

/// What became of a message for the target.
pub(crate) enum Sent<M> {
    Yes,
    /// It has no room now.
    Full(M),
    /// There is no such process.
    Gone,
}

impl IoTarget {
    /// Sends for the current process.
    pub(crate) fn send<M: Message>(&self, shard: &Shard, message: M) -> Sent<M> {
        match shard.quietly(|| shard.deliver_route(self.0.route(), message, Meta::MAIN, 0)) {
            Ok(()) => Sent::Yes,
            Err(error) => match error.reason {
                SendReason::MailboxFull | SendReason::Overloaded | SendReason::OutboxFull => {
                    Sent::Full(SendError::into_inner(error))
                }
                _ => Sent::Gone,
            },
        }
    }
}
