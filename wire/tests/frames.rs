//! Frames: golden bytes, round trips, and that no input panics or is misread.

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use rkyv::util::AlignedVec;
use shard_wire::frame::{Frame, FrameBuf, FrameHead, Parsed, RecvBuf, parse};
use shard_wire::header::{Deadline, Fragment, FrameFlags, FrameKind, Priority, Trace};
use shard_wire::limits::{DEFAULT_MAX_FRAME, FLOOR_MAX_FRAME, RECV_BATCH_BYTES, RECV_INITIAL_BYTES};
use shard_wire::{
    Body, Erased, IncarnationKey, LocalId, MessageKey, Pid, Registry, WireError, data, message,
};
use std::collections::{BTreeMap, HashMap};

#[message(name = "frames::Probe", reply = Option<Pid>)]
#[derive(Debug, PartialEq, Clone)]
struct Probe {
    id: u64,
    text: String,
    from: Pid,
    items: Vec<Item>,
    by_id: BTreeMap<u32, String>,
    set: HashMap<String, u8>,
}

#[data]
#[derive(Debug, PartialEq, Clone)]
enum Item {
    Empty,
    Number(i32),
    Pair { left: Box<str>, right: Option<u16> },
}

#[message(name = "frames::Flat")]
#[derive(Debug, PartialEq)]
struct Flat {
    a: u64,
    b: u32,
}

fn probe() -> Probe {
    Probe {
        id: 7,
        text: "some text that is not inline".into(),
        from: Pid { node: IncarnationKey(1), local: LocalId(2) },
        items: vec![
            Item::Empty,
            Item::Number(-1),
            Item::Pair { left: "left side of the pair".into(), right: Some(3) },
        ],
        by_id: BTreeMap::from([(1, "one".into()), (2, "two".into())]),
        set: HashMap::from([("key".into(), 1)]),
    }
}

fn full_head<'a>() -> FrameHead<'a> {
    FrameHead {
        kind: FrameKind::Call,
        flags: FrameFlags::IMPORTANT.with_priority(Priority::High),
        key: MessageKey(0x0102_0304_0506_0708),
        to: LocalId(0x11),
        from: LocalId(0x22),
        reference: 0x33,
        deadline: Deadline(0x44),
        trace: Some(Trace { trace: 5, span: 6, flags: 7 }),
        fragment: Some(Fragment { message: 1, index: 2, count: 3, total_bytes: 4 }),
        name: Some("counter"),
    }
}

fn aligned(bytes: &[u8]) -> AlignedVec<16> {
    let mut copy = AlignedVec::new();
    copy.extend_from_slice(bytes);
    copy
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    match parse(bytes, DEFAULT_MAX_FRAME).unwrap() {
        Parsed::Frame(frame) => frame,
        Parsed::Need(need) => panic!("{need} bytes needed"),
    }
}

#[test]
fn golden_bytes_of_a_bare_frame() {
    let mut batch = FrameBuf::default();
    let head = FrameHead { key: MessageKey(0xAA), to: LocalId(0xBB), ..FrameHead::new(FrameKind::Send) };
    assert_eq!(batch.push_frame(&head, |body| body.put(&[1, 2, 3])), Ok(64));
    let mut golden = vec![64, 0, 0, 0, 1, 0, 13, 1];
    golden.extend_from_slice(&0xAA_u64.to_le_bytes());
    golden.extend_from_slice(&0xBB_u64.to_le_bytes());
    golden.extend_from_slice(&[0; 24]);
    golden.extend_from_slice(&[1, 2, 3]);
    golden.extend_from_slice(&[0; 13]);
    assert_eq!(batch.as_slice(), golden);
}

