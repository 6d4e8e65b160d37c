//! What a node knows of one event: its name, its type, its counters; and the list of all.
//!
//! Invariants: C1 a name has one event; the claim is atomic. C2 `is_gone` is set once, when the event is removed, before its
//! name can be claimed again. Threads: all; no lock. Counters are relaxed: nothing is read on the strength of them.

use crate::error::EventError;
use crate::event::published::PublishedOps;
use crate::event::{EventOptions, EventOrigin};
use crate::names::MAX_NAME_BYTES;
use shard_wire::{LocalId, Message};
use std::any::{TypeId, type_name};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Events of one node.
const MAX_EVENTS: usize = 1 << 16;

/// One event.
#[derive(Debug)]
pub(crate) struct EventCell {
    pub(crate) name: Arc<str>,
    pub(crate) symbol: u32,
    /// Its producer; none for an event of another node.
    pub(crate) owner: LocalId,
    /// The node, of an event of another node.
    pub(crate) node: Option<Arc<str>>,
    /// Key of its node's incarnation, and which registration this is.
    pub(crate) origin: EventOrigin,
    /// How its publications leave the node, if they may.
    pub(crate) wire: Option<PublishedOps>,
    type_id: TypeId,
    type_name: &'static str,
    pub(crate) options: EventOptions,
    created_at: SystemTime,
    is_gone: AtomicBool,
    pub(crate) subscribers: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) kept: AtomicU64,
    /// Publications sent to other nodes: one for each and node.
    pub(crate) sent_to_nodes: AtomicU64,
    /// Other nodes with subscribers.
    pub(crate) nodes: AtomicU64,
    /// Nanoseconds since the Unix epoch; 0 before the first publication.
    last_published_ns: AtomicU64,
}

impl EventCell {
    pub(crate) fn new<M: Message>(
        name: &str,
        symbol: u32,
        owner: LocalId,
        options: EventOptions,
        created_at: SystemTime,
    ) -> Self {
        Self {
            name: name.into(),
            symbol,
            owner,
            node: None,
            origin: EventOrigin::default(),
            wire: PublishedOps::of::<M>(),
            type_id: TypeId::of::<M>(),
            type_name: type_name::<M>(),
            options,
            created_at,
            is_gone: AtomicBool::new(false),
            subscribers: AtomicU64::new(0),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            sent_to_nodes: AtomicU64::new(0),
            nodes: AtomicU64::new(0),
            last_published_ns: AtomicU64::new(0),
        }
    }

    /// What its subscribers here know of an event of another node.
    pub(crate) fn of_node<M: Message>(name: Arc<str>, node: Arc<str>, origin: EventOrigin) -> Self {
        let cell = Self::new::<M>("", 0, LocalId::NONE, EventOptions::new(), UNIX_EPOCH);
        Self { name, node: Some(node), origin, wire: None, ..cell }
    }

    /// Whether the event's messages are `M`s.
    pub(crate) fn check<M: 'static>(&self) -> Result<(), EventError> {
        if self.type_id == TypeId::of::<M>() {
            return Ok(());
        }
        Err(EventError::WrongType { wanted: type_name::<M>(), actual: self.type_name })
    }

    /// Whether it was removed, or its producer has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Acquire)
    }

    /// The shard that numbers its publications.
    pub(crate) fn home(&self) -> u16 {
        self.owner.shard()
    }

    /// Notes a publication.
    pub(crate) fn published_at(&self, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_published_ns.store(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What is shown of it.
    fn facts(&self) -> EventFacts {
        let last = self.last_published_ns.load(Relaxed);
        EventFacts {
            name: Arc::clone(&self.name),
            message_type: self.type_name,
            producer: self.owner,
            options: self.options,
            created_at: self.created_at,
            subscribers: self.subscribers.load(Relaxed),
            published: self.published.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            lost: self.lost.load(Relaxed),
            kept: self.kept.load(Relaxed),
            sent_to_nodes: self.sent_to_nodes.load(Relaxed),
            nodes: self.nodes.load(Relaxed),
            last_published_at: (last > 0).then(|| UNIX_EPOCH + Duration::from_nanos(last)),
        }
    }
}

/// An event as operators see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventFacts {
    /// Its name.
    pub name: Arc<str>,
    /// The Rust type of its messages.
    pub message_type: &'static str,
    /// The process that registered it.
    pub producer: LocalId,
    /// How it was registered.
    pub options: EventOptions,
    /// When it was registered.
    pub created_at: SystemTime,
    /// Subscriptions: a process that has both a link and a monitor counts twice, another node with subscribers once.
    pub subscribers: u64,
    /// Publications.
    pub published: u64,
    /// Messages that mailboxes of this node took: one per publication and subscriber. What the policy of a full mailbox then
    /// drops is counted with its shard.
    pub delivered: u64,
    /// Messages that a mailbox refused, or that a full lane kept from all subscriptions of a shard.
    pub lost: u64,
    /// Publications kept for those who subscribe later.
    pub kept: u64,
    /// Publications sent to other nodes: one for each and node.
    pub sent_to_nodes: u64,
    /// Other nodes with subscribers.
    pub nodes: u64,
    /// When it was last published.
    pub last_published_at: Option<SystemTime>,
}

