//! Hands tasks to shards, in order, whatever the state of their inboxes.
//!
//! Invariant: P1 a task that a full inbox refuses is kept and tried again before any later one, because a shard that
//! missed the end of a session would go wrong for good. What is kept grows with sessions and links, not with messages.

use crate::ring::InboxRefusal;
use crate::shard::{Inbound, Shard};
use crate::shared::NodeShared;
use std::collections::VecDeque;
use std::sync::Arc;

/// The control thread's way into the shards.
pub(super) struct Poster {
    node: Arc<NodeShared>,
    kept: Vec<VecDeque<Inbound>>,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster").field("kept", &self.kept.iter().map(VecDeque::len).sum::<usize>()).finish()
    }
}

impl Poster {
    pub(super) fn new(node: Arc<NodeShared>) -> Self {
        let kept = (0..node.shards()).map(|_| VecDeque::new()).collect();
        Self { node, kept }
    }

    /// Runs something on a shard, soon.
    pub(super) fn post(&mut self, shard: u16, task: impl FnOnce(&Shard) + Send + 'static) {
        if let Some(kept) = self.kept.get_mut(usize::from(shard)) {
            kept.push_back(Inbound::Task(Box::new(task)));
            self.flush(shard);
        }
    }

    /// Runs something on every shard, soon.
    pub(super) fn post_all(&mut self, task: impl Fn(&Shard) + Clone + Send + 'static) {
        for shard in 0..self.node.shards() {
            self.post(shard, task.clone());
        }
    }

    /// Tries again what was refused; whether anything is left.
    pub(super) fn retry(&mut self) -> bool {
        for shard in 0..self.node.shards() {
            self.flush(shard);
        }
        self.is_behind()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.kept.iter().any(|kept| !kept.is_empty())
    }

    fn flush(&mut self, shard: u16) {
        let (Some(port), Some(kept)) = (self.node.port(shard), self.kept.get_mut(usize::from(shard))) else {
            return;
        };
        while let Some(task) = kept.pop_front() {
            let Err(refused) = port.post(task) else { continue };
            match refused.reason {
                InboxRefusal::Full { .. } => {
                    kept.push_front(refused.into_inner());
                    return;
                }
                // A shard that has ended has no sessions to end.
                InboxRefusal::Closed => kept.clear(),
            }
        }
    }
}
