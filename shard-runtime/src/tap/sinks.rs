//! Loggers that come with the runtime: lines for people, lines for machines, memory for tests.

use crate::shard::LogLevel;
use crate::tap::{LogRecord, LogSink, LogSource};
use shard_wire::NodeName;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, PoisonError};
use std::time::UNIX_EPOCH;

/// Where a console logger writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Output {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
}

/// Writes a line for each record: time, level, source, behavior, text, and fields as `key=value`.
#[derive(Debug)]
pub struct ConsoleSink {
    output: Output,
    is_colored: bool,
    line: String,
}

impl ConsoleSink {
    /// Plain lines.
    #[must_use]
    pub fn plain(output: Output) -> Self {
        Self { output, is_colored: false, line: String::new() }
    }

    /// Levels in color if the output is a terminal, else plain lines.
    #[must_use]
    pub fn colored(output: Output) -> Self {
        let is_terminal = match output {
            Output::Stderr => std::io::stderr().is_terminal(),
            Output::Stdout => std::io::stdout().is_terminal(),
        };
        Self { is_colored: is_terminal, ..Self::plain(output) }
    }

    /// Levels in color, wherever they go.
    #[must_use]
    pub fn always_colored(output: Output) -> Self {
        Self { is_colored: true, ..Self::plain(output) }
    }
}

impl LogSink for ConsoleSink {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        self.line.clear();
        text_line(&mut self.line, node, record, self.is_colored);
        // A log that cannot be written has nowhere to say so.
        let _lost = match self.output {
            Output::Stderr => std::io::stderr().lock().write_all(self.line.as_bytes()),
            Output::Stdout => std::io::stdout().lock().write_all(self.line.as_bytes()),
        };
    }

    fn flush(&mut self) {
        if self.output == Output::Stdout {
            // As above.
            let _lost = std::io::stdout().lock().flush();
        }
    }
}

/// Writes lines to standard error: what a node does unless it is told otherwise.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct StderrSink {}

impl LogSink for StderrSink {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        let mut line = String::new();
        text_line(&mut line, node, record, false);
        // A log that cannot be written has nowhere to say so.
        let _lost = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Appends a record as a line. What could be taken for another line, or for a command to a terminal, is escaped.
pub(super) fn text_line(out: &mut String, node: &NodeName, record: &LogRecord, is_colored: bool) {
    let time = humantime::format_rfc3339_millis(record.time.max(UNIX_EPOCH));
    let level = record.level.name();
    let (color, end) = if is_colored { (color(record.level), "\u{1b}[0m") } else { ("", "") };
    // Writing to a string does not fail.
    let _never = match &record.source {
        LogSource::Process { pid, name, behavior } => {
            let behavior = if behavior.is_empty() { "-" } else { behavior };
            match name {
                Some(name) => {
                    write!(out, "{time} {color}[{level}]{end} {} {name} {behavior}: ", pid.short(node.crc()))
                }
                None => write!(out, "{time} {color}[{level}]{end} {} {behavior}: ", pid.short(node.crc())),
            }
        }
        LogSource::Node => write!(out, "{time} {color}[{level}]{end} {node} "),
        LogSource::Network { .. } => write!(out, "{time} {color}[{level}]{end} {node} network: "),
        LogSource::Application { .. } => write!(out, "{time} {color}[{level}]{end} {node} application: "),
    };
    escaped(out, &record.text);
    for (key, value) in &record.fields {
        out.push(' ');
        out.push_str(key);
        out.push('=');
        escaped(out, value);
    }
    out.push('\n');
}

fn escaped(out: &mut String, text: &str) {
    for part in text.split_inclusive(|c: char| c.is_control() && c != '\t') {
        let mut plain = part.chars();
        match plain.next_back() {
            Some(last) if last.is_control() && last != '\t' => {
                out.push_str(plain.as_str());
                out.extend(last.escape_default());
            }
            _ => out.push_str(part),
        }
    }
}

fn color(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace | LogLevel::Debug | LogLevel::Disabled => "\u{1b}[90m",
        LogLevel::Info => "\u{1b}[36m",
        LogLevel::Warning => "\u{1b}[33m",
        LogLevel::Error => "\u{1b}[31m",
        LogLevel::Panic => "\u{1b}[1;31m",
    }
}

