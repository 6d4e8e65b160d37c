//! Traces between nodes: one trace id and a chain of spans over three of them, by every way that a message takes, and peers
//! that know nothing of it.

use shard_runtime::prelude::*;
use shard_runtime::{
    LinkCounters, LinkOptions, LogLevel, NodeBuilder, NodeEvent, Peers, RemoteSpawnOptions, Response,
    TraceContext,
};
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "a deadline of a test is wall time")]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        std::thread::yield_now();
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
    }
}

#[expect(clippy::disallowed_methods, reason = "tests outside any shard")]
fn thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(run)
}

/// A context in text, and its parent's span.
#[data]
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    own: String,
    parent: Option<u64>,
}

/// Asks the next, and answers with all places from here on.
#[message(reply = Vec<Place>)]
struct Chain {
    rest: Vec<Pid>,
}
#[message]
struct Mark {
    number: u64,
    padding: Vec<u8>,
}
/// An order to a scribe: to begin a trace and send marks with it.
#[message(local, reply = Place)]
struct Go {
    to: Pid,
    node: &'static str,
    how: How,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Pid,
    Name,
    Important,
    Parts,
    Request,
}
#[message(local)]
struct Flood {
    to: Pid,
    count: u64,
}
/// Is answered by a handler of a later message.
#[message(reply = u64)]
struct Later;
#[message]
struct Answer;
#[message(reply = u64)]
struct Ask {
    to: Pid,
    rounds: u64,
}
#[message]
struct Seed {
    number: u64,
}

type Seen = (u64, Option<TraceContext>);

struct Scribe {
    tell: Sender<Seen>,
    later: Vec<ReplyTo<u64>>,
}

fn place(cx: &Context<'_>) -> Place {
    let trace = cx.trace();
    Place {
        own: trace.map_or_else(String::new, |trace| trace.to_string()),
        parent: trace.and_then(|trace| trace.parent_span()),
    }
}

#[actor]
impl Scribe {
    #[handle]
    async fn chain(&mut self, m: Chain, cx: &mut Context<'_>) -> Result<Vec<Place>, ActorError> {
        let mut rest = m.rest;
        let own = place(cx);
        let mut places = vec![own.clone()];
        if let Some(next) = rest.pop() {
            places.extend(cx.call(next, Chain { rest }).await?);
        }
        assert_eq!(place(cx), own, "its own, after the call");
        Ok(places)
    }
    #[handle]
    fn mark(&mut self, m: Mark, cx: &mut Context<'_>) -> ActorResult {
        let _nobody_listens = self.tell.send((m.number, cx.trace()));
        Ok(())
    }
    #[handle]
    async fn go(&mut self, m: Go, cx: &mut Context<'_>) -> Result<Place, ActorError> {
        cx.begin_trace();
        let mark = |number, bytes| Mark { number, padding: vec![7; bytes] };
        match m.how {
            How::Pid => cx.send(m.to, mark(1, 10)).map_err(|error| error.reason)?,
            How::Name => cx.send(("scribe", m.node), mark(1, 2_000)).map_err(|error| error.reason)?,
            How::Important => cx.send_important(m.to, mark(1, 2_000), LIMIT).await.unwrap(),
            How::Parts => cx.send(m.to, mark(1, 400_000)).map_err(|error| error.reason)?,
            How::Request => {
                cx.request(m.to, Chain { rest: Vec::new() }, 1, LIMIT).map_err(|error| error.reason)?;
            }
        }
        Ok(place(cx))
    }
    #[handle]
    async fn flood(&mut self, m: Flood, cx: &mut Context<'_>) -> ActorResult {
        for number in 1..=m.count {
            cx.set_trace(context(number));
            cx.send_wait(m.to, Mark { number, padding: Vec::new() }, LIMIT)
                .await
                .map_err(|error| error.reason)?;
        }
        Ok(())
    }
    #[handle]
    async fn ask(&mut self, m: Ask, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let mut kept = 0;
        for _ in 0..m.rounds {
            let own = place(cx);
            let there = cx.call(m.to, Chain { rest: Vec::new() }).await?;
            let parent = cx.trace().map(|trace| trace.span_id());
            kept += u64::from(there[0].parent == parent && place(cx) == own);
            cx.yield_now().await;
        }
        Ok(kept)
    }
    #[handle]
    fn later(&mut self, _: Later, reply: ReplyTo<u64>, _cx: &mut Context<'_>) -> ActorResult {
        self.later.push(reply);
        Ok(())
    }
    #[handle]
    fn answer(&mut self, _: Answer, cx: &mut Context<'_>) -> ActorResult {
        assert_eq!(cx.trace(), None);
        self.later.drain(..).for_each(|reply| reply.send(1));
        Ok(())
    }
    #[handle]
    fn response(&mut self, m: Response<Chain>, cx: &mut Context<'_>) -> ActorResult {
        assert!(m.result.is_ok());
        let _nobody_listens = self.tell.send((1, cx.trace()));
        Ok(())
    }
    #[handle]
    async fn wait(&mut self, m: Wait, cx: &mut Context<'_>) -> ActorResult {
        cx.call_timeout(m.on, Later, LIMIT).await?;
        Ok(())
    }
    #[handle]
    async fn spawn_there(&mut self, _: SpawnThere, cx: &mut Context<'_>) -> Result<Pid, ActorError> {
        cx.begin_trace();
        let options = RemoteSpawnOptions::new();
        Ok(cx.spawn_on("two@localhost", "seed", Seed { number: 4 }, options).await?)
    }
}
#[message(local, reply = Pid)]
struct SpawnThere;
#[message(local)]
struct Wait {
    on: Pid,
}

