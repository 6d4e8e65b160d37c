//! The published counters of one shard: written by the shard, read by anyone.
//!
//! Invariant: C1 every cell has one writer, the owning shard, except where its comment says otherwise; readers may see one
//! counter newer than another. All accesses are relaxed: no cell publishes other memory.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Severity of a log record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LogLevel {
    /// Each step.
    Trace,
    /// For developers.
    Debug,
    /// Normal events.
    Info,
    /// Something to look at.
    Warning,
    /// Something failed.
    Error,
    /// A panic was caught.
    Panic,
    /// No record has this level: as the least level that is kept, it keeps nothing.
    Disabled,
}

impl LogLevel {
    /// All levels that records have, in order.
    pub const ALL: [Self; 6] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Panic];

    /// The level of this number.
    pub(crate) fn from_u8(level: u8) -> Self {
        Self::ALL.get(usize::from(level)).copied().unwrap_or(Self::Disabled)
    }

    /// The level's name in logs, metrics and tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Disabled => "disabled",
        }
    }
}

/// Upper bounds, in nanoseconds, of the lengths by which stalls are counted; the last bucket has none.
pub const STALL_BOUNDS_NS: [u64; 9] = [
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
];
/// Buckets of stall lengths.
pub(crate) const STALL_BUCKETS: usize = STALL_BOUNDS_NS.len() + 1;

macro_rules! cells {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters and gauges of one shard.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct ShardCells {
            /// Log records by level.
            pub(crate) log: [AtomicU64; 6],
            /// Activations that held the shard for too long, by length: see [`STALL_BOUNDS_NS`].
            pub(crate) stall_times: [AtomicU64; STALL_BUCKETS],
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
        }
        /// Counters and gauges of one shard at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ShardCounters {
            /// Log records by level.
            pub log: [u64; 6],
            /// Activations that held the shard for too long, by length: see [`STALL_BOUNDS_NS`].
            pub stall_times: [u64; STALL_BUCKETS],
            $($(#[$doc])* pub $name: u64,)*
        }
        impl ShardCounters {
            /// Adds another shard's values. Those that are not sums (`current`, time stamps) lose their meaning.
            pub(crate) fn add(&mut self, other: &Self) {
                for (sum, value) in self.log.iter_mut().zip(other.log) {
                    *sum += value;
                }
                for (sum, value) in self.stall_times.iter_mut().zip(other.stall_times) {
                    *sum += value;
                }
                $(self.$name = self.$name.wrapping_add(other.$name);)*
            }
        }
        impl ShardCells {
            pub(crate) fn read(&self) -> ShardCounters {
                ShardCounters {
                    log: std::array::from_fn(|level| self.log[level].load(Relaxed)),
                    stall_times: std::array::from_fn(|bucket| self.stall_times[bucket].load(Relaxed)),
                    $($name: self.$name.load(Relaxed),)*
                }
            }
        }
    };
}

