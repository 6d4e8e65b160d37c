//! The runtime's records as ours.
//!
//! Threads: the diagnostics thread. Cost: what the copies cost.

use shard_runtime::wire::handshake::PROTOCOL;
use shard_runtime::wire::header::FRAME_VERSION;
use shard_runtime::{
    AcceptorStats, AppInfo, CronFacts, CronJobFacts, CronSchedule, EventFacts, LinkCounters, Missed,
    NetStats, Overlap, PeerChange, PeerRecord, PeerStats, ProcessStats, ShardCounters,
};

use crate::source::{
    AcceptorRow, AppRow, CronJobRow, CronPlan, CronSlotRow, CronView, EventRow, IoRow, LinkRow, LogLevel,
    LoggerRow, NetRow, PeerChangeRow, PeerFlags, PeerRow, ProcessCells, ProcessState, ShardRow,
};

/// The handshake reason that is none: both nodes dialled at once and one link was enough.
const NO_FAULT: &str = "duplicate";

pub(crate) fn app_row(app: AppInfo, exposed: bool) -> AppRow {
    AppRow {
        state: app.state.name(),
        mode: app.mode.name(),
        uptime_ns: u64::try_from(app.uptime.as_nanos()).unwrap_or(u64::MAX),
        weight: app.weight,
        tags: app.tags,
        roles: app.roles,
        depends: app.depends.iter().map(|on| String::from(&**on)).collect(),
        needs_network: app.needs_network,
        env: app.env.shown(exposed),
        members: app.members.iter().map(|id| id.0).collect(),
        processes: app.processes,
        starts: app.starts,
        last_reason: app.last_reason.map_or_else(String::new, |reason| String::from(&*reason)),
        timeouts: app.timeouts,
        description: app.description,
        version: app.version,
        name: String::from(&*app.name),
    }
}

pub(crate) fn event_row(event: EventFacts) -> EventRow {
    EventRow {
        message_type: event.message_type,
        producer: event.producer.0,
        buffer: event.options.buffer as u64,
        kept: event.kept,
        notify: event.options.notify,
        open: event.options.open,
        subscribers: event.subscribers,
        published: event.published,
        local_sent: event.delivered,
        remote_sent: event.sent_to_nodes,
        lost: event.lost,
        created: event.created_at,
        last_published: event.last_published_at,
        utilization: event.utilization().name(),
        name: event.name,
    }
}

pub(crate) fn peer_row(peer: PeerStats) -> PeerRow {
    PeerRow {
        node: peer.name,
        creation: peer.key,
        uptime_ns: peer.uptime_ns,
        connection_uptime_ns: peer.connection_uptime_ns,
        handshake_version: format!("shs:{}", PROTOCOL.highest),
        proto_version: format!("swp:{FRAME_VERSION}"),
        pool_size: peer.slots,
        max_message_size: peer.max_frame,
        tls: peer.tls,
        reconnections: peer.reconnections,
        sessions: peer.ups,
        stalled_shards: peer.stalled.len() as u64,
        rtt_ns: peer.rtt_ns,
        flags: PeerFlags {
            remote_spawn: peer.may_spawn,
            remote_app_start: peer.may_start_apps,
            // Parts and acknowledgements need links that number their frames.
            fragmentation: peer.is_numbered,
            important_delivery: peer.is_numbered,
            simultaneous_connect: true,
            // Nobody measures it.
            clock_skew: false,
            tracing: peer.traces,
            schema_evolution: peer.tells_types,
            keep_alive_s: u32::try_from(peer.heartbeat_ms.div_ceil(1000)).unwrap_or(u32::MAX),
        },
        history: peer.history.iter().map(change_row).collect(),
        ..peer_counters(&peer.counters)
    }
}

/// A row of nothing but what the links of a peer count.
pub(crate) fn peer_counters(counters: &LinkCounters) -> PeerRow {
    PeerRow {
        pool_len: counters.links,
        messages_in: counters.messages_in,
        messages_out: counters.messages_out,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
        outbox_bytes: counters.outbox_bytes,
        fragments_sent: counters.parts_out,
        fragment_messages_sent: counters.cut_out,
        fragments_received: counters.parts_in,
        fragment_messages_received: counters.joined_in,
        traced_sent: counters.traced_out,
        traced_received: counters.traced_in,
        compressed_sent: counters.compressed_out,
        compressed_bytes_sent: counters.compressed_out_after,
        compressed_orig_bytes_sent: counters.compressed_out_before,
        decompressed_received: counters.compressed_in,
        decompressed_bytes_received: counters.compressed_in_before,
        decompressed_orig_received: counters.compressed_in_after,
        link: LinkRow::from(counters),
        ..PeerRow::default()
    }
}

