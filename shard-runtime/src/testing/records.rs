//! What a journal holds: one type per thing that a process can do.

use super::journal::Copied;
use crate::LogLevel;
use crate::error::ExitReason;
use shard_wire::{Message, Pid};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A process in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Party {
    /// Which.
    pub pid: Pid,
    /// The name that it had then.
    pub name: Option<Arc<str>>,
}

/// A message or a call that its receiver's mailbox has taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// When, since the bed was made. Delayed messages are sent when they are due.
    pub at: Duration,
    /// By whom.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// Whether it is a call, which waits for an answer.
    pub is_call: bool,
    pub(crate) message: Copied,
}

/// A process that was started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spawned {
    /// When, since the bed was made.
    pub at: Duration,
    /// By whom.
    pub by: Party,
    /// The new process.
    pub child: Party,
    /// Its actor's type, as [`Actor::BEHAVIOR`](crate::Actor::BEHAVIOR).
    pub behavior: &'static str,
}

/// A process that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// When, since the bed was made.
    pub at: Duration,
    /// Which.
    pub who: Party,
    /// Its actor's type, as [`Actor::BEHAVIOR`](crate::Actor::BEHAVIOR).
    pub behavior: &'static str,
    /// Why.
    pub reason: ExitReason,
}

/// An exit signal that was sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExitSent {
    /// When, since the bed was made.
    pub at: Duration,
    /// By whom.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// Its reason.
    pub reason: ExitReason,
}

/// A line of the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Logged {
    /// When, since the bed was made.
    pub at: Duration,
    /// Who wrote it.
    pub by: Party,
    /// Its level.
    pub level: LogLevel,
    /// Its text.
    pub text: String,
    /// Values by their keys.
    pub fields: Vec<(&'static str, String)>,
}

/// An event that was published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// When, since the bed was made.
    pub at: Duration,
    /// By whom.
    pub by: Party,
    /// The event's name.
    pub event: Arc<str>,
    pub(crate) message: Copied,
}

/// An event that was registered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registered {
    /// When, since the bed was made.
    pub at: Duration,
    /// By whom.
    pub by: Party,
    /// The event's name.
    pub event: Arc<str>,
}

/// A job of cron that ran.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CronRan {
    /// When, since the bed was made.
    pub at: Duration,
    /// The job's name.
    pub job: Arc<str>,
}

/// One entry of a journal.
#[derive(Debug)]
pub(crate) enum Record {
    Sent(Sent),
    Spawned(Spawned),
    Ended(Ended),
    ExitSent(ExitSent),
    Logged(Logged),
    Published(Published),
    Registered(Registered),
    CronRan(CronRan),
}

impl Sent {
    /// The message, if it is an `M` and [`Bed::watch`](super::Bed::watch) was told to keep copies of those before.
    #[must_use]
    pub fn message<M: Message>(&self) -> Option<&M> {
        self.message.get()
    }

    /// The type of the message.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.message.type_name()
    }
}

impl Published {
    /// The message, if it is an `M` and [`Bed::watch`](super::Bed::watch) was told to keep copies of those before.
    #[must_use]
    pub fn message<M: Message>(&self) -> Option<&M> {
        self.message.get()
    }

    /// The type of the message.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.message.type_name()
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name:?} ({})", self.pid),
            None => self.pid.fmt(f),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_call { "called" } else { "sent" };
        write!(f, "{:?}: {} {verb} {} with {:?}", self.at, self.from, self.to, self.message)
    }
}

impl fmt::Display for Spawned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} spawned {}, a {}", self.at, self.by, self.child, self.behavior)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}, a {}, ended: {}", self.at, self.who, self.behavior, self.reason)
    }
}

impl fmt::Display for ExitSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} sent an exit to {}: {}", self.at, self.from, self.to, self.reason)
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} logged {:?}: {}", self.at, self.by, self.level, self.text)?;
        self.fields.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} published {:?}: {:?}", self.at, self.by, self.event, self.message)
    }
}

impl fmt::Display for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} registered {:?}", self.at, self.by, self.event)
    }
}

impl fmt::Display for CronRan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: the job {:?} ran", self.at, self.job)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(record) => record.fmt(f),
            Self::Spawned(record) => record.fmt(f),
            Self::Ended(record) => record.fmt(f),
            Self::ExitSent(record) => record.fmt(f),
            Self::Logged(record) => record.fmt(f),
            Self::Published(record) => record.fmt(f),
            Self::Registered(record) => record.fmt(f),
            Self::CronRan(record) => record.fmt(f),
        }
    }
}
