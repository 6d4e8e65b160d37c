//! Important messages to processes of other nodes: delivered, refused with the message, tried again and delivered once. And
//! what callers on other nodes are told. Two nodes in one OS process, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::wire::{IncarnationKey, LocalId, Table, WireOps};
use shard_runtime::{
    Actor, Address, Alias, DeliveryError, LinkCounters, LogLevel, Message, NodeEvent, SendReason, Unconfirmed,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, yield_now};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[message]
struct Number {
    n: u64,
    rest: Vec<u8>,
}
#[message(reply = Vec<u64>)]
struct Take;
#[message(local)]
struct Local;
/// What the node of the receiver knows by this name.
#[message(name = "important::Flag", schema = 7)]
struct Flag(bool);
/// Pretends to be a `Flag`, and is none.
#[data(schema = 7)]
struct Forged(u8);
/// No node knows it.
#[data]
struct Ghost(u8);

macro_rules! unregistered {
    ($name:ident, $wire:literal) => {
        impl Message for $name {
            type Reply = ();
            const TABLE: &'static Table<Self> = {
                static OPS: WireOps = WireOps::of::<$name>($wire);
                static TABLE: Table<$name> = Table::wire(&OPS);
                &TABLE
            };
        }
    };
}
unregistered!(Forged, "important::Flag");
unregistered!(Ghost, "important::Ghost");

