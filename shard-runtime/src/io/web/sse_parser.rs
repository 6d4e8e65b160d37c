//! Events out of the bytes of a stream of events: pure, and the same however the bytes were cut on their way.
//!
//! Invariants: E1 what is kept of an unfinished line never exceeds the longest line and one piece that was pushed, and what is
//! kept of an unfinished event never exceeds the longest event. E2 what comes out depends on the bytes alone, not on how they were
//! cut. E3 an id counts once the blank line after it has come: what was cut off is asked for again.
//! Cost: each byte is looked at once for the end of its line and copied once into its event.

use crate::error::IoEnd;
use bytes::{Buf, BytesMut};
use std::sync::Arc;
use std::time::Duration;

/// What some senders put before a text in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// An event as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Its name, `message` if it has none.
    pub(super) event: String,
    /// Its lines of data, with `\n` between them.
    pub(super) data: String,
    /// The id that counts from here on.
    pub(super) last_id: Option<Arc<str>>,
}

/// How long things may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) line: usize,
    pub(super) event: usize,
}

/// What has been read of a stream.
pub(super) struct Parser {
    bounds: Bounds,
    rest: BytesMut,
    /// Bytes of the rest that are no end of a line.
    scanned: usize,
    /// Nothing was taken yet, so a byte order mark may follow.
    is_new: bool,
    /// The last line ended with a carriage return; a newline now belongs to it.
    follows_return: bool,
    event: String,
    data: String,
    has_data: bool,
    /// The id of the event that is not whole yet.
    next_id: Option<Arc<str>>,
    last_id: Option<Arc<str>>,
    retry: Option<Duration>,
}

impl Parser {
    /// A stream that goes on after this id.
    pub(super) fn new(bounds: Bounds, last_id: Option<Arc<str>>) -> Self {
        Self {
            bounds,
            rest: BytesMut::new(),
            scanned: 0,
            is_new: true,
            follows_return: false,
            event: String::new(),
            data: String::new(),
            has_data: false,
            next_id: last_id.clone(),
            last_id,
            retry: None,
        }
    }

    /// Takes a piece of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The id of the last whole event that had one.
    pub(super) fn last_id(&self) -> Option<&Arc<str>> {
        self.last_id.as_ref()
    }

    /// How long the server wants a client to wait before it comes back, if it has said so since this was asked.
    pub(super) fn take_retry(&mut self) -> Option<Duration> {
        self.retry.take()
    }

    /// The next whole event.
    pub(super) fn next(&mut self) -> Result<Option<Parsed>, IoEnd> {
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
                continue;
            }
            self.field(&String::from_utf8_lossy(&line))?;
        }
        Ok(None)
    }

    /// Whether the begin is known; a byte order mark is taken off.
    fn has_begun(&mut self) -> bool {
        if self.is_new {
            if self.rest.len() < BOM.len() && BOM.starts_with(&self.rest) {
                return false;
            }
            if self.rest.starts_with(BOM) {
                self.rest.advance(BOM.len());
            }
            self.is_new = false;
        }
        true
    }

    /// The next whole line, without its end: `\n`, `\r` or both.
    fn next_line(&mut self) -> Result<Option<BytesMut>, IoEnd> {
        if !self.has_begun() {
            return Ok(None);
        }
        if self.follows_return {
            match self.rest.first() {
                None => return Ok(None),
                Some(b'\n') => self.rest.advance(1),
                Some(_) => {}
            }
            self.follows_return = false;
        }
        let fresh = self.rest.get(self.scanned..).unwrap_or_default();
        let end = fresh.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map(|end| self.scanned + end);
        let length = end.unwrap_or(self.rest.len());
        if length > self.bounds.line {
            return Err(IoEnd::TooLarge { length: length as u64, limit: self.bounds.line as u64 });
        }
        let Some(end) = end else {
            self.scanned = length;
            return Ok(None);
        };
        self.scanned = 0;
        let line = self.rest.split_to(end);
        self.follows_return = self.rest.first() == Some(&b'\r');
        self.rest.advance(1);
        Ok(Some(line))
    }

    fn field(&mut self, line: &str) -> Result<(), IoEnd> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                // Each invalid byte has become three, so the limit is held against what is kept.
                let length = self.data.len() + usize::from(self.has_data) + value.len();
                if length > self.bounds.event {
                    return Err(IoEnd::TooLarge { length: length as u64, limit: self.bounds.event as u64 });
                }
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => self.next_id = Some(value.into()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = Some(Duration::from_millis(value.parse().unwrap_or(u64::MAX)));
            }
            // A comment has no name; what is not known is for others.
            _ => {}
        }
        Ok(())
    }

    /// A blank line has come: what was collected is an event, if it has data.
    fn dispatch(&mut self) -> Option<Parsed> {
        self.last_id.clone_from(&self.next_id);
        let (mut event, data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        if event.is_empty() {
            event.push_str("message");
        }
        Some(Parsed { event, data, last_id: self.last_id.clone() })
    }
}

#[cfg(test)]
#[path = "sse_parser_tests.rs"]
mod tests;
