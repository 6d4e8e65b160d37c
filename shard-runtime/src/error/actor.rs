//! How a handler ends its process, and the reason that its end carries.

use std::error::Error;
use std::fmt;

/// Why a process ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was done.
    Normal,
    /// The node or its application stopped.
    Shutdown,
    /// Somebody killed it.
    Kill,
    /// A handler, `init` or `terminate` panicked; the text is the panic's message.
    Panic(Box<str>),
    /// A handler or `init` returned this error.
    Error(Box<dyn Error + Send>),
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Kill => f.write_str("kill"),
            Self::Panic(message) => write!(f, "panic: {message}"),
            Self::Error(error) => error.fmt(f),
        }
    }
}

impl ExitReason {
    /// Whether it is an ordinary end: `Normal` or `Shutdown`.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown)
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

impl<E: Error + Send + 'static> From<E> for ActorError {
    #[cold]
    fn from(error: E) -> Self {
        Self::new(ExitReason::Error(Box::new(error)))
    }
}
