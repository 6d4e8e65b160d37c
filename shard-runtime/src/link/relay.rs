//! Events of other nodes that this node has subscribed to: one relay per event, for all shards.
//!
//! ```text
//! branch (each shard with subscribers) ─attach, detach─► relay (one shard) ─subscribe─► outlet of the producer's node
//!   ▲ begin, publications, gaps, restart, end ◄────────────┘      ◄─ begin, publications, gaps, end ──┘
//! ```
//! Invariants: Y1 a relay lives from its first branch to its last, or to the end of its event. It outlives sessions: in each it
//! subscribes from what it had last. Y2 what goes to a branch after its begin is everything after what came with that, in
//! order; what is missing is told as a gap. Y3 a branch has a number of its own, so what is under way to one that is gone
//! is not taken by its successor. Y4 an end waits for the publications that it has overtaken. Y5 each subscription asks for the
//! messages as its subscribers name them, and when that is refused for one earlier version after the other, which are read as that.
//! Bound: as many publications are kept here as the event keeps; relays are bounded by branches.

use crate::error::{EventError, ExitReason, LinkError};
use crate::event::{EventCell, EventOrigin, EventPosition, Imprint, MAX_BUFFER, Shared};
use crate::link::Session;
use crate::link::branch::Begun;
use crate::link::reason::reason_of_wire;
use crate::link::signal::Signal;
use crate::link::version::earlier;
use crate::mailbox::Meta;
use crate::process::bump;
use crate::shard::{DeliverKept, Kept, Parcel, Shard, SpreadKept};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use shard_wire::event::{Item, Refusal, RelayId, Subscribe, Unsubscribed};
use shard_wire::frame::Frame;
use shard_wire::header::FrameKind;
use shard_wire::{LocalId, MessageKey, WireError, WireOps};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// How often relays without a subscription look for one.
const LOOK: Duration = Duration::from_millis(250);
/// A connection is asked for at every so many looks.
const LOOKS_PER_ASK: u32 = 8;
/// How long a node that was started anew may take to register an event that its former incarnation had.
const RETURN: u64 = 30_000_000_000;
/// Longest gap that counters take at its word.
const MOST_MISSED: u64 = u32::MAX as u64;

/// An event of another node, and the type that its messages are expected to have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct FeedKey {
    pub(super) node: u32,
    pub(super) name: u32,
    pub(super) key: MessageKey,
}

/// Makes a publication of the body of its frame.
type Decode = fn(&Arc<EventCell>, Imprint, &'static WireOps, &[u8]) -> Result<Shared, WireError>;

/// What can be done with publications of another node, by those who know their type.
#[derive(Clone, Copy)]
pub(super) struct FeedOps {
    /// Those of the type itself.
    pub(super) wire: &'static WireOps,
    pub(super) cell: fn(Arc<str>, Arc<str>, EventOrigin) -> EventCell,
    pub(super) decode: Decode,
    pub(super) spread: SpreadKept,
    pub(super) deliver: DeliverKept,
}

/// An event of another node as its subscribers name it.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) key: FeedKey,
    pub(super) name: Arc<str>,
    pub(super) node: Arc<str>,
    pub(super) ops: FeedOps,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No subscription: no session, or the event is not there yet.
    Away,
    /// Subscribed, and not answered.
    Asked,
    /// The subscription stands.
    Live,
}

/// A shard with subscribers.
#[derive(Clone, Copy)]
struct Listener {
    shard: u16,
    branch: u64,
    /// The lane to it was full.
    lags: bool,
}

/// An end that has overtaken publications (Y4).
struct Ending {
    sent: u64,
    last: u64,
    reason: ExitReason,
}

struct Relay {
    feed: Feed,
    /// The subscription; counts up with each that is asked for.
    number: u32,
    /// What reads the publications of the subscription (Y5).
    reads: &'static WireOps,
    state: State,
    /// Key and number of the session of the subscription.
    session: (u64, u64),
    cell: Option<Arc<EventCell>>,
    /// The last publication that came or was told as a gap.
    last: u64,
    buffer: usize,
    kept: VecDeque<(u64, Kept)>,
    listeners: Vec<Listener>,
    ending: Option<Ending>,
    /// Tick until which an event that has gone with its node's incarnation may come back.
    returns_by: Option<u64>,
}

