//! The network of a node, from the reader's side: peers, acceptors, the registrar. Read from memory, asking nobody.

use crate::link::{LinkCounters, Peer, PeerRecord};
use crate::registrar::RegistrarState;
use crate::stats::Reader;
use shard_wire::flow::NUMBERED;
use shard_wire::header::TRACES;
use shard_wire::{Incarnation, Pid, TYPES};
use std::sync::atomic::Ordering::Relaxed;

/// A shard of a peer that is stuck, as the peer's last heartbeat said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StalledShard {
    /// Its index.
    pub shard: u16,
    /// For how long, in milliseconds.
    pub stalled_ms: u32,
    /// The process in whose callback it is.
    pub pid: Pid,
}

/// One node this one has been in session with. Counters survive sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerStats {
    /// Its name.
    pub name: String,
    /// Whether there is a session now.
    pub connected: bool,
    /// Number of the session now, or of the last one.
    pub session: u64,
    /// Key of its incarnation, now or last.
    pub key: u64,
    /// Nanoseconds since it started, by its clock; 0 without a session.
    pub uptime_ns: u64,
    /// Nanoseconds since the session began; 0 without one.
    pub connection_uptime_ns: u64,
    /// Sessions that began.
    pub ups: u64,
    /// Sessions that ended.
    pub downs: u64,
    /// Data links that were dialled again within a session.
    pub reconnections: u64,
    /// Last round trip of a heartbeat in nanoseconds; 0 if there was none in this session.
    pub rtt_ns: u64,
    /// Its shards.
    pub shards: u64,
    /// Data links the placement has; they are dialled on first use. Those that stand are `counters.links`.
    pub slots: u64,
    /// Largest frame both accept, in bytes.
    pub max_frame: u64,
    /// Whether this node dialled the control link.
    pub dialled: bool,
    /// Whether the links of the session go through TLS.
    pub tls: bool,
    /// Whether both take up the traces of messages.
    pub traces: bool,
    /// Whether both number the frames of their links: big messages go in parts, important ones are acknowledged.
    pub is_numbered: bool,
    /// Whether both tell which versions of messages they read.
    pub tells_types: bool,
    /// Milliseconds between the heartbeats it is sent.
    pub heartbeat_ms: u64,
    /// Whether this node starts any process for it (see [`Node::enable_spawn`](crate::Node::enable_spawn)).
    pub may_spawn: bool,
    /// Whether it may start any application of this node.
    pub may_start_apps: bool,
    /// Whether it may stop any application of this node.
    pub may_stop_apps: bool,
    /// Messages and bytes, over all shards.
    pub counters: LinkCounters,
    /// Its shards that are stuck now.
    pub stalled: Vec<StalledShard>,
    /// What has changed lately, oldest first: the last 64 changes of sessions and of data links each.
    pub history: Vec<PeerRecord>,
}

/// One listener of the node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AcceptorStats {
    /// Its address.
    pub address: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Failed handshakes by reason; every reason is listed. `duplicate` is no fault: both nodes dialled at once.
    pub errors: Vec<(&'static str, u64)>,
    /// Times `accept` itself failed.
    pub accept_failures: u64,
}

