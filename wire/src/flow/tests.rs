//! Two ends of a link over a wire that breaks anywhere.

use super::{
    DEFAULT_MAX_MESSAGE, FlowConfig, FlowError, Full, Inbound, Joiner, Loss, Outbox, Report, WHOLE_BYTES,
};
use crate::frame::{FrameHead, RecvBuf};
use crate::header::{FrameFlags, FrameKind, Lane};
use crate::{LocalId, WireError};
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

const WINDOW: u64 = 64 << 10;

fn config() -> FlowConfig {
    FlowConfig { max_message: DEFAULT_MAX_MESSAGE, max_waiting: 8 << 20, is_numbered: true }
}

/// One end: what it sends is (pair, count), so that the other can tell what is missing.
struct End {
    out: Outbox,
    inbound: Inbound,
    joiners: [Joiner; 2],
    receive: RecvBuf,
    is_numbered: bool,
    sent: HashMap<(u8, u64), u64>,
    seen: HashMap<(u8, u64), u64>,
}

impl End {
    fn new(config: FlowConfig, window: u64) -> Self {
        Self {
            out: Outbox::new(config).unwrap(),
            inbound: Inbound::new(window),
            joiners: [Joiner::new(config.max_message), Joiner::new(config.max_message)],
            receive: RecvBuf::new(1 << 20).unwrap(),
            is_numbered: config.is_numbered,
            sent: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// Sends the next message of a pair, with a body of this many bytes behind its count.
    fn send(&mut self, kind: FrameKind, pair: u64, length: usize) -> Result<(), Full> {
        self.send_to(kind, pair, length, (LocalId(pair + 1), FrameFlags::NONE))
    }

    /// The same to another address of the pair's target.
    fn send_to(
        &mut self,
        kind: FrameKind,
        pair: u64,
        length: usize,
        (to, flags): (LocalId, FrameFlags),
    ) -> Result<(), Full> {
        let count = self.sent.entry((kind as u8, pair)).or_default();
        let head = FrameHead { flags, from: LocalId(pair), to, reference: *count, ..FrameHead::new(kind) };
        let body = vec![u8::try_from(*count % 251).unwrap(); length];
        self.out.push(&head, |out| out.put(&body))?;
        *count += 1;
        Ok(())
    }

    fn link(&mut self) {
        self.receive = RecvBuf::new(1 << 20).unwrap();
        let report = self.inbound.report(0);
        self.out.link(&report).unwrap();
    }

    /// Writes up to `most` bytes.
    fn write(&mut self, most: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        while wire.len() < most {
            let bytes = self.out.next_write().unwrap();
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len().min(most - wire.len());
            wire.extend_from_slice(&bytes[..count]);
            self.out.wrote(count);
        }
        wire
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.receive.spare_mut();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.receive.advance(count);
            bytes = &bytes[count..];
            while let Some(frame) = self.receive.next_frame().unwrap() {
                let header = frame.header;
                match header.kind {
                    FrameKind::Session => {
                        self.out.on_resume(&Report::from_bytes(frame.body).unwrap()).unwrap()
                    }
                    FrameKind::Credit => {
                        self.out.on_credit(&Report::from_bytes(frame.body).unwrap()).unwrap()
                    }
                    FrameKind::Part | FrameKind::SignalPart => {
                        let joiner = &mut self.joiners[usize::from(header.kind == FrameKind::SignalPart)];
                        if let Some(joined) = joiner.take(frame.fragment().unwrap(), frame.body).unwrap() {
                            let frame = joined.frame().unwrap();
                            see(&mut self.seen, &frame);
                        }
                    }
                    _ => see(&mut self.seen, &frame),
                }
                self.inbound.took(&header);
                if self.is_numbered {
                    // Whatever the runtime asks after a whole read.
                    assert_eq!(self.inbound.check_credit(), Ok(()), "a peer that keeps the rules");
                }
            }
        }
        if self.inbound.is_due() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let report = self.inbound.report(0);
        self.out.push_control(&FrameHead::new(FrameKind::Credit), |out| out.put(&report.to_bytes())).unwrap();
    }
}

/// Each message is the next of its pair.
fn see(seen: &mut HashMap<(u8, u64), u64>, frame: &crate::frame::Frame<'_>) {
    let count = seen.entry((frame.header.kind as u8, frame.header.from.0)).or_default();
    assert_eq!(frame.header.reference, *count, "pair {:?} of {:?}", frame.header.from, frame.header.kind);
    let want = u8::try_from(*count % 251).unwrap();
    assert!(frame.body.iter().all(|byte| *byte == want), "the body of another message");
    *count += 1;
}

fn link(a: &mut End, b: &mut End) {
    a.link();
    b.link();
}

/// Lets all bytes through until nothing moves.
fn settle(a: &mut End, b: &mut End) {
    loop {
        let (x, y) = (a.write(usize::MAX), b.write(usize::MAX));
        let told = [&mut *a, &mut *b].map(|end| {
            let untold = end.inbound.is_untold();
            if untold {
                end.tell();
            }
            untold
        });
        if x.is_empty() && y.is_empty() && told == [false, false] {
            return;
        }
        b.read(&x);
        a.read(&y);
    }
}

#[test]
fn what_is_sent_before_a_socket_arrives_after_it() {
    let (mut a, mut b) = (End::new(config(), WINDOW), End::new(config(), WINDOW));
    for _ in 0..10 {
        a.send(FrameKind::Send, 1, 100).unwrap();
    }
    assert!(a.out.next_write().unwrap().is_empty());
    link(&mut a, &mut b);
    settle(&mut a, &mut b);
    assert_eq!(b.seen, a.sent);
    assert!(a.out.is_settled() && b.out.is_settled());
    assert_eq!((a.out.loss(), a.out.kept()), (Loss::default(), 0));
}

#[test]
fn only_data_waits_for_credit() {
    let (mut a, mut b) = (End::new(config(), WINDOW), End::new(config(), WINDOW));
    link(&mut a, &mut b);
    settle(&mut a, &mut b);
    for _ in 0..1000 {
        a.send(FrameKind::Send, 1, 976).unwrap();
    }
    let first = a.write(usize::MAX);
    assert_eq!(first.len() as u64, WINDOW, "a frame has 1024 bytes");
    assert!(a.out.is_held() && a.out.credit() == 0);
    a.send(FrameKind::Reply, 7, 10).unwrap();
    let second = a.write(usize::MAX);
    assert_eq!(second.len(), 64);
    b.read(&first);
    b.read(&second);
    assert_eq!(b.seen[&(FrameKind::Reply as u8, 7)], 1);
    settle(&mut a, &mut b);
    assert_eq!(b.seen, a.sent);
}

#[test]
fn a_frame_larger_than_all_credit_goes_alone() {
    let (mut a, mut b) = (End::new(config(), 4096), End::new(config(), 4096));
    link(&mut a, &mut b);
    for length in [100, 100_000, 100, 50_000, 3000, 1_000_000, 10] {
        a.send(FrameKind::Send, 1, length).unwrap();
        b.send(FrameKind::Send, 1, length).unwrap();
    }
    settle(&mut a, &mut b);
    assert_eq!((&a.seen, &b.seen), (&b.sent, &a.sent));
}

#[test]
fn a_peer_that_ignores_its_credit_is_found_out() {
    let mut inbound = Inbound::new(WINDOW);
    inbound.report(0);
    inbound.took_many(Lane::Data, 4, WINDOW);
    assert_eq!(inbound.check_credit(), Ok(()), "all that was granted");
    inbound.took_many(Lane::Signal, 10, 10 * WINDOW);
    inbound.took_many(Lane::Control, 10, 10 * WINDOW);
    assert_eq!(inbound.check_credit(), Ok(()), "only data needs credit");
    inbound.took_many(Lane::Data, 1, 48);
    let too_much = FlowError::Credit { have: WINDOW + 48, limit: WINDOW };
    assert_eq!(inbound.check_credit(), Err(too_much));
    // The next link begins with a report of all that: it is in step again, and no more patient.
    inbound.report(0);
    inbound.took_many(Lane::Data, 4, WINDOW);
    assert_eq!(inbound.check_credit(), Ok(()));
    inbound.took_many(Lane::Data, 1, 48);
    assert!(inbound.check_credit().is_err());
}

#[test]
fn a_frame_larger_than_all_credit_is_no_fault_if_it_comes_alone() {
    let mut inbound = Inbound::new(WINDOW);
    inbound.report(0);
    inbound.took_many(Lane::Data, 1, 3 * WINDOW);
    assert_eq!(inbound.check_credit(), Ok(()));
    inbound.took_many(Lane::Data, 1, 48);
    let too_much = FlowError::Credit { have: 3 * WINDOW + 48, limit: WINDOW };
    assert_eq!(inbound.check_credit(), Err(too_much), "its sender was told nothing since");
    // Behind one that was confirmed, and behind one that was not.
    for is_told in [true, false] {
        let mut inbound = Inbound::new(WINDOW);
        inbound.report(0);
        inbound.took_many(Lane::Data, 1, 48);
        if is_told {
            inbound.report(0);
        }
        inbound.took_many(Lane::Data, 1, 3 * WINDOW);
        assert_eq!(inbound.check_credit().is_ok(), is_told);
    }
}

#[test]
fn others_pass_between_the_parts_of_a_big_message_and_its_own_pair_waits() {
    let (mut a, mut b) = (End::new(config(), 1 << 20), End::new(config(), 1 << 20));
    link(&mut a, &mut b);
    settle(&mut a, &mut b);
    a.send(FrameKind::Send, 1, 600_000).unwrap();
    a.send(FrameKind::Send, 1, 10).unwrap();
    a.send(FrameKind::Send, 1, 700_000).unwrap();
    a.send(FrameKind::Send, 1, 10).unwrap();
    a.send(FrameKind::Send, 2, 10).unwrap();
    let early = a.write(WHOLE_BYTES);
    b.read(&early);
    assert_eq!(b.seen, HashMap::from([((FrameKind::Send as u8, 2), 1)]));
    settle(&mut a, &mut b);
    assert_eq!(b.seen, a.sent);
    assert_eq!(b.joiners[0].bytes(), 0);
}

/// Aliases of the target of pair 1, and its pid, in turns that a number chooses.
#[test]
fn big_messages_and_aliases_keep_one_order() {
    let addresses = [
        (LocalId(2), FrameFlags::NONE),
        (LocalId(700), FrameFlags::ALIAS),
        (LocalId(701), FrameFlags::ALIAS),
    ];
    for seed in 0..200_u64 {
        let (mut a, mut b) = (End::new(config(), 1 << 20), End::new(config(), 1 << 20));
        link(&mut a, &mut b);
        settle(&mut a, &mut b);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..12 {
            let address = addresses[draw(3) as usize];
            let length = if draw(3) == 0 { 200_000 + draw(200_000) as usize } else { 10 };
            a.send_to(FrameKind::Send, 1, length, address).unwrap();
            if draw(4) == 0 {
                // Some of it leaves before the next comes.
                let bytes = a.write(100_000);
                b.read(&bytes);
            }
        }
        settle(&mut a, &mut b);
        assert_eq!(b.seen, a.sent, "seed {seed}");
        assert!(a.out.is_settled() && a.out.waiting() == 0);
    }
}

/// What a message by an alias waits for is what may be for the same process, and no more.
#[test]
fn other_senders_and_other_shards_pass_a_message_that_waits_by_its_alias() {
    let (mut a, mut b) = (End::new(config(), 1 << 20), End::new(config(), 1 << 20));
    link(&mut a, &mut b);
    settle(&mut a, &mut b);
    a.send(FrameKind::Send, 1, 600_000).unwrap();
    a.send_to(FrameKind::Send, 1, 10, (LocalId(700), FrameFlags::ALIAS)).unwrap();
    // By pid again: it may be the process of the alias.
    a.send(FrameKind::Send, 1, 10).unwrap();
    a.send(FrameKind::Send, 2, 10).unwrap();
    a.send_to(FrameKind::Send, 3, 10, (LocalId(700), FrameFlags::ALIAS)).unwrap();
    let early = a.write(WHOLE_BYTES);
    b.read(&early);
    let send = FrameKind::Send as u8;
    assert_eq!(b.seen, HashMap::from([((send, 2), 1), ((send, 3), 1)]));
    settle(&mut a, &mut b);
    assert_eq!(b.seen, a.sent);
}

#[test]
fn what_a_peer_cannot_have_taken_is_refused() {
    let (mut a, mut b) = (End::new(config(), WINDOW), End::new(config(), WINDOW));
    let report = |data| Report { data, signal: 0, limit: WINDOW, clock_ms: 0 };
    assert_eq!(a.out.on_credit(&report(0)), Err(FlowError::Early));
    link(&mut a, &mut b);
    a.send(FrameKind::Send, 1, 10).unwrap();
    let early = FlowError::Count { have: 1, least: 0, most: 0 };
    assert_eq!(a.out.on_resume(&report(1)), Err(early));
    a.out.on_resume(&report(0)).unwrap();
    assert_eq!(a.out.on_resume(&report(0)), Err(FlowError::Again));
    a.write(usize::MAX);
    assert_eq!(a.out.on_credit(&report(2)), Err(FlowError::Count { have: 2, least: 0, most: 1 }));
    a.out.on_credit(&report(1)).unwrap();
    assert_eq!(a.out.on_credit(&report(0)), Err(FlowError::Count { have: 0, least: 1, most: 1 }));
    assert!(a.out.is_settled());
}

#[test]
fn the_outbox_is_bounded_and_says_so() {
    let mut a = End::new(FlowConfig { max_waiting: 10_000, ..config() }, WINDOW);
    let taken = (0..100).take_while(|_| a.send(FrameKind::Send, 1, 976).is_ok()).count();
    assert_eq!(taken, 10);
    assert_eq!(a.send(FrameKind::Send, 1, 976), Err(Full::Bytes));
    a.send(FrameKind::Reply, 1, 976).unwrap();
    let too_large = a.send(FrameKind::Reply, 1, DEFAULT_MAX_MESSAGE);
    assert!(matches!(too_large, Err(Full::Frame(WireError::FrameTooLarge { .. }))));
    assert_eq!(a.out.loss(), Loss { failed: 11, unknown: 0 });
}

#[test]
fn what_is_left_is_told_apart() {
    let (mut a, mut b) = (End::new(config(), WINDOW), End::new(config(), WINDOW));
    link(&mut a, &mut b);
    settle(&mut a, &mut b);
    for _ in 0..10 {
        a.send(FrameKind::Send, 1, 976).unwrap();
    }
    a.send(FrameKind::Send, 2, 1_000_000).unwrap();
    let bytes = a.write(3 * 1024 + 1);
    b.read(&bytes);
    b.tell();
    let told = b.write(usize::MAX);
    a.read(&told);
    a.write(1024);
    a.out.cut();
    assert_eq!(a.out.loss(), Loss { failed: 6, unknown: 2 });
}

/// A peer of protocol version 1 has neither reports nor credit.
#[test]
fn an_older_peer_gets_frames_and_nothing_else() {
    let old = FlowConfig { is_numbered: false, max_message: 1 << 20, ..config() };
    let (mut a, mut b) = (End::new(old, WINDOW), End::new(old, WINDOW));
    a.send(FrameKind::Send, 1, 500_000).unwrap();
    a.send(FrameKind::Send, 1, 5).unwrap();
    a.out.link(&Report::default()).unwrap();
    let bytes = a.write(usize::MAX);
    b.read(&bytes);
    assert_eq!(b.seen, a.sent);
    assert_eq!((a.out.kept(), a.out.is_settled()), (0, true));
    for _ in 0..3 {
        a.send(FrameKind::Send, 1, 5).unwrap();
    }
    a.write(70);
    assert_eq!(a.out.cut(), 3);
    a.send(FrameKind::Send, 1, 5).unwrap();
    assert_eq!(a.out.loss(), Loss { failed: 1, unknown: 0 });
}

#[test]
fn parts_out_of_step_are_refused() {
    use crate::header::Fragment;
    let part = |message, index, count, total_bytes| Fragment { message, index, count, total_bytes };
    let mut joiner = Joiner::new(1000);
    assert!(matches!(joiner.take(part(1, 0, 2, 1001), &[0; 10]), Err(WireError::Limit { .. })));
    assert!(joiner.take(part(1, 0, 2, 100), &[0; 60]).unwrap().is_none());
    assert!(matches!(joiner.take(part(1, 0, 2, 100), &[0; 40]), Err(WireError::Invalid { .. })));
    assert!(matches!(joiner.take(part(1, 1, 3, 100), &[0; 40]), Err(WireError::Invalid { .. })));
    assert!(matches!(joiner.take(part(1, 1, 2, 100), &[0; 41]), Err(WireError::Limit { .. })));
    assert!(matches!(joiner.take(part(2, 1, 2, 100), &[0; 4]), Err(WireError::Invalid { .. })));
    assert!(matches!(joiner.take(part(3, 0, 2, 100), &[]), Err(WireError::Limit { .. })));
    assert!(joiner.take(part(4, 0, 2, 100), &[1]).unwrap().is_none());
    assert!(matches!(joiner.take(part(5, 0, 2, 100), &[1]), Err(WireError::Limit { .. })));
    let whole = joiner.take(part(1, 1, 2, 100), &[0; 40]).unwrap().unwrap();
    assert!(whole.frame().is_err());
    assert!(matches!(joiner.take(part(4, 1, 2, 100), &[1]), Err(WireError::Short { .. })));
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        from_a: bool,
        kind: FrameKind,
        pair: u64,
        length: usize,
    },
    /// Bytes written onto the wire.
    Write {
        from_a: bool,
        most: usize,
    },
    /// Bytes of the wire that arrive.
    Arrive {
        from_a: bool,
        most: usize,
    },
    Tell {
        from_a: bool,
    },
    Cut,
    Link,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![6 => 0..300usize, 1 => 60_000..70_000usize, 1 => 120_000..400_000usize];
    let kind = prop_oneof![4 => Just(FrameKind::Send), 1 => Just(FrameKind::Reply)];
    let most = prop_oneof![1..200usize, 1..20_000usize, Just(usize::MAX)];
    prop_oneof![
        8 => (any::<bool>(), kind, 0..3u64, length)
            .prop_map(|(from_a, kind, pair, length)| Step::Send { from_a, kind, pair, length }),
        6 => (any::<bool>(), most.clone()).prop_map(|(from_a, most)| Step::Write { from_a, most }),
        6 => (any::<bool>(), most).prop_map(|(from_a, most)| Step::Arrive { from_a, most }),
        2 => any::<bool>().prop_map(|from_a| Step::Tell { from_a }),
        1 => Just(Step::Cut),
        2 => Just(Step::Link),
    ]
}

