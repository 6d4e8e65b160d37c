//! `node_info`: the whole node in one object. Reads memory only.

use std::collections::BTreeMap;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::error::ToolError;
use crate::mcp::records::{Tracing, Version, seconds, signed};
use crate::mcp::time_text::rfc3339;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};
use crate::source::{NetRow, NodeCounters};
use crate::usage::Usage;

pub(super) const TOOL: Tool = Tool {
    name: "node_info",
    title: "Node",
    help: "Version, uptime, process counts, error counters, log counters, memory and CPU of a node. Cheap; \
           the first thing to ask. Counters are totals since start.",
    params: &[],
    output: output_of::<NodeInfo>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

/// Names of cron jobs in this answer at most: it is asked often.
const JOBS_MAX: usize = 100;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Logger {
    name: String,
    behavior: String,
    levels: Vec<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Cron {
    /// Next run; null if no job is set.
    next: Option<String>,
    spool: Vec<String>,
    /// Names, the first 100 of them; `cron_info` has the jobs.
    jobs: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct NodeInfo {
    name: String,
    /// Seconds since start.
    uptime: i64,
    version: Version,
    framework: Version,
    commercial: Vec<Version>,
    env: BTreeMap<String, String>,
    log_level: &'static str,
    loggers: Vec<Logger>,
    tracing: Tracing,
    tracing_exporters: Vec<String>,
    /// trace, debug, info, warning, error, panic.
    log_messages: [u64; 6],
    /// send, request, response, spawn, terminate.
    tracing_spans: [u64; 5],
    cron: Cron,
    processes_total: i64,
    processes_running: i64,
    processes_wait_response: i64,
    processes_zombee: i64,
    processes_spawned: u64,
    processes_spawn_failed: u64,
    processes_terminated: u64,
    send_errors_local: u64,
    send_errors_remote: u64,
    call_errors_local: u64,
    call_errors_remote: u64,
    registered_aliases: i64,
    registered_names: i64,
    registered_events: i64,
    events_published: i64,
    events_received: i64,
    events_local_sent: i64,
    events_remote_sent: i64,
    applications_total: i64,
    applications_running: i64,
    /// Resident memory in bytes.
    memory_used: u64,
    /// Live bytes of the allocator; resident memory that no file backs where it does not count.
    memory_alloc: u64,
    /// Soft limit in bytes; the largest number is none.
    memory_limit: u64,
    /// There is no garbage collector: zero.
    heap_live: u64,
    /// There is no garbage collector: zero.
    heap_goal: u64,
    /// Live processes; there are no goroutines.
    goroutines: i64,
    /// There is no garbage collector: zero.
    #[serde(rename = "GCCycles")]
    gc_cycles: u64,
    heap_alloc_objects: u64,
    heap_free_objects: u64,
    /// There is no garbage collector: zero.
    #[serde(rename = "CPUTimeGC")]
    cpu_time_gc: f64,
    /// Seconds of CPU time the shards had.
    #[serde(rename = "CPUTimeTotal")]
    cpu_time_total: f64,
    /// Nanoseconds of user CPU time.
    user_time: i64,
    /// Nanoseconds of system CPU time.
    system_time: i64,
    /// Wall clock of the node, RFC 3339.
    server_time: String,
    shards: u32,
    threads: u64,
    creation: u64,
    #[serde(rename = "CRC")]
    crc: String,
    #[serde(flatten)]
    network: Network,
}

/// What the network of the node counts as a whole.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Network {
    connections_established: u64,
    connections_lost: u64,
    /// Sessions that ended, by reason; reasons that never came up are left out.
    connections_lost_by: BTreeMap<&'static str, u64>,
    /// Dials that failed, by reason; reasons that never came up are left out.
    dial_errors: BTreeMap<&'static str, u64>,
    /// Links of peers that were accepted.
    links_accepted: u64,
    /// Dials that became links.
    links_dialled: u64,
    /// Control messages refused because the peer read too slowly.
    control_refused: u64,
    /// Control messages that broke the protocol, of peers and our own.
    control_errors: u64,
    /// Names of processes of other nodes asked for without an answer in time.
    name_timeouts: u64,
    /// Events of the node that slow subscribers missed.
    node_events_lost: u64,
}

impl Network {
    fn new(counters: &NodeCounters, net: NetRow) -> Self {
        let some = |counts: Vec<(&'static str, u64)>| counts.into_iter().filter(|(_, n)| *n > 0).collect();
        Self {
            connections_established: counters.connections_established,
            connections_lost: counters.connections_lost,
            connections_lost_by: some(net.sessions_lost),
            dial_errors: some(net.dial_errors),
            links_accepted: net.links_accepted,
            links_dialled: net.links_dialled,
            control_refused: net.control_refused,
            control_errors: net.control_errors,
            name_timeouts: net.name_timeouts,
            node_events_lost: net.node_events_lost,
        }
    }
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let source = &call.desk.source;
    let (id, c, usage) = (source.identity(), source.node_counters(), Usage::read());
    let cron = source.cron();
    let loggers = id.loggers.iter().map(|logger| Logger {
        name: logger.name.clone(),
        behavior: logger.behavior.clone(),
        levels: logger.levels.iter().map(|level| level.text()).collect(),
    });
    Answer::of(&NodeInfo {
        uptime: seconds(id.uptime_ns),
        version: Version::from(&id.version),
        framework: Version::from(&id.framework),
        commercial: Vec::new(),
        log_level: id.log_level.text(),
        loggers: loggers.collect(),
        tracing: Tracing::off(),
        tracing_exporters: Vec::new(),
        log_messages: c.log_messages,
        tracing_spans: c.tracing_spans,
        cron: Cron {
            next: cron.next.map(rfc3339),
            spool: cron.spool.into_iter().take(JOBS_MAX).collect(),
            jobs: cron.jobs.into_iter().take(JOBS_MAX).map(|job| job.name).collect(),
        },
        processes_total: signed(c.processes_total),
        processes_running: signed(c.processes_running),
        processes_wait_response: signed(c.processes_wait_response),
        processes_zombee: signed(c.processes_zombee),
        processes_spawned: c.processes_spawned,
        processes_spawn_failed: c.processes_spawn_failed,
        processes_terminated: c.processes_terminated,
        send_errors_local: c.send_errors_local,
        send_errors_remote: c.send_errors_remote,
        call_errors_local: c.call_errors_local,
        call_errors_remote: c.call_errors_remote,
        registered_aliases: signed(c.registered_aliases),
        registered_names: signed(c.registered_names),
        registered_events: signed(c.registered_events),
        events_published: signed(c.events_published),
        events_received: signed(c.events_received),
        events_local_sent: signed(c.events_local_sent),
        events_remote_sent: signed(c.events_remote_sent),
        applications_total: signed(c.applications_total),
        applications_running: signed(c.applications_running),
        memory_used: usage.resident_bytes,
        memory_alloc: c.allocated_bytes.unwrap_or(usage.anonymous_bytes),
        memory_limit: i64::MAX.unsigned_abs(),
        heap_live: 0,
        heap_goal: 0,
        goroutines: signed(c.processes_total),
        gc_cycles: 0,
        heap_alloc_objects: 0,
        heap_free_objects: 0,
        cpu_time_gc: 0.0,
        cpu_time_total: f64::from(id.shards) * (id.uptime_ns as f64 / 1e9),
        user_time: nanoseconds(usage.user_seconds),
        system_time: nanoseconds(usage.system_seconds),
        server_time: rfc3339(SystemTime::now()),
        shards: id.shards,
        threads: usage.threads,
        creation: id.creation,
        crc: format!("{:08X}", id.crc),
        network: Network::new(&c, source.net()),
        env: id.env.into_iter().collect(),
        name: id.name,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "CPU seconds of a process fit by far")]
fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}
