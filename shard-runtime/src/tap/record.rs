//! What a logger gets: records, and the filters by which it gets them.

use crate::actor::local_message;
use crate::shard::LogLevel;
use shard_wire::{NodeName, Pid};
use std::sync::Arc;
use std::time::SystemTime;

/// Who wrote a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogSource {
    /// The node itself.
    Node,
    /// The node's end of the network.
    Network {
        /// The other node, if it is about one.
        peer: Option<NodeName>,
    },
    /// An application of the node: its start, end and restarts. What its processes write has those as sources.
    Application {
        /// Its name.
        name: Arc<str>,
    },
    /// A process.
    Process {
        /// Which.
        pid: Pid,
        /// Its registered name.
        name: Option<Arc<str>>,
        /// Its actor's type.
        behavior: &'static str,
    },
}

/// One line of the log. A process that was [added as a logger](crate::Node::logger_add_process) gets it as a message, in its
/// Log queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogRecord {
    /// Severity.
    pub level: LogLevel,
    /// Wall clock, by the time at which the handler that wrote it began.
    pub time: SystemTime,
    /// The process that wrote it; `None` for the node itself.
    pub pid: Option<Pid>,
    /// Who wrote it.
    pub source: LogSource,
    /// The text, at most 64 KiB.
    pub text: String,
    /// Values by their keys, in the order in which they were given.
    pub fields: Vec<(&'static str, String)>,
}

local_message!(LogRecord);

/// Where the log goes. Called on the node's log thread: what it waits for holds up all loggers, no shard. One that panics is
/// removed.
pub trait LogSink: Send {
    /// Writes one record.
    fn write(&mut self, node: &NodeName, record: &LogRecord);

    /// Passes on what it holds back. Called when there is nothing to write, and when the logger or the node ends.
    fn flush(&mut self) {}
}

/// Which levels a logger gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LogLevels(u8);

impl LogLevels {
    /// All levels.
    pub const ALL: Self = Self(0b11_1111);

    /// This level and those above it; none for [`LogLevel::Disabled`].
    #[must_use]
    pub fn from(level: LogLevel) -> Self {
        Self(Self::ALL.0 & (u8::MAX << level as u8))
    }

    /// These levels.
    #[must_use]
    pub fn only(levels: &[LogLevel]) -> Self {
        Self(Self::ALL.0 & levels.iter().fold(0, |bits, level| bits | 1 << *level as u8))
    }

    /// Whether it has this level.
    #[must_use]
    pub fn has(self, level: LogLevel) -> bool {
        self.0 & 1 << level as u8 != 0
    }
}

impl Default for LogLevels {
    fn default() -> Self {
        Self::ALL
    }
}

/// A logger as diagnostics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggerFacts {
    /// Its name.
    pub name: Arc<str>,
    /// Which levels it gets.
    pub levels: LogLevels,
    /// The process that it is, if it is one.
    pub process: Option<Pid>,
    /// Records that it did not take.
    pub lost: u64,
}
