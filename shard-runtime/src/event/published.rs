//! What a subscriber gets, and what a producer is told about its subscribers.

use crate::actor::local_message;
use crate::event::{EventCell, EventPosition};
use shard_wire::frame::BodyWriter;
use shard_wire::{Message, MessageKey, Older, Pid, Table, WireError, WireOps, vtable};
use std::any::Any;
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

/// A publication whose type is known elsewhere.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// What a publication says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Imprint {
    pub(crate) publisher: Pid,
    pub(crate) sequence: u64,
    pub(crate) at: SystemTime,
}

/// How publications of one type leave their node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishedOps {
    wire: &'static WireOps,
    pub(crate) imprint: fn(&Shared) -> Option<Imprint>,
    encode: Encode,
}

type Encode = fn(&Shared, Option<&Older>, &mut BodyWriter<'_>) -> Result<(), WireError>;

/// In which version of their type publications go to another node: the one that it has asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edition {
    pub(crate) key: MessageKey,
    /// The earlier version; `None`: as they are.
    older: Option<&'static Older>,
}

impl PublishedOps {
    /// Those of `M`, if it may leave its node.
    pub(crate) fn of<M: Message>() -> Option<Self> {
        let wire = vtable::<M>().wire_ops()?;
        Some(Self { wire, imprint: imprint::<M>, encode: encode::<M> })
    }

    /// How they go to a node that reads this; `None` if they cannot become that.
    pub(crate) fn edition(&self, key: MessageKey) -> Option<Edition> {
        if self.wire.key() == key {
            return Some(Edition { key, older: None });
        }
        let older = self.wire.older().iter().find(|older| older.key() == Some(key))?;
        Some(Edition { key, older: Some(older) })
    }

    /// Appends the archive of a publication.
    pub(crate) fn encode(
        &self,
        publication: &Shared,
        edition: Edition,
        out: &mut BodyWriter<'_>,
    ) -> Result<(), WireError> {
        (self.encode)(publication, edition.older, out)
    }
}

fn imprint<M: Message>(publication: &Shared) -> Option<Imprint> {
    let it = publication.downcast_ref::<Published<M>>()?;
    Some(Imprint { publisher: it.publisher, sequence: it.sequence, at: it.at })
}

fn encode<M: Message>(
    publication: &Shared,
    older: Option<&Older>,
    out: &mut BodyWriter<'_>,
) -> Result<(), WireError> {
    let found = publication.downcast_ref::<Published<M>>().zip(vtable::<M>().wire_ops());
    match (found, older) {
        (Some((publication, _)), Some(older)) => older.encode(&publication.message, out),
        (Some((publication, ops)), None) => ops.encode(&publication.message, out),
        (None, _) => Err(WireError::Encode { message: std::any::type_name::<M>() }),
    }
}

/// Makes a publication of what another node has sent, in the version that `reads` is of.
pub(crate) fn decode<M: Message + Sync>(
    cell: &Arc<EventCell>,
    imprint: Imprint,
    reads: &'static WireOps,
    body: &[u8],
) -> Result<Shared, WireError> {
    let wrong = || WireError::Encode { message: std::any::type_name::<M>() };
    let message = reads.decode(body)?.downcast::<M>().map_err(|_| wrong())?;
    let Imprint { publisher, sequence, at } = imprint;
    Ok(Arc::new(Published { cell: Arc::clone(cell), publisher, sequence, at, message }))
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

    /// The node of an event of another node.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.cell.node.as_deref()
    }

    /// Which publication of which life of the event this is: where a
    /// [later subscription](crate::Context::resume_at) may go on.
    #[must_use]
    pub fn position(&self) -> EventPosition {
        EventPosition { origin: self.0.cell.origin, sequence: self.0.sequence }
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
