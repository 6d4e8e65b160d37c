//! JSON records shared by several tools. Field names are part of the interface: they are Ergo's.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::tool::Call;
use crate::pid;
use crate::snapshot::{SECOND_NS, drain, liveness, utilization};
use crate::source::{self, EventRow, Identity, LinkRow, PeerRow, ProcessRow};
use std::time::{SystemTime, UNIX_EPOCH};

/// A number of the node as JSON's signed number.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Whole seconds.
pub(super) fn seconds(ns: u64) -> i64 {
    signed(ns / SECOND_NS)
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    name: String,
    release: String,
    commit: String,
    license: String,
}

impl From<&source::Version> for Version {
    fn from(version: &source::Version) -> Self {
        Self {
            name: version.name.clone(),
            release: version.release.clone(),
            commit: version.commit.clone(),
            license: version.license.clone(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProcessShort {
    #[serde(rename = "PID")]
    pub(super) pid: String,
    #[serde(rename = "ShortPID")]
    pub(super) short_pid: String,
    parent: String,
    leader: String,
    name: String,
    application: String,
    behavior: &'static str,
    kind: &'static str,
    messages_in: u64,
    messages_out: u64,
    /// Messages waiting, all four queues.
    messages_mailbox: u64,
    /// Those of them in Main; the rest waits in Urgent, System and Log.
    mailbox_main: u64,
    /// Age of the oldest waiting message in nanoseconds; 0 if none waits.
    mailbox_latency: i64,
    /// Handler time in nanoseconds, the handler in progress included.
    running_time: u64,
    /// Duration of init in nanoseconds.
    init_time: u64,
    wakeups: u64,
    /// Messages received per wake-up; 0 without either.
    drain: f64,
    /// Seconds since spawn.
    uptime: i64,
    state: &'static str,
    /// Nanoseconds in the state.
    state_time: i64,
    log_level: &'static str,
    shard: u16,
    /// Nanoseconds the handler in progress has run; 0 if none runs.
    callback_elapsed: u64,
    /// Share of its life in handlers, 0 to 1.
    utilization: f64,
    /// Utilization by seconds of mailbox latency; null where it means nothing.
    liveness: Option<f64>,
}

impl ProcessShort {
    pub(super) fn new(row: &ProcessRow<'_>, node: &Identity) -> Self {
        let c = &row.cells;
        let pid = |id| pid::full(&node.name, node.creation, id);
        Self {
            pid: pid(c.id),
            short_pid: pid::short(node.crc, c.id),
            parent: pid(c.parent),
            leader: pid(c.leader),
            name: String::from(row.name),
            application: String::from(row.application),
            behavior: row.behavior,
            kind: row.kind,
            messages_in: c.messages_in,
            messages_out: c.messages_out,
            messages_mailbox: c.mailbox,
            mailbox_main: c.mailbox_main,
            mailbox_latency: signed(c.oldest_ns),
            running_time: c.running_ns,
            init_time: c.init_ns,
            wakeups: c.wakeups,
            drain: drain(c),
            uptime: seconds(c.uptime_ns),
            state: c.state.text(),
            state_time: signed(c.state_ns),
            log_level: c.log_level.text(),
            shard: c.shard,
            callback_elapsed: c.callback_elapsed_ns,
            utilization: utilization(c),
            liveness: liveness(c),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tracing {
    sampler: &'static str,
    attributes: Vec<String>,
}

impl Tracing {
    pub(super) const fn off() -> Self {
        Self { sampler: "disable", attributes: Vec::new() }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "the flags of the interface")]
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct NetworkFlags {
    enable: bool,
    /// This node starts processes for the peer, one kind at least.
    enable_remote_spawn: bool,
    /// This node starts applications for the peer, one at least.
    enable_remote_application_start: bool,
    /// Big messages go in parts.
    enable_fragmentation: bool,
    /// There are no proxies: false.
    enable_proxy_transit: bool,
    /// There are no proxies: false.
    enable_proxy_accept: bool,
    /// Important messages are acknowledged.
    enable_important_delivery: bool,
    enable_simultaneous_connect: bool,
    /// It is not measured: false.
    enable_clock_skew: bool,
    /// Messages cross with their traces.
    enable_tracing: bool,
    /// Errors cross as their texts: false.
    enable_wrapped_errors: bool,
    /// Each tells which versions of messages it reads, and is sent those.
    enable_schema_evolution: bool,
    /// Seconds between two heartbeats; 0 is off.
    enable_software_keep_alive: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemoteNode {
    node: String,
    /// Seconds since the peer started.
    uptime: i64,
    /// Seconds since the session began.
    connection_uptime: i64,
    version: Version,
    handshake_version: String,
    proto_version: String,
    network_flags: NetworkFlags,
    pool_size: u64,
    pool_len: u64,
    /// Addresses dialled; null where the peer dialled.
    #[serde(rename = "PoolDSN")]
    pool_dsn: Option<Vec<String>>,
    max_message_size: u64,
    #[serde(rename = "TLS")]
    tls: bool,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    transit_bytes_in: u64,
    transit_bytes_out: u64,
    reconnections: u64,
    fragments_sent: u64,
    fragment_messages_sent: u64,
    fragments_received: u64,
    fragment_messages_recv: u64,
    fragment_timeouts: u64,
    traced_sent: u64,
    traced_received: u64,
    compressed_sent: u64,
    compressed_bytes_sent: u64,
    compressed_orig_bytes_sent: u64,
    decompressed_recv: u64,
    decompressed_bytes_recv: u64,
    decompressed_orig_recv: u64,
    /// Clock of the peer minus ours in nanoseconds; 0 is not measured.
    clock_skew: i64,
    /// Smoothed round trip of the control link in nanoseconds; 0 is not measured.
    #[serde(rename = "rtt_ns")]
    rtt_ns: u64,
    /// Bytes waiting to be written.
    #[serde(rename = "send_queue_bytes")]
    send_queue_bytes: u64,
    /// Sessions with it that began.
    #[serde(rename = "sessions")]
    sessions: u64,
    /// Its shards that are stuck now, as its last heartbeat said.
    #[serde(rename = "stalled_shards")]
    stalled_shards: u64,
    #[serde(flatten)]
    link: LinkRow,
}

impl From<PeerRow> for RemoteNode {
    fn from(p: PeerRow) -> Self {
        Self {
            uptime: seconds(p.uptime_ns),
            connection_uptime: seconds(p.connection_uptime_ns),
            version: Version::from(&p.version),
            network_flags: NetworkFlags {
                enable: true,
                enable_remote_spawn: p.flags.remote_spawn,
                enable_remote_application_start: p.flags.remote_app_start,
                enable_fragmentation: p.flags.fragmentation,
                enable_proxy_transit: false,
                enable_proxy_accept: false,
                enable_important_delivery: p.flags.important_delivery,
                enable_simultaneous_connect: p.flags.simultaneous_connect,
                enable_clock_skew: p.flags.clock_skew,
                enable_tracing: p.flags.tracing,
                enable_wrapped_errors: false,
                enable_schema_evolution: p.flags.schema_evolution,
                enable_software_keep_alive: p.flags.keep_alive_s,
            },
            node: p.node,
            handshake_version: p.handshake_version,
            proto_version: p.proto_version,
            pool_size: p.pool_size,
            pool_len: p.pool_len,
            pool_dsn: (!p.pool_dsn.is_empty()).then_some(p.pool_dsn),
            max_message_size: p.max_message_size,
            tls: p.tls,
            messages_in: p.messages_in,
            messages_out: p.messages_out,
            bytes_in: p.bytes_in,
            bytes_out: p.bytes_out,
            transit_bytes_in: 0,
            transit_bytes_out: 0,
            reconnections: p.reconnections,
            fragments_sent: p.fragments_sent,
            fragment_messages_sent: p.fragment_messages_sent,
            fragments_received: p.fragments_received,
            fragment_messages_recv: p.fragment_messages_received,
            fragment_timeouts: p.fragment_timeouts,
            traced_sent: p.traced_sent,
            traced_received: p.traced_received,
            compressed_sent: p.compressed_sent,
            compressed_bytes_sent: p.compressed_bytes_sent,
            compressed_orig_bytes_sent: p.compressed_orig_bytes_sent,
            decompressed_recv: p.decompressed_received,
            decompressed_bytes_recv: p.decompressed_bytes_received,
            decompressed_orig_recv: p.decompressed_orig_received,
            clock_skew: p.clock_skew_ns,
            rtt_ns: p.rtt_ns,
            send_queue_bytes: p.outbox_bytes,
            sessions: p.sessions,
            stalled_shards: p.stalled_shards,
            link: p.link,
        }
    }
}

/// An event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EventInfo {
    event: String,
    /// Pid of the process that registered it.
    producer: String,
    producer_name: String,
    /// Rust type of its messages.
    message_type: &'static str,
    buffer_size: u64,
    current_buffer: u64,
    notify: bool,
    open: bool,
    /// Links and monitors of subscribers.
    subscribers: i64,
    messages_published: i64,
    messages_local_sent: i64,
    messages_remote_sent: i64,
    /// Messages that full mailboxes or lanes refused.
    messages_lost: i64,
    /// Unix time in nanoseconds.
    created_at: i64,
    /// Unix time in nanoseconds; 0 before the first publication.
    last_published_at: i64,
    /// active, on_demand, idle, no_subscribers or no_publishing.
    utilization_state: &'static str,
}

impl EventInfo {
    pub(super) fn of(call: &Call, row: &EventRow) -> Self {
        let node = call.desk.source.identity();
        Self {
            event: String::from(&*row.name),
            producer: pid::full(&node.name, node.creation, row.producer),
            producer_name: name_of(call, row.producer),
            message_type: row.message_type,
            buffer_size: row.buffer,
            current_buffer: row.kept,
            notify: row.notify,
            open: row.open,
            subscribers: signed(row.subscribers),
            messages_published: signed(row.published),
            messages_local_sent: signed(row.local_sent),
            messages_remote_sent: signed(row.remote_sent),
            messages_lost: signed(row.lost),
            created_at: unix_ns(row.created),
            last_published_at: row.last_published.map_or(0, unix_ns),
            utilization_state: row.utilization,
        }
    }

    /// Whether this is part of the producer's pid or registered name.
    pub(super) fn is_of(call: &Call, row: &EventRow, part: &str) -> bool {
        let node = call.desk.source.identity();
        pid::full(&node.name, node.creation, row.producer).contains(part)
            || pid::short(node.crc, row.producer).contains(part)
            || name_of(call, row.producer).contains(part)
    }
}

fn name_of(call: &Call, id: u64) -> String {
    let mut name = String::new();
    call.desk.source.process(id, &mut |row| row.name.clone_into(&mut name));
    name
}

fn unix_ns(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}
