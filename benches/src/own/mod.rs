//! Our sides: the workloads as a user of the runtime would write them, with macro-written actors and all counters on.

pub mod across;
pub mod actors;
pub mod diag;
pub mod network;
pub mod population;
pub mod remote;
pub mod same_shard;
pub mod start;
pub mod styles;
pub mod timers;
