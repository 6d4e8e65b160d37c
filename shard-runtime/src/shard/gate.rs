//! The gate of a shard: the word by which a send learns that there is more to do than to queue.
//!
//! Invariant: G1 the gate is the node's key while sends take the fast path, and else the sum of why they do not: each send
//! compares it with its target's node anyway, so whoever has no reason pays nothing. No node's key is such a sum, but for one
//! in 2^61; then some sends of that node's processes to its own go without what they should have.

use crate::mailbox::Meta;
use crate::shard::Shard;

/// What is sent is written into a journal.
const WATCHED: u64 = 1;
/// The process that runs has a priority of its own for what it sends.
const OPTIONS: u64 = 1 << 1;
/// The handler that runs is part of a trace.
const TRACED: u64 = 1 << 2;

/// Whether a gate, which is known not to be open, is that of a watched shard.
#[inline(always)]
pub(super) fn is_watched_gate(gate: u64) -> bool {
    gate & WATCHED != 0
}

/// Whether what is sent behind this gate, which is known not to be open, is part of a trace.
#[inline(always)]
pub(super) fn is_traced_gate(gate: u64) -> bool {
    gate & TRACED != 0
}

impl Shard {
    /// Why the gate is shut.
    fn gate_reasons(&self) -> u64 {
        let gate = self.gate.get();
        if gate == self.key { 0 } else { gate }
    }

    fn set_gate_reasons(&self, reasons: u64) {
        self.gate.set(if reasons == 0 { self.key } else { reasons });
    }

    /// Has what processes do here written into the journal of the simulation.
    pub(crate) fn begin_watch(&self) {
        self.set_gate_reasons(self.gate_reasons() | WATCHED);
    }

    #[inline(always)]
    pub(super) fn is_watched(&self) -> bool {
        self.gate.get() != self.key && is_watched_gate(self.gate.get())
    }

    /// The process that runs from now on has options for its sends.
    #[cold]
    #[inline(never)]
    pub(super) fn shut_gate(&self) {
        self.set_gate_reasons(self.gate_reasons() | OPTIONS);
    }

    /// What is sent from now on is part of a trace, or not.
    pub(super) fn gate_traces(&self, on: bool) {
        let others = self.gate_reasons() & !TRACED;
        self.set_gate_reasons(if on { others | TRACED } else { others });
    }

    /// No process runs any more whose sends are special.
    #[cold]
    #[inline(never)]
    pub(super) fn rest_gate(&self) {
        self.set_gate_reasons(if self.journal().is_some() { WATCHED } else { 0 });
    }

    /// The priority of what the current process sends without naming one.
    #[cold]
    pub(crate) fn send_queue(&self) -> u64 {
        if self.gate_reasons() & OPTIONS == 0 {
            return Meta::MAIN;
        }
        let record = self.table.record(self.current_id.get() as u32);
        self.with_existing_extension(record, |extension| Some(extension.send_queue)).unwrap_or(Meta::MAIN)
    }

    /// The flags of a message with the priority of its sender, unless it has one of its own.
    pub(crate) fn with_send_queue(&self, flags: u64) -> u64 {
        if flags & Meta::QUEUE == Meta::MAIN { flags | self.send_queue() } else { flags }
    }

    /// Runs something with nothing special about the sends of the current process.
    #[inline]
    pub(crate) fn ungated<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.gate.replace(self.key);
        let result = f();
        self.gate.set(before);
        result
    }

    /// Runs sends that name their priority: what else is special about them stays.
    #[inline]
    pub(crate) fn unprioritized<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.gate.get();
        if before != self.key {
            self.set_gate_reasons(before & TRACED);
        }
        let result = f();
        self.gate.set(before);
        result
    }
}