/// The relays of a shard.
#[derive(Default)]
pub(super) struct Relays {
    by_key: RefCell<IndexMap<FeedKey, RelayId, FxBuildHasher>>,
    relays: RefCell<IndexMap<RelayId, Relay, FxBuildHasher>>,
    last: Cell<u64>,
    looks: Cell<u32>,
    is_timed: Cell<bool>,
    is_behind: Cell<bool>,
}

impl std::fmt::Debug for Relays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relays").field("count", &self.relays.borrow().len()).finish_non_exhaustive()
    }
}

impl Relays {
    fn with<R>(&self, id: RelayId, f: impl FnOnce(&mut Relay) -> R) -> Option<R> {
        self.relays.borrow_mut().get_mut(&id).map(f)
    }

    fn listeners(&self, id: RelayId) -> Vec<Listener> {
        self.relays.borrow().get(&id).map(|relay| relay.listeners.clone()).unwrap_or_default()
    }
}

/// Branches, and the subscription for them.
impl Shard {
    /// Which shard of this node relays an event.
    pub(super) fn relay_shard(&self, key: FeedKey) -> u16 {
        let mixed = (u64::from(key.node) << 32 | u64::from(key.name)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed >> 32) % u64::from(self.node().shards().max(1))) as u16
    }

    /// A shard has its first subscriber.
    pub(super) fn attach(&self, feed: &Feed, shard: u16, branch: u64) {
        let known = self.net.relays.by_key.borrow().get(&feed.key).copied();
        let id = known.unwrap_or_else(|| self.new_relay(feed));
        let begun = self.net.relays.with(id, |relay| {
            relay.listeners.push(Listener { shard, branch, lags: false });
            relay.cell.clone().map(|cell| Begun {
                cell,
                last: relay.last,
                kept: relay.kept.clone(),
                buffer: relay.buffer,
            })
        });
        if let Some(begun) = begun.flatten() {
            self.tell(shard, move |shard| shard.branch_begins(branch, begun));
        }
        if known.is_none() {
            self.ask_for_feed(id);
        }
    }

    fn new_relay(&self, feed: &Feed) -> RelayId {
        let relays = &self.net.relays;
        relays.last.set(relays.last.get() + 1);
        let id = RelayId::new(self.index(), relays.last.get());
        let relay = Relay {
            feed: feed.clone(),
            number: 0,
            reads: feed.ops.wire,
            state: State::Away,
            session: (0, 0),
            cell: None,
            last: 0,
            buffer: 0,
            kept: VecDeque::new(),
            listeners: Vec::new(),
            ending: None,
            returns_by: None,
        };
        relays.relays.borrow_mut().insert(id, relay);
        relays.by_key.borrow_mut().insert(feed.key, id);
        id
    }

    /// The last subscriber of a shard is gone.
    pub(super) fn detach(&self, key: FeedKey, shard: u16, branch: u64) {
        let Some(id) = self.net.relays.by_key.borrow().get(&key).copied() else { return };
        let is_idle = self.net.relays.with(id, |relay| {
            relay.listeners.retain(|listener| (listener.shard, listener.branch) != (shard, branch));
            relay.listeners.is_empty()
        });
        if is_idle != Some(true) {
            return;
        }
        let Some(relay) = self.forget_relay(id) else { return };
        if relay.state != State::Away
            && let Ok(session) = self.session_by_key(relay.session.0)
        {
            let signal = self.relay_signal(FrameKind::Unsubscribe, id, &relay, &session, Vec::new());
            // If the session has ended, so has the subscription.
            let _ended = self.send_signal(&session, signal, true);
        }
        self.contain(|| drop(relay));
    }

    fn forget_relay(&self, id: RelayId) -> Option<Relay> {
        let relay = self.net.relays.relays.borrow_mut().swap_remove(&id)?;
        self.net.relays.by_key.borrow_mut().swap_remove(&relay.feed.key);
        Some(relay)
    }

    fn relay_signal(
        &self,
        kind: FrameKind,
        id: RelayId,
        relay: &Relay,
        session: &Session,
        body: Vec<u8>,
    ) -> Signal {
        Signal {
            kind,
            to: LocalId::NONE,
            from: LocalId(id.bits()),
            reference: u64::from(relay.number),
            name: Some((&*relay.feed.name).into()),
            body,
            // Any shard there can look the event up; always the same one, for order.
            via: self.index() % session.shards.max(1),
        }
    }

    /// Subscribes, if there is a session.
    fn ask_for_feed(&self, id: RelayId) {
        // Its node may have been started anew, with a later version.
        self.net.relays.with(id, |relay| relay.reads = relay.feed.ops.wire);
        self.ask_for_version(id);
    }

    /// Subscribes to what the relay reads now.
    fn ask_for_version(&self, id: RelayId) {
        let node = self.net.relays.with(id, |relay| Arc::clone(&relay.feed.node));
        let Some(node) = node else { return };
        let session = self.net.find_node(&node).and_then(|index| {
            let sessions = self.net.sessions.borrow();
            sessions.get(index as usize).map(|peer| Arc::clone(&peer.session))
        });
        let Some(session) = session else { return self.look_for_feeds() };
        if !session.has_events {
            return self.end_relay(id, &ExitReason::custom(EventError::Link(LinkError::Remote)));
        }
        let now = self.now_ticks();
        let limit = self.nanos_in_ticks(RETURN);
        let signal = self.net.relays.with(id, |relay| {
            relay.number = relay.number.wrapping_add(1);
            relay.session = (session.key, session.number);
            relay.state = State::Asked;
            relay.ending = None;
            let origin = relay.cell.as_ref().map(|cell| cell.origin);
            if origin.is_some_and(|origin| origin.node != session.key) {
                relay.returns_by.get_or_insert(now + limit);
            }
            let since = origin.map(|origin| EventPosition { origin, sequence: relay.last });
            let body = Subscribe { key: relay.reads.key(), since }.to_bytes();
            self.relay_signal(FrameKind::Subscribe, id, relay, &session, body)
        });
        let Some(signal) = signal else { return };
        if self.send_signal(&session, signal, true).is_err() {
            self.net.relays.with(id, |relay| relay.state = State::Away);
            self.look_for_feeds();
        }
    }

    /// Looks after relays that have no subscription, now and then.
    fn look_for_feeds(&self) {
        if self.net.relays.is_timed.replace(true) {
            return;
        }
        let timer = self.timer(LOOK, |shard| {
            let relays = &shard.net.relays;
            relays.is_timed.set(false);
            let looks = relays.looks.get().wrapping_add(1);
            relays.looks.set(looks);
            let is_away = |(id, relay): (&RelayId, &Relay)| {
                (relay.state == State::Away).then(|| (*id, Arc::clone(&relay.feed.node)))
            };
            let away: Vec<_> = relays.relays.borrow().iter().filter_map(is_away).collect();
            for (id, node) in away {
                if looks.is_multiple_of(LOOKS_PER_ASK) && shard.net.find_node(&node).is_none() {
                    shard.ask_for(&node);
                }
                shard.ask_for_feed(id);
            }
        });
        if timer.is_none() {
            // LIMIT: timers of the shard. The next relay that has no subscription tries again.
            self.net.relays.is_timed.set(false);
        }
    }

    /// A session has begun: what was subscribed to on its node is subscribed to again.
    pub(super) fn relays_up(&self, session: &Session) {
        let name = session.peer.name.as_str();
        let is_waiting = |(id, relay): (&RelayId, &Relay)| {
            (relay.state == State::Away && &*relay.feed.node == name).then_some(*id)
        };
        let waiting: Vec<_> = self.net.relays.relays.borrow().iter().filter_map(is_waiting).collect();
        for id in waiting {
            self.ask_for_feed(id);
        }
    }

    /// A session has ended, and its subscriptions with it.
    pub(super) fn relays_down(&self, session: &Session) {
        let of_session = (session.key, session.number);
        let mut is_any = false;
        for relay in self.net.relays.relays.borrow_mut().values_mut() {
            if relay.state != State::Away && relay.session == of_session {
                relay.state = State::Away;
                relay.ending = None;
                relay.returns_by = None;
                is_any = true;
            }
        }
        if is_any {
            self.look_for_feeds();
        }
    }

    /// The event has ended, or cannot be subscribed to.
    fn end_relay(&self, id: RelayId, reason: &ExitReason) {
        let Some(relay) = self.forget_relay(id) else { return };
        for Listener { shard, branch, .. } in &relay.listeners {
            let (branch, reason) = (*branch, reason.clone());
            self.tell(*shard, move |shard| shard.branch_ends(branch, &reason));
        }
        self.contain(|| drop(relay));
    }
}

