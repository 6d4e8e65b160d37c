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

/// A counter of a plain number.
const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    family(name, Kind::Counter, "", labels, help)
}

/// A gauge of a plain number.
const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    family(name, Kind::Gauge, "", labels, help)
}

const PROCESS: &[&str] = &["pid", "name", "application", "behavior"];
const PEER: &[&str] = &["remote_node"];
const SHARD: &[&str] = &["shard"];
const JOB: &[&str] = &["job"];
const NONE: &[&str] = &[];

/// Every family this crate exports.
pub const FAMILIES: &[Family] = &[
    family("ergo_node_uptime_seconds", Kind::Gauge, "seconds", NONE, "Seconds since the node started."),
    gauge("ergo_processes_total", NONE, "Processes in the table, all states."),
    gauge("ergo_processes_running", NONE, "Processes in a handler, those suspended in a call excluded."),
    gauge("ergo_processes_zombie", NONE, "Processes killed whose handler has not returned."),
    counter("ergo_processes_spawned_total", NONE, "Successful spawns."),
    counter("ergo_processes_spawn_failed_total", NONE, "Failed spawns."),
    counter("ergo_processes_terminated_total", NONE, "Terminated processes."),
    gauge("ergo_applications_total", NONE, "Loaded applications."),
    gauge("ergo_applications_running", NONE, "Running applications."),
    gauge("ergo_registered_names_total", NONE, "Registered process names."),
    gauge("ergo_registered_aliases_total", NONE, "Live aliases."),
    gauge("ergo_registered_events_total", NONE, "Registered events."),
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
    gauge("ergo_cpu_cores", NONE, "CPUs the OS process may use."),
    counter("ergo_send_errors_local_total", NONE, "Sends to a local target that failed."),
    counter("ergo_send_errors_remote_total", NONE, "Sends to a remote target that failed."),
    counter("ergo_call_errors_local_total", NONE, "Calls to a local target that failed."),
    counter("ergo_call_errors_remote_total", NONE, "Calls to a remote target that failed."),
    counter("ergo_log_messages_total", &["level"], "Log records by level."),
    counter("ergo_events_published_total", NONE, "Publishes of local producers."),
    counter("ergo_events_received_total", NONE, "Event messages that came from peers."),
    counter("ergo_events_local_sent_total", NONE, "Event deliveries to local subscribers."),
    counter("ergo_events_remote_sent_total", NONE, "Event messages to peers."),
    gauge("ergo_event_subscribers_max", NONE, "Largest number of subscribers of any event."),
    gauge("ergo_event_utilization", &["state"], "Events by utilization state."),
    gauge("ergo_event_subscribers_top", &["event", "producer"], "Events with the most subscribers."),
    gauge("ergo_event_published_top", &["event", "producer"], "Events with the most publishes."),
    gauge("ergo_event_local_sent_top", &["event", "producer"], "Events with the most local deliveries."),
    gauge("ergo_event_remote_sent_top", &["event", "producer"], "Events with the most messages to peers."),
    gauge("ergo_connected_nodes_total", NONE, "Peers connected now."),
    counter("ergo_connections_established_total", NONE, "Peers ever connected."),
    counter("ergo_connections_lost_total", NONE, "Peers ever lost."),
    counter("ergo_acceptor_handshake_errors_total", &["acceptor"], "Failed incoming handshakes by listener."),
    family(
        "ergo_remote_node_uptime_seconds",
        Kind::Gauge,
        "seconds",
        PEER,
        "Seconds since the peer started.",
    ),
    counter("ergo_remote_messages_in_total", PEER, "Messages received from the peer."),
    counter("ergo_remote_messages_out_total", PEER, "Messages sent to the peer."),
    family("ergo_remote_bytes_in_total", Kind::Counter, "bytes", PEER, "Bytes received from the peer."),
    family("ergo_remote_bytes_out_total", Kind::Counter, "bytes", PEER, "Bytes sent to the peer."),
    counter("ergo_remote_fragments_sent_total", PEER, "Fragments sent."),
    counter("ergo_remote_fragments_received_total", PEER, "Fragments received."),
    counter("ergo_remote_fragment_messages_sent_total", PEER, "Messages that had to be fragmented."),
    counter("ergo_remote_fragment_messages_received_total", PEER, "Fragmented messages put together."),
    counter("ergo_remote_fragment_timeouts_total", PEER, "Fragmented messages that never were complete."),
    counter("ergo_remote_compressed_sent_total", PEER, "Messages compressed."),
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
    counter("ergo_remote_decompressed_recv_total", PEER, "Messages decompressed."),
    family(
        "ergo_remote_decompressed_bytes_recv_total",
        Kind::Counter,
        "bytes",
        PEER,
        "Bytes before decompression.",
    ),
    counter("ergo_remote_decompressed_orig_recv_total", PEER, "Bytes after decompression."),
    family(
        "ergo_mailbox_latency_max_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Age of the oldest waiting message of the node.",
    ),
    gauge("ergo_mailbox_latency_processes", NONE, "Processes with a waiting message."),
    gauge(
        "ergo_mailbox_latency_distribution",
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
    gauge("ergo_mailbox_depth_max", NONE, "Deepest mailbox."),
    gauge(
        "ergo_mailbox_depth_distribution",
        &["range"],
        "Processes by mailbox depth, empty mailboxes left out.",
    ),
    gauge("ergo_mailbox_depth_top", PROCESS, "Processes with the deepest mailbox."),
    gauge("ergo_process_messages_in", NONE, "Messages into mailboxes, ended processes included."),
    gauge("ergo_process_messages_out", NONE, "Messages sent by processes, ended processes included."),
    family(
        "ergo_process_running_time_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Handler time, ended processes included.",
    ),
    gauge("ergo_process_wakeups", NONE, "Wake-ups, ended processes included."),
    gauge("ergo_process_messages_in_top", PROCESS, "Processes that received the most messages."),
    gauge("ergo_process_messages_out_top", PROCESS, "Processes that sent the most messages."),
    gauge("ergo_process_wakeups_top", PROCESS, "Processes that woke most often."),
    gauge("ergo_process_drains_top", PROCESS, "Processes with the most messages per wake-up."),
    gauge("ergo_process_utilization_max", NONE, "Largest share of its life a process spent in handlers."),
    gauge(
        "ergo_process_utilization_distribution",
        &["range"],
        "Processes by share of their life in handlers.",
    ),
    gauge(
        "ergo_process_utilization_top",
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
    gauge("ergo_process_liveness_bottom", PROCESS, "Processes with the lowest liveness score."),
    gauge(
        "shard_info",
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
    counter("shard_loop_iterations_total", SHARD, "Turns of the loop."),
    gauge("shard_run_queue", SHARD, "Ready processes."),
    gauge("shard_processes", SHARD, "Live processes."),
    gauge("shard_processes_wait_response", NONE, "Processes suspended in a call."),
    gauge("shard_timers", SHARD, "Pending timers."),
    gauge("shard_inbox_depth", SHARD, "Messages waiting in the inbox for senders outside shards."),
    gauge("shard_control_lane_depth", SHARD, "Control requests waiting."),
    gauge("shard_ring_depth_max", SHARD, "Messages in the fullest inbound ring."),
    counter("shard_ring_messages_total", &["shard", "direction"], "Messages over rings."),
    counter("shard_ring_full_total", SHARD, "Pushes that found a ring full."),
    counter("shard_ring_overflow_total", SHARD, "Messages parked because a ring was full."),
    gauge("shard_ring_overflow_depth", SHARD, "Messages parked now."),
    counter("shard_ring_wakeups_total", SHARD, "Wake-ups sent to other shards."),
    counter("shard_late_replies_total", SHARD, "Replies that came after their call had given up."),
    counter("shard_dead_letters_total", SHARD, "Messages accepted and then lost."),
    counter(
        "shard_policy_dropped_total",
        SHARD,
        "Messages dropped by the policy of a full mailbox; shard outside: sent by threads that are no shard.",
    ),
    counter(
        "shard_mailbox_refused_total",
        SHARD,
        "Messages of other nodes refused by full mailboxes or ending processes.",
    ),
    counter("shard_mailbox_lost_total", SHARD, "Messages that were queued at a process when it ended."),
    counter(
        "shard_interrupted_total",
        SHARD,
        "Messages whose handler was cut off by a panic, a kill or an exit.",
    ),
    counter("shard_unhandled_total", SHARD, "Messages for which the target has no handler."),
    counter("shard_panics_total", SHARD, "Panics of actors that were caught."),
    counter(
        "shard_inbox_refused_total",
        SHARD,
        "Messages of threads that are no shard refused because the inbox was full.",
    ),
    counter("shard_ring_refused_total", SHARD, "Messages refused because a ring and its overflow were full."),
    family(
        "shard_mailbox_bytes",
        Kind::Gauge,
        "bytes",
        SHARD,
        "Memory of messages that are queued or spilled: what counts against the memory budget of the shard.",
    ),
    counter(
        "shard_over_budget_total",
        SHARD,
        "Messages refused because the memory budget of the shard was used up.",
    ),
    counter(
        "shard_event_dropped_total",
        SHARD,
        "Publications that did not reach a subscriber: its mailbox, or the lane to its shard, was full.",
    ),
    counter("shard_activations_total", SHARD, "Activations of processes."),
    counter("shard_parks_total", SHARD, "Times the shard parked."),
    counter(
        "shard_rescued_total",
        SHARD,
        "Times that a shard had work and did not run until the control thread woke it.",
    ),
    counter("shard_nudged_total", SHARD, "Times that a signal had to end a wait of the shard."),
    gauge("shard_waiters", SHARD, "Calls and timers that wait."),
    gauge("shard_links", SHARD, "Data links that the shard owns."),
    counter("shard_inbox_messages_total", SHARD, "Items taken from the inbox for senders outside shards."),
    counter(
        "shard_posted_total",
        SHARD,
        "Messages of the runtime put into mailboxes: exits, downs, answers.",
    ),
    counter(
        "shard_terminate_cut_total",
        SHARD,
        "Terminate functions that awaited something and were cut off.",
    ),
    family(
        "shard_arena_bytes",
        Kind::Gauge,
        "bytes",
        &["shard", "kind"],
        "Memory that the shard keeps for envelopes and for futures of handlers.",
    ),
    gauge(
        "shard_traces_held",
        SHARD,
        "Messages of traces that entered at the shard and are not handled yet.",
    ),
    counter("shard_traces_dropped_total", SHARD, "Messages that went on without their trace."),
    counter(
        "shard_inbox_lost_total",
        NONE,
        "Orders of threads that are no shard lost to a full inbox, with nobody to tell.",
    ),
    family(
        "shard_mailbox_waited_seconds_total",
        Kind::Counter,
        "seconds",
        NONE,
        "Time that handled messages had waited in mailboxes, ended processes included.",
    ),
    counter(
        "shard_stalls_total",
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
    counter(
        "shard_log_lost_total",
        &["level"],
        "Log records that found no room in the queue to the log thread, by level.",
    ),
    counter(
        "shard_log_dropped_total",
        &["sink"],
        "Log records that a logger did not take, since it was added; the first 256 loggers by name.",
    ),
    gauge("shard_cron_jobs", &["state"], "Cron jobs, enabled or disabled."),
    family(
        "shard_cron_next_run_timestamp_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Unix time at which the next cron job runs; absent while none will.",
    ),
    counter(
        "shard_cron_runs_total",
        JOB,
        "Runs of a cron job that began, since it was added; the first 256 jobs by name.",
    ),
    counter("shard_cron_failures_total", JOB, "Runs of a cron job that failed, since it was added."),
    counter(
        "shard_cron_skipped_total",
        JOB,
        "Runs of a cron job left out because the process of the last run still lived.",
    ),
    counter("shard_cron_missed_total", JOB, "Runs of a cron job whose time had passed, made up for or not."),
    family(
        "shard_cron_last_run_timestamp_seconds",
        Kind::Gauge,
        "seconds",
        JOB,
        "Unix time at which a cron job ran last; absent before it ever did.",
    ),
    gauge("shard_io_tasks", SHARD, "Tasks that read and write for I/O processes."),
    gauge("shard_io_descriptors", SHARD, "Descriptors of I/O processes."),
    counter("shard_io_opened_total", SHARD, "Connections and programs that I/O processes opened."),
    counter(
        "shard_io_closed_total",
        SHARD,
        "Connections and programs of I/O processes that ended, failed ones included.",
    ),
    counter(
        "shard_io_failed_total",
        SHARD,
        "Connections and programs that ended by a failure of the peer, of the system or of a limit.",
    ),
    counter(
        "shard_io_refused_total",
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
    counter(
        "shard_io_held_total",
        SHARD,
        "Times that reading was held because what had been read was not handled yet.",
    ),
    counter(
        "shard_io_dropped_total",
        SHARD,
        "Datagrams dropped: too long, too many unhandled, refused by their receiver or the system.",
    ),
    counter("shard_io_requests_total", SHARD, "Requests that web servers answered, whatever the answer."),
    counter(
        "shard_io_requests_failed_total",
        &["shard", "why"],
        "Requests shed by a web server's bound, unanswered by its workers, abandoned by the client, or cut by its end.",
    ),
    counter(
        "shard_handshake_errors_total",
        &["acceptor", "reason"],
        "Failed incoming handshakes by listener and reason.",
    ),
    gauge("shard_net_links", PEER, "Data links alive."),
    gauge("shard_net_links_configured", PEER, "Data links wanted."),
    counter("shard_net_reconnects_total", PEER, "Data links dialled again."),
    family(
        "shard_net_outstanding_bytes",
        Kind::Gauge,
        "bytes",
        PEER,
        "Bytes waiting to be written, all links of the peer.",
    ),
    counter("shard_net_outbox_full_total", PEER, "Messages refused because an outbox was full."),
    family(
        "shard_net_connection_age_seconds",
        Kind::Gauge,
        "seconds",
        PEER,
        "Seconds since the session began.",
    ),
    family("shard_net_rtt_seconds", Kind::Gauge, "seconds", PEER, "Smoothed round trip of the control link."),
    family("shard_net_clock_offset_seconds", Kind::Gauge, "seconds", PEER, "Clock of the peer minus ours."),
    counter("shard_net_sessions_total", PEER, "Sessions with the peer that began."),
    gauge("shard_net_stalled_shards", PEER, "Shards of the peer that are stuck, as its last heartbeat said."),
    gauge(
        "shard_net_outboxes_full",
        PEER,
        "Data links whose outbox is full, or was and is still more than half full.",
    ),
    gauge(
        "shard_net_links_held",
        PEER,
        "Data links whose messages wait for the peer to take what was sent before.",
    ),
    gauge(
        "shard_net_late_messages",
        PEER,
        "Messages of other shards that wait for room at the owner of a link.",
    ),
    counter("shard_net_backpressure_total", PEER, "Times that a sender waited for room in an outbox."),
    counter(
        "shard_net_session_losses_total",
        &["remote_node", "outcome"],
        "Messages not confirmed when their session ended: failed ones did not arrive, of unknown ones nobody knows.",
    ),
    counter("shard_net_encode_errors_total", PEER, "Messages to the peer that could not be encoded."),
    counter(
        "shard_net_rejected_frames_total",
        &["remote_node", "reason"],
        "Received frames that were not taken: undecodable, of an unknown type, or relations that may not be.",
    ),
    counter(
        "shard_net_undelivered_total",
        &["remote_node", "reason"],
        "Received messages whose target was gone or whose time was up.",
    ),
    counter("shard_net_protocol_errors_total", PEER, "Links closed because the peer broke the protocol."),
    counter(
        "shard_net_duplicates_total",
        PEER,
        "Important messages that came again and were not delivered again.",
    ),
    counter(
        "shard_net_unconfirmed_total",
        PEER,
        "Important messages sent of which nothing was heard in time.",
    ),
    counter(
        "shard_net_late_acks_total",
        PEER,
        "Acknowledgements that came when nobody waited for them any more.",
    ),
    gauge(
        "shard_net_relations",
        &["remote_node", "direction"],
        "Links and monitors: out with targets there, in with targets here.",
    ),
    counter(
        "shard_net_events_total",
        &["remote_node", "direction"],
        "Publications sent to and received from the peer.",
    ),
    counter(
        "shard_net_events_missed_total",
        &["remote_node", "direction"],
        "Publications that subscribers there (out) or here (in) were told they miss.",
    ),
    counter(
        "shard_net_asks_total",
        &["remote_node", "outcome"],
        "Requests for processes and applications: sent to the peer; done and refused for it.",
    ),
    counter(
        "shard_net_spawns_unclaimed_total",
        PEER,
        "Processes started for the peer and ended because nobody there claimed them.",
    ),
    counter(
        "shard_net_traced_total",
        &["remote_node", "direction"],
        "Messages, calls, replies and asks that crossed with their trace.",
    ),
    counter(
        "shard_net_views_total",
        &["remote_node", "how"],
        "Messages handled as views: lent where they were received, or copied.",
    ),
    counter("shard_net_sessions_lost_total", &["reason"], "Sessions that ended, all peers."),
    counter(
        "shard_net_links_opened_total",
        &["side"],
        "Links of all peers that came up: accepted or dialled.",
    ),
    counter("shard_net_dial_errors_total", &["reason"], "Dials that failed."),
    counter(
        "shard_net_accept_failures_total",
        &["acceptor"],
        "Times that the system would not accept a connection.",
    ),
    counter(
        "shard_net_control_refused_total",
        NONE,
        "Control messages refused because the peer read too slowly.",
    ),
    counter(
        "shard_net_control_errors_total",
        NONE,
        "Control messages that broke the protocol, of peers and our own.",
    ),
    counter(
        "shard_net_name_timeouts_total",
        NONE,
        "Names of processes of other nodes asked for without an answer in time.",
    ),
    counter("shard_net_node_events_lost_total", NONE, "Events of the node that slow subscribers missed."),
    gauge("shard_build_info", &["version", "revision", "target", "profile"], "Build of the node."),
    family("shard_start_time_seconds", Kind::Gauge, "seconds", NONE, "Unix time at which the node started."),
    gauge("shard_threads", NONE, "OS threads."),
    gauge("shard_open_files", NONE, "Open files."),
    gauge("shard_diag_rows", NONE, "Process rows of the last pass."),
    family("shard_diag_collect_seconds", Kind::Gauge, "seconds", NONE, "Duration of the last pass."),
    family(
        "shard_diag_last_collect_timestamp_seconds",
        Kind::Gauge,
        "seconds",
        NONE,
        "Unix time of the last pass.",
    ),
    counter("shard_diag_scrapes_total", &["path", "code"], "Answers of this listener by path and status."),
    counter(
        "shard_diag_calls_total",
        &["direction"],
        "Questions of tools passed on to peers (out) and answered for them (in).",
    ),
    counter(
        "shard_diag_call_timeouts_total",
        NONE,
        "Questions passed on to peers without an answer in time.",
    ),
    counter("shard_diag_refused_total", &["reason"], "Connections and requests refused by reason."),
    counter("shard_diag_tool_calls_total", &["tool", "outcome"], "Tool calls by outcome."),
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
