//! One consistent reading of a node, shared by all outputs of a scrape.
//!
//! Owns: the pass (identity, counters, shards, peers, one sweep over all processes) and its immutable result.
//! Invariants: N1 a snapshot never changes; a new pass makes a new one. N2 a list holds min(N, eligible) entries.
//! Threads: the diagnostics thread. Cost: one visit per process, no allocation per row.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::source::{
    AcceptorRow, CronView, EventRow, Identity, NetRow, NodeCounters, PeerRow, ProcessCells, ProcessState,
    ShardRow, Source,
};
use crate::top::{Top, key_of};
use crate::usage::Usage;

/// Nanoseconds per second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Youngest age at which a liveness score means something, in nanoseconds.
const LIVENESS_MIN_UPTIME_NS: u64 = 60 * SECOND_NS;

/// Upper bounds of the latency ranges in nanoseconds; the last range has none.
pub(crate) const LATENCY_BOUNDS_NS: [u64; 11] = [
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    SECOND_NS,
    5 * SECOND_NS,
    10 * SECOND_NS,
    30 * SECOND_NS,
    60 * SECOND_NS,
];
/// Labels of the latency ranges.
pub(crate) const LATENCY_RANGES: [&str; 12] =
    ["1ms", "5ms", "10ms", "50ms", "100ms", "500ms", "1s", "5s", "10s", "30s", "60s", "60s+"];
/// Upper bounds of the depth ranges in messages.
pub(crate) const DEPTH_BOUNDS: [u64; 9] = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000];
/// Labels of the depth ranges.
pub(crate) const DEPTH_RANGES: [&str; 10] = ["1", "5", "10", "50", "100", "500", "1K", "5K", "10K", "10K+"];
/// Upper bounds of the utilization ranges in millionths.
pub(crate) const UTILIZATION_BOUNDS: [u64; 7] = [10_000, 50_000, 100_000, 250_000, 500_000, 750_000, 900_000];
/// Labels of the utilization ranges.
pub(crate) const UTILIZATION_RANGES: [&str; 8] = ["1%", "5%", "10%", "25%", "50%", "75%", "90%", "90%+"];

/// Utilization states of events, in Ergo's order.
pub(crate) const EVENT_STATES: [&str; 5] = ["active", "on_demand", "idle", "no_subscribers", "no_publishing"];

/// Processes per range: a value counts in the first range whose bound is not below it.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    bounds: &'static [u64],
    counts: Vec<u64>,
}

impl Spread {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1] }
    }

    fn add(&mut self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
    }

    /// Counts in the order of the range labels.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// One winner of a list, with the strings of its labels.
#[derive(Clone, Debug)]
pub(crate) struct TopEntry {
    pub(crate) id: u64,
    pub(crate) key: u64,
    pub(crate) name: String,
    pub(crate) application: String,
    pub(crate) behavior: &'static str,
}

/// What one sweep over all processes found.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub(crate) rows: u64,
    pub(crate) latency_max_ns: u64,
    pub(crate) latency_processes: u64,
    pub(crate) latency: Spread,
    pub(crate) depth_max: u64,
    pub(crate) depth: Spread,
    pub(crate) utilization_max: f64,
    pub(crate) utilization: Spread,
    pub(crate) init_max_ns: u64,
    pub(crate) latency_top: Vec<TopEntry>,
    pub(crate) depth_top: Vec<TopEntry>,
    pub(crate) messages_in_top: Vec<TopEntry>,
    pub(crate) messages_out_top: Vec<TopEntry>,
    pub(crate) wakeups_top: Vec<TopEntry>,
    /// Keys are [`key_of`] numbers.
    pub(crate) drains_top: Vec<TopEntry>,
    /// Keys are [`key_of`] numbers.
    pub(crate) utilization_top: Vec<TopEntry>,
    pub(crate) init_top: Vec<TopEntry>,
    /// Keys are inverted [`key_of`] numbers: the list keeps the smallest.
    pub(crate) liveness_bottom: Vec<TopEntry>,
}

/// Share of its life a process spent in handlers, 0 to 1.
pub(crate) fn utilization(cells: &ProcessCells) -> f64 {
    if cells.uptime_ns == 0 { 0.0 } else { (cells.running_ns as f64 / cells.uptime_ns as f64).min(1.0) }
}

/// Messages per wake-up; `0` without either.
pub(crate) fn drain(cells: &ProcessCells) -> f64 {
    if cells.wakeups == 0 { 0.0 } else { cells.messages_in as f64 / cells.wakeups as f64 }
}

/// Utilization by seconds of latency, the handler in progress left out so that a blocked one scores low; `None` where
/// the score means nothing.
pub(crate) fn liveness(cells: &ProcessCells) -> Option<f64> {
    let eligible = cells.uptime_ns >= LIVENESS_MIN_UPTIME_NS
        && cells.messages_in > 0
        && cells.oldest_ns > 0
        && cells.state != ProcessState::Zombee;
    eligible.then(|| {
        let finished_ns = cells.running_ns.saturating_sub(cells.callback_elapsed_ns);
        let uptime_s = cells.uptime_ns / SECOND_NS;
        finished_ns as f64 / (uptime_s as f64 * cells.oldest_ns as f64)
    })
}