/// Frames of the producer's node.
impl Shard {
    /// A subscription has ended, or is refused. `None`: the peer says what it must not.
    pub(super) fn on_unsubscribed(&self, frame: &Frame<'_>, key: u64) -> Option<()> {
        let id = RelayId::from_bits(frame.header.to.0)?;
        let end = Unsubscribed::from_bytes(frame.body).ok()?;
        let now = self.now_ticks();
        let outcome = self.net.relays.with(id, |relay| {
            let is_current = relay.session.0 == key
                && u64::from(relay.number) == frame.header.reference
                && relay.state != State::Away;
            is_current.then(|| relay.ended(end, key, now))
        });
        match outcome.flatten() {
            // Of a subscription that is not there any more.
            None => {}
            Some(Outcome::Waits) => self.end_if_due(id),
            Some(Outcome::Ends(reason)) => self.end_relay(id, &reason),
            Some(Outcome::Earlier) => self.ask_for_version(id),
            Some(Outcome::Returns) => {
                for Listener { shard, branch, .. } in self.net.relays.listeners(id) {
                    self.tell(shard, move |shard| shard.end_once(branch, &ExitReason::NoProcess));
                }
                self.look_for_feeds();
            }
        }
        Some(())
    }

    /// Ends a relay whose end came before the last publications, once these are there (Y4).
    fn end_if_due(&self, id: RelayId) {
        let ending = self.net.relays.with(id, |relay| {
            let is_due = relay.ending.as_ref().is_some_and(|ending| relay.last >= ending.sent);
            let ending = if is_due && relay.state == State::Live { relay.ending.take() } else { None };
            ending.map(|ending| (ending, relay.last))
        });
        let Some((ending, last)) = ending.flatten() else { return };
        if ending.last > last {
            self.relay_gap(id, ending.last);
        }
        self.end_relay(id, &ending.reason);
    }

