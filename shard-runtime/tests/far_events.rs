//! Events of other nodes, over real sockets: nodes of one OS process.

use shard_runtime::prelude::*;
use shard_runtime::{
    CoreEvent, EventError, EventFacts, EventGap, EventPosition, EventRestart, EventStart, EventStop,
    LinkCounters, LinkError, LinkOptions, LogLevel, NodeBuilder, NodeEvent, Target,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const FEED: &str = "feed@localhost";

type Action = Box<dyn FnOnce(&mut Context<'_>) -> String + Send>;

#[message(local, reply = String)]
struct Act(Action);
/// Holds its shard until it is let go.
#[message(local)]
struct Hold(Arc<AtomicBool>);

#[message]
struct Note {
    n: u64,
    bytes: Vec<u8>,
}
#[message]
struct Other {
    text: String,
}
#[message(local)]
struct Inner;

/// Does what it is told, and reports what it hears.
struct Puppet {
    tell: Sender<String>,
    last: Option<EventPosition>,
}

impl Puppet {
    fn say(&self, text: String) {
        let _nobody_listens = self.tell.send(text);
    }
}

#[actor]
impl Puppet {
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    fn hold(&mut self, m: Hold, _cx: &mut Context<'_>) -> ActorResult {
        while !m.0.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    }
    #[handle]
    fn note(&mut self, m: Event<Note>, cx: &mut Context<'_>) -> ActorResult {
        assert_eq!((m.sequence(), m.name(), m.node()), (m.n, "news", Some(FEED)));
        assert_eq!(cx.sender(), m.publisher());
        assert!(m.bytes.iter().all(|byte| *byte == m.n as u8));
        self.last = Some(m.position());
        self.say(format!("#{}", m.n));
        Ok(())
    }
    #[handle]
    fn position(&mut self, _: Position, _cx: &mut Context<'_>) -> Result<EventPosition, ActorError> {
        Ok(self.last.unwrap())
    }
    #[handle]
    fn gap(&mut self, m: EventGap, _cx: &mut Context<'_>) -> ActorResult {
        assert_eq!((&*m.name, &*m.node), ("news", FEED));
        self.say(format!("gap {} to {}", m.from, m.to));
        Ok(())
    }
    #[handle]
    fn restart(&mut self, m: EventRestart, _cx: &mut Context<'_>) -> ActorResult {
        assert_ne!(m.before, m.now);
        self.say(format!("restart after {}, another node: {}", m.last, m.before.node != m.now.node));
        Ok(())
    }
    #[handle]
    fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
        let Target::EventAt { name, node } = &m.target else { panic!("{m:?}") };
        assert_eq!((&**name, &**node), ("news", FEED));
        let typed = m.reason.downcast_ref::<EventError>().map_or(String::new(), |error| format!("{error:?}"));
        self.say(if typed.is_empty() { format!("down {}", m.reason) } else { format!("down {typed}") });
        Ok(())
    }
    #[handle]
    fn exit_signal(&mut self, m: ExitSignal, _cx: &mut Context<'_>) -> ActorResult {
        self.say(format!("exit {}", m.reason));
        Ok(())
    }
    #[handle]
    fn start(&mut self, _: EventStart, _cx: &mut Context<'_>) -> ActorResult {
        self.say("start".into());
        Ok(())
    }
    #[handle]
    fn stop(&mut self, _: EventStop, _cx: &mut Context<'_>) -> ActorResult {
        self.say("stop".into());
        Ok(())
    }
}

#[message(local, reply = EventPosition)]
struct Position;

fn builder(name: &str, shards: u16) -> NodeBuilder {
    Node::builder(name).shards(shards).listen("127.0.0.1:0").cookie("of events").log_level(LogLevel::Panic)
}

fn address(node: &Node) -> String {
    node.listen_address().unwrap().to_string()
}

fn up(events: &Receiver<NodeEvent>) -> u64 {
    loop {
        if let NodeEvent::Up { session, .. } = events.recv_timeout(LIMIT).unwrap() {
            return session;
        }
    }
}

struct Pair {
    feed: Node,
    reader: Node,
    events: [Receiver<NodeEvent>; 2],
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.reader.stop();
        self.feed.stop();
    }
}