/// Does not return until it is told to.
#[message(local)]
struct Hold {
    begun: Sender<()>,
    end: Receiver<()>,
}
/// Awaits what does not come, so that the mailbox fills.
#[message(local)]
struct Stuck;
enum To {
    Pid(Pid),
    Name(&'static str),
}
#[message(local, reply = String)]
struct Send {
    to: To,
    n: u64,
    length: usize,
    within: Duration,
}
#[message(local, reply = String)]
struct Retry {
    this: Option<Unconfirmed<Number>>,
    within: Duration,
}
#[message(local, reply = Option<Unconfirmed<Number>>)]
struct GiveUp;
#[message(local, reply = Vec<String>)]
struct Errors {
    sink: Pid,
    full: Pid,
}
#[message(local, reply = String)]
struct Ask {
    of: Pid,
    within: Duration,
}

#[derive(Default)]
struct Peer {
    numbers: Vec<u64>,
}

#[actor]
impl Peer {
    #[handle]
    fn number(&mut self, m: Number, _cx: &mut Context<'_>) -> ActorResult {
        assert!(m.rest.iter().all(|byte| *byte == m.n as u8));
        self.numbers.push(m.n);
        Ok(())
    }
    #[handle]
    fn take(&mut self, _: Take, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(std::mem::take(&mut self.numbers))
    }
    #[handle]
    fn flag(&mut self, m: Flag, _cx: &mut Context<'_>) -> ActorResult {
        self.numbers.push(u64::from(m.0));
        Ok(())
    }
    #[handle]
    fn hold(&mut self, m: Hold, _cx: &mut Context<'_>) -> ActorResult {
        m.begun.send(()).unwrap();
        m.end.recv_timeout(LIMIT).unwrap();
        Ok(())
    }
    #[handle]
    async fn stuck(&mut self, _: Stuck, cx: &mut Context<'_>) -> ActorResult {
        cx.sleep(Duration::from_secs(3600)).await;
        Ok(())
    }
}

#[derive(Default)]
struct Asker {
    kept: Option<Unconfirmed<Number>>,
}

impl Asker {
    fn told(&mut self, sent: Result<(), DeliveryError<Number>>) -> String {
        match sent {
            Ok(()) => "ok".to_owned(),
            Err(DeliveryError::Refused(refused)) => {
                let (reason, message) = refused.into_parts();
                format!("{reason:?} {}", message.n)
            }
            Err(DeliveryError::Unknown(unconfirmed)) => {
                let reason = unconfirmed.as_ref().and_then(Unconfirmed::reason);
                self.kept = unconfirmed;
                reason.map_or_else(|| "unknown".to_owned(), |reason| format!("unknown, {reason:?}"))
            }
            Err(other) => format!("{other:?}"),
        }
    }
}

#[actor]
impl Asker {
    #[handle]
    async fn send(&mut self, m: Send, cx: &mut Context<'_>) -> Result<String, ActorError> {
        let message = Number { n: m.n, rest: vec![m.n as u8; m.length] };
        let sent = match m.to {
            To::Pid(pid) => cx.send_important(pid, message, m.within).await,
            To::Name(name) => cx.send_important((name, "one@localhost"), message, m.within).await,
        };
        Ok(self.told(sent))
    }
    #[handle]
    async fn retry(&mut self, m: Retry, cx: &mut Context<'_>) -> Result<String, ActorError> {
        let Some(unconfirmed) = m.this.or_else(|| self.kept.take()) else { return Ok("nothing".to_owned()) };
        let id = unconfirmed.id();
        let sent = cx.retry_important(unconfirmed, m.within).await;
        if let Err(DeliveryError::Unknown(Some(again))) = &sent {
            assert_eq!(again.id(), id);
        }
        Ok(self.told(sent))
    }
    #[handle]
    fn give_up(
        &mut self,
        _: GiveUp,
        _cx: &mut Context<'_>,
    ) -> Result<Option<Unconfirmed<Number>>, ActorError> {
        Ok(self.kept.take())
    }
    #[handle]
    fn hold(&mut self, m: Hold, _cx: &mut Context<'_>) -> ActorResult {
        m.begun.send(()).unwrap();
        m.end.recv_timeout(LIMIT).unwrap();
        Ok(())
    }
    #[handle]
    async fn errors(&mut self, m: Errors, cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        async fn refused<M: Message>(cx: &Context<'_>, to: impl Address, message: M) -> String {
            match cx.send_important(to, message, LIMIT).await {
                Err(DeliveryError::Refused(error)) => format!("{:?}", error.reason),
                Err(_) => "unknown".to_owned(),
                Ok(()) => "ok".to_owned(),
            }
        }
        let number = |n| Number { n, rest: Vec::new() };
        let gone = Pid { local: LocalId(m.sink.local.0 + 77), ..m.sink };
        let stranger = Pid { node: IncarnationKey(77), ..m.sink };
        let alias = Alias { node: m.sink.node, id: 5 };
        let large = Number { n: 0, rest: vec![0; 17 << 20] };
        Ok(vec![
            refused(cx, gone, number(1)).await,
            refused(cx, stranger, number(1)).await,
            refused(cx, alias, number(1)).await,
            refused(cx, ("nobody", "one@localhost"), number(1)).await,
            refused(cx, ("sink", "three@localhost"), number(1)).await,
            refused(cx, m.full, number(1)).await,
            refused(cx, m.sink, Ghost(1)).await,
            refused(cx, m.sink, Forged(7)).await,
            refused(cx, m.sink, Local).await,
            refused(cx, m.sink, large).await,
            refused(cx, m.sink, Flag(true)).await,
            format!("{:?}", cx.call(gone, Take).await.err()),
            format!("{:?}", cx.call(stranger, Take).await.err()),
            format!("{:?}", cx.call(m.full, Take).await.err()),
            format!("{:?}", cx.call(m.sink, Ghost(1)).await.err()),
            format!("{:?}", cx.call(m.sink, Forged(7)).await.err()),
        ])
    }
    #[handle]
    async fn ask(&mut self, m: Ask, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok(format!("{:?}", cx.call_timeout(m.of, Take, m.within).await))
    }
}

/// Node `two` dials node `one`.
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
        .log_level(LogLevel::Panic)
}

fn pair(shards: (u16, u16)) -> Pair {
    pair_of(builder("one@localhost", shards.0), shards.1)
}

fn pair_of(one: shard_runtime::NodeBuilder, shards: u16) -> Pair {
    let one = one.start().unwrap();
    let at = one.listen_address().unwrap().to_string();
    let two = builder("two@localhost", shards).route("one@localhost", at).start().unwrap();
    let events = two.subscribe_nodes().unwrap();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    Pair { one, two, events }
}

