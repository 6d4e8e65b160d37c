//! Processes as diagnostics sees them.

use super::LogLevel;

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