pub(crate) fn acceptor_row(acceptor: AcceptorStats) -> AcceptorRow {
    AcceptorRow {
        interface: acceptor.address,
        handshake_errors: faults(acceptor.errors),
        accept_failures: acceptor.accept_failures,
    }
}

pub(crate) fn net_row(net: NetStats) -> NetRow {
    NetRow {
        sessions_lost: net.connections_lost_by,
        dial_errors: faults(net.dial_errors),
        links_accepted: net.links_accepted,
        links_dialled: net.links_dialled,
        control_refused: net.control_refused,
        control_errors: net.control_errors,
        name_timeouts: net.name_timeouts,
        node_events_lost: net.events_lost,
        diag_calls: net.diag_calls,
        diag_timeouts: net.diag_timeouts,
        diag_served: net.diag_served,
    }
}

/// Handshake reasons without the one that is no fault.
fn faults(reasons: Vec<(&'static str, u64)>) -> Vec<(&'static str, u64)> {
    reasons.into_iter().filter(|(reason, _)| *reason != NO_FAULT).collect()
}

fn change_row(record: &PeerRecord) -> PeerChangeRow {
    let (shard, epoch) = match record.change {
        PeerChange::LinkUp { epoch, shard } | PeerChange::LinkDown { epoch, shard } => {
            (Some(shard), Some(epoch))
        }
        _ => (None, None),
    };
    let reason = match record.change {
        PeerChange::Down(reason) => Some(reason.name()),
        _ => None,
    };
    PeerChangeRow {
        at: record.at,
        session: record.session,
        change: record.change.name(),
        reason,
        shard,
        epoch,
    }
}

pub(crate) fn cells(process: &ProcessStats) -> ProcessCells {
    ProcessCells {
        id: process.id.0,
        log_level: level(process.log_level),
        parent: process.parent.0,
        leader: process.leader.0,
        shard: process.id.shard(),
        state: state(process.state),
        messages_in: process.messages_in,
        messages_out: process.messages_out,
        mailbox: process.mailbox,
        mailbox_main: process.mailbox_main,
        oldest_ns: process.mailbox_latency_ns,
        running_ns: process.running_ns,
        wakeups: process.wakeups,
        uptime_ns: process.uptime_ns,
        init_ns: process.init_ns,
        state_ns: process.state_ns,
        callback_elapsed_ns: process.callback_ns,
        ..ProcessCells::default()
    }
}

pub(crate) fn state(state: shard_runtime::ProcessState) -> ProcessState {
    use shard_runtime::ProcessState as Runtime;
    match state {
        Runtime::Init => ProcessState::Init,
        Runtime::Running => ProcessState::Running,
        Runtime::WaitResponse => ProcessState::WaitResponse,
        Runtime::Terminated => ProcessState::Terminated,
        Runtime::Zombee => ProcessState::Zombee,
        // A state of a newer runtime reads as the one without a promise.
        _ => ProcessState::Sleep,
    }
}

/// A logger with the levels that reach it, unless a process or an application has a lower one.
pub(crate) fn logger_row(logger: &shard_runtime::LoggerFacts, least: LogLevel) -> LoggerRow {
    let gets = |runtime: &shard_runtime::LogLevel| logger.levels.has(*runtime) && level(*runtime) >= least;
    let behavior = if logger.process.is_some() { "process" } else { "tap.LogSink" };
    LoggerRow {
        name: logger.name.to_string(),
        lost: logger.lost,
        behavior: String::from(behavior),
        levels: shard_runtime::LogLevel::ALL
            .iter()
            .filter(|level| gets(level))
            .map(|at| level(*at))
            .collect(),
    }
}

pub(crate) fn level(level: shard_runtime::LogLevel) -> LogLevel {
    use shard_runtime::LogLevel as Runtime;
    match level {
        Runtime::Trace => LogLevel::Trace,
        Runtime::Debug => LogLevel::Debug,
        Runtime::Info => LogLevel::Info,
        Runtime::Warning => LogLevel::Warning,
        Runtime::Error => LogLevel::Error,
        Runtime::Panic => LogLevel::Panic,
        Runtime::Disabled => LogLevel::Disabled,
    }
}

pub(crate) fn cron_view(cron: CronFacts) -> CronView {
    CronView {
        next: cron.next,
        spool: texts(&cron.spool),
        jobs: cron.jobs.into_iter().map(cron_job_row).collect(),
    }
}

fn cron_job_row(job: CronJobFacts) -> CronJobRow {
    CronJobRow {
        name: String::from(&*job.name),
        spec: job.spec,
        zone: job.zone,
        action: job.action,
        enabled: job.enabled,
        next: job.next,
        last_run: job.last_run,
        last_error: job.last_error.map_or_else(String::new, |error| String::from(&*error)),
        fallback: job.fallback.map(|(name, tag)| (name, String::from(&*tag))),
        overlap: match job.overlap {
            Overlap::Allow => "allow",
            Overlap::Queue => "queue",
            // What a newer runtime adds reads as the default.
            _ => "skip",
        },
        missed: match job.missed {
            Missed::RunOnce => "run once",
            _ => "skip",
        },
        runs: job.runs,
        failures: job.failures,
        skipped: job.skipped,
        missed_runs: job.missed_runs,
    }
}

pub(crate) fn cron_plan(schedule: CronSchedule) -> CronPlan {
    let row = |slot: shard_runtime::CronSlot| CronSlotRow { time: slot.time, jobs: texts(&slot.jobs) };
    CronPlan { slots: schedule.slots.into_iter().map(row).collect(), truncated: schedule.truncated }
}

fn texts(names: &[std::sync::Arc<str>]) -> Vec<String> {
    names.iter().map(|name| String::from(&**name)).collect()
}

/// A row of nothing but what a shard counts.
pub(crate) fn shard_counters(counters: &ShardCounters) -> ShardRow {
    ShardRow {
        run_queue: counters.ready,
        processes: counters.processes,
        turns: counters.turns,
        timers: counters.timers,
        ring_messages_in: counters.ring_in,
        ring_messages_out: counters.ring_out,
        spills: counters.spilled,
        spilled: counters.backlog,
        wakes: counters.wakes_sent,
        late_replies: counters.late_replies,
        dead_letters: counters.dead_letters,
        policy_dropped: counters.policy_dropped,
        mailbox_refused: counters.mailbox_refused,
        mailbox_lost: counters.mailbox_lost,
        interrupted: counters.interrupted,
        unhandled: counters.unhandled,
        panics: counters.panics,
        ring_refused: counters.refused,
        queued_bytes: counters.memory_used,
        over_budget: counters.over_budget,
        events_lost: counters.events_lost,
        stalls: counters.stall_times.to_vec(),
        activations: counters.activations,
        parks: counters.parks,
        posted: counters.posted,
        inbox_messages: counters.inbox_in,
        waiters: counters.waiters,
        links: counters.links,
        terminate_cut: counters.terminate_cut,
        envelope_bytes: counters.envelope_bytes,
        future_bytes: counters.future_bytes,
        traces_held: counters.traces_held,
        traces_dropped: counters.traces_dropped,
        rescued: counters.rescued,
        nudged: counters.nudged,
        io: io_row(counters),
        ..ShardRow::default()
    }
}

fn io_row(counters: &ShardCounters) -> IoRow {
    IoRow {
        tasks: counters.io_tasks,
        descriptors: counters.io_descriptors,
        opened: counters.io_opened,
        closed: counters.io_closed,
        failed: counters.io_failed,
        refused: counters.io_refused,
        bytes_in: counters.io_bytes_in,
        bytes_out: counters.io_bytes_out,
        held: counters.io_held,
        dropped: counters.io_dropped,
        requests: counters.io_requests,
        shed: counters.io_shed,
        unanswered: counters.io_unanswered,
        abandoned: counters.io_abandoned,
        cut: counters.io_cut,
    }
}