/// Network counters of the whole node, since its start.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NetStats {
    /// Whether the node has a network at all.
    pub is_networked: bool,
    /// Sessions begun.
    pub connections_established: u64,
    /// Sessions ended.
    pub connections_lost: u64,
    /// The same, by reason; every reason is listed.
    pub connections_lost_by: Vec<(&'static str, u64)>,
    /// Links of peers that were accepted.
    pub links_accepted: u64,
    /// Dials that became links.
    pub links_dialled: u64,
    /// Dials that failed, by reason; every reason is listed.
    pub dial_errors: Vec<(&'static str, u64)>,
    /// Control messages refused because the peer read too slowly.
    pub control_refused: u64,
    /// Control messages that made no sense here.
    pub control_errors: u64,
    /// Name queries without an answer in time.
    pub name_timeouts: u64,
    /// Diagnostics calls to peers.
    pub diag_calls: u64,
    /// Those without an answer in time.
    pub diag_timeouts: u64,
    /// Diagnostics calls of peers.
    pub diag_served: u64,
    /// Node events that slow subscribers missed.
    pub events_lost: u64,
}

impl Reader {
    /// The node's life since its start.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.shared().incarnation()
    }

    /// Every node this one has been in session with.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStats> {
        self.shared().peers().all().iter().map(|peer| self.peer(peer)).collect()
    }

    fn peer(&self, peer: &Peer) -> PeerStats {
        let connected = peer.connected.load(Relaxed);
        let clock = self.shared().clock();
        let for_ns = clock.span_ns(clock.ticks().saturating_sub(peer.since.load(Relaxed)));
        let stalls = self.shared().net().stalls(&peer.name).into_iter();
        let features = peer.features.load(Relaxed);
        let rights = self.shared().offers().rights_of(peer.name.as_str());
        PeerStats {
            name: peer.name.as_str().to_owned(),
            connected,
            session: peer.session.load(Relaxed),
            key: peer.key.load(Relaxed),
            uptime_ns: if connected { peer.start_nanos.load(Relaxed) + for_ns } else { 0 },
            connection_uptime_ns: if connected { for_ns } else { 0 },
            ups: peer.ups.load(Relaxed),
            downs: peer.downs.load(Relaxed),
            reconnections: peer.reconnections.load(Relaxed),
            rtt_ns: peer.rtt_ns.load(Relaxed),
            shards: peer.peer_shards.load(Relaxed),
            slots: peer.slots.load(Relaxed),
            max_frame: peer.max_frame.load(Relaxed),
            dialled: peer.dialled.load(Relaxed),
            tls: peer.tls.load(Relaxed),
            traces: features & TRACES != 0,
            is_numbered: features & NUMBERED != 0,
            tells_types: features & TYPES != 0,
            heartbeat_ms: peer.heartbeat_ms.load(Relaxed),
            may_spawn: rights.spawns,
            may_start_apps: rights.app_starts,
            may_stop_apps: rights.app_stops,
            counters: peer.counters(),
            history: peer.history.records(),
            stalled: stalls.map(|(shard, stalled_ms, pid)| StalledShard { shard, stalled_ms, pid }).collect(),
        }
    }

    /// Every listener: of links first, and of the registrar if this node serves it.
    #[must_use]
    pub fn acceptors(&self) -> Vec<AcceptorStats> {
        let net = self.shared().net();
        let links = net.address().map(|address| AcceptorStats {
            address: address.to_string(),
            tls: net.speaks_tls(),
            errors: net.accept_errors.read(),
            accept_failures: net.accept_failures.load(Relaxed),
        });
        let registrar = net.registrar();
        let serving = (registrar.role == crate::registrar::RegistrarRole::Server).then(|| AcceptorStats {
            address: registrar.address,
            tls: net.speaks_tls(),
            errors: net.registrar_errors.read(),
            accept_failures: 0,
        });
        links.into_iter().chain(serving).collect()
    }

    /// Network counters of the whole node.
    #[must_use]
    pub fn net(&self) -> NetStats {
        let net = self.shared().net();
        NetStats {
            is_networked: self.shared().is_networked(),
            connections_established: net.established.load(Relaxed),
            connections_lost: net.lost.load(Relaxed),
            connections_lost_by: net.downs(),
            links_accepted: net.accepted.load(Relaxed),
            links_dialled: net.dialled.load(Relaxed),
            dial_errors: net.dial_errors.read(),
            control_refused: net.control_refused.load(Relaxed),
            control_errors: net.control_errors.load(Relaxed),
            name_timeouts: net.name_timeouts.load(Relaxed),
            diag_calls: net.diag_calls.load(Relaxed),
            diag_timeouts: net.diag_timeouts.load(Relaxed),
            diag_served: net.diag_served.load(Relaxed),
            events_lost: net.events_lost.load(Relaxed),
        }
    }

    /// How the node stands with its registrar, and whom it knows from it.
    #[must_use]
    pub fn registrar(&self) -> RegistrarState {
        self.shared().net().registrar()
    }
}
