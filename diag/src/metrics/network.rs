//! The samples of links, peers and listeners.
//!
//! Invariants: W1 a peer beyond the first [`PEERS_MAX`] by name is in one sum with all others like it. Threads: the
//! diagnostics thread.

use super::collector::{float, seconds};
use super::page::Page;
use crate::snapshot::Snapshot;
use crate::source::{AcceptorRow, NetRow, PeerRow};

/// Peers that get series of their own; the others are summed.
const PEERS_MAX: usize = 256;
/// Label of the sum of all other peers.
const OTHER_PEERS: &str = "__other__";

pub(super) fn network(page: &mut Page, s: &Snapshot) {
    page.put("ergo_connected_nodes_total", &[], s.peers.len() as f64);
    page.put("ergo_connections_established_total", &[], float(s.counters.connections_established));
    page.put("ergo_connections_lost_total", &[], float(s.counters.connections_lost));
    for acceptor in &s.acceptors {
        put_acceptor(page, acceptor);
    }
    put_net(page, &s.net);
    put_peers(page, &s.peers);
}

/// All peers, which are in the order of their names.
pub(super) fn put_peers(page: &mut Page, peers: &[PeerRow]) {
    for peer in peers.iter().take(PEERS_MAX) {
        put_peer_counters(page, peer);
        put_peer_gauges(page, peer);
    }
    if peers.len() > PEERS_MAX {
        put_peer_counters(page, &sum_of(peers.iter().skip(PEERS_MAX)));
    }
}

fn put_acceptor(page: &mut Page, acceptor: &AcceptorRow) {
    let sum = acceptor.handshake_errors.iter().map(|(_, count)| count).sum();
    page.put("ergo_acceptor_handshake_errors_total", &[&acceptor.interface], float(sum));
    page.put("shard_net_accept_failures_total", &[&acceptor.interface], float(acceptor.accept_failures));
    for (reason, count) in &acceptor.handshake_errors {
        page.put("shard_handshake_errors_total", &[&acceptor.interface, reason], float(*count));
    }
}

fn put_net(page: &mut Page, net: &NetRow) {
    for (reason, count) in &net.sessions_lost {
        page.put("shard_net_sessions_lost_total", &[reason], float(*count));
    }
    for (reason, count) in &net.dial_errors {
        page.put("shard_net_dial_errors_total", &[reason], float(*count));
    }
    let sides = [
        ("shard_net_links_opened_total", "accepted", net.links_accepted),
        ("shard_net_links_opened_total", "dialled", net.links_dialled),
        ("shard_diag_calls_total", "out", net.diag_calls),
        ("shard_diag_calls_total", "in", net.diag_served),
    ];
    for (name, side, value) in sides {
        page.put(name, &[side], float(value));
    }
    let plain = [
        ("shard_net_control_refused_total", net.control_refused),
        ("shard_net_control_errors_total", net.control_errors),
        ("shard_net_name_timeouts_total", net.name_timeouts),
        ("shard_net_node_events_lost_total", net.node_events_lost),
        ("shard_diag_call_timeouts_total", net.diag_timeouts),
    ];
    for (name, value) in plain {
        page.put(name, &[], float(value));
    }
}

fn put_peer_counters(page: &mut Page, p: &PeerRow) {
    let counters = [
        ("ergo_remote_messages_in_total", p.messages_in),
        ("ergo_remote_messages_out_total", p.messages_out),
        ("ergo_remote_bytes_in_total", p.bytes_in),
        ("ergo_remote_bytes_out_total", p.bytes_out),
        ("ergo_remote_fragments_sent_total", p.fragments_sent),
        ("ergo_remote_fragments_received_total", p.fragments_received),
        ("ergo_remote_fragment_messages_sent_total", p.fragment_messages_sent),
        ("ergo_remote_fragment_messages_received_total", p.fragment_messages_received),
        ("ergo_remote_fragment_timeouts_total", p.fragment_timeouts),
        ("ergo_remote_compressed_sent_total", p.compressed_sent),
        ("ergo_remote_compressed_bytes_sent_total", p.compressed_bytes_sent),
        ("ergo_remote_compressed_orig_bytes_sent_total", p.compressed_orig_bytes_sent),
        ("ergo_remote_decompressed_recv_total", p.decompressed_received),
        ("ergo_remote_decompressed_bytes_recv_total", p.decompressed_bytes_received),
        ("ergo_remote_decompressed_orig_recv_total", p.decompressed_orig_received),
        ("shard_net_reconnects_total", p.reconnections),
        ("shard_net_sessions_total", p.sessions),
        ("shard_net_outbox_full_total", p.link.outbox_refused),
        ("shard_net_backpressure_total", p.link.outbox_waits),
        ("shard_net_encode_errors_total", p.link.encode_errors),
        ("shard_net_protocol_errors_total", p.link.protocol_errors),
        ("shard_net_duplicates_total", p.link.duplicates),
        ("shard_net_unconfirmed_total", p.link.unconfirmed),
        ("shard_net_late_acks_total", p.link.late_acks),
        ("shard_net_spawns_unclaimed_total", p.link.spawns_unclaimed),
    ];
    for (name, value) in counters {
        page.put(name, &[&p.node], float(value));
    }
    put_peer_parts(page, p);
}