/// The context of a mark, by its number.
fn context(number: u64) -> Option<TraceContext> {
    TraceContext::new(number.into(), number, true).filter(|_| !number.is_multiple_of(3))
}

fn builder(name: &str, shards: u16) -> NodeBuilder {
    Node::builder(name)
        .shards(shards)
        .listen("127.0.0.1:0")
        .cookie("unit test cookie")
        .log_level(LogLevel::Error)
}

/// Starts nodes of which each is in session with all others.
fn cluster(builders: Vec<(&'static str, NodeBuilder)>) -> Vec<Node> {
    let mut nodes: Vec<(&str, Node)> = Vec::new();
    for (name, builder) in builders {
        let builder = nodes.iter().fold(builder, |builder, (other, node)| {
            builder.route(*other, node.listen_address().unwrap().to_string())
        });
        let node = builder.start().unwrap();
        let events = node.subscribe_nodes().unwrap();
        for _ in &nodes {
            assert!(matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }));
        }
        nodes.push((name, node));
    }
    nodes.into_iter().map(|(_, node)| node).collect()
}

fn scribe(node: &Node, options: SpawnOptions) -> (Pid, Receiver<Seen>) {
    let (tell, seen) = channel();
    (node.spawn(move || Scribe { tell, later: Vec::new() }, options).unwrap(), seen)
}

fn counters(node: &Node, peer: &str) -> LinkCounters {
    node.stats().peers().into_iter().find(|row| row.name == peer).unwrap().counters
}

/// No message of a trace is left anywhere.
fn until_none_is_held(nodes: &[&Node]) {
    for node in nodes {
        eventually("nothing of traces is held", || node.stats().node().counters.traces_held == 0);
    }
}

fn check_chain(places: &[Place], first: TraceContext) {
    let mut parent = first;
    let mut spans = HashSet::new();
    for place in places {
        let own: TraceContext = place.own.parse().unwrap();
        assert_eq!(own.trace_id(), first.trace_id());
        assert_eq!(place.parent, Some(parent.span_id()));
        assert!(spans.insert(own.span_id()));
        parent = own;
    }
}

