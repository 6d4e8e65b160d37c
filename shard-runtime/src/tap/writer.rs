//! How a process, and its shard, write to the log.

use crate::error::{ExitReason, IoEnd};
use crate::process::Flags;
use crate::shard::{LogLevel, Shard, take_place};
use crate::symbol::Symbol;
use crate::tap::entry::Writer;
use crate::tap::log::entry;
use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;

/// A process's access to the log.
#[derive(Debug)]
pub struct Log<'a> {
    shard: &'a Shard,
}

/// A line with values by their keys: what [`Log::with`] returns. Nothing is formatted before the line is known to be kept.
#[derive(Debug)]
#[must_use = "a line is written by naming its level, such as info"]
pub struct LogWith<P, V> {
    before: P,
    key: &'static str,
    value: V,
}

/// What a line can be written to.
pub trait LogLine: Sized {
    /// The log it goes to.
    #[doc(hidden)]
    fn shard_of(&self) -> &Shard;
    /// Formats the values.
    #[doc(hidden)]
    fn fields(&self, out: &mut Vec<(&'static str, String)>);

    /// Writes a line at this level. The text is formatted only if the line is kept.
    fn line(&self, level: LogLevel, text: impl Display) {
        let shard = self.shard_of();
        if shard.is_logged(level) {
            let mut fields = Vec::new();
            self.fields(&mut fields);
            shard.log_own(level, text, fields);
        }
    }
}

impl LogLine for Log<'_> {
    fn shard_of(&self) -> &Shard {
        self.shard
    }

    fn fields(&self, _: &mut Vec<(&'static str, String)>) {}
}

impl<P: LogLine, V: Display> LogLine for LogWith<P, V> {
    fn shard_of(&self) -> &Shard {
        self.before.shard_of()
    }

    fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        self.before.fields(out);
        out.push((self.key, self.value.to_string()));
    }
}

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident $level:ident,)*) => {
        impl<'a> Log<'a> {
            pub(crate) fn new(shard: &'a Shard) -> Self {
                Self { shard }
            }

            /// Whether records of this level are kept: by the level of this process, else of its application, else of the node.
            #[must_use]
            pub fn is_on(&self, level: LogLevel) -> bool {
                self.shard.is_logged(level)
            }

            /// Adds a value, which is formatted only if the line is kept.
            pub fn with<V: Display>(self, key: &'static str, value: V) -> LogWith<Self, V> {
                LogWith { before: self, key, value }
            }

            $($(#[$doc])*
            #[inline]
            pub fn $name(&self, text: impl Display) {
                LogLine::line(self, LogLevel::$level, text);
            })*
        }

        impl<P: LogLine, V: Display> LogWith<P, V> {
            /// Adds a value, which is formatted only if the line is kept.
            pub fn with<W: Display>(self, key: &'static str, value: W) -> LogWith<Self, W> {
                LogWith { before: self, key, value }
            }

            $($(#[$doc])*
            pub fn $name(&self, text: impl Display) {
                LogLine::line(self, LogLevel::$level, text);
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

impl Shard {
    /// Whether a line of the current process is kept.
    #[inline]
    pub(crate) fn is_logged(&self, level: LogLevel) -> bool {
        let local = self.current_id();
        let port = self.node().port(self.index());
        let own = port.and_then(|port| port.table.log_level_of(local));
        let least = own.unwrap_or_else(|| {
            self.node().log().level_of(|| {
                port.map_or(0, |port| port.table.identity(local as u32).application.load(Relaxed))
            })
        });
        level >= least && level < LogLevel::Disabled
    }

    /// A line of the current process that is kept.
    pub(super) fn log_own(&self, level: LogLevel, text: impl Display, fields: Vec<(&'static str, String)>) {
        let mut line = entry(level, self.now_ticks(), self.writer(self.current_id()), text);
        self.watch_line(self.current_id(), level, line.text.as_str(), &fields);
        line.fields = fields;
        line.only = self.logger_of_current();
        if let Some(count) = self.cells().log.get(level as usize) {
            crate::process::bump(count, 1);
        }
        self.node().log().put(Some(self.index()), line);
    }

    fn writer(&self, local: u64) -> Writer {
        let Some(port) = self.node().port(self.index()) else { return Writer::Node };
        if !port.table.exists(local) {
            return Writer::Process { local, name: 0, behavior: "" };
        }
        let name = port.table.identity(local as u32).name.load(Relaxed);
        let behavior = port.table.published(local as u32).record.behavior().unwrap_or("");
        Writer::Process { local, name, behavior }
    }

    /// A record of this shard, if its level is kept by the node.
    pub(crate) fn log_line(&self, level: LogLevel, local: u64, text: impl FnOnce() -> String) {
        let log = self.node().log();
        if !log.is_on(level) {
            return;
        }
        if let Some(count) = self.cells().log.get(level as usize) {
            crate::process::bump(count, 1);
        }
        let line = entry(level, self.now_ticks(), self.writer(local), text());
        self.watch_line(local, level, line.text.as_str(), &[]);
        log.put(Some(self.index()), line);
    }

    /// Sets the level of a process of this shard; `None`: that of its application or node.
    pub(crate) fn set_log_level(&self, local: u64, level: Option<LogLevel>) {
        if let Some(record) = self.live_record(local) {
            record.clear_flags(Flags::LOG_LEVEL);
            record.add_flags(Flags::of_level(level));
        }
    }

    /// The only logger of the current process's lines, as a symbol.
    fn logger_of_current(&self) -> u32 {
        let record = self.live_record(self.current_id());
        record
            .and_then(|record| self.with_existing_extension(record, |extension| Some(extension.logger)))
            .unwrap_or(0)
    }

    pub(crate) fn set_logger(&self, symbol: u32) {
        if let Some(record) = self.live_record(self.current_id()) {
            self.with_extension(record, |extension| extension.logger = symbol);
        }
    }

    /// A panic outside a handler.
    pub(crate) fn log_panic(&self, message: &str) {
        let place = take_place();
        self.log_line(LogLevel::Panic, self.current_id(), || {
            format!("panic outside a handler{}: {message}", at(place.as_deref()))
        });
    }

    /// The end of a process: nothing for an ordinary one, an error or a panic line otherwise.
    pub(crate) fn log_end(&self, behavior: &str, name: u32, local: u64, reason: &ExitReason) {
        let level = match reason {
            ExitReason::Normal | ExitReason::Shutdown => return,
            ExitReason::Panic(_) => LogLevel::Panic,
            // How a connection ends is up to the peer, who could fill the log; it is counted, and told to its receiver.
            reason if reason.downcast_ref::<IoEnd>().is_some() => LogLevel::Debug,
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
