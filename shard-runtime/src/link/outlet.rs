//! Events of this node that other nodes have subscribed to, from the producer's side: one frame per publication and node.
//! A node whose processes name several versions of the messages has a relay for each, and of each publication a frame for each.
//!
//! ```text
//! publish_here ─► outlet (producer's shard: what was sent so far) ─► link ─► relay of the other node
//!                   ▲ pump: what the event keeps, or a gap ◄── timer, while the link takes no more
//! ```
//! A subscription is a watcher of the producer like any other, whose consumer is the relay; so it ends with the event, with the
//! session, and when the node unsubscribes, and counts as one subscription of the event.
//! Invariants: O1 an outlet has sent everything up to `next`, as publications or as gaps, in order and once. O2 the publisher
//! never waits: what the link does not take is sent from what the event keeps, later, and what is not kept by then is a gap.
//! O3 all frames of an outlet have one sender and one target, so that big ones are not overtaken. O4 with `target` placement the link may be
//! another shard's: that one drops what follows on a frame it could not send, until the outlet goes on from there.
//! Bound: [`MAX_EDITIONS`] outlets per event and session; what waits is what the event keeps anyway.

use crate::error::{ExitReason, SendReason};
use crate::event::{Edition, EventCell};
use crate::link::Session;
use crate::link::send::Way;
use crate::link::signal::Signal;
use crate::process::{Bond, Subject, Tie, Watch, bump};
use crate::shard::{Kept, Parcel, Shard, Step};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use shard_wire::LocalId;
use shard_wire::event::{Item, Refusal, RelayId, Subscribe, Unsubscribed};
use shard_wire::frame::{Frame, FrameHead};
use shard_wire::header::FrameKind;
use shard_wire::relation::Reason;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, UNIX_EPOCH};

/// How long an outlet waits whose link took no more.
const RETRY: Duration = Duration::from_millis(10);
/// Frames that a waiting outlet sends in one go.
const PER_TURN: usize = 4096;

/// Most relays of one node that may have one event: one for each version of its messages that somebody there names.
const MAX_EDITIONS: usize = 8;

/// An outlet among those of its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    /// The event.
    symbol: u32,
    /// The session, as this shard numbers them.
    peer: u32,
    relay: RelayId,
}

/// Where the publications of an event go on another node.
#[derive(Clone, Debug)]
struct Outlet {
    place: Place,
    session: Arc<Session>,
    /// As what they go there.
    edition: Edition,
    /// The subscription, as the relay numbers them.
    number: u32,
    /// The publication that comes next.
    next: u64,
    /// The relay was told that the subscription stands.
    has_begun: bool,
    /// It is behind, and a timer looks after it.
    waits: bool,
    /// The next frame follows on one that was not sent (O4).
    resumes: bool,
    /// A publication that cannot be sent, whatever the link takes.
    skip: Option<u64>,
}

/// An event of this shard with subscribers on other nodes.
#[derive(Debug)]
struct FarTopic {
    cell: Arc<EventCell>,
    outlets: Vec<Outlet>,
}

impl FarTopic {
    /// How many outlets of a session there are.
    fn count(&self, peer: u32) -> usize {
        self.outlets.iter().filter(|outlet| outlet.place.peer == peer).count()
    }
}

/// What the owner of a link knows of another shard's outlet.
#[derive(Clone, Copy, Debug, Default)]
struct Hop {
    has_begun: bool,
    sent: u64,
    is_stuck: bool,
}

/// The outlets of a shard.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    topics: RefCell<IndexMap<u32, FarTopic, FxBuildHasher>>,
    /// Outlets that wait.
    waiting: RefCell<Vec<Place>>,
    is_timed: Cell<bool>,
    /// Outlets of other shards whose links are this one's, by incarnation key and relay.
    hops: RefCell<IndexMap<(u64, RelayId), Hop, FxBuildHasher>>,
}