fn pair_of(feed: NodeBuilder, reader: NodeBuilder) -> Pair {
    let feed = feed.start().unwrap();
    let reader = reader.route(FEED, address(&feed)).start().unwrap();
    pair_up(feed, reader)
}

fn pair_up(feed: Node, reader: Node) -> Pair {
    let events = [feed.subscribe_nodes().unwrap(), reader.subscribe_nodes().unwrap()];
    for (node, other) in [(&feed, &reader), (&reader, &feed)] {
        let name = other.name().to_owned();
        until("they are in session", || node.nodes().contains(&name));
    }
    let pair = Pair { feed, reader, events };
    // What the nodes know, their shards may learn a moment later.
    for (node, other) in [(&pair.feed, &pair.reader), (&pair.reader, &pair.feed)] {
        for shard in 0..node.stats().shards().len() {
            let (probe, _) = puppet(node, shard as u16);
            let name = other.name().to_owned();
            let watch = move |cx: &mut Context<'_>| {
                let target = Target::node(&name);
                format!("{:?} {:?}", cx.monitor(target.clone()), cx.demonitor(target))
            };
            until("the shards know", || act(node, probe, watch.clone()) == "Ok(()) Ok(())");
            node.kill(probe);
        }
    }
    pair
}

fn pair(shards: (u16, u16)) -> Pair {
    pair_of(builder(FEED, shards.0), builder("reader@localhost", shards.1))
}

fn puppet_with(node: &Node, options: SpawnOptions) -> (Pid, Receiver<String>) {
    let (tell, reports) = channel();
    (node.spawn(move || Puppet { tell, last: None }, options).unwrap(), reports)
}

fn puppet(node: &Node, shard: u16) -> (Pid, Receiver<String>) {
    puppet_with(node, SpawnOptions::new().on_shard(shard))
}

fn act(node: &Node, pid: Pid, act: impl FnOnce(&mut Context<'_>) -> String + Send + 'static) -> String {
    node.call_blocking_timeout(pid, Act(Box::new(act)), LIMIT).unwrap()
}

fn register(node: &Node, owner: Pid, options: EventOptions) -> Topic<Note> {
    let (give, taken) = channel();
    act(node, owner, move |cx| {
        give.send(cx.register_event::<Note>("news", options).unwrap()).unwrap();
        String::new()
    });
    taken.recv_timeout(LIMIT).unwrap()
}

/// Publishes numbers `from` to `to` from inside the owner.
fn publish(
    node: &Node,
    owner: Pid,
    topic: &Topic<Note>,
    numbers: std::ops::RangeInclusive<u64>,
    bytes: usize,
) {
    let topic = topic.clone();
    let said = act(node, owner, move |cx| {
        let publish = |n| cx.publish(&topic, Note { n, bytes: vec![n as u8; bytes] });
        format!("{:?}", numbers.map(publish).collect::<Result<Vec<()>, _>>().map(|_| ()))
    });
    assert_eq!(said, "Ok(())");
}

fn subscribe(node: &Node, pid: Pid) {
    assert_eq!(act(node, pid, |cx| format!("{:?}", cx.subscribe_at::<Note>("news", FEED))), "Ok(())");
}

fn facts(node: &Node) -> Option<EventFacts> {
    node.stats().events().into_iter().find(|event| &*event.name == "news")
}

fn counters(node: &Node) -> LinkCounters {
    node.stats().peers()[0].counters
}

/// Waits until the producer's node sends to so many nodes.
fn sends_to(node: &Node, nodes: u64) {
    until("the subscription has arrived", || facts(node).is_some_and(|facts| facts.nodes == nodes));
}

fn next(reports: &Receiver<String>) -> String {
    reports.recv_timeout(LIMIT).unwrap()
}

fn expect(reports: &Receiver<String>, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        assert_eq!(next(reports), format!("#{n}"));
    }
}

