//! Messages and loops for the frame paths, shared by the micro bench and the instruction counts.

use shard_wire::frame::{BodyWriter, FrameBuf, FrameHead, Parsed, parse};
use shard_wire::header::FrameKind;
use shard_wire::limits::DEFAULT_MAX_FRAME;
use shard_wire::{Body, WireError, message};

/// A small flat message: it fits an envelope without a box.
#[message]
#[derive(Debug)]
pub struct Point {
    /// One of three words.
    pub x: u64,
    /// One of three words.
    pub y: u64,
    /// One of three words.
    pub z: u64,
}

/// A message with memory of its own.
#[message]
#[derive(Debug)]
pub struct Blob {
    /// A short text.
    pub name: String,
    /// The bulk.
    pub bytes: Vec<u8>,
}

/// Appends one frame to `batch`.
///
/// # Errors
/// What the frame buffer says.
#[inline]
pub fn encode<M: Body>(batch: &mut FrameBuf, message: &M) -> Result<usize, WireError> {
    batch.push_frame(&FrameHead::new(FrameKind::Send), |body: &mut BodyWriter<'_>| message.encode(body))
}

/// Decodes all frames in `bytes`, each validated, and says how many there were.
///
/// # Errors
/// The first fault found.
#[inline]
pub fn decode<M: Body>(bytes: &[u8], mut each: impl FnMut(M)) -> Result<u64, WireError> {
    let (mut rest, mut count) = (bytes, 0);
    while let Parsed::Frame(frame) = parse(rest, DEFAULT_MAX_FRAME)? {
        each(M::decode(frame.body)?);
        rest = rest.get(frame.consumed()..).unwrap_or_default();
        count += 1;
    }
    Ok(count)
}
