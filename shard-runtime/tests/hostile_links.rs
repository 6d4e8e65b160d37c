//! Peers that know the cookie and break the rules of a data link: each link is closed for a typed reason, or what is wrong is
//! counted; the node serves on, and its processes hear nothing of it.

use shard_runtime::prelude::*;
use shard_runtime::wire::ask::{Answer, Ask, Claim, Refusal, SERVES, SpawnAsk};
use shard_runtime::wire::compress::{COMPRESSES, Packed, Packer};
use shard_runtime::wire::flow::{NUMBERED, Report};
use shard_runtime::wire::frame::{FrameBuf, FrameHead, RecvBuf};
use shard_runtime::wire::handshake::{
    ClusterName, Dialer, Established, Intent, Introduction, Keyring, Local, PROTOCOL, Reason, Step,
};
use shard_runtime::wire::header::{Deadline, Fragment, FrameFlags, FrameKind, TRACES, Trace};
use shard_runtime::wire::placement::Placement;
use shard_runtime::wire::session::{ControlMsg, ControlReader};
use shard_runtime::wire::{Body, Incarnation, LocalId, MessageKey, NodeName, vtable};
use shard_runtime::{Addressed, Alias, LinkCounters, LinkOptions, LogLevel, MemorySink, Message};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const COOKIE: &[u8] = b"of peers that break the rules";
const LIMIT: Duration = Duration::from_secs(20);

#[message]
struct Add {
    by: u64,
    rest: Vec<u8>,
}
#[message(reply = u64)]
struct Sum;
/// Handled as a view.
#[message(reply = u64)]
struct Look {
    text: String,
    all: Vec<u64>,
}

#[derive(Default)]
struct Target {
    sum: u64,
}