fn nothing(reports: &Receiver<String>) {
    assert_eq!(reports.try_recv().ok(), None);
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}

/// Ends the session between the two and has the next one begin.
fn cut(pair: &Pair, between: impl FnOnce()) {
    pair.feed.quarantine("reader@localhost").unwrap();
    for events in &pair.events {
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    }
    sends_to(&pair.feed, 0);
    between();
    pair.feed.allow("reader@localhost").unwrap();
    for events in &pair.events {
        up(events);
    }
}

fn one_frame_per_publication(shards: (u16, u16)) {
    let pair = pair(shards);
    let (owner, told) = puppet(&pair.feed, shards.0 - 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(5).notify());
    publish(&pair.feed, owner, &topic, 1..=10, 8);
    let readers: Vec<_> = (0..6).map(|n| puppet(&pair.reader, n % shards.1)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    sends_to(&pair.feed, 1);
    for (_, reports) in &readers {
        expect(reports, 6..=10);
    }
    publish(&pair.feed, owner, &topic, 11..=500, 100);
    for (_, reports) in &readers {
        expect(reports, 11..=500);
    }
    // Who comes later has what was kept, at no cost for the producer's node.
    let (late, reports) = puppet(&pair.reader, 0);
    subscribe(&pair.reader, late);
    expect(&reports, 496..=500);
    publish(&pair.feed, owner, &topic, 501..=501, 0);
    for (_, reports) in &readers {
        expect(reports, 501..=501);
    }
    expect(&reports, 501..=501);
    let (sent, came) = (counters(&pair.feed), counters(&pair.reader));
    // Five that were kept, and 491 that were published then.
    assert_eq!((sent.events_out, came.events_in), (496, 496));
    assert_eq!((sent.events_missed_out, came.events_missed_in, came.undeliverable), (0, 0, 0));
    let facts = facts(&pair.feed).unwrap();
    assert_eq!((facts.subscribers, facts.nodes, facts.sent_to_nodes, facts.published), (1, 1, 496, 501));
    assert_eq!(next(&told), "start");
    for (reader, _) in &readers {
        pair.reader.kill(*reader);
    }
    assert_eq!(act(&pair.reader, late, |cx| format!("{:?}", cx.unsubscribe_at("news", FEED))), "Ok(())");
    assert_eq!(next(&told), "stop");
    sends_to(&pair.feed, 0);
    assert_eq!(
        act(&pair.reader, late, |cx| format!("{:?}", cx.unsubscribe_at("news", FEED))),
        format!("{:?}", Err::<(), _>(EventError::Link(LinkError::Missing)))
    );
    publish(&pair.feed, owner, &topic, 502..=502, 0);
    nothing(&reports);
    nothing(&told);
    assert_eq!(counters(&pair.feed).relations_in, 0);
}

#[test]
fn a_node_gets_one_frame_per_publication_for_all_its_subscribers() {
    one_frame_per_publication((1, 1));
    one_frame_per_publication((2, 3));
}

#[test]
fn links_of_another_shard_carry_events_in_order() {
    // More than 64 pairs of shards: `target` placement. The producer's shard owns no link to most of the relays.
    one_frame_per_publication((9, 8));
}

#[test]
fn publications_of_several_publishers_and_priorities_keep_their_numbers() {
    let pair = pair((2, 2));
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new());
    let (reader, reports) = puppet(&pair.reader, 1);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    let (other, _) = puppet(&pair.feed, 0);
    // Big ones travel in parts, and small ones of other publishers do not pass them.
    for n in (1..=40).step_by(4) {
        publish(&pair.feed, owner, &topic, n..=n, 300_000);
        publish(&pair.feed, other, &topic, n + 1..=n + 2, 10);
        pair.feed.publish(&topic, Note { n: n + 3, bytes: vec![(n + 3) as u8; 3] }).unwrap();
        until("it is numbered", || facts(&pair.feed).unwrap().published == n + 3);
    }
    expect(&reports, 1..=40);
}

