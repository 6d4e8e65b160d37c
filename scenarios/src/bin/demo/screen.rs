//! Where the demo writes: lines that stay, and one status line, rewritten in place on a terminal.

use crate::watch::Status;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    nodes: usize,
    is_terminal: bool,
    has_status: bool,
}

impl Screen {
    pub(crate) fn new(nodes: u16) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self { nodes: usize::from(nodes), is_terminal, has_status: false }
    }

    /// Time between two status lines: a log need not be as lively as a terminal.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(if self.is_terminal { 1 } else { 5 })
    }

    /// A line that stays.
    pub(crate) fn line(&mut self, text: &str) {
        self.end();
        // A closed pipe must not stop the nodes.
        drop(writeln!(io::stdout(), "{text}"));
    }

    /// The line that changes.
    pub(crate) fn status(&mut self, status: &Status) {
        let Status { up, links, messages, per_second } = *status;
        let (nodes, all) = (self.nodes, self.nodes * (self.nodes - 1));
        let text = format!(
            "{up} of {nodes} nodes up, traffic on {links} of {all} links, {per_second:.0} messages/s, {messages:.0} in all"
        );
        if self.is_terminal {
            let mut out = io::stdout().lock();
            drop(write!(out, "\r\x1b[K  {text}  (Ctrl-C stops)"));
            drop(out.flush());
            self.has_status = true;
        } else {
            self.line(&text);
        }
    }

    /// Ends the line that changes.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.has_status) {
            drop(writeln!(io::stdout()));
        }
    }
}
