//! How a handler ends its process, and the reason that its end carries.

use shard_wire::session::DownReason;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a process ended, or why a link or monitor fired. Cheap to clone: every watcher gets its own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was done.
    Normal,
    /// The node, its application or its supervisor stopped.
    Shutdown,
    /// Somebody killed it.
    Kill,
    /// A handler, `init` or `terminate` panicked; the text is the panic's message. Its place is in the log.
    Panic(Arc<str>),
    /// A handler or `init` returned this error, or somebody sent an exit with it. From another node, where it may be of a type
    /// that is not known here, it is a [`RemoteError`].
    Error(Arc<dyn Error + Send + Sync>),
    /// `init` was not done in time.
    InitTimeout {
        /// How long it had.
        limit: Duration,
    },
    /// A supervisor restarted its children too often.
    Exceeded {
        /// Restarts allowed within the period.
        limit: u16,
        /// The period.
        period: Duration,
        /// Why the last child ended.
        cause: Box<Self>,
    },
    /// For watchers only: the process had ended before it could be watched, and why is not known any more.
    NoProcess,
    /// For watchers only: the session with the node has ended. What was watched there may live on.
    NoConnection {
        /// Why the session ended.
        why: DownReason,
        /// Number of the session.
        session: u64,
    },
    /// For watchers only: the name, alias or event was given up while its process lives.
    Unregistered,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Kill => f.write_str("kill"),
            Self::Panic(message) => write!(f, "panic: {message}"),
            Self::Error(error) => error.fmt(f),
            Self::InitTimeout { limit } => write!(f, "init was not done within {limit:?}"),
            Self::Exceeded { limit, period, cause } => {
                write!(f, "supervisor restart intensity exceeded (max {limit} in {period:?}): {cause}")
            }
            Self::NoProcess => f.write_str("no such process"),
            Self::NoConnection { why, session } => {
                write!(f, "no connection: session {session} has ended ({})", why.name())
            }
            Self::Unregistered => f.write_str("unregistered"),
        }
    }
}

impl ExitReason {
    /// A reason of the caller's own type.
    #[must_use]
    pub fn custom(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Error(Arc::new(error))
    }

    /// The error inside, if it is of this type.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Error(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// Whether it is an ordinary end: `Normal` or `Shutdown`.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown)
    }
}

/// The error with which a process of another node ended: its text, of which 512 bytes come over.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("{text}")]
pub struct RemoteError {
    text: Arc<str>,
}

impl RemoteError {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into() }
    }

    /// What the error said of itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What a handler returns to end its process. One word, so that `Result<(), ActorError>` travels in a register.
///
/// Any error converts into it, so `?` in a handler ends the process with that error as its reason.
pub struct ActorError(Box<ExitReason>);

/// What a handler returns that answers nothing.
pub type ActorResult = Result<(), ActorError>;

impl ActorError {
    /// Ends the process with this reason.
    #[must_use]
    pub fn new(reason: ExitReason) -> Self {
        Self(Box::new(reason))
    }

    /// Ends the process as done: not an error, logged nowhere.
    #[must_use]
    pub fn normal() -> Self {
        Self::new(ExitReason::Normal)
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &ExitReason {
        &self.0
    }

    pub(crate) fn into_reason(self) -> ExitReason {
        *self.0
    }
}

impl fmt::Debug for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ActorError {
    #[cold]
    fn from(error: E) -> Self {
        Self::new(ExitReason::custom(error))
    }
}
