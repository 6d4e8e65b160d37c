//! What shards ask of the control thread, and what it tells them.
//!
//! Towards a shard everything goes through its inbox as a task that calls [`Shard::session_up`](crate::shard::Shard),
//! `session_down`, `link_up`, `link_down` or `name_answer`. Towards the control thread everything is a [`Request`].
//! Invariants: Q1 a request never blocks a shard and is never per message: at most one per slot wanted, name resolved,
//! link lost, session ended, order of the program, and one per link and second for [`Request::Heard`].

use crate::control::Handed;
use crate::link::{LinkOptions, Peer};
use shard_wire::NodeName;
use shard_wire::placement::{Placement, Slot};
use shard_wire::session::LinkId;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

/// Something a shard, or a thread outside, wants from the control thread.
#[derive(Debug)]
pub(crate) enum Request {
    /// Be in session with this node: look it up, dial it, keep dialling.
    Connect {
        /// The node.
        peer: NodeName,
    },
    /// Have nothing to do with this node until it is allowed.
    Quarantine {
        /// The node.
        peer: NodeName,
    },
    /// End the quarantine of this node.
    Allow {
        /// The node.
        peer: NodeName,
    },
    /// Nobody uses this data link: it is not dialled until it is wanted.
    ReleaseSlot {
        /// The node.
        peer: NodeName,
        /// Which link.
        slot: Slot,
    },
    /// A data link is wanted: dial it, or ask the peer to.
    WantSlot {
        /// The peer.
        peer: NodeName,
        /// Which link.
        slot: Slot,
    },
    /// A data link broke: its socket failed, or its peer sent garbage.
    LinkLost {
        /// The link, as granted.
        link: LinkId,
        /// What happened, for the log.
        why: &'static str,
    },
    /// Bytes came in on a data link since the last report. At most once a second and link.
    Heard {
        /// The link, as granted.
        link: LinkId,
    },
    /// A shard has processed the end of a session.
    DownProcessed {
        /// The shard.
        shard: u16,
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
    },
    /// Which process of another node holds this name? The answer goes to the shard's `name_answer`.
    ResolveName {
        /// The node.
        peer: NodeName,
        /// The registered name.
        name: Box<str>,
        /// The shard that asks.
        shard: u16,
    },
}

/// The way from shards to the control thread. A node without a network has none.
pub(crate) trait ControlSink: Send + Sync + std::fmt::Debug {
    /// Hands a request over; never blocks. `false`: the control thread has ended.
    fn request(&self, request: Request) -> bool;
}

/// A session, as shards see it.
#[derive(Debug)]
pub(crate) struct Session {
    /// The peer's record.
    pub(crate) peer: Arc<Peer>,
    /// The session's number.
    pub(crate) number: u64,
    /// The incarnation key of the peer: its pids carry it.
    pub(crate) key: u64,
    /// Shards of the peer.
    pub(crate) shards: u16,
    /// Where data links go.
    pub(crate) placement: Placement,
    /// Longest message both sides accept, in bytes of its frame.
    pub(crate) max_frame: usize,
    /// Both sides number the frames of data links.
    pub(crate) is_numbered: bool,
    /// How this node uses data links.
    pub(crate) links: LinkOptions,
    /// Both sides know relations between processes of two nodes.
    pub(crate) has_relations: bool,
    /// Both sides know events of other nodes.
    pub(crate) has_events: bool,
    /// Some shard has processed its end; the others will, so what another shard has of it may be dropped.
    pub(crate) is_over: AtomicBool,
    /// Both sides read compressed bodies.
    pub(crate) is_compressing: bool,
    /// Both sides do what the other asks, and say that they are going before they go.
    pub(crate) serves: bool,
    /// Both sides take up the traces of frames.
    pub(crate) traces: bool,
    /// Both sides take messages to their aliases.
    pub(crate) takes_aliases: bool,
    /// The peer has said that it is stopping.
    pub(crate) leaving: AtomicBool,
    /// The peer has said that all it has accepted is answered.
    pub(crate) settled: AtomicBool,
    /// Keys of the messages that the peer reads, ascending, once it has told them.
    pub(crate) types: OnceLock<Box<[u64]>>,
}

impl Session {
    /// Whether some shard has processed its end.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Whether the peer has said that it is stopping.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }
}

#[cfg(test)]
impl Session {
    /// A session with a node of one shard that knows all that this one does.
    pub(crate) fn sample(peer: &str, number: u64, key: u64) -> Self {
        Self {
            peer: Arc::new(Peer::new(NodeName::new(peer).unwrap(), 1)),
            number,
            key,
            shards: 1,
            placement: Placement::new(shard_wire::placement::Side::Low, 1, 1, 64, 64).unwrap(),
            max_frame: 1 << 20,
            is_numbered: true,
            links: LinkOptions::new(),
            has_relations: true,
            has_events: true,
            is_over: AtomicBool::new(false),
            is_compressing: false,
            serves: true,
            traces: true,
            takes_aliases: true,
            leaving: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            types: OnceLock::new(),
        }
    }
}

/// A data link for its owner: a connected, authenticated, non-blocking socket.
#[derive(Debug)]
pub(crate) struct LinkGrant {
    /// The peer.
    pub(crate) peer: NodeName,
    /// The session.
    pub(crate) session: u64,
    /// Which link.
    pub(crate) slot: Slot,
    /// Its epoch.
    pub(crate) epoch: u32,
    /// Its name towards the control thread.
    pub(crate) link: LinkId,
    /// The socket, non-blocking, `TCP_NODELAY` set, with its TLS session if it has one.
    pub(crate) stream: Handed,
    /// Bytes received behind the handshake.
    pub(crate) unread: Vec<u8>,
}
