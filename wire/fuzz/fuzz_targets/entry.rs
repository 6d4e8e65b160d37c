//! The entry point that the fuzz target and the replay of its corpus (`tests/corpus.rs`) share: whatever the bytes are,
//! it returns.

use rkyv::util::AlignedVec;
use shard_wire::frame::{Frame, FrameBuf, FrameHead, Parsed, RecvBuf, parse};
use shard_wire::limits::DEFAULT_MAX_FRAME;
use shard_wire::{Pid, Registry, data, message};
use std::collections::{BTreeMap, HashMap};

/// A message with every kind of field.
#[message(name = "fuzz::Everything", reply = Result<Option<Pid>, String>)]
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Everything {
    /// A number.
    pub(crate) id: u64,
    /// A text.
    pub(crate) text: String,
    /// An identity.
    pub(crate) from: Pid,
    /// Nested types.
    pub(crate) items: Vec<Item>,
    /// A tree.
    pub(crate) by_id: BTreeMap<u32, String>,
    /// A hash table.
    pub(crate) by_name: HashMap<String, (u8, bool)>,
    /// A character: not every number is one.
    pub(crate) character: char,
}

/// An enum with every kind of variant.
#[data]
#[derive(Debug, PartialEq, Clone)]
pub(crate) enum Item {
    /// Without fields.
    Empty,
    /// With an unnamed field.
    Number(i32),
    /// With named fields.
    Pair {
        /// A boxed text.
        left: Box<str>,
        /// An optional number.
        right: Option<std::num::NonZeroU16>,
    },
}

/// A message without pointers.
#[message(name = "fuzz::Flat")]
#[derive(Debug, PartialEq)]
pub(crate) struct Flat {
    /// A number.
    pub(crate) a: u64,
    /// A smaller one.
    pub(crate) b: bool,
}

/// A message that contains itself.
#[message(schema = 1, name = "fuzz::Nested")]
#[derive(Debug, PartialEq)]
pub(crate) struct Nested {
    /// More of it.
    pub(crate) inner: Vec<Self>,
    /// And again.
    pub(crate) next: Option<Box<Self>>,
}

/// Reads `bytes` as a link would, in one piece and cut in two, and gives how many bodies were valid.
///
/// # Panics
/// If two ways to read the same bytes differ.
pub(crate) fn read(registry: &Registry, bytes: &[u8]) -> usize {
    let mut aligned = AlignedVec::<16>::new();
    aligned.extend_from_slice(bytes);
    let (mut rest, mut frames, mut valid) = (aligned.as_slice(), 0, 0);
    while let Ok(Parsed::Frame(frame)) = parse(rest, DEFAULT_MAX_FRAME) {
        valid += bodies(registry, &frame);
        again(&frame);
        frames += 1;
        rest = rest.get(frame.consumed()..).unwrap_or_default();
    }
    let cut = usize::from(bytes.first().copied().unwrap_or_default());
    assert_eq!(in_pieces(bytes, cut), frames, "cut after {cut} bytes");
    valid
}

fn bodies(registry: &Registry, frame: &Frame<'_>) -> usize {
    let mut valid = 0;
    for entry in registry.iter() {
        let ops = entry.ops();
        if let Ok(message) = ops.decode(frame.body) {
            assert_eq!(ops.body().check(frame.body), Ok(()));
            // What was valid once can be sent on.
            let mut out = FrameBuf::default();
            out.push_frame(&FrameHead::new(frame.header.kind), |body| message.encode(body))
                .map_or_else(|error| panic!("{error}"), |_| valid += 1);
        }
        valid += usize::from(ops.decode_reply(frame.body).is_ok());
    }
    valid
}

/// A frame that was read can be written again, and then says the same.
fn again(frame: &Frame<'_>) {
    let header = frame.header;
    let head = FrameHead {
        kind: header.kind,
        flags: header.flags,
        key: header.key,
        to: header.to,
        from: header.from,
        reference: header.reference,
        deadline: header.deadline,
        trace: frame.trace(),
        fragment: frame.fragment(),
        name: frame.name(),
    };
    let mut out = FrameBuf::default();
    let written = out.push_frame(&head, |body| body.put(frame.body));
    let read = parse(out.as_slice(), DEFAULT_MAX_FRAME);
    let (Ok(_), Ok(Parsed::Frame(copy))) = (written, read) else { panic!("{written:?}, {read:?}") };
    assert_eq!((copy.body, copy.name(), copy.trace()), (frame.body, frame.name(), frame.trace()));
    assert_eq!(copy.header, header);
}

fn in_pieces(bytes: &[u8], cut: usize) -> usize {
    let Ok(mut received) = RecvBuf::new(DEFAULT_MAX_FRAME) else { return usize::MAX };
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let mut frames = 0;
    for mut piece in [first, second] {
        while !piece.is_empty() {
            let spare = received.spare_mut();
            let (now, later) = piece.split_at(piece.len().min(spare.len()));
            spare[..now.len()].copy_from_slice(now);
            received.advance(now.len());
            piece = later;
            while let Ok(Some(_)) = received.next_frame() {
                frames += 1;
            }
        }
    }
    frames
}
