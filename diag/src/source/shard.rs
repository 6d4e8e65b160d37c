//! Shards as diagnostics sees them.

use super::IoRow;

/// What a shard runs now.
#[derive(Clone, Debug)]
pub struct Current {
    /// Local id of the process.
    pub id: u64,
    /// Its registered name; empty if none.
    pub name: String,
    /// Nanoseconds its handler has run.
    pub since_ns: u64,
}

/// One shard.
#[derive(Clone, Debug, Default)]
pub struct ShardRow {
    /// Index.
    pub id: u32,
    /// CPU it is pinned to, if it is.
    pub cpu: Option<u32>,
    /// Nanoseconds since it last passed through its loop; `0` while it is parked.
    pub heartbeat_age_ns: u64,
    /// It waits in the kernel with nothing to do.
    pub parked: bool,
    /// What it runs now.
    pub current: Option<Current>,
    /// Ready processes.
    pub run_queue: u64,
    /// Live processes.
    pub processes: u64,
    /// Turns of the loop since start.
    pub turns: u64,
    /// Nanoseconds spent running processes since start, the handler in progress included.
    pub busy_ns: u64,
    /// Longest single handler in nanoseconds since start.
    pub longest_callback_ns: u64,
    /// Messages in the fullest inbound ring.
    pub ring_depth: u64,
    /// Messages in the inbox for senders outside shards.
    pub inbox_depth: u64,
    /// Pending control requests (inspect, kill).
    pub control_depth: u64,
    /// Pending timers.
    pub timers: u64,
    /// Messages drained from rings and inbox since start.
    pub ring_messages_in: u64,
    /// Messages put into rings to other shards since start.
    pub ring_messages_out: u64,
    /// Pushes that found a ring full since start.
    pub ring_full: u64,
    /// Messages parked in the outbox since start.
    pub spills: u64,
    /// Messages parked in the outbox now.
    pub spilled: u64,
    /// Wake-ups sent to other shards since start.
    pub wakes: u64,
    /// Replies that came after their call had given up, since start.
    pub late_replies: u64,
    /// Messages accepted and then lost, since start.
    pub dead_letters: u64,
    /// Messages dropped from, or in front of, full mailboxes by their policy, since start.
    pub policy_dropped: u64,
    /// Messages of other nodes refused by full mailboxes or ending processes, since start.
    pub mailbox_refused: u64,
    /// Messages that were queued at a process when it ended, since start.
    pub mailbox_lost: u64,
    /// Messages whose handler was cut off by a panic, a kill or an exit, since start.
    pub interrupted: u64,
    /// Messages for which the target had no handler, since start.
    pub unhandled: u64,
    /// Panics caught since start.
    pub panics: u64,
    /// Messages refused because the inbox was full, since start.
    pub inbox_refused: u64,
    /// Messages refused because a ring and its outbox were full, since start.
    pub ring_refused: u64,
    /// Bytes of what is queued or spilled now: what counts against the shard's memory budget.
    pub queued_bytes: u64,
    /// Messages refused because the shard's memory budget was used up, since start.
    pub over_budget: u64,
    /// Publications of events that did not reach a subscriber, since start.
    pub events_lost: u64,
    /// Finished activations that held the shard for longer than 100 ms, since start, by length: one count per bound of
    /// [`STALL_BOUNDS_NS`] and one for what is longer.
    pub stalls: Vec<u64>,
    /// Nanoseconds these held it since start, in sum.
    pub stalled_ns: u64,
    /// Activations of processes since start.
    pub activations: u64,
    /// Times it parked since start.
    pub parks: u64,
    /// Messages of the runtime put into mailboxes since start: exit signals, down messages, answers to requests.
    pub posted: u64,
    /// Items taken from the inbox for senders outside shards since start.
    pub inbox_messages: u64,
    /// Calls and timers waiting now.
    pub waiters: u64,
    /// Data links it owns now.
    pub links: u64,
    /// `terminate` functions that awaited something and were cut off, since start.
    pub terminate_cut: u64,
    /// Bytes mapped for envelopes now.
    pub envelope_bytes: u64,
    /// Bytes held for handler futures now.
    pub future_bytes: u64,
    /// Messages of traces that entered here and are not handled yet, now.
    pub traces_held: u64,
    /// Messages that went on without their trace since start: too many were not handled yet, their node takes none up, or a
    /// frame named none.
    pub traces_dropped: u64,
    /// Times since start that it had work and did not run until the control thread woke it.
    pub rescued: u64,
    /// Times since start that a signal had to end its wait, because it could not be woken otherwise.
    pub nudged: u64,
    /// What its I/O processes do.
    pub io: IoRow,
}

/// Upper bounds of the lengths by which [`ShardRow::stalls`] counts, in nanoseconds.
pub use shard_runtime::STALL_BOUNDS_NS;
