//! `runtime_stats`: the OS process and each shard. Reads memory and the kernel's counters only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};
use crate::pid;
use crate::source::{Identity, ShardRow};
use crate::usage::Usage;

/// Age of a heartbeat or a handler from which a shard counts as stalled, in nanoseconds.
const STALL_NS: u64 = 100_000_000;

pub(super) const TOOL: Tool = Tool {
    name: "runtime_stats",
    title: "Runtime",
    help: "Memory, CPU, threads and files of the OS process, and per shard: state, busy ratio, run queue, rings, \
           timers, stalls, wake-ups it needed, traces, every way a message was lost, and the process it runs now with \
           the time it has taken. Works while shards are stuck.",
    params: &[],
    output: output_of::<RuntimeStats>,
    idempotent: false,
    run: |call| at_once(run(&call)),
};

#[derive(Debug, Serialize, JsonSchema)]
struct CurrentProcess {
    pid: String,
    name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Shard {
    id: u32,
    /// CPU it is pinned to; null if it is not.
    cpu: Option<u32>,
    /// running, parked or stalled.
    state: &'static str,
    loop_turns: u64,
    /// Share of the last ten seconds in handlers; null in the first second.
    busy_ratio_10s: Option<f64>,
    longest_callback_ns: u64,
    current_callback_ns: u64,
    /// Time without a sign of life, once it is 100 ms; else 0.
    stalled_ns: u64,
    heartbeat_age_ns: u64,
    /// What it runs now.
    current: Option<CurrentProcess>,
    run_queue: u64,
    tasks: u64,
    actors: u64,
    inbound_ring_depth: u64,
    inbox_depth: u64,
    control_lane_depth: u64,
    timer_count: u64,
    wakes: u64,
    spills: u64,
    late_replies: u64,
    dead_letters: u64,
    /// Handlers that held the shard for longer than 100 ms, counted when they returned.
    stalls: u64,
    /// Nanoseconds these held it, in sum.
    stalls_total_ns: u64,
    /// Messages dropped by the policy of a full mailbox.
    policy_dropped: u64,
    /// Messages of other nodes refused by full mailboxes or ending processes.
    mailbox_refused: u64,
    /// Messages that were queued at a process when it ended.
    mailbox_lost: u64,
    /// Messages whose handler was cut off by a panic, a kill or an exit.
    interrupted: u64,
    /// Messages for which the target has no handler.
    unhandled: u64,
    /// Bytes of what is queued or spilled now: what counts against the memory budget.
    queued_bytes: u64,
    /// Messages refused because the memory budget was used up.
    over_budget: u64,
    /// Panics caught.
    panics: u64,
    activations: u64,
    parks: u64,
    /// Times that it had work and did not run until the control thread woke it.
    rescued: u64,
    /// Times that a signal had to end its wait.
    nudged: u64,
    /// Calls and timers that wait.
    waiters: u64,
    /// Data links to other nodes that it owns.
    links: u64,
    /// Items taken from the inbox for senders outside shards.
    inbox_messages: u64,
    /// Messages of the runtime put into mailboxes: exits, downs, answers.
    posted: u64,
    /// Terminate functions that awaited something and were cut off.
    terminate_cut: u64,
    /// Bytes mapped for envelopes.
    envelope_bytes: u64,
    /// Bytes held for futures of handlers.
    future_bytes: u64,
    /// Messages of traces that entered here and are not handled yet.
    traces_held: u64,
    /// Messages that went on without their trace.
    traces_dropped: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RuntimeStats {
    /// Live processes; there are no goroutines.
    goroutines: u64,
    cpus: u64,
    heap_alloc: u64,
    heap_sys: u64,
    heap_inuse: u64,
    /// -1: not counted.
    heap_objects: i64,
    stack_inuse: u64,
    total_alloc: u64,
    sys: u64,
    num_gc: u64,
    last_gc_pause_ns: u64,
    gc_cpu_percent: f64,
    shards: Vec<Shard>,
    threads: u64,
    fds: u64,
    page_faults: u64,
    ctx_switches: u64,
    rss_peak: u64,
    /// What the fields mean here.
    legend: &'static str,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let source = &call.desk.source;
    let (me, counters, usage) = (source.identity(), source.node_counters(), Usage::read());
    let allocated = counters.allocated_bytes.unwrap_or(usage.anonymous_bytes);
    let rows = source.shards();
    let shards = rows.iter().enumerate().map(|(index, row)| {
        let ratio = call.desk.window.ratio(index, me.uptime_ns, row.busy_ns);
        shard(row, ratio, &me)
    });
    Answer::of(&RuntimeStats {
        goroutines: counters.processes_total,
        cpus: usage.cores,
        heap_alloc: allocated,
        heap_sys: usage.mapped_bytes,
        heap_inuse: usage.anonymous_bytes,
        heap_objects: -1,
        stack_inuse: usage.stack_bytes,
        total_alloc: counters.allocated_total_bytes.unwrap_or(0),
        sys: usage.resident_bytes,
        num_gc: 0,
        last_gc_pause_ns: 0,
        gc_cpu_percent: 0.0,
        shards: shards.collect(),
        threads: usage.threads,
        fds: usage.files,
        page_faults: usage.page_faults,
        ctx_switches: usage.context_switches,
        rss_peak: usage.resident_peak_bytes,
        legend: "no garbage collector: num_gc, last_gc_pause_ns and gc_cpu_percent are 0; heap_alloc is the \
                 allocator's live bytes, or resident memory that no file backs; sys is resident memory; \
                 ctx_switches are those of the answering thread",
    })
}

fn shard(row: &ShardRow, busy_ratio_10s: Option<f64>, me: &Identity) -> Shard {
    let current_ns = row.current.as_ref().map_or(0, |current| current.since_ns);
    let silent_ns = if row.parked { 0 } else { row.heartbeat_age_ns.max(current_ns) };
    let stalled = silent_ns >= STALL_NS;
    Shard {
        id: row.id,
        cpu: row.cpu,
        state: match (stalled, row.parked) {
            (true, _) => "stalled",
            (false, true) => "parked",
            (false, false) => "running",
        },
        loop_turns: row.turns,
        busy_ratio_10s,
        longest_callback_ns: row.longest_callback_ns.max(current_ns),
        current_callback_ns: current_ns,
        stalled_ns: if stalled { silent_ns } else { 0 },
        heartbeat_age_ns: row.heartbeat_age_ns,
        current: row.current.as_ref().map(|current| CurrentProcess {
            pid: pid::short(me.crc, current.id),
            name: current.name.clone(),
        }),
        run_queue: row.run_queue,
        tasks: row.processes,
        actors: row.processes,
        inbound_ring_depth: row.ring_depth,
        inbox_depth: row.inbox_depth,
        control_lane_depth: row.control_depth,
        timer_count: row.timers,
        wakes: row.wakes,
        spills: row.spills,
        late_replies: row.late_replies,
        dead_letters: row.dead_letters,
        stalls: row.stalls.iter().sum(),
        stalls_total_ns: row.stalled_ns,
        policy_dropped: row.policy_dropped,
        mailbox_refused: row.mailbox_refused,
        mailbox_lost: row.mailbox_lost,
        interrupted: row.interrupted,
        unhandled: row.unhandled,
        queued_bytes: row.queued_bytes,
        over_budget: row.over_budget,
        panics: row.panics,
        activations: row.activations,
        parks: row.parks,
        rescued: row.rescued,
        nudged: row.nudged,
        waiters: row.waiters,
        links: row.links,
        inbox_messages: row.inbox_messages,
        posted: row.posted,
        terminate_cut: row.terminate_cut,
        envelope_bytes: row.envelope_bytes,
        future_bytes: row.future_bytes,
        traces_held: row.traces_held,
        traces_dropped: row.traces_dropped,
    }
}