#[test]
fn a_chain_over_three_nodes_is_one_trace() {
    let nodes = cluster(vec![
        ("one@localhost", builder("one@localhost", 2)),
        ("two@localhost", builder("two@localhost", 2)),
        ("three@localhost", builder("three@localhost", 2)),
    ]);
    let [one, two, three] = &nodes[..] else { panic!("three nodes") };
    let a = scribe(one, SpawnOptions::new().on_shard(0)).0;
    let b = scribe(two, SpawnOptions::new().on_shard(1)).0;
    let last = scribe(two, SpawnOptions::new().on_shard(0)).0;
    let c = scribe(three, SpawnOptions::new().dedicated_thread()).0;
    let back = scribe(one, SpawnOptions::new().dedicated_thread()).0;
    let first: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
    let places = one.traced(first).call_blocking(a, Chain { rest: vec![last, back, c, b] }).unwrap();
    assert_eq!(places.len(), 5);
    check_chain(&places, first);
    // From outside to a process of another node.
    let places = one.traced(first).call_blocking(b, Chain { rest: vec![c] }).unwrap();
    check_chain(&places, first);
    let untraced = one.call_blocking(a, Chain { rest: vec![c, b] }).unwrap();
    assert!(untraced.iter().all(|place| place.own.is_empty() && place.parent.is_none()));
    let (ours, theirs) = (counters(one, "two@localhost"), counters(two, "one@localhost"));
    assert_eq!((ours.traced_out, ours.traced_in), (theirs.traced_in, theirs.traced_out));
    assert!(ours.traced_out >= 3 && ours.traced_in >= 3, "requests and replies carry it: {ours:?}");
    assert!(one.stats().peers().iter().all(|peer| peer.traces));
    until_none_is_held(&[one, two, three]);
    nodes.iter().for_each(Node::stop);
}

#[test]
fn every_way_to_another_node_carries_the_trace() {
    // With one link for each pair of shards, and with links that one shard owns.
    for max_links in [64, 1] {
        let links = LinkOptions::new().max_links(max_links);
        let nodes = cluster(vec![
            ("two@localhost", builder("two@localhost", 2).links(links)),
            ("one@localhost", builder("one@localhost", 2).links(links)),
        ]);
        let [two, one] = &nodes[..] else { panic!("two nodes") };
        let (to, seen) = scribe(two, SpawnOptions::named("scribe").on_shard(1));
        for how in [How::Pid, How::Name, How::Important, How::Parts, How::Request] {
            for shard in 0..3 {
                let options = match shard {
                    2 => SpawnOptions::new().dedicated_thread(),
                    shard => SpawnOptions::new().on_shard(shard).compression(1024),
                };
                let (from, own_seen) = scribe(one, options);
                let begun = one.call_blocking(from, Go { to, node: "two@localhost", how }).unwrap();
                let begun: TraceContext = begun.own.parse().unwrap();
                let seen = if how == How::Request { &own_seen } else { &seen };
                let (number, place) = seen.recv_timeout(LIMIT).unwrap();
                let place = place.unwrap_or_else(|| panic!("{how:?} from {shard} with {max_links}"));
                assert_eq!((number, place.trace_id()), (1, begun.trace_id()), "{how:?}");
                assert_eq!(place.parent_span(), Some(begun.span_id()), "{how:?}");
            }
        }
        assert!(counters(one, "two@localhost").compressed_out > 0);
        until_none_is_held(&[one, two]);
        nodes.iter().for_each(Node::stop);
    }
}

#[test]
fn a_thousand_messages_and_concurrent_calls_do_not_mix_their_contexts() {
    let nodes = cluster(vec![
        ("two@localhost", builder("two@localhost", 2)),
        ("one@localhost", builder("one@localhost", 2)),
    ]);
    let [two, one] = &nodes[..] else { panic!("two nodes") };
    let (to, seen) = scribe(two, SpawnOptions::new().on_shard(1));
    let (from, _seen) = scribe(one, SpawnOptions::new().on_shard(0));
    one.send(from, Flood { to, count: 1_000 }).unwrap();
    let askers: Vec<_> = (1..=8_u64)
        .map(|number| {
            let (asker, _seen) = scribe(one, SpawnOptions::new().on_shard(0));
            let one = one.clone();
            thread(move || {
                let ask = Ask { to, rounds: 50 };
                match context(number) {
                    Some(trace) => one.traced(trace).call_blocking_timeout(asker, ask, LIMIT),
                    None => one.call_blocking_timeout(asker, ask, LIMIT),
                }
            })
        })
        .collect();
    for number in 1..=1_000 {
        let (seen, place) = seen.recv_timeout(LIMIT).unwrap();
        assert_eq!(seen, number, "in order");
        let ids = place.map(|place| (place.trace_id(), place.parent_span()));
        assert_eq!(ids, context(number).map(|sent| (sent.trace_id(), Some(sent.span_id()))));
    }
    for asker in askers {
        assert_eq!(asker.join().unwrap().unwrap(), 50, "each call was in the context of its asker");
    }
    until_none_is_held(&[one, two]);
    nodes.iter().for_each(Node::stop);
}

