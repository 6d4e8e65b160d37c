//! Credit, lanes and parts between nodes: two nodes in this process, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::{LinkOptions, LogLevel, NodeBuilder, NodeError, NodeEvent, SendReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

#[message]
struct Item {
    n: u64,
    bytes: Vec<u8>,
}
#[message(reply = u64)]
struct Echo {
    n: u64,
}
#[message(reply = u64)]
struct Count;
#[message(reply = Done)]
struct Flood {
    to: Pid,
    count: u64,
    bytes: u64,
    calls: bool,
}
/// As `Flood`, but waits for room, this long for each message.
#[message(reply = Done)]
struct Pour {
    to: Pid,
    count: u64,
    bytes: u64,
    within_ms: u64,
}
#[data]
#[derive(Debug, PartialEq)]
struct Done {
    sent: u64,
    refused: u64,
    calls: u64,
}
/// Holds its shard until it is let go.
#[message(local)]
struct Hold(Arc<AtomicBool>);
/// Never handles what comes behind this.
#[message]
struct Sleep;

#[derive(Default)]
struct Peer {
    next: u64,
}

#[actor]
impl Peer {
    #[handle]
    fn item(&mut self, m: Item, _cx: &mut Context<'_>) -> ActorResult {
        assert_eq!(m.n, self.next);
        assert!(m.bytes.iter().all(|byte| *byte == m.n as u8));
        self.next += 1;
        Ok(())
    }
    #[handle]
    fn echo(&mut self, m: Echo, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(m.n)
    }
    #[handle]
    fn count(&mut self, _: Count, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(self.next)
    }
    #[handle]
    fn hold(&mut self, m: Hold, _cx: &mut Context<'_>) -> ActorResult {
        while !m.0.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    }
    #[handle]
    async fn sleep(&mut self, _: Sleep, cx: &mut Context<'_>) -> ActorResult {
        cx.sleep(10 * LIMIT).await;
        Ok(())
    }
}

#[derive(Default)]
struct Source;

#[actor]
impl Source {
    #[handle]
    async fn flood(&mut self, m: Flood, cx: &mut Context<'_>) -> Result<Done, ActorError> {
        let mut done = Done { sent: 0, refused: 0, calls: 0 };
        while done.sent < m.count {
            let n = done.sent;
            match cx.send(m.to, Item { n, bytes: vec![n as u8; m.bytes as usize] }) {
                Ok(()) => done.sent += 1,
                Err(error) if error.reason == SendReason::OutboxFull => {
                    done.refused += 1;
                    cx.sleep(Duration::from_millis(1)).await;
                }
                Err(error) => return Err(error.reason.into()),
            }
            if m.calls && n.is_multiple_of(20) {
                assert_eq!(cx.call_timeout(m.to, Echo { n }, LIMIT).await?, n);
                done.calls += 1;
            }
            if n % 200 == 199 {
                cx.yield_now().await;
            }
        }
        Ok(done)
    }
    #[handle]
    async fn pour(&mut self, m: Pour, cx: &mut Context<'_>) -> Result<Done, ActorError> {
        let mut done = Done { sent: 0, refused: 0, calls: 0 };
        for n in 0..m.count {
            let item = Item { n, bytes: vec![n as u8; m.bytes as usize] };
            match cx.send_wait(m.to, item, Duration::from_millis(m.within_ms)).await {
                Ok(()) => done.sent += 1,
                Err(error) if matches!(error.reason, SendReason::Expired | SendReason::NotConnected) => {
                    assert_eq!(error.into_inner().n, n);
                    done.refused += 1;
                    break;
                }
                Err(error) => return Err(error.reason.into()),
            }
        }
        Ok(done)
    }
}

fn builder(name: &str, shards: u16) -> NodeBuilder {
    Node::builder(name).shards(shards).listen("127.0.0.1:0").cookie("of flow").log_level(LogLevel::Error)
}

fn pair(one: NodeBuilder, two: NodeBuilder) -> (Node, Node) {
    let one = one.start().unwrap();
    let two = two.route("one@localhost", one.listen_address().unwrap().to_string()).start().unwrap();
    let events = two.subscribe_nodes().unwrap();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    (one, two)
}

