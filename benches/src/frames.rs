//! Messages and loops for the frame paths, shared by the micro bench and the instruction counts.

use shard_wire::frame::{BodyWriter, Frame, FrameBuf, FrameHead, Parsed, RecvBuf, Source, parse};
use shard_wire::header::FrameKind;
use shard_wire::limits::DEFAULT_MAX_FRAME;
use shard_wire::{Body, View, WireError, data, message};

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

/// One record of a message.
#[data]
#[derive(Debug)]
pub struct Record {
    id: u64,
    name: String,
    place: String,
    amounts: Vec<u32>,
}

/// About 6 KiB of records.
#[message]
#[derive(Debug)]
pub struct Order {
    records: Vec<Record>,
}

impl Order {
    const RECORDS: u64 = 64;
    /// What [`Order::read`] and [`Order::read_view`] give for the sample.
    pub const READ: u64 = Self::RECORDS + (Self::RECORDS - 1) + 2;

    /// The one that is sent.
    #[must_use]
    pub fn sample() -> Self {
        let record = |id| Record {
            id,
            name: format!("the item with the number {id}"),
            place: format!("shelf {} in the great hall", id % 7),
            amounts: vec![1, 2, 3],
        };
        Self { records: (0..Self::RECORDS).map(record).collect() }
    }

    /// Reads a few fields.
    #[must_use]
    pub fn read(&self) -> u64 {
        let last = self.records.last().map_or(0, |record| record.id);
        let amount = self.records.first().and_then(|record| record.amounts.get(1)).map_or(0, |n| *n);
        self.records.len() as u64 + last + u64::from(amount)
    }

    /// Reads the same fields where they lie.
    #[must_use]
    pub fn read_view(view: &View<Self>) -> u64 {
        let last = view.records.last().map_or(0, |record| record.id.to_native());
        let amount =
            view.records.first().and_then(|record| record.amounts.get(1)).map_or(0, |n| n.to_native());
        view.records.len() as u64 + last + u64::from(amount)
    }
}

/// Gives these bytes to a receive buffer as often as it takes to make `count` frames of them, and each frame to `each`.
///
/// # Errors
/// The first fault found.
pub fn receive(
    batch: &FrameBuf,
    count: u64,
    mut each: impl FnMut(&Frame<'_>, Source<'_>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut buffer = RecvBuf::new(DEFAULT_MAX_FRAME)?.lending(4);
    let (mut rest, mut seen) = (batch.as_slice(), 0);
    while seen < count {
        let room = buffer.spare_mut();
        let (now, later) = rest.split_at(rest.len().min(room.len()));
        if let Some(place) = room.get_mut(..now.len()) {
            place.copy_from_slice(now);
        }
        buffer.advance(now.len());
        rest = if later.is_empty() { batch.as_slice() } else { later };
        let mut frames = buffer.frames();
        let source = frames.source();
        loop {
            // As a link does it.
            let mut frame = Frame::EMPTY;
            if !frames.next_into(&mut frame)? {
                break;
            }
            each(&frame, source)?;
            seen += 1;
        }
    }
    Ok(())
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
