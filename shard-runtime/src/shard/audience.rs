//! The subscribers' side of events: who of this shard gets which event, and how a publication reaches them.
//!
//! Owns: one list per event that processes of this shard subscribe to, by symbol and producer: an event's name may have gone to
//! another producer while what concerns the first one is still on its way. Invariants: A1 a process is listed at most once per
//! event, from the arrival of its subscription until the last of its relations to the event ends. A2 a publication goes to
//! those listed when it arrived, in order of arrival; places are not moved while one is under way. A3 publications of one
//! event are spread in the order in which they came.
//! Cost: an addition to a shared count and an ordinary send per subscriber. A publication for more than [`CHUNK`] processes is
//! spread over several turns, so that others run in between.

use crate::event::{Event, Published};
use crate::mailbox::Meta;
use crate::process::{Bond, Subject, Watch};
use crate::shard::Shard;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use shard_wire::Message;
use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// Messages sent for publications in one turn.
const CHUNK: usize = 4096;
/// Publications that may be under way on a shard.
const MAX_SPREADS: usize = 65_536;

type Map<K, V> = IndexMap<K, V, FxBuildHasher>;

/// An event, as the shards of its subscribers know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum EventKey {
    /// Of this node.
    Near {
        /// Its symbol.
        symbol: u32,
        /// The local id of its producer.
        producer: u64,
    },
    /// Of another node: the number of this shard's branch.
    Far(u64),
}

/// A publication that is kept for later subscribers.
#[derive(Clone)]
pub(crate) struct Kept {
    /// The queue it was published into.
    pub(crate) queue: u64,
    pub(crate) publication: Arc<dyn Any + Send + Sync>,
}

/// Delivers a kept publication, whose type the subscriber knows, to a process.
pub(crate) type DeliverKept = fn(&Shard, u64, &Kept);

/// Sends an erased publication, whose type the subscribers know, to those of this shard. `false`: too many are under way.
pub(crate) type SpreadKept = fn(&Shard, EventKey, &Kept) -> bool;

/// See [`SpreadKept`].
pub(crate) fn spread_kept<M: Message + Sync>(shard: &Shard, key: EventKey, kept: &Kept) -> bool {
    match Arc::clone(&kept.publication).downcast::<Published<M>>() {
        Ok(publication) => shard.spread(key, &publication, kept.queue),
        Err(_) => false,
    }
}

/// See [`DeliverKept`].
pub(crate) fn deliver_kept<M: Message + Sync>(shard: &Shard, to: u64, kept: &Kept) {
    if let Ok(publication) = Arc::clone(&kept.publication).downcast::<Published<M>>() {
        let arrived = shard.deliver_event(&publication, to, kept.queue);
        shard.count_events(&publication.cell, u64::from(arrived), u64::from(!arrived));
    }
}

/// Which relations a listed process has to the event.
#[derive(Default)]
struct Bonds {
    link: bool,
    monitor: bool,
}

impl Bonds {
    fn set(&mut self, bond: Bond, on: bool) {
        match bond {
            Bond::Link => self.link = on,
            Bond::Monitor => self.monitor = on,
        }
    }

    fn is_none(&self) -> bool {
        !self.link && !self.monitor
    }
}

/// The subscribers of one event on this shard.
#[derive(Default)]
struct Audience {
    /// Local ids in order of arrival; 0 where one has left.
    members: Vec<u64>,
    places: Map<u64, (usize, Bonds)>,
}

impl Audience {
    /// Whether the process is new here.
    fn join(&mut self, member: u64, bond: Bond) -> bool {
        let place = self.members.len();
        let (_, bonds) = self.places.entry(member).or_insert_with(|| (place, Bonds::default()));
        let is_new = bonds.is_none();
        bonds.set(bond, true);
        if is_new {
            self.members.push(member);
        }
        is_new
    }

    fn leave(&mut self, member: u64, bond: Bond) {
        let Some((place, bonds)) = self.places.get_mut(&member) else { return };
        bonds.set(bond, false);
        if bonds.is_none() {
            self.members[*place] = 0;
            self.places.swap_remove(&member);
        }
    }

    /// Closes the gaps, if they are more than half.
    fn tidy(&mut self) {
        if self.places.len() * 2 >= self.members.len() {
            return;
        }
        self.members.retain(|member| *member != 0);
        for (place, member) in self.members.iter().enumerate() {
            if let Some((kept, _)) = self.places.get_mut(member) {
                *kept = place;
            }
        }
    }
}

/// Sends a publication to these processes.
type SendTo = Box<dyn Fn(&Shard, &[u64])>;