fn spawn(node: &Node, shard: u16) -> (Pid, Pid) {
    let on = || SpawnOptions::new().on_shard(shard);
    (node.spawn(Peer::default, on()).unwrap(), node.spawn(Source::default, on()).unwrap())
}

fn flood(node: &Node, source: Pid, flood: Flood) -> Done {
    node.call_blocking_timeout(source, flood, LIMIT).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn await_count(node: &Node, peer: Pid, count: u64) {
    let until = Instant::now() + LIMIT;
    loop {
        let have = node.call_blocking_timeout(peer, Count, LIMIT).unwrap();
        if have == count {
            return;
        }
        assert!(Instant::now() < until, "{have} of {count} came");
        std::thread::yield_now();
    }
}

/// Calls wait for credit like any message, answers do not: so two that flood each other never wait for each other.
#[test]
fn two_that_flood_and_call_each_other_through_a_tiny_window_both_go_on() {
    let tiny = LinkOptions::new().window(4096).outbox(64 << 10);
    let (one, two) = pair(builder("one@localhost", 1).links(tiny), builder("two@localhost", 1).links(tiny));
    let (ours, theirs) = (spawn(&one, 0), spawn(&two, 0));
    let count = 4000;
    let of = |to| Flood { to, count, bytes: 300, calls: true };
    let (a, b) = std::thread::scope(|scope| {
        let a = scope.spawn(|| flood(&one, ours.1, of(theirs.0)));
        let b = scope.spawn(|| flood(&two, theirs.1, of(ours.0)));
        (a.join().unwrap(), b.join().unwrap())
    });
    assert_eq!((a.sent, b.sent, a.calls, b.calls), (count, count, count / 20, count / 20));
    await_count(&one, ours.0, count);
    await_count(&two, theirs.0, count);
    // What is larger than all credit goes, too, alone.
    let done = flood(&one, ours.1, Flood { to: theirs.0, count: 0, bytes: 0, calls: false });
    assert_eq!(done.sent, 0);
}

#[test]
fn a_shard_that_stands_still_stops_its_own_senders_only() {
    let small = LinkOptions::new().outbox(256 << 10);
    let (one, two) = pair(builder("one@localhost", 2), builder("two@localhost", 1).links(small));
    let (stuck, free) = (spawn(&one, 1), spawn(&one, 0));
    let sources = [spawn(&two, 0).1, spawn(&two, 0).1];
    let go_on = Arc::new(AtomicBool::new(false));
    // The link is there before its other end stands still.
    assert_eq!(two.call_blocking_timeout(stuck.0, Echo { n: 1 }, LIMIT).unwrap(), 1);
    one.send(stuck.0, Hold(Arc::clone(&go_on))).unwrap();
    let (held, passed) = std::thread::scope(|scope| {
        let to_stuck = Flood { to: stuck.0, count: 40_000, bytes: 1000, calls: false };
        let held = scope.spawn(|| flood(&two, sources[0], to_stuck));
        // Far more than all buffers of the other link hold.
        let to_free = Flood { to: free.0, count: 40_000, bytes: 1000, calls: false };
        let passed = flood(&two, sources[1], to_free);
        assert!(!held.is_finished(), "40 MB do not fit a window, an outbox and a socket");
        await_count(&one, free.0, 40_000);
        go_on.store(true, Ordering::Relaxed);
        (held.join().unwrap(), passed)
    });
    assert_eq!((held.sent, passed.sent), (40_000, 40_000));
    assert!(held.refused > 0);
    await_count(&one, stuck.0, 40_000);
}

fn counters(node: &Node) -> shard_runtime::LinkCounters {
    node.stats().peers()[0].counters
}

/// The sender's shard owns the link, or another one does.
#[test]
fn whoever_waits_for_room_sends_all_and_nothing_is_refused_twice() {
    for (shards, max_links) in [((1, 1), 64), ((2, 2), 1)] {
        let links = LinkOptions::new().window(16 << 10).outbox(32 << 10).max_links(max_links);
        let (one, two) =
            pair(builder("one@localhost", shards.0).links(links), builder("two@localhost", shards.1));
        let last = shards.1 - 1;
        let peers = [spawn(&two, last).0, spawn(&two, last).0];
        let sources = [spawn(&one, 0).1, spawn(&one, shards.0 - 1).1];
        let pour = |n: usize| {
            let pour = Pour { to: peers[n], count: 3000, bytes: 1000, within_ms: LIMIT.as_millis() as u64 };
            one.call_blocking_timeout(sources[n], pour, LIMIT).unwrap()
        };
        let sent = std::thread::scope(|scope| {
            let other = scope.spawn(|| pour(1));
            [pour(0), other.join().unwrap()]
        });
        assert!(sent.iter().all(|done| *done == Done { sent: 3000, refused: 0, calls: 0 }), "{sent:?}");
        for peer in peers {
            await_count(&two, peer, 3000);
        }
        let counters = counters(&one);
        assert!(counters.outbox_waits > 0, "{counters:?}");
        assert_eq!((counters.outboxes_full, counters.links_held), (0, 0), "{counters:?}");
    }
}

#[test]
fn whoever_waits_for_room_in_vain_gets_the_message_back() {
    let links = LinkOptions::new().window(16 << 10).outbox(32 << 10);
    let (one, two) = pair(builder("one@localhost", 1).links(links), builder("two@localhost", 1).links(links));
    let (source, peer) = (spawn(&one, 0).1, spawn(&two, 0).0);
    let go_on = Arc::new(AtomicBool::new(false));
    assert_eq!(one.call_blocking_timeout(peer, Echo { n: 1 }, LIMIT).unwrap(), 1);
    two.send(peer, Hold(Arc::clone(&go_on))).unwrap();
    let pour = |within_ms| Pour { to: peer, count: 100_000, bytes: 1000, within_ms };
    let done = one.call_blocking_timeout(source, pour(50), LIMIT).unwrap();
    assert_eq!(done.refused, 1, "{done:?}");
    let held = counters(&one);
    assert_eq!((held.outboxes_full, held.links_held), (1, 1), "{held:?}");
    // The next one waits until its time is up, or the session ends, whatever comes first.
    let waits = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| one.call_blocking_timeout(source, pour(60_000), LIMIT).unwrap());
        let events = one.subscribe_nodes().unwrap();
        one.quarantine("two@localhost").unwrap();
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
        waiting.join().unwrap()
    });
    assert_eq!(waits.refused, 1, "{waits:?}");
    assert_eq!(counters(&one).outboxes_full, 0);
    go_on.store(true, Ordering::Relaxed);
}

