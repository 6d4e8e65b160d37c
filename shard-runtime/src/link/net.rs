//! What one shard knows of other nodes: sessions by incarnation key, and the data links it owns.
//!
//! Invariants: N1 a session is found by its incarnation key: the one of the last message in one compare, others by a scan
//! of the sessions. N2 a link's index stays its own until its session ends. N3 no borrow of the tables is held while a
//! message is handled or a callback runs.

use crate::link::ask::Open;
use crate::link::branch::Branches;
use crate::link::caller::Callers;
use crate::link::data::DataLink;
use crate::link::far::FarTies;
use crate::link::guest::Guests;
use crate::link::hop::Queue;
use crate::link::letter::Pending;
use crate::link::outlet::Outlets;
use crate::link::relay::Relays;
use crate::link::waiting::Names;
use crate::link::window::Window;
use crate::link::{LinkCells, Session};
use shard_wire::NodeName;
use shard_wire::compress::Packer;
use shard_wire::flow::FlowConfig;
use shard_wire::placement::Slot;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

/// No link yet.
pub(crate) const NO_LINK: u32 = u32::MAX;
/// Largest sequence number of a delivery: at a million a second it lasts 142 years.
const MAX_SEQUENCE: u64 = (1 << 52) - 1;

/// A session as this shard uses it.
#[derive(Debug)]
pub(crate) struct PeerSession {
    pub(crate) session: Arc<Session>,
    /// Whether it is up. A session that has ended stays, so that its pids get a better error, until the next.
    pub(crate) is_up: bool,
    /// Index of the link by the target's shard.
    pub(crate) by_shard: Vec<u32>,
    pub(crate) names: Names,
}

impl PeerSession {
    /// This shard's counters for the peer.
    pub(crate) fn cells(&self, shard: u16) -> Option<&Arc<LinkCells>> {
        self.session.peer.shards.get(usize::from(shard))
    }
}

/// A link and the session it belongs to.
#[derive(Debug)]
pub(crate) struct OwnedLink {
    pub(crate) session: u32,
    /// This shard's counters for the peer: found without the session, which a send has no other need of.
    pub(crate) cells: Arc<LinkCells>,
    pub(crate) data: DataLink,
    /// Messages of other shards that wait for room.
    pub(crate) late: Queue,
}

/// The way of the last message of this shard to another node.
#[derive(Clone, Copy, Debug)]
struct LastWay {
    /// The target's incarnation key.
    key: u64,
    /// The target's shard.
    shard: u16,
    link: u32,
}

impl LastWay {
    const NONE: Self = Self { key: 0, shard: 0, link: NO_LINK };
}

