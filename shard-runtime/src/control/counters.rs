//! What happened on the network of a node: plain atomics that tools read without asking the control thread.
//!
//! Invariants: T1 counters only grow; all accesses are relaxed, no cell publishes other memory. T2 the control thread is the
//! only writer. The locks guard what changes with sessions, not with messages; no shard takes them.

use crate::registrar::RegistrarState;
use shard_wire::handshake::Reason;
use shard_wire::session::{DownReason, Stall};
use shard_wire::{NodeName, Pid};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{OnceLock, PoisonError, RwLock};

/// One counter per handshake reason.
#[derive(Debug)]
pub(crate) struct ByReason([AtomicU64; Reason::ALL.len()]);

impl Default for ByReason {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Reason::ALL.len()])
    }
}

impl ByReason {
    /// Counts one; returns how many there are now.
    pub(crate) fn count(&self, reason: Reason) -> u64 {
        let place = Reason::ALL.iter().zip(&self.0).find(|(known, _)| **known == reason);
        place.map_or(1, |(_, cell)| cell.fetch_add(1, Relaxed) + 1)
    }

    /// Every reason with its count.
    pub(crate) fn read(&self) -> Vec<(&'static str, u64)> {
        Reason::ALL.iter().zip(&self.0).map(|(reason, cell)| (reason.name(), cell.load(Relaxed))).collect()
    }
}

/// The counters of the control thread.
#[derive(Debug, Default)]
pub(crate) struct NetCounters {
    /// Where the node listens, and whether it speaks TLS there.
    address: OnceLock<(SocketAddr, bool)>,
    /// Handshakes this node's acceptor did not finish.
    pub(crate) accept_errors: ByReason,
    /// Handshakes that the registrar this node serves did not finish.
    pub(crate) registrar_errors: ByReason,
    /// Dials of this node that failed.
    pub(crate) dial_errors: ByReason,
    /// Times `accept` itself failed.
    pub(crate) accept_failures: AtomicU64,
    /// Links of peers that were accepted.
    pub(crate) accepted: AtomicU64,
    /// Dials that became links.
    pub(crate) dialled: AtomicU64,
    /// Sessions begun.
    pub(crate) established: AtomicU64,
    /// Sessions ended.
    pub(crate) lost: AtomicU64,
    /// Sessions ended, by reason.
    downs: [AtomicU64; DownReason::ALL.len()],
    /// Control messages refused because an outbox was full.
    pub(crate) control_refused: AtomicU64,
    /// Control links closed because the peer broke the protocol.
    pub(crate) control_errors: AtomicU64,
    /// Node events that a slow subscriber missed.
    pub(crate) events_lost: AtomicU64,
    /// Name queries without an answer in time.
    pub(crate) name_timeouts: AtomicU64,
    /// Diagnostics calls to peers, and those that had no answer in time.
    pub(crate) diag_calls: AtomicU64,
    pub(crate) diag_timeouts: AtomicU64,
    /// Diagnostics calls of peers.
    pub(crate) diag_served: AtomicU64,
    registrar: RwLock<RegistrarState>,
    stalls: RwLock<HashMap<NodeName, Vec<Stall>>>,
}

impl NetCounters {
    pub(crate) fn listening(&self, address: SocketAddr, tls: bool) {
        // Set once, at start.
        let _already = self.address.set((address, tls));
    }

    /// The address the node listens on.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address.get().map(|(address, _)| *address)
    }

    /// Whether what is accepted speaks TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.address.get().is_some_and(|(_, tls)| *tls)
    }

    pub(crate) fn count_down(&self, reason: DownReason) {
        self.lost.fetch_add(1, Relaxed);
        if let Some((_, cell)) = DownReason::ALL.iter().zip(&self.downs).find(|(known, _)| **known == reason)
        {
            cell.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn downs(&self) -> Vec<(&'static str, u64)> {
        DownReason::ALL
            .iter()
            .zip(&self.downs)
            .map(|(reason, cell)| (reason.name(), cell.load(Relaxed)))
            .collect()
    }

    pub(crate) fn set_registrar(&self, state: RegistrarState) {
        *self.registrar.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(crate) fn registrar(&self) -> RegistrarState {
        self.registrar.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which shards of a peer are stuck; returns whether that changed between none and some.
    pub(crate) fn set_stalls(&self, peer: &NodeName, stalls: Vec<Stall>) -> bool {
        let mut known = self.stalls.write().unwrap_or_else(PoisonError::into_inner);
        if stalls.is_empty() {
            known.remove(peer).is_some()
        } else {
            known.insert(peer.clone(), stalls).is_none()
        }
    }

    /// The stuck shards of a peer: index, milliseconds, process.
    pub(crate) fn stalls(&self, peer: &NodeName) -> Vec<(u16, u32, Pid)> {
        let known = self.stalls.read().unwrap_or_else(PoisonError::into_inner);
        let stalls = known.get(peer).into_iter().flatten();
        stalls.map(|stall| (stall.shard, stall.stalled_ms, stall.pid)).collect()
    }
}