#[expect(clippy::disallowed_methods, reason = "tests outside any shard")]
fn now() -> Instant {
    Instant::now()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = now() + LIMIT;
    while !is_so() {
        assert!(now() < end, "not in time: {what}");
        yield_now();
    }
}

/// Lets time pass: what is tested is that it has.
fn until_elapsed(since: Instant, duration: Duration) {
    until("time passes", || since.elapsed() > duration);
}

/// Nothing else runs on a shard, nor is read there, until this is dropped.
struct Held(Sender<()>);

impl Held {
    fn new<A: Actor + Default>(node: &Node, shard: u16) -> Self {
        let gate = node.spawn(A::default, SpawnOptions::new().on_shard(shard)).unwrap();
        let (begun, has_begun) = channel();
        let (go, end) = channel();
        node.send(gate, Hold { begun, end }).unwrap();
        has_begun.recv_timeout(LIMIT).unwrap();
        Self(go)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _has_gone = self.0.send(());
    }
}

impl Pair {
    fn send(&self, asker: Pid, to: To, n: u64) -> String {
        let send = Send { to, n, length: 0, within: LIMIT };
        self.two.call_blocking_timeout(asker, send, LIMIT).unwrap()
    }

    fn send_within(&self, asker: Pid, to: Pid, n: u64, within: Duration) -> JoinHandle<String> {
        let two = self.two.clone();
        let send = Send { to: To::Pid(to), n, length: 0, within };
        let ask = move || two.call_blocking_timeout(asker, send, LIMIT).unwrap();
        std::thread::Builder::new().spawn(ask).unwrap()
    }

    fn retry(&self, asker: Pid, this: Option<Unconfirmed<Number>>) -> String {
        self.two.call_blocking_timeout(asker, Retry { this, within: LIMIT }, LIMIT).unwrap()
    }

    fn take(&self, sink: Pid) -> Vec<u64> {
        self.one.call_blocking_timeout(sink, Take, LIMIT).unwrap()
    }

    fn messages_in(&self, sink: Pid) -> u64 {
        self.one.stats().process(sink.local).map_or(0, |process| process.messages_in)
    }

    /// Sends an important message whose acknowledgement is there and not yet read when this returns.
    fn send_and_hold(&self, asker: Pid, sink: Pid, n: u64, within: Duration) -> (JoinHandle<String>, Held) {
        let held = Held::new::<Peer>(&self.one, 0);
        let (sent, taken) = (counters(&self.two).messages_out, self.messages_in(sink));
        let sending = self.send_within(asker, sink, n, within);
        until("it is sent", || counters(&self.two).messages_out > sent);
        // A turn writes before the next one begins.
        let sender_held = Held::new::<Asker>(&self.two, 0);
        drop(held);
        until("it is delivered", || self.messages_in(sink) > taken);
        (sending, sender_held)
    }
}

fn counters(node: &Node) -> LinkCounters {
    node.stats().peers().first().map(|peer| peer.counters).unwrap_or_default()
}

#[test]
fn an_important_message_is_in_its_mailbox_when_its_sender_hears_of_it() {
    let plain = |shard| SpawnOptions::new().on_shard(shard);
    let named = || SpawnOptions::named("sink").on_shard(0);
    for shards in [(1, 1), (2, 2), (8, 9)] {
        let pair = pair(shards);
        let far = 1.min(shards.1 - 1);
        for theirs in [named(), named().dedicated_thread()] {
            let sink = pair.one.spawn(Peer::default, theirs).unwrap();
            for ours in [plain(0), plain(far), plain(far).dedicated_thread()] {
                let asker = pair.two.spawn(Asker::default, ours).unwrap();
                let large = Send { to: To::Pid(sink), n: 3, length: 300_000, within: LIMIT };
                let said = [
                    pair.send(asker, To::Pid(sink), 1),
                    pair.send(asker, To::Name("sink"), 2),
                    pair.two.call_blocking_timeout(asker, large, LIMIT).unwrap(),
                ];
                assert_eq!(said, ["ok", "ok", "ok"], "{shards:?}");
                assert_eq!(pair.take(sink), [1, 2, 3]);
            }
            pair.one.kill(sink);
            until("the name is free", || pair.one.whereis("sink").is_none());
        }
        let (sender, receiver) = (counters(&pair.two), counters(&pair.one));
        assert_eq!((sender.unconfirmed, receiver.duplicates), (0, 0));
    }
}

