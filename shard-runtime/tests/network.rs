//! Messages between nodes: order, sizes, errors, restarts. Several nodes in one OS process, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::wire::NodeName;
use shard_runtime::{LogLevel, LogSource, MemorySink, NodeEvent, SendReason};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[message]
struct Number {
    n: u64,
}
#[message]
struct Bulk {
    n: u64,
    bytes: Vec<u8>,
}
#[message(reply = Seen)]
struct Take;
#[data]
struct Seen {
    numbers: Vec<u64>,
    bytes: u64,
}
#[message(local)]
struct Local;
#[message(reply = String)]
struct WhoSent;
#[message(reply = u64)]
struct Never;
#[message]
struct Boom;
#[message(reply = Flooded)]
struct Flood {
    to: Pid,
    count: u64,
    bytes: u64,
}
#[data]
struct Flooded {
    sent: u64,
    refused: u64,
}
#[message(reply = String)]
struct Errors {
    to: Pid,
}

#[message(reply = String)]
struct AskInVain {
    of: Pid,
}

#[derive(Default)]
struct Peer {
    numbers: Vec<u64>,
    bytes: u64,
    held: Vec<ReplyTo<u64>>,
}

#[actor]
impl Peer {
    #[handle]
    fn number(&mut self, m: Number, _cx: &mut Context<'_>) -> ActorResult {
        self.numbers.push(m.n);
        Ok(())
    }
    #[handle]
    fn bulk(&mut self, m: Bulk, _cx: &mut Context<'_>) -> ActorResult {
        self.numbers.push(m.n);
        self.bytes += m.bytes.iter().filter(|byte| **byte == m.n as u8).count() as u64;
        Ok(())
    }
    #[handle]
    fn take(&mut self, _: Take, _cx: &mut Context<'_>) -> Result<Seen, ActorError> {
        Ok(Seen { numbers: std::mem::take(&mut self.numbers), bytes: self.bytes })
    }
    #[handle]
    fn who(&mut self, _: WhoSent, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok(cx.sender().to_string())
    }
    #[handle]
    fn never(&mut self, _: Never, reply: ReplyTo<u64>, _cx: &mut Context<'_>) -> ActorResult {
        self.held.push(reply);
        Ok(())
    }
    #[handle]
    fn boom(&mut self, _: Boom, _cx: &mut Context<'_>) -> ActorResult {
        panic!("boom")
    }
    #[handle]
    async fn flood(&mut self, m: Flood, cx: &mut Context<'_>) -> Result<Flooded, ActorError> {
        let mut done = Flooded { sent: 0, refused: 0 };
        while done.sent < m.count {
            let n = done.sent;
            let sent = if m.bytes == 0 {
                cx.send(m.to, Number { n }).map_err(|error| error.reason)
            } else {
                let bytes = vec![n as u8; m.bytes as usize];
                cx.send(m.to, Bulk { n, bytes }).map_err(|error| error.reason)
            };
            match sent {
                Ok(()) => done.sent += 1,
                Err(SendReason::OutboxFull) => {
                    done.refused += 1;
                    cx.sleep(Duration::from_millis(1)).await;
                }
                Err(other) => return Err(other.into()),
            }
            if n % 1000 == 999 {
                cx.yield_now().await;
            }
        }
        Ok(done)
    }
    #[handle]
    async fn ask_in_vain(&mut self, m: AskInVain, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok(format!("{:?}", cx.call_timeout(m.of, Never, LIMIT).await))
    }
    #[handle]
    async fn errors(&mut self, m: Errors, cx: &mut Context<'_>) -> Result<String, ActorError> {
        let local = cx.send(m.to, Local).unwrap_err().reason;
        let large = cx.send(m.to, Bulk { n: 0, bytes: vec![0; 17 << 20] }).unwrap_err();
        let large_reason = large.reason;
        assert_eq!(large.into_inner().bytes.len(), 17 << 20);
        let nobody = Pid { local: shard_runtime::wire::LocalId(m.to.local.0 + 77), ..m.to };
        let gone = cx.call(nobody, Take).await.err();
        let name = cx.call(("nobody", "one@localhost"), Take).await.err();
        let who = cx.call(m.to, WhoSent).await?;
        assert_eq!(who, cx.pid().to_string());
        Ok(format!("{local:?} {:?} {gone:?} {name:?}", large_reason))
    }
}

struct Pair {
    one: Node,
    two: Node,
    events: Receiver<NodeEvent>,
}

fn builder(name: &str, shards: u16) -> shard_runtime::NodeBuilder {
    Node::builder(name)
        .shards(shards)
        .listen("127.0.0.1:0")
        .cookie("unit test cookie")
        .log_level(LogLevel::Error)
}

fn pair(shards: (u16, u16)) -> Pair {
    let one = builder("one@localhost", shards.0).start().unwrap();
    let two = join(&one, shards.1);
    let events = two.subscribe_nodes().unwrap();
    wait_up(&events);
    Pair { one, two, events }
}