impl Outlets {
    fn with<R>(&self, place: Place, f: impl FnOnce(&mut Outlet) -> R) -> Option<R> {
        let mut topics = self.topics.borrow_mut();
        let outlets = &mut topics.get_mut(&place.symbol)?.outlets;
        outlets.iter_mut().find(|outlet| outlet.place == place).map(f)
    }

    fn add(&self, cell: &Arc<EventCell>, outlet: Outlet) {
        let Place { symbol, peer, .. } = outlet.place;
        let fresh = || FarTopic { cell: Arc::clone(cell), outlets: Vec::new() };
        let mut topics = self.topics.borrow_mut();
        let topic = topics.entry(symbol).or_insert_with(fresh);
        if topic.count(peer) == 0 {
            cell.nodes.fetch_add(1, Relaxed);
        }
        topic.outlets.push(outlet);
    }

    fn take(&self, place: Place) -> Option<(Arc<EventCell>, Outlet)> {
        let mut topics = self.topics.borrow_mut();
        let topic = topics.get_mut(&place.symbol)?;
        let index = topic.outlets.iter().position(|outlet| outlet.place == place)?;
        let outlet = topic.outlets.swap_remove(index);
        let cell = Arc::clone(&topic.cell);
        if topic.count(place.peer) == 0 {
            cell.nodes.fetch_sub(1, Relaxed);
        }
        if topic.outlets.is_empty() {
            topics.swap_remove(&place.symbol);
        }
        Some((cell, outlet))
    }

    fn get(&self, place: Place) -> Option<(Arc<EventCell>, Outlet)> {
        let topics = self.topics.borrow();
        let topic = topics.get(&place.symbol)?;
        let outlet = topic.outlets.iter().find(|outlet| outlet.place == place)?;
        Some((Arc::clone(&topic.cell), outlet.clone()))
    }

    /// How many outlets of an event a session has.
    fn count(&self, symbol: u32, peer: u32) -> usize {
        self.topics.borrow().get(&symbol).map_or(0, |topic| topic.count(peer))
    }
}

/// What is sent to a relay.
#[derive(Clone)]
enum Dispatch {
    Begin { first: u64 },
    Publication { sequence: u64, kept: Kept },
    Gap { from: u64, to: u64 },
}

impl Dispatch {
    fn first(&self) -> u64 {
        match self {
            Self::Begin { first } => *first,
            Self::Publication { sequence, .. } => *sequence,
            Self::Gap { from, .. } => *from,
        }
    }

    /// The publication after it.
    fn next(&self) -> u64 {
        match self {
            Self::Begin { first } => *first,
            Self::Publication { sequence, .. } => sequence + 1,
            Self::Gap { to, .. } => to + 1,
        }
    }
}

/// Whether it is the publication that cannot be sent, not the link.
fn is_unsendable(reason: SendReason) -> bool {
    matches!(reason, SendReason::TooLarge | SendReason::Encode | SendReason::LocalOnly)
}

/// A subscription that another node asks for.
struct Wanted {
    session: Arc<Session>,
    relay: RelayId,
    number: u32,
    since: Subscribe,
    edition: Edition,
}

impl Wanted {
    fn tie(symbol: u32) -> Tie {
        Tie { subject: Subject::Event(symbol), bond: Bond::Monitor }
    }
}

/// Publications on their way out.
impl Shard {
    /// Sends a publication to the nodes that have subscribed.
    pub(crate) fn publish_to_nodes(&self, cell: &EventCell, sequence: u64, kept: impl FnOnce() -> Kept) {
        let item = Dispatch::Publication { sequence, kept: kept() };
        let mut late = Vec::new();
        if let Some(topic) = self.net.outlets.topics.borrow_mut().get_mut(&cell.symbol) {
            for outlet in &mut topic.outlets {
                if outlet.waits {
                    continue;
                }
                let is_next = outlet.has_begun && outlet.next == sequence;
                if is_next && self.send_dispatch(&topic.cell, outlet, &item).is_ok() {
                    outlet.next = sequence + 1;
                } else {
                    outlet.waits = true;
                    late.push(outlet.place);
                }
            }
        }
        self.contain(|| drop(item));
        self.let_outlets_wait(&late);
    }

