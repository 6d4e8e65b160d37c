//! One lane of an outbox: frames in batches, from the oldest the peer has not confirmed to the one being built.
//!
//! ```text
//!   batches   [ confirmed in part | written | at, offset: written in part | waiting ... ]   out: being built
//! ```
//!
//! Invariants: Q1 frames keep their order and their bytes; what is written again is what was written before. Q2 a lane
//! that retains drops a batch only when the peer has confirmed all of its frames. Q3 what is handed to the socket ends
//! at a frame, so another lane can go on behind it.
//! Cost: a push writes the frame once, where it is sent from; a confirmation is a compare per batch.

use crate::WireError;
use crate::flow::FlowError;
use crate::frame::{Batch, BodyWriter, FrameBuf, FrameHead};
use crate::limits::{BATCH_KEEP_BYTES, FRAME_ALIGN, HEADER_BYTES};
use std::collections::VecDeque;

/// Empty batches kept for later, about 1 MiB.
const SPARE: usize = 16;

/// Buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Batch>);

impl Spare {
    pub(super) fn take(&mut self) -> Batch {
        self.0.pop().unwrap_or_default()
    }

    pub(super) fn give(&mut self, mut batch: Batch) {
        if self.0.len() < SPARE && (1..=BATCH_KEEP_BYTES).contains(&batch.capacity()) {
            batch.clear();
            self.0.push(batch);
        }
    }

    /// Gives back most of the memory of an idle link.
    pub(super) fn shrink(&mut self) {
        self.0.truncate(2);
    }
}

#[derive(Debug)]
struct Sealed {
    bytes: Batch,
    frames: u64,
}

/// A piece of a batch that is written without another lane in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Where it ends in its batch.
    end: usize,
    /// Whole frames in it.
    frames: u64,
}

/// What of a lane never arrived for certain, in frames that stand for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Left {
    /// Not a byte of the last frame was written.
    pub(super) unwritten: u64,
    /// Written, at least in part, and not confirmed.
    pub(super) unconfirmed: u64,
}

/// One lane.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) out: FrameBuf,
    batches: VecDeque<Sealed>,
    /// Index of the first batch that is not written whole.
    at: usize,
    /// Bytes of that batch that are written.
    offset: usize,
    /// Frames of that batch that are written whole.
    at_frames: u64,
    /// Frames before `batches`.
    first: u64,
    /// Bytes before `batches`.
    first_byte: u64,
    /// Frames in `batches`.
    sealed_frames: u64,
    /// Bytes in `batches`.
    sealed_bytes: u64,
    /// Bytes written since the session began; those written again count once.
    written: u64,
    /// Frames the peer has confirmed.
    confirmed: u64,
    retains: bool,
}

impl Queue {
    pub(super) fn new(max_frame: usize, retains: bool) -> Result<Self, WireError> {
        Ok(Self {
            out: FrameBuf::with_max_frame(max_frame)?,
            batches: VecDeque::new(),
            at: 0,
            offset: 0,
            at_frames: 0,
            first: 0,
            first_byte: 0,
            sealed_frames: 0,
            sealed_bytes: 0,
            written: 0,
            confirmed: 0,
            retains,
        })
    }