#[test]
fn the_end_of_an_event_comes_after_its_last_publication() {
    for how in ["unregister", "kill"] {
        let pair = pair((2, 2));
        let (owner, _) = puppet(&pair.feed, 1);
        let topic = register(&pair.feed, owner, EventOptions::new());
        let (reader, reports) = puppet(&pair.reader, 1);
        let (linked, exits) = puppet_with(&pair.reader, SpawnOptions::new().on_shard(0).trap_exit());
        let (watcher, downs) = puppet(&pair.reader, 0);
        subscribe(&pair.reader, reader);
        let linking = |cx: &mut Context<'_>| format!("{:?}", cx.link_event_at::<Note>("news", FEED));
        assert_eq!(act(&pair.reader, linked, linking), "Ok(())");
        let watching = |cx: &mut Context<'_>| format!("{:?}", cx.monitor(Target::event_at("news", FEED)));
        assert_eq!(act(&pair.reader, watcher, watching), "Ok(())");
        sends_to(&pair.feed, 1);
        until("the monitor is known", || counters(&pair.feed).relations_in == 2);
        let reason = if how == "kill" { "kill" } else { "unregistered" };
        publish(&pair.feed, owner, &topic, 1..=99, 20_000);
        if how == "kill" {
            pair.feed.kill(owner);
        } else {
            act(&pair.feed, owner, |cx| format!("{:?}", cx.unregister_event("news")));
        }
        // Down messages and exits come in queues of their own, so they overtake publications in the mailbox; none is lost.
        for (reports, end) in [(&reports, "down"), (&exits, "exit")] {
            let mut heard: Vec<_> = (0..100).map(|_| next(reports)).collect();
            heard.retain(|heard| *heard != format!("{end} {reason}"));
            assert_eq!(heard, (1..=99).map(|n| format!("#{n}")).collect::<Vec<_>>());
        }
        assert_eq!(next(&downs), format!("down {reason}"));
        until("nothing is left", || {
            counters(&pair.feed).relations_in == 0 && counters(&pair.reader).relations_out == 0
        });
        for (pid, reports) in [(reader, &reports), (linked, &exits), (watcher, &downs)] {
            assert_eq!(act(&pair.reader, pid, |_| String::new()), "");
            nothing(reports);
        }
    }
}

#[test]
fn what_cannot_be_subscribed_to_is_told_why() {
    let pair = pair((2, 2));
    let (owner, _) = puppet(&pair.feed, 0);
    let (reader, reports) = puppet(&pair.reader, 1);
    subscribe(&pair.reader, reader);
    assert_eq!(next(&reports), "down no such process");
    let topic = register(&pair.feed, owner, EventOptions::new());
    let other = |cx: &mut Context<'_>| format!("{:?}", cx.subscribe_at::<Other>("news", FEED));
    assert_eq!(act(&pair.reader, reader, other), "Ok(())");
    assert_eq!(next(&reports), "down RemoteType");
    // A process with the right type is not in the way of one with the wrong type.
    subscribe(&pair.reader, reader);
    let (wrong, wrongs) = puppet(&pair.reader, 0);
    assert_eq!(act(&pair.reader, wrong, other), "Ok(())");
    assert_eq!(next(&wrongs), "down RemoteType");
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=1, 0);
    expect(&reports, 1..=1);
    let said = act(&pair.reader, reader, |cx| {
        let again = cx.subscribe_at::<Note>("news", FEED);
        let local = cx.subscribe_at::<Inner>("news", FEED);
        let away = cx.subscribe_at::<Note>("news", "nobody@localhost");
        format!("{again:?} {local:?} {away:?}")
    });
    assert_eq!(said, "Err(Link(Exists)) Err(LocalOnly) Err(Link(NotConnected))");
    let said = act(&pair.feed, owner, |cx| {
        cx.unregister_event("news").unwrap();
        format!("{:?}", cx.register_event::<Inner>("news", EventOptions::new()).map(|_| ()))
    });
    assert_eq!(said, "Ok(())");
    assert_eq!(next(&reports), "down unregistered");
    subscribe(&pair.reader, reader);
    assert_eq!(next(&reports), "down LocalOnly");
    // On the own node it is the event of the node.
    let (near, _) = puppet(&pair.feed, 1);
    let said = act(&pair.feed, near, |cx| {
        let here = cx.subscribe_at::<Note>("news", FEED);
        let inner = cx.monitor_event_at::<Inner>("news", FEED);
        format!("{:?} {inner:?} {:?}", here.is_err(), cx.unsubscribe_at("news", FEED))
    });
    assert_eq!(said, "true Ok(()) Ok(())");
}

