//! From bytes to frames: one function, and the receive buffer of a link around it.
//!
//! Invariants: R1 nothing a peer sends panics or reads out of bounds: every slice is asked for, never assumed.
//! R2 the receive buffer starts at a multiple of 16 and frames are multiples of 16, so every body in it is aligned.
//! R4 the blocks of a [`Frame`] were read once without an error, so that reading them again gives the same.
//! R3 memory follows the bytes that arrived: a header that claims 64 MiB makes the buffer at most double.
//! Cost: no allocation per frame; a partial frame is moved once per read at most.

use crate::cursor::Reader;
use crate::error::WireError;
use crate::frame::batch::checked_max_frame;
use crate::header::{Fragment, FrameFlags, FrameHeader, Trace};
use crate::limits::{FRAME_ALIGN, HEADER_BYTES, RECV_BATCH_BYTES, RECV_INITIAL_BYTES};
use rkyv::util::AlignedVec;

/// A frame in a receive buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// The fixed part of the header.
    pub header: FrameHeader,
    /// The body, without padding. Not validated yet.
    pub body: &'a [u8],
    /// The blocks between header and body, checked (R4).
    blocks: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame that says nothing: what [`RecvBuf::next_into`] writes over.
    pub const EMPTY: Self = Self { header: FrameHeader::EMPTY, body: &[], blocks: &[] };

    /// Length of the frame in the buffer, in bytes.
    #[must_use]
    #[inline]
    pub const fn consumed(&self) -> usize {
        self.header.length as usize
    }

    /// Bytes of header and blocks.
    #[must_use]
    pub const fn head_bytes(&self) -> usize {
        // Header, blocks, body and padding are the frame.
        self.consumed().saturating_sub(self.body.len() + self.header.padding as usize)
    }

    /// The same frame with what its compressed body expands to.
    #[must_use]
    pub fn expanded<'b>(&self, body: &'b [u8]) -> Frame<'b>
    where
        'a: 'b,
    {
        let flags = self.header.flags.without(FrameFlags::COMPRESSED);
        Frame { header: FrameHeader { flags, ..self.header }, body, blocks: self.blocks }
    }

    /// Where the message stands in a trace.
    #[must_use]
    pub fn trace(&self) -> Option<Trace> {
        self.header
            .flags
            .has(FrameFlags::TRACE)
            .then(|| Blocks::read(self.header.flags, self.blocks).ok()?.trace)?
    }

    /// Which part of a message this is.
    #[must_use]
    pub fn fragment(&self) -> Option<Fragment> {
        self.header
            .flags
            .has(FrameFlags::FRAGMENT)
            .then(|| Blocks::read(self.header.flags, self.blocks).ok()?.fragment)?
    }

    /// Registered name of the target.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        self.header
            .flags
            .has(FrameFlags::NAME)
            .then(|| Blocks::read(self.header.flags, self.blocks).ok()?.name)?
    }
}

/// What the front of a receive buffer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed<'a> {
    /// A part of a frame: this many bytes are needed, counted from the front, before it is worth looking again.
    Need(usize),
    /// A whole frame.
    Frame(Frame<'a>),
}

/// Looks at the front of `bytes` for a frame of at most `limit` bytes.
///
/// # Errors
/// A [`WireError`] that says which field is wrong. The link is then out of step and has to be closed.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Parsed<'_>, WireError> {
    let mut frame = Frame::EMPTY;
    Ok(match parse_into(bytes, limit, &mut frame)? {
        0 => Parsed::Frame(frame),
        need => Parsed::Need(need),
    })
}

/// The same in place. 0, or as many bytes as are needed.
#[inline(always)]
fn parse_into<'a>(bytes: &'a [u8], limit: usize, frame: &mut Frame<'a>) -> Result<usize, WireError> {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(HEADER_BYTES) };
    frame.header.read(head, limit)?;
    let consumed = frame.header.length as usize;
    let Some(whole) = bytes.get(..consumed) else { return Ok(consumed) };
    let content = HEADER_BYTES..consumed - usize::from(frame.header.padding);
    // `read` checked that header, fixed blocks and padding fit the length.
    frame.body = whole.get(content).unwrap_or_default();
    if frame.header.flags.any(FrameFlags::BLOCKS) {
        read_blocks(frame)?;
    }
    Ok(0)
}

#[cold]
fn read_blocks(frame: &mut Frame<'_>) -> Result<(), WireError> {
    let blocks = Blocks::read(frame.header.flags, frame.body)?;
    (frame.blocks, frame.body) = frame.body.split_at_checked(blocks.len).unwrap_or((frame.body, &[]));
    Ok(())
}

/// The optional blocks of a header.
struct Blocks<'a> {
    trace: Option<Trace>,
    fragment: Option<Fragment>,
    name: Option<&'a str>,
    len: usize,
}

