//! The node as diagnostics sees it: who it is, and its counters.

use super::{LogLevel, LoggerRow};

/// A version of the node's program or of the framework.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Name of the program.
    pub name: String,
    /// Release, for example `0.1.0`.
    pub release: String,
    /// Commit it was built from; empty if unknown.
    pub commit: String,
    /// License expression.
    pub license: String,
}

/// Where the node is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Not all start-up steps are done.
    Starting,
    /// Serving.
    #[default]
    Running,
    /// A graceful stop has begun.
    Stopping,
}

/// Who the node is.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Full name, `name@host`.
    pub name: String,
    /// Hash of the name, as printed in the short form of a pid.
    pub crc: u32,
    /// Key of this incarnation: what the full form of a pid ends with.
    pub creation: u64,
    /// Monotonic nanoseconds since the node started.
    pub uptime_ns: u64,
    /// Version of the program.
    pub version: Version,
    /// Version of the framework.
    pub framework: Version,
    /// Number of shards.
    pub shards: u32,
    /// Environment of the node; empty unless the node exposes it.
    pub env: Vec<(String, String)>,
    /// Log level of the node.
    pub log_level: LogLevel,
    /// Loggers of the node.
    pub loggers: Vec<LoggerRow>,
    /// Where the node is in its life.
    pub phase: Phase,
}

/// Counters of the whole node; `0` where the node has no source yet.
///
/// "Since start" counters never decrease while the node lives.
#[derive(Clone, Debug, Default)]
pub struct NodeCounters {
    /// Live rows of the process table, zombees included. Now.
    pub processes_total: u64,
    /// Processes inside a handler, those suspended in a call excluded. Now.
    pub processes_running: u64,
    /// Processes suspended in a call. Now.
    pub processes_wait_response: u64,
    /// Processes killed whose handler has not returned. Now.
    pub processes_zombee: u64,
    /// Successful spawns since start.
    pub processes_spawned: u64,
    /// Failed spawns since start.
    pub processes_spawn_failed: u64,
    /// Terminations since start.
    pub processes_terminated: u64,
    /// Registered process names. Now.
    pub registered_names: u64,
    /// Live aliases. Now.
    pub registered_aliases: u64,
    /// Registered events. Now.
    pub registered_events: u64,
    /// Loaded applications. Now.
    pub applications_total: u64,
    /// Running applications. Now.
    pub applications_running: u64,
    /// Sends to a local target that failed, since start.
    pub send_errors_local: u64,
    /// Sends to a remote target that failed, since start.
    pub send_errors_remote: u64,
    /// Calls to a local target that failed, since start.
    pub call_errors_local: u64,
    /// Calls to a remote target that failed, since start.
    pub call_errors_remote: u64,
    /// Log records per level since start: trace, debug, info, warning, error, panic.
    pub log_messages: [u64; 6],
    /// Spans since start: send, request, response, spawn, terminate.
    pub tracing_spans: [u64; 5],
    /// Publishes of local producers since start.
    pub events_published: u64,
    /// Event messages from peers since start.
    pub events_received: u64,
    /// Deliveries to local subscribers since start.
    pub events_local_sent: u64,
    /// Event messages to peers since start.
    pub events_remote_sent: u64,
    /// Peers ever connected, since start.
    pub connections_established: u64,
    /// Peers ever lost, since start.
    pub connections_lost: u64,
    /// Messages into mailboxes, ended processes included, since start.
    pub messages_in: u64,
    /// Messages routed by processes, ended processes included, since start.
    pub messages_out: u64,
    /// Handler time of all processes, ended ones included. Nanoseconds since start.
    pub running_ns: u64,
    /// Sleep to running transitions, ended processes included, since start.
    pub wakeups: u64,
    /// Time that handled messages had waited in mailboxes, ended processes included. Nanoseconds since start.
    pub waited_ns: u64,
    /// Orders of threads outside any shard lost because an inbox was full, without anybody to tell, since start.
    pub inbox_lost: u64,
    /// Live bytes of the allocator, if it counts them.
    pub allocated_bytes: Option<u64>,
    /// Bytes ever allocated, if the allocator counts them.
    pub allocated_total_bytes: Option<u64>,
}
