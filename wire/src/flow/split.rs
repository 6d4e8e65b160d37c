//! Big messages on their way out, cut into parts that other messages pass between.
//!
//! A part carries a slice of the whole frame, header included, so that what is put together again is a frame like any
//! other. What comes behind a big message of the same sender to the same target with the same priority waits with it.
//!
//! Invariants: P1 parts of one message keep their order; at most [`MAX_AT_ONCE`] messages of a lane are cut at a time.
//! P2 a frame waits exactly while a big one before it of its own pair is not cut whole. Where an alias leads is not known here:
//! it may be the target of any frame to its shard, so frames of one sender to that wait for each other then.
//! P3 a big message is not moved while it waits: its buffer is handed on.
//! Cost: nothing while there is no big message but the look whether there is one; then a copy of each part, and of the frames
//! of the batch that stand before it.

use crate::WireError;
use crate::flow::queue::frame_len;
use crate::frame::{Batch, FrameBuf, FrameHead};
use crate::header::{Fragment, FrameFlags, FrameHeader, FrameKind};
use crate::ids::LocalId;
use crate::limits::HEADER_BYTES;
use std::collections::VecDeque;

/// Messages of one lane that are cut at a time; the receiver holds as many.
pub const MAX_AT_ONCE: usize = 4;

/// Whose order has to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pair {
    from: u64,
    to: LocalId,
    is_alias: bool,
    priority: u8,
}

impl Pair {
    fn of(header: &FrameHeader) -> Self {
        let is_alias = header.flags.has(FrameFlags::ALIAS);
        Self { from: header.from.0, to: header.to, is_alias, priority: header.flags.priority() as u8 }
    }

    /// Whether frames of both come from one sender for one shard.
    fn is_near(self, other: Self) -> bool {
        (self.from, self.priority, self.to.shard()) == (other.from, other.priority, other.to.shard())
    }

    /// Whether both may be for one process although they are not the same.
    fn may_be(self, other: Self) -> bool {
        (self.is_alias || other.is_alias) && self != other && self.is_near(other)
    }
}

/// Frames of one sender to one shard that wait until it does not matter where an alias leads.
#[derive(Debug)]
struct Held {
    pair: Pair,
    frames: VecDeque<(FrameHeader, Whole)>,
}

#[derive(Debug)]
struct Big {
    pair: Pair,
    number: u32,
    header: FrameHeader,
    frame: Whole,
    /// Bytes that were cut off already.
    cut: usize,
    /// Parts that were cut off already.
    index: u32,
    /// Of the same pair, and came later.
    behind: VecDeque<Behind>,
}

/// A big frame, in the buffer it was built in.
#[derive(Debug)]
struct Whole {
    bytes: Batch,
    start: usize,
}

impl Whole {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// What waits for a big message of its pair.
#[derive(Debug)]
enum Behind {
    /// Frames that need not be cut.
    Small(Batch),
    Big(FrameHeader, Whole),
}

/// The big messages of a lane.
#[derive(Debug)]
pub(super) struct Splitter {
    kind: FrameKind,
    bigs: VecDeque<Big>,
    /// Empty if there is no big message.
    held: Vec<Held>,
    next: u32,
    /// Bytes that are not cut off yet, and those behind.
    bytes: u64,
    /// Frames that are not in the lane yet.
    frames: u64,
    done: Cut,
}

/// What was cut into parts since the session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cut {
    /// Messages cut whole.
    pub messages: u64,
    /// Their parts, and those of messages that are being cut.
    pub parts: u64,
}

