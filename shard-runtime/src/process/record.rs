//! One process in 128 hot and 64 cold bytes.
//!
//! Owns: the layout of a process and the meaning of its flag bits.
//!
//! | Field | Written by | Read by | When |
//! |---|---|---|---|
//! | line 0 (`id` .. `body`) | owning shard | owning shard; atomics also by readers | each send |
//! | line 1 (`taken` .. `last`) | owning shard | as above | once per activation |
//! | [`Identity`] | owning shard; `signal` by anyone | as above | at spawn, rename, end |
//!
//! Invariants: R1 all-zero bytes are a valid, free record. R2 `id` is 0 while the slot is free and never repeats, so a
//! reader that sees the same id before and after its reads has read one process. R3 the counters have one writer.
//! R4 the Main queue holds `pushed - taken` envelopes linked from `head`; when empty, `tail` is `head` seen as an envelope.

#![expect(unsafe_code, reason = "reads a static table; proven by any_id_is_safe_to_look_up")]

use crate::actor::{ActorTable, Live};
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{Extension, KillMark};
use crate::shard::LogLevel;
use shard_wire::Vtable;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// Bits of [`Record::flags`]: scheduling and published state in one word, so that a send tests once.
pub(crate) struct Flags;

impl Flags {
    /// In the ready queue, or running.
    pub(crate) const QUEUED: u32 = 1;
    /// A suspended handler borrows the actor.
    pub(crate) const LIVE: u32 = 2;
    /// `init` has not run.
    pub(crate) const START: u32 = 4;
    /// A kill or an untrapped exit waits in the extension.
    pub(crate) const SIGNAL: u32 = 8;
    /// Urgent, System or Log holds something.
    pub(crate) const OTHER: u32 = 16;
    /// A handler is on the stack.
    pub(crate) const RUNNING: u32 = 32;
    /// An inspect request waits in the extension.
    pub(crate) const INSPECT: u32 = 64;
    /// The suspended handler waits for the reply of a call.
    pub(crate) const CALLING: u32 = 128;
    /// `terminate` runs or has run.
    pub(crate) const TERMINATED: u32 = 256;
    /// The mailbox has a bound: each message needs a place.
    pub(crate) const BOUNDED: u32 = 512;
    /// The actor lives on a thread of its own: messages are handed on to it.
    pub(crate) const DEDICATED: u32 = 1024;
    /// Messages sent by name or alias arrive as such.
    pub(crate) const SPLIT: u32 = 2048;
    /// What it sends without naming a priority has one of its own.
    pub(crate) const SENDER: u32 = 4096;
    /// Some of what it sends to other nodes is compressed.
    pub(crate) const COMPRESSES: u32 = 8192;
    /// Its handler, running or suspended, is part of a trace.
    pub(crate) const TRACED: u32 = 16384;
    /// The level of its log lines and one; 0 if it has none of its own.
    pub(crate) const LOG_LEVEL: u32 = 7 << Self::LOG_LEVEL_AT;
    const LOG_LEVEL_AT: u32 = 24;
    /// A send must look before it queues.
    pub(crate) const SPECIAL: u32 = Self::BOUNDED | Self::DEDICATED | Self::TERMINATED;
    /// What belongs to the process, not to its state.
    pub(crate) const TRAITS: u32 =
        Self::BOUNDED | Self::DEDICATED | Self::SPLIT | Self::SENDER | Self::COMPRESSES | Self::LOG_LEVEL;
    /// Traits that an activation does not care for.
    pub(crate) const QUIET: u32 = Self::BOUNDED | Self::SPLIT | Self::COMPRESSES | Self::LOG_LEVEL;
    /// What an activation leaves standing for the next one.
    pub(crate) const KEPT: u32 = Self::OTHER | Self::SIGNAL | Self::INSPECT;
    /// What one that ends with a suspended handler leaves standing.
    pub(crate) const KEPT_SUSPENDED: u32 =
        Self::KEPT | Self::TRAITS | Self::CALLING | Self::START | Self::TRACED;

    /// A level of log lines among the flags.
    pub(crate) fn of_level(level: Option<LogLevel>) -> u32 {
        level.map_or(0, |level| (level as u32 + 1) << Self::LOG_LEVEL_AT)
    }

    /// The level of log lines among these flags.
    pub(crate) fn level_of(flags: u32) -> Option<LogLevel> {
        let level = (flags & Self::LOG_LEVEL) >> Self::LOG_LEVEL_AT;
        Some(LogLevel::from_u8(level.checked_sub(1)? as u8))
    }
}

/// The hot part of a process: header and published counters.
#[repr(C, align(128))]
pub(crate) struct Record {
    /// Local id; 0 while free.
    pub(crate) id: AtomicU64,
    pub(crate) head: Cell<EnvelopePtr>,
    pub(crate) tail: Cell<EnvelopePtr>,
    /// Messages that entered Main since the spawn.
    pub(crate) pushed: AtomicU64,
    pub(crate) flags: AtomicU32,
    /// Messages one activation may handle.
    pub(crate) budget: Cell<u32>,
    /// Time stamp of the message that made the mailbox non-empty. In the record that stands for a dedicated process on its
    /// home shard: the index of its annex.
    pub(crate) oldest: AtomicU64,
    pub(crate) actor: AtomicPtr<ActorTable>,
    pub(crate) body: Cell<*mut u8>,

