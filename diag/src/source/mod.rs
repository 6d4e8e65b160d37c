//! The one trait through which diagnostics sees a node.
//!
//! Owns: the plain records that cross the border, in documented units, and the [`Source`] trait.
//! Invariants: S1 everything but `inspect`, `facts`, `diag_call` and `ping` is answered from shared memory, so it works
//! while every shard is stuck. S2 a process row borrows its strings for the visit only; nothing is allocated per row.
//! S3 a request carries an absolute deadline and ends by it, with a typed error that says who was in the way.
//! S4 what counts "since start" never steps back, not by a nanosecond: a scraper takes that for a restart.
//! Threads: called on the diagnostics thread only. Cost: a sweep reads each row once.

mod app;
mod cron;
mod event;
mod io;
mod log;
mod network;

pub use app::AppRow;
pub use cron::{CronJobRow, CronPlan, CronSlotRow, CronView};
pub use event::EventRow;
pub use io::IoRow;
pub use log::{LogLevel, LoggerRow};
pub use network::{AcceptorRow, KnownNode, PeerFlags, PeerRow, RegistrarView};

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};

/// What a request to the node returns: a future that ends by its deadline.
pub type Reply<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A version of the node's program or of the framework.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Name of the program.
    pub name: String,
    /// Release, for example `0.1.0`.
    pub release: String,
    /// Commit it was built from; empty if unknown.
    pub commit: String,
    /// License expression.
    pub license: String,
}

/// Where the node is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Not all start-up steps are done.
    Starting,
    /// Serving.
    #[default]
    Running,
    /// A graceful stop has begun.
    Stopping,
}

/// Who the node is.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Full name, `name@host`.
    pub name: String,
    /// Hash of the name, as printed in the short form of a pid.
    pub crc: u32,
    /// Key of this incarnation: what the full form of a pid ends with.
    pub creation: u64,
    /// Monotonic nanoseconds since the node started.
    pub uptime_ns: u64,
    /// Version of the program.
    pub version: Version,
    /// Version of the framework.
    pub framework: Version,
    /// Number of shards.
    pub shards: u32,
    /// Environment of the node; empty unless the node exposes it.
    pub env: Vec<(String, String)>,
    /// Log level of the node.
    pub log_level: LogLevel,
    /// Loggers of the node.
    pub loggers: Vec<LoggerRow>,
    /// Where the node is in its life.
    pub phase: Phase,
}

/// Counters of the whole node; `0` where the node has no source yet.
///
/// "Since start" counters never decrease while the node lives.
#[derive(Clone, Debug, Default)]
pub struct NodeCounters {
    /// Live rows of the process table, zombees included. Now.
    pub processes_total: u64,
    /// Processes inside a handler, those suspended in a call excluded. Now.
    pub processes_running: u64,
    /// Processes suspended in a call. Now.
    pub processes_wait_response: u64,
    /// Processes killed whose handler has not returned. Now.
    pub processes_zombee: u64,
    /// Successful spawns since start.
    pub processes_spawned: u64,
    /// Failed spawns since start.
    pub processes_spawn_failed: u64,
    /// Terminations since start.
    pub processes_terminated: u64,
    /// Registered process names. Now.
    pub registered_names: u64,
    /// Live aliases. Now.
    pub registered_aliases: u64,
    /// Registered events. Now.
    pub registered_events: u64,
    /// Loaded applications. Now.
    pub applications_total: u64,
    /// Running applications. Now.
    pub applications_running: u64,
    /// Sends to a local target that failed, since start.
    pub send_errors_local: u64,
    /// Sends to a remote target that failed, since start.
    pub send_errors_remote: u64,
    /// Calls to a local target that failed, since start.
    pub call_errors_local: u64,
    /// Calls to a remote target that failed, since start.
    pub call_errors_remote: u64,
    /// Log records per level since start: trace, debug, info, warning, error, panic.
    pub log_messages: [u64; 6],
    /// Spans since start: send, request, response, spawn, terminate.
    pub tracing_spans: [u64; 5],
    /// Publishes of local producers since start.
    pub events_published: u64,
    /// Event messages from peers since start.
    pub events_received: u64,
    /// Deliveries to local subscribers since start.
    pub events_local_sent: u64,
    /// Event messages to peers since start.
    pub events_remote_sent: u64,
    /// Peers ever connected, since start.
    pub connections_established: u64,
    /// Peers ever lost, since start.
    pub connections_lost: u64,
    /// Messages into mailboxes, ended processes included, since start.
    pub messages_in: u64,
    /// Messages routed by processes, ended processes included, since start.
    pub messages_out: u64,
    /// Handler time of all processes, ended ones included. Nanoseconds since start.
    pub running_ns: u64,
    /// Sleep to running transitions, ended processes included, since start.
    pub wakeups: u64,
    /// Live bytes of the allocator, if it counts them.
    pub allocated_bytes: Option<u64>,
    /// Bytes ever allocated, if the allocator counts them.
    pub allocated_total_bytes: Option<u64>,
}