#[test]
fn a_peer_of_an_older_version_is_not_asked() {
    let old = builder(FEED, 1).links(LinkOptions::new().unnumbered()).start().unwrap();
    let reader = builder("reader@localhost", 1).route(FEED, address(&old)).start().unwrap();
    up(&reader.subscribe_nodes().unwrap());
    let (pid, _) = puppet(&reader, 0);
    let trial = |cx: &mut Context<'_>| {
        let subscribed = cx.subscribe_at::<Note>("news", FEED);
        format!("{subscribed:?} {:?}", cx.monitor(Target::event_at("news", FEED)))
    };
    until("it is refused", || act(&reader, pid, trial) == "Err(Link(Remote)) Err(Remote)");
    reader.stop();
    old.stop();
}

#[test]
fn a_subscription_goes_on_in_the_next_session_and_a_monitor_ends_with_its_own() {
    let pair = pair((2, 2));
    let (owner, told) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(50).notify());
    let readers: Vec<_> = (0..4).map(|n| puppet(&pair.reader, n % 2)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    let (once, downs) = puppet(&pair.reader, 1);
    let watching = |cx: &mut Context<'_>| format!("{:?}", cx.monitor_event_at::<Note>("news", FEED));
    assert_eq!(act(&pair.reader, once, watching), "Ok(())");
    sends_to(&pair.feed, 1);
    assert_eq!(next(&told), "start");
    publish(&pair.feed, owner, &topic, 1..=10, 10);
    expect(&downs, 1..=10);
    // Everything that was published meanwhile is kept.
    cut(&pair, || publish(&pair.feed, owner, &topic, 11..=40, 10));
    assert_eq!((next(&told), next(&told)), ("stop".into(), "start".into()));
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 41..=50, 10);
    for (_, reports) in &readers {
        expect(reports, 1..=50);
    }
    let heard = next(&downs);
    assert!(heard.starts_with("down no connection: session"), "{heard}");
    // Now it is not.
    cut(&pair, || publish(&pair.feed, owner, &topic, 51..=150, 10));
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 151..=160, 10);
    for (_, reports) in &readers {
        assert_eq!(next(reports), "gap 51 to 100");
        expect(reports, 101..=160);
    }
    assert_eq!(counters(&pair.reader).events_missed_in, 50);
    nothing(&downs);
    // The event ends while nobody hears it.
    cut(&pair, || {
        act(&pair.feed, owner, |cx| format!("{:?}", cx.unregister_event("news")));
    });
    for (_, reports) in &readers {
        assert_eq!(next(reports), "down no such process");
    }
    nothing(&downs);
}

#[test]
fn a_producer_that_keeps_nothing_leaves_gaps() {
    let pair = pair((1, 2));
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new());
    let (reader, reports) = puppet(&pair.reader, 1);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=3, 0);
    expect(&reports, 1..=3);
    cut(&pair, || publish(&pair.feed, owner, &topic, 4..=6, 0));
    // Told without anything else being published.
    assert_eq!(next(&reports), "gap 4 to 6");
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 7..=7, 0);
    expect(&reports, 7..=7);
}

