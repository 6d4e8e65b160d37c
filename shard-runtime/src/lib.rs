//! shard-runtime

mod ring;
mod sync;
mod wheel;

/// What the benchmarks measure and nobody else may use.
#[doc(hidden)]
pub mod bench_internals {
    pub use crate::ring::{DEFAULT_CAPACITY, Receiver, SLOT_BYTES, Sender, channel};
    pub use crate::wheel::{Advanced, DEFAULT_TIMER_LIMIT, TimerKey, TimerLimitReached, Wheel};
}