    /// An event frame: the subscription stands, a publication, or a gap.
    #[cold]
    pub(super) fn handle_event(&self, frame: &Frame<'_>, link: u32, key: u64) {
        let Ok((item, body)) = Item::from_bytes(frame.body) else {
            return self.with_link_cells(link, |cells| bump(&cells.decode_errors, 1));
        };
        let id = RelayId::from_bits(frame.header.to.0);
        let state = id.and_then(|id| {
            self.net.relays.with(id, |relay| (relay.session.0 == key).then_some(relay.state)).flatten()
        });
        let (Some(id), Some(state)) = (id, state) else {
            // Of a subscription that is not there any more.
            return self.with_link_cells(link, |cells| bump(&cells.undeliverable, 1));
        };
        let sequence = frame.header.reference;
        match item {
            Item::Begin { event, buffer, subscription } if state == State::Asked => {
                let origin = EventOrigin { node: key, event };
                self.relay_begins(id, subscription, origin, (sequence, buffer));
            }
            Item::Publication { queue, publisher, at_ns } if state == State::Live => {
                self.with_link_cells(link, |cells| bump(&cells.events_in, 1));
                self.count(|cells| &cells.events_received, 1);
                let imprint = Imprint {
                    publisher: self.pid_of(key, publisher),
                    sequence,
                    at: UNIX_EPOCH + Duration::from_nanos(at_ns),
                };
                self.relay_publication(id, (frame, body), link, imprint, queue);
            }
            Item::Gap { to } if state == State::Live => self.relay_gap(id, to),
            _ => self.with_link_cells(link, |cells| bump(&cells.undeliverable, 1)),
        }
        self.end_if_due(id);
    }