/// State of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProcessState {
    /// In `init`.
    Init,
    /// Nothing to do.
    #[default]
    Sleep,
    /// In a handler, or on the ready queue.
    Running,
    /// Suspended in a call.
    WaitResponse,
    /// Ended, not yet removed.
    Terminated,
    /// Killed, its handler has not returned.
    Zombee,
}

impl ProcessState {
    /// The operator's word for the state.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Sleep => "sleep",
            Self::Running => "running",
            Self::WaitResponse => "wait response",
            Self::Terminated => "terminated",
            Self::Zombee => "zombee",
        }
    }
}

/// One queue set: Main, System, Urgent, Log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queues {
    /// Messages in Main.
    pub main: u64,
    /// Messages in System.
    pub system: u64,
    /// Messages in Urgent.
    pub urgent: u64,
    /// Messages in Log.
    pub log: u64,
}

/// The numbers of one process, copied from its record.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessCells {
    /// Local id.
    pub id: u64,
    /// Local id of the parent; `1` is the node itself.
    pub parent: u64,
    /// Local id of the group leader; `1` is the node itself.
    pub leader: u64,
    /// Shard that owns it.
    pub shard: u16,
    /// Part of the framework, not of the user's program.
    pub system: bool,
    /// Its state.
    pub state: ProcessState,
    /// Its log level.
    pub log_level: LogLevel,
    /// Messages accepted into the mailbox since spawn.
    pub messages_in: u64,
    /// Messages routed since spawn.
    pub messages_out: u64,
    /// Messages waiting, all queues.
    pub mailbox: u64,
    /// Messages waiting in Main; the rest waits in Urgent, System and Log.
    pub mailbox_main: u64,
    /// Age of the oldest waiting message in nanoseconds; `0` if none waits.
    pub oldest_ns: u64,
    /// Handler time since spawn in nanoseconds, the handler in progress included.
    pub running_ns: u64,
    /// Sleep to running transitions since spawn.
    pub wakeups: u64,
    /// Nanoseconds since spawn.
    pub uptime_ns: u64,
    /// Duration of `init` in nanoseconds.
    pub init_ns: u64,
    /// Nanoseconds in the current state; `0` if the node does not keep it.
    pub state_ns: u64,
    /// Nanoseconds the handler in progress has run; `0` if none runs.
    pub callback_elapsed_ns: u64,
}

/// What a process is tied to, as text an operator can paste: full pids, aliases, names of events and nodes.
#[derive(Clone, Debug, Default)]
pub struct Ties {
    /// Processes by pid.
    pub pids: Vec<String>,
    /// Processes by registered name.
    pub names: Vec<String>,
    /// Processes by alias.
    pub aliases: Vec<String>,
    /// Events.
    pub events: Vec<String>,
    /// Nodes.
    pub nodes: Vec<String>,
}

/// What only the shard of a process knows of it. The process itself is not asked: it may be busy or suspended.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Messages waiting by queue.
    pub queues: Queues,
    /// Places of each queue; `None` is unlimited.
    pub mailbox_limit: Option<u64>,
    /// What happens to a message that finds its queue full.
    pub on_full: &'static str,
    /// Name and tag of the process that gets what is refused.
    pub fallback: Option<(String, String)>,
    /// Priority of what it sends without naming one.
    pub send_priority: &'static str,
    /// Exit signals arrive as messages.
    pub traps_exits: bool,
    /// Messages by name or alias arrive as such.
    pub splits_handles: bool,
    /// Replies it waits for.
    pub awaited_calls: u64,
    /// Its aliases.
    pub aliases: Vec<String>,
    /// Events it has registered.
    pub events: Vec<String>,
    /// Its environment as it may be shown; empty where the node does not expose values.
    pub env: Vec<(String, String)>,
    /// Keys of its environment.
    pub env_keys: Vec<String>,
    /// What it is linked to.
    pub links: Ties,
    /// Full pids of those linked to it.
    pub linked_by: Vec<String>,
    /// What it monitors.
    pub monitors: Ties,
    /// Full pids of those that monitor it.
    pub monitored_by: Vec<String>,
}

/// One process as visited by a sweep.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessRow<'a> {
    /// The numbers.
    pub cells: ProcessCells,
    /// Registered name; empty if none.
    pub name: &'a str,
    /// Application it belongs to; empty if none.
    pub application: &'a str,
    /// Short type path of the actor, `module.Type`.
    pub behavior: &'static str,
    /// Classifier: `actor`, `supervisor`, `pool` and so on.
    pub kind: &'static str,
}

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
    /// What its I/O processes do.
    pub io: IoRow,
}

/// Upper bounds of the lengths by which [`ShardRow::stalls`] counts, in nanoseconds.
pub use shard_runtime::STALL_BOUNDS_NS;

/// Why an inspection has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// No such process. Retrying is useless.
    #[error("unknown process")]
    UnknownProcess,
    /// The shard runs something else and does not come back. Ask again later, or look at `runtime_stats`.
    #[error("shard {shard} is blocked by {pid} ({name}) for {:.1} s", *for_ns as f64 / 1e9)]
    ShardBlocked {
        /// The shard.
        shard: u32,
        /// Local id of the process that runs.
        by: u64,
        /// Its pid as text.
        pid: String,
        /// Its name; empty if none.
        name: String,
        /// How long it has run, in nanoseconds.
        for_ns: u64,
    },
    /// The process did not reach a boundary before the deadline. Ask again later.
    #[error("the process did not answer in time")]
    Timeout,
    /// Too many inspections wait. Ask again later.
    #[error("too many requests wait on the shard")]
    Overloaded,
}

