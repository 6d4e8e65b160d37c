//! The stats plane, from the reader's side: what the diagnostics thread sees without asking any shard.

mod reader;

pub use reader::{NodeStats, ProcessState, ProcessStats, Reader, ShardStats};
