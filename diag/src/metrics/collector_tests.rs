//! Each counter of the runtime is on the page, once.

use prometheus::{Encoder, TextEncoder};
use shard_runtime::{LinkCounters, ShardCounters};

use super::{Page, STALL_BOUNDS_NS, STALLS_OVER, put_io, put_shard, put_stalls, put_upkeep};
use crate::metrics::network::put_peers;
use crate::node_rows::{peer_counters, shard_counters};
use crate::source::{PeerRow, ShardRow};

/// First of the numbers that the counters of these tests have; nothing else on a page is as large.
const FIRST: u64 = 1001;

/// A record with a number of its own in each of the fields, and the names of these with their numbers. All fields must be
/// named, in order: whoever adds a counter to the runtime adds it here, and then it must be on the page.
macro_rules! numbered {
    ($record:ty, $but:expr; $($field:ident)*) => {{
        let mut record = <$record>::default();
        let mut named = Vec::new();
        $(
            record.$field = FIRST + named.len() as u64;
            named.push((stringify!($field), record.$field));
        )*
        let all = fields(&format!("{:?}", <$record>::default()));
        let known: Vec<_> = named.iter().map(|(name, _)| String::from(*name)).collect();
        assert_eq!(all[$but..], known, "fields of the runtime that this test does not know, or knows no more");
        (record, named)
    }};
}

/// The names of the fields in a record's debug text.
fn fields(debug: &str) -> Vec<String> {
    let parts: Vec<_> = debug.split(": ").collect();
    let before = parts.split_last().map_or(&[][..], |(_, before)| before);
    before.iter().filter_map(|part| part.rsplit(' ').next()).map(String::from).collect()
}

/// The samples of a page, as text.
fn lines(page: Page) -> Vec<String> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&page.into_families(), &mut text).expect("text");
    let text = String::from_utf8(text).expect("UTF-8");
    text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect()
}

fn times(lines: &[String], value: u64) -> usize {
    lines.iter().filter(|line| line.rsplit(' ').next() == Some(value.to_string().as_str())).count()
}

fn numbered_link() -> (LinkCounters, Vec<(&'static str, u64)>) {
    numbered!(LinkCounters, 0;
        messages_in messages_out bytes_in bytes_out outbox_bytes outbox_refused outboxes_full outbox_waits late links_held
        unknown_out failed_out encode_errors decode_errors unknown_types undeliverable expired duplicates unconfirmed
        late_acks relations_out relations_in relations_refused events_out events_in events_missed_out events_missed_in
        asks_out asks_done asks_refused spawns_unclaimed links protocol_errors traced_out traced_in cut_out
        parts_out joined_in parts_in compressed_out
        compressed_out_before compressed_out_after compressed_in compressed_in_before compressed_in_after views_lent
        views_copied
    )
}

#[test]
fn each_counter_of_a_link_is_on_the_page_once() {
    let (counters, named) = numbered_link();
    let mut page = Page::new();
    put_peers(&mut page, &[PeerRow { node: String::from("far@away"), ..peer_counters(&counters) }]);
    let lines = lines(page);
    for (name, value) in named {
        assert_eq!(times(&lines, value), 1, "{name} in {lines:#?}");
    }
    let has = |series: &str, label: &str, value: u64| {
        let line = format!("{series}{{remote_node=\"far@away\"{label}}} {value}");
        assert!(lines.contains(&line), "no {line} in {lines:#?}");
    };
    has("ergo_remote_fragments_sent_total", "", counters.parts_out);
    has("ergo_remote_fragment_messages_received_total", "", counters.joined_in);
    has("ergo_remote_compressed_sent_total", "", counters.compressed_out);
    has("ergo_remote_compressed_bytes_sent_total", "", counters.compressed_out_after);
    has("ergo_remote_compressed_orig_bytes_sent_total", "", counters.compressed_out_before);
    has("ergo_remote_decompressed_recv_total", "", counters.compressed_in);
    has("ergo_remote_decompressed_bytes_recv_total", "", counters.compressed_in_before);
    has("ergo_remote_decompressed_orig_recv_total", "", counters.compressed_in_after);
    has("shard_net_links_held", "", counters.links_held);
    has("shard_net_outboxes_full", "", counters.outboxes_full);
    has("shard_net_late_messages", "", counters.late);
    has("shard_net_session_losses_total", ",outcome=\"failed\"", counters.failed_out);
    has("shard_net_session_losses_total", ",outcome=\"unknown\"", counters.unknown_out);
    has("shard_net_rejected_frames_total", ",reason=\"validation\"", counters.decode_errors);
    has("shard_net_views_total", ",how=\"copied\"", counters.views_copied);
    has("shard_net_traced_total", ",direction=\"in\"", counters.traced_in);
}

#[test]
fn peers_without_series_of_their_own_are_summed() {
    let (counters, _) = numbered_link();
    let peer = |i| PeerRow { node: format!("n{i:03}@away"), ..peer_counters(&counters) };
    let peers: Vec<_> = (0..258).map(peer).collect();
    let mut page = Page::new();
    put_peers(&mut page, &peers);
    let lines = lines(page);
    for (series, value) in [
        ("ergo_remote_compressed_sent_total{remote_node=\"__other__\"}", counters.compressed_out),
        ("shard_net_backpressure_total{remote_node=\"__other__\"}", counters.outbox_waits),
        ("shard_net_traced_total{remote_node=\"__other__\",direction=\"out\"}", counters.traced_out),
    ] {
        let line = format!("{series} {}", 2 * value);
        assert!(lines.contains(&line), "no {line}");
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("shard_net_links_held{")).count(), 256);
}

