//! What a handler can do with events: register, publish, subscribe.

use crate::actor::Context;
use crate::error::{EventError, LinkError};
use crate::event::{EventOptions, Topic};
use crate::process::Bond;
use shard_wire::Message;

impl Context<'_> {
    /// Registers an event of which this process is the producer. Whoever has the topic may publish.
    ///
    /// The event ends with this process, or when it is [removed](Context::unregister_event).
    ///
    /// # Errors
    /// The name is taken or not usable, or the node has too many events.
    pub fn register_event<M: Message>(
        &self,
        name: &str,
        options: EventOptions,
    ) -> Result<Topic<M>, EventError> {
        let name = name.to_owned();
        self.shard()
            .at_home(move |shard| shard.register_event::<M>(&name, options))
            .unwrap_or(Err(EventError::Link(LinkError::NoAnswer)))
    }

    /// Removes an event. Its subscribers, and what else was linked to it or watched it, are told `Unregistered`.
    ///
    /// # Errors
    /// There is no such event, or it is another process's.
    pub fn unregister_event(&self, name: &str) -> Result<(), EventError> {
        let name = name.to_owned();
        self.shard()
            .at_home(move |shard| shard.unregister_event(&name))
            .unwrap_or(Err(EventError::Link(LinkError::NoAnswer)))
    }

    /// Publishes an event: each subscriber gets it as an [`Event`](crate::Event), in the queue of this process's priority.
    ///
    /// At most once: a subscriber whose mailbox is full misses it, which is counted, and seen as a gap in the numbers.
    ///
    /// # Errors
    /// The event is gone, or the lane to its producer's shard is full.
    pub fn publish<M: Message + Sync>(&self, topic: &Topic<M>, message: M) -> Result<(), EventError> {
        self.shard().publish(&topic.cell, message)
    }

    /// Publishes an event by its name, which its producer or, if it is [open](EventOptions::open), any process may do.
    ///
    /// # Errors
    /// There is no such event, its messages are of another type, it is not open, or the lane to its producer's shard is full.
    pub fn publish_by_name<M: Message + Sync>(&self, name: &str, message: M) -> Result<(), EventError> {
        self.shard().publish_open(name, message)
    }

    /// Subscribes to an event and monitors it: what is kept of it arrives first, oldest first, then what is published, each as an
    /// [`Event`](crate::Event). When the event ends, a [`Down`](crate::Down) arrives.
    ///
    /// # Errors
    /// There is no such event, its messages are of another type, it is this process's own, or there is a monitor of it already.
    pub fn subscribe<M: Message + Sync>(&self, name: &str) -> Result<(), EventError> {
        self.subscribe_by::<M>(Bond::Monitor, name)
    }

    /// The same with a link: this process gets an exit signal when the event ends.
    ///
    /// # Errors
    /// As for [`Context::subscribe`].
    pub fn subscribe_linked<M: Message + Sync>(&self, name: &str) -> Result<(), EventError> {
        self.subscribe_by::<M>(Bond::Link, name)
    }

    /// Ends a subscription of this process, by monitor or link. What is in the mailbox stays there.
    ///
    /// # Errors
    /// There is none.
    pub fn unsubscribe(&self, name: &str) -> Result<(), EventError> {
        let target = crate::actor::Target::event(name);
        let monitored = self.demonitor(target.clone());
        match (monitored, self.unlink(target)) {
            (Err(error), Err(_)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn subscribe_by<M: Message + Sync>(&self, bond: Bond, name: &str) -> Result<(), EventError> {
        let name = name.to_owned();
        self.shard()
            .at_home(move |shard| shard.subscribe::<M>(bond, &name))
            .unwrap_or(Err(EventError::Link(LinkError::NoAnswer)))
    }
}