cells! {
    /// Local id of the process whose handler is on the stack; 0 when none. The stall beacon.
    current,
    /// Ticks at which it began.
    current_since,
    /// Ticks at the last turn of the pump.
    last_turn,
    /// Turns of the pump.
    turns,
    /// Activations of processes.
    activations,
    /// Times the shard parked.
    parks,
    /// Ticks spent running turns that found work.
    busy,
    /// Wake-ups of other shards that this one paid for.
    wakes_sent,
    /// Processes in the ready queue at the last turn.
    ready,
    /// Live processes.
    processes,
    /// Processes ever started.
    spawned,
    /// Processes that could not be started: no name, no room, or an `init` that failed. Those of the last kind are among the
    /// started and ended ones, too.
    spawn_failed,
    /// Processes that ended.
    terminated,
    /// Panics caught.
    panics,
    /// Messages that ended processes had received.
    retired_in,
    /// Messages that ended processes had sent.
    retired_out,
    /// Ticks that ended processes had run.
    retired_run,
    /// Wake-ups that ended processes had had.
    retired_wakeups,
    /// Sum of message latencies, in ticks, of ended processes.
    retired_latency,
    /// Sends to local targets that failed.
    send_errors_local,
    /// Sends to other nodes that failed.
    send_errors_remote,
    /// Calls to local targets that failed, time-outs at the target included.
    call_errors_local,
    /// Calls to other nodes that failed.
    call_errors_remote,
    /// Messages lost after they had been accepted: their target was gone when they arrived.
    dead_letters,
    /// Messages dropped from, or in front of, full mailboxes by their policy.
    policy_dropped,
    /// Messages of the runtime put into mailboxes: exit signals, down messages, answers to requests.
    posted,
    /// Messages of other nodes refused by full mailboxes, or by processes that were ending.
    mailbox_refused,
    /// Messages that were queued at a process when it ended.
    mailbox_lost,
    /// Messages whose handler was cut off: by a panic, a kill or an exit while it waited.
    interrupted,
    /// Activations that held the shard for longer than the stall threshold.
    stalls,
    /// Ticks that these held it, in sum.
    stalled,
    /// Beginning, in ticks, of the stall that the control thread has logged. Written by the control thread.
    stall_noted,
    /// Publications of events whose producers live here.
    events_published,
    /// Publications that reached a mailbox of this shard: one for each and subscriber.
    events_delivered,
    /// Publications that did not reach a subscriber: its mailbox, or the lane to its shard, was full.
    events_lost,
    /// Publications sent to other nodes: one for each and node.
    events_sent_to_nodes,
    /// Publications received from other nodes.
    events_received,
    /// Messages for which the target had no handler.
    unhandled,
    /// Replies that came after their caller had stopped waiting.
    late_replies,
    /// Messages that went on without their trace: too many of traces were not handled yet, their node takes none up, or a
    /// frame named none. Written by others too.
    traces_dropped,
    /// Messages of traces that entered at this shard and are not handled yet: filled in where it is read.
    traces_held,
    /// Calls and timers waiting now.
    waiters,
    /// Timers armed now.
    timers,
    /// Messages taken from the rings of other shards.
    ring_in,
    /// Messages put into the rings of other shards.
    ring_out,
    /// Messages that went through a spill because a ring was full.
    spilled,
    /// Messages refused because a ring and its spill were full.
    refused,
    /// Messages waiting in spills now.
    backlog,
    /// Items taken from the inbox of outside senders.
    inbox_in,
    /// `terminate` functions that awaited something and were cut off.
    terminate_cut,
    /// Bytes of what is queued or spilled now: what counts against the shard's memory budget.
    memory_used,
    /// Messages refused because the shard's memory budget was used up. Written by others too.
    over_budget,
    /// Bytes mapped for envelopes.
    envelope_bytes,
    /// Bytes held for handler futures.
    future_bytes,
    /// Ticks until which the shard is parked at most; 0 without a deadline.
    park_until,
    /// Id of the shard's thread in the operating system; 0 before it runs.
    thread,
    /// Data links of this shard.
    links,
    /// Tasks that read and write for I/O processes.
    io_tasks,
    /// Descriptors of I/O processes.
    io_descriptors,
    /// Connections and programs that I/O processes have opened.
    io_opened,
    /// Those that have ended.
    io_closed,
    /// Those among them that ended by a failure: of the peer, of the system, of a limit.
    io_failed,
    /// Connections refused because their server had as many as it may have, or the system no more descriptors.
    io_refused,
    /// Bytes that I/O processes have read.
    io_bytes_in,
    /// Bytes that I/O processes have written.
    io_bytes_out,
    /// Times that reading was held because what had been read was not handled yet.
    io_held,
    /// Datagrams dropped: too long, unhandled ones too many, refused by their receiver or by the system.
    io_dropped,
    /// Requests that web servers have answered, whatever the answer.
    io_requests,
    /// Requests answered with status 503 because requests that were not handled yet used up what their server may have.
    io_shed,
    /// Requests to which no worker gave an answer: none was there or had room, or it ended or was late.
    io_unanswered,
    /// Requests whose client had gone before they were answered.
    io_abandoned,
    /// Requests that were cut off by the end of their server.
    io_cut,
    /// Times the control thread had to wake a shard that had work and did not run. Written by the control thread.
    rescued,
    /// Times a signal had to end a wait of a shard that could not be woken otherwise. Written by the control thread.
    nudged,
}
