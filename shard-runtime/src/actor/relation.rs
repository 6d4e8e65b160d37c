//! What a process can watch, and the messages by which it learns that what it watched has ended.

use crate::error::ExitReason;
use shard_wire::{Alias, Holds, Message, Pid, Table};
use std::sync::Arc;

/// What a link or monitor is to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Target {
    /// A process. Fires when it ends.
    Pid(Pid),
    /// A registered name of this node. Fires when its holder ends or gives it up.
    Name(Arc<str>),
    /// An alias. Fires when its owner ends or deletes it.
    Alias(Alias),
    /// An event of this node. Fires when its producer ends or removes it.
    Event(Arc<str>),
    /// Another node. Fires when the session with it ends.
    Node(Arc<str>),
    /// A registered name of a node. Fires when its holder there ends or gives it up, or when the session with the node ends.
    NameAt {
        /// The registered name.
        name: Arc<str>,
        /// The node's name, `name@host`.
        node: Arc<str>,
    },
    /// An event of a node. Fires when its producer there ends or removes it, or when the session with the node ends, except
    /// for a subscription that goes on in the next session.
    EventAt {
        /// The event's name.
        name: Arc<str>,
        /// The node's name, `name@host`.
        node: Arc<str>,
    },
}

impl Target {
    /// The registered name of a process.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self::Name(name.into())
    }

    /// The registered name of a process of a node.
    #[must_use]
    pub fn name_at(name: &str, node: &str) -> Self {
        Self::NameAt { name: name.into(), node: node.into() }
    }

    /// An event.
    #[must_use]
    pub fn event(name: &str) -> Self {
        Self::Event(name.into())
    }

    /// An event of a node.
    #[must_use]
    pub fn event_at(name: &str, node: &str) -> Self {
        Self::EventAt { name: name.into(), node: node.into() }
    }

    /// Another node, `name@host`.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self::Node(name.into())
    }
}

impl From<Pid> for Target {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

impl From<Alias> for Target {
    fn from(alias: Alias) -> Self {
        Self::Alias(alias)
    }
}

impl From<&str> for Target {
    fn from(name: &str) -> Self {
        Self::name(name)
    }
}

impl From<(&str, &str)> for Target {
    fn from((name, node): (&str, &str)) -> Self {
        Self::name_at(name, node)
    }
}

impl From<crate::actor::Named<'_>> for Target {
    fn from(named: crate::actor::Named<'_>) -> Self {
        Self::name_at(named.name, named.node)
    }
}

/// What a process monitored has ended. Arrives in the System queue, once per monitor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Down {
    /// What was monitored, as it was named.
    pub target: Target,
    /// Why it ended.
    pub reason: ExitReason,
}

/// A trapped exit signal: what the process was linked to has ended, or somebody sent it an exit. Arrives in the Urgent
/// queue. Its sender is the process that ended, or that sent it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExitSignal {
    /// What it comes from.
    pub source: Target,
    /// Why.
    pub reason: ExitReason,
}

impl ExitSignal {
    /// The process it comes from, unless the link was to something else.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        match self.source {
            Target::Pid(pid) => Some(pid),
            _ => None,
        }
    }
}

/// A message that found the mailbox of a process full and was sent to its fallback instead. Its sender is the
/// message's sender.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fallback {
    /// The process whose mailbox was full.
    pub pid: Pid,
    /// The tag that the process was given with its fallback.
    pub tag: Arc<str>,
    /// The message.
    pub message: shard_wire::Erased,
}

/// A message that was sent by a name or an alias to a process that wants to know by which.
///
/// A process spawned with [`split_handle`](crate::SpawnOptions::split_handle) gets these in place of the bare
/// messages, and handles them separately; also those of other nodes. It has to take `Addressed<M>` where it takes an `M`: one
/// without a handler is unhandled. A message is never addressed and a [`View`](crate::View) at once.
#[derive(Debug)]
#[non_exhaustive]
pub struct Addressed<M> {
    /// The name or alias that the sender used.
    pub by: Target,
    /// The message.
    pub message: M,
}

/// The answer to an asynchronous request ([`Context::request`](crate::Context::request)); arrives exactly once per
/// request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response<M: Message> {
    /// Which request, as `request` returned it.
    pub request: Request,
    /// The label that the request was given.
    pub label: u64,
    /// The reply, or why there is none.
    pub result: Result<M::Reply, crate::error::CallError>,
}

/// Names an asynchronous request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request(pub(crate) u64);

local_message!(Down);
local_message!(ExitSignal);
local_message!(Fallback);

impl<M: Message> Message for Addressed<M> {
    type Reply = M::Reply;
    const TABLE: &'static Table<Self> = &const { Table::holding::<M>() };
}

impl<M: Message> Holds<M> for Addressed<M> {
    type Note = Target;
    fn hold(by: &Target, message: M) -> Self {
        Self { by: by.clone(), message }
    }
}

impl<M: Message> Message for Response<M> {
    type Reply = ();
    const TABLE: &'static Table<Self> = &const { Table::local() };
}