#[test]
fn what_is_refused_comes_back_with_the_reason() {
    let pair = pair((1, 1));
    let sink = pair.one.spawn(Peer::default, SpawnOptions::named("sink")).unwrap();
    let full = pair.one.spawn(Peer::default, SpawnOptions::new().with_mailbox(1)).unwrap();
    pair.one.send(full, Stuck).unwrap();
    until("it is stuck", || {
        let process = pair.one.stats().process(full.local).unwrap();
        process.messages_in == 1 && process.mailbox == 0
    });
    let asker = pair.two.spawn(Asker::default, SpawnOptions::new()).unwrap();
    assert_eq!(pair.send(asker, To::Pid(full), 1), "ok");
    assert_eq!(pair.send(asker, To::Pid(full), 2), "MailboxFull 2", "the message comes back");
    let before = pair.two.stats().node().counters.send_errors_remote;
    let said = pair.two.call_blocking_timeout(asker, Errors { sink, full }, LIMIT).unwrap();
    let expected = [
        "NoProcess",
        "NoRoute",
        "AliasUnknown",
        "NameUnknown",
        "NotConnected",
        "MailboxFull",
        "UnknownType",
        "Undecodable",
        "LocalOnly",
        "TooLarge",
        "ok",
        "Some(Send(NoProcess))",
        "Some(Send(NoRoute))",
        "Some(Send(MailboxFull))",
        "Some(UnknownType)",
        "Some(Decode)",
    ];
    assert_eq!(said, expected);
    assert_eq!(pair.two.stats().node().counters.send_errors_remote, before + 10);
    let seen = counters(&pair.one);
    assert_eq!((seen.undeliverable, seen.unknown_types, seen.decode_errors), (3, 2, 2));
    assert_eq!(pair.one.stats().node().counters.mailbox_refused, 3);
    assert_eq!(pair.take(sink), [1], "the flag");
}

#[test]
fn a_shard_that_holds_as_much_as_it_may_refuses_important_messages() {
    let pair = pair_of(builder("one@localhost", 1).shard_memory(1 << 20), 1);
    let stuck = pair.one.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let asker = pair.two.spawn(Asker::default, SpawnOptions::new()).unwrap();
    pair.one.send(stuck, Stuck).unwrap();
    until("the budget is used up", || {
        let number = Number { n: 0, rest: Vec::new() };
        pair.one.send(stuck, number).is_err_and(|error| error.reason == SendReason::Overloaded)
    });
    assert_eq!(pair.send(asker, To::Pid(stuck), 1), "Overloaded 1");
}

#[test]
fn a_name_whose_holder_has_gone_is_looked_up_again() {
    let pair = pair((1, 1));
    let asker = pair.two.spawn(Asker::default, SpawnOptions::new()).unwrap();
    for n in 0..3 {
        let sink = pair.one.spawn(Peer::default, SpawnOptions::named("sink")).unwrap();
        assert_eq!(pair.send(asker, To::Name("sink"), n), "ok");
        assert_eq!(pair.take(sink), [n]);
        pair.one.kill(sink);
        until("the name is free", || pair.one.whereis("sink").is_none());
    }
    assert_eq!(pair.send(asker, To::Name("sink"), 9), "NameUnknown 9");
}