#[test]
fn golden_bytes_of_all_blocks() {
    let mut batch = FrameBuf::default();
    batch.push_frame(&full_head(), |body| body.put(&[9; 16])).unwrap();
    let mut golden = vec![128, 0, 0, 0, 2, 0b0001_1111, 0, 1];
    for word in [0x0102_0304_0506_0708, 0x11, 0x22, 0x33, 0x44, 5, 0, 6, 7_u64] {
        golden.extend_from_slice(&word.to_le_bytes());
    }
    for word in [1, 2, 3, 4_u32] {
        golden.extend_from_slice(&word.to_le_bytes());
    }
    golden.extend_from_slice(b"\x07counter\0\0\0\0\0\0\0\0");
    golden.extend_from_slice(&[9; 16]);
    assert_eq!(batch.as_slice(), golden);
    let head = full_head();
    let frame = frame(batch.as_slice());
    assert_eq!((frame.trace(), frame.fragment(), frame.name()), (head.trace, head.fragment, head.name));
    assert_eq!((frame.body, frame.consumed()), (&[9; 16][..], 128));
    assert_eq!((frame.header.deadline, frame.header.reference), (head.deadline, head.reference));
    assert_eq!(frame.header.flags.priority(), Priority::High);
}

#[test]
fn golden_bytes_of_a_body() {
    let mut batch = FrameBuf::default();
    batch.push_frame(&FrameHead::new(FrameKind::Send), |body| Flat { a: 1, b: 2 }.encode(body)).unwrap();
    assert_eq!(frame(batch.as_slice()).body, [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn keys_never_change() {
    let registry = Registry::collect().unwrap();
    let key = |name| registry.by_name(name).unwrap().ops().key().to_string();
    assert_eq!([key("frames::Flat"), key("frames::Probe")], ["2e2826db60e69ae6", "f6f24d3b83939c87"]);
}

#[test]
fn messages_and_replies_round_trip_through_their_erased_form() {
    let registry = Registry::collect().unwrap();
    let ops = registry.by_name("frames::Probe").unwrap().ops();
    let mut batch = FrameBuf::default();
    let head = FrameHead { key: ops.key(), ..FrameHead::new(FrameKind::Call) };
    batch.push_frame(&head, |body| Erased::new(probe()).encode(body)).unwrap();
    let reply = Some(probe().from);
    batch.push_frame(&FrameHead { kind: FrameKind::Reply, ..head }, |body| reply.encode(body)).unwrap();
    batch.push_frame(&FrameHead { kind: FrameKind::Reply, ..head }, |body| ().encode(body)).unwrap();
    assert_eq!(batch.frames(), 3);

    let mut received = RecvBuf::new(DEFAULT_MAX_FRAME).unwrap();
    received.spare_mut()[..batch.len()].copy_from_slice(batch.as_slice());
    received.advance(batch.len());
    let call = received.next_frame().unwrap().unwrap();
    let entry = registry.resolve(call.header.key).unwrap();
    assert_eq!(entry.ops().decode(call.body).unwrap().downcast::<Probe>().unwrap(), probe());
    assert_eq!(Probe::view(call.body).unwrap().text.as_str(), probe().text);
    let answer = received.next_frame().unwrap().unwrap();
    assert_eq!(ops.decode_reply(answer.body).unwrap().downcast::<Option<Pid>>().unwrap(), reply);
    assert!(ops.decode_reply(answer.body).unwrap().downcast::<u8>().is_err());
    assert_eq!(<()>::decode(received.next_frame().unwrap().unwrap().body), Ok(()));
    assert_eq!(received.next_frame().unwrap(), None);
    assert_eq!(received.pending(), 0);
}

#[test]
fn a_frame_that_fails_or_panics_is_taken_back() {
    let mut batch = FrameBuf::with_max_frame(FLOOR_MAX_FRAME).unwrap();
    let head = FrameHead::new(FrameKind::Send);
    batch.push_frame(&head, |body| body.put(&[1])).unwrap();
    let before = batch.as_slice().to_vec();
    let large = vec![0_u8; FLOOR_MAX_FRAME];
    let error = batch.push_frame(&head, |body| large.encode(body)).unwrap_err();
    assert!(matches!(error, WireError::FrameTooLarge { max: FLOOR_MAX_FRAME, .. }), "{error}");
    assert!(error.to_string().contains("Vec<u8>"), "{error}");
    let name = "n".repeat(256);
    for name in ["", &name] {
        let error = batch.push_frame(&FrameHead { name: Some(name), ..head }, |_| Ok(())).unwrap_err();
        assert!(matches!(error, WireError::Limit { max: 255, .. }), "{error}");
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        batch.push_frame(&head, |body| {
            body.put(&[2; 100])?;
            std::panic::resume_unwind(Box::new("a value that cannot be read"))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!((batch.as_slice(), batch.frames()), (&before[..], 1));
    let exact = vec![0_u8; FLOOR_MAX_FRAME - 48];
    assert_eq!(batch.push_frame(&head, |body| body.put(&exact)), Ok(FLOOR_MAX_FRAME));
    assert!(batch.push_frame(&head, |body| body.put(&exact)?.put_more(body)).is_err());
}

trait PutMore {
    fn put_more(self, body: &mut shard_wire::frame::BodyWriter<'_>) -> Result<(), WireError>;
}

impl PutMore for () {
    fn put_more(self, body: &mut shard_wire::frame::BodyWriter<'_>) -> Result<(), WireError> {
        body.put(&[0])
    }
}

#[test]
fn each_wrong_header_field_is_named() {
    let mut batch = FrameBuf::default();
    batch.push_frame(&FrameHead::new(FrameKind::Send), |body| body.put(&[1; 16])).unwrap();
    let with = |offset: usize, value: u8| {
        let mut bytes = batch.as_slice().to_vec();
        bytes[offset] = value;
        parse(&bytes, DEFAULT_MAX_FRAME).unwrap_err()
    };
    assert!(matches!(with(0, 63), WireError::FrameLength { have: 63, .. }));
    assert!(matches!(with(0, 32), WireError::FrameLength { have: 32, .. }));
    assert!(matches!(with(0, 0), WireError::FrameLength { have: 0, .. }));
    assert!(matches!(with(4, 0), WireError::Invalid { what: "frame kind", have: 0, .. }));
    assert!(matches!(with(4, 200), WireError::Invalid { what: "frame kind", have: 200, .. }));
    assert!(matches!(with(5, 0x30), WireError::Invalid { what: "frame flags", .. }));
    assert!(matches!(with(6, 16), WireError::Invalid { what: "frame padding", .. }));
    assert_eq!(with(7, 2), WireError::Version { have: 2, want: 1 });
    assert!(matches!(with(44, 1), WireError::Invalid { what: "reserved header field", .. }));
    let mut bytes = batch.as_slice().to_vec();
    bytes[..4].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
    let error = parse(&bytes, DEFAULT_MAX_FRAME).unwrap_err();
    assert_eq!(error, WireError::FrameLength { have: 0xFFFF_FFF0, min: 48, max: DEFAULT_MAX_FRAME as u64 });
    assert!(error.to_string().contains("4294967280"), "{error}");
    // Blocks that do not fit: a trace flag on a frame with no room, a name that runs over the end.
    assert!(matches!(with(5, 1), WireError::FrameLength { .. }));
    let mut named = batch.as_slice().to_vec();
    (named[5], named[48]) = (4, 200);
    assert!(matches!(
        parse(&named, DEFAULT_MAX_FRAME),
        Err(WireError::Short { what: "name of the target", .. })
    ));
    named[48] = 0;
    assert!(matches!(
        parse(&named, DEFAULT_MAX_FRAME),
        Err(WireError::Invalid { what: "length of the name", .. })
    ));
}

/// A frame with every block and a body of every shape.
fn rich_frame() -> AlignedVec<16> {
    let mut batch = FrameBuf::default();
    let key = Registry::collect().unwrap().by_name("frames::Probe").unwrap().ops().key();
    batch.push_frame(&FrameHead { key, ..full_head() }, |body| probe().encode(body)).unwrap();
    batch.take(AlignedVec::new())
}

/// The entry point of the fuzz target: whatever the bytes are, this returns.
fn decode_all(registry: &Registry, bytes: &AlignedVec<16>) -> usize {
    let (mut rest, mut decoded) = (bytes.as_slice(), 0);
    while let Ok(Parsed::Frame(frame)) = parse(rest, DEFAULT_MAX_FRAME) {
        for entry in registry.iter() {
            decoded += usize::from(entry.ops().decode(frame.body).is_ok());
            decoded += usize::from(entry.ops().decode_reply(frame.body).is_ok());
        }
        rest = &rest[frame.consumed()..];
    }
    decoded
}

#[test]
fn every_prefix_asks_for_more_or_is_refused() {
    let bytes = rich_frame();
    for end in 0..bytes.len() {
        let Ok(Parsed::Need(need)) = parse(&bytes[..end], DEFAULT_MAX_FRAME) else {
            panic!("prefix of {end} bytes")
        };
        assert!(need > end && need <= bytes.len());
    }
    let body = frame(&bytes).body;
    for start in (0..body.len()).step_by(16) {
        for end in start..body.len() {
            if (start, end) != (0, body.len()) {
                // The root is at the end, so a shorter body is another root: refused, or a value that drops cleanly.
                drop(Probe::decode(&body[start..end]));
            }
        }
    }
}

#[test]
fn every_flipped_byte_is_refused_or_decoded() {
    let registry = Registry::collect().unwrap();
    let bytes = rich_frame();
    assert!(decode_all(&registry, &bytes) > 0);
    let mut refused = 0;
    for offset in 0..bytes.len() {
        for flip in [1, 0x80, 0xFF] {
            let mut wrong = aligned(&bytes);
            wrong[offset] ^= flip;
            decode_all(&registry, &wrong);
            let read = parse(&wrong, DEFAULT_MAX_FRAME);
            let valid = matches!(read, Ok(Parsed::Frame(frame)) if Probe::decode(frame.body).is_ok());
            refused += usize::from(!valid);
        }
    }
    assert!(refused > bytes.len() / 3, "only {refused} flips were noticed");
}

#[test]
fn a_body_at_an_odd_address_is_refused() {
    let bytes = aligned(&[0; 32]);
    assert!(matches!(Flat::decode(&bytes[8..24]), Ok(Flat { a: 0, b: 0 })));
    assert!(matches!(Flat::decode(&bytes[1..17]), Err(WireError::Body { len: 16, .. })));
    assert!(matches!(Flat::decode(&bytes[..8]), Err(WireError::Body { len: 8, .. })));
    assert!(matches!(Flat::decode(&[]), Err(WireError::Body { len: 0, .. })));
}

#[message(schema = 1, name = "frames::Nested")]
#[derive(Debug)]
struct Nested {
    inner: Vec<Self>,
}

#[test]
fn nesting_beyond_the_limit_is_refused_not_followed() {
    let nest = |depth: usize| {
        (0..depth).fold(Nested { inner: Vec::new() }, |inner, _| Nested { inner: vec![inner] })
    };
    let mut batch = FrameBuf::default();
    let head = FrameHead::new(FrameKind::Send);
    batch.push_frame(&head, |body| nest(100).encode(body)).unwrap();
    assert!(Nested::decode(frame(batch.as_slice()).body).is_ok());
    batch.clear();
    batch.push_frame(&head, |body| nest(1000).encode(body)).unwrap();
    assert!(matches!(Nested::decode(frame(batch.as_slice()).body), Err(WireError::Body { .. })));
}

#[test]
fn a_receive_buffer_takes_frames_cut_anywhere_and_grows_only_with_what_arrived() {
    let mut batch = FrameBuf::default();
    let head = FrameHead::new(FrameKind::Send);
    let large = vec![7_u8; 300_000];
    for body in [&large[..10], &large[..5_000], &large[..0], &large[..], &large[..100]] {
        batch.push_frame(&head, |out| out.put(body)).unwrap();
    }
    for cut in [1, 47, 48, 1000, 20_000, 1_000_000] {
        let mut received = RecvBuf::new(DEFAULT_MAX_FRAME).unwrap();
        let (mut rest, mut lengths) = (batch.as_slice(), Vec::new());
        while !rest.is_empty() {
            let spare = received.spare_mut();
            let now = rest.len().min(cut).min(spare.len());
            spare[..now].copy_from_slice(&rest[..now]);
            received.advance(now);
            rest = &rest[now..];
            while let Some(frame) = received.next_frame().unwrap() {
                assert!(frame.body.as_ptr().addr().is_multiple_of(16));
                assert!(frame.body.iter().all(|byte| *byte == 7));
                lengths.push(frame.body.len());
            }
        }
        assert_eq!(lengths, [10, 5_000, 0, 300_000, 100]);
        assert!(received.capacity() <= 512 << 10, "{}", received.capacity());
        received.shrink();
        assert_eq!(received.capacity(), RECV_INITIAL_BYTES);
    }
    let mut claimed = RecvBuf::new(64 << 20).unwrap();
    let mut header = batch.as_slice()[..48].to_vec();
    header[..4].copy_from_slice(&(64_u32 << 20).to_le_bytes());
    claimed.spare_mut()[..48].copy_from_slice(&header);
    claimed.advance(48);
    assert_eq!(claimed.next_frame(), Ok(None));
    claimed.spare_mut();
    assert!(claimed.capacity() <= RECV_BATCH_BYTES);
}

fn heads() -> impl Strategy<Value = (FrameHead<'static>, Vec<u8>)> {
    let kind = prop_oneof![Just(FrameKind::Send), Just(FrameKind::Reply), Just(FrameKind::Credit)];
    let name = prop_oneof![
        Just(None),
        Just(Some("a")),
        Just(Some("exactly15 bytes")),
        Just(Some("sixteen bytes ok"))
    ];
    let trace = proptest::option::of((any::<u128>(), any::<u64>()));
    let fragment = proptest::option::of((any::<u32>(), 0..9_u32));
    let fixed = (kind, any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    (fixed, name, trace, fragment, proptest::collection::vec(any::<u8>(), 0..70)).prop_map(
        |((kind, key, to, reference, deadline), name, trace, fragment, body)| {
            let head = FrameHead {
                kind,
                flags: FrameFlags::NONE.with_priority(Priority::Max),
                key: MessageKey(key),
                to: LocalId(to),
                from: LocalId(!to),
                reference,
                deadline: Deadline(deadline),
                trace: trace.map(|(trace, span)| Trace { trace, span, flags: 1 }),
                fragment: fragment.map(|(message, index)| Fragment {
                    message,
                    index,
                    count: 9,
                    total_bytes: 1,
                }),
                name,
            };
            (head, body)
        },
    )
}

proptest! {
    #[test]
    fn frames_round_trip((head, body) in heads()) {
        let mut batch = FrameBuf::default();
        let length = batch.push_frame(&head, |out| out.put(&body)).unwrap();
        let frame = frame(batch.as_slice());
        prop_assert_eq!((frame.consumed(), batch.len()), (length, length));
        prop_assert_eq!(frame.body, &body[..]);
        prop_assert_eq!((frame.trace(), frame.fragment(), frame.name()), (head.trace, head.fragment, head.name));
        let header = frame.header;
        prop_assert_eq!((header.kind, header.key, header.to), (head.kind, head.key, head.to));
        prop_assert_eq!((header.from, header.reference, header.deadline), (head.from, head.reference, head.deadline));
        prop_assert_eq!(header.flags.priority(), Priority::Max);
    }

    #[test]
    fn any_bytes_are_refused_or_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let registry = Registry::collect().unwrap();
        decode_all(&registry, &aligned(&bytes));
        for start in (0..bytes.len()).step_by(16) {
            drop(Probe::decode(&aligned(&bytes[start..])));
        }
    }

    #[test]
    fn damaged_frames_are_refused_or_decoded(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let registry = Registry::collect().unwrap();
        let mut bytes = rich_frame();
        let len = bytes.len();
        for (offset, value) in changes {
            // The first 8 bytes stay, so that the damage reaches the body.
            bytes[8 + usize::from(offset) % (len - 8)] = value;
        }
        decode_all(&registry, &bytes);
    }
}
