//! The producer's side of events: numbering, what is kept for later subscribers, and which shards have subscribers.
//!
//! Owns: the events whose producers live on this shard. Invariants: T1 an event is in here from its registration until it is
//! removed or its producer ends, and its symbol names no other one meanwhile. T2 a shard is listed with as many subscriptions
//! as the relations of the producer hold for it. T3 nothing of the user's is dropped while the list is borrowed.
//! Bound: publications cross to other shards as messages do, so a full lane refuses them; what is kept is bounded per event.

use crate::error::{EventError, ExitReason, LinkError};
use crate::event::{EventCell, EventOptions, EventStart, EventStop, Published, Topic};
use crate::mailbox::Meta;
use crate::process::{Bond, Record, Subject, Tie, Watch, bump};
use crate::shard::audience::{DeliverKept, EventKey, Kept, deliver_kept};
use crate::shard::{Parcel, Shard};
use crate::symbol::SymbolError;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use shard_wire::{LocalId, Message};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a node that has got all publications before one is to get next.
pub(crate) enum Step {
    /// Nothing: it was not published yet.
    Done,
    /// This one.
    Kept(Kept),
    /// It is not kept any more, nor those up to this one.
    Gap(u64),
}

/// An event whose producer lives on this shard.
struct Home {
    cell: Arc<EventCell>,
    sequence: u64,
    kept: VecDeque<Kept>,
    /// Shards with subscribers, and how many subscriptions each has.
    shards: Vec<(u16, u32)>,
}

impl Home {
    fn oldest(&self) -> u64 {
        self.sequence + 1 - self.kept.len() as u64
    }
}

/// The events whose producers live on this shard, by symbol.
#[derive(Default)]
pub(crate) struct Topics(RefCell<IndexMap<u32, Home, FxBuildHasher>>);

impl Topics {
    /// Forgets an event; what it kept is the caller's to drop (T3).
    /// What is to follow on all publications before `next`; `None`: there is no such event any more.
    pub(crate) fn step(&self, cell: &Arc<EventCell>, next: u64) -> Option<Step> {
        let topics = self.0.borrow();
        let home = topics.get(&cell.symbol).filter(|home| Arc::ptr_eq(&home.cell, cell))?;
        if next > home.sequence {
            return Some(Step::Done);
        }
        let oldest = home.oldest();
        let place = next.checked_sub(oldest).and_then(|place| usize::try_from(place).ok());
        Some(match place.and_then(|place| home.kept.get(place)) {
            Some(kept) => Step::Kept(kept.clone()),
            None => Step::Gap(oldest.saturating_sub(1).max(next)),
        })
    }

    /// Numbers of the oldest publication that is kept, or of the next if none is, and of the last one.
    pub(crate) fn span(&self, cell: &Arc<EventCell>) -> Option<(u64, u64)> {
        let topics = self.0.borrow();
        let home = topics.get(&cell.symbol).filter(|home| Arc::ptr_eq(&home.cell, cell))?;
        Some((home.oldest(), home.sequence))
    }

    fn remove(&self, symbol: u32) -> Option<VecDeque<Kept>> {
        self.0.borrow_mut().swap_remove(&symbol).map(|home| home.kept)
    }
}

/// Registering and removing.
impl Shard {
    /// Registers an event of the current process.
    pub(crate) fn register_event<M: Message>(
        &self,
        name: &str,
        options: EventOptions,
    ) -> Result<Topic<M>, EventError> {
        let id = self.current_id.get();
        let record = self.live_record(id).ok_or(LinkError::Terminated)?;
        let symbol = self.node.symbols().intern(name).map_err(|error| match error {
            SymbolError::Full { .. } => EventError::Limit,
            _ => EventError::Taken,
        })?;
        let symbol = symbol.0;
        let mut cell = EventCell::new::<M>(name, symbol, LocalId(id), options, self.clock.wall());
        cell.origin.node = self.key;
        let cell = self.node.events().register(cell)?;
        self.with_extension(record, |extension| extension.events.push(symbol));
        let home = Home { cell: Arc::clone(&cell), sequence: 0, kept: VecDeque::new(), shards: Vec::new() };
        self.topics.0.borrow_mut().insert(symbol, home);
        self.watch_registration(&cell.name);
        Ok(Topic::new(cell))
    }

