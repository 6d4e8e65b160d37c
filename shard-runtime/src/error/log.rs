//! Why a logger was not added, removed, or set.

/// Why nothing was done with a logger or a level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The name is empty or longer than 255 bytes.
    #[error("the name of a logger has 1 to 255 bytes")]
    BadName,
    /// There is a logger of this name.
    #[error("there is a logger of this name: remove it first, or choose another name")]
    Taken,
    /// There is no logger of this name.
    #[error("there is no logger of this name: check its spelling")]
    Unknown,
    /// The process is a logger already.
    #[error("the process is a logger already")]
    AlreadyLogger,
    /// There is no such process on this node.
    #[error("there is no such process on this node")]
    NoProcess,
    /// The node has as many loggers as it can hold.
    #[error("the node has as many loggers as it can hold: remove those that nobody needs")]
    Limit,
    /// The shard of the process takes no more tasks.
    #[error("the shard of the process takes no more tasks: try again later")]
    Overloaded,
}
