//! The node's log: records from shards to one thread that writes them.
//!
//! Invariants: L1 a shard never blocks on the log: a full queue loses the record and counts it. L2 every record is counted
//! by level after the level filter and before the queue.
//! Cost: a filtered record costs one load; a kept one is formatted on the shard, so hot paths do not log.

use crate::shard::{LogLevel, Shard, take_place};
use crate::symbol::Symbol;
use shard_wire::{NodeName, Pid};
use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::SystemTime;

/// Records that may wait for the writer.
const QUEUE: usize = 8192;

/// One line of the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogRecord {
    /// Severity.
    pub level: LogLevel,
    /// Wall clock.
    pub time: SystemTime,
    /// The process that wrote it; `None` for the node itself.
    pub pid: Option<Pid>,
    /// The text.
    pub text: String,
}

/// Where the log goes. Called on the node's log thread.
pub trait LogSink: Send {
    /// Writes one record.
    fn write(&mut self, node: &NodeName, record: &LogRecord);
}

/// Writes lines to standard error.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct StderrSink {}

impl LogSink for StderrSink {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        use std::io::Write;
        let time = humantime::format_rfc3339_millis(record.time);
        let level = record.level.name();
        let mut out = std::io::stderr().lock();
        // A log that cannot be written has nowhere to say so.
        let _lost = match record.pid {
            Some(pid) => writeln!(out, "{time} [{level}] {} {}", pid.short(node.crc()), record.text),
            None => writeln!(out, "{time} [{level}] {node} {}", record.text),
        };
    }
}

/// The node's end of the log.
#[derive(Debug)]
pub(crate) struct LogTap {
    queue: SyncSender<LogRecord>,
    level: AtomicU8,
    lost: AtomicU64,
    /// Records of the node itself, by level; those of shards are in the shards' cells.
    counts: [AtomicU64; 6],
}

impl LogTap {
    /// Starts the log thread.
    pub(crate) fn start(
        node: NodeName,
        level: LogLevel,
        mut sink: Box<dyn LogSink>,
    ) -> std::io::Result<Self> {
        let (queue, records) = sync_channel::<LogRecord>(QUEUE);
        crate::reactor::spawn_thread("log", move || {
            for record in records {
                sink.write(&node, &record);
            }
        })?;
        Ok(Self {
            queue,
            level: AtomicU8::new(level as u8),
            lost: AtomicU64::new(0),
            counts: Default::default(),
        })
    }

    #[inline]
    pub(crate) fn is_on(&self, level: LogLevel) -> bool {
        level as u8 >= self.level.load(Relaxed)
    }

    pub(crate) fn level(&self) -> LogLevel {
        let level = usize::from(self.level.load(Relaxed));
        LogLevel::ALL.get(level).copied().unwrap_or(LogLevel::Panic)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(crate) fn count(&self, level: LogLevel) -> u64 {
        self.counts[level as usize].load(Relaxed)
    }

    pub(crate) fn put(&self, level: LogLevel, pid: Option<Pid>, text: String) {
        let record = LogRecord { level, time: SystemTime::now(), pid, text };
        if self.queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// A record of the node itself, from any thread.
    pub(crate) fn node(&self, level: LogLevel, text: impl FnOnce() -> String) {
        if self.is_on(level) {
            self.counts[level as usize].fetch_add(1, Relaxed);
            self.put(level, None, text());
        }
    }
}

/// A process's access to the log.
#[derive(Debug)]
pub struct Log<'a> {
    shard: &'a Shard,
}

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident $level:ident,)*) => {
        impl Log<'_> {
            $($(#[$doc])*
            pub fn $name(&self, text: impl Display) {
                self.write(LogLevel::$level, text);
            })*
        }
    };
}

levels! {
    /// Each step.
    trace Trace,
    /// For developers.
    debug Debug,
    /// Normal events.
    info Info,
    /// Something to look at.
    warning Warning,
    /// Something failed.
    error Error,
}

impl<'a> Log<'a> {
    pub(crate) fn new(shard: &'a Shard) -> Self {
        Self { shard }
    }

    /// Whether records of this level are kept.
    #[must_use]
    pub fn is_on(&self, level: LogLevel) -> bool {
        self.shard.node().log().is_on(level)
    }

    fn write(&self, level: LogLevel, text: impl Display) {
        self.shard.log_line(level, self.shard.current_id(), || text.to_string());
    }
}

impl Shard {
    /// A record of this shard, if its level is kept.
    pub(crate) fn log_line(&self, level: LogLevel, local: u64, text: impl FnOnce() -> String) {
        let log = self.node().log();
        if !log.is_on(level) {
            return;
        }
        self.count(|cells| &cells.log[level as usize], 1);
        log.put(level, Some(self.pid(local)), text());
    }

    /// A panic outside a handler.
    pub(crate) fn log_panic(&self, message: &str) {
        let place = take_place();
        self.log_line(LogLevel::Panic, self.current_id(), || {
            format!("panic outside a handler{}: {message}", at(place.as_deref()))
        });
    }

    /// The end of a process: nothing for an ordinary one, an error or a panic line otherwise.
    pub(crate) fn log_end(&self, behavior: &str, name: u32, local: u64, reason: &crate::error::ExitReason) {
        use crate::error::ExitReason;
        let level = match reason {
            ExitReason::Normal | ExitReason::Shutdown => return,
            ExitReason::Panic(_) => LogLevel::Panic,
            _ => LogLevel::Error,
        };
        self.log_line(level, local, || {
            let name = self.node().symbols().text(Symbol(name)).unwrap_or("-");
            let place = self.panic_place();
            format!("{behavior} (name {name}) ended{}: {reason}", at(place.as_deref()))
        });
    }
}

/// Where it happened, for a line of the log.
fn at(place: Option<&str>) -> String {
    place.map_or_else(String::new, |place| format!(" at {place}"))
}