/// What is shown of the whole node, in another unit, by length or by who runs now; and what is for the runtime alone.
const ELSEWHERE: &[&str] = &[
    "current",
    "current_since",
    "last_turn",
    "busy",
    "spawned",
    "spawn_failed",
    "terminated",
    "retired_in",
    "retired_out",
    "retired_run",
    "retired_wakeups",
    "retired_latency",
    "send_errors_local",
    "send_errors_remote",
    "call_errors_local",
    "call_errors_remote",
    "stalls",
    "stalled",
    "stall_noted",
    "events_published",
    "events_delivered",
    "events_sent_to_nodes",
    "events_received",
    "park_until",
    "thread",
];

#[test]
fn each_counter_of_a_shard_is_on_the_page_once() {
    // The first two fields are lists, which have tests of their own.
    let (counters, named) = numbered!(ShardCounters, 2;
        current current_since last_turn turns activations parks busy wakes_sent ready processes spawned spawn_failed
        terminated panics retired_in retired_out retired_run retired_wakeups retired_latency send_errors_local
        send_errors_remote call_errors_local call_errors_remote dead_letters policy_dropped posted mailbox_refused
        mailbox_lost interrupted stalls stalled stall_noted events_published events_delivered events_lost
        events_sent_to_nodes events_received unhandled late_replies traces_dropped traces_held waiters timers ring_in
        ring_out spilled refused backlog inbox_in terminate_cut memory_used over_budget envelope_bytes future_bytes
        park_until thread links io_tasks io_descriptors io_opened io_closed io_failed io_refused io_bytes_in io_bytes_out
        io_held io_dropped io_requests io_shed io_unanswered io_abandoned io_cut rescued nudged
    );
    let row = ShardRow { id: 7, ..shard_counters(&counters) };
    let mut page = Page::new();
    put_shard(&mut page, &row);
    put_upkeep(&mut page, &row);
    put_stalls(&mut page, &row);
    put_io(&mut page, &row);
    let lines = lines(page);
    for (name, value) in named {
        assert_eq!(times(&lines, value), usize::from(!ELSEWHERE.contains(&name)), "{name} in {lines:#?}");
    }
    for (series, value) in [
        ("shard_rescued_total{shard=\"7\"}", counters.rescued),
        ("shard_nudged_total{shard=\"7\"}", counters.nudged),
        ("shard_traces_held{shard=\"7\"}", counters.traces_held),
        ("shard_traces_dropped_total{shard=\"7\"}", counters.traces_dropped),
        ("shard_arena_bytes{shard=\"7\",kind=\"futures\"}", counters.future_bytes),
        ("shard_io_dropped_total{shard=\"7\"}", counters.io_dropped),
    ] {
        let line = format!("{series} {value}");
        assert!(lines.contains(&line), "no {line} in {lines:#?}");
    }
}

#[test]
fn each_limit_of_the_stalls_is_a_bound_they_are_counted_by() {
    for (over, below) in STALLS_OVER {
        let bound_ns = below.checked_sub(1).map_or(100_000_000, |last| STALL_BOUNDS_NS[last]);
        let text = if bound_ns < 1_000_000_000 {
            format!("{}ms", bound_ns / 1_000_000)
        } else {
            format!("{}s", bound_ns / 1_000_000_000)
        };
        assert_eq!(over, text);
    }
}
