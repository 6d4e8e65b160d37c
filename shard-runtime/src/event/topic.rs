//! The right to publish an event, and how an event is registered.

use crate::event::EventCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Most publications that an event can keep.
pub(crate) const MAX_BUFFER: usize = 65_536;

/// How an event is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct EventOptions {
    /// Publications that are kept for those who subscribe later.
    pub buffer: usize,
    /// Whether the producer is told of its first subscriber, and when the last one is gone.
    pub notify: bool,
    /// Whether any process of this node may publish it by its name.
    pub open: bool,
}

impl EventOptions {
    /// Nothing is kept, nobody is told, and only holders of the topic publish.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the last `publications` (at most 65,536) for those who subscribe later: they get them first, oldest first.
    #[must_use]
    pub fn buffer(mut self, publications: usize) -> Self {
        // LIMIT: publications kept of one event.
        self.buffer = publications.min(MAX_BUFFER);
        self
    }

    /// Tells the producer of its first subscriber ([`EventStart`](crate::EventStart)) and when the last one is gone
    /// ([`EventStop`](crate::EventStop)).
    #[must_use]
    pub fn notify(mut self) -> Self {
        self.notify = true;
        self
    }

    /// Lets any process of this node publish it by its name.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }
}

/// The right to publish an event. Whoever has it may publish: it can be cloned and sent, and cannot be made up.
///
/// It does not keep the event: that ends when its producer removes it or ends.
pub struct Topic<M> {
    pub(crate) cell: Arc<EventCell>,
    of: PhantomData<fn(M)>,
}

impl<M> Topic<M> {
    pub(crate) fn new(cell: Arc<EventCell>) -> Self {
        Self { cell, of: PhantomData }
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Whether anybody is subscribed; a hint that is old when it is read, to save the making of what nobody wants.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        !self.cell.is_gone() && self.cell.subscribers.load(std::sync::atomic::Ordering::Relaxed) > 0
    }
}

impl<M> Clone for Topic<M> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.cell))
    }
}

impl<M> fmt::Debug for Topic<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name()).finish()
    }
}
