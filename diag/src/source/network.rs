//! Peers, listeners and the registrar as diagnostics sees them.

use std::time::SystemTime;

use super::{LinkRow, Version};

/// One connected peer: the counters survive reconnections of its links.
#[derive(Clone, Debug, Default)]
pub struct PeerRow {
    /// Its name.
    pub node: String,
    /// Key of its incarnation.
    pub creation: u64,
    /// Nanoseconds since it started.
    pub uptime_ns: u64,
    /// Nanoseconds since the session began.
    pub connection_uptime_ns: u64,
    /// Its version.
    pub version: Version,
    /// Handshake version, for example `shs:1`.
    pub handshake_version: String,
    /// Protocol version, for example `swp:1`.
    pub proto_version: String,
    /// Data links wanted.
    pub pool_size: u64,
    /// Data links alive.
    pub pool_len: u64,
    /// Addresses dialled; empty where the peer dialled.
    pub pool_dsn: Vec<String>,
    /// Largest message accepted in bytes; `0` is unlimited.
    pub max_message_size: u64,
    /// Links are encrypted.
    pub tls: bool,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Links re-dialled.
    pub reconnections: u64,
    /// Fragments sent.
    pub fragments_sent: u64,
    /// Messages that had to be fragmented.
    pub fragment_messages_sent: u64,
    /// Fragments received.
    pub fragments_received: u64,
    /// Messages put together.
    pub fragment_messages_received: u64,
    /// Messages whose fragments never were complete.
    pub fragment_timeouts: u64,
    /// Messages, calls and replies sent with their trace.
    pub traced_sent: u64,
    /// Messages, calls and replies received with a trace.
    pub traced_received: u64,
    /// Messages compressed.
    pub compressed_sent: u64,
    /// Bytes after compression.
    pub compressed_bytes_sent: u64,
    /// Bytes before compression.
    pub compressed_orig_bytes_sent: u64,
    /// Messages decompressed.
    pub decompressed_received: u64,
    /// Bytes before decompression.
    pub decompressed_bytes_received: u64,
    /// Bytes after decompression.
    pub decompressed_orig_received: u64,
    /// Bytes waiting to be written, all links.
    pub outbox_bytes: u64,
    /// Sessions that began.
    pub sessions: u64,
    /// Its shards that are stuck now, as its last heartbeat said.
    pub stalled_shards: u64,
    /// What its data links count besides.
    pub link: LinkRow,
    /// Smoothed round trip of the control link in nanoseconds; `0` is not measured.
    pub rtt_ns: u64,
    /// Clock of the peer minus ours in nanoseconds; `0` is not measured.
    pub clock_skew_ns: i64,
    /// What both sides agreed on, and what this node does for it.
    pub flags: PeerFlags,
    /// What has changed lately, oldest first.
    pub history: Vec<PeerChangeRow>,
}

/// A session or a data link that began or ended, or a peer that fell silent or spoke again.
#[derive(Clone, Copy, Debug)]
pub struct PeerChangeRow {
    /// When.
    pub at: SystemTime,
    /// Number of the session.
    pub session: u64,
    /// What: `up`, `down`, `suspect`, `healthy`, `link up` or `link down`.
    pub change: &'static str,
    /// Why a session ended.
    pub reason: Option<&'static str>,
    /// The shard here that owns the data link.
    pub shard: Option<u16>,
    /// Which try of its slot the data link was, from 1.
    pub epoch: Option<u32>,
}

/// What two nodes agreed on in the handshake, and what this one does for the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerFlags {
    /// This node starts processes for the peer, one kind at least.
    pub remote_spawn: bool,
    /// This node starts applications for the peer, one at least.
    pub remote_app_start: bool,
    /// Large messages are sent in fragments.
    pub fragmentation: bool,
    /// Senders may ask for an acknowledgement of delivery.
    pub important_delivery: bool,
    /// Both may dial at once.
    pub simultaneous_connect: bool,
    /// The difference of the clocks is measured.
    pub clock_skew: bool,
    /// Trace contexts cross.
    pub tracing: bool,
    /// Each tells which versions of messages it reads, and is sent those.
    pub schema_evolution: bool,
    /// Seconds between two heartbeats, rounded up; `0` is off.
    pub keep_alive_s: u32,
}

/// One listener of the node.
#[derive(Clone, Debug, Default)]
pub struct AcceptorRow {
    /// Address it listens on, `host:port`.
    pub interface: String,
    /// Failed handshakes since start by reason.
    pub handshake_errors: Vec<(&'static str, u64)>,
    /// Times since start that the system would not accept a connection.
    pub accept_failures: u64,
}

/// One node the registrar knows.
#[derive(Clone, Debug, Default)]
pub struct KnownNode {
    /// Its name.
    pub name: String,
    /// Key of its incarnation; `0` if unknown.
    pub creation: u64,
}

/// What the registrar says.
#[derive(Clone, Debug, Default)]
pub struct RegistrarView {
    /// Why it cannot be used; `None` while it works or where the node has none.
    pub down: Option<String>,
    /// Nodes it knows.
    pub nodes: Vec<KnownNode>,
}