/// What use is made of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Utilization {
    /// It has subscribers, and is published.
    Active,
    /// Its producer is told when there are subscribers, and it is not active.
    OnDemand,
    /// Nobody has subscribed, nothing was published.
    Idle,
    /// It is published, and nobody is subscribed.
    NoSubscribers,
    /// There are subscribers, and nothing was published.
    NoPublishing,
}

impl Utilization {
    /// Its name in tools and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::OnDemand => "on_demand",
            Self::Idle => "idle",
            Self::NoSubscribers => "no_subscribers",
            Self::NoPublishing => "no_publishing",
        }
    }
}

impl EventFacts {
    /// What use is made of it.
    #[must_use]
    pub fn utilization(&self) -> Utilization {
        match (self.subscribers > 0, self.published > 0) {
            (true, true) => Utilization::Active,
            _ if self.options.notify => Utilization::OnDemand,
            (false, false) => Utilization::Idle,
            (false, true) => Utilization::NoSubscribers,
            (true, false) => Utilization::NoPublishing,
        }
    }
}

/// The events of one node.
#[derive(Debug, Default)]
pub(crate) struct Events {
    map: papaya::HashMap<Arc<str>, Arc<EventCell>>,
    registered: AtomicU64,
}

impl Events {
    /// Claims an event's name.
    pub(crate) fn register(&self, mut cell: EventCell) -> Result<Arc<EventCell>, EventError> {
        // LIMIT: length of a name.
        if cell.name.is_empty() || cell.name.len() > MAX_NAME_BYTES {
            return Err(EventError::Taken);
        }
        let map = self.map.pin();
        // LIMIT: events of a node.
        if map.len() >= MAX_EVENTS {
            return Err(EventError::Limit);
        }
        cell.origin.event = self.registered.fetch_add(1, Relaxed) + 1;
        let cell = Arc::new(cell);
        match map.try_insert(Arc::clone(&cell.name), Arc::clone(&cell)) {
            Ok(_) => Ok(cell),
            Err(_) => Err(EventError::Taken),
        }
    }

    /// Gives an event of `owner` up.
    pub(crate) fn unregister(&self, name: &str, owner: LocalId) -> Option<Arc<EventCell>> {
        let map = self.map.pin();
        let cell = Arc::clone(map.get(name).filter(|cell| cell.owner == owner)?);
        // ORDERING: C2: pairs with the Acquire in `is_gone`.
        cell.is_gone.store(true, Release);
        let removed = map.remove_if(name, |_, current| Arc::ptr_eq(current, &cell));
        matches!(removed, Ok(Some(_))).then_some(cell)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<EventCell>> {
        self.map.pin().get(name).cloned()
    }

    /// Its producer.
    pub(crate) fn lookup(&self, name: &str) -> Option<LocalId> {
        self.map.pin().get(name).map(|cell| cell.owner)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.pin().len()
    }

    /// What is shown of each, by name.
    pub(crate) fn facts(&self) -> Vec<EventFacts> {
        let mut facts: Vec<_> = self.map.pin().values().map(|cell| cell.facts()).collect();
        facts.sort_by(|left, right| left.name.cmp(&right.name));
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::{EventCell, Events, Utilization};
    use crate::actor::local_message;
    use crate::error::EventError;
    use crate::event::EventOptions;
    use shard_wire::LocalId;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::SystemTime;

    struct Note;
    struct Other;
    local_message!(Note);
    local_message!(Other);

    fn cell(name: &str, owner: u64, options: EventOptions) -> EventCell {
        EventCell::new::<Note>(name, 7, LocalId(owner), options, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_name_has_one_event_and_its_owner_gives_it_up() {
        let events = Events::default();
        let first = events.register(cell("news", 1, EventOptions::new())).unwrap();
        let again = events.register(cell("news", 1, EventOptions::new()));
        assert_eq!(again.unwrap_err(), EventError::Taken);
        for unusable in ["", &"x".repeat(256)] {
            assert_eq!(
                events.register(cell(unusable, 1, EventOptions::new())).unwrap_err(),
                EventError::Taken
            );
        }
        assert!(first.check::<Note>().is_ok());
        assert!(matches!(first.check::<Other>(), Err(EventError::WrongType { .. })));
        assert_eq!((first.origin.event, first.wire.is_none()), (1, true));
        assert!(events.unregister("news", LocalId(2)).is_none() && !first.is_gone());
        assert!(events.unregister("news", LocalId(1)).is_some() && first.is_gone());
        assert!(events.get("news").is_none() && events.len() == 0);
    }

    #[test]
    fn utilization_follows_subscribers_publications_and_notify() {
        let events = Events::default();
        let plain = events.register(cell("a", 1, EventOptions::new())).unwrap();
        let notifying = events.register(cell("b", 1, EventOptions::new().notify())).unwrap();
        let states = || {
            let facts = events.facts();
            (facts[0].utilization(), facts[1].utilization())
        };
        assert_eq!(states(), (Utilization::Idle, Utilization::OnDemand));
        for cell in [&plain, &notifying] {
            cell.subscribers.store(1, Relaxed);
        }
        assert_eq!(states(), (Utilization::NoPublishing, Utilization::OnDemand));
        for cell in [&plain, &notifying] {
            cell.published.store(1, Relaxed);
        }
        assert_eq!(states(), (Utilization::Active, Utilization::Active));
        for cell in [&plain, &notifying] {
            cell.subscribers.store(0, Relaxed);
        }
        assert_eq!(states(), (Utilization::NoSubscribers, Utilization::OnDemand));
    }
}
