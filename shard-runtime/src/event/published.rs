//! What a subscriber gets, and what a producer is told about its subscribers.

use crate::actor::local_message;
use crate::event::EventCell;
use shard_wire::{Message, Pid, Table};
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

/// One publication, shared by all who get it.
#[derive(Debug)]
pub(crate) struct Published<M> {
    pub(crate) cell: Arc<EventCell>,
    pub(crate) publisher: Pid,
    pub(crate) sequence: u64,
    pub(crate) at: SystemTime,
    pub(crate) message: M,
}

/// A published message as a subscriber gets it: handle it with `#[handle] fn f(&mut self, event: Event<M>, ...)`.
///
/// All subscribers share one value. The message's sender is the publisher. Cloning it is an addition.
#[derive(Debug)]
pub struct Event<M>(pub(crate) Arc<Published<M>>);

impl<M> Event<M> {
    /// The published message; also reached by dereferencing.
    #[must_use]
    pub fn message(&self) -> &M {
        &self.0.message
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.cell.name
    }

    /// The publication's number: 1 for the first of its event, without gaps. A number that is missing was lost on the way to
    /// this subscriber.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Who published it.
    #[must_use]
    pub fn publisher(&self) -> Pid {
        self.0.publisher
    }

    /// When it was published; on a simulation, virtual time since the Unix epoch.
    #[must_use]
    pub fn published_at(&self) -> SystemTime {
        self.0.at
    }
}

impl<M> Clone for Event<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Deref for Event<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0.message
    }
}

impl<M: Message + Sync> Message for Event<M> {
    type Reply = ();
    const TABLE: &'static Table<Self> = &const { Table::local() };
}

/// The first process has subscribed to an event of this process. Arrives in the System queue, if the event was registered with
/// [`notify`](crate::EventOptions::notify).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventStart {
    /// The event's name.
    pub name: Arc<str>,
}

/// The last subscriber of an event of this process is gone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventStop {
    /// The event's name.
    pub name: Arc<str>,
}

local_message!(EventStart);
local_message!(EventStop);
