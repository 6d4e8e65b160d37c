//! What is known of each other node, for as long as this node lives: state, and counters that survive reconnects.
//!
//! Invariants: P1 each [`LinkCells`] is written by one shard. P2 the rest of a [`Peer`] is written by the control thread.
//! P3 peers are only added; a node name has one record.

use crate::link::history::History;
use shard_wire::NodeName;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};

/// Most peers a node remembers.
pub(crate) const MAX_PEERS: usize = 4096;

macro_rules! cells {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What one shard exchanged with one peer.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct LinkCells {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
        }
        /// Sums of what the shards exchanged with one peer.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct LinkCounters {
            $($(#[$doc])* pub $name: u64,)*
        }
        impl LinkCounters {
            fn add(&mut self, cells: &LinkCells) {
                $(self.$name += cells.$name.load(Relaxed);)*
            }
        }
    };
}

cells! {
    /// Messages, calls, replies and acknowledgements received.
    messages_in,
    /// Messages, calls, replies and acknowledgements sent.
    messages_out,
    /// Bytes received on data links.
    bytes_in,
    /// Bytes handed to the sockets of data links.
    bytes_out,
    /// Bytes waiting in outboxes now.
    outbox_bytes,
    /// Messages refused because an outbox was full.
    outbox_refused,
    /// Data links whose outbox is full now, or was and is still more than half full.
    outboxes_full,
    /// Times that a sender waited for room in an outbox.
    outbox_waits,
    /// Messages of other shards that wait at the owner of a link for room, now.
    late,
    /// Data links whose messages wait for the peer to take what was sent before, now.
    links_held,
    /// Messages written and not confirmed when their session ended: whether they arrived is not known.
    unknown_out,
    /// Messages that waited for a link when their session ended: they did not arrive.
    failed_out,
    /// Messages that could not be encoded.
    encode_errors,
    /// Received messages that could not be decoded.
    decode_errors,
    /// Received messages of a type this node does not know.
    unknown_types,
    /// Received messages whose target was gone.
    undeliverable,
    /// Received calls and important messages whose time was up: they were not delivered.
    expired,
    /// Important messages that came again and were not delivered again.
    duplicates,
    /// Important messages sent of which nothing was heard in time.
    unconfirmed,
    /// Acknowledgements that came when nobody waited for them any more.
    late_acks,
    /// Relations of processes here with targets there, now.
    relations_out,
    /// Relations of processes there with targets here, now.
    relations_in,
    /// Frames about relations that named what they must not, or for which there was no room.
    relations_refused,
    /// Publications sent to the node's subscribers: one frame for each.
    events_out,
    /// Publications received for the subscribers here.
    events_in,
    /// Publications that the node's subscribers were told they miss.
    events_missed_out,
    /// Publications that subscribers here were told they miss.
    events_missed_in,
    /// Asks sent: to start a process, to start, stop or describe an application.
    asks_out,
    /// Asks received and done.
    asks_done,
    /// Asks received and refused, and frames about them that named what they must not.
    asks_refused,
    /// Processes started for the peer and ended because nobody there claimed them.
    spawns_unclaimed,
    /// Data links that stand now.
    links,
    /// Links closed because the peer broke the protocol.
    protocol_errors,
    /// Messages, calls, replies and asks sent with their trace.
    traced_out,
    /// Messages, calls, replies and asks received with a trace.
    traced_in,
    /// Messages, calls and replies cut into parts, for they were too big for one frame.
    cut_out,
    /// Parts of them.
    parts_out,
    /// Messages, calls and replies put together from parts.
    joined_in,
    /// Parts received.
    parts_in,
    /// Messages, calls and replies sent compressed.
    compressed_out,
    /// Bytes of their bodies before compression.
    compressed_out_before,
    /// Bytes of their bodies as they were sent.
    compressed_out_after,
    /// Messages, calls and replies received compressed.
    compressed_in,
    /// Bytes of their bodies as they came.
    compressed_in_before,
    /// Bytes of their bodies after they were expanded.
    compressed_in_after,
    /// Messages handled as views that were given out where they were received, without a copy.
    views_lent,
    /// Messages handled as views whose bytes were copied, because enough of the link's memory was on lease.
    views_copied,
}

/// One other node.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: NodeName,
    pub(crate) shards: Box<[Arc<LinkCells>]>,
    /// Whether there is a session now.
    pub(crate) connected: AtomicBool,
    /// Number of the session now, or of the last one.
    pub(crate) session: AtomicU64,
    /// Ticks at which the session began.
    pub(crate) since: AtomicU64,
    /// Nanoseconds the peer had been up when the session began, as told by its incarnation.
    pub(crate) start_nanos: AtomicU64,
    /// Incarnation key of the session now, or of the last one.
    pub(crate) key: AtomicU64,
    /// Sessions that began.
    pub(crate) ups: AtomicU64,
    /// Sessions that ended.
    pub(crate) downs: AtomicU64,
    /// Data links that were dialled again within a session.
    pub(crate) reconnections: AtomicU64,
    /// Last heartbeat's round trip, in nanoseconds; 0 if none yet.
    pub(crate) rtt_ns: AtomicU64,
    /// The peer's shards, data link slots, frame limit and whether this side dialled: for tools.
    pub(crate) peer_shards: AtomicU64,
    pub(crate) slots: AtomicU64,
    pub(crate) max_frame: AtomicU64,
    pub(crate) dialled: AtomicBool,
    /// The control link goes through TLS.
    pub(crate) tls: AtomicBool,
    /// Features that both sides of the session announce, and the milliseconds between heartbeats to the peer: for tools.
    pub(crate) features: AtomicU64,
    pub(crate) heartbeat_ms: AtomicU64,
    /// What has changed lately.
    pub(crate) history: History,
}

impl Peer {
    pub(crate) fn new(name: NodeName, shards: u16) -> Self {
        Self {
            name,
            shards: (0..shards).map(|_| Arc::default()).collect(),
            connected: AtomicBool::new(false),
            session: AtomicU64::new(0),
            since: AtomicU64::new(0),
            start_nanos: AtomicU64::new(0),
            key: AtomicU64::new(0),
            ups: AtomicU64::new(0),
            downs: AtomicU64::new(0),
            reconnections: AtomicU64::new(0),
            rtt_ns: AtomicU64::new(0),
            peer_shards: AtomicU64::new(0),
            slots: AtomicU64::new(0),
            max_frame: AtomicU64::new(0),
            dialled: AtomicBool::new(false),
            tls: AtomicBool::new(false),
            features: AtomicU64::new(0),
            heartbeat_ms: AtomicU64::new(0),
            history: History::default(),
        }
    }

    /// Sums over the shards.
    pub(crate) fn counters(&self) -> LinkCounters {
        let mut sum = LinkCounters::default();
        for cells in &self.shards {
            sum.add(cells);
        }
        sum
    }
}

/// All nodes this one has heard of. Looked at by tools and the control thread, never on a message path.
#[derive(Debug, Default)]
pub(crate) struct PeerTable(RwLock<Vec<Arc<Peer>>>);

impl PeerTable {
    /// The record of a node, made on first use; `None` if there are too many.
    pub(crate) fn entry(&self, name: &NodeName, shards: u16) -> Option<Arc<Peer>> {
        let mut peers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.iter().find(|peer| peer.name == *name) {
            return Some(Arc::clone(peer));
        }
        // LIMIT: peers a node remembers.
        if peers.len() >= MAX_PEERS {
            return None;
        }
        let peer = Arc::new(Peer::new(name.clone(), shards));
        peers.push(Arc::clone(&peer));
        Some(peer)
    }

    /// All records.
    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