#[test]
fn late_replies_and_remote_spawns_carry_it_and_killed_processes_leave_nothing() {
    let nodes = cluster(vec![
        ("two@localhost", builder("two@localhost", 1)),
        ("one@localhost", builder("one@localhost", 1)),
    ]);
    let [two, one] = &nodes[..] else { panic!("two nodes") };
    let (to, _seen) = scribe(two, SpawnOptions::new());
    let first = TraceContext::new(5, 6, true).unwrap();
    let asker = {
        let one = one.clone();
        thread(move || one.traced(first).call_blocking_timeout(to, Later, LIMIT))
    };
    eventually("it was asked", || counters(two, "one@localhost").traced_in == 1);
    two.send(to, Answer).unwrap();
    assert_eq!(asker.join().unwrap().unwrap(), 1);
    assert_eq!(counters(two, "one@localhost").traced_out, 1, "the reply carries the trace of its request");

    two.enable_spawn("seed", Peers::anyone(), |seed: Seed| {
        assert_eq!(seed.number, 4);
        let (tell, _never) = channel();
        Scribe { tell, later: Vec::new() }
    })
    .unwrap();
    let (from, _seen) = scribe(one, SpawnOptions::new());
    let before = counters(one, "two@localhost").traced_out;
    let there = one.call_blocking(from, SpawnThere).unwrap();
    assert_eq!(counters(one, "two@localhost").traced_out, before + 1, "the ask carries it");

    // It waits for an answer that does not come, with what came meanwhile behind it.
    two.traced(first).send(there, Wait { on: to }).unwrap();
    one.send(from, Flood { to: there, count: 300 }).unwrap();
    eventually("traces wait there", || two.stats().node().counters.traces_held == 200);
    two.kill(there);
    eventually("it is gone", || two.stats().process(there.local).is_none());
    until_none_is_held(&[one, two]);
    nodes.iter().for_each(Node::stop);
}

#[test]
fn a_peer_of_the_first_protocol_gets_frames_without_traces() {
    let nodes = cluster(vec![
        (
            "old@localhost",
            builder("old@localhost", 1).links(LinkOptions::new().unnumbered().max_message(1 << 20)),
        ),
        ("one@localhost", builder("one@localhost", 1)),
    ]);
    let [old, one] = &nodes[..] else { panic!("two nodes") };
    let first = TraceContext::new(5, 6, true).unwrap();
    let (ours, theirs) = (scribe(one, SpawnOptions::new()).0, scribe(old, SpawnOptions::new()).0);
    for (node, from, to) in [(one, ours, theirs), (old, theirs, ours)] {
        let places = node.traced(first).call_blocking(from, Chain { rest: vec![to] }).unwrap();
        check_chain(&places[..1], first);
        assert_eq!(places[1], Place { own: String::new(), parent: None }, "the call goes without its trace");
        assert!(node.stats().node().counters.traces_dropped >= 1, "and that is counted");
    }
    let counters = counters(one, "old@localhost");
    assert_eq!((counters.traced_out, counters.traced_in), (0, 0));
    assert!(one.stats().peers().iter().all(|peer| !peer.traces));
    until_none_is_held(&[one, old]);
    nodes.iter().for_each(Node::stop);
}
