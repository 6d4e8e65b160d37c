//! Taps: what leaves the runtime for observers. Bounded, lossy, with a counter.

mod log;

pub use log::{Log, LogRecord, LogSink, StderrSink};

pub(crate) use log::LogTap;