    #[cold]
    fn let_outlets_wait(&self, late: &[Place]) {
        if late.is_empty() {
            return;
        }
        self.net.outlets.waiting.borrow_mut().extend_from_slice(late);
        if self.net.outlets.is_timed.replace(true) {
            return;
        }
        if self.timer(RETRY, Self::pump_outlets).is_none() {
            // LIMIT: timers of the shard. The next that waits tries again.
            self.net.outlets.is_timed.set(false);
        }
    }

    fn pump_outlets(&self) {
        self.net.outlets.is_timed.set(false);
        let mut late = std::mem::take(&mut *self.net.outlets.waiting.borrow_mut());
        late.retain(|place| self.pump_outlet(*place));
        self.let_outlets_wait(&late);
    }

    /// Sends what an outlet is behind. Whether it still is.
    fn pump_outlet(&self, place: Place) -> bool {
        for _ in 0..PER_TURN {
            let Some((cell, outlet)) = self.net.outlets.get(place) else { return false };
            let next = outlet.next;
            let item = if !outlet.has_begun {
                Dispatch::Begin { first: next }
            } else if outlet.skip == Some(next) {
                Dispatch::Gap { from: next, to: next }
            } else {
                match self.topics.step(&cell, next) {
                    Some(Step::Gap(to)) => Dispatch::Gap { from: next, to },
                    Some(Step::Kept(kept)) => Dispatch::Publication { sequence: next, kept },
                    Some(Step::Done) | None => {
                        self.net.outlets.with(place, |outlet| outlet.waits = false);
                        return false;
                    }
                }
            };
            let sent = self.send_dispatch(&cell, &outlet, &item);
            let (after, is_publication) = (item.next(), matches!(item, Dispatch::Publication { .. }));
            self.contain(|| drop(item));
            let is_sent = self.net.outlets.with(place, |outlet| match sent {
                Ok(()) => {
                    outlet.next = after;
                    outlet.has_begun = true;
                    outlet.resumes = false;
                    true
                }
                Err(reason) if is_publication && is_unsendable(reason) => {
                    outlet.skip = Some(next);
                    true
                }
                Err(_) => false,
            });
            if is_sent != Some(true) {
                break;
            }
        }
        true
    }

    fn send_dispatch(
        &self,
        cell: &Arc<EventCell>,
        outlet: &Outlet,
        item: &Dispatch,
    ) -> Result<(), SendReason> {
        match self.way_to_relay(&outlet.session, outlet.place.relay)? {
            Way::Link(link) => self.write_dispatch(link, cell, outlet, item),
            Way::Owner(owner) => {
                let (cell, outlet, item) = (Arc::clone(cell), outlet.clone(), item.clone());
                let home = self.index();
                let task = move |owner: &Self| owner.take_hop(home, &cell, &outlet, item);
                let refused = self.push_parcel(owner, Parcel::task(Box::new(task)));
                let is_taken = refused.is_none();
                self.contain(|| drop(refused));
                if is_taken { Ok(()) } else { Err(SendReason::OutboxFull) }
            }
        }
    }

    fn way_to_relay(&self, session: &Session, relay: RelayId) -> Result<Way, SendReason> {
        match self.session_by_key(session.key) {
            Ok(up) if up.number == session.number => {
                self.route(self.pid_of(session.key, u64::from(relay.shard()) << SHARD_SHIFT))
            }
            _ => Err(SendReason::NotConnected),
        }
    }

