//! The one trait through which diagnostics sees a node.
//!
//! Owns: the plain records that cross the border, in documented units, and the [`Source`] trait.
//! Invariants: S1 everything but `inspect`, `facts`, `diag_call` and `ping` is answered from shared memory, so it works
//! while every shard is stuck. S2 a process row borrows its strings for the visit only; nothing is allocated per row.
//! S3 a request carries an absolute deadline and ends by it, with a typed error that says who was in the way.
//! S4 what counts "since start" never steps back, not by a nanosecond: a scraper takes that for a restart.
//! Threads: called on the diagnostics thread only. Cost: a sweep reads each row once.

mod app;
mod contract;
mod cron;
mod event;
mod io;
mod link;
mod log;
mod network;
mod node;
mod process;
mod request;
mod shard;

pub use app::AppRow;
pub use contract::Source;
pub use cron::{CronJobRow, CronPlan, CronSlotRow, CronView};
pub use event::EventRow;
pub use io::IoRow;
pub use link::{LinkRow, NetRow};
pub use log::{LogLevel, LoggerRow};
pub use network::{AcceptorRow, KnownNode, PeerChangeRow, PeerFlags, PeerRow, RegistrarView};
pub use node::{Identity, NodeCounters, Phase, Version};
pub use process::{Facts, ProcessCells, ProcessRow, ProcessState, Queues, Ties};
pub use request::{InspectError, ProxyError, RemoteRequest, Reply};
pub use shard::{Current, STALL_BOUNDS_NS, ShardRow};
