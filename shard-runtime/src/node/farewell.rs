//! What a node that stops owes to others: what it has accepted from them is done and answered first.
//!
//! Invariants: W1 nothing is accepted from other nodes any more when it is waited for what was. W2 that all is answered is said
//! only if it is so and the peers have confirmed it.
//! Cost: a look at all processes per round and every few milliseconds, while a node stops that has peers.

use crate::node::stop::Run;
use crate::shard::{Inbound, LogLevel, Shard};
use crate::stats::{ProcessState, ProcessStats, Reader};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// How long a stop waits for what was accepted from other nodes while nothing of it is handled.
const ACCEPTED_LIMIT: Duration = Duration::from_secs(5);
/// How long a stop waits for peers to confirm what was sent to them, and for a shard to say something.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);
/// How often what was queued is looked at again: what one process hands to the next is accepted, too.
const ROUNDS: usize = 3;

/// Messages of one process.
struct Given {
    all: u64,
    taken: u64,
}

fn taken_of(process: &ProcessStats) -> u64 {
    process.messages_in.saturating_sub(process.mailbox)
}

/// Whether a handler is at work, or waits for the reply of a call.
fn is_busy(process: &ProcessStats) -> bool {
    matches!(process.state, ProcessState::Running | ProcessState::WaitResponse)
}

impl Run<'_> {
    fn has_peers(&self) -> bool {
        self.shared().peers().all().iter().any(|peer| peer.connected.load(Relaxed))
    }

    /// Tells other nodes that nothing new is taken, and refuses it.
    pub(super) fn leave(&self) {
        self.inner.control.leave();
        for port in self.shared().ports() {
            if port.post_reserved(Inbound::Task(Box::new(Shard::refuse_others))).is_err() {
                self.shared().count_inbox_refused();
            }
        }
    }

    /// Waits until what was accepted from other nodes is handled, and their calls are answered.
    pub(super) fn accepted(&self) {
        let mut until = self.until.min(crate::clock::now() + ACCEPTED_LIMIT);
        // Every shard has begun to refuse when it answers.
        if !self.has_peers() || !self.all_shards(until, |_| true) {
            return;
        }
        for _ in 0..ROUNDS {
            let mut queued = self.queued();
            loop {
                let is_answered = self.all_shards(until, Shard::has_answered_others);
                if self.drop_handled(&mut queued) {
                    until = self.until.min(crate::clock::now() + ACCEPTED_LIMIT);
                }
                if queued.is_empty() && is_answered {
                    break;
                }
                if self.is_over() || crate::clock::now() >= until {
                    return self.shared().log().node(LogLevel::Warning, || {
                        format!(
                            "of what was accepted from other nodes nothing was handled for {ACCEPTED_LIMIT:?}; \
                             {} processes still have some of it; going on without them",
                            queued.len()
                        )
                    });
                }
                self.pause();
            }
        }
    }

    /// What each process that is not idle has been given, and how much of that it has taken.
    fn queued(&self) -> FxHashMap<u64, Given> {
        let mut queued = FxHashMap::default();
        Reader::new(Arc::clone(self.shared())).processes(|process| {
            if process.mailbox > 0 || is_busy(process) {
                queued.insert(process.id.0, Given { all: process.messages_in, taken: taken_of(process) });
            }
            true
        });
        queued
    }

    /// Takes out who has handled what it had, or has gone. Whether anybody has come on.
    fn drop_handled(&self, queued: &mut FxHashMap<u64, Given>) -> bool {
        if queued.is_empty() {
            return false;
        }
        let (mut left, mut has_moved) = (FxHashMap::default(), false);
        Reader::new(Arc::clone(self.shared())).processes(|process: &ProcessStats| {
            if let Some(given) = queued.get(&process.id.0) {
                let taken = taken_of(process);
                has_moved |= taken > given.taken;
                if taken < given.all || (is_busy(process) && taken == given.all) {
                    left.insert(process.id.0, Given { all: given.all, taken });
                }
            }
            true
        });
        has_moved |= left.len() < queued.len();
        *queued = left;
        has_moved
    }

    /// Waits until peers have confirmed what was sent to them, so that a planned stop leaves nothing unknown. Whether they
    /// have, and no call of theirs is open.
    pub(super) fn settle_links(&self) -> bool {
        let until = self.until.min(crate::clock::now() + SETTLE_LIMIT);
        while self.has_peers() {
            if crate::clock::now() >= until || self.inner.stopping.is_cut() {
                return false;
            }
            if self.all_shards(until, |shard| shard.has_answered_others() && shard.are_links_settled()) {
                return true;
            }
            self.pause();
        }
        true
    }

    /// Whether all shards say yes. One that does not answer is stuck.
    fn all_shards(&self, until: Instant, ask: fn(&Shard) -> bool) -> bool {
        let ports = self.shared().ports();
        let (answers, said) = sync_channel(ports.len());
        for port in ports {
            let answers = answers.clone();
            let task = Box::new(move |shard: &Shard| {
                // Whoever asked may have given up.
                let _gone = answers.try_send(ask(shard));
            });
            if port.post_reserved(Inbound::Task(task)).is_err() {
                self.shared().count_inbox_refused();
            }
        }
        drop(answers);
        let until = until.min(crate::clock::now() + SETTLE_LIMIT);
        (0..ports.len()).all(|_| {
            let left = until.saturating_duration_since(crate::clock::now());
            said.recv_timeout(left) == Ok(true)
        })
    }
}
