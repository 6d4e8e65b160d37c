//! Questions to shards and to other nodes, and why they may have no answer.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use tokio::sync::oneshot;

/// What a request to the node returns: a future that ends by its deadline.
pub type Reply<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Why an inspection has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// No such process. Retrying is useless.
    #[error("unknown process")]
    UnknownProcess,
    /// The shard runs something else and does not come back. Ask again later, or look at `runtime_stats`.
    #[error("shard {shard} is blocked by {pid} ({name}) for {:.1} s", *for_ns as f64 / 1e9)]
    ShardBlocked {
        /// The shard.
        shard: u32,
        /// Local id of the process that runs.
        by: u64,
        /// Its pid as text.
        pid: String,
        /// Its name; empty if none.
        name: String,
        /// How long it has run, in nanoseconds.
        for_ns: u64,
    },
    /// The process did not reach a boundary before the deadline. Ask again later.
    #[error("the process did not answer in time")]
    Timeout,
    /// Too many inspections wait. Ask again later.
    #[error("too many requests wait on the shard")]
    Overloaded,
}

/// Why another node has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// No session with that node.
    #[error("the node is not connected; see cluster_nodes for the nodes that are")]
    NotConnected,
    /// The session ended before the answer.
    #[error("the node became unreachable before it answered")]
    Unreachable,
    /// The node runs no diagnostics.
    #[error("the node runs no diagnostics thread")]
    AgentUnavailable,
    /// No answer before the deadline.
    #[error("the node did not answer in time; raise `timeout` or narrow the request")]
    Timeout,
    /// Too many requests wait.
    #[error("too many diagnostic requests wait; ask again later")]
    Overloaded,
    /// The node refused the request.
    #[error("the node refused the request")]
    Refused,
    /// The answer is larger than the cap.
    #[error("the answer is too large; use `limit` or a filter")]
    TooLarge,
    /// The node speaks another version of this protocol.
    #[error("the node speaks another version of the diagnostics protocol")]
    Version,
}

impl ProxyError {
    /// Stable word of the error, as in `structuredContent.error.kind`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Unreachable => "unreachable",
            Self::AgentUnavailable => "agent_unavailable",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Version => "version",
        }
    }
}

/// A request that came from a peer's diagnostics thread over the control link.
#[derive(Debug)]
pub struct RemoteRequest {
    /// The node that asks.
    pub from: String,
    /// The request, JSON.
    pub request: Vec<u8>,
    /// When the asker stops waiting.
    pub deadline: Instant,
    /// Where the JSON answer goes; dropping it makes the asker wait until its deadline.
    pub reply: oneshot::Sender<Vec<u8>>,
}