    /// Removes an event of the current process.
    pub(crate) fn unregister_event(&self, name: &str) -> Result<(), EventError> {
        let id = self.current_id.get();
        let record = self.live_record(id).ok_or(LinkError::Terminated)?;
        let owner = self.node.events().lookup(name).ok_or(EventError::Unknown)?;
        if owner.0 != id {
            return Err(EventError::NotOwner);
        }
        let cell = self.node.events().unregister(name, owner).ok_or(EventError::Unknown)?;
        self.with_extension(record, |extension| extension.events.retain(|own| *own != cell.symbol));
        self.forget_topic(cell.symbol);
        self.fire_subject(record, Subject::Event(cell.symbol));
        Ok(())
    }

    /// Removes what is known of an event on its producer's side.
    pub(super) fn forget_topic(&self, symbol: u32) {
        let kept = self.topics.remove(symbol);
        self.contain(|| drop(kept));
    }
}

/// Subscriptions, on the producer's side.
impl Shard {
    /// Subscribes the current process.
    pub(crate) fn subscribe<M: Message + Sync>(&self, bond: Bond, name: &str) -> Result<(), EventError> {
        let consumer = self.current_id.get();
        let record = self.live_record(consumer).ok_or(LinkError::Terminated)?;
        let cell = self.node.events().get(name).ok_or(EventError::Unknown)?;
        cell.check::<M>()?;
        let owner = cell.owner.0;
        if owner == consumer {
            return Err(LinkError::NotAllowed.into());
        }
        let tie = Tie { subject: Subject::Event(cell.symbol), bond };
        let number = self
            .with_extension(record, |extension| extension.relations.begin(tie, owner))
            .ok_or(LinkError::Exists)?;
        let watch = Watch::near(consumer, tie);
        self.tell(cell.home(), move |home| home.add_subscriber(&cell, watch, number, deliver_kept::<M>));
        Ok(())
    }

    /// Notes a subscription, and sends what is kept on the way that later publications will take (E3).
    fn add_subscriber(&self, wanted: &Arc<EventCell>, watch: Watch, number: u32, deliver: DeliverKept) {
        let (owner, symbol) = (wanted.owner.0, wanted.symbol);
        let is_another =
            self.topics.0.borrow().get(&symbol).is_some_and(|home| !Arc::ptr_eq(&home.cell, wanted));
        if is_another {
            // Registered anew while this was on its way, perhaps with another type.
            return self.fire(watch, number, &ExitReason::Unregistered);
        }
        if !self.add_watch(owner, watch, number, true) {
            return;
        }
        let shard = LocalId(watch.consumer).shard();
        let mut topics = self.topics.0.borrow_mut();
        let Some(home) = topics.get_mut(&symbol) else { return };
        match home.shards.iter_mut().find(|(listed, _)| *listed == shard) {
            Some((_, subscriptions)) => *subscriptions += 1,
            None => home.shards.push((shard, 1)),
        }
        let kept = home.kept.iter().cloned().collect::<Vec<_>>();
        drop(topics);
        self.count_subscription(wanted);
        self.tell(shard, move |there| there.join_audience(owner, watch, number, kept, deliver));
    }

    /// There is one more subscription to an event whose producer lives here.
    pub(crate) fn count_subscription(&self, cell: &EventCell) {
        if cell.subscribers.fetch_add(1, Relaxed) == 0 && cell.options.notify {
            self.notify_owner(cell.owner.0, EventStart { name: Arc::clone(&cell.name) });
        }
    }

    /// A subscription is over.
    pub(super) fn remove_subscriber(&self, owner: u64, watch: Watch) {
        let Subject::Event(symbol) = watch.tie.subject else { return };
        let shard = LocalId(watch.consumer).shard();
        if watch.peer != 0 {
            self.close_outlet(symbol, &watch);
        }
        let mut topics = self.topics.0.borrow_mut();
        let Some(home) = topics.get_mut(&symbol) else { return };
        let is_near = watch.peer == 0;
        if let Some(place) = home.shards.iter().position(|(listed, _)| is_near && *listed == shard) {
            home.shards[place].1 -= 1;
            if home.shards[place].1 == 0 {
                home.shards.swap_remove(place);
            }
        }
        let is_last = home.cell.subscribers.fetch_sub(1, Relaxed) == 1;
        let cell = Arc::clone(&home.cell);
        drop(topics);
        if is_last && cell.options.notify {
            self.notify_owner(owner, EventStop { name: Arc::clone(&cell.name) });
        }
    }

    fn notify_owner<M: Message>(&self, owner: u64, message: M) {
        if let Some(record) = self.live_record(owner) {
            self.post_system(record, Meta::SYSTEM, message);
        }
    }
}

