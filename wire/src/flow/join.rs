//! Big messages on their way in: parts are put together to the frame that was cut.
//!
//! Invariants: A1 at most [`MAX_AT_ONCE`] messages are open per lane, each at most as long as the largest message; memory
//! is taken as parts arrive, not as the first one claims. A2 parts come in order, or the link is out of step.

use crate::WireError;
use crate::flow::split::MAX_AT_ONCE;
use crate::frame::{Batch, Frame, Parsed, Source, parse};
use crate::header::Fragment;
use std::sync::Arc;

#[derive(Debug)]
struct Open {
    message: u32,
    next: u32,
    count: u32,
    total: usize,
    bytes: Batch,
}

/// The open messages of one lane, for the life of a session.
#[derive(Debug)]
pub struct Joiner {
    open: Vec<Open>,
    max_message: usize,
}

/// A frame that was put together.
#[derive(Debug)]
pub struct Joined(Arc<Batch>);

impl Joined {
    /// The memory that the frame lies in, and nothing else.
    #[must_use]
    pub fn source(&self) -> Source<'_> {
        Source::of(&self.0)
    }

    /// The frame.
    ///
    /// # Errors
    /// As [`parse`]: the peer has cut something that was no frame. [`WireError::Trailing`] if it was more than one.
    pub fn frame(&self) -> Result<Frame<'_>, WireError> {
        match parse(self.0.as_slice(), self.0.len())? {
            Parsed::Frame(frame) if frame.consumed() == self.0.len() => Ok(frame),
            Parsed::Frame(frame) => Err(WireError::Trailing {
                what: "a message in parts",
                extra: self.0.len() - frame.consumed(),
            }),
            Parsed::Need(need) => {
                Err(WireError::Short { what: "a message in parts", offset: 0, need, have: self.0.len() })
            }
        }
    }
}

impl Joiner {
    /// Nothing is open. `max_message` is the length of the longest frame that may be put together, in bytes.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self { open: Vec::new(), max_message }
    }

    /// Bytes of messages that are not whole.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.open.iter().map(|open| open.bytes.len()).sum()
    }

    /// Takes a part; gives the frame if it was the last.
    ///
    /// # Errors
    /// [`WireError::Limit`] for a message that is too long, or one too many; [`WireError::Invalid`] for a part that
    /// does not follow the one before. The link is then out of step.
    pub fn take(&mut self, part: Fragment, bytes: &[u8]) -> Result<Option<Joined>, WireError> {
        let index = match self.open.iter().position(|open| open.message == part.message) {
            Some(index) => index,
            None => self.begin(part)?,
        };
        let Some(open) = self.open.get_mut(index) else { return Ok(None) };
        let is_next = part.index == open.next && part.count == open.count;
        let total = usize::try_from(part.total_bytes).unwrap_or(usize::MAX);
        if !is_next || total != open.total {
            return Err(WireError::Invalid {
                what: "part of a message",
                offset: 0,
                have: u64::from(part.index),
            });
        }
        let have = open.bytes.len() + bytes.len();
        // LIMIT: A1. A part without bytes would let a count of parts stand for nothing.
        if have > open.total || bytes.is_empty() {
            return Err(WireError::Limit {
                what: "parts of a message",
                have: have as u64,
                max: open.total as u64,
            });
        }
        open.bytes.extend_from_slice(bytes);
        open.next += 1;
        if open.next < open.count {
            return Ok(None);
        }
        let open = self.open.swap_remove(index);
        if open.bytes.len() < open.total {
            let (have, need) = (open.bytes.len(), open.total);
            return Err(WireError::Short { what: "a message in parts", offset: 0, need, have });
        }
        Ok(Some(Joined(Arc::new(open.bytes))))
    }

    fn begin(&mut self, part: Fragment) -> Result<usize, WireError> {
        let total = usize::try_from(part.total_bytes).unwrap_or(usize::MAX);
        // LIMIT: A1.
        if total > self.max_message {
            let max = self.max_message as u64;
            return Err(WireError::Limit {
                what: "message in parts",
                have: u64::from(part.total_bytes),
                max,
            });
        }
        // Each part has at least one byte, so more parts than bytes can never come together.
        if part.count > part.total_bytes {
            let (have, max) = (u64::from(part.count), u64::from(part.total_bytes));
            return Err(WireError::Limit { what: "count of parts of a message", have, max });
        }
        if self.open.len() >= MAX_AT_ONCE {
            let (have, max) = (self.open.len() as u64 + 1, MAX_AT_ONCE as u64);
            return Err(WireError::Limit { what: "messages in parts at once", have, max });
        }
        let (message, count) = (part.message, part.count);
        self.open.push(Open { message, next: 0, count, total, bytes: Batch::new() });
        Ok(self.open.len() - 1)
    }
}
