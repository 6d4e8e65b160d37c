//! Big messages on their way out, cut into parts that other messages pass between.
//!
//! A part carries a slice of the whole frame, header included, so that what is put together again is a frame like any
//! other. What comes behind a big message of the same sender to the same target with the same priority waits with it.
//!
//! Invariants: P1 parts of one message keep their order; at most [`MAX_AT_ONCE`] messages of a lane are cut at a time.
//! P2 a frame waits exactly while a big one before it of its own pair is not cut whole.
//! Cost: nothing while there is no big message but the look whether there is one; then a copy of it, and one of each part.

use crate::WireError;
use crate::flow::queue::frame_len;
use crate::frame::{Batch, FrameBuf, FrameHead};
use crate::header::{Fragment, FrameHeader, FrameKind};
use crate::limits::HEADER_BYTES;
use std::collections::VecDeque;

/// Messages of one lane that are cut at a time; the receiver holds as many.
pub const MAX_AT_ONCE: usize = 4;

/// Whose order has to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pair {
    from: u64,
    to: u64,
    priority: u8,
}

impl Pair {
    fn of(header: &FrameHeader) -> Self {
        Self { from: header.from.0, to: header.to.0, priority: header.flags.priority() as u8 }
    }
}

#[derive(Debug)]
struct Big {
    pair: Pair,
    number: u32,
    header: FrameHeader,
    frame: Batch,
    /// Bytes that were cut off already.
    cut: usize,
    /// Parts that were cut off already.
    index: u32,
    /// Whole frames of the same pair that came later.
    behind: Batch,
}

/// The big messages of a lane.
#[derive(Debug)]
pub(super) struct Splitter {
    kind: FrameKind,
    bigs: VecDeque<Big>,
    next: u32,
    /// Bytes that are not cut off yet, and those behind.
    bytes: u64,
    /// Frames that are not in the lane yet.
    frames: u64,
}

impl Splitter {
    pub(super) fn new(kind: FrameKind) -> Self {
        Self { kind, bigs: VecDeque::new(), next: 0, bytes: 0, frames: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.bigs.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages that are not cut whole, and those behind them.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The frame that was pushed last, from `start` on: takes it out if it is too big for one piece, or has to wait.
    #[cold]
    pub(super) fn look_at(&mut self, out: &mut FrameBuf, start: usize, whole: usize) {
        let header = out.as_slice().get(start..).and_then(|frame| frame.first_chunk::<HEADER_BYTES>());
        let Some(Ok(header)) = header.map(|head| FrameHeader::from_bytes(head, usize::MAX)) else { return };
        let pair = Pair::of(&header);
        let before = self.bigs.iter_mut().rfind(|big| big.pair == pair);
        let length = header.length as usize;
        if before.is_none() && length <= whole {
            return;
        }
        self.bytes += length as u64;
        self.frames += 1;
        match before {
            Some(big) => big.behind.extend_from_slice(out.split_last(start)),
            None => {
                let mut frame = Batch::with_capacity(length);
                frame.extend_from_slice(out.split_last(start));
                self.begin(header, frame, Batch::new());
            }
        }
        out.drop_last(start);
    }

    fn begin(&mut self, header: FrameHeader, frame: Batch, behind: Batch) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let pair = Pair::of(&header);
        self.bigs.push_back(Big { pair, number, header, frame, cut: 0, index: 0, behind });
    }

    /// Appends one part of each message that is being cut.
    pub(super) fn round(&mut self, out: &mut FrameBuf, whole: usize, part: usize) -> Result<(), WireError> {
        let mut index = 0;
        for _ in 0..MAX_AT_ONCE.min(self.bigs.len()) {
            let Some(big) = self.bigs.get_mut(index) else { break };
            let cut = big.append(self.kind, out, part)?;
            self.bytes -= cut as u64;
            if big.cut < big.frame.len() {
                index += 1;
                continue;
            }
            self.frames -= 1;
            if let Some(done) = self.bigs.remove(index) {
                self.release(&done.behind, out, whole)?;
            }
        }
        Ok(())
    }

    /// A message was cut whole: those behind it go on, up to the next big one.
    fn release(&mut self, behind: &Batch, out: &mut FrameBuf, whole: usize) -> Result<(), WireError> {
        let bytes = behind.as_slice();
        let mut at = 0;
        while let Some(length) = frame_len(bytes, at) {
            let frame = bytes.get(at..at + length).unwrap_or_default();
            at += length;
            let header = frame.first_chunk::<HEADER_BYTES>();
            if length > whole
                && let Some(Ok(header)) = header.map(|head| FrameHeader::from_bytes(head, usize::MAX))
            {
                let (mut big, mut rest) = (Batch::with_capacity(length), Batch::new());
                big.extend_from_slice(frame);
                rest.extend_from_slice(bytes.get(at..).unwrap_or_default());
                self.begin(header, big, rest);
                return Ok(());
            }
            out.push_whole(frame)?;
            self.bytes -= length as u64;
            self.frames -= 1;
        }
        Ok(())
    }
}

impl Big {
    /// Appends the next part; how many bytes of the message it carries.
    fn append(&mut self, kind: FrameKind, out: &mut FrameBuf, part: usize) -> Result<usize, WireError> {
        let total = self.frame.len();
        let slice = self.frame.get(self.cut..total.min(self.cut + part)).unwrap_or_default();
        let fragment = Fragment {
            message: self.number,
            index: self.index,
            count: u32::try_from(total.div_ceil(part)).unwrap_or(u32::MAX),
            total_bytes: self.header.length,
        };
        let head = FrameHead {
            flags: crate::header::FrameFlags::NONE.with_priority(self.header.flags.priority()),
            to: self.header.to,
            from: self.header.from,
            fragment: Some(fragment),
            ..FrameHead::new(kind)
        };
        out.push_frame(&head, |body| body.put(slice))?;
        self.cut += slice.len();
        self.index += 1;
        Ok(slice.len())
    }
}

/// Whether a frame, which this node has built, stands for a message: all do but parts that are not the last.
pub(super) fn stands_for_a_message(frame: &[u8]) -> bool {
    let kind = frame.get(4).copied().and_then(FrameKind::from_u8);
    if !matches!(kind, Some(FrameKind::Part | FrameKind::SignalPart)) {
        return true;
    }
    let word = |at: usize| {
        frame.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|word| u32::from_le_bytes(*word))
    };
    // The fragment block is the first: message, index, count.
    let (index, count) = (word(HEADER_BYTES + 4), word(HEADER_BYTES + 8));
    matches!((index, count), (Some(index), Some(count)) if index + 1 == count)
}
