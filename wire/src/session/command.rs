//! What the session core tells its caller to do, and what it is configured with.

use crate::handshake::{Intent, Introduction, Verdict};
use crate::placement::{Placement, Slot};
use crate::session::{ControlMsg, DownReason, Stall};
use crate::{NodeName, ShardId};
use std::collections::BTreeSet;

const SECOND_NS: u64 = 1_000_000_000;

/// Names one connection, dialled or accepted, for as long as the core lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkId(pub u64);

/// One thing to do. Do them in order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Connect to the peer and run the dialer's handshake; then call `on_dialed` or `on_dial_failed`.
    Dial {
        /// The connection's name from now on.
        link: LinkId,
        /// Whom to dial; the caller knows the addresses.
        peer: NodeName,
        /// What to put into Hello.
        intent: Intent,
    },
    /// Answer an authenticated dialer. After an acceptance the link stands.
    Judged {
        /// The connection.
        link: LinkId,
        /// Give it to `Acceptor::decide`.
        verdict: Verdict,
    },
    /// Write a message to a control link.
    SendControl {
        /// The control link.
        link: LinkId,
        /// The peer at its other end.
        peer: NodeName,
        /// The message.
        msg: ControlMsg,
    },
    /// Close the connection, or give up dialling it. Nothing more is read from it, and nothing more is expected to be
    /// reported about it.
    CloseLink {
        /// The connection.
        link: LinkId,
        /// Write out first what was sent, as far as that works without waiting for the peer.
        flush: bool,
    },
    /// A session has begun.
    PeerUp {
        /// Who the peer is.
        peer: Box<Introduction>,
        /// Number of the session: larger than that of any earlier session with this name.
        session: u64,
        /// Where data links go, for the life of the session.
        placement: Placement,
    },
    /// The session has ended, with all its links. Each local shard answers with `on_down_processed`.
    PeerDown {
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
        /// Why.
        reason: DownReason,
    },
    /// Nothing was heard, or nothing was answered, for the suspect limit.
    PeerSuspect {
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
    },
    /// A suspected peer is heard and answers again.
    PeerHealthy {
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
    },
    /// Which shards of the peer are stuck; empty when that is over.
    PeerStalls {
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
        /// The stuck shards.
        stalls: Vec<Stall>,
    },
    /// A data link stands: hand it to its owner.
    LinkUp {
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
        /// Which link.
        slot: Slot,
        /// Its epoch: larger than that of any earlier link of this slot and session.
        epoch: u32,
        /// The connection.
        link: LinkId,
        /// The local shard that owns it.
        owner: ShardId,
    },
    /// A data link that was handed over ended within its session: read no further.
    LinkDown {
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
        /// Which link.
        slot: Slot,
        /// Its epoch.
        epoch: u32,
        /// The connection.
        link: LinkId,
        /// The local shard that owned it.
        owner: ShardId,
    },
    /// A message the core does not handle itself.
    Control {
        /// The peer.
        peer: NodeName,
        /// The session.
        session: u64,
        /// The message.
        msg: ControlMsg,
    },
    /// The peer proved itself and says another live node holds this node's name: stop, or rename.
    NameRefused {
        /// Who says so.
        peer: NodeName,
    },
    /// A live peer kept its name against another node that claimed it.
    TwinRefused {
        /// The name.
        peer: NodeName,
    },
}

/// Limits in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Between heartbeats. Default 1 s; a peer that asks for more frequent ones gets them.
    pub heartbeat_ns: u64,
    /// Silence that makes a peer suspect. Default 3 s.
    pub suspect_ns: u64,
    /// Silence that ends a session. Default 5 s.
    pub down_ns: u64,
    /// A timer that fires this late means the node itself stood still. Default 1 s.
    pub stall_ns: u64,
    /// How long sockets are drained after that before peers are judged. Default 250 ms.
    pub drain_ns: u64,
    /// First pause before a dial is tried again. Default 100 ms; it doubles.
    pub backoff_ns: u64,
    /// Longest pause between dials. Default 10 s, 1 s while a session waits for its link.
    pub backoff_max_ns: u64,
    /// For how long an own dial wins over the peer's. Default 1 s.
    pub dial_wins_ns: u64,
    /// After which a dial counts as failed if nothing was reported. Default 10 s.
    pub dial_limit_ns: u64,
    /// How long a live peer has to answer when another node claims its name. Default 1 s.
    pub probe_ns: u64,
}

impl Timing {
    /// How often a peer is sent heartbeats that wants to hear every `wished_ms` milliseconds, in nanoseconds.
    #[must_use]
    pub fn heartbeat_to_ns(&self, wished_ms: u32) -> u64 {
        // LIMIT: a peer cannot ask for more than twenty heartbeats a second.
        self.heartbeat_ns.min((u64::from(wished_ms) * 1_000_000).max(50_000_000))
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ns: SECOND_NS,
            suspect_ns: 3 * SECOND_NS,
            down_ns: 5 * SECOND_NS,
            stall_ns: SECOND_NS,
            drain_ns: SECOND_NS / 4,
            backoff_ns: SECOND_NS / 10,
            backoff_max_ns: 10 * SECOND_NS,
            dial_wins_ns: SECOND_NS,
            dial_limit_ns: 10 * SECOND_NS,
            probe_ns: SECOND_NS,
        }
    }
}

/// What a [`SessionCore`](crate::session::SessionCore) is made with.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Who this node is.
    pub own: Introduction,
    /// The limits.
    pub timing: Timing,
    /// Most peers known at once. Default 4096.
    pub max_peers: usize,
    /// The only nodes that may be peers; an empty list admits nobody. Default: every node may.
    pub allow_peers: Option<BTreeSet<NodeName>>,
    /// Random bits from the operating system; they spread the dials of many nodes in time, nothing else.
    pub seed: u64,
}

impl SessionConfig {
    /// Defaults for all but the identity and the random bits.
    #[must_use]
    pub fn new(own: Introduction, seed: u64) -> Self {
        Self { own, timing: Timing::default(), max_peers: 4096, allow_peers: None, seed }
    }
}

/// What happened since the core was made; each only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct SessionCounters {
    /// Dials begun.
    pub dials: u64,
    /// Dials that failed, for whatever reason.
    pub dial_failures: u64,
    /// Links of peers that were accepted.
    pub accepted: u64,
    /// Links of peers that were refused after authentication.
    pub refused: u64,
    /// Links closed because their session or epoch was over when they came up.
    pub stale_links: u64,
    /// Control messages on links that were over, or of another session.
    pub stale_messages: u64,
    /// Control links closed because heartbeats on them were no longer answered.
    pub mute_links: u64,
    /// Times this node stood still.
    pub stalls: u64,
    /// Sessions begun.
    pub ups: u64,
    /// Sessions ended.
    pub downs: u64,
}
