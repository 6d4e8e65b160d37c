//! What one end of a data link has heard: how much of each lane it has taken, and when to say so.
//!
//! A frame is taken when its message is in its mailbox, or is known to have none; not when it is handled. So a slow
//! process takes no credit from its neighbours: what it may have waiting is the business of its mailbox.
//!
//! Invariants: I1 a frame is counted once, also if the link breaks; the numbers go on over sockets. I2 the limit that was
//! told is never taken back. I3 no more data is taken than the last report allows, but for one frame that came alone: what a
//! peer may send that follows rule O2 of the [`Outbox`](crate::flow::Outbox), whatever of our reports it has seen.

use crate::flow::{FlowError, PART_BYTES, Report};
use crate::header::{FrameHeader, Lane};

/// Frames that are taken before they are confirmed, if their bytes do not say so earlier.
const FRAMES_UNTOLD: u64 = 8192;

/// The receiving half of a data link, for the life of a session.
#[derive(Debug)]
pub struct Inbound {
    window: u64,
    data: u64,
    signal: u64,
    data_bytes: u64,
    signal_bytes: u64,
    /// What the last report said.
    told: Report,
    told_signal_bytes: u64,
}

impl Inbound {
    /// Nothing was taken yet. `window` is how many bytes of data may be under way.
    #[must_use]
    pub fn new(window: u64) -> Self {
        Self {
            window,
            data: 0,
            signal: 0,
            data_bytes: 0,
            signal_bytes: 0,
            told: Report::default(),
            told_signal_bytes: 0,
        }
    }

    /// Notes that a frame was taken.
    #[inline]
    pub fn took(&mut self, header: &FrameHeader) {
        self.took_many(header.kind.lane(), 1, u64::from(header.length));
    }

    /// The same for many frames of one lane, with their bytes.
    #[inline]
    pub fn took_many(&mut self, lane: Lane, frames: u64, bytes: u64) {
        match lane {
            Lane::Data => {
                self.data += frames;
                self.data_bytes += bytes;
            }
            Lane::Signal => {
                self.signal += frames;
                self.signal_bytes += bytes;
            }
            Lane::Control => (),
        }
    }

    /// Whether the peer keeps within its credit. To be asked of a peer that numbers its frames, after what came in one read
    /// was taken and before the next report, which grants more. A report that is still on its way counts as heard.
    ///
    /// # Errors
    /// [`FlowError::Credit`] if it does not.
    #[inline]
    pub fn check_credit(&self) -> Result<(), FlowError> {
        // A frame larger than all credit comes alone, when all before it was confirmed: the first since the last report.
        if self.data_bytes <= self.told.limit || self.data - self.told.data <= 1 {
            return Ok(());
        }
        Err(FlowError::Credit { have: self.data_bytes, limit: self.told.limit })
    }

    /// Whether something was taken that the peer was not told.
    #[inline]
    #[must_use]
    pub fn is_untold(&self) -> bool {
        self.data != self.told.data || self.signal != self.told.signal
    }

    /// Whether so much was taken that the peer should be told at once.
    #[inline]
    #[must_use]
    pub fn is_due(&self) -> bool {
        let given = self.data_bytes + self.window - self.told.limit.min(self.data_bytes + self.window);
        let frames = self.data - self.told.data + self.signal - self.told.signal;
        let signals = self.signal_bytes - self.told_signal_bytes;
        let left = self.told.limit.saturating_sub(self.data_bytes);
        let is_short = left < PART_BYTES as u64 && self.data != self.told.data;
        given.max(signals) * 8 >= self.window || frames >= FRAMES_UNTOLD || is_short
    }

    /// What to tell the peer now. `clock_ms` is this end's clock of the link.
    pub fn report(&mut self, clock_ms: u64) -> Report {
        let limit = self.told.limit.max(self.data_bytes + self.window);
        self.told = Report { data: self.data, signal: self.signal, limit, clock_ms };
        self.told_signal_bytes = self.signal_bytes;
        self.told
    }

    /// Frames of data and of signals that were taken.
    #[must_use]
    pub fn taken(&self) -> (u64, u64) {
        (self.data, self.signal)
    }
}