/// Why another node has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// No session with that node.
    #[error("the node is not connected; see cluster_nodes for the nodes that are")]
    NotConnected,
    /// The session ended before the answer.
    #[error("the node became unreachable before it answered")]
    Unreachable,
    /// The node runs no diagnostics.
    #[error("the node runs no diagnostics thread")]
    AgentUnavailable,
    /// No answer before the deadline.
    #[error("the node did not answer in time; raise `timeout` or narrow the request")]
    Timeout,
    /// Too many requests wait.
    #[error("too many diagnostic requests wait; ask again later")]
    Overloaded,
    /// The node refused the request.
    #[error("the node refused the request")]
    Refused,
    /// The answer is larger than the cap.
    #[error("the answer is too large; use `limit` or a filter")]
    TooLarge,
    /// The node speaks another version of this protocol.
    #[error("the node speaks another version of the diagnostics protocol")]
    Version,
}

impl ProxyError {
    /// Stable word of the error, as in `structuredContent.error.kind`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Unreachable => "unreachable",
            Self::AgentUnavailable => "agent_unavailable",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Version => "version",
        }
    }
}

/// A request that came from a peer's diagnostics thread over the control link.
#[derive(Debug)]
pub struct RemoteRequest {
    /// The node that asks.
    pub from: String,
    /// The request, JSON.
    pub request: Vec<u8>,
    /// When the asker stops waiting.
    pub deadline: Instant,
    /// Where the JSON answer goes; dropping it makes the asker wait until its deadline.
    pub reply: oneshot::Sender<Vec<u8>>,
}

/// A node, as diagnostics sees it.
pub trait Source: Send + Sync + 'static {
    /// Who the node is.
    fn identity(&self) -> Identity;

    /// Counters of the whole node.
    fn node_counters(&self) -> NodeCounters;

    /// Visits every live process once, in any order; a row torn by reuse of its slot is left out.
    fn for_each_process(&self, visit: &mut dyn FnMut(&ProcessRow<'_>));

    /// Visits one process; `false` if there is none.
    fn process(&self, local_id: u64, visit: &mut dyn FnMut(&ProcessRow<'_>)) -> bool;

    /// All shards, by index.
    fn shards(&self) -> Vec<ShardRow>;

    /// Registered events, by name.
    fn events(&self) -> Vec<EventRow>;

    /// Loaded applications, by name.
    fn apps(&self) -> Vec<AppRow>;

    /// The cron jobs, by name.
    fn cron(&self) -> CronView;

    /// What cron runs after `since`, within `span`, at most `limit` times; of one job, if it is named.
    fn cron_schedule(&self, since: SystemTime, span: Duration, limit: usize, job: Option<&str>) -> CronPlan;

    /// Log records that found no room in the queues to the log thread since start, by level: trace, debug, info,
    /// warning, error, panic.
    fn log_lost(&self) -> [u64; 6];

    /// All connected peers.
    fn peers(&self) -> Vec<PeerRow>;

    /// All listeners.
    fn acceptors(&self) -> Vec<AcceptorRow>;

    /// Messages dropped by the policy of a full mailbox before they reached its shard: those of threads outside any
    /// shard, since start.
    fn outside_dropped(&self) -> u64;

    /// What the registrar says, from memory.
    fn registrar(&self) -> RegistrarView;

    /// Local id of a registered name.
    fn lookup(&self, name: &str) -> Option<u64>;

    /// Asks a process for its own view of itself.
    ///
    /// # Errors
    /// [`InspectError`] by the deadline at the latest.
    fn inspect(
        &self,
        local_id: u64,
        items: Vec<String>,
        deadline: Instant,
    ) -> Reply<'_, Vec<(String, String)>, InspectError>;

    /// Asks the shard of a process what it knows of it. The process is not disturbed.
    ///
    /// # Errors
    /// [`InspectError`] by the deadline at the latest.
    fn facts(&self, local_id: u64, deadline: Instant) -> Reply<'_, Facts, InspectError>;

    /// Sends a JSON request to the diagnostics thread of a connected node and returns its JSON answer.
    ///
    /// # Errors
    /// [`ProxyError`] by the deadline at the latest.
    fn diag_call(&self, node: &str, request: Vec<u8>, deadline: Instant) -> Reply<'_, Vec<u8>, ProxyError>;

    /// Round trips of the control link to a connected node, in nanoseconds, `count` of them.
    ///
    /// # Errors
    /// [`ProxyError`] by the deadline at the latest.
    fn ping(&self, node: &str, count: u32, deadline: Instant) -> Reply<'_, Vec<u64>, ProxyError>;

    /// Requests from peers. The first call takes the receiver, later ones get `None`. Called from a local task.
    fn take_requests(&self) -> Option<mpsc::Receiver<RemoteRequest>>;
}