    fn write_dispatch(
        &self,
        link: u32,
        cell: &EventCell,
        outlet: &Outlet,
        item: &Dispatch,
    ) -> Result<(), SendReason> {
        let head = FrameHead {
            to: LocalId(outlet.place.relay.bits()),
            from: cell.owner,
            reference: item.first(),
            ..FrameHead::new(FrameKind::Event)
        };
        match item {
            Dispatch::Begin { .. } => {
                let (event, buffer) = (cell.origin.event, cell.options.buffer as u64);
                let begin = Item::Begin { event, buffer, subscription: outlet.number };
                self.push(link, &head, |out| out.put(&begin.to_bytes()))
            }
            Dispatch::Gap { from, to } => {
                let gap = Item::Gap { to: *to };
                self.push(link, &head, |out| out.put(&gap.to_bytes()))?;
                self.with_link_cells(link, |cells| bump(&cells.events_missed_out, to - from + 1));
                Ok(())
            }
            Dispatch::Publication { kept, .. } => {
                self.write_publication(link, cell, head, outlet.edition, kept)
            }
        }
    }

    fn write_publication(
        &self,
        link: u32,
        cell: &EventCell,
        head: FrameHead<'_>,
        edition: Edition,
        kept: &Kept,
    ) -> Result<(), SendReason> {
        let ops = cell.wire.as_ref().ok_or(SendReason::LocalOnly)?;
        let imprint = (ops.imprint)(&kept.publication).ok_or(SendReason::Encode)?;
        let at = imprint.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let item = Item::Publication {
            queue: queue_code(kept.queue),
            publisher: imprint.publisher.local.0,
            at_ns: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
        };
        let head = FrameHead { key: edition.key, ..head };
        let mut sent = Err(SendReason::Encode);
        // Encoding and conversion may be the user's code, and its publisher is not here any more.
        self.contain(|| {
            sent = self.push(link, &head, |out| {
                out.put(&item.to_bytes())?;
                ops.encode(&kept.publication, edition, out)
            });
        });
        sent?;
        self.with_link_cells(link, |cells| bump(&cells.events_out, 1));
        cell.sent_to_nodes.fetch_add(1, Relaxed);
        self.count(|cells| &cells.events_sent_to_nodes, 1);
        Ok(())
    }

    /// Sends a frame of another shard's outlet.
    fn take_hop(&self, home: u16, cell: &Arc<EventCell>, outlet: &Outlet, item: Dispatch) {
        if outlet.session.is_over.load(Relaxed) {
            return self.contain(|| drop(item));
        }
        let Place { relay, .. } = outlet.place;
        let key = (outlet.session.key, relay);
        let hop = self.net.outlets.hops.borrow().get(&key).copied().unwrap_or_default();
        if hop.is_stuck && !outlet.resumes {
            return self.contain(|| drop(item));
        }
        let sent = match self.way_to_relay(&outlet.session, relay) {
            Ok(Way::Link(link)) => self.write_dispatch(link, cell, outlet, &item),
            Ok(Way::Owner(_)) => Err(SendReason::NotConnected),
            Err(reason) => Err(reason),
        };
        let hop = match sent {
            Ok(()) => Hop { has_begun: true, sent: item.next() - 1, is_stuck: false },
            Err(_) => Hop { is_stuck: true, ..hop },
        };
        self.net.outlets.hops.borrow_mut().insert(key, hop);
        let (first, is_begin) = (item.first(), matches!(item, Dispatch::Begin { .. }));
        self.contain(|| drop(item));
        if let Err(reason) = sent {
            let (place, number) = (outlet.place, outlet.number);
            self.tell(home, move |home| home.hop_failed((place, number), first, is_begin, reason));
        }
    }

    /// The owner of the link could not send a frame of an outlet.
    fn hop_failed(&self, (place, number): (Place, u32), first: u64, is_begin: bool, reason: SendReason) {
        let late = self.net.outlets.with(place, |outlet| {
            if outlet.number != number {
                return false;
            }
            outlet.next = first;
            outlet.has_begun &= !is_begin;
            outlet.resumes = true;
            if is_unsendable(reason) && !is_begin {
                outlet.skip = Some(first);
            }
            !std::mem::replace(&mut outlet.waits, true)
        });
        if late == Some(true) {
            self.let_outlets_wait(&[place]);
        }
    }
}

