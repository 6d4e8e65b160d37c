//! Turns a snapshot into samples, and samples into the text of the page.
//!
//! Invariants: C1 one page comes from one snapshot, so no list is half-written. C2 a snapshot is rendered once; later
//! scrapes of it are a copy of a reference. Threads: the diagnostics thread.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, Registry, TextEncoder};

use super::names::FAMILIES;
use super::network::network;
use super::page::Page;
use crate::pid;
use crate::snapshot::{
    DEPTH_RANGES, EVENT_STATES, LATENCY_RANGES, Shelf, Snapshot, Spread, TopEntry, UTILIZATION_RANGES,
};
use crate::source::{CronJobRow, LogLevel, STALL_BOUNDS_NS, ShardRow};
use crate::tally::{Event, Tally};
use crate::top::value_of;

/// Cron jobs, and loggers, that get series of their own.
const NAMED_MAX: usize = 256;
/// Label of what threads outside any shard did.
const OUTSIDE: &str = "outside";
/// Labels of the limits by which stalls are counted, and how many buckets end at or below each.
const STALLS_OVER: [(&str, usize); 3] = [("100ms", 0), ("1s", 3), ("10s", 6)];

/// Serves the text of `/metrics`.
pub(crate) struct Exporter {
    registry: Registry,
    shelf: Arc<Shelf>,
    rendered: RwLock<(u64, Bytes)>,
}

impl Exporter {
    /// Registers every family.
    pub(crate) fn new(shelf: Arc<Shelf>, tally: Arc<Tally>) -> Result<Self, prometheus::Error> {
        let node = shelf.latest().identity.name.clone();
        let constant = HashMap::from([(String::from("node"), node)]);
        let registry = Registry::new_custom(None, Some(constant))?;
        registry.register(Box::new(NodeCollector::new(Arc::clone(&shelf), tally)?))?;
        Ok(Self { registry, shelf, rendered: RwLock::new((0, Bytes::new())) })
    }