/// One whose subscription ended with the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) consumer: u64,
    pub(crate) bond: Bond,
}

/// A publication on its way to the subscribers of this shard.
struct Spread {
    key: EventKey,
    next: usize,
    end: usize,
    send: SendTo,
}

/// The subscribers of this shard.
#[derive(Default)]
pub(crate) struct Audiences {
    by_event: RefCell<Map<EventKey, Audience>>,
    spreads: RefCell<VecDeque<Spread>>,
}

impl Audiences {
    /// Whether a publication is under way.
    #[inline]
    pub(crate) fn is_spreading(&self) -> bool {
        !self.spreads.borrow().is_empty()
    }

    /// Whether a publication of this event is under way.
    fn is_spreading_of(&self, key: EventKey) -> bool {
        self.spreads.borrow().iter().any(|spread| spread.key == key)
    }

    /// Closes the gaps of a list and forgets an empty one, unless a publication of its event is under way (A2).
    fn tidy(&self, key: EventKey) {
        if self.is_spreading_of(key) {
            return;
        }
        let mut audiences = self.by_event.borrow_mut();
        let Some(audience) = audiences.get_mut(&key) else { return };
        audience.tidy();
        if audience.places.is_empty() {
            audiences.swap_remove(&key);
        }
    }

    /// Those listed from `next` on, before `end`: at most [`CHUNK`] places.
    fn chunk(&self, key: EventKey, next: usize, end: usize) -> Vec<u64> {
        let audiences = self.by_event.borrow();
        let members = audiences.get(&key).map_or(&[][..], |audience| &audience.members);
        let end = end.min(members.len()).min(next + CHUNK);
        members.get(next..end).unwrap_or_default().iter().copied().filter(|member| *member != 0).collect()
    }
}

impl Shard {
    /// A subscription of a process of this shard begins: it gets what was kept, and then what is published.
    pub(super) fn join_audience(
        &self,
        producer: u64,
        watch: Watch,
        number: u32,
        kept: Vec<Kept>,
        deliver: DeliverKept,
    ) {
        let (consumer, tie) = (watch.consumer, watch.tie);
        let Subject::Event(symbol) = tie.subject else { return };
        let key = EventKey::Near { symbol, producer };
        let is_bound = self.live_record(consumer).and_then(|record| {
            self.with_existing_extension(record, |extension| {
                extension.relations.has(tie, number).then_some(())
            })
        });
        if is_bound.is_some() && self.enter_audience(key, consumer, tie.bond) {
            for publication in &kept {
                deliver(self, consumer, publication);
            }
        }
        self.contain(|| drop(kept));
    }

    /// Lists a process; whether it is new there.
    pub(crate) fn enter_audience(&self, key: EventKey, consumer: u64, bond: Bond) -> bool {
        self.audiences.by_event.borrow_mut().entry(key).or_default().join(consumer, bond)
    }

    /// All that are listed, in order of arrival; their event has ended.
    pub(crate) fn take_audience(&self, key: EventKey) -> Vec<Member> {
        self.finish_spreads(key);
        let Some(audience) = self.audiences.by_event.borrow_mut().swap_remove(&key) else {
            return Vec::new();
        };
        let bonds = |consumer: u64| {
            let bonds = audience.places.get(&consumer).map(|(_, bonds)| (bonds.link, bonds.monitor));
            let (link, monitor) = bonds.unwrap_or_default();
            let member = move |bond| Member { consumer, bond };
            link.then_some(member(Bond::Link)).into_iter().chain(monitor.then_some(member(Bond::Monitor)))
        };
        audience.members.iter().copied().flat_map(bonds).collect()
    }

    /// A relation of a process of this shard to an event is over.
    pub(crate) fn leave_audience(&self, key: EventKey, consumer: u64, bond: Bond) {
        let mut audiences = self.audiences.by_event.borrow_mut();
        let Some(audience) = audiences.get_mut(&key) else { return };
        audience.leave(consumer, bond);
        drop(audiences);
        self.audiences.tidy(key);
    }

    /// Sends a publication to the subscribers of this shard. `false`: too many are under way.
    pub(super) fn spread<M: Message + Sync>(
        &self,
        key: EventKey,
        publication: &Arc<Published<M>>,
        queue: u64,
    ) -> bool {
        let copy = Arc::clone(publication);
        let spread = self.spread_by(key, move |shard, members| shard.send_event(&copy, queue, members));
        if let Err(members) = spread {
            self.count_events(&publication.cell, 0, members);
        }
        spread.is_ok()
    }

