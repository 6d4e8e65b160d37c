//! To whom an I/O process sends what it reads.

use crate::actor::OwnedRoute;
use crate::error::{SendError, SendReason};
use crate::mailbox::Meta;
use crate::shard::Shard;
use shard_wire::{Alias, Message, Pid};
use std::time::Duration;

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

/// First pause before news is told again, and from which on it is given up.
const RETRY: Duration = Duration::from_millis(1);
const GIVE_UP: Duration = Duration::from_secs(16);

impl IoTarget {
    /// Sends news that must not be lost for want of room: it waits for it, half a minute at most, beside any process.
    pub(crate) fn tell<M: Message>(self, shard: &Shard, news: M) {
        self.tell_after(shard, news, RETRY);
    }

    fn tell_after<M: Message>(self, shard: &Shard, news: M, pause: Duration) {
        match self.send(shard, news) {
            Sent::Yes => {}
            Sent::Full(news) if pause < GIVE_UP => {
                let again = move |shard: &Shard| self.tell_after(shard, news, pause * 2);
                if shard.timer(pause, again).is_none() {
                    shard.count(|cells| &cells.dead_letters, 1);
                }
            }
            Sent::Full(_) | Sent::Gone => shard.count(|cells| &cells.dead_letters, 1),
        }
    }

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