    #[inline]
    pub(super) fn push<F>(&mut self, head: &FrameHead<'_>, write: F) -> Result<usize, WireError>
    where
        F: FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    {
        self.out.push_frame(head, write)
    }

    /// Bytes that were never written.
    #[inline]
    pub(super) fn waiting(&self) -> u64 {
        self.first_byte + self.sealed_bytes + self.out.len() as u64 - self.written
    }

    /// Bytes that are kept: waiting, or written and not confirmed.
    pub(super) fn kept(&self) -> u64 {
        self.sealed_bytes + self.out.len() as u64
    }

    /// Frames since the session began.
    pub(super) fn pushed(&self) -> u64 {
        self.first + self.sealed_frames + self.out.frames() as u64
    }

    /// Bytes written since the session began.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the peer has confirmed all that was written.
    pub(super) fn is_settled(&self) -> bool {
        self.confirmed == self.sent()
    }

    /// Frames that are written whole, those of the segment that is being written not counted.
    fn sent(&self) -> u64 {
        self.first + self.frames_before(self.at) + self.at_frames
    }

    /// The same, with those of the segment.
    fn sent_exactly(&self) -> u64 {
        let bytes = self.batches.get(self.at).map(|batch| batch.bytes.as_slice()).unwrap_or_default();
        let (mut end, mut frames) = (0, 0);
        while let Some(length) = frame_len(bytes, end).filter(|length| end + length <= self.offset) {
            end += length;
            frames += 1;
        }
        self.first + self.frames_before(self.at) + frames
    }

    fn frames_before(&self, index: usize) -> u64 {
        self.batches.iter().take(index).map(|batch| batch.frames).sum()
    }

    /// Puts what is being built behind the batches.
    pub(super) fn seal(&mut self, spare: &mut Spare) {
        let frames = self.out.frames() as u64;
        if frames == 0 {
            return;
        }
        let bytes = self.out.take(spare.take());
        self.sealed_frames += frames;
        self.sealed_bytes += bytes.len() as u64;
        self.batches.push_back(Sealed { bytes, frames });
    }

    /// Whether all batches are written, so that what is being built is next.
    pub(super) fn is_drained(&self) -> bool {
        self.at == self.batches.len()
    }

    /// Where in the batch to be written the next segment ends that has at most `allowed` bytes; `None` if there is
    /// nothing to write, or no frame is small enough.
    pub(super) fn segment(&self, allowed: u64) -> Option<Segment> {
        let batch = self.batches.get(self.at)?;
        let bytes = batch.bytes.as_slice();
        let rest = bytes.len().saturating_sub(self.offset);
        if rest as u64 <= allowed {
            return Some(Segment { end: bytes.len(), frames: batch.frames - self.at_frames });
        }
        let mut segment = Segment { end: self.offset, frames: 0 };
        while let Some(length) = frame_len(bytes, segment.end)
            && (segment.end + length - self.offset) as u64 <= allowed
        {
            segment.end += length;
            segment.frames += 1;
        }
        (segment.frames > 0).then_some(segment)
    }

    /// Length of the next frame to be written.
    pub(super) fn next_len(&self) -> Option<usize> {
        frame_len(self.batches.get(self.at)?.bytes.as_slice(), self.offset)
    }

    /// What of a segment is not written.
    #[inline]
    pub(super) fn rest(&self, segment: Segment) -> &[u8] {
        self.batches
            .get(self.at)
            .and_then(|batch| batch.bytes.get(self.offset..segment.end))
            .unwrap_or_default()
    }

    /// Notes that bytes of a segment were written; whether it is whole now.
    pub(super) fn wrote(&mut self, count: usize, segment: Segment, spare: &mut Spare) -> bool {
        self.offset += count;
        self.written += count as u64;
        if self.offset < segment.end {
            return false;
        }
        self.at_frames += segment.frames;
        if self.batches.get(self.at).is_some_and(|batch| self.offset >= batch.bytes.len()) {
            (self.offset, self.at_frames) = (0, 0);
            self.at += 1;
            if !self.retains {
                self.confirmed = self.first + self.frames_before(self.at);
                self.drop_confirmed(spare);
            }
        }
        true
    }

    fn drop_confirmed(&mut self, spare: &mut Spare) {
        while self.at > 0
            && let Some(batch) =
                self.batches.pop_front_if(|batch| self.first + batch.frames <= self.confirmed)
        {
            self.at -= 1;
            self.first += batch.frames;
            self.first_byte += batch.bytes.len() as u64;
            self.sealed_frames -= batch.frames;
            self.sealed_bytes -= batch.bytes.len() as u64;
            spare.give(batch.bytes);
        }
    }

    /// The peer has taken this many frames since the session began.
    pub(super) fn confirm(&mut self, count: u64, spare: &mut Spare) -> Result<(), FlowError> {
        let most = if count <= self.sent() { self.sent() } else { self.sent_exactly() };
        if count < self.confirmed || count > most {
            return Err(FlowError::Count { have: count, least: self.confirmed, most });
        }
        self.confirmed = count;
        self.drop_confirmed(spare);
        Ok(())
    }

    /// A new link stands, and the peer has taken this many frames: goes on behind them.
    pub(super) fn resume(&mut self, count: u64, spare: &mut Spare) -> Result<(), FlowError> {
        self.confirm(count, spare)?;
        (self.at, self.offset, self.at_frames) = (0, 0, 0);
        let mut skip = count - self.first;
        if let Some(batch) = self.batches.front() {
            while skip > 0
                && let Some(length) = frame_len(batch.bytes.as_slice(), self.offset)
            {
                self.offset += length;
                self.at_frames += 1;
                skip -= 1;
            }
        }
        self.written = self.first_byte + self.offset as u64;
        Ok(())
    }

    /// The link is gone, and nothing will be written again: a batch that was written in part is lost. How many frames
    /// that is.
    pub(super) fn drop_partial(&mut self, spare: &mut Spare) -> u64 {
        if self.offset == 0 {
            return 0;
        }
        let Some(batch) = self.batches.pop_front() else { return 0 };
        self.written = self.first_byte + batch.bytes.len() as u64;
        self.first_byte = self.written;
        self.first += batch.frames;
        self.confirmed = self.first;
        self.sealed_frames -= batch.frames;
        self.sealed_bytes -= batch.bytes.len() as u64;
        (self.offset, self.at_frames) = (0, 0);
        spare.give(batch.bytes);
        batch.frames
    }

    /// Forgets everything: its frames meant something to the link that is gone only.
    pub(super) fn clear(&mut self) {
        self.out.clear();
        self.batches.clear();
        (self.at, self.offset, self.at_frames) = (0, 0, 0);
        (self.sealed_frames, self.sealed_bytes) = (0, 0);
        self.first_byte = self.written;
        self.confirmed = self.first;
    }

    /// What is left when the session ends. `counts` says which frames stand for a message.
    pub(super) fn left(&self, counts: impl Fn(&[u8]) -> bool) -> Left {
        let mut left = Left::default();
        let mut number = self.first;
        for (index, batch) in self.batches.iter().enumerate() {
            let mut start = 0;
            while let Some(length) = frame_len(batch.bytes.as_slice(), start) {
                let written = index < self.at || (index == self.at && start < self.offset);
                let frame = batch.bytes.get(start..start + length).unwrap_or_default();
                if number >= self.confirmed && counts(frame) {
                    left.unconfirmed += u64::from(written);
                    left.unwritten += u64::from(!written);
                }
                number += 1;
                start += length;
            }
        }
        let mut start = 0;
        while let Some(length) = frame_len(self.out.as_slice(), start) {
            let frame = self.out.as_slice().get(start..start + length).unwrap_or_default();
            left.unwritten += u64::from(counts(frame));
            start += length;
        }
        left
    }
}

/// Length of the frame that starts at `start`, which this node has built.
pub(super) fn frame_len(bytes: &[u8], start: usize) -> Option<usize> {
    let length = bytes.get(start..)?.first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    // Never zero, so that a walk ends.
    (length >= HEADER_BYTES && length.is_multiple_of(FRAME_ALIGN)).then_some(length)
}