fn join(one: &Node, shards: u16) -> Node {
    let at = one.listen_address().unwrap().to_string();
    builder("two@localhost", shards).route("one@localhost", at).start().unwrap()
}

fn wait_up(events: &Receiver<NodeEvent>) {
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
}

fn wait_down(events: &Receiver<NodeEvent>) {
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn now() -> Instant {
    Instant::now()
}

fn take(node: &Node, pid: Pid, count: u64) -> Seen {
    let until = now() + LIMIT;
    let mut all = Seen { numbers: Vec::new(), bytes: 0 };
    while (all.numbers.len() as u64) < count {
        assert!(now() < until, "only {} of {count} came", all.numbers.len());
        let seen = node.call_blocking(pid, Take).unwrap();
        all.numbers.extend(seen.numbers);
        all.bytes = seen.bytes;
    }
    all
}

#[test]
fn a_stream_keeps_its_order_on_every_pair_of_shards() {
    for shards in [(1, 1), (2, 2), (1, 3)] {
        let pair = pair(shards);
        let count = 50_000;
        for from in 0..shards.1 {
            for to in 0..shards.0 {
                let sink = pair.one.spawn(Peer::default, SpawnOptions::new().on_shard(to)).unwrap();
                let source = pair.two.spawn(Peer::default, SpawnOptions::new().on_shard(from)).unwrap();
                let flood = Flood { to: sink, count, bytes: 0 };
                let done = pair.two.call_blocking_timeout(source, flood, LIMIT).unwrap();
                assert_eq!(done.sent, count);
                assert_eq!(take(&pair.one, sink, count).numbers, (0..count).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn large_messages_arrive_whole_and_a_full_outbox_is_an_error() {
    let pair = pair((1, 1));
    let sink = pair.one.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let source = pair.two.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let flood = Flood { to: sink, count: 400, bytes: 300_000 };
    let done = pair.two.call_blocking_timeout(source, flood, LIMIT).unwrap();
    assert!(done.refused > 0, "120 MB do not fit an outbox of 8 MiB");
    let seen = take(&pair.one, sink, 400);
    assert_eq!(seen.bytes, 400 * 300_000);
    assert_eq!(seen.numbers, (0..400).collect::<Vec<_>>());
    // Frames of a little more than 300,000 bytes, in parts of 64 KiB.
    let link = |node: &Node| node.stats().peers()[0].counters;
    let until = now() + LIMIT;
    while (link(&pair.two).cut_out, link(&pair.two).parts_out) != (400, 2000) {
        assert!(now() < until, "{:?}", link(&pair.two));
    }
    assert_eq!((link(&pair.one).joined_in, link(&pair.one).parts_in), (400, 2000));
}

#[test]
fn errors_name_their_cause() {
    let pair = pair((1, 1));
    let sink = pair.one.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let source = pair.two.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let text = pair.two.call_blocking(source, Errors { to: sink }).unwrap();
    assert_eq!(text, "LocalOnly TooLarge Some(Send(NoProcess)) Some(Send(NameUnknown))");
    assert_eq!(pair.two.call_blocking(sink, Boom).err(), Some(CallError::Panicked));
}

#[test]
fn dedicated_processes_reach_other_nodes_and_are_reached() {
    let pair = pair((2, 2));
    let plain = SpawnOptions::new;
    let dedicated = || SpawnOptions::new().on_shard(1).dedicated_thread();
    for (ours, theirs) in [(dedicated(), plain()), (plain(), dedicated()), (dedicated(), dedicated())] {
        let sink = pair.one.spawn(Peer::default, theirs).unwrap();
        let source = pair.two.spawn(Peer::default, ours).unwrap();
        let count = 3000;
        let flood = Flood { to: sink, count, bytes: 0 };
        assert_eq!(pair.two.call_blocking_timeout(source, flood, LIMIT).unwrap().sent, count);
        assert_eq!(take(&pair.one, sink, count).numbers, (0..count).collect::<Vec<_>>());
        let text = pair.two.call_blocking(source, Errors { to: sink }).unwrap();
        assert_eq!(text, "LocalOnly TooLarge Some(Send(NoProcess)) Some(Send(NameUnknown))");
        assert_eq!(pair.two.call_blocking(sink, Boom).err(), Some(CallError::Panicked));
    }
    let sink = pair.one.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let source = pair.two.spawn(Peer::default, dedicated()).unwrap();
    let flood = Flood { to: sink, count: 200, bytes: 300_000 };
    let done = pair.two.call_blocking_timeout(source, flood, LIMIT).unwrap();
    assert!(done.refused > 0, "60 MB do not fit an outbox of 8 MiB");
    assert_eq!(take(&pair.one, sink, 200).numbers, (0..200).collect::<Vec<_>>());
    // What it waits for fails when the node goes.
    let two = pair.two.clone();
    let ask = move || two.call_blocking_timeout(source, AskInVain { of: sink }, LIMIT);
    let before = pair.one.stats().process(sink.local).unwrap().messages_in;
    let asking = std::thread::Builder::new().spawn(ask).unwrap();
    while pair.one.stats().process(sink.local).unwrap().messages_in == before {
        std::thread::yield_now();
    }
    pair.one.stop();
    let said = asking.join().unwrap().unwrap();
    assert!(said == "Err(Terminated)" || said == "Err(Disconnected)", "{said}");
}

#[test]
fn what_waits_for_a_node_fails_when_it_goes() {
    let pair = pair((2, 2));
    let sink = pair.one.spawn(Peer::default, SpawnOptions::named("sink").on_shard(1)).unwrap();
    let two = pair.two.clone();
    let begun = now();
    let waiting =
        std::thread::Builder::new().spawn(move || two.call_blocking_timeout(sink, Never, LIMIT)).unwrap();
    // The call is under way once the callee has it.
    while pair.one.stats().process(sink.local).unwrap().messages_in == 0 {
        std::thread::yield_now();
    }
    pair.one.stop();
    let error = waiting.join().unwrap().unwrap_err();
    assert!(matches!(error, CallError::Terminated | CallError::Disconnected), "{error:?}");
    assert!(begun.elapsed() < LIMIT / 2, "at once, not by its time-out");
    wait_down(&pair.events);
    let refused = pair.two.call_blocking(sink, Take).err();
    assert_eq!(refused, Some(CallError::Send(SendReason::NodeStopping)), "until it is back");
}

#[test]
fn a_restarted_node_has_new_pids_and_the_same_names() {
    let pair = pair((1, 1));
    let old = pair.two.spawn(Peer::default, SpawnOptions::named("sink")).unwrap();
    let events = pair.one.subscribe_nodes().unwrap();
    wait_up(&events);
    let source = pair.one.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let to_name = |n| pair.one.send(("sink", "two@localhost"), Number { n });
    to_name(1).unwrap();
    assert_eq!(take(&pair.two, old, 1).numbers, [1]);
    pair.two.stop();
    wait_down(&events);
    let again = join(&pair.one, 1);
    wait_up(&events);
    let new = again.spawn(Peer::default, SpawnOptions::named("sink")).unwrap();
    assert_ne!(old, new);
    to_name(2).unwrap();
    assert_eq!(take(&again, new, 1).numbers, [2]);
    let refused = pair.one.call_blocking(old, Take).err();
    assert_eq!(refused, Some(CallError::Send(SendReason::NoRoute)));
    let flood = Flood { to: old, count: 1, bytes: 0 };
    assert_eq!(pair.one.call_blocking(source, flood).err(), Some(CallError::Terminated));
}

/// Whoever was told of a route keeps to it, also when the other end has said goodbye.
#[test]
fn a_node_that_was_stopped_in_order_is_dialled_until_it_is_back() {
    let one = builder("one@localhost", 1).start().unwrap();
    let at = one.listen_address().unwrap().to_string();
    let two = builder("two@localhost", 1).route("one@localhost", at.clone()).start().unwrap();
    let events = two.subscribe_nodes().unwrap();
    wait_up(&events);
    one.stop();
    wait_down(&events);
    let again = builder("one@localhost", 1).listen(at).start().unwrap();
    wait_up(&events);
    let sink = again.spawn(Peer::default, SpawnOptions::named("sink")).unwrap();
    two.send(sink, Number { n: 7 }).unwrap();
    assert_eq!(take(&again, sink, 1).numbers, [7]);
}

#[test]
fn a_name_that_moved_is_asked_for_again() {
    let pair = pair((1, 1));
    let first = pair.one.spawn(Peer::default, SpawnOptions::named("sink")).unwrap();
    let who = || pair.two.call_blocking(("sink", "one@localhost"), Take);
    assert!(who().is_ok());
    pair.one.kill(first);
    let until = now() + LIMIT;
    let second = loop {
        match pair.one.spawn(Peer::default, SpawnOptions::named("sink")) {
            Ok(pid) => break pid,
            Err(SpawnError::NameTaken { .. }) => assert!(now() < until),
            Err(other) => panic!("{other}"),
        }
    };
    // The first message after the move may be lost; it brings the news.
    while who().is_err() {
        assert!(now() < until);
    }
    assert!(pair.one.stats().process(second.local).unwrap().messages_in > 0);
}

#[test]
fn the_log_says_which_node_a_line_of_the_network_is_about() {
    let memory = MemorySink::new(100);
    let one = builder("one@localhost", 1).log_level(LogLevel::Info).log_sink(memory.clone()).start().unwrap();
    let two = join(&one, 1);
    wait_up(&two.subscribe_nodes().unwrap());
    two.stop();
    one.stop();
    let peer = Some(NodeName::new("two@localhost").unwrap());
    let lines: Vec<_> = memory
        .records()
        .into_iter()
        .filter(|line| line.source == LogSource::Network { peer: peer.clone() })
        .collect();
    assert!(lines.iter().any(|line| line.text.starts_with("node two@localhost up")), "{lines:?}");
}