/// What the shard of the second node does while calls come one by one: it looks on, or sleeps after each.
#[test]
fn a_shard_that_hears_from_its_peer_lingers_before_it_sleeps() {
    let calls = 200;
    let slept = |linger| {
        let links = LinkOptions::new().linger(linger);
        let (one, two) =
            pair(builder("one@localhost", 1).links(links), builder("two@localhost", 1).links(links));
        let (source, peer) = (spawn(&one, 0).1, spawn(&two, 0).0);
        let parks = || two.stats().shards()[0].counters.parks;
        assert_eq!(one.call_blocking_timeout(peer, Echo { n: 0 }, LIMIT).unwrap(), 0);
        let before = parks();
        let flood = Flood { to: peer, count: calls * 20, bytes: 8, calls: true };
        assert_eq!(one.call_blocking_timeout(source, flood, LIMIT).unwrap().calls, calls);
        parks() - before
    };
    let awake = slept(Duration::from_secs(600));
    assert!(awake < 10, "{awake} parks");
    assert!(slept(Duration::ZERO) > awake);
}

/// Both ends have to find it idle, and it is there again when somebody sends.
#[test]
fn a_link_that_nobody_uses_is_closed_and_dialled_again_on_first_use() {
    let links = LinkOptions::new().idle_after(Duration::from_millis(50));
    let (one, two) = pair(builder("one@localhost", 1).links(links), builder("two@localhost", 1).links(links));
    let peer = spawn(&two, 0).0;
    for n in 1..4 {
        assert_eq!(one.call_blocking_timeout(peer, Echo { n }, LIMIT).unwrap(), n);
        await_links(&one, 0);
        await_links(&two, 0);
    }
    for node in [&one, &two] {
        let stats = &node.stats().peers()[0];
        assert_eq!(
            (stats.ups, stats.downs, stats.counters.unknown_out, stats.counters.failed_out),
            (1, 0, 0, 0)
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn await_links(node: &Node, count: u64) {
    let until = Instant::now() + LIMIT;
    while counters(node).links != count {
        assert!(Instant::now() < until, "{:?}", counters(node));
        std::thread::yield_now();
    }
}

/// Credit comes back when a message is in its mailbox, not when it is handled.
#[test]
fn a_mailbox_that_is_never_drained_takes_no_credit_from_others() {
    let (one, two) = pair(builder("one@localhost", 1), builder("two@localhost", 1));
    let (asleep, awake) = (spawn(&one, 0), spawn(&one, 0));
    let source = spawn(&two, 0).1;
    two.send(asleep.0, Sleep).unwrap();
    // Many windows.
    let of = |to| Flood { to, count: 10_000, bytes: 1000, calls: false };
    assert_eq!(flood(&two, source, of(asleep.0)).sent, 10_000);
    assert_eq!(flood(&two, source, of(awake.0)).sent, 10_000);
    await_count(&one, awake.0, 10_000);
    assert_eq!(two.call_blocking_timeout(awake.0, Echo { n: 3 }, LIMIT).unwrap(), 3);
}

#[test]
fn messages_up_to_the_agreed_length_arrive_and_longer_ones_come_back() {
    let small = LinkOptions::new().max_message(2 << 20);
    let (one, two) = pair(builder("one@localhost", 1), builder("two@localhost", 1).links(small));
    let (ours, theirs) = (spawn(&one, 0), spawn(&two, 0));
    for bytes in [100, 127 << 10, 128 << 10, 129 << 10, 1 << 20, (2 << 20) - 256] {
        let peer = spawn(&two, 0).0;
        assert_eq!(flood(&one, ours.1, Flood { to: peer, count: 3, bytes, calls: true }).sent, 3);
        await_count(&two, peer, 3);
    }
    let too_long = Flood { to: theirs.0, count: 1, bytes: 2 << 20, calls: false };
    let refused = one.call_blocking_timeout(ours.1, too_long, LIMIT).unwrap_err();
    assert!(matches!(refused, CallError::Terminated), "{refused:?}");
}

#[test]
fn a_node_that_does_not_number_its_frames_is_spoken_to_as_before() {
    let old = LinkOptions::new().unnumbered().max_message(1 << 20);
    for shards in [(1, 1), (2, 1)] {
        let (one, two) =
            pair(builder("one@localhost", shards.0).links(old), builder("two@localhost", shards.1));
        let (ours, theirs) = (spawn(&one, 0), spawn(&two, 0));
        let count = 20_000;
        let of = |to, bytes| Flood { to, count, bytes, calls: true };
        assert_eq!(flood(&one, ours.1, of(theirs.0, 100)).calls, count / 20);
        assert_eq!(flood(&two, theirs.1, of(ours.0, 1000)).calls, count / 20);
        await_count(&one, ours.0, count);
        await_count(&two, theirs.0, count);
        let peer = spawn(&one, 0).0;
        assert_eq!(flood(&two, theirs.1, Flood { to: peer, count: 3, bytes: 700_000, calls: true }).sent, 3);
        await_count(&one, peer, 3);
    }
}

#[test]
fn options_of_links_that_make_no_sense_are_refused() {
    for links in [
        LinkOptions::new().max_message(1000),
        LinkOptions::new().max_message(65 << 20),
        LinkOptions::new().window(0),
    ] {
        let refused = builder("one@localhost", 1).links(links).start().unwrap_err();
        assert!(matches!(refused, NodeError::BadSetting { .. }), "{refused:?}");
    }
}