/// The counters that tell more than one case by a label.
fn put_peer_parts(page: &mut Page, p: &PeerRow) {
    let link = &p.link;
    let parts = [
        ("shard_net_session_losses_total", "failed", link.failed_out),
        ("shard_net_session_losses_total", "unknown", link.unknown_out),
        ("shard_net_rejected_frames_total", "validation", link.decode_errors),
        ("shard_net_rejected_frames_total", "unknown_type", link.unknown_types),
        ("shard_net_rejected_frames_total", "relation", link.relations_refused),
        ("shard_net_undelivered_total", "gone", link.undeliverable),
        ("shard_net_undelivered_total", "expired", link.expired),
        ("shard_net_events_total", "out", link.events_out),
        ("shard_net_events_total", "in", link.events_in),
        ("shard_net_events_missed_total", "out", link.events_missed_out),
        ("shard_net_events_missed_total", "in", link.events_missed_in),
        ("shard_net_asks_total", "sent", link.asks_out),
        ("shard_net_asks_total", "done", link.asks_done),
        ("shard_net_asks_total", "refused", link.asks_refused),
        ("shard_net_traced_total", "out", p.traced_sent),
        ("shard_net_traced_total", "in", p.traced_received),
        ("shard_net_views_total", "lent", link.views_lent),
        ("shard_net_views_total", "copied", link.views_copied),
    ];
    for (name, part, value) in parts {
        page.put(name, &[&p.node, part], float(value));
    }
}

fn put_peer_gauges(page: &mut Page, p: &PeerRow) {
    page.put("ergo_remote_node_uptime_seconds", &[&p.node], seconds(p.uptime_ns));
    page.put("shard_net_connection_age_seconds", &[&p.node], seconds(p.connection_uptime_ns));
    page.put("shard_net_rtt_seconds", &[&p.node], seconds(p.rtt_ns));
    page.put("shard_net_clock_offset_seconds", &[&p.node], p.clock_skew_ns as f64 / 1e9);
    let plain = [
        ("shard_net_links", p.pool_len),
        ("shard_net_links_configured", p.pool_size),
        ("shard_net_outstanding_bytes", p.outbox_bytes),
        ("shard_net_stalled_shards", p.stalled_shards),
        ("shard_net_outboxes_full", p.link.outboxes_full),
        ("shard_net_links_held", p.link.links_held),
        ("shard_net_late_messages", p.link.late),
    ];
    for (name, value) in plain {
        page.put(name, &[&p.node], float(value));
    }
    page.put("shard_net_relations", &[&p.node, "out"], float(p.link.relations_out));
    page.put("shard_net_relations", &[&p.node, "in"], float(p.link.relations_in));
}

/// The counters of some peers as those of one.
fn sum_of<'a>(peers: impl Iterator<Item = &'a PeerRow>) -> PeerRow {
    peers.fold(PeerRow { node: String::from(OTHER_PEERS), ..PeerRow::default() }, |mut sum, p| {
        sum.messages_in += p.messages_in;
        sum.messages_out += p.messages_out;
        sum.bytes_in += p.bytes_in;
        sum.bytes_out += p.bytes_out;
        sum.fragments_sent += p.fragments_sent;
        sum.fragments_received += p.fragments_received;
        sum.fragment_messages_sent += p.fragment_messages_sent;
        sum.fragment_messages_received += p.fragment_messages_received;
        sum.fragment_timeouts += p.fragment_timeouts;
        sum.traced_sent += p.traced_sent;
        sum.traced_received += p.traced_received;
        sum.compressed_sent += p.compressed_sent;
        sum.compressed_bytes_sent += p.compressed_bytes_sent;
        sum.compressed_orig_bytes_sent += p.compressed_orig_bytes_sent;
        sum.decompressed_received += p.decompressed_received;
        sum.decompressed_bytes_received += p.decompressed_bytes_received;
        sum.decompressed_orig_received += p.decompressed_orig_received;
        sum.reconnections += p.reconnections;
        sum.sessions += p.sessions;
        sum.link.add(&p.link);
        sum
    })
}