#[actor]
impl Target {
    #[handle]
    fn add(&mut self, m: Add, _cx: &mut Context<'_>) -> ActorResult {
        self.sum += m.by + m.rest.len() as u64;
        Ok(())
    }
    #[handle]
    fn look(&mut self, m: View<Look>, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(m.text.len() as u64 + m.all.len() as u64)
    }
    #[handle]
    fn sum(&mut self, _: Sum, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(self.sum)
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
    Instant::now()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = now() + LIMIT;
    while !condition() {
        assert!(now() < until, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A node with one process on each of two shards.
struct Scene {
    node: Node,
    at: SocketAddr,
    log: MemorySink,
    targets: [Pid; 2],
}

fn scene() -> Scene {
    scene_with(LinkOptions::new())
}

fn scene_with(links: LinkOptions) -> Scene {
    let log = MemorySink::new(1000);
    let node = Node::builder("scene@localhost")
        .shards(2)
        .listen("127.0.0.1:0")
        .cookie(COOKIE)
        .links(links)
        .log_level(LogLevel::Warning)
        .log_sink(log.clone())
        .start()
        .unwrap();
    let at = node.listen_address().unwrap();
    let targets =
        [0, 1].map(|shard| node.spawn(Target::default, SpawnOptions::new().on_shard(shard)).unwrap());
    Scene { node, at, log, targets }
}

impl Scene {
    fn counters(&self, peer: &str) -> LinkCounters {
        let peers = self.node.stats().peers();
        peers.iter().find(|known| known.name == peer).map(|known| known.counters).unwrap_or_default()
    }

    fn processes(&self) -> Vec<LocalId> {
        let mut all = Vec::new();
        self.node.stats().processes(|process| {
            all.push(process.id);
            true
        });
        all
    }

    fn sum(&self, shard: usize) -> u64 {
        self.node.call_blocking(self.targets[shard], Sum).unwrap()
    }

    fn has_logged(&self, text: &str) -> bool {
        self.log.records().iter().any(|line| line.text.contains(text))
    }
}

fn shake(
    at: SocketAddr,
    own: &Introduction,
    intent: Intent,
) -> Result<(TcpStream, Box<Established>), Reason> {
    static NONCE: AtomicU64 = AtomicU64::new(1);
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut nonce = [7; 32];
    nonce[..8].copy_from_slice(&NONCE.fetch_add(1, Relaxed).to_le_bytes());
    let local = Local {
        introduction: own.clone(),
        versions: PROTOCOL,
        keys: Keyring::new(COOKIE),
        channel_binding: [0; 32],
        nonce,
        deadline_ns: u64::MAX,
    };
    let (mut dialer, hello) = Dialer::new(local, None, intent);
    stream.write_all(&hello).unwrap();
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed without a word");
        match dialer.feed(0, &buffer[..count]) {
            Ok(Step::Done(established)) => return Ok((stream, established)),
            Ok(Step::Send(bytes)) => stream.write_all(&bytes).unwrap(),
            Ok(_) => {}
            Err(failure) => return Err(failure.reason),
        }
    }
}

/// A peer in session with the node that writes to its data links what it likes.
struct Raw {
    own: Introduction,
    at: SocketAddr,
    session: u64,
    placement: Placement,
    control: TcpStream,
}

impl Drop for Raw {
    fn drop(&mut self) {
        // It may be closed already.
        let _closed = self.control.shutdown(Shutdown::Both);
    }
}

impl Raw {
    fn connect(scene: &Scene, name: &str, flags: u64) -> Self {
        let own = Introduction {
            name: NodeName::new(name).unwrap(),
            incarnation: Incarnation { start_nanos: 1, random: 2 },
            cluster: ClusterName::new("").unwrap(),
            flags,
            max_frame_bytes: 16 << 20,
            heartbeat_ms: 1000,
            shards: 1,
            max_links: 64,
        };
        let (control, met) = shake(scene.at, &own, Intent::Control { live: None, next: 1 }).unwrap();
        let placement = own.placement_with(&met.peer).unwrap();
        let (stream, unread) = (control.try_clone().unwrap(), met.unread.clone());
        std::thread::Builder::new().spawn(move || live(stream, &unread)).unwrap();
        Self { own, at: scene.at, session: met.session, placement, control }
    }

    /// Dials the data link to a shard of the node. Nothing is written.
    fn dial(&self, shard: u16) -> Data {
        let slot = self.placement.slot_for(0, shard).unwrap();
        let intent = Intent::Data { session: self.session, slot, epoch: 0 };
        let (stream, met) = shake(self.at, &self.own, intent).unwrap();
        let mut data = Data { stream, received: RecvBuf::new(1 << 20).unwrap() };
        data.received.spare_mut()[..met.unread.len()].copy_from_slice(&met.unread);
        data.received.advance(met.unread.len());
        data
    }
}

/// Answers heartbeats until the link ends.
fn live(mut stream: TcpStream, unread: &[u8]) {
    let mut reader = ControlReader::default();
    reader.push(unread);
    let mut buffer = [0; 4096];
    loop {
        while let Ok(Some(message)) = reader.next_message() {
            let ControlMsg::Heartbeat { seq, sent_ns, .. } = message else { continue };
            let mut answer = Vec::new();
            ControlMsg::HeartbeatAck { seq, echo_ns: sent_ns }.encode(&mut answer).unwrap();
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => reader.push(&buffer[..count]),
            _ => return,
        }
    }
}

struct Data {
    stream: TcpStream,
    received: RecvBuf,
}

impl Data {
    fn say(&mut self, bytes: &[u8]) {
        // The node may close before all is written.
        let _closed = self.stream.write_all(bytes);
    }

    fn until_closed(&mut self, what: &str) {
        let mut sink = [0; 4096];
        loop {
            match self.stream.read(&mut sink) {
                Ok(1..) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    panic!("{what}: the node kept the link")
                }
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Reads until the node says that it has taken this many frames of data.
    fn until_confirmed(&mut self, frames: u64) {
        while Report::from_bytes(&self.next(FrameKind::Credit)).unwrap().data < frames {}
    }

    /// The body of the next frame of this kind.
    fn next(&mut self, kind: FrameKind) -> Vec<u8> {
        loop {
            while let Some(frame) = self.received.next_frame().unwrap() {
                if frame.header.kind == kind {
                    return frame.body.to_vec();
                }
            }
            let count = self.stream.read(self.received.spare_mut()).unwrap();
            assert!(count > 0, "closed while a frame was awaited");
            self.received.advance(count);
        }
    }
}

fn frame(head: &FrameHead<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = FrameBuf::default();
    out.push_frame(head, |out| out.put(body)).unwrap();
    out.as_slice().to_vec()
}

fn report(kind: FrameKind, report: Report) -> Vec<u8> {
    frame(&FrameHead::new(kind), &report.to_bytes())
}

fn opening() -> Vec<u8> {
    report(FrameKind::Session, Report { limit: 1 << 20, ..Report::default() })
}

fn head_to<M: Message>(kind: FrameKind, to: LocalId) -> FrameHead<'static> {
    let key = vtable::<M>().wire_ops().unwrap().key();
    FrameHead { key, to, from: LocalId(5), reference: 77, ..FrameHead::new(kind) }
}

fn body_of(message: &impl Body) -> Vec<u8> {
    let mut out = FrameBuf::default();
    out.push_frame(&FrameHead::new(FrameKind::Send), |out| message.encode(out)).unwrap();
    let shard_runtime::wire::frame::Parsed::Frame(frame) =
        shard_runtime::wire::frame::parse(out.as_slice(), out.max_frame()).unwrap()
    else {
        panic!("cut")
    };
    frame.body.to_vec()
}

fn add(to: LocalId, by: u64) -> Vec<u8> {
    frame(&head_to::<Add>(FrameKind::Send, to), &body_of(&Add { by, rest: Vec::new() }))
}

fn part(index: u32, count: u32, message: u32, total_bytes: u32) -> Vec<u8> {
    let fragment = Some(Fragment { message, index, count, total_bytes });
    frame(&FrameHead { fragment, ..FrameHead::new(FrameKind::Part) }, &[1; 16])
}

/// A compressed message of this prefix and these bytes.
fn compressed(kind: FrameKind, to: LocalId, claim: u32, algorithm: u32, bytes: &[u8]) -> Vec<u8> {
    let flags = FrameFlags::COMPRESSED;
    let body = [&claim.to_le_bytes(), &algorithm.to_le_bytes(), bytes].concat();
    frame(&FrameHead { flags, ..head_to::<Add>(kind, to) }, &body)
}

type Crime = (&'static str, Vec<u8>, &'static str);

/// What is written behind the opening report, and what the log says of it.
fn crimes(to: LocalId) -> Vec<Crime> {
    [crimes_of_reports(), crimes_of_parts(), crimes_of_headers(to), crimes_of_compression(to)].concat()
}

fn crimes_of_reports() -> Vec<Crime> {
    let credit = |data, signal| report(FrameKind::Credit, Report { data, signal, ..Report::default() });
    let bytes = |body: &[u8]| frame(&FrameHead::new(FrameKind::Credit), body);
    vec![
        ("a second report", opening(), "begun a link a second time"),
        ("too much data confirmed", credit(1, 0), "says it has taken 1 frames"),
        ("too many signals confirmed", credit(0, u64::MAX), "says it has taken 18446744073709551615 frames"),
        ("a short report", bytes(&[1, 0, 0, 0]), "version of a report"),
        ("a report of version 0", bytes(&[0; 48]), "version of a report: 0x0"),
    ]
}

fn crimes_of_parts() -> Vec<Crime> {
    let five: Vec<u8> = (0..5).flat_map(|message| part(0, 2, message, 32)).collect();
    let skipped = [part(0, 3, 1, 48), part(2, 3, 1, 48)].concat();
    let longer = [part(0, 2, 1, 32), part(1, 2, 1, 48)].concat();
    let no_frame = [part(0, 2, 1, 32), part(1, 2, 1, 32)].concat();
    let without_block = frame(&FrameHead::new(FrameKind::Part), &[1; 16]);
    vec![
        ("a part that is not the first", part(1, 2, 1, 32), "part of a message: 0x1"),
        ("a part that was skipped", skipped, "part of a message: 0x2"),
        ("a part that changes its message", longer, "part of a message: 0x1"),
        ("parts of no frame", no_frame, "a message in parts: 48 bytes needed"),
        ("a part without its block", without_block, "does not say of which"),
        ("2^32-1 parts", part(0, u32::MAX, 1, 32), "count of parts of a message: 4294967295"),
        ("4 GiB in parts", part(0, u32::MAX, 1, u32::MAX), "message in parts: 4294967295"),
        ("five at once", five, "messages in parts at once: 5"),
    ]
}

fn crimes_of_headers(to: LocalId) -> Vec<Crime> {
    let with_byte = |at: usize, value: u8| {
        let mut bytes = add(to, 1);
        bytes[at] = value;
        bytes
    };
    let with_length = |length: u32| {
        let mut bytes = add(to, 1);
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    vec![
        ("an unknown kind", with_byte(4, 99), "frame kind: 0x63"),
        ("a priority that does not exist", with_byte(5, 0x30), "frame flags: 0x30"),
        ("more padding than there is", with_byte(6, 16), "frame padding: 0x10"),
        ("another version", with_byte(7, 9), "frame version 9"),
        ("length 0", with_length(0), "frame length 0"),
        ("length 2^32-1", with_length(u32::MAX), "frame length 4294967295"),
        ("length 2^32-16", with_length(u32::MAX - 15), "frame length 4294967280"),
    ]
}

fn crimes_of_compression(to: LocalId) -> Vec<Crime> {
    let send = |claim, algorithm, bytes: &[u8]| compressed(FrameKind::Send, to, claim, algorithm, bytes);
    let without_prefix = FrameHead { flags: FrameFlags::COMPRESSED, ..head_to::<Add>(FrameKind::Send, to) };
    let credit = compressed(FrameKind::Credit, to, 1000, 1, &[0; 64]);
    vec![
        ("a bomb of 4 GiB", send(u32::MAX, 1, &[0; 64]), "compressed body: 4294967295"),
        ("a bomb within the limit", send(16 << 20, 1, &[0; 64]), "compressed body: 16777216"),
        ("garbage", send(1000, 1, &[0xf7; 64]), "does not expand to the 1000 bytes"),
        ("no prefix", frame(&without_prefix, &[1]), "length of a compressed body"),
        ("an unknown algorithm", send(1000, 9, &[0; 64]), "algorithm of a compressed body: 0x9"),
        ("compressed credit", credit, "flag of a compressed frame"),
    ]
}

/// A link was closed for this reason; the node and the session go on.
fn expect_broken(scene: &Scene, raw: &Raw, data: &mut Data, what: &str, said: &str) {
    data.until_closed(what);
    let name = raw.own.name.as_str();
    eventually(what, || scene.counters(name).protocol_errors == 1);
    eventually(what, || scene.has_logged(said));
    let before = scene.sum(0);
    let mut again = raw.dial(0);
    again.say(&opening());
    again.say(&add(scene.targets[0].local, 1));
    eventually(what, || scene.sum(0) == before + 1);
    assert_eq!(scene.counters(name).protocol_errors, 1, "{what}");
}

#[test]
fn a_link_that_breaks_the_rules_is_closed_for_a_typed_reason_and_the_node_serves_on() {
    let scene = scene();
    let before = scene.processes();
    let to = scene.targets[0].local;
    for (number, (what, bytes, said)) in crimes(to).into_iter().enumerate() {
        let raw = Raw::connect(&scene, &format!("raw{number}@localhost"), NUMBERED | COMPRESSES);
        let mut data = raw.dial(0);
        data.say(&opening());
        data.say(&bytes);
        expect_broken(&scene, &raw, &mut data, what, said);
    }
    assert_eq!(scene.processes(), before);
    assert_eq!(scene.sum(1), 0);
}

#[test]
fn a_link_begins_with_a_report_that_can_be() {
    let scene = scene();
    let to = scene.targets[0].local;
    let ahead = Report { data: 1, limit: 1 << 20, ..Report::default() };
    for (name, bytes, said) in [
        ("early@localhost", add(to, 100), "before the report that begins a link"),
        (
            "credit@localhost",
            report(FrameKind::Credit, Report::default()),
            "before the report that begins a link",
        ),
        ("ahead@localhost", report(FrameKind::Session, ahead), "says it has taken 1 frames"),
        ("short@localhost", frame(&FrameHead::new(FrameKind::Session), &[]), "version of a report"),
    ] {
        let raw = Raw::connect(&scene, name, NUMBERED | COMPRESSES);
        let mut data = raw.dial(0);
        data.say(&bytes);
        expect_broken(&scene, &raw, &mut data, name, said);
    }
    assert_eq!(scene.sum(0), 4, "nothing of them was handled but what came afterwards");
}

/// The window is smaller than what is read at once: a node that takes all as fast as it comes grants more as fast.
#[test]
fn a_peer_that_ignores_credit_is_cut_off_and_one_that_keeps_to_it_is_not() {
    let window = 4096;
    let scene = scene_with(LinkOptions::new().window(window));
    let before = scene.processes();
    let (name, to) = ("greedy@localhost", scene.targets[0].local);
    let raw = Raw::connect(&scene, name, NUMBERED);
    let mut data = raw.dial(0);
    data.say(&opening());
    let granted = Report::from_bytes(&data.next(FrameKind::Session)).unwrap();
    assert_eq!((granted.data, granted.limit), (0, window));
    // All that was granted, at once.
    let one = add(to, 1);
    let count = window / one.len() as u64;
    assert_eq!(count * one.len() as u64, window);
    data.say(&one.repeat(count as usize));
    data.until_confirmed(count);
    // One that is larger than all credit, alone.
    let big = Add { by: 0, rest: vec![1; 100_000] };
    data.say(&frame(&head_to::<Add>(FrameKind::Send, to), &body_of(&big)));
    data.until_confirmed(count + 1);
    assert_eq!((scene.sum(0), scene.counters(name).protocol_errors), (count + 100_000, 0));
    // As much as its socket takes, whatever it is granted.
    let flood = one.repeat(1000);
    eventually("it is cut off", || {
        data.say(&flood);
        scene.counters(name).protocol_errors == 1
    });
    expect_broken(&scene, &raw, &mut data, "more than was granted", "ignores credit");
    assert!(scene.has_logged("a data link of greedy@localhost broke the protocol and is closed"));
    assert_eq!((scene.processes(), scene.sum(1)), (before, 0));
}

#[test]
fn what_nobody_agreed_on_is_not_expanded() {
    let scene = scene();
    let raw = Raw::connect(&scene, "plain@localhost", NUMBERED);
    let mut data = raw.dial(0);
    data.say(&opening());
    data.say(&compressed(FrameKind::Send, scene.targets[0].local, 1000, 1, &[0; 64]));
    expect_broken(&scene, &raw, &mut data, "not agreed", "flag of a compressed frame");
}

/// Targets that are none, types that are none, bodies that are none, answers that nobody waits for.
#[test]
fn what_is_only_wrong_is_counted_and_its_link_stays() {
    let scene = scene();
    let before = scene.processes();
    let name = "wrong@localhost";
    let raw = Raw::connect(&scene, name, NUMBERED | COMPRESSES);
    let mut data = raw.dial(0);
    // A clock at the end of its time, and more credit than there are bytes.
    data.say(&report(
        FrameKind::Session,
        Report { limit: u64::MAX, clock_ms: u64::MAX, ..Report::default() },
    ));
    let [here, there] = scene.targets.map(|pid| pid.local);
    // The node itself, its steward, nobody, a shard that is none, another generation.
    let forged = [0, 1, 60, u64::MAX, 1000 << 52 | 2, here.0 ^ 1 << 32, there.0 ^ 1 << 32];
    for to in forged {
        data.say(&add(LocalId(to), 1000));
    }
    data.say(&frame(&FrameHead { key: MessageKey(1), ..head_to::<Add>(FrameKind::Call, here) }, &[1; 32]));
    data.say(&frame(&FrameHead::new(FrameKind::Heartbeat), &[]));
    for body in [&[0xff; 40][..], &[0xff; 8], &[]] {
        data.say(&frame(&head_to::<Add>(FrameKind::Send, here), body));
        data.say(&frame(&head_to::<Look>(FrameKind::Send, here), body));
        data.say(&frame(&head_to::<Look>(FrameKind::Call, here), body));
    }
    for reference in [0, 1, u64::MAX, 1000 << 52, here.0, there.0] {
        for kind in [FrameKind::Reply, FrameKind::ReplyError] {
            data.say(&frame(&FrameHead { reference, ..head_to::<Sum>(kind, here) }, &[9; 16]));
        }
    }
    // To a process of another shard than the link's: it pays a hop.
    data.say(&add(there, 5));
    // A message of a system process that takes no such message.
    data.say(&add(LocalId(2), 1000));
    let past = FrameHead { deadline: Deadline(1), ..head_to::<Sum>(FrameKind::Call, here) };
    data.say(&frame(&FrameHead { deadline: Deadline::NONE, reference: 99, ..past }, &body_of(&Sum)));
    let answer = data.next(FrameKind::Reply);
    assert_eq!(u64::decode(&aligned(&answer)).unwrap(), 0);
    eventually("the message that hopped", || scene.sum(1) == 5);
    let counters = scene.counters(name);
    assert_eq!((counters.protocol_errors, counters.links), (0, 1));
    assert_eq!((counters.unknown_types, counters.decode_errors), (2, 9), "{counters:?}");
    assert_eq!((counters.views_lent, counters.views_copied), (0, 0), "{counters:?}");
    assert_eq!(counters.undeliverable, forged.len() as u64, "{counters:?}");
    assert_eq!(scene.processes(), before);
}

fn aligned(bytes: &[u8]) -> shard_runtime::wire::frame::Batch {
    let mut batch = shard_runtime::wire::frame::Batch::with_capacity(bytes.len());
    batch.extend_from_slice(bytes);
    batch
}

#[test]
fn an_honest_compressed_message_is_handled() {
    let scene = scene();
    let raw = Raw::connect(&scene, "honest@localhost", NUMBERED | COMPRESSES);
    let mut data = raw.dial(0);
    data.say(&opening());
    let mut packer = Packer::default();
    let head = head_to::<Add>(FrameKind::Send, scene.targets[0].local);
    let message = Add { by: 1, rest: vec![3; 50_000] };
    let packed = packer.pack(&head, 1 << 20, 0, |out| message.encode(out)).unwrap();
    let Packed::Smaller { body, before } = packed else { panic!("{packed:?}") };
    data.say(&frame(&FrameHead { flags: FrameFlags::COMPRESSED, ..head }, body));
    eventually("it is handled", || scene.sum(0) == 50_001);
    let counters = scene.counters("honest@localhost");
    let seen = (counters.compressed_in, counters.compressed_in_before, counters.compressed_in_after);
    assert_eq!(seen, (1, body.len() as u64, before as u64));
}

#[test]
fn a_trace_that_is_none_or_not_agreed_on_is_counted_and_its_message_handled() {
    for (name, flags, dropped) in
        [("tracer@localhost", NUMBERED | TRACES, 2), ("other@localhost", NUMBERED, 3)]
    {
        let scene = scene();
        let raw = Raw::connect(&scene, name, flags);
        let mut data = raw.dial(0);
        data.say(&opening());
        for (trace, span) in [(1, 2), (0, 2), (1, 0)] {
            let trace = Some(Trace { trace, span, flags: u64::MAX });
            let head = head_to::<Add>(FrameKind::Send, scene.targets[0].local);
            data.say(&frame(&FrameHead { trace, ..head }, &body_of(&Add { by: 1, rest: Vec::new() })));
        }
        eventually("all are handled", || scene.sum(0) == 3);
        let counters = scene.counters(name);
        assert_eq!((counters.traced_in, counters.protocol_errors), (3, 0));
        assert_eq!(scene.node.stats().node().counters.traces_dropped, dropped);
    }
}

/// A peer that asks for what is offered to it, and its data link.
fn asker(scene: &Scene, flags: u64) -> (Raw, Data) {
    let only = shard_runtime::Peers::only([ASKER]);
    // Offered once, however many ask.
    let _taken = scene.node.enable_spawn("target", only, |first: Add| Target { sum: first.by });
    let raw = Raw::connect(scene, ASKER, flags);
    let mut data = raw.dial(0);
    data.say(&opening());
    (raw, data)
}

const ASKER: &str = "asker@localhost";

fn ask_head(kind: FrameKind, reference: u64) -> FrameHead<'static> {
    let first = LocalId(0);
    FrameHead { to: first, from: LocalId::CORE, reference, ..head_to::<Add>(kind, first) }
}

fn spawn_ask(offer: &str, args: &[u8]) -> Vec<u8> {
    Ask::Spawn(SpawnAsk { offer, args, ..SpawnAsk::default() }).to_bytes().unwrap()
}

fn good_ask() -> Vec<u8> {
    spawn_ask("target", &body_of(&Add { by: 7, rest: Vec::new() }))
}

#[test]
fn what_a_peer_asks_for_is_checked_before_anything_is_begun_and_answered() {
    let scene = scene();
    let before = scene.processes();
    let (_raw, mut data) = asker(&scene, NUMBERED | SERVES);
    let (good, head) = (good_ask(), |reference| ask_head(FrameKind::Ask, reference));
    let other_key = FrameHead { key: MessageKey(1), ..head(4) };
    for (head, body, why) in [
        (head(1), vec![9; 40], Refusal::Malformed),
        (head(2), spawn_ask("nothing", &[]), Refusal::NameUnknown),
        (head(3), spawn_ask("target", &[0xff; 24]), Refusal::Undecodable),
        (other_key, good.clone(), Refusal::WrongArguments),
        (FrameHead { deadline: Deadline(u32::MAX), ..head(5) }, good.clone(), Refusal::Expired),
        (head(6), Ask::AppInfo { name: "x" }.to_bytes().unwrap(), Refusal::NameUnknown),
    ] {
        data.say(&frame(&head, &body));
        let answer = Answer::from_bytes(&data.next(FrameKind::Answer)).unwrap();
        assert_eq!(answer, Answer::refused(why), "{}", head.reference);
    }
    // Not answered, for there is nobody: a shard that is none here, or there; a sender that is none.
    let refused = scene.counters(ASKER).asks_refused;
    for head in [
        FrameHead { to: LocalId(2 << 52), ..head(7) },
        head(1 << 52),
        FrameHead { from: LocalId(5), ..head(8) },
        FrameHead { from: LocalId(7 << 52 | 5000), ..head(9) },
    ] {
        data.say(&frame(&head, &good));
    }
    // Claims of nothing, and one that is none; answers that nobody waits for.
    for reference in [1, 99, u64::MAX] {
        data.say(&frame(&ask_head(FrameKind::Claim, reference), &Claim::Keep.to_bytes()));
        data.say(&frame(&ask_head(FrameKind::Claim, reference), &Claim::Drop.to_bytes()));
    }
    data.say(&frame(&ask_head(FrameKind::Claim, 1), &[7]));
    data.say(&frame(&ask_head(FrameKind::Answer, 1), &Answer::Done.to_bytes()));
    data.say(&frame(&ask_head(FrameKind::Answer, 1), &[]));
    eventually("all are counted", || scene.counters(ASKER).asks_refused == refused + 5);
    assert_eq!((scene.processes(), scene.counters(ASKER).protocol_errors), (before, 0));
}

#[test]
fn what_a_peer_does_not_claim_is_ended() {
    let scene = scene();
    let before = scene.processes().len();
    let (_raw, mut data) = asker(&scene, NUMBERED | SERVES);
    let soon =
        |reference| FrameHead { deadline: Deadline::after(0, 5000), ..ask_head(FrameKind::Ask, reference) };
    // One id is one process, however often it is asked for.
    let mut started = Vec::new();
    for reference in [20, 21, 22] {
        for _ in 0..3 {
            data.say(&frame(&soon(reference), &good_ask()));
            let answer = Answer::from_bytes(&data.next(FrameKind::Answer)).unwrap();
            let Answer::Started(local) = answer else { panic!("{answer:?}") };
            started.push(local);
        }
    }
    started.dedup();
    assert_eq!((started.len(), scene.processes().len()), (3, before + 3));
    // One is claimed, one is not wanted, one is forgotten.
    data.say(&frame(&ask_head(FrameKind::Claim, 20), &Claim::Keep.to_bytes()));
    data.say(&frame(&ask_head(FrameKind::Claim, 21), &Claim::Drop.to_bytes()));
    eventually("those without an owner are ended", || scene.processes().len() == before + 1);
    assert!(scene.processes().contains(&started[0]));
    eventually("they are counted", || scene.counters(ASKER).spawns_unclaimed == 2);
    assert_eq!(scene.counters(ASKER).protocol_errors, 0);
}

#[test]
fn who_has_not_said_that_it_understands_asks_may_not_ask() {
    let scene = scene();
    let before = scene.processes();
    let (_raw, mut data) = asker(&scene, NUMBERED);
    data.say(&frame(&ask_head(FrameKind::Ask, 1), &good_ask()));
    eventually("it is refused", || scene.counters(ASKER).asks_refused == 1);
    assert_eq!(scene.processes(), before);
}

#[message(reply = Alias)]
struct MakeAlias;

/// Wants to know by what it was reached.
#[derive(Default)]
struct Told {
    heard: String,
}

#[actor]
impl Told {
    #[handle]
    fn add(&mut self, m: Addressed<Add>, _cx: &mut Context<'_>) -> ActorResult {
        self.heard += &format!("{} by {:?}, ", m.message.by, m.by);
        Ok(())
    }
    #[handle]
    fn sum(&mut self, m: Addressed<Sum>, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.heard += &format!("sum by {:?}", m.by);
        Ok(77)
    }
    #[handle]
    fn alias(&mut self, _: MakeAlias, cx: &mut Context<'_>) -> Result<Alias, ActorError> {
        Ok(cx.create_alias()?)
    }
    #[handle]
    fn heard(&mut self, _: Heard, _cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok(std::mem::take(&mut self.heard))
    }
}
#[message(reply = String)]
struct Heard;

/// By the link of one shard to a process of another one.
#[test]
fn what_pays_a_hop_keeps_the_address_that_it_was_sent_by() {
    let scene = scene();
    let options = SpawnOptions::named("told").on_shard(1).split_handle();
    let told = scene.node.spawn(Told::default, options).unwrap();
    let alias = scene.node.call_blocking(told, MakeAlias).unwrap();
    let raw = Raw::connect(&scene, "hops@localhost", NUMBERED);
    // The answer goes by the link of the process's shard.
    let [mut data, mut answers] = [0, 1].map(|shard| raw.dial(shard));
    data.say(&opening());
    answers.say(&opening());
    let (send, add) =
        (head_to::<Add>(FrameKind::Send, told.local), |by| body_of(&Add { by, rest: Vec::new() }));
    data.say(&frame(&FrameHead { name: Some("told"), ..send }, &add(1)));
    let important = FrameFlags::IMPORTANT;
    data.say(&frame(&FrameHead { name: Some("told"), flags: important, ..send }, &add(2)));
    data.say(&frame(&FrameHead { flags: FrameFlags::ALIAS, to: LocalId(alias.id), ..send }, &add(3)));
    let call = head_to::<Sum>(FrameKind::Call, told.local);
    data.say(&frame(&FrameHead { name: Some("told"), ..call }, &body_of(&Sum)));
    let answer = answers.next(FrameKind::Reply);
    assert_eq!(u64::decode(&aligned(&answer)).unwrap(), 77);
    let heard = scene.node.call_blocking(told, Heard).unwrap();
    let name = "Name(\"told\")";
    assert_eq!(
        heard,
        format!("1 by {name}, 2 by {name}, 3 by {:?}, sum by {name}", shard_runtime::Target::from(alias))
    );
}
