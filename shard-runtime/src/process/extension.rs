//! What most processes never need: the three other queues, a pending signal, inspect requests. Made on first use.

use crate::error::ExitReason;
use crate::mailbox::Queue;

/// Where the answer of an inspect request goes; called on the shard.
pub(crate) type InspectAnswer = Box<dyn FnOnce(Vec<(String, String)>)>;

/// An inspect request that waits for the next boundary between handlers.
pub(crate) struct PendingInspect {
    pub(crate) items: Vec<String>,
    pub(crate) answer: InspectAnswer,
}

/// Who is told that `init` is done, or why there will be no process.
pub(crate) type StartedAnswer = Box<dyn FnOnce(Result<(), Box<str>>)>;

/// The lazy part of a process.
pub(crate) struct Extension {
    /// Urgent, System, Log: indexed by [`Extension::queue_index`].
    pub(crate) queues: [Queue; 3],
    pub(crate) signal: Option<ExitReason>,
    pub(crate) inspects: Vec<PendingInspect>,
    pub(crate) started: Option<StartedAnswer>,
}

impl Extension {
    pub(crate) const URGENT: usize = 0;
    pub(crate) const SYSTEM: usize = 1;
    pub(crate) const LOG: usize = 2;

    pub(crate) fn new() -> Self {
        Self { queues: [Queue::NEW; 3], signal: None, inspects: Vec::new(), started: None }
    }

    pub(crate) fn is_queue_left(&self) -> bool {
        self.queues.iter().any(|queue| queue.len() > 0)
    }
}
