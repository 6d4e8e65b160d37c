//! The batch buffer of a link: frames are built in place, one after the other, and handed to the socket together.
//!
//! Invariants: F1 the buffer holds whole frames only; a frame that fails, or whose value panics while it is serialised,
//! is taken back. F2 its length is a multiple of 16.
//! Cost: no allocation while the buffer is warm; header and body are written once, where they are sent from.

use crate::error::WireError;
use crate::frame::writer::{BodyWriter, Scratch, Sink};
use crate::header::{Deadline, Fragment, FrameFlags, FrameHeader, FrameKind, Trace};
use crate::ids::LocalId;
use crate::key::MessageKey;
use crate::limits::{
    BATCH_KEEP_BYTES, CEILING_MAX_FRAME, DEFAULT_MAX_FRAME, FLOOR_MAX_FRAME, FRAME_ALIGN, FRAME_ALIGN_U8,
    MAX_NAME_BYTES,
};
use rkyv::util::AlignedVec;

/// What the header of a frame says, apart from lengths.
#[derive(Clone, Copy, Debug)]
pub struct FrameHead<'a> {
    /// What the frame is for.
    pub kind: FrameKind,
    /// Priority and [`FrameFlags::IMPORTANT`]; the flags of blocks are set by themselves.
    pub flags: FrameFlags,
    /// Which message the body is.
    pub key: MessageKey,
    /// The target process.
    pub to: LocalId,
    /// The sending process.
    pub from: LocalId,
    /// What a reply or ack refers to.
    pub reference: u64,
    /// When a call ends.
    pub deadline: Deadline,
    /// Where the message stands in a trace.
    pub trace: Option<Trace>,
    /// Which part of a message this is.
    pub fragment: Option<Fragment>,
    /// Registered name of the target, 1 to 255 bytes.
    pub name: Option<&'a str>,
}

impl FrameHead<'_> {
    /// A frame of this kind, with all else empty.
    #[must_use]
    pub const fn new(kind: FrameKind) -> Self {
        Self {
            kind,
            flags: FrameFlags::NONE,
            key: MessageKey::NONE,
            to: LocalId::NONE,
            from: LocalId::NONE,
            reference: 0,
            deadline: Deadline::NONE,
            trace: None,
            fragment: None,
            name: None,
        }
    }
}

/// Frames waiting to be sent.
#[derive(Debug)]
pub struct FrameBuf {
    sink: Sink,
    scratch: Scratch,
    max_frame: usize,
    frames: usize,
}

impl Default for FrameBuf {
    /// An empty buffer with the default frame limit of 1 MiB. Allocates nothing.
    fn default() -> Self {
        let sink = Sink { bytes: AlignedVec::new(), limit: 0, full: false };
        Self { sink, scratch: Scratch::default(), max_frame: DEFAULT_MAX_FRAME, frames: 0 }
    }
}

impl FrameBuf {
    /// An empty buffer whose frames have at most `max_frame` bytes, from 1 KiB to 64 MiB, rounded down to a multiple
    /// of 16. Allocates nothing.
    ///
    /// # Errors
    /// [`WireError::Limit`] outside that range.
    pub fn with_max_frame(max_frame: usize) -> Result<Self, WireError> {
        let max_frame = checked_max_frame(max_frame)?;
        Ok(Self { max_frame, ..Self::default() })
    }

    /// Appends a frame whose body `write` appends. Gives the frame's length in bytes.
    ///
    /// # Errors
    /// What `write` gives; [`WireError::FrameTooLarge`]; [`WireError::Limit`] for a name that is empty or too long. The
    /// buffer is then as it was before.
    #[inline]
    pub fn push_frame<F>(&mut self, head: &FrameHead<'_>, write: F) -> Result<usize, WireError>
    where
        F: FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    {
        let start = self.sink.bytes.len();
        self.sink.limit = start + self.max_frame;
        self.sink.full = false;
        let frame = Unfinished { sink: &mut self.sink, start, done: false };
        let header = begin(frame.sink, head)?;
        write(&mut BodyWriter::new(frame.sink, &mut self.scratch, self.max_frame))?;
        let length = frame.finish(header, self.max_frame)?;
        self.frames += 1;
        Ok(length)
    }

    /// The frames, ready to be sent.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.sink.bytes.as_slice()
    }