    /// Sends something to the subscribers of this shard, in order behind what is under way. If too many things are, gives the
    /// number of those who miss it.
    pub(crate) fn spread_by(&self, key: EventKey, send: impl Fn(&Self, &[u64]) + 'static) -> Result<(), u64> {
        let audiences = self.audiences.by_event.borrow();
        let Some((end, members)) =
            audiences.get(&key).map(|audience| (audience.members.len(), audience.places.len()))
        else {
            return Ok(());
        };
        drop(audiences);
        if end <= CHUNK && !self.audiences.is_spreading() {
            let members = self.audiences.chunk(key, 0, end);
            send(self, &members);
            self.contain(|| drop(send));
            return Ok(());
        }
        // LIMIT: publications under way on a shard.
        if self.audiences.spreads.borrow().len() >= MAX_SPREADS {
            return Err(members as u64);
        }
        let send = Box::new(send);
        self.audiences.spreads.borrow_mut().push_back(Spread { key, next: 0, end, send });
        Ok(())
    }

    /// Goes on with what is under way.
    pub(super) fn spread_on(&self) {
        let Some(mut spread) = self.audiences.spreads.borrow_mut().pop_front() else { return };
        let members = self.audiences.chunk(spread.key, spread.next, spread.end);
        (spread.send)(self, &members);
        spread.next += CHUNK;
        if spread.next < spread.end {
            return self.audiences.spreads.borrow_mut().push_front(spread);
        }
        let key = spread.key;
        self.contain(|| drop(spread));
        self.audiences.tidy(key);
    }

    /// Sends all that is under way of an event that has ended, and what is in front of it.
    pub(crate) fn finish_spreads(&self, key: EventKey) {
        while self.audiences.is_spreading_of(key) {
            self.spread_on();
        }
    }

    fn send_event<M: Message + Sync>(&self, publication: &Arc<Published<M>>, queue: u64, members: &[u64]) {
        let arrived =
            members.iter().filter(|&&member| self.deliver_event(publication, member, queue)).count();
        self.count_events(&publication.cell, arrived as u64, (members.len() - arrived) as u64);
    }

    /// Tells one subscriber of this shard something about its event. What its mailbox refuses, it sees by the numbers.
    pub(crate) fn tell_subscriber<M: Message>(&self, to: u64, message: M) {
        let sent = self.sent.get();
        let told = self.ungated(|| {
            self.quietly(|| {
                let core = shard_wire::LocalId::CORE.0;
                self.speaking_as(core, || self.deliver(self.pid(to), message, Meta::MAIN, 0).is_ok())
            })
        });
        self.sent.set(sent);
        if told {
            self.count(|cells| &cells.posted, 1);
        } else {
            self.count(|cells| &cells.events_lost, 1);
        }
    }

    /// Sends one publication to one process of this shard; whether it arrived. It is the publication that is counted as sent by
    /// its publisher, not this.
    fn deliver_event<M: Message + Sync>(&self, publication: &Arc<Published<M>>, to: u64, queue: u64) -> bool {
        let sent = self.sent.get();
        let event = Event(Arc::clone(publication));
        let node = publication.publisher.node.0;
        let origin = if node == self.key { 0 } else { Meta::REMOTE };
        // The queue was decided when it was published: not by whoever runs now.
        let outcome = self.ungated(|| {
            self.quietly(|| {
                self.speaking_as(publication.publisher.local.0, || {
                    self.deliver(self.pid(to), event, queue & Meta::QUEUE | origin, node)
                })
            })
        });
        self.sent.set(sent);
        outcome.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Audience;
    use crate::process::Bond;

    #[test]
    fn a_member_is_listed_once_until_its_last_relation_ends() {
        let mut audience = Audience::default();
        assert!(audience.join(5, Bond::Link));
        assert!(!audience.join(5, Bond::Monitor));
        assert!(audience.join(6, Bond::Monitor));
        audience.leave(5, Bond::Link);
        assert_eq!(audience.members, [5, 6]);
        audience.leave(5, Bond::Monitor);
        assert_eq!(audience.members, [0, 6]);
        assert!(audience.join(5, Bond::Link), "behind those who were there");
        assert_eq!(audience.members, [0, 6, 5]);
    }

    #[test]
    fn gaps_are_closed_in_order() {
        let mut audience = Audience::default();
        for member in 1..=10 {
            audience.join(member, Bond::Monitor);
        }
        for member in [1, 2, 4, 6, 8, 9] {
            audience.leave(member, Bond::Monitor);
        }
        audience.tidy();
        assert_eq!(audience.members, [3, 5, 7, 10]);
        audience.leave(7, Bond::Monitor);
        assert_eq!(audience.members, [3, 5, 0, 10]);
    }
}