#[test]
fn a_message_whose_time_is_up_is_not_delivered() {
    let pair = pair((1, 1));
    let sink = pair.one.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let asker = pair.two.spawn(Asker::default, SpawnOptions::new()).unwrap();
    assert_eq!(pair.send(asker, To::Pid(sink), 1), "ok");
    let held = Held::new::<Peer>(&pair.one, 0);
    let begun = now();
    let said = pair.send_within(asker, sink, 2, Duration::from_millis(20)).join().unwrap();
    assert_eq!(said, "unknown");
    until_elapsed(begun, Duration::from_millis(500));
    drop(held);
    // The answer is that of the first attempt, although the second has time.
    assert_eq!(pair.retry(asker, None), "Expired 2");
    assert_eq!(pair.take(sink), [1]);
    let (sender, receiver) = (counters(&pair.two), counters(&pair.one));
    assert_eq!((sender.unconfirmed, receiver.expired, receiver.duplicates), (1, 1, 1));
    let none = Send { to: To::Pid(sink), n: 3, length: 0, within: Duration::ZERO };
    assert_eq!(pair.two.call_blocking_timeout(asker, none, LIMIT).unwrap(), "Expired 3");
}

#[test]
fn a_retry_is_not_delivered_twice() {
    let pair = pair((1, 1));
    let sink = pair.one.spawn(Peer::default, SpawnOptions::named("sink")).unwrap();
    let asker = pair.two.spawn(Asker::default, SpawnOptions::new()).unwrap();
    assert_eq!(pair.send(asker, To::Pid(sink), 1), "ok");
    let (begun, within) = (now(), Duration::from_secs(3));
    let (sending, held) = pair.send_and_hold(asker, sink, 2, within);
    until_elapsed(begun, within + Duration::from_millis(500));
    drop(held);
    assert_eq!(sending.join().unwrap(), "unknown", "it is delivered, and its sender has not heard");
    assert_eq!(pair.retry(asker, None), "ok");
    assert_eq!(pair.take(sink), [1, 2]);
    assert_eq!(counters(&pair.one).duplicates, 1);
    assert_eq!(counters(&pair.two).unconfirmed, 1);
}

#[test]
fn the_end_of_the_session_is_heard_at_once() {
    let pair = pair((1, 1));
    let sink = pair.one.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let asker = pair.two.spawn(Asker::default, SpawnOptions::new()).unwrap();
    assert_eq!(pair.send(asker, To::Pid(sink), 1), "ok");
    let begun = now();
    let (sending, held) = pair.send_and_hold(asker, sink, 2, LIMIT);
    pair.one.stop();
    while !matches!(pair.events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    drop(held);
    assert_eq!(sending.join().unwrap(), "unknown");
    assert!(begun.elapsed() < LIMIT / 2, "at once, not by its time-out");
    let unconfirmed = pair.two.call_blocking_timeout(asker, GiveUp, LIMIT).unwrap().unwrap();
    let other = pair.two.spawn(Asker::default, SpawnOptions::new()).unwrap();
    assert_eq!(pair.retry(other, Some(unconfirmed)), "unknown, Unsupported", "another process sent it");
    let unconfirmed = pair.two.call_blocking_timeout(other, GiveUp, LIMIT).unwrap();
    assert_eq!(pair.retry(asker, unconfirmed), "unknown, NodeStopping", "and the first may have arrived");
    assert_eq!(pair.retry(asker, None), "unknown, NodeStopping");
    assert_eq!(pair.send(asker, To::Pid(sink), 3), "NodeStopping 3");
}

/// Also on a shard that has to send by way of the one that owns the link.
#[test]
fn a_call_whose_time_is_up_is_not_handled() {
    for shards in [(1, 1), (8, 9)] {
        let pair = pair(shards);
        let sink = pair.one.spawn(Peer::default, SpawnOptions::new().on_shard(0)).unwrap();
        let far = SpawnOptions::new().on_shard(1.min(shards.1 - 1));
        let asker = pair.two.spawn(Asker::default, far).unwrap();
        let ask = |within| pair.two.call_blocking_timeout(asker, Ask { of: sink, within }, LIMIT).unwrap();
        assert_eq!(ask(LIMIT), "Ok([])");
        let held = Held::new::<Peer>(&pair.one, 0);
        let begun = now();
        assert_eq!(ask(Duration::from_millis(20)), "Err(Timeout)");
        until_elapsed(begun, Duration::from_millis(500));
        drop(held);
        assert_eq!(ask(LIMIT), "Ok([])");
        assert_eq!((pair.messages_in(sink), counters(&pair.one).expired), (2, 1), "{shards:?}");
    }
}