/// The nine lists while the sweep runs.
struct Lists {
    latency: Top,
    depth: Top,
    messages_in: Top,
    messages_out: Top,
    wakeups: Top,
    drains: Top,
    utilization: Top,
    init: Top,
    liveness: Top,
}

impl Lists {
    fn new(n: usize) -> Self {
        Self {
            latency: Top::new(n),
            depth: Top::new(n),
            messages_in: Top::new(n),
            messages_out: Top::new(n),
            wakeups: Top::new(n),
            drains: Top::new(n),
            utilization: Top::new(n),
            init: Top::new(n),
            liveness: Top::new(n),
        }
    }

    fn offer(&mut self, cells: &ProcessCells) {
        let plain = [
            (&mut self.latency, cells.oldest_ns),
            (&mut self.depth, cells.mailbox),
            (&mut self.messages_in, cells.messages_in),
            (&mut self.messages_out, cells.messages_out),
            (&mut self.wakeups, cells.wakeups),
            (&mut self.drains, key_of(drain(cells))),
            (&mut self.init, cells.init_ns),
        ];
        for (list, key) in plain {
            if key > 0 {
                list.offer(key, cells.id);
            }
        }
        let share = utilization(cells);
        if cells.uptime_ns >= SECOND_NS && share > 0.0 {
            self.utilization.offer(key_of(share), cells.id);
        }
        if let Some(score) = liveness(cells) {
            self.liveness.offer(u64::MAX - key_of(score), cells.id);
        }
    }
}

impl Sweep {
    /// Visits every process once; N entries per list.
    pub(crate) fn run(source: &dyn Source, n: usize) -> Self {
        let mut sweep = Self::empty();
        let mut lists = Lists::new(n);
        source.for_each_process(&mut |row| {
            sweep.add(&row.cells);
            lists.offer(&row.cells);
        });
        let name = |list: Top| winners(source, list);
        sweep.latency_top = name(lists.latency);
        sweep.depth_top = name(lists.depth);
        sweep.messages_in_top = name(lists.messages_in);
        sweep.messages_out_top = name(lists.messages_out);
        sweep.wakeups_top = name(lists.wakeups);
        sweep.drains_top = name(lists.drains);
        sweep.utilization_top = name(lists.utilization);
        sweep.init_top = name(lists.init);
        sweep.liveness_bottom = name(lists.liveness);
        sweep
    }

    fn empty() -> Self {
        Self {
            rows: 0,
            latency_max_ns: 0,
            latency_processes: 0,
            latency: Spread::new(&LATENCY_BOUNDS_NS),
            depth_max: 0,
            depth: Spread::new(&DEPTH_BOUNDS),
            utilization_max: 0.0,
            utilization: Spread::new(&UTILIZATION_BOUNDS),
            init_max_ns: 0,
            latency_top: Vec::new(),
            depth_top: Vec::new(),
            messages_in_top: Vec::new(),
            messages_out_top: Vec::new(),
            wakeups_top: Vec::new(),
            drains_top: Vec::new(),
            utilization_top: Vec::new(),
            init_top: Vec::new(),
            liveness_bottom: Vec::new(),
        }
    }

    fn add(&mut self, cells: &ProcessCells) {
        self.rows += 1;
        if cells.oldest_ns > 0 {
            self.latency_processes += 1;
            self.latency_max_ns = self.latency_max_ns.max(cells.oldest_ns);
            self.latency.add(cells.oldest_ns);
        }
        if cells.mailbox > 0 {
            self.depth_max = self.depth_max.max(cells.mailbox);
            self.depth.add(cells.mailbox);
        }
        let share = utilization(cells);
        if cells.uptime_ns >= SECOND_NS && share > 0.0 {
            self.utilization_max = self.utilization_max.max(share);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is 0 to 1")]
            self.utilization.add((share * 1e6).ceil() as u64);
        }
        self.init_max_ns = self.init_max_ns.max(cells.init_ns);
    }
}

/// Fetches the strings of the winners; one that ended meanwhile keeps its place without strings.
fn winners(source: &dyn Source, list: Top) -> Vec<TopEntry> {
    let mut entries = Vec::new();
    for (key, id) in list.into_sorted() {
        let mut entry = TopEntry { id, key, name: String::new(), application: String::new(), behavior: "" };
        source.process(id, &mut |row| {
            row.name.clone_into(&mut entry.name);
            row.application.clone_into(&mut entry.application);
            entry.behavior = row.behavior;
        });
        entries.push(entry);
    }
    entries
}

/// Winners among the events, best first.
type EventTop = Vec<(EventRow, u64)>;

/// What one look at all events found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    pub(crate) subscribers_max: u64,
    /// Events by utilization, in the order of [`EVENT_STATES`].
    pub(crate) utilization: [u64; 5],
    pub(crate) subscribers_top: EventTop,
    pub(crate) published_top: EventTop,
    pub(crate) local_sent_top: EventTop,
    pub(crate) remote_sent_top: EventTop,
}

