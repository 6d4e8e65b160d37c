//! The two halves of a data link without its socket: lanes, numbers, credit, what is kept until it is confirmed, big
//! messages in parts.
//!
//! A link is one TCP connection and may break at any byte. The session goes on: frames of the data and the signal lane
//! have implicit numbers, counted by both ends from the begin of the session. A new link begins with a report of how
//! many each end has taken; the rest is written again, byte for byte. So nothing is lost, doubled or reordered while
//! both incarnations live, and what is not confirmed when a session ends is known to its number.
//!
//! Rule for callers: on a new socket call [`Outbox::link`] with [`Inbound::report`]; give the first frame, of kind
//! [`FrameKind::Session`](crate::header::FrameKind::Session), to [`Outbox::on_resume`], and those of kind
//! [`FrameKind::Credit`](crate::header::FrameKind::Credit) to [`Outbox::on_credit`]. A frame of data counts as taken
//! ([`Inbound::took`]) when it has been dealt with; [`Inbound::check_credit`] is asked before the next report.
//!
//! A peer of protocol version 1 numbers nothing: then there is no credit and no second try, and what was being written
//! when a link broke is unknown.

mod inbound;
mod join;
mod outbox;
mod queue;
mod report;
mod split;
#[cfg(test)]
mod tests;

pub use inbound::Inbound;
pub use join::{Joined, Joiner};
pub use outbox::{Loss, Outbox};
pub use report::{REPORT_BYTES, Report};
pub use split::{Cut, MAX_AT_ONCE};

use crate::WireError;

/// Bytes of data that a peer may have under way on one link unless configured otherwise: 1 MiB.
pub const DEFAULT_WINDOW: u64 = 1 << 20;
/// Bytes that may wait on one link unless configured otherwise: 8 MiB.
pub const DEFAULT_MAX_WAITING: u64 = 8 << 20;
/// Longest message unless configured otherwise: 16 MiB.
pub const DEFAULT_MAX_MESSAGE: usize = 16 << 20;
/// Longest frame that is sent in one piece: 128 KiB.
pub const WHOLE_BYTES: usize = 128 << 10;
/// Longest part of a message that is cut: 64 KiB.
pub const PART_BYTES: usize = 64 << 10;

/// Bit of [`Introduction::flags`](crate::handshake::Introduction::flags) of a node that numbers its frames.
pub const NUMBERED: u64 = 1;

/// How a link is used; the smaller of what both ends want.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowConfig {
    /// Longest message, in bytes of its frame.
    pub max_message: usize,
    /// Bytes that may wait to be written, per lane.
    pub max_waiting: u64,
    /// Whether the peer numbers its frames: protocol version 2.
    pub is_numbered: bool,
}

impl FlowConfig {
    /// Longest frame that is sent in one piece.
    #[must_use]
    pub fn whole_bytes(&self) -> usize {
        if self.is_numbered { WHOLE_BYTES.min(self.max_message) } else { self.max_message }
    }

    /// Longest frame that the other end sends in one piece.
    #[must_use]
    pub fn max_frame(&self) -> usize {
        // A part has a header with one block around it.
        self.whole_bytes().max(crate::limits::FLOOR_MAX_FRAME)
    }

    /// Bytes of a part of one that is longer.
    #[must_use]
    pub fn part_bytes(&self) -> usize {
        PART_BYTES
            .min(self.max_message.saturating_sub(crate::limits::MAX_HEADER_BYTES))
            .max(crate::limits::FRAME_ALIGN)
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Full {
    /// As much waits as may wait.
    #[error("as much waits on this link as may wait: send less, or wait for room")]
    Bytes,
    /// The frame cannot be built.
    #[error(transparent)]
    Frame(#[from] WireError),
}

/// How a peer broke the rules of a link. The link has to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// It says it has taken fewer frames than before, or more than were sent.
    #[error("the peer says it has taken {have} frames, between {least} and {most} is possible")]
    Count {
        /// What it says.
        have: u64,
        /// What it said before.
        least: u64,
        /// What was sent.
        most: u64,
    },
    /// A report that begins a link came a second time.
    #[error("the peer has begun a link a second time")]
    Again,
    /// A part of a message without the block that says which.
    #[error("the peer sent a part of a message that does not say of which")]
    Part,
    /// A frame came before the report that begins a link.
    #[error("the peer sent a frame before the report that begins a link")]
    Early,
    /// More data came than was granted.
    #[error("the peer ignores credit: it sent {have} bytes of data, {limit} were granted")]
    Credit {
        /// Bytes of data frames that were taken since the session began.
        have: u64,
        /// How many the last report allowed.
        limit: u64,
    },
}