    fn relay_begins(&self, id: RelayId, subscription: u32, origin: EventOrigin, (first, buffer): (u64, u64)) {
        let begun = self.net.relays.with(id, |relay| {
            if relay.number != subscription {
                return None;
            }
            relay.state = State::Live;
            relay.returns_by = None;
            relay.buffer = usize::try_from(buffer).unwrap_or(MAX_BUFFER).min(MAX_BUFFER);
            if relay.cell.as_ref().is_some_and(|cell| cell.origin == origin) {
                return Some((Begin::GoesOn, VecDeque::new()));
            }
            let (name, node) = (Arc::clone(&relay.feed.name), Arc::clone(&relay.feed.node));
            let cell = Arc::new((relay.feed.ops.cell)(name, node, origin));
            relay.last = first.saturating_sub(1);
            let outdated = std::mem::take(&mut relay.kept);
            let before = relay.cell.replace(Arc::clone(&cell));
            let begun = Begun { cell, last: relay.last, kept: VecDeque::new(), buffer: relay.buffer };
            Some((if before.is_some() { Begin::Anew(begun) } else { Begin::First(begun) }, outdated))
        });
        let Some((begin, outdated)) = begun.flatten() else { return };
        self.contain(|| drop(outdated));
        match begin {
            Begin::GoesOn => {
                // What the producer's node does not keep any more, it tells.
                if first.saturating_sub(1) > self.net.relays.with(id, |relay| relay.last).unwrap_or(first) {
                    self.relay_gap(id, first.saturating_sub(1));
                }
            }
            Begin::First(begun) | Begin::Anew(begun) => {
                for Listener { shard, branch, .. } in self.net.relays.listeners(id) {
                    let begun = begun.clone();
                    self.tell(shard, move |shard| shard.branch_begins(branch, begun));
                }
            }
        }
    }

