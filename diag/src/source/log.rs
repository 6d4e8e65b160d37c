//! The log as diagnostics sees it: levels and loggers.

/// One logger of the node.
#[derive(Clone, Debug, Default)]
pub struct LoggerRow {
    /// Name it was added under.
    pub name: String,
    /// Type of the logger.
    pub behavior: String,
    /// Levels it accepts.
    pub levels: Vec<LogLevel>,
    /// Records it did not take, since it was added.
    pub lost: u64,
}

/// A log level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum LogLevel {
    /// `trace`
    Trace,
    /// `debug`
    Debug,
    /// `info`
    #[default]
    Info,
    /// `warning`
    Warning,
    /// `error`
    Error,
    /// `panic`
    Panic,
    /// `disabled`
    Disabled,
}

impl LogLevel {
    /// The six levels that count messages, in the order of [`NodeCounters::log_messages`](super::NodeCounters::log_messages).
    pub const COUNTED: [Self; 6] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Panic];

    /// The operator's word for the level.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Disabled => "disabled",
        }
    }
}
