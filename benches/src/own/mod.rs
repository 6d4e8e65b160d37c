//! Our sides: the workloads as a user of the runtime would write them, with macro-written actors and all counters on.

#[cfg(feature = "peers")]
pub mod across;
pub mod actors;
#[cfg(feature = "peers")]
pub mod diag;
#[cfg(feature = "peers")]
pub mod events;
#[cfg(feature = "peers")]
pub mod far_events;
#[cfg(feature = "peers")]
pub mod logging;
#[cfg(feature = "peers")]
pub mod network;
#[cfg(feature = "peers")]
pub mod population;
#[cfg(feature = "peers")]
pub mod remote;
#[cfg(feature = "peers")]
pub mod same_shard;
#[cfg(feature = "peers")]
pub mod sockets;
pub mod start;
pub mod styles;
pub mod timers;
#[cfg(feature = "peers")]
pub mod views;