impl Splitter {
    pub(super) fn new(kind: FrameKind) -> Self {
        Self {
            kind,
            bigs: VecDeque::new(),
            held: Vec::new(),
            next: 0,
            bytes: 0,
            frames: 0,
            done: Cut::default(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.bigs.is_empty()
    }

    pub(super) fn done(&self) -> Cut {
        self.done
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
        if self.may_overtake(pair) {
            self.bytes += u64::from(header.length);
            self.frames += 1;
            return self.hold(header, Whole { bytes: out.take_last(start), start });
        }
        let before = self.bigs.iter_mut().rfind(|big| big.pair == pair);
        let length = header.length as usize;
        if before.is_none() && length <= whole {
            return;
        }
        self.bytes += length as u64;
        self.frames += 1;
        if length <= whole {
            if let Some(big) = before {
                big.push_small(out.split_last(start));
            }
            out.drop_last(start);
            return;
        }
        // The frames before it are at most a batch.
        let frame = Whole { bytes: out.take_last(start), start };
        match before {
            Some(big) => big.behind.push_back(Behind::Big(header, frame)),
            None => self.begin(header, frame, VecDeque::new()),
        }
    }

    /// Whether a frame might overtake another one to the same process, by an alias of it.
    fn may_overtake(&self, pair: Pair) -> bool {
        self.held.iter().any(|held| held.pair.is_near(pair))
            || self.bigs.iter().any(|big| big.pair.may_be(pair))
    }

    fn hold(&mut self, header: FrameHeader, frame: Whole) {
        let pair = Pair::of(&header);
        match self.held.iter_mut().find(|held| held.pair.is_near(pair)) {
            Some(held) => held.frames.push_back((header, frame)),
            None => self.held.push(Held { pair, frames: VecDeque::from([(header, frame)]) }),
        }
    }

    /// Some message was cut whole: what was held for it goes on.
    #[cold]
    fn look_at_held(&mut self, out: &mut FrameBuf, whole: usize) -> Result<(), WireError> {
        for mut held in std::mem::take(&mut self.held) {
            while let Some((header, frame)) = held.frames.pop_front() {
                let pair = Pair::of(&header);
                if self.bigs.iter().any(|big| big.pair.may_be(pair)) {
                    held.frames.push_front((header, frame));
                    break;
                }
                let before = self.bigs.iter_mut().rfind(|big| big.pair == pair);
                match before {
                    Some(big) if header.length as usize <= whole => big.push_small(frame.as_slice()),
                    Some(big) => big.behind.push_back(Behind::Big(header, frame)),
                    None if header.length as usize <= whole => {
                        out.push_whole(frame.as_slice())?;
                        self.bytes -= u64::from(header.length);
                        self.frames -= 1;
                    }
                    None => self.begin(header, frame, VecDeque::new()),
                }
            }
            if !held.frames.is_empty() {
                self.held.push(held);
            }
        }
        Ok(())
    }

    fn begin(&mut self, header: FrameHeader, frame: Whole, behind: VecDeque<Behind>) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let pair = Pair::of(&header);
        self.bigs.push_back(Big { pair, number, header, frame, cut: 0, index: 0, behind });
    }

    /// Appends one part of each message that is being cut.
    pub(super) fn round(&mut self, out: &mut FrameBuf, part: usize, whole: usize) -> Result<(), WireError> {
        let mut index = 0;
        for _ in 0..MAX_AT_ONCE.min(self.bigs.len()) {
            let Some(big) = self.bigs.get_mut(index) else { break };
            let cut = big.append(self.kind, out, part)?;
            self.bytes -= cut as u64;
            self.done.parts += 1;
            if big.cut < big.frame.as_slice().len() {
                index += 1;
                continue;
            }
            self.frames -= 1;
            self.done.messages += 1;
            if let Some(done) = self.bigs.remove(index) {
                self.release(done.behind, out)?;
            }
            if !self.held.is_empty() {
                self.look_at_held(out, whole)?;
            }
        }
        Ok(())
    }

    /// A message was cut whole: those behind it go on, up to the next big one.
    fn release(&mut self, mut behind: VecDeque<Behind>, out: &mut FrameBuf) -> Result<(), WireError> {
        while let Some(next) = behind.pop_front() {
            let small = match next {
                Behind::Small(small) => small,
                Behind::Big(header, frame) => {
                    self.begin(header, frame, behind);
                    return Ok(());
                }
            };
            let mut at = 0;
            while let Some(length) = frame_len(small.as_slice(), at) {
                out.push_whole(small.get(at..at + length).unwrap_or_default())?;
                at += length;
                self.bytes -= length as u64;
                self.frames -= 1;
            }
        }
        Ok(())
    }
}

impl Big {
    fn push_small(&mut self, frame: &[u8]) {
        if let Some(Behind::Small(small)) = self.behind.back_mut() {
            return small.extend_from_slice(frame);
        }
        let mut small = Batch::with_capacity(frame.len());
        small.extend_from_slice(frame);
        self.behind.push_back(Behind::Small(small));
    }

    /// Appends the next part; how many bytes of the message it carries.
    fn append(&mut self, kind: FrameKind, out: &mut FrameBuf, part: usize) -> Result<usize, WireError> {
        let total = self.frame.as_slice().len();
        let slice = self.frame.as_slice().get(self.cut..total.min(self.cut + part)).unwrap_or_default();
        let fragment = Fragment {
            message: self.number,
            index: self.index,
            count: u32::try_from(total.div_ceil(part)).unwrap_or(u32::MAX),
            total_bytes: self.header.length,
        };
        let head = FrameHead {
            flags: FrameFlags::NONE.with_priority(self.header.flags.priority()),
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