#[test]
fn a_publisher_that_is_started_anew_is_told_as_such() {
    let reader = builder("reader@localhost", 2).start().unwrap();
    let start = || builder(FEED, 2).route("reader@localhost", address(&reader)).start().unwrap();
    let mut pair = pair_up(start(), reader.clone());
    let (owner, _) = puppet(&pair.feed, 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(3));
    let (first, reports) = puppet(&reader, 0);
    let (second, others) = puppet(&reader, 1);
    subscribe(&reader, first);
    subscribe(&reader, second);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=5, 0);
    expect(&reports, 1..=5);
    expect(&others, 1..=5);
    let old = reader.call_blocking(first, Position).unwrap();
    assert_eq!(old.sequence, 5);
    pair.feed.stop();
    while !matches!(pair.events[1].recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    pair.feed = start();
    up(&pair.events[1]);
    // It is looked for until it is there.
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(3));
    publish(&pair.feed, owner, &topic, 1..=2, 0);
    for reports in [&reports, &others] {
        assert_eq!(next(reports), "restart after 5, another node: true");
        expect(reports, 1..=2);
    }
    // A position of the former life says where a new one begins.
    let (third, resumed) = puppet(&reader, 1);
    let resume = move |cx: &mut Context<'_>| format!("{:?}", cx.resume_at::<Note>("news", FEED, old));
    assert_eq!(act(&reader, third, resume), "Ok(())");
    assert_eq!(next(&resumed), "restart after 5, another node: true");
    expect(&resumed, 1..=2);
    // Registered anew on the same node.
    act(&pair.feed, owner, |cx| format!("{:?}", cx.unregister_event("news")));
    assert_eq!(next(&resumed), "down unregistered");
    let topic = register(&pair.feed, owner, EventOptions::new());
    let (now, resume) =
        (reader.call_blocking(first, Position).unwrap(), "restart after 2, another node: false");
    let again = move |cx: &mut Context<'_>| format!("{:?}", cx.resume_at::<Note>("news", FEED, now));
    assert_eq!(act(&reader, third, again), "Ok(())");
    assert_eq!(next(&resumed), resume);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=1, 0);
    expect(&resumed, 1..=1);
}

#[test]
fn a_subscriber_goes_on_where_its_predecessor_was() {
    let pair = pair((2, 2));
    let (owner, _) = puppet(&pair.feed, 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(10));
    let (reader, reports) = puppet(&pair.reader, 0);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=5, 0);
    expect(&reports, 1..=5);
    let at = pair.reader.call_blocking(reader, Position).unwrap();
    pair.reader.kill(reader);
    sends_to(&pair.feed, 0);
    let resumed = |shard: u16, at: EventPosition| {
        let (pid, reports) = puppet(&pair.reader, shard);
        let resume = move |cx: &mut Context<'_>| format!("{:?}", cx.resume_at::<Note>("news", FEED, at));
        assert_eq!(act(&pair.reader, pid, resume), "Ok(())");
        reports
    };
    publish(&pair.feed, owner, &topic, 6..=8, 0);
    // The first on its node, the first on its shard, one among others.
    let all = [resumed(0, at), resumed(1, at), resumed(1, at)];
    for reports in &all {
        expect(reports, 6..=8);
    }
    publish(&pair.feed, owner, &topic, 9..=30, 0);
    for reports in &all {
        expect(reports, 9..=30);
    }
    let late = resumed(0, at);
    assert_eq!(next(&late), "gap 6 to 20");
    expect(&late, 21..=30);
    // What has not been published yet is waited for.
    let early = resumed(1, EventPosition { sequence: 32, ..at });
    publish(&pair.feed, owner, &topic, 31..=35, 0);
    expect(&late, 31..=35);
    expect(&early, 33..=35);
}

