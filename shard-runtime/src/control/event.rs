//! Nodes that come and go, for programs.

use shard_wire::session::DownReason;

/// A session with another node began or ended. Ups and downs of one name alternate, and sessions grow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A session has begun.
    Up {
        /// The node.
        name: String,
        /// Number of the session.
        session: u64,
    },
    /// The session has ended.
    Down {
        /// The node.
        name: String,
        /// Number of the session.
        session: u64,
        /// Why.
        reason: DownReason,
    },
}