/// The network state of a shard.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) sessions: RefCell<Vec<PeerSession>>,
    pub(crate) links: RefCell<Vec<Option<OwnedLink>>>,
    pub(crate) callers: RefCell<Callers>,
    /// Important messages to other nodes that are waited for, by their ids.
    pub(crate) pending: RefCell<HashMap<u64, Pending>>,
    /// Important messages of other nodes that were dealt with.
    pub(crate) window: RefCell<Window>,
    /// Asks to other nodes that are waited for, by their ids.
    pub(crate) asks: RefCell<HashMap<u64, Open>>,
    /// What other nodes have asked this one to start.
    pub(crate) guests: RefCell<Guests>,
    /// A send has to look closer: one of the next two.
    pub(crate) is_careful: Cell<bool>,
    /// Some peer has said that it is stopping, or has stopped after it said so.
    pub(crate) some_leaving: Cell<bool>,
    /// Some messages wait for names of other nodes.
    pub(crate) some_waiting: Cell<bool>,
    /// This node stops: calls and important messages of other nodes are refused.
    pub(crate) refuses: Cell<bool>,
    /// Ids given to important messages and asks.
    deliveries: Cell<u64>,
    /// While a call of another shard is sent on: the tick at which it ends.
    pub(crate) hop_due: Cell<Option<u64>>,
    /// Relations with processes of other nodes.
    pub(crate) far: RefCell<FarTies>,
    /// Events of this shard, to other nodes.
    pub(super) outlets: Outlets,
    /// Events of other nodes, for this node.
    pub(super) relays: Relays,
    /// Events of other nodes, for this shard.
    pub(super) branches: Branches,
    last: Cell<Option<(u64, u32)>>,
    /// The way of the last message.
    way: Cell<LastWay>,
    /// Peers will be told before long what was taken of their frames.
    pub(crate) tells: Cell<bool>,
    /// Links that have something to write.
    pub(crate) dirty: Cell<bool>,
    /// Ticks that the shard goes on looking at its links after bytes came in.
    pub(crate) linger: Cell<u64>,
    /// Until when it does.
    pub(crate) linger_until: Cell<u64>,
    /// Links are looked at for whether anybody uses them.
    pub(crate) watches_idle: Cell<bool>,
    /// Some link is full.
    pub(crate) some_full: Cell<bool>,
    /// Messages of other shards that wait for room, all links.
    pub(crate) late: Cell<usize>,
    /// Senders that wait for room: link and waiter, in their order.
    pub(crate) room_waits: RefCell<Vec<(u32, u64)>>,
    /// Next cold link to be looked at.
    pub(crate) next_cold: Cell<usize>,
    /// Nodes that a connection was asked for within the last second.
    asked: RefCell<Vec<(Box<str>, u64)>>,
    /// Keys of unknown message types that were logged.
    pub(crate) unknown_logged: RefCell<Vec<u64>>,
    /// Compresses bodies; made on first use, and away while it is used.
    pub(crate) packer: RefCell<Option<Box<Packer>>>,
}

impl Net {
    pub(crate) fn new() -> Self {
        Self {
            sessions: RefCell::default(),
            links: RefCell::default(),
            callers: RefCell::default(),
            pending: RefCell::default(),
            window: RefCell::new(Window::new()),
            asks: RefCell::default(),
            guests: RefCell::default(),
            is_careful: Cell::new(false),
            some_leaving: Cell::new(false),
            some_waiting: Cell::new(false),
            refuses: Cell::new(false),
            deliveries: Cell::new(0),
            hop_due: Cell::new(None),
            far: RefCell::default(),
            outlets: Outlets::default(),
            relays: Relays::default(),
            branches: Branches::default(),
            last: Cell::new(None),
            way: Cell::new(LastWay::NONE),
            tells: Cell::new(false),
            dirty: Cell::new(false),
            linger: Cell::new(0),
            linger_until: Cell::new(0),
            watches_idle: Cell::new(false),
            some_full: Cell::new(false),
            late: Cell::new(0),
            room_waits: RefCell::default(),
            next_cold: Cell::new(0),
            asked: RefCell::default(),
            unknown_logged: RefCell::default(),
            packer: RefCell::default(),
        }
    }

    /// Index of the session with this incarnation.
    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<u32> {
        if let Some((last, index)) = self.last.get()
            && last == key
        {
            return Some(index);
        }
        let index = self.sessions.borrow().iter().position(|peer| peer.session.key == key)? as u32;
        self.last.set(Some((key, index)));
        Some(index)
    }

    /// Index of the session with this node that is up.
    pub(crate) fn find_node(&self, node: &str) -> Option<u32> {
        let sessions = self.sessions.borrow();
        let found = sessions.iter().position(|peer| peer.is_up && peer.session.peer.name.as_str() == node)?;
        Some(found as u32)
    }

    /// Index of a session by its node and number.
    pub(crate) fn find_session(&self, node: &NodeName, number: u64) -> Option<u32> {
        let sessions = self.sessions.borrow();
        let is_it = |peer: &PeerSession| peer.session.number == number && peer.session.peer.name == *node;
        Some(sessions.iter().position(is_it)? as u32)
    }

    /// Whether the last session with this node has ended because the node stopped, as planned.
    pub(crate) fn has_left(&self, node: &str) -> bool {
        let left = |peer: &PeerSession| {
            !peer.is_up && peer.session.is_leaving() && peer.session.peer.name.as_str() == node
        };
        self.sessions.borrow().iter().any(left)
    }

