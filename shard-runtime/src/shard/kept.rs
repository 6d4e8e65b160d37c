//! Mailboxes kept for a successor: what a process had queued when it ended abnormally.
//!
//! Invariants: K1 a kept envelope is in no other queue; it is handed to one successor on this shard, or dropped and its
//! caller told. K2 who asked for a mailbox to be kept, a supervisor, claims it or has it dropped.

use crate::error::CallError;
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{Extension, Record, bump};
use crate::shard::Shard;
use rustc_hash::FxBuildHasher;
use shard_wire::Pid;

/// Envelopes by the process that had them, those of Urgent first.
pub(crate) type Kept = std::collections::HashMap<u64, Vec<EnvelopePtr>, FxBuildHasher>;

impl Shard {
    /// Takes everything that is queued out of a process that has ended.
    pub(super) fn keep_mailbox(&self, local: u64, record: &Record, extension: &mut Extension) {
        let mut envelopes = Vec::new();
        for queue in [Extension::URGENT, Extension::SYSTEM] {
            envelopes.extend(std::iter::from_fn(|| extension.queues[queue].pop()));
        }
        while record.depth() > 0 {
            let envelope = record.head.get();
            record.remove(1, envelope);
            envelopes.push(envelope);
        }
        envelopes.extend(std::iter::from_fn(|| extension.queues[Extension::LOG].pop()));
        if !envelopes.is_empty() {
            self.kept.borrow_mut().insert(local, envelopes);
        }
    }

    /// Gives a new process what its predecessor had queued, in order.
    pub(super) fn adopt_mailbox(&self, record: &Record, before: Pid) {
        let kept = self.kept.borrow_mut().remove(&before.local.0);
        for envelope in kept.into_iter().flatten() {
            self.enqueue_by_force(record, envelope, envelope.meta() & Meta::FLAGS);
        }
    }

    /// Nobody wants what a process had queued.
    pub(crate) fn drop_kept_mailbox(&self, before: Pid) {
        self.tell(before.local.shard(), move |shard| {
            let kept = shard.kept.borrow_mut().remove(&before.local.0);
            for envelope in kept.into_iter().flatten() {
                bump(&shard.cells().mailbox_lost, 1);
                shard.drop_queued(envelope, CallError::Terminated);
            }
        });
    }
}