/// What a reader has heard until `last` came: how many publications, and how many are missing.
fn account(reports: &Receiver<String>, last: u64) -> (u64, u64) {
    let (mut at, mut came, mut missed) = (0, 0, 0);
    while at < last {
        let heard = next(reports);
        if let Some(n) = heard.strip_prefix('#') {
            let n: u64 = n.parse().unwrap();
            assert_eq!(n, at + 1, "in order, and nothing left out without a word");
            (at, came) = (n, came + 1);
        } else {
            let mut gap =
                heard.strip_prefix("gap ").expect(&heard).split(" to ").map(|n| n.parse::<u64>().unwrap());
            let (from, to) = (gap.next().unwrap(), gap.next().unwrap());
            assert_eq!(from, at + 1);
            missed += to - at;
            at = to;
        }
    }
    (came, missed)
}

fn slow_node(shards: (u16, u16)) {
    let links = || LinkOptions::new().window(64 << 10).outbox(256 << 10);
    let pair =
        pair_of(builder(FEED, shards.0).links(links()), builder("reader@localhost", shards.1).links(links()));
    let (owner, _) = puppet(&pair.feed, shards.0 - 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(100));
    let readers: Vec<_> = (0..shards.1).map(|shard| puppet(&pair.reader, shard)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    sends_to(&pair.feed, 1);
    let free = Arc::new(AtomicBool::new(false));
    for (reader, _) in &readers {
        pair.reader.send(*reader, Hold(Arc::clone(&free))).unwrap();
    }
    // Nobody waits for the node that does not read: all are published at once.
    publish(&pair.feed, owner, &topic, 1..=2000, 2000);
    assert_eq!(facts(&pair.feed).unwrap().published, 2000);
    free.store(true, Ordering::Relaxed);
    for (_, reports) in &readers {
        let (came, missed) = account(reports, 2000);
        assert!(missed > 0 && came >= 100, "{came} {missed}");
    }
    let (sent, got) = (counters(&pair.feed), counters(&pair.reader));
    assert_eq!(sent.events_out + sent.events_missed_out, 2000);
    assert_eq!((got.events_in, got.events_missed_in), (sent.events_out, sent.events_missed_out));
}

#[test]
fn a_node_that_does_not_keep_up_is_told_what_it_misses() {
    slow_node((2, 2));
}

#[test]
fn a_node_behind_a_link_of_another_shard_is_told_what_it_misses() {
    slow_node((9, 8));
}

/// Passes bytes on, and cuts what is open when it is told to.
struct Relay {
    streams: Arc<RwLock<Vec<TcpStream>>>,
    address: String,
}

fn start(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(work).unwrap();
}

impl Relay {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let streams = Arc::new(RwLock::new(Vec::new()));
        let known = Arc::clone(&streams);
        start(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(&target) else { return };
                let mut known = known.write().unwrap();
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
                {
                    known.push(from.try_clone().unwrap());
                    start(move || {
                        let mut buffer = vec![0; 1 << 16];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _gone = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { streams, address }
    }

    /// Breaks all but the first, which is the control link.
    fn cut_data(&self) -> usize {
        let mut streams = self.streams.write().unwrap();
        let from = streams.len().min(2);
        let cut = streams.split_off(from);
        for stream in &cut {
            let _gone = stream.shutdown(Shutdown::Both);
        }
        cut.len()
    }
}

#[test]
fn links_that_break_under_load_lose_and_double_nothing() {
    let feed = builder(FEED, 2).start().unwrap();
    let relay = Relay::to(address(&feed));
    let reader = builder("reader@localhost", 2).route(FEED, relay.address.clone()).start().unwrap();
    let pair = pair_up(feed, reader);
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(20_000));
    let readers: Vec<_> = (0..2).map(|shard| puppet(&pair.reader, shard)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    sends_to(&pair.feed, 1);
    let mut cuts = 0;
    for round in 0..20_u64 {
        publish(&pair.feed, owner, &topic, round * 500 + 1..=round * 500 + 500, 500);
        cuts += relay.cut_data();
        // The link comes back before it is cut again, or nothing would be under way.
        let arrived = round * 500;
        until("it goes on", || counters(&pair.reader).events_in > arrived);
    }
    assert!(cuts > 0);
    for (_, reports) in &readers {
        expect(reports, 1..=10_000);
        nothing(reports);
    }
    assert_eq!((counters(&pair.feed).events_out, counters(&pair.reader).events_in), (10_000, 10_000));
    assert!(pair.reader.stats().peers()[0].reconnections + pair.feed.stats().peers()[0].reconnections > 0);
}

#[test]
fn every_node_gets_its_own_frame_and_a_dedicated_thread_its_events() {
    let feed = builder(FEED, 2).start().unwrap();
    let (owner, told) = puppet(&feed, 1);
    let topic = register(&feed, owner, EventOptions::new().notify());
    let nodes: Vec<_> = (0..3)
        .map(|n| builder(&format!("reader{n}@localhost"), 1).route(FEED, address(&feed)).start().unwrap())
        .collect();
    let readers: Vec<_> =
        nodes.iter().map(|node| puppet_with(node, SpawnOptions::new().dedicated_thread())).collect();
    for (node, (reader, _)) in nodes.iter().zip(&readers) {
        let trial = |cx: &mut Context<'_>| format!("{:?}", cx.subscribe_at::<Note>("news", FEED));
        until("it is connected", || act(node, *reader, trial) == "Ok(())");
    }
    sends_to(&feed, 3);
    assert_eq!(next(&told), "start");
    publish(&feed, owner, &topic, 1..=50, 10);
    for (_, reports) in &readers {
        expect(reports, 1..=50);
    }
    assert_eq!(facts(&feed).unwrap().sent_to_nodes, 150);
    for (rest, node) in nodes.iter().enumerate() {
        node.stop();
        sends_to(&feed, 2 - rest as u64);
    }
    assert_eq!(next(&told), "stop");
    nothing(&told);
    feed.stop();
}

#[test]
fn a_publication_that_no_frame_holds_is_a_gap() {
    let pair =
        pair_of(builder(FEED, 2), builder("reader@localhost", 1).links(LinkOptions::new().max_message(4096)));
    let (owner, _) = puppet(&pair.feed, 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(8));
    let (reader, reports) = puppet(&pair.reader, 0);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    for (n, bytes) in [(1, 10), (2, 5000), (3, 10)] {
        publish(&pair.feed, owner, &topic, n..=n, bytes);
    }
    assert_eq!([next(&reports), next(&reports), next(&reports)], ["#1", "gap 2 to 2", "#3"]);
    assert_eq!(counters(&pair.feed).encode_errors, 2, "when it was published, and when it was tried again");
}

/// Hears of the sessions of the feed.
struct Listener {
    tell: Sender<String>,
}

#[actor]
impl Listener {
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    fn core(&mut self, m: Event<CoreEvent>, _cx: &mut Context<'_>) -> ActorResult {
        if let CoreEvent::NodeConnected { name } = m.message() {
            let _nobody_listens = self.tell.send(name.clone());
        }
        Ok(())
    }
}

#[test]
fn the_core_event_of_another_node_tells_of_its_sessions() {
    let pair = pair((2, 2));
    let (tell, told) = channel();
    let listener = pair.reader.spawn(move || Listener { tell }, SpawnOptions::new().on_shard(1)).unwrap();
    let listen = |cx: &mut Context<'_>| format!("{:?}", cx.subscribe_at::<CoreEvent>("core", FEED));
    assert_eq!(act(&pair.reader, listener, listen), "Ok(())");
    assert_eq!(next(&told), "reader@localhost", "kept");
    let other = builder("other@localhost", 1).route(FEED, address(&pair.feed)).start().unwrap();
    assert_eq!(next(&told), "other@localhost");
    other.stop();
}
