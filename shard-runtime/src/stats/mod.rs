//! The stats plane, from the reader's side: what the diagnostics thread sees without asking any shard.

mod facts;
mod net;
mod reader;

pub use facts::ProcessFacts;
pub use net::{AcceptorStats, NetStats, PeerStats, StalledShard};
pub use reader::{NodeStats, ProcessState, ProcessStats, Reader, ShardStats};