    /// Messages taken from Main since the spawn.
    pub(crate) taken: AtomicU64,
    /// Messages sent since the spawn.
    pub(crate) out: AtomicU64,
    pub(crate) wakeups: AtomicU64,
    /// Ticks in handlers.
    pub(crate) run: AtomicU64,
    /// Sum over handled messages of the ticks between send and start of the activation.
    pub(crate) latency: AtomicU64,
    pub(crate) extension: Cell<*mut Extension>,
    pub(crate) live: Cell<*mut Live>,
    /// Ticks at the end of the last activation, or at the spawn.
    pub(crate) last: AtomicU64,
}

const _: () = assert!(size_of::<Record>() == 128);

/// The cold part: who it is. Read by the diagnostics thread, rarely by the shard.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) parent: AtomicU64,
    pub(crate) leader: AtomicU64,
    /// Ticks at the spawn. While the slot is free: the next generation.
    pub(crate) born: AtomicU64,
    /// Ticks from the spawn to the end of `init`.
    pub(crate) init: AtomicU64,
    pub(crate) name: AtomicU32,
    pub(crate) application: AtomicU32,
    /// Messages that entered Urgent, System or Log since the spawn.
    pub(crate) other_in: AtomicU64,
    pub(crate) other_taken: AtomicU64,
    /// Anyone may write it, so that a stuck process shows as `zombee`.
    pub(crate) signal: KillMark,
}

#[cfg(not(feature = "loom"))]
const _: () = assert!(size_of::<Identity>() == 64);

/// Whether counters per message and activation, latency stamps and the stall beacon are compiled in. They always are, but for
/// one build that measures what they cost (`make bare`); nothing may be read from its statistics.
pub(crate) const INSTRUMENTS: bool = !cfg!(shard_bare);

/// Adds to a counter that has one writer (R3): an ordinary add, not a locked one.
#[inline(always)]
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

impl Record {
    /// Messages in Main.
    #[inline(always)]
    pub(crate) fn depth(&self) -> u64 {
        self.pushed.load(Relaxed).wrapping_sub(self.taken.load(Relaxed))
    }

    /// Appends to Main.
    #[inline(always)]
    pub(crate) fn push(&self, envelope: EnvelopePtr) {
        self.tail.get().set_next(envelope);
        self.tail.set(envelope);
        bump(&self.pushed, 1);
    }

    /// Takes the first `count` envelopes, the last of which is `last`, out of Main. Returns the first.
    #[inline(always)]
    pub(crate) fn remove(&self, count: u64, last: EnvelopePtr) -> EnvelopePtr {
        let first = self.head.get();
        let rest = last.next();
        bump(&self.taken, count);
        if self.depth() == 0 {
            self.tail.set(EnvelopePtr::head_of(&self.head));
        } else {
            self.head.set(rest);
        }
        first
    }

    /// Takes the first envelope out of Main that does not come from the runtime.
    pub(crate) fn pop_droppable(&self) -> Option<EnvelopePtr> {
        let mut before = EnvelopePtr::head_of(&self.head);
        for _ in 0..self.depth() {
            let at = before.next();
            if at.meta() & Meta::RUNTIME != 0 {
                before = at;
                continue;
            }
            if at == self.tail.get() {
                self.tail.set(before);
            } else {
                before.set_next(at.next());
            }
            bump(&self.taken, 1);
            return Some(at);
        }
        None
    }

    #[inline(always)]
    pub(crate) fn flags(&self) -> u32 {
        self.flags.load(Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn add_flags(&self, flags: u32) {
        self.set_flags(self.flags() | flags);
    }

    #[inline(always)]
    pub(crate) fn clear_flags(&self, flags: u32) {
        self.set_flags(self.flags() & !flags);
    }

    /// The actor type's name. Any thread may ask: the table is static.
    pub(crate) fn behavior(&self) -> Option<&'static str> {
        let table = self.actor.load(Relaxed);
        // SAFETY: null, or a `&'static ActorTable` that `Shard::start` stored.
        unsafe { table.as_ref() }.map(|table| table.behavior)
    }

    /// The message types of an actor that takes some as views; none if it does not.
    #[inline]
    pub(crate) fn views(&self) -> &'static [&'static Vtable] {
        let table = self.actor.load(Relaxed);
        // SAFETY: null, or a `&'static ActorTable` that `Shard::start` stored.
        unsafe { table.as_ref() }.map_or(&[], |table| table.views)
    }

    /// The annex of a dedicated process, by its record on the home shard.
    pub(crate) fn annex(&self) -> u16 {
        self.oldest.load(Relaxed) as u16
    }

    /// What kind of behaviour it is.
    pub(crate) fn kind(&self) -> &'static str {
        let table = self.actor.load(Relaxed);
        // SAFETY: null, or a `&'static ActorTable` that `Shard::start` stored.
        unsafe { table.as_ref() }.map_or("", |table| table.kind)
    }

    /// The slot, for the ready queue.
    #[inline(always)]
    pub(crate) fn slot(&self) -> u32 {
        self.id.load(Relaxed) as u32
    }
}
