//! The single list of metric families: name, type, unit, labels, help.
//!
//! Whoever exports, documents or graphs a metric takes it from here. Invariants: M1 `ergo_*` names, labels and units
//! are those of Ergo's exporter. M2 a family is a counter only if its name ends in `_total`; six `ergo_*_total`
//! families are gauges, because what they count goes down too. M3 a histogram's bounds are the ones its shards count
//! by. Every family also has the constant label `node`.

/// Whether a value may go down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Never goes down while the node lives.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts by upper bound, with their sum.
    Histogram,
}

/// One family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Name as exported.
    pub name: &'static str,
    /// Declared type.
    pub kind: Kind,
    /// Unit of the value; empty if it is a plain number.
    pub unit: &'static str,
    /// Labels besides `node`, in order.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

const fn family(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind, unit, labels, help }
}

const PROCESS: &[&str] = &["pid", "name", "application", "behavior"];
const PEER: &[&str] = &["remote_node"];
const SHARD: &[&str] = &["shard"];
const JOB: &[&str] = &["job"];
const NONE: &[&str] = &[];

/// Every family this crate exports.
pub const FAMILIES: &[Family] = &[
    family("ergo_node_uptime_seconds", Kind::Gauge, "seconds", NONE, "Seconds since the node started."),
    family("ergo_processes_total", Kind::Gauge, "", NONE, "Processes in the table, all states."),
    family(
        "ergo_processes_running",
        Kind::Gauge,
        "",
        NONE,
        "Processes in a handler, those suspended in a call excluded.",
    ),
    family(
        "ergo_processes_zombie",
        Kind::Gauge,
        "",
        NONE,
        "Processes killed whose handler has not returned.",
    ),
    family("ergo_processes_spawned_total", Kind::Counter, "", NONE, "Successful spawns."),
    family("ergo_processes_spawn_failed_total", Kind::Counter, "", NONE, "Failed spawns."),
    family("ergo_processes_terminated_total", Kind::Counter, "", NONE, "Terminated processes."),
    family("ergo_applications_total", Kind::Gauge, "", NONE, "Loaded applications."),
    family("ergo_applications_running", Kind::Gauge, "", NONE, "Running applications."),
    family("ergo_registered_names_total", Kind::Gauge, "", NONE, "Registered process names."),
    family("ergo_registered_aliases_total", Kind::Gauge, "", NONE, "Live aliases."),
    family("ergo_registered_events_total", Kind::Gauge, "", NONE, "Registered events."),
    family("ergo_memory_used_bytes", Kind::Gauge, "bytes", NONE, "Resident memory of the OS process."),
    family(
        "ergo_memory_alloc_bytes",
        Kind::Gauge,
        "bytes",
        NONE,
        "Live bytes of the allocator; resident memory that no file backs where the allocator does not count.",
    ),
    family("ergo_cpu_user_seconds", Kind::Gauge, "seconds", NONE, "User CPU time of the OS process."),
    family("ergo_cpu_system_seconds", Kind::Gauge, "seconds", NONE, "System CPU time of the OS process."),
    family("ergo_cpu_cores", Kind::Gauge, "", NONE, "CPUs the OS process may use."),
    family("ergo_send_errors_local_total", Kind::Counter, "", NONE, "Sends to a local target that failed."),
    family("ergo_send_errors_remote_total", Kind::Counter, "", NONE, "Sends to a remote target that failed."),
    family("ergo_call_errors_local_total", Kind::Counter, "", NONE, "Calls to a local target that failed."),
    family("ergo_call_errors_remote_total", Kind::Counter, "", NONE, "Calls to a remote target that failed."),
    family("ergo_log_messages_total", Kind::Counter, "", &["level"], "Log records by level."),
    family("ergo_events_published_total", Kind::Counter, "", NONE, "Publishes of local producers."),
    family("ergo_events_received_total", Kind::Counter, "", NONE, "Event messages that came from peers."),
    family("ergo_events_local_sent_total", Kind::Counter, "", NONE, "Event deliveries to local subscribers."),
    family("ergo_events_remote_sent_total", Kind::Counter, "", NONE, "Event messages to peers."),
    family(
        "ergo_event_subscribers_max",
        Kind::Gauge,
        "",
        NONE,
        "Largest number of subscribers of any event.",
    ),
    family("ergo_event_utilization", Kind::Gauge, "", &["state"], "Events by utilization state."),
    family(
        "ergo_event_subscribers_top",
        Kind::Gauge,
        "",
        &["event", "producer"],
        "Events with the most subscribers.",
    ),
    family(
        "ergo_event_published_top",
        Kind::Gauge,
        "",
        &["event", "producer"],
        "Events with the most publishes.",
    ),
    family(
        "ergo_event_local_sent_top",
        Kind::Gauge,
        "",
        &["event", "producer"],
        "Events with the most local deliveries.",
    ),
    family(
        "ergo_event_remote_sent_top",
        Kind::Gauge,
        "",
        &["event", "producer"],
        "Events with the most messages to peers.",
    ),
    family("ergo_connected_nodes_total", Kind::Gauge, "", NONE, "Peers connected now."),
    family("ergo_connections_established_total", Kind::Counter, "", NONE, "Peers ever connected."),
    family("ergo_connections_lost_total", Kind::Counter, "", NONE, "Peers ever lost."),
    family(
        "ergo_acceptor_handshake_errors_total",
        Kind::Counter,
        "",
        &["acceptor"],
        "Failed incoming handshakes by listener.",
    ),
    family(
        "ergo_remote_node_uptime_seconds",
        Kind::Gauge,
        "seconds",
        PEER,
        "Seconds since the peer started.",
    ),
    family("ergo_remote_messages_in_total", Kind::Counter, "", PEER, "Messages received from the peer."),
    family("ergo_remote_messages_out_total", Kind::Counter, "", PEER, "Messages sent to the peer."),
    family("ergo_remote_bytes_in_total", Kind::Counter, "bytes", PEER, "Bytes received from the peer."),
    family("ergo_remote_bytes_out_total", Kind::Counter, "bytes", PEER, "Bytes sent to the peer."),
    family("ergo_remote_fragments_sent_total", Kind::Counter, "", PEER, "Fragments sent."),
    family("ergo_remote_fragments_received_total", Kind::Counter, "", PEER, "Fragments received."),
    family(
        "ergo_remote_fragment_messages_sent_total",
        Kind::Counter,
        "",
        PEER,
        "Messages that had to be fragmented.",
    ),
    family(
        "ergo_remote_fragment_messages_received_total",
        Kind::Counter,
        "",
        PEER,
        "Fragmented messages put together.",
    ),
    family(
        "ergo_remote_fragment_timeouts_total",
        Kind::Counter,
        "",
        PEER,
        "Fragmented messages that never were complete.",
    ),
    family("ergo_remote_compressed_sent_total", Kind::Counter, "", PEER, "Messages compressed."),
    family(
        "ergo_remote_compressed_bytes_sent_total",
        Kind::Counter,
        "bytes",
        PEER,
        "Bytes sent after compression.",
    ),
    family(
        "ergo_remote_compressed_orig_bytes_sent_total",
        Kind::Counter,
        "bytes",
        PEER,
        "Bytes before compression.",
    ),
    family("ergo_remote_decompressed_recv_total", Kind::Counter, "", PEER, "Messages decompressed."),
    family(
        "ergo_remote_decompressed_bytes_recv_total",
        Kind::Counter,
        "bytes",
        PEER,
        "Bytes before decompression.",
    ),
    family("ergo_remote_decompressed_orig_recv_total", Kind::Counter, "", PEER, "Bytes after decompression."),
    family(
        "ergo_mailbox_latency_max_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Age of the oldest waiting message of the node.",
    ),
    family("ergo_mailbox_latency_processes", Kind::Gauge, "", NONE, "Processes with a waiting message."),
    family(
        "ergo_mailbox_latency_distribution",
        Kind::Gauge,
        "",
        &["range"],
        "Processes by age of their oldest waiting message.",
    ),
    family(
        "ergo_mailbox_latency_top_seconds",
        Kind::Gauge,
        "seconds",
        PROCESS,
        "Processes with the oldest waiting message.",
    ),
    family("ergo_mailbox_depth_max", Kind::Gauge, "", NONE, "Deepest mailbox."),
    family(
        "ergo_mailbox_depth_distribution",
        Kind::Gauge,
        "",
        &["range"],
        "Processes by mailbox depth, empty mailboxes left out.",
    ),
    family("ergo_mailbox_depth_top", Kind::Gauge, "", PROCESS, "Processes with the deepest mailbox."),
    family(
        "ergo_process_messages_in",
        Kind::Gauge,
        "",
        NONE,
        "Messages into mailboxes, ended processes included.",
    ),
    family(
        "ergo_process_messages_out",
        Kind::Gauge,
        "",
        NONE,
        "Messages sent by processes, ended processes included.",
    ),
    family(
        "ergo_process_running_time_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Handler time, ended processes included.",
    ),
    family("ergo_process_wakeups", Kind::Gauge, "", NONE, "Wake-ups, ended processes included."),
    family(
        "ergo_process_messages_in_top",
        Kind::Gauge,
        "",
        PROCESS,
        "Processes that received the most messages.",
    ),
    family(
        "ergo_process_messages_out_top",
        Kind::Gauge,
        "",
        PROCESS,
        "Processes that sent the most messages.",
    ),
    family("ergo_process_wakeups_top", Kind::Gauge, "", PROCESS, "Processes that woke most often."),
    family(
        "ergo_process_drains_top",
        Kind::Gauge,
        "",
        PROCESS,
        "Processes with the most messages per wake-up.",
    ),
    family(
        "ergo_process_utilization_max",
        Kind::Gauge,
        "",
        NONE,
        "Largest share of its life a process spent in handlers.",
    ),
    family(
        "ergo_process_utilization_distribution",
        Kind::Gauge,
        "",
        &["range"],
        "Processes by share of their life in handlers.",
    ),
    family(
        "ergo_process_utilization_top",
        Kind::Gauge,
        "",
        PROCESS,
        "Processes with the largest share of their life in handlers.",
    ),
    family(
        "ergo_process_init_time_max_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Longest init of a live process.",
    ),
    family(
        "ergo_process_init_time_top_seconds",
        Kind::Gauge,
        "seconds",
        PROCESS,
        "Processes with the longest init.",
    ),
    family(
        "ergo_process_liveness_bottom",
        Kind::Gauge,
        "",
        PROCESS,
        "Processes with the lowest liveness score.",
    ),
    family(
        "shard_info",
        Kind::Gauge,
        "",
        &["shard", "cpu", "role"],
        "One per shard; cpu is empty where the shard is not pinned.",
    ),
    family(
        "shard_heartbeat_age_seconds",
        Kind::Gauge,
        "seconds",
        SHARD,
        "Age of the last sign of life of the shard; grows while it is stuck.",
    ),
    family(
        "shard_current_callback_seconds",
        Kind::Gauge,
        "seconds",
        SHARD,
        "Time in the handler in progress; zero if none runs.",
    ),
    family(
        "shard_time_seconds_total",
        Kind::Counter,
        "seconds",
        &["shard", "state"],
        "Time of the shard by what it did.",
    ),
    family("shard_loop_iterations_total", Kind::Counter, "", SHARD, "Turns of the loop."),
    family("shard_run_queue", Kind::Gauge, "", SHARD, "Ready processes."),
    family("shard_processes", Kind::Gauge, "", SHARD, "Live processes."),
    family("shard_processes_wait_response", Kind::Gauge, "", NONE, "Processes suspended in a call."),
    family("shard_timers", Kind::Gauge, "", SHARD, "Pending timers."),
    family(
        "shard_inbox_depth",
        Kind::Gauge,
        "",
        SHARD,
        "Messages waiting in the inbox for senders outside shards.",
    ),
    family("shard_control_lane_depth", Kind::Gauge, "", SHARD, "Control requests waiting."),
    family("shard_ring_depth_max", Kind::Gauge, "", SHARD, "Messages in the fullest inbound ring."),
    family("shard_ring_messages_total", Kind::Counter, "", &["shard", "direction"], "Messages over rings."),
    family("shard_ring_full_total", Kind::Counter, "", SHARD, "Pushes that found a ring full."),
    family("shard_ring_overflow_total", Kind::Counter, "", SHARD, "Messages parked because a ring was full."),
    family("shard_ring_overflow_depth", Kind::Gauge, "", SHARD, "Messages parked now."),
    family("shard_ring_wakeups_total", Kind::Counter, "", SHARD, "Wake-ups sent to other shards."),
    family(
        "shard_late_replies_total",
        Kind::Counter,
        "",
        SHARD,
        "Replies that came after their call had given up.",
    ),
    family("shard_dead_letters_total", Kind::Counter, "", SHARD, "Messages accepted and then lost."),
    family(
        "shard_policy_dropped_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages dropped by the policy of a full mailbox; shard outside: sent by threads that are no shard.",
    ),
    family(
        "shard_mailbox_refused_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages of other nodes refused by full mailboxes or ending processes.",
    ),
    family(
        "shard_mailbox_lost_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages that were queued at a process when it ended.",
    ),
    family(
        "shard_interrupted_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages whose handler was cut off by a panic, a kill or an exit.",
    ),
    family(
        "shard_unhandled_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages for which the target has no handler.",
    ),
    family("shard_panics_total", Kind::Counter, "", SHARD, "Panics of actors that were caught."),
    family(
        "shard_inbox_refused_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages of threads that are no shard refused because the inbox was full.",
    ),
    family(
        "shard_ring_refused_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages refused because a ring and its overflow were full.",
    ),
    family(
        "shard_mailbox_bytes",
        Kind::Gauge,
        "bytes",
        SHARD,
        "Memory of messages that are queued or spilled: what counts against the memory budget of the shard.",
    ),
    family(
        "shard_over_budget_total",
        Kind::Counter,
        "",
        SHARD,
        "Messages refused because the memory budget of the shard was used up.",
    ),
    family(
        "shard_event_dropped_total",
        Kind::Counter,
        "",
        SHARD,
        "Publications that did not reach a subscriber: its mailbox, or the lane to its shard, was full.",
    ),
    family(
        "shard_stalls_total",
        Kind::Counter,
        "",
        &["shard", "over"],
        "Handlers that held the shard for longer than `over`, counted when they return.",
    ),
    family(
        "shard_stall_seconds",
        Kind::Histogram,
        "seconds",
        SHARD,
        "How long handlers held the shard that did so for longer than 100 ms.",
    ),
    family(
        "shard_log_lost_total",
        Kind::Counter,
        "",
        &["level"],
        "Log records that found no room in the queue to the log thread, by level.",
    ),
    family(
        "shard_log_dropped_total",
        Kind::Counter,
        "",
        &["sink"],
        "Log records that a logger did not take, since it was added; the first 256 loggers by name.",
    ),
    family("shard_cron_jobs", Kind::Gauge, "", &["state"], "Cron jobs, enabled or disabled."),
    family(
        "shard_cron_next_run_timestamp_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Unix time at which the next cron job runs; absent while none will.",
    ),
    family(
        "shard_cron_runs_total",
        Kind::Counter,
        "",
        JOB,
        "Runs of a cron job that began, since it was added; the first 256 jobs by name.",
    ),
    family(
        "shard_cron_failures_total",
        Kind::Counter,
        "",
        JOB,
        "Runs of a cron job that failed, since it was added.",
    ),
    family(
        "shard_cron_skipped_total",
        Kind::Counter,
        "",
        JOB,
        "Runs of a cron job left out because the process of the last run still lived.",
    ),
    family(
        "shard_cron_missed_total",
        Kind::Counter,
        "",
        JOB,
        "Runs of a cron job whose time had passed, made up for or not.",
    ),
    family(
        "shard_cron_last_run_timestamp_seconds",
        Kind::Gauge,
        "seconds",
        JOB,
        "Unix time at which a cron job ran last; absent before it ever did.",
    ),
    family("shard_io_tasks", Kind::Gauge, "", SHARD, "Tasks that read and write for I/O processes."),
    family("shard_io_descriptors", Kind::Gauge, "", SHARD, "Descriptors of I/O processes."),
    family(
        "shard_io_opened_total",
        Kind::Counter,
        "",
        SHARD,
        "Connections and programs that I/O processes opened.",
    ),
    family(
        "shard_io_closed_total",
        Kind::Counter,
        "",
        SHARD,
        "Connections and programs of I/O processes that ended, failed ones included.",
    ),
    family(
        "shard_io_failed_total",
        Kind::Counter,
        "",
        SHARD,
        "Connections and programs that ended by a failure of the peer, of the system or of a limit.",
    ),
    family(
        "shard_io_refused_total",
        Kind::Counter,
        "",
        SHARD,
        "Connections refused because their server was full or the system had no more descriptors.",
    ),
    family(
        "shard_io_bytes_total",
        Kind::Counter,
        "bytes",
        &["shard", "direction"],
        "Bytes that I/O processes read and wrote.",
    ),
    family(
        "shard_io_held_total",
        Kind::Counter,
        "",
        SHARD,
        "Times that reading was held because what had been read was not handled yet.",
    ),
    family(
        "shard_io_requests_total",
        Kind::Counter,
        "",
        SHARD,
        "Requests that web servers answered, whatever the answer.",
    ),
    family(
        "shard_io_requests_failed_total",
        Kind::Counter,
        "",
        &["shard", "why"],
        "Requests shed by a web server's bound, unanswered by its workers, abandoned by the client, or cut by its end.",
    ),
    family(
        "shard_handshake_errors_total",
        Kind::Counter,
        "",
        &["acceptor", "reason"],
        "Failed incoming handshakes by listener and reason.",
    ),
    family("shard_net_links", Kind::Gauge, "", PEER, "Data links alive."),
    family("shard_net_links_configured", Kind::Gauge, "", PEER, "Data links wanted."),
    family("shard_net_reconnects_total", Kind::Counter, "", PEER, "Data links dialled again."),
    family(
        "shard_net_outstanding_bytes",
        Kind::Gauge,
        "bytes",
        PEER,
        "Bytes waiting to be written, all links of the peer.",
    ),
    family(
        "shard_net_outbox_full_total",
        Kind::Counter,
        "",
        PEER,
        "Messages refused because the outbox was full.",
    ),
    family(
        "shard_net_connection_age_seconds",
        Kind::Gauge,
        "seconds",
        PEER,
        "Seconds since the session began.",
    ),
    family("shard_net_rtt_seconds", Kind::Gauge, "seconds", PEER, "Smoothed round trip of the control link."),
    family("shard_net_clock_offset_seconds", Kind::Gauge, "seconds", PEER, "Clock of the peer minus ours."),
    family(
        "shard_build_info",
        Kind::Gauge,
        "",
        &["version", "revision", "target", "profile"],
        "Build of the node.",
    ),
    family("shard_start_time_seconds", Kind::Gauge, "seconds", NONE, "Unix time at which the node started."),
    family("shard_threads", Kind::Gauge, "", NONE, "OS threads."),
    family("shard_open_files", Kind::Gauge, "", NONE, "Open files."),
    family("shard_diag_rows", Kind::Gauge, "", NONE, "Process rows of the last pass."),
    family("shard_diag_collect_seconds", Kind::Gauge, "seconds", NONE, "Duration of the last pass."),
    family(
        "shard_diag_last_collect_timestamp_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Unix time of the last pass.",
    ),
    family(
        "shard_diag_scrapes_total",
        Kind::Counter,
        "",
        &["path", "code"],
        "Answers of this listener by path and status.",
    ),
    family(
        "shard_diag_refused_total",
        Kind::Counter,
        "",
        &["reason"],
        "Connections and requests refused by reason.",
    ),
    family("shard_diag_tool_calls_total", Kind::Counter, "", &["tool", "outcome"], "Tool calls by outcome."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ergo_has_73_families_of_which_30_count() {
        let ergo: Vec<_> = FAMILIES.iter().filter(|family| family.name.starts_with("ergo_")).collect();
        assert_eq!(ergo.len(), 73);
        assert_eq!(ergo.iter().filter(|family| family.kind == Kind::Counter).count(), 30);
        let gauges: BTreeSet<_> = ergo
            .iter()
            .filter(|family| family.kind == Kind::Gauge && family.name.ends_with("_total"))
            .map(|family| family.name)
            .collect();
        let expected = [
            "ergo_applications_total",
            "ergo_connected_nodes_total",
            "ergo_processes_total",
            "ergo_registered_aliases_total",
            "ergo_registered_events_total",
            "ergo_registered_names_total",
        ];
        assert_eq!(gauges, BTreeSet::from(expected));
    }

    #[test]
    fn names_are_unique_and_only_counters_end_in_total() {
        let names: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for family in FAMILIES {
            let ends_in_total = family.name.ends_with("_total");
            match family.kind {
                Kind::Counter => assert!(ends_in_total, "{}", family.name),
                Kind::Histogram => assert!(!ends_in_total, "{}", family.name),
                Kind::Gauge => {}
            }
            assert!(!family.help.is_empty() && !family.labels.contains(&"node"), "{}", family.name);
        }
    }
}