impl<'a> Blocks<'a> {
    fn read(flags: FrameFlags, content: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(content);
        let mut blocks = Self { trace: None, fragment: None, name: None, len: 0 };
        if flags.has(FrameFlags::TRACE) {
            let (trace, span) = (reader.u128("trace id")?, reader.u64("span id")?);
            blocks.trace = Some(Trace { trace, span, flags: reader.u64("trace flags")? });
        }
        if flags.has(FrameFlags::FRAGMENT) {
            blocks.fragment = Some(fragment(&mut reader)?);
        }
        if flags.has(FrameFlags::NAME) {
            blocks.name = Some(name(&mut reader)?);
        }
        blocks.len = reader.offset();
        Ok(blocks)
    }
}

fn fragment(reader: &mut Reader<'_>) -> Result<Fragment, WireError> {
    let offset = HEADER_BYTES + reader.offset();
    let (message, index) = (reader.u32("fragmented message")?, reader.u32("fragment index")?);
    let (count, total_bytes) = (reader.u32("fragment count")?, reader.u32("fragmented length")?);
    if index >= count {
        return Err(WireError::Invalid {
            what: "fragment index",
            offset: offset + 4,
            have: u64::from(index),
        });
    }
    Ok(Fragment { message, index, count, total_bytes })
}

fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, WireError> {
    let offset = HEADER_BYTES + reader.offset();
    let len = usize::from(reader.u8("length of the name")?);
    if len == 0 {
        return Err(WireError::Invalid { what: "length of the name", offset, have: 0 });
    }
    let name = reader.bytes("name of the target", len)?;
    reader.bytes("padding of the name", (1 + len).wrapping_neg() % FRAME_ALIGN)?;
    std::str::from_utf8(name).map_err(|_| WireError::Utf8 { what: "name of the target", offset: offset + 1 })
}

/// The receive buffer of a link.
#[derive(Debug)]
pub struct RecvBuf {
    bytes: AlignedVec<FRAME_ALIGN>,
    /// Where the first frame that was not given out starts: a multiple of 16.
    start: usize,
    /// Where received bytes end.
    end: usize,
    /// Length of the frame at the front, if its header is known and its rest is not here yet.
    need: usize,
    limit: usize,
}

impl RecvBuf {
    /// An empty buffer for frames of at most `max_frame` bytes, from 1 KiB to 64 MiB. Allocates 16 KiB.
    ///
    /// # Errors
    /// [`WireError::Limit`] or [`WireError::FrameLength`] outside that range.
    pub fn new(max_frame: usize) -> Result<Self, WireError> {
        let limit = checked_max_frame(max_frame)?;
        let mut bytes = AlignedVec::new();
        bytes.resize(RECV_INITIAL_BYTES, 0);
        Ok(Self { bytes, start: 0, end: 0, need: 0, limit })
    }

    /// Room for received bytes, never empty. Frames given out before are gone after this call.
    ///
    /// Moves a partial frame to the front, and doubles the buffer if it is full: up to 256 KiB, or as far as the frame
    /// at its front needs.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.as_mut_slice().copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let ceiling = RECV_BATCH_BYTES.max(self.need);
            // Not above the ceiling, yet always more than is held: what nobody took out is kept.
            let grown = (self.bytes.len() * 2).min(ceiling).max(self.end + FRAME_ALIGN);
            self.bytes.resize(grown, 0);
        }
        self.bytes.as_mut_slice().get_mut(self.end..).unwrap_or_default()
    }

    /// Notes that `received` bytes were written to the front of [`RecvBuf::spare_mut`]. More than fit are not counted.
    pub fn advance(&mut self, received: usize) {
        self.end = self.end.saturating_add(received).min(self.bytes.len());
    }

    /// The next whole frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// As [`parse`]; then each further call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let mut frame = Frame::EMPTY;
        Ok(self.next_into(&mut frame)?.then_some(frame))
    }

    /// The same over an [`Frame::EMPTY`] one, which is faster than to have it given; whether there was one.
    ///
    /// # Errors
    /// As [`parse`].
    #[inline(always)]
    pub fn next_into<'a>(&'a mut self, frame: &mut Frame<'a>) -> Result<bool, WireError> {
        let received = self.bytes.as_slice().get(self.start..self.end).unwrap_or_default();
        match parse_into(received, self.limit, frame)? {
            0 => {
                self.start += frame.consumed();
                Ok(true)
            }
            need => {
                self.need = need;
                Ok(false)
            }
        }
    }

    /// How many bytes were received and not given out as frames.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// Memory of the buffer, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Gives memory back after big frames, if nothing is pending. To be called when the link is idle.
    pub fn shrink(&mut self) {
        if self.pending() == 0 && self.bytes.len() > RECV_INITIAL_BYTES {
            self.bytes = AlignedVec::new();
            self.bytes.resize(RECV_INITIAL_BYTES, 0);
            (self.start, self.end) = (0, 0);
        }
    }
}