impl Events {
    fn of(rows: &[EventRow], n: usize) -> Self {
        let state = |word: &str| rows.iter().filter(|row| row.utilization == word).count() as u64;
        Self {
            subscribers_max: rows.iter().map(|row| row.subscribers).max().unwrap_or(0),
            utilization: EVENT_STATES.map(state),
            // Every event is in this one, also without subscribers.
            subscribers_top: event_top(rows, n, |row| Some(row.subscribers)),
            published_top: event_top(rows, n, |row| Some(row.published).filter(|count| *count > 0)),
            local_sent_top: event_top(rows, n, |row| Some(row.local_sent).filter(|count| *count > 0)),
            remote_sent_top: event_top(rows, n, |row| Some(row.remote_sent).filter(|count| *count > 0)),
        }
    }
}

/// The `n` events with the largest keys; ties go by name, in which order the rows are.
fn event_top(rows: &[EventRow], n: usize, key: impl Fn(&EventRow) -> Option<u64>) -> EventTop {
    let mut keyed: Vec<_> = rows.iter().filter_map(|row| Some((row, key(row)?))).collect();
    keyed.sort_by_key(|(_, key)| std::cmp::Reverse(*key));
    keyed.into_iter().take(n).map(|(row, key)| (row.clone(), key)).collect()
}

/// One reading of everything.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Which pass made it, from 1.
    pub(crate) pass: u64,
    pub(crate) taken: Instant,
    pub(crate) taken_wall: SystemTime,
    /// How long the pass took.
    pub(crate) took: Duration,
    pub(crate) identity: Identity,
    pub(crate) counters: NodeCounters,
    pub(crate) shards: Vec<ShardRow>,
    pub(crate) outside_dropped: u64,
    pub(crate) peers: Vec<PeerRow>,
    pub(crate) net: NetRow,
    pub(crate) acceptors: Vec<AcceptorRow>,
    pub(crate) events: Events,
    pub(crate) cron: CronView,
    pub(crate) log_lost: [u64; 6],
    pub(crate) usage: Usage,
    pub(crate) sweep: Sweep,
}

impl Snapshot {
    fn take(source: &dyn Source, pass: u64, n: usize) -> Self {
        let taken = Instant::now();
        let mut snapshot = Self {
            pass,
            taken,
            taken_wall: SystemTime::now(),
            took: Duration::ZERO,
            identity: source.identity(),
            counters: source.node_counters(),
            shards: source.shards(),
            outside_dropped: source.outside_dropped(),
            peers: source.peers(),
            net: source.net(),
            acceptors: source.acceptors(),
            events: Events::of(&source.events(), n),
            cron: source.cron(),
            log_lost: source.log_lost(),
            usage: Usage::read(),
            sweep: Sweep::run(source, n),
        };
        snapshot.peers.sort_by(|a, b| a.node.cmp(&b.node));
        snapshot.took = taken.elapsed();
        snapshot
    }
}

/// Holds the latest snapshot and makes a new one when it is too old.
pub(crate) struct Shelf {
    source: Arc<dyn Source>,
    top_n: usize,
    latest: RwLock<Arc<Snapshot>>,
}

impl Shelf {
    /// Takes the first snapshot.
    pub(crate) fn new(source: Arc<dyn Source>, top_n: usize) -> Self {
        let first = Arc::new(Snapshot::take(source.as_ref(), 1, top_n));
        Self { source, top_n, latest: RwLock::new(first) }
    }

    /// The latest snapshot, whatever its age.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.latest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A snapshot that is not older than `age`.
    pub(crate) fn not_older_than(&self, age: Duration) -> Arc<Snapshot> {
        let latest = self.latest();
        if latest.taken.elapsed() <= age {
            return latest;
        }
        let next = Arc::new(Snapshot::take(self.source.as_ref(), latest.pass + 1, self.top_n));
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        next
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("pass", &self.latest().pass).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_to_the_range_it_names() {
        let mut spread = Spread::new(&DEPTH_BOUNDS);
        for value in [1, 2, 5, 6, 10_000, 10_001] {
            spread.add(value);
        }
        assert_eq!(spread.counts(), [1, 2, 1, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn a_blocked_handler_scores_low_and_a_busy_one_high() {
        let busy = ProcessCells {
            uptime_ns: 600 * SECOND_NS,
            running_ns: 540 * SECOND_NS,
            messages_in: 10,
            oldest_ns: 18 * SECOND_NS,
            ..ProcessCells::default()
        };
        let blocked = ProcessCells { callback_elapsed_ns: 539_999 * 1_000_000, ..busy };
        assert!(liveness(&busy).is_some_and(|score| (score - 0.05).abs() < 1e-9));
        assert!(liveness(&blocked).is_some_and(|score| score < 0.001));
        assert_eq!(liveness(&ProcessCells { uptime_ns: 59 * SECOND_NS, ..busy }), None);
        assert_eq!(liveness(&ProcessCells { state: ProcessState::Zombee, ..busy }), None);
    }
}
