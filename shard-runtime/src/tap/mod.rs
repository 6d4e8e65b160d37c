//! Taps: what leaves the runtime for observers. Bounded, lossy, with a counter.

#[cfg(feature = "tracing")]
mod bridge;
mod control;
mod entry;
mod log;
mod record;
mod rotate;
mod sinks;
mod thread;
mod writer;

#[cfg(feature = "tracing")]
pub use bridge::{LogLayer, TracingSink};
pub use record::{LogLevels, LogRecord, LogSink, LogSource, LoggerFacts};
pub use rotate::RotatingFile;
pub use sinks::{ConsoleSink, JsonSink, MemorySink, Output, StderrSink};
pub use writer::{Log, LogLine, LogWith};

pub(crate) use entry::Writer;
pub(crate) use log::LogTap;