/// Subscriptions of other nodes.
impl Shard {
    /// Another node subscribes, or does so no more. `None`: it says what it must not.
    pub(super) fn on_subscribe(&self, frame: &Frame<'_>, key: u64) -> Option<()> {
        let header = &frame.header;
        let session = self.session_by_key(key).ok().filter(|session| session.has_events)?;
        let relay = RelayId::from_bits(header.from.0).filter(|relay| relay.shard() < session.shards)?;
        let number = u32::try_from(header.reference).ok()?;
        let cell = self.node().events().get(frame.name()?);
        if header.kind == FrameKind::Unsubscribe {
            // If it has ended meanwhile, so has the subscription.
            if let Some(cell) = cell {
                self.tell(cell.home(), move |home| home.remove_outlet(&session, relay, &cell));
            }
            return Some(());
        }
        let since = Subscribe::from_bytes(frame.body).ok()?;
        let found = cell.ok_or(Refusal::Unknown).and_then(|cell| {
            let ops = cell.wire.as_ref().ok_or(Refusal::LocalOnly)?;
            let edition = ops.edition(since.key).ok_or(Refusal::OtherType)?;
            Ok((cell, edition))
        });
        match found {
            Ok((cell, edition)) => {
                let wanted = Wanted { session, relay, number, since, edition };
                self.tell(cell.home(), move |home| home.add_outlet(&cell, &wanted));
            }
            Err(refusal) => self.refuse_subscription(&session, relay, number, refusal),
        }
        Some(())
    }

    fn refuse_subscription(&self, session: &Arc<Session>, relay: RelayId, number: u32, refusal: Refusal) {
        let reason = Reason::NoProcess;
        let end = Unsubscribed { refusal, has_begun: false, sent: 0, last: 0, reason };
        self.send_unsubscribed(session, relay, number, &end);
    }

    fn send_unsubscribed(&self, session: &Arc<Session>, relay: RelayId, number: u32, end: &Unsubscribed) {
        let signal = Signal {
            kind: FrameKind::Unsubscribed,
            to: LocalId(relay.bits()),
            from: LocalId::NONE,
            reference: u64::from(number),
            name: None,
            body: end.to_bytes(),
            via: relay.shard(),
        };
        // If the session has ended, the relay has heard of that.
        if self.send_signal(session, signal, true) == Err(SendReason::Overloaded) {
            // LIMIT: a peer that does not read what it has asked for.
            self.count_refused(session);
        }
    }

    fn add_outlet(&self, cell: &Arc<EventCell>, wanted: &Wanted) {
        let Wanted { session, relay, number, since, edition } = wanted;
        let (symbol, owner) = (cell.symbol, cell.owner.0);
        let Some(peer) = self.net.far.borrow_mut().peer_of(session) else { return };
        let place = Place { symbol, peer, relay: *relay };
        // Of two that a relay has asked for the earlier one is not waited for any more.
        if let Some((cell, _)) = self.net.outlets.get(place) {
            self.remove_outlet(session, *relay, &cell);
        }
        // LIMIT: relays of a node with one event.
        if self.net.outlets.count(symbol, peer) >= MAX_EDITIONS {
            self.count_refused(session);
            return self.refuse_subscription(session, *relay, *number, Refusal::Limit);
        }
        let watch = Watch { peer, consumer: relay.bits(), tie: Wanted::tie(symbol) };
        let Some((oldest, last)) = self.topics.span(cell) else {
            // Given up, or registered anew, while this was on its way.
            let end = Unsubscribed {
                refusal: Refusal::Ended,
                has_begun: false,
                sent: 0,
                last: 0,
                reason: Reason::Unregistered,
            };
            return self.send_unsubscribed(session, *relay, *number, &end);
        };
        if !self.net.far.borrow_mut().note_watcher(watch, owner) {
            self.count_refused(session);
            return self.refuse_subscription(session, *relay, *number, Refusal::Limit);
        }
        self.count_far(session);
        if !self.add_watch(owner, watch, *number, true) {
            return;
        }
        let goes_on = since.since.filter(|at| at.origin == cell.origin && at.sequence <= last);
        let outlet = Outlet {
            place,
            session: Arc::clone(session),
            edition: *edition,
            number: *number,
            next: goes_on.map_or(oldest, |at| at.sequence + 1),
            has_begun: false,
            waits: true,
            resumes: true,
            skip: None,
        };
        self.net.outlets.add(cell, outlet);
        self.count_subscription(cell);
        if self.pump_outlet(place) {
            self.let_outlets_wait(&[place]);
        }
    }