proptest! {
    /// Whatever breaks where: each message arrives once, in the order of its pair, and the account closes.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        steps in prop::collection::vec(step(), 1..120),
        window in prop_oneof![Just(4096u64), Just(65_536), Just(1 << 20)],
    ) {
        let (mut a, mut b) = (End::new(config(), window), End::new(config(), window));
        let mut wires: [VecDeque<u8>; 2] = Default::default();
        let mut linked = false;
        for step in steps {
            match step {
                Step::Send { from_a, kind, pair, length } => {
                    let end = if from_a { &mut a } else { &mut b };
                    // Full is an answer, too: then it was not sent.
                    let _full = end.send(kind, pair, length);
                }
                Step::Write { from_a, most } => {
                    let end = if from_a { &mut a } else { &mut b };
                    wires[usize::from(from_a)].extend(end.write(most));
                }
                Step::Arrive { from_a, most } => {
                    let wire = &mut wires[usize::from(from_a)];
                    let bytes: Vec<u8> = wire.drain(..wire.len().min(most)).collect();
                    if from_a { b.read(&bytes) } else { a.read(&bytes) }
                }
                Step::Tell { from_a } => {
                    let end = if from_a { &mut a } else { &mut b };
                    if linked && end.inbound.is_untold() {
                        end.tell();
                    }
                }
                Step::Cut => {
                    wires = Default::default();
                    linked = false;
                    prop_assert_eq!((a.out.cut(), b.out.cut()), (0, 0));
                }
                Step::Link if !linked => {
                    linked = true;
                    link(&mut a, &mut b);
                }
                Step::Link => {}
            }
            // What is under way, written and not taken, is never more than the account says.
            for (end, other) in [(&a, &b), (&b, &a)] {
                let sent: u64 = end.sent.values().sum();
                let seen: u64 = other.seen.values().sum();
                let loss = end.out.loss();
                prop_assert!(sent >= seen && loss.failed + seen <= sent && sent <= seen + loss.failed + loss.unknown);
            }
        }
        if !linked {
            link(&mut a, &mut b);
        }
        for (from_a, wire) in [(false, &mut wires[0]), (true, &mut Vec::new().into())] {
            let bytes: Vec<u8> = wire.drain(..).collect();
            if from_a { b.read(&bytes) } else { a.read(&bytes) }
        }
        let bytes: Vec<u8> = wires[1].drain(..).collect();
        b.read(&bytes);
        settle(&mut a, &mut b);
        prop_assert_eq!(&a.seen, &b.sent);
        prop_assert_eq!(&b.seen, &a.sent);
        for end in [&a, &b] {
            prop_assert_eq!((end.out.loss(), end.out.is_settled(), end.out.kept()), (Loss::default(), true, 0));
        }
    }
}

#[test]
fn a_report_of_a_newer_version_is_read() {
    let report = Report { data: 1, signal: 2, limit: 3, clock_ms: 4 };
    let mut bytes = report.to_bytes().to_vec();
    bytes.extend([9; 16]);
    bytes[0] = 2;
    assert_eq!(Report::from_bytes(&bytes), Ok(report));
    bytes[0] = 0;
    assert!(Report::from_bytes(&bytes).is_err());
    assert!(Report::from_bytes(&bytes[..39]).is_err());
    assert_eq!(FrameKind::Session.lane(), Lane::Control);
}