/// Publishing.
impl Shard {
    /// Publishes from the current process.
    pub(crate) fn publish<M: Message + Sync>(
        &self,
        cell: &Arc<EventCell>,
        message: M,
    ) -> Result<(), EventError> {
        if cell.is_gone() {
            return Err(EventError::Unknown);
        }
        let queue = if self.gate.get() == self.key {
            Meta::MAIN
        } else {
            self.watch_publication(&cell.name, &message);
            self.send_queue()
        };
        let publication = Published {
            cell: Arc::clone(cell),
            publisher: self.current_pid(),
            sequence: 0,
            at: self.clock.wall(),
            message,
        };
        if cell.home() == self.index {
            self.count_sent();
            self.publish_here(publication, queue);
            return Ok(());
        }
        let task = Parcel::task(Box::new(move |home| home.publish_here(publication, queue)));
        match self.mesh.push(self, cell.home(), task) {
            None => {
                self.count_sent();
                Ok(())
            }
            Some(refused) => {
                self.contain(|| drop(refused));
                Err(EventError::Overloaded)
            }
        }
    }

    /// Publishes an open event by its name.
    pub(crate) fn publish_open<M: Message + Sync>(&self, name: &str, message: M) -> Result<(), EventError> {
        let cell = self.node.events().get(name).ok_or(EventError::Unknown)?;
        cell.check::<M>()?;
        if !cell.options.open && cell.owner.0 != self.current_id.get() {
            return Err(EventError::NotOwner);
        }
        self.publish(&cell, message)
    }

    /// Numbers a publication, keeps it, and hands it to each shard with subscribers.
    pub(crate) fn publish_here<M: Message + Sync>(&self, mut publication: Published<M>, queue: u64) {
        let cell = Arc::clone(&publication.cell);
        let mut topics = self.topics.0.borrow_mut();
        let Some(home) = topics.get_mut(&cell.symbol).filter(|home| Arc::ptr_eq(&home.cell, &cell)) else {
            // Removed while this was on its way.
            drop(topics);
            self.count(|cells| &cells.dead_letters, 1);
            return self.contain(|| drop(publication));
        };
        home.sequence += 1;
        let home_sequence = home.sequence;
        publication.sequence = home_sequence;
        cell.published_at(publication.at);
        let publication = Arc::new(publication);
        let mut outdated = None;
        if cell.options.buffer > 0 {
            if home.kept.len() >= cell.options.buffer {
                outdated = home.kept.pop_front();
            }
            home.kept.push_back(Kept { queue, publication: Arc::<Published<M>>::clone(&publication) });
            cell.kept.store(home.kept.len() as u64, Relaxed);
        }
        let shards = home.shards.clone();
        drop(topics);
        if cell.nodes.load(Relaxed) > 0 {
            self.publish_to_nodes(&cell, home_sequence, || Kept {
                queue,
                publication: Arc::<Published<M>>::clone(&publication),
            });
        }
        bump(&cell.published, 1);
        let key = EventKey::Near { symbol: cell.symbol, producer: cell.owner.0 };
        self.count(|cells| &cells.events_published, 1);
        for (shard, subscriptions) in shards {
            if shard == self.index {
                self.spread(key, &publication, queue);
                continue;
            }
            let copy = Arc::clone(&publication);
            let task = Parcel::task(Box::new(move |there| {
                there.spread(key, &copy, queue);
            }));
            if let Some(refused) = self.mesh.push(self, shard, task) {
                self.contain(|| drop(refused));
                self.count_events(&cell, 0, u64::from(subscriptions));
            }
        }
        self.contain(|| drop((publication, outdated)));
    }

    /// Counts what became of one publication here.
    pub(crate) fn count_events(&self, cell: &EventCell, delivered: u64, lost: u64) {
        // Several shards deliver one event.
        cell.delivered.fetch_add(delivered, Relaxed);
        self.count(|cells| &cells.events_delivered, delivered);
        if lost > 0 {
            cell.lost.fetch_add(lost, Relaxed);
            self.count(|cells| &cells.events_lost, lost);
        }
    }

    /// Gives up the events of a process that ends.
    pub(super) fn free_events(&self, events: Vec<u32>, id: u64) {
        for symbol in events {
            if let Some(name) = self.node.symbols().text(crate::symbol::Symbol(symbol)) {
                self.node.events().unregister(name, LocalId(id));
            }
            self.forget_topic(symbol);
        }
    }

    /// Forgets what was noted of a subscription on the producer's side; used by [`drop_watch`](Self::drop_watch).
    pub(crate) fn unwatch(&self, record: &Record, owner: u64, watch: Watch) {
        let subscribed =
            self.with_existing_extension(record, |extension| extension.relations.unwatched_by(watch));
        if subscribed == Some(true) {
            self.remove_subscriber(owner, watch);
        }
    }
}
