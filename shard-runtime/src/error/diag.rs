//! Why another node's diagnostics have no answer.

/// Why another node's diagnostics have no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiagCallError {
    /// No session with that node.
    #[error("the node is not connected: check its name, and that it runs")]
    NotConnected,
    /// The session or its control link ended before the answer.
    #[error("the node became unreachable before it answered: ask again once it is up")]
    Unreachable,
    /// The node runs no diagnostics.
    #[error("the node runs no diagnostics thread: start it there")]
    AgentUnavailable,
    /// No answer before the deadline.
    #[error("the node did not answer in time: allow more time, or ask for less")]
    Timeout,
    /// Too many requests wait.
    #[error("too many diagnostic requests wait: ask again later")]
    Overloaded,
    /// The node refused the request.
    #[error("the node refused the request")]
    Refused,
    /// The request or the answer is larger than the cap.
    #[error("the request or its answer is too large: ask for less")]
    TooLarge,
    /// The node speaks another version of this protocol.
    #[error("the node speaks another version of the diagnostics protocol: upgrade the older one")]
    Version,
}

impl DiagCallError {
    /// The stable number on the wire.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::NotConnected => 1,
            Self::Unreachable => 2,
            Self::AgentUnavailable => 3,
            Self::Timeout => 4,
            Self::Overloaded => 5,
            Self::Refused => 6,
            Self::TooLarge => 7,
            Self::Version => 8,
        }
    }

    /// The error with this number; one of a newer version is a version mismatch.
    pub(crate) const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::NotConnected,
            2 => Self::Unreachable,
            3 => Self::AgentUnavailable,
            4 => Self::Timeout,
            5 => Self::Overloaded,
            6 => Self::Refused,
            7 => Self::TooLarge,
            _ => Self::Version,
        }
    }
}
