//! shard-runtime

mod clock;
mod names;
mod oneshot;
mod ring;
mod symbol;
mod sync;
mod wheel;

/// What the benchmarks measure and nobody else may use.
#[doc(hidden)]
pub mod bench_internals {
    pub use crate::clock::{Clock, ClockKind, VirtualClock, now};
    pub use crate::names::{MAX_NAME_BYTES, NameError, Names};
    pub use crate::oneshot::{
        Receiver as ReplyReceiver, RecvError, Sender as ReplySender, channel as reply_slot,
    };
    pub use crate::ring::{
        DEFAULT_CAPACITY, DEFAULT_INBOX_LIMIT, DEFAULT_SPILL_LIMIT, Inbox, InboxError, InboxRefusal, Outbox,
        Receiver, RunMark, SLOT_BYTES, Sender, Sleep, SpillFull, channel,
    };
    pub use crate::symbol::{MAX_SYMBOL_BYTES, MAX_SYMBOLS, Symbol, SymbolError, Symbols};
    pub use crate::wheel::{Advanced, DEFAULT_TIMER_LIMIT, TimerKey, TimerLimitReached, Wheel};
}