    /// Another node has unsubscribed.
    fn remove_outlet(&self, session: &Session, relay: RelayId, cell: &EventCell) {
        let watch = {
            let mut far = self.net.far.borrow_mut();
            let Some(peer) = far.known(session) else { return };
            let watch = Watch { peer, consumer: relay.bits(), tie: Wanted::tie(cell.symbol) };
            if far.take_watcher(&watch).is_none() {
                return;
            }
            watch
        };
        self.count_far(session);
        self.forget_watch(cell.owner.0, watch);
    }

    /// The subscription of a session is over; used where the producer's side of relations is undone.
    pub(crate) fn close_outlet(&self, symbol: u32, watch: &Watch) {
        let Some(relay) = RelayId::from_bits(watch.consumer) else { return };
        let place = Place { symbol, peer: watch.peer, relay };
        let Some((_, outlet)) = self.net.outlets.take(place) else { return };
        if let Ok(Way::Owner(owner)) = self.way_to_relay(&outlet.session, relay) {
            let key = (outlet.session.key, relay);
            self.tell(owner, move |owner| {
                owner.net.outlets.hops.borrow_mut().swap_remove(&key);
            });
        }
    }

    /// The event has ended: its relay on another node is told, and how much will still come.
    pub(super) fn end_outlet(
        &self,
        session: &Arc<Session>,
        relay: RelayId,
        (subject, peer): (Subject, u32),
        number: u32,
        reason: &ExitReason,
    ) {
        let Subject::Event(symbol) = subject else { return };
        let reason = self.reason_for_wire(reason);
        let taken = self.net.outlets.take(Place { symbol, peer, relay });
        let mut end = Unsubscribed { refusal: Refusal::Ended, has_begun: false, sent: 0, last: 0, reason };
        let Some((cell, outlet)) = taken else {
            return self.send_unsubscribed(session, relay, number, &end);
        };
        end.last = cell.published.load(Relaxed);
        if let Ok(Way::Owner(owner)) = self.way_to_relay(session, relay) {
            let session = Arc::clone(session);
            return self.tell(owner, move |owner| {
                let hop = owner.net.outlets.hops.borrow_mut().swap_remove(&(session.key, relay));
                let hop = hop.unwrap_or_default();
                (end.has_begun, end.sent) = (hop.has_begun, hop.sent);
                owner.send_unsubscribed(&session, relay, number, &end);
            });
        }
        (end.has_begun, end.sent) = (outlet.has_begun, outlet.next.saturating_sub(1));
        self.send_unsubscribed(session, relay, number, &end);
    }

    /// A session has ended: nothing of other shards' outlets is sent to it any more.
    pub(super) fn forget_hops(&self, session: &Session) {
        self.net.outlets.hops.borrow_mut().retain(|(key, _), _| *key != session.key);
    }
}

/// Where a local id names its shard.
const SHARD_SHIFT: u32 = 52;

/// A queue, as other nodes are told it.
fn queue_code(queue: u64) -> u8 {
    use crate::mailbox::Meta;
    match queue & Meta::QUEUE {
        Meta::SYSTEM => 1,
        Meta::URGENT => 2,
        _ => 0,
    }
}
