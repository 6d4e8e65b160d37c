//! shard-runtime

mod ring;
mod sync;
mod wheel;

/// What the benchmarks measure and nobody else may use.
#[doc(hidden)]
pub mod bench_internals {
    pub use crate::ring::{
        DEFAULT_CAPACITY, DEFAULT_INBOX_LIMIT, DEFAULT_SPILL_LIMIT, Inbox, InboxError, InboxRefusal, Outbox,
        Receiver, RunMark, SLOT_BYTES, Sender, Sleep, SpillFull, channel,
    };
    pub use crate::wheel::{Advanced, DEFAULT_TIMER_LIMIT, TimerKey, TimerLimitReached, Wheel};
}