    fn relay_publication(
        &self,
        id: RelayId,
        (frame, body): (&Frame<'_>, &[u8]),
        link: u32,
        imprint: Imprint,
        queue: u8,
    ) {
        let sequence = imprint.sequence;
        let known = self.net.relays.with(id, |relay| {
            let cell = relay.cell.clone().filter(|_| sequence > relay.last);
            cell.map(|cell| (cell, relay.feed.ops, relay.reads))
        });
        let Some((cell, ops, reads)) = known.flatten() else {
            return self.with_link_cells(link, |cells| bump(&cells.duplicates, 1));
        };
        if frame.header.key != reads.key() {
            self.with_link_cells(link, |cells| bump(&cells.unknown_types, 1));
            return self.relay_gap(id, sequence);
        }
        let mut decoded = None;
        // Decoding and conversion may be the user's code.
        self.contain(|| decoded = (ops.decode)(&cell, imprint, reads, body).ok());
        let Some(publication) = decoded else {
            self.with_link_cells(link, |cells| bump(&cells.decode_errors, 1));
            return self.relay_gap(id, sequence);
        };
        let kept = Kept { queue: queue_of_code(queue), publication };
        let outdated = self.net.relays.with(id, |relay| relay.keep(sequence, &kept));
        self.contain(|| drop(outdated));
        for listener in self.net.relays.listeners(id) {
            self.forward_publication(id, listener, sequence, kept.clone());
        }
        self.contain(|| drop(kept));
    }

    fn forward_publication(&self, id: RelayId, listener: Listener, sequence: u64, kept: Kept) {
        let Listener { shard, branch, .. } = listener;
        if shard == self.index() {
            return self.branch_gets(branch, sequence, kept);
        }
        let task = Parcel::task(Box::new(move |shard| shard.branch_gets(branch, sequence, kept)));
        let Some(refused) = self.push_parcel(shard, task) else { return };
        // LIMIT: a full lane. The branch will see the gap, at the latest when the timer tells it.
        self.contain(|| drop(refused));
        self.count(|cells| &cells.events_lost, 1);
        self.net.relays.with(id, |relay| {
            if let Some(listener) = relay.listeners.iter_mut().find(|known| known.branch == branch) {
                listener.lags = true;
            }
        });
        if !self.net.relays.is_behind.replace(true) && self.timer(LOOK, Self::tell_lagging).is_none() {
            // LIMIT: timers of the shard.
            self.net.relays.is_behind.set(false);
        }
    }

    /// Tells branches that have missed something, in case nothing follows by which they would see it.
    fn tell_lagging(&self) {
        self.net.relays.is_behind.set(false);
        let mut lagging = Vec::new();
        for relay in self.net.relays.relays.borrow_mut().values_mut() {
            for listener in relay.listeners.iter_mut().filter(|listener| listener.lags) {
                listener.lags = false;
                lagging.push((*listener, relay.last));
            }
        }
        for (Listener { shard, branch, .. }, last) in lagging {
            self.tell(shard, move |shard| shard.branch_misses(branch, last));
        }
    }

    /// Everything up to `to` that has not come will not come.
    fn relay_gap(&self, id: RelayId, to: u64) {
        let missed = self.net.relays.with(id, |relay| {
            let missed = to.saturating_sub(relay.last);
            relay.last = relay.last.max(to);
            (missed, relay.session.0)
        });
        let Some((missed @ 1.., key)) = missed else { return };
        self.with_peer_cells(key, |cells| bump(&cells.events_missed_in, missed.min(MOST_MISSED)));
        for Listener { shard, branch, .. } in self.net.relays.listeners(id) {
            self.tell(shard, move |shard| shard.branch_misses(branch, to));
        }
    }
}

enum Begin {
    GoesOn,
    First(Begun),
    Anew(Begun),
}

enum Outcome {
    /// The end is noted.
    Waits,
    Ends(ExitReason),
    /// It may be there in an earlier version.
    Earlier,
    /// The node was started anew, and its event may come yet.
    Returns,
}

impl Relay {
    fn ended(&mut self, end: Unsubscribed, key: u64, now: u64) -> Outcome {
        let reason = match end.refusal {
            Refusal::Ended => {
                let reason = reason_of_wire(end.reason);
                if !end.has_begun {
                    return Outcome::Ends(reason);
                }
                self.ending = Some(Ending { sent: end.sent, last: end.last, reason });
                return Outcome::Waits;
            }
            Refusal::Unknown => {
                let is_other = self.cell.as_ref().is_some_and(|cell| cell.origin.node != key);
                if is_other && self.returns_by.is_some_and(|limit| now < limit) {
                    self.state = State::Away;
                    return Outcome::Returns;
                }
                ExitReason::NoProcess
            }
            Refusal::OtherType => match self.earlier().filter(|_| self.state == State::Asked) {
                Some(earlier) => {
                    self.reads = earlier;
                    self.state = State::Away;
                    return Outcome::Earlier;
                }
                None => ExitReason::custom(EventError::RemoteType),
            },
            Refusal::LocalOnly => ExitReason::custom(EventError::LocalOnly),
            Refusal::Limit => ExitReason::custom(EventError::Link(LinkError::Limit)),
        };
        Outcome::Ends(reason)
    }

    /// What reads the version before the one that is asked for.
    fn earlier(&self) -> Option<&'static WireOps> {
        let wire = self.feed.ops.wire;
        let mut versions = std::iter::once(wire).chain(earlier(wire));
        versions.find(|ops| ops.key() == self.reads.key())?;
        versions.next()
    }

    /// Notes a publication; gives one that is not kept any more.
    fn keep(&mut self, sequence: u64, kept: &Kept) -> Option<(u64, Kept)> {
        self.last = sequence;
        if self.buffer == 0 {
            return None;
        }
        let outdated = if self.kept.len() >= self.buffer { self.kept.pop_front() } else { None };
        self.kept.push_back((sequence, kept.clone()));
        outdated
    }
}

/// A queue, as other nodes tell it.
fn queue_of_code(code: u8) -> u64 {
    match code {
        1 => Meta::SYSTEM,
        2 => Meta::URGENT,
        _ => Meta::MAIN,
    }
}
