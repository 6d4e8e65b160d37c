//! What most processes never need: the three other queues, a pending signal, relations, aliases. Made on first use.

use crate::error::ExitReason;
use crate::mailbox::Queue;
use crate::process::{Env, QUEUES, Relations};
use crate::shard::Shard;
use crate::trace::TraceContext;
use shard_wire::Pid;
use std::collections::VecDeque;
use std::time::Duration;

/// Where the answer of an inspect request goes; called on the shard.
pub(crate) type InspectAnswer = Box<dyn FnOnce(Vec<(String, String)>)>;

/// An inspect request that waits for the next boundary between handlers.
pub(crate) struct PendingInspect {
    pub(crate) items: Vec<String>,
    pub(crate) answer: InspectAnswer,
}

/// Who has asked for a process from another node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Far {
    pub(crate) parent: Pid,
    pub(crate) leader: Pid,
    /// It ends when its parent ends.
    pub(crate) links: bool,
}

/// Who is told that `init` is done, or why there will be no process.
pub(crate) type StartedAnswer = Box<dyn FnOnce(&Shard, Result<(), ExitReason>)>;

/// What a process does with exit signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Trap {
    /// They end it.
    #[default]
    Off,
    /// They arrive as messages, except those of its parent.
    On,
    /// All arrive as messages: for supervisors, which end their children before themselves.
    All,
}

/// The lazy part of a process.
#[derive(Default)]
pub(crate) struct Extension {
    /// Urgent, System, Log: indexed by [`Extension::URGENT`] and so on.
    pub(crate) queues: [Queue; 3],
    pub(crate) signal: Option<ExitReason>,
    pub(crate) inspects: Vec<PendingInspect>,
    pub(crate) started: Option<StartedAnswer>,
    /// The timer of an `init` that waits.
    pub(crate) init_timer: u64,
    /// Activations that went to the higher queues alone.
    pub(crate) passed_over: u32,
    /// How long `init` may take; `None` means the default.
    pub(crate) init_limit: Option<Duration>,
    pub(crate) trap: Trap,
    /// Keep what is queued when the process ends abnormally.
    pub(crate) preserve: bool,
    /// Its parent and leader, if they are of another node.
    pub(crate) far: Option<Far>,
    /// The process whose mailbox it has taken over; 0 if there is none.
    pub(crate) adopted: u64,
    pub(crate) relations: Relations,
    pub(crate) aliases: Vec<u64>,
    /// Symbols of the events it has registered.
    pub(crate) events: Vec<u32>,
    /// Waiters of senders that wait for room in a bounded mailbox, by queue.
    pub(crate) room: [VecDeque<u64>; QUEUES],
    pub(crate) env: Env,
    /// The only logger of its lines, as a symbol; 0 for all.
    pub(crate) logger: u32,
    /// Priority of what it sends without naming one, as the bits of an envelope.
    pub(crate) send_queue: u64,
    /// Least length of a body that is compressed for other nodes, in bytes; 0: none is.
    pub(crate) compress_at: u32,
    /// The context of a suspended handler that is part of a trace.
    pub(crate) trace: Option<TraceContext>,
}

impl Extension {
    pub(crate) const URGENT: usize = 0;
    pub(crate) const SYSTEM: usize = 1;
    pub(crate) const LOG: usize = 2;

    pub(crate) fn is_queue_left(&self) -> bool {
        self.queues.iter().any(|queue| queue.len() > 0)
    }
}