/// Writes a JSON object in a line for each record: `time` (nanoseconds since the Unix epoch), `level`, `source` (`type`, `node`,
/// for a process `pid`, `name`, `behavior`, for the network `peer`, for an application `name`), `message`, `fields` (values as texts; not there if there are none).
#[derive(Debug)]
pub struct JsonSink<W> {
    to: W,
    line: String,
}

impl<W: Write + Send> JsonSink<W> {
    /// Lines to this writer, such as a file or standard output.
    pub fn new(to: W) -> Self {
        Self { to, line: String::new() }
    }
}

impl<W: Write + Send> LogSink for JsonSink<W> {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        self.line.clear();
        json_line(&mut self.line, node, record);
        // A log that cannot be written has nowhere to say so.
        let _lost = self.to.write_all(self.line.as_bytes());
    }

    fn flush(&mut self) {
        // As above.
        let _lost = self.to.flush();
    }
}

/// Appends a record as a JSON object and a line end.
pub(super) fn json_line(out: &mut String, node: &NodeName, record: &LogRecord) {
    let mut text = |key: &str, value: &str| {
        out.push_str(key);
        quoted(out, value);
    };
    text("{\"time\":", "");
    out.truncate(out.len() - 2);
    out.push_str(&crate::clock::unix_ns(record.time).to_string());
    let mut text = |key: &str, value: &str| {
        out.push_str(key);
        quoted(out, value);
    };
    text(",\"level\":", record.level.name());
    match &record.source {
        LogSource::Node => text(",\"source\":{\"type\":\"node\",\"node\":", node.as_str()),
        LogSource::Network { peer } => {
            text(",\"source\":{\"type\":\"network\",\"node\":", node.as_str());
            if let Some(peer) = peer {
                text(",\"peer\":", peer.as_str());
            }
        }
        LogSource::Application { name } => {
            text(",\"source\":{\"type\":\"application\",\"node\":", node.as_str());
            text(",\"name\":", name);
        }
        LogSource::Process { pid, name, behavior } => {
            text(",\"source\":{\"type\":\"process\",\"node\":", node.as_str());
            text(",\"pid\":", &pid.short(node.crc()).to_string());
            if let Some(name) = name {
                text(",\"name\":", name);
            }
            text(",\"behavior\":", behavior);
        }
    }
    text("},\"message\":", &record.text);
    for (index, (key, value)) in record.fields.iter().enumerate() {
        out.push_str(if index == 0 { ",\"fields\":{" } else { "," });
        quoted(out, key);
        out.push(':');
        quoted(out, value);
    }
    out.push_str(if record.fields.is_empty() { "}\n" } else { "}}\n" });
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' || c == '\u{7f}' => {
                // Writing to a string does not fail.
                let _never = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[expect(clippy::disallowed_types, reason = "met by the log thread and by tests, never by a shard")]
type Kept = std::sync::Mutex<std::collections::VecDeque<LogRecord>>;

/// Keeps records in memory, for tests: at most so many, the oldest go first.
#[derive(Clone, Debug)]
pub struct MemorySink {
    records: Arc<Kept>,
    limit: usize,
}

impl MemorySink {
    /// Keeps this many records.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { records: Arc::default(), limit: limit.max(1) }
    }

    /// What it has kept so far; clones share it.
    #[must_use]
    pub fn records(&self) -> Vec<LogRecord> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl LogSink for MemorySink {
    fn write(&mut self, _: &NodeName, record: &LogRecord) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == self.limit {
            records.pop_front();
        }
        records.push_back(record.clone());
    }
}

#[cfg(test)]
#[path = "sinks_tests.rs"]
mod tests;