    /// The link to a shard of an incarnation whose session is up, if the last message took it.
    #[inline]
    pub(crate) fn last_way(&self, key: u64, shard: u16) -> Option<u32> {
        let way = self.way.get();
        (way.link != NO_LINK && way.key == key && way.shard == shard).then_some(way.link)
    }

    /// A message to this shard of an incarnation goes by this link.
    pub(crate) fn set_last_way(&self, key: u64, shard: u16, link: u32) {
        self.way.set(LastWay { key, shard, link });
    }

    /// Forgets the shortcuts of [`Net::find`] and [`Net::last_way`]: a session has come or gone.
    pub(crate) fn forget_last(&self) {
        self.last.set(None);
        self.way.set(LastWay::NONE);
    }

    /// Whether a connection to a node may be asked for now: once a second and node, so that sends to a node that is away
    /// do not flood the control thread.
    pub(crate) fn may_ask_for(&self, node: &str, now: u64, second: u64) -> bool {
        let mut asked = self.asked.borrow_mut();
        asked.retain(|(_, at)| now.saturating_sub(*at) < second);
        // LIMIT: nodes asked for within a second.
        if asked.len() >= 256 || asked.iter().any(|(name, _)| &**name == node) {
            return false;
        }
        asked.push((node.into(), now));
        true
    }

    /// An id for an important message: `shard:12 | sequence:52`, where the shard is the one that its answer goes to.
    pub(crate) fn next_delivery(&self, shard: u16) -> u64 {
        let sequence = self.deliveries.get() + 1;
        self.deliveries.set(sequence);
        u64::from(shard) << 52 | sequence & MAX_SEQUENCE
    }

    /// Links of this shard.
    pub(crate) fn link_count(&self) -> u64 {
        self.links.borrow().iter().flatten().count() as u64
    }

    /// Key of the node of a call's caller, also just after the call was answered.
    pub(crate) fn caller_key(&self, reference: u64) -> u64 {
        self.callers.borrow().key_of(reference)
    }

    /// The link of a slot, made on first use at tick `now`. `None` if the frame limit of the session is not usable.
    pub(crate) fn link_of(&self, session: u32, slot: Slot, own_shard: u16, now: u64) -> Option<u32> {
        let mut sessions = self.sessions.borrow_mut();
        let peer = sessions.get_mut(session as usize)?;
        let placement = peer.session.placement;
        let shares = |shard: &u16| placement.slot_for(own_shard, *shard) == Some(slot);
        let shards: Vec<u16> = (0..peer.session.shards).filter(shares).collect();
        let known = shards.first().and_then(|shard| peer.by_shard.get(usize::from(*shard))).copied();
        if let Some(index) = known.filter(|index| *index != NO_LINK) {
            return Some(index);
        }
        let config = FlowConfig {
            max_message: peer.session.max_frame,
            max_waiting: peer.session.links.outbox,
            is_numbered: peer.session.is_numbered,
        };
        let options = peer.session.links;
        let mut links = self.links.borrow_mut();
        // With `target` placement a slot may carry only what the peer sends: then no shard of the peer leads to it.
        let is_it = |link: &OwnedLink| link.session == session && link.data.slot == slot;
        if let Some(index) = links.iter().position(|place| place.as_ref().is_some_and(is_it)) {
            return Some(index as u32);
        }
        let index = links.iter().position(Option::is_none).unwrap_or(links.len());
        if index == links.len() {
            links.push(None);
        }
        let data = DataLink::new(slot, config, options, now).ok()?;
        let cells = Arc::clone(peer.cells(own_shard)?);
        *links.get_mut(index)? = Some(OwnedLink { session, cells, data, late: Queue::new() });
        for shard in shards {
            if let Some(place) = peer.by_shard.get_mut(usize::from(shard)) {
                *place = index as u32;
            }
        }
        Some(index as u32)
    }
}