    /// The page of a snapshot not older than `age`.
    pub(crate) fn page(&self, age: Duration) -> Result<Bytes, prometheus::Error> {
        let pass = self.shelf.not_older_than(age).pass;
        {
            let rendered = self.rendered.read().unwrap_or_else(PoisonError::into_inner);
            if rendered.0 == pass {
                return Ok(rendered.1.clone());
            }
        }
        let mut text = Vec::with_capacity(64 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        let text = Bytes::from(text);
        *self.rendered.write().unwrap_or_else(PoisonError::into_inner) = (pass, text.clone());
        Ok(text)
    }
}

/// The collector of all families.
struct NodeCollector {
    descs: Vec<Desc>,
    shelf: Arc<Shelf>,
    tally: Arc<Tally>,
}

impl NodeCollector {
    fn new(shelf: Arc<Shelf>, tally: Arc<Tally>) -> Result<Self, prometheus::Error> {
        let descs = FAMILIES
            .iter()
            .map(|family| {
                let labels = family.labels.iter().map(|label| String::from(*label)).collect();
                Desc::new(String::from(family.name), String::from(family.help), labels, HashMap::new())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { descs, shelf, tally })
    }
}

impl Collector for NodeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.shelf.latest();
        let mut page = Page::new();
        node(&mut page, &snapshot);
        errors_and_logs(&mut page, &snapshot);
        cron(&mut page, &snapshot);
        network(&mut page, &snapshot);
        mailboxes(&mut page, &snapshot);
        activity(&mut page, &snapshot);
        for shard in &snapshot.shards {
            put_shard(&mut page, shard);
            put_upkeep(&mut page, shard);
            put_stalls(&mut page, shard);
            put_io(&mut page, shard);
        }
        page.put("shard_policy_dropped_total", &[OUTSIDE], float(snapshot.outside_dropped));
        own(&mut page, &snapshot, &self.tally);
        page.into_families()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sample is a double; 2^53 of anything is far away")]
pub(super) const fn float(value: u64) -> f64 {
    value as f64
}

pub(super) fn seconds(ns: u64) -> f64 {
    float(ns) / 1e9
}

fn node(page: &mut Page, s: &Snapshot) {
    let (c, u) = (&s.counters, &s.usage);
    let plain = [
        ("ergo_processes_total", c.processes_total),
        ("ergo_processes_running", c.processes_running),
        ("ergo_processes_zombie", c.processes_zombee),
        ("ergo_processes_spawned_total", c.processes_spawned),
        ("ergo_processes_spawn_failed_total", c.processes_spawn_failed),
        ("ergo_processes_terminated_total", c.processes_terminated),
        ("ergo_applications_total", c.applications_total),
        ("ergo_applications_running", c.applications_running),
        ("ergo_registered_names_total", c.registered_names),
        ("ergo_registered_aliases_total", c.registered_aliases),
        ("ergo_registered_events_total", c.registered_events),
        ("ergo_memory_used_bytes", u.resident_bytes),
        ("ergo_memory_alloc_bytes", c.allocated_bytes.unwrap_or(u.anonymous_bytes)),
        ("ergo_cpu_cores", u.cores),
        ("ergo_events_published_total", c.events_published),
        ("ergo_events_received_total", c.events_received),
        ("ergo_events_local_sent_total", c.events_local_sent),
        ("ergo_events_remote_sent_total", c.events_remote_sent),
        ("ergo_event_subscribers_max", s.events.subscribers_max),
        ("shard_processes_wait_response", c.processes_wait_response),
        ("shard_threads", u.threads),
        ("shard_open_files", u.files),
    ];
    for (name, value) in plain {
        page.put(name, &[], float(value));
    }
    page.put("ergo_node_uptime_seconds", &[], seconds(s.identity.uptime_ns));
    page.put("ergo_cpu_user_seconds", &[], u.user_seconds);
    page.put("ergo_cpu_system_seconds", &[], u.system_seconds);
    for (state, count) in EVENT_STATES.iter().zip(s.events.utilization) {
        page.put("ergo_event_utilization", &[state], float(count));
    }
    let lists = [
        ("ergo_event_subscribers_top", &s.events.subscribers_top),
        ("ergo_event_published_top", &s.events.published_top),
        ("ergo_event_local_sent_top", &s.events.local_sent_top),
        ("ergo_event_remote_sent_top", &s.events.remote_sent_top),
    ];
    for (name, list) in lists {
        for (event, count) in list {
            let producer = pid::short(s.identity.crc, event.producer);
            page.put(name, &[&event.name, &producer], float(*count));
        }
    }
}

fn errors_and_logs(page: &mut Page, s: &Snapshot) {
    let c = &s.counters;
    page.put("ergo_send_errors_local_total", &[], float(c.send_errors_local));
    page.put("ergo_send_errors_remote_total", &[], float(c.send_errors_remote));
    page.put("ergo_call_errors_local_total", &[], float(c.call_errors_local));
    page.put("ergo_call_errors_remote_total", &[], float(c.call_errors_remote));
    page.put("shard_inbox_lost_total", &[], float(c.inbox_lost));
    for (level, count) in LogLevel::COUNTED.iter().zip(c.log_messages) {
        page.put("ergo_log_messages_total", &[level.text()], float(count));
    }
    for (level, count) in LogLevel::COUNTED.iter().zip(s.log_lost) {
        page.put("shard_log_lost_total", &[level.text()], float(count));
    }
    for logger in s.identity.loggers.iter().take(NAMED_MAX) {
        page.put("shard_log_dropped_total", &[&logger.name], float(logger.lost));
    }
}

fn cron(page: &mut Page, s: &Snapshot) {
    let jobs = &s.cron.jobs;
    let enabled = jobs.iter().filter(|job| job.enabled).count();
    page.put("shard_cron_jobs", &["enabled"], enabled as f64);
    page.put("shard_cron_jobs", &["disabled"], (jobs.len() - enabled) as f64);
    if let Some(next) = s.cron.next {
        page.put("shard_cron_next_run_timestamp_seconds", &[], unix_seconds(next));
    }
    for job in jobs.iter().take(NAMED_MAX) {
        put_job(page, job);
    }
}

fn put_job(page: &mut Page, job: &CronJobRow) {
    let counters = [
        ("shard_cron_runs_total", job.runs),
        ("shard_cron_failures_total", job.failures),
        ("shard_cron_skipped_total", job.skipped),
        ("shard_cron_missed_total", job.missed_runs),
    ];
    for (name, value) in counters {
        page.put(name, &[&job.name], float(value));
    }
    if let Some(last) = job.last_run {
        page.put("shard_cron_last_run_timestamp_seconds", &[&job.name], unix_seconds(last));
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn mailboxes(page: &mut Page, s: &Snapshot) {
    let sweep = &s.sweep;
    page.put("ergo_mailbox_latency_max_seconds", &[], seconds(sweep.latency_max_ns));
    page.put("ergo_mailbox_latency_processes", &[], float(sweep.latency_processes));
    put_spread(page, "ergo_mailbox_latency_distribution", &LATENCY_RANGES, &sweep.latency);
    put_top(page, s, "ergo_mailbox_latency_top_seconds", &sweep.latency_top, seconds);
    page.put("ergo_mailbox_depth_max", &[], float(sweep.depth_max));
    put_spread(page, "ergo_mailbox_depth_distribution", &DEPTH_RANGES, &sweep.depth);
    put_top(page, s, "ergo_mailbox_depth_top", &sweep.depth_top, float);
}

fn activity(page: &mut Page, s: &Snapshot) {
    let (c, sweep) = (&s.counters, &s.sweep);
    page.put("ergo_process_messages_in", &[], float(c.messages_in));
    page.put("ergo_process_messages_out", &[], float(c.messages_out));
    page.put("ergo_process_running_time_seconds", &[], seconds(c.running_ns));
    page.put("ergo_process_wakeups", &[], float(c.wakeups));
    page.put("shard_mailbox_waited_seconds_total", &[], seconds(c.waited_ns));
    put_top(page, s, "ergo_process_messages_in_top", &sweep.messages_in_top, float);
    put_top(page, s, "ergo_process_messages_out_top", &sweep.messages_out_top, float);
    put_top(page, s, "ergo_process_wakeups_top", &sweep.wakeups_top, float);
    put_top(page, s, "ergo_process_drains_top", &sweep.drains_top, value_of);
    page.put("ergo_process_utilization_max", &[], sweep.utilization_max);
    put_spread(page, "ergo_process_utilization_distribution", &UTILIZATION_RANGES, &sweep.utilization);
    put_top(page, s, "ergo_process_utilization_top", &sweep.utilization_top, value_of);
    page.put("ergo_process_init_time_max_seconds", &[], seconds(sweep.init_max_ns));
    put_top(page, s, "ergo_process_init_time_top_seconds", &sweep.init_top, seconds);
    put_top(page, s, "ergo_process_liveness_bottom", &sweep.liveness_bottom, |key| value_of(u64::MAX - key));
}

fn put_spread(page: &mut Page, name: &'static str, ranges: &[&str], spread: &Spread) {
    for (range, count) in ranges.iter().zip(spread.counts()) {
        page.put(name, &[range], float(*count));
    }
}

fn put_top(page: &mut Page, s: &Snapshot, name: &'static str, list: &[TopEntry], value: fn(u64) -> f64) {
    for entry in list {
        let pid = pid::short(s.identity.crc, entry.id);
        page.put(name, &[&pid, &entry.name, &entry.application, entry.behavior], value(entry.key));
    }
}

fn put_shard(page: &mut Page, row: &ShardRow) {
    let id = row.id.to_string();
    let cpu = row.cpu.map(|cpu| cpu.to_string()).unwrap_or_default();
    page.put("shard_info", &[&id, &cpu, "worker"], 1.0);
    page.put("shard_heartbeat_age_seconds", &[&id], seconds(row.heartbeat_age_ns));
    let current_ns = row.current.as_ref().map_or(0, |current| current.since_ns);
    page.put("shard_current_callback_seconds", &[&id], seconds(current_ns));
    // The idle time is not exported: a difference of two readings can step back, which reads as a restart.
    page.put("shard_time_seconds_total", &[&id, "run"], seconds(row.busy_ns));
    page.put("shard_ring_messages_total", &[&id, "in"], float(row.ring_messages_in));
    page.put("shard_ring_messages_total", &[&id, "out"], float(row.ring_messages_out));
    let plain = [
        ("shard_loop_iterations_total", row.turns),
        ("shard_run_queue", row.run_queue),
        ("shard_processes", row.processes),
        ("shard_timers", row.timers),
        ("shard_inbox_depth", row.inbox_depth),
        ("shard_control_lane_depth", row.control_depth),
        ("shard_ring_depth_max", row.ring_depth),
        ("shard_ring_full_total", row.ring_full),
        ("shard_ring_overflow_total", row.spills),
        ("shard_ring_overflow_depth", row.spilled),
        ("shard_ring_wakeups_total", row.wakes),
        ("shard_late_replies_total", row.late_replies),
        ("shard_dead_letters_total", row.dead_letters),
        ("shard_policy_dropped_total", row.policy_dropped),
        ("shard_mailbox_refused_total", row.mailbox_refused),
        ("shard_mailbox_lost_total", row.mailbox_lost),
        ("shard_interrupted_total", row.interrupted),
        ("shard_unhandled_total", row.unhandled),
        ("shard_panics_total", row.panics),
        ("shard_inbox_refused_total", row.inbox_refused),
        ("shard_ring_refused_total", row.ring_refused),
        ("shard_mailbox_bytes", row.queued_bytes),
        ("shard_over_budget_total", row.over_budget),
        ("shard_event_dropped_total", row.events_lost),
    ];
    for (name, value) in plain {
        page.put(name, &[&id], float(value));
    }
}

fn put_upkeep(page: &mut Page, row: &ShardRow) {
    let id = row.id.to_string();
    let plain = [
        ("shard_activations_total", row.activations),
        ("shard_parks_total", row.parks),
        ("shard_rescued_total", row.rescued),
        ("shard_nudged_total", row.nudged),
        ("shard_waiters", row.waiters),
        ("shard_links", row.links),
        ("shard_inbox_messages_total", row.inbox_messages),
        ("shard_posted_total", row.posted),
        ("shard_terminate_cut_total", row.terminate_cut),
        ("shard_traces_held", row.traces_held),
        ("shard_traces_dropped_total", row.traces_dropped),
    ];
    for (name, value) in plain {
        page.put(name, &[&id], float(value));
    }
    page.put("shard_arena_bytes", &[&id, "envelopes"], float(row.envelope_bytes));
    page.put("shard_arena_bytes", &[&id, "futures"], float(row.future_bytes));
}

fn put_stalls(page: &mut Page, row: &ShardRow) {
    let id = row.id.to_string();
    for (over, below) in STALLS_OVER {
        let count = row.stalls.iter().skip(below).sum();
        page.put("shard_stalls_total", &[&id, over], float(count));
    }
    let bounds = STALL_BOUNDS_NS.map(seconds);
    page.put_histogram("shard_stall_seconds", &[&id], &bounds, &row.stalls, seconds(row.stalled_ns));
}

fn put_io(page: &mut Page, row: &ShardRow) {
    let (id, io) = (row.id.to_string(), &row.io);
    let plain = [
        ("shard_io_tasks", io.tasks),
        ("shard_io_descriptors", io.descriptors),
        ("shard_io_opened_total", io.opened),
        ("shard_io_closed_total", io.closed),
        ("shard_io_failed_total", io.failed),
        ("shard_io_refused_total", io.refused),
        ("shard_io_held_total", io.held),
        ("shard_io_dropped_total", io.dropped),
        ("shard_io_requests_total", io.requests),
    ];
    for (name, value) in plain {
        page.put(name, &[&id], float(value));
    }
    let failed =
        [("shed", io.shed), ("unanswered", io.unanswered), ("abandoned", io.abandoned), ("cut", io.cut)];
    for (why, value) in failed {
        page.put("shard_io_requests_failed_total", &[&id, why], float(value));
    }
    page.put("shard_io_bytes_total", &[&id, "in"], float(io.bytes_in));
    page.put("shard_io_bytes_total", &[&id, "out"], float(io.bytes_out));
}

fn own(page: &mut Page, s: &Snapshot, tally: &Tally) {
    let version = &s.identity.version;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    page.put("shard_build_info", &[&version.release, &version.commit, std::env::consts::ARCH, profile], 1.0);
    let wall = unix_seconds(s.taken_wall);
    page.put("shard_start_time_seconds", &[], wall - seconds(s.identity.uptime_ns));
    page.put("shard_diag_rows", &[], float(s.sweep.rows));
    page.put("shard_diag_collect_seconds", &[], s.took.as_secs_f64());
    page.put("shard_diag_last_collect_timestamp_seconds", &[], wall);
    for (event, first, second, count) in tally.read() {
        match event {
            Event::Scrape => page.put("shard_diag_scrapes_total", &[first, second], float(count)),
            Event::Refused => page.put("shard_diag_refused_total", &[first], float(count)),
            Event::ToolCall => page.put("shard_diag_tool_calls_total", &[first, second], float(count)),
        }
    }
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