    /// Length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.sink.bytes.len()
    }

    /// Whether it holds no frame.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// How many frames it holds.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The frame that starts at `start` and is the last.
    pub(crate) fn split_last(&self, start: usize) -> &[u8] {
        self.sink.bytes.as_slice().get(start..).unwrap_or_default()
    }

    /// Takes the buffer, in which the last frame starts at `start`; the frames before it stay, in another one.
    pub(crate) fn take_last(&mut self, start: usize) -> AlignedVec<FRAME_ALIGN> {
        let mut before = AlignedVec::new();
        before.extend_from_slice(self.sink.bytes.as_slice().get(..start).unwrap_or_default());
        self.frames = self.frames.saturating_sub(1);
        std::mem::replace(&mut self.sink.bytes, before)
    }

    /// Forgets the frame that starts at `start` and is the last.
    pub(crate) fn drop_last(&mut self, start: usize) {
        if start < self.sink.bytes.len() {
            self.sink.bytes.resize(start, 0);
            self.frames -= 1;
        }
    }

    /// Appends a whole frame that was built before.
    pub(crate) fn push_whole(&mut self, frame: &[u8]) -> Result<(), WireError> {
        if frame.len() > self.max_frame {
            return Err(WireError::FrameTooLarge { message: "a message", max: self.max_frame });
        }
        self.sink.bytes.extend_from_slice(frame);
        self.frames += 1;
        Ok(())
    }

    /// The limit of one frame in bytes.
    #[must_use]
    pub fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// Takes the frames out and continues with `empty`, a buffer given back by an earlier sending, or a new one.
    #[must_use]
    pub fn take(&mut self, mut empty: AlignedVec<FRAME_ALIGN>) -> AlignedVec<FRAME_ALIGN> {
        empty.clear();
        if empty.capacity() > BATCH_KEEP_BYTES {
            empty = AlignedVec::new();
        }
        self.frames = 0;
        std::mem::replace(&mut self.sink.bytes, empty)
    }

    /// Forgets the frames and keeps the memory, unless it grew beyond 256 KiB.
    pub fn clear(&mut self) {
        self.frames = 0;
        self.sink.bytes.clear();
        if self.sink.bytes.capacity() > BATCH_KEEP_BYTES {
            self.sink.bytes = AlignedVec::new();
        }
    }
}

/// A frame limit inside the range that can be configured, rounded down to a multiple of 16.
///
/// # Errors
/// [`WireError::Limit`] outside of 1 KiB to 64 MiB.
pub fn checked_max_frame(max_frame: usize) -> Result<usize, WireError> {
    let (have, max) = (max_frame as u64, CEILING_MAX_FRAME as u64);
    if max_frame > CEILING_MAX_FRAME {
        return Err(WireError::Limit { what: "largest frame", have, max });
    }
    if max_frame < FLOOR_MAX_FRAME {
        return Err(WireError::FrameLength { have, min: FLOOR_MAX_FRAME as u64, max });
    }
    Ok(max_frame - max_frame % FRAME_ALIGN)
}

/// Appends header and blocks. Gives the header's first word, in which [`Unfinished::finish`] fills in the lengths.
#[inline]
fn begin(sink: &mut Sink, head: &FrameHead<'_>) -> Result<u64, WireError> {
    let blocks = FrameFlags::TRACE
        .when(head.trace.is_some())
        .with(FrameFlags::FRAGMENT.when(head.fragment.is_some()))
        .with(FrameFlags::NAME.when(head.name.is_some()));
    let header = FrameHeader {
        length: 0,
        kind: head.kind,
        flags: head.flags.without_blocks().with(blocks),
        padding: 0,
        key: head.key,
        to: head.to,
        from: head.from,
        reference: head.reference,
        deadline: head.deadline,
    };
    sink.bytes.extend_from_slice(&header.to_bytes());
    if blocks != FrameFlags::NONE {
        put_blocks(sink, head)?;
    }
    Ok(header.first_word())
}

#[cold]
fn put_blocks(sink: &mut Sink, head: &FrameHead<'_>) -> Result<(), WireError> {
    if let Some(trace) = head.trace {
        sink.bytes.extend_from_slice(&trace.to_bytes());
    }
    if let Some(fragment) = head.fragment {
        sink.bytes.extend_from_slice(&fragment.to_bytes());
    }
    let Some(name) = head.name else { return Ok(()) };
    let limit =
        WireError::Limit { what: "name of the target", have: name.len() as u64, max: MAX_NAME_BYTES as u64 };
    match u8::try_from(name.len()) {
        Ok(len) if len > 0 => sink.bytes.push(len),
        _ => return Err(limit),
    }
    sink.bytes.extend_from_slice(name.as_bytes());
    pad(sink);
    Ok(())
}

/// Appends zeros up to the next multiple of 16; says how many.
#[inline]
fn pad(sink: &mut Sink) -> u8 {
    const ZEROS: [u8; FRAME_ALIGN] = [0; FRAME_ALIGN];
    let [low, ..] = sink.bytes.len().wrapping_neg().to_le_bytes();
    let padding = low % FRAME_ALIGN_U8;
    if padding > 0 {
        sink.bytes.extend_from_slice(ZEROS.split_at(usize::from(padding)).0);
    }
    padding
}

/// A frame under construction: taken back when it is dropped before it is finished, also by a panic (F1).
struct Unfinished<'a> {
    sink: &'a mut Sink,
    start: usize,
    done: bool,
}

impl Unfinished<'_> {
    #[inline]
    fn finish(mut self, first_word: u64, max: usize) -> Result<usize, WireError> {
        let padding = pad(self.sink);
        let length = self.sink.bytes.len() - self.start;
        // W1 keeps the length below the limit, and the limit below 32 bits.
        let first_word = first_word | length as u64 | u64::from(padding) << 48;
        let frame = self.sink.bytes.as_mut_slice().get_mut(self.start..);
        match frame.and_then(|frame| frame.first_chunk_mut::<8>()) {
            Some(head) if length <= max => {
                *head = first_word.to_le_bytes();
                self.done = true;
                Ok(length)
            }
            _ => Err(WireError::FrameTooLarge { message: "a message", max }),
        }
    }
}

impl Drop for Unfinished<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.done {
            self.sink.bytes.resize(self.start, 0);
        }
    }
}
