//! From bytes to frames.
//!
//! Invariants: R1 nothing a peer sends panics or reads out of bounds: every slice is asked for, never assumed.
//! R4 the blocks of a [`Frame`] were read once without an error, so that reading them again gives the same.

use crate::cursor::Reader;
use crate::error::WireError;
use crate::header::{Fragment, FrameFlags, FrameHeader, Trace};
use crate::limits::{FRAME_ALIGN, HEADER_BYTES};

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
    /// A frame that says nothing: what [`Frames::next_into`](crate::frame::Frames::next_into) writes over.
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
pub(super) fn parse_into<'a>(
    bytes: &'a [u8],
    limit: usize,
    frame: &mut Frame<'a>,
) -> Result<usize, WireError> {
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
