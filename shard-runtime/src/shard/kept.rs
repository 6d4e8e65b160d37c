//! Mailboxes kept for a successor: what a process had queued when it ended abnormally.
//!
//! Invariants: K1 a kept envelope is in no other queue; it is handed to one successor on this shard, or dropped and its
//! caller told. K2 who asked for a mailbox to be kept, the parent, claims it or has it dropped, at the latest when it ends;
//! so nothing is kept once it has gone.

use crate::error::CallError;
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{Extension, Record, bump};
use crate::shard::Shard;
use rustc_hash::FxBuildHasher;
use shard_wire::{LocalId, Pid};
use std::sync::atomic::Ordering::Relaxed;

/// Envelopes by the process that had them, those of Urgent first.
pub(crate) type Kept = std::collections::HashMap<u64, Vec<EnvelopePtr>, FxBuildHasher>;

impl Shard {
    /// Takes everything that is queued out of a process that has ended, if there is somebody to claim it (K2).
    pub(super) fn keep_mailbox(
        &self,
        local: u64,
        was_starting: bool,
        record: &Record,
        extension: &mut Extension,
    ) {
        // Who asked for it knows no process that never came up; it knows the one whose mailbox that one had taken over.
        let known = if was_starting { extension.adopted } else { local };
        let parent = LocalId(self.table.table().identity(local as u32).parent.load(Relaxed));
        let is_claimed = self.node.port(parent.shard()).is_some_and(|port| port.table.exists(parent.0));
        if known == 0 || !is_claimed {
            return;
        }
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
            self.kept.borrow_mut().insert(known, envelopes);
        }
    }

    /// Gives a new process what its predecessor had queued, in order.
    pub(super) fn adopt_mailbox(&self, record: &Record, before: Pid) {
        self.with_extension(record, |extension| extension.adopted = before.local.0);
        let kept = self.kept.borrow_mut().remove(&before.local.0);
        for envelope in kept.into_iter().flatten() {
            self.enqueue_by_force(record, envelope, envelope.meta() & Meta::FLAGS);
        }
    }

    /// Nobody wants what a process had queued.
    pub(crate) fn drop_kept_mailbox(&self, before: Pid) {
        self.tell(before.local.shard(), move |shard| {
            let kept = shard.kept.borrow_mut().remove(&before.local.0);
            shard.drop_kept(kept.into_iter().flatten());
        });
    }

    /// The shard stops.
    pub(super) fn drop_all_kept(&self) {
        let kept = std::mem::take(&mut *self.kept.borrow_mut());
        self.drop_kept(kept.into_values().flatten());
    }

    fn drop_kept(&self, envelopes: impl Iterator<Item = EnvelopePtr>) {
        for envelope in envelopes {
            bump(&self.cells().mailbox_lost, 1);
            self.drop_queued(envelope, CallError::Terminated);
        }
    }

    /// Ends a process that nobody waits for any more, and keeps nothing of it.
    pub(super) fn abandon_start(&self, pid: Pid) {
        self.tell(pid.local.shard(), move |shard| {
            if let Some(record) = shard.live_record(pid.local.0) {
                shard.with_extension(record, |extension| extension.preserve = false);
                shard.kill_here(pid.local.0);
            }
        });
    }
}
