//! Nodes with different versions of a message in one cluster: two nodes in this process, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::{
    AskError, EventError, EventFacts, EventGap, EventRestart, LogLevel, NodeBuilder, NodeEvent, Peers,
    RemoteSpawnError, RemoteSpawnOptions,
};
use shard_wire::{MessageEntry, Registry, vtable};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const NAME: &str = "versions::Order";

#[message(old, name = "versions::Order", reply = u64)]
#[derive(Debug, Clone, PartialEq)]
struct OrderV1 {
    id: u64,
}

#[message(name = "versions::Order", reply = u64, replaces = OrderV1)]
#[derive(Debug, Clone, PartialEq)]
struct Order {
    id: u64,
    note: String,
}

/// An order of before that cannot become one of now, and one of now that cannot become one of before.
const NEVER_NEW: u64 = 666;
const NEVER_OLD: u64 = 667;

impl From<OrderV1> for Order {
    fn from(old: OrderV1) -> Self {
        assert_ne!(old.id, NEVER_NEW);
        Self { id: old.id, note: "of old".to_owned() }
    }
}
impl From<&Order> for OrderV1 {
    fn from(new: &Order) -> Self {
        assert_ne!(new.id, NEVER_OLD);
        Self { id: new.id }
    }
}

/// What was received so far, as text.
#[message(reply = Vec<String>)]
struct Seen;

/// Sends an order, calls with the next one, and sends the one after that as an important one.
#[message(reply = u64)]
struct Go {
    peer: String,
    id: u64,
}

#[derive(Default)]
struct NewShop {
    seen: Vec<String>,
}

#[actor]
impl NewShop {
    #[handle]
    fn order(&mut self, m: Order, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.seen.push(format!("{} {}", m.id, m.note));
        Ok(m.id * 10)
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        Ok(self.seen.clone())
    }
    #[handle]
    async fn go(&mut self, m: Go, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let to = ("shop", &*m.peer);
        let order = |id| Order { id, note: "of now".to_owned() };
        cx.send(to, order(m.id)).map_err(|error| error.reason)?;
        let answer = cx.call_timeout(to, order(m.id + 1), LIMIT).await?;
        cx.send_important(to, order(m.id + 2), LIMIT).await.unwrap();
        Ok(answer)
    }
}

#[derive(Default)]
struct OldShop {
    seen: Vec<String>,
}

#[actor]
impl OldShop {
    #[handle]
    fn order(&mut self, m: OrderV1, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.seen.push(m.id.to_string());
        Ok(m.id * 100)
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        Ok(self.seen.clone())
    }
    #[handle]
    async fn go(&mut self, m: Go, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let to = ("shop", &*m.peer);
        cx.send(to, OrderV1 { id: m.id }).map_err(|error| error.reason)?;
        let answer = cx.call_timeout(to, OrderV1 { id: m.id + 1 }, LIMIT).await?;
        cx.send_important(to, OrderV1 { id: m.id + 2 }, LIMIT).await.unwrap();
        Ok(answer)
    }
}

/// What a program of the time before `Order` has.
fn registry_of_then() -> Registry {
    let table = vtable::<OrderV1>();
    let then = MessageEntry::new(table, table.wire_ops().unwrap(), file!(), line!());
    let now = Registry::collect().unwrap();
    let others: Vec<_> = now.iter().filter(|entry| entry.ops().name() != NAME).copied().collect();
    Registry::from_entries(others.into_iter().chain([then])).unwrap()
}

fn builder(name: &str) -> NodeBuilder {
    Node::builder(name).listen("127.0.0.1:0").cookie("of versions").log_level(LogLevel::Error)
}

fn then(name: &str) -> NodeBuilder {
    builder(name).messages(registry_of_then())
}

fn up(events: &Receiver<NodeEvent>) {
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
}

fn pair(one: NodeBuilder, two: NodeBuilder) -> (Node, Node) {
    let one = one.start().unwrap();
    let two = two.route("one@localhost", one.listen_address().unwrap().to_string()).start().unwrap();
    up(&two.subscribe_nodes().unwrap());
    (one, two)
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn go(node: &Node, shop: Pid, peer: &str, id: u64) -> u64 {
    let until = Instant::now() + LIMIT;
    loop {
        match node.call_blocking_timeout(shop, Go { peer: peer.to_owned(), id }, LIMIT) {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < until, "{error:?}"),
        }
    }
}

fn named() -> SpawnOptions {
    SpawnOptions::new().with_name("shop")
}

#[test]
fn old_and_new_nodes_understand_each_other() {
    let (old, new) = pair(then("one@localhost"), builder("two@localhost"));
    let old_shop = old.spawn(OldShop::default, named()).unwrap();
    let new_shop = new.spawn(NewShop::default, named()).unwrap();
    // Whether the new node knows already what the old one reads makes no difference.
    assert_eq!(go(&new, new_shop, "one@localhost", 1), 200);
    assert_eq!(go(&old, old_shop, "two@localhost", 5), 60);
    let seen = |node: &Node, shop: Pid| node.call_blocking_timeout(shop, Seen, LIMIT).unwrap();
    assert_eq!(seen(&old, old_shop), ["1", "2", "3"]);
    assert_eq!(seen(&new, new_shop), ["5 of old", "6 of old", "7 of old"]);
    for node in [&old, &new] {
        let counters = node.stats().peers()[0].counters;
        assert_eq!((counters.unknown_types, counters.decode_errors), (0, 0), "{counters:?}");
    }
}

#[test]
fn new_nodes_lose_nothing_between_each_other_once_they_know_what_the_other_reads() {
    let (one, two) = pair(builder("one@localhost"), builder("two@localhost"));
    let first = one.spawn(NewShop::default, named()).unwrap();
    let second = two.spawn(NewShop::default, named()).unwrap();
    // A call that was answered after the session began came behind what the peer reads or not; the fields tell.
    let mut id = 1;
    loop {
        go(&one, first, "two@localhost", id);
        let seen = two.call_blocking_timeout(second, Seen, LIMIT).unwrap();
        if seen.last().unwrap().ends_with("of now") {
            break;
        }
        assert!(id < 100_000, "never in the current version: {:?}", seen.last());
        id += 3;
    }
}

/// Publishes these orders.
#[message]
struct Publish {
    ids: Vec<u64>,
}

/// Subscribes to the orders of a node; what came of that.
#[message(reply = String)]
struct Subscribe {
    node: String,
}

/// What nobody converts into an order.
#[message]
struct Stranger {
    text: String,
}

macro_rules! feed {
    ($name:ident, $message:ty, |$id:ident| $make:expr) => {
        #[derive(Default)]
        struct $name {
            topic: Option<Topic<$message>>,
        }

        #[actor]
        impl $name {
            fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
                self.topic = Some(cx.register_event("orders", EventOptions::new().buffer(4))?);
                Ok(())
            }
            #[handle]
            fn publish(&mut self, m: Publish, cx: &mut Context<'_>) -> ActorResult {
                for $id in m.ids {
                    cx.publish(self.topic.as_ref().unwrap(), $make)?;
                }
                Ok(())
            }
        }
    };
}
feed!(NewFeed, Order, |id| Order { id, note: "of now".to_owned() });
feed!(OldFeed, OrderV1, |id| OrderV1 { id });
feed!(StrangeFeed, Stranger, |id| Stranger { text: id.to_string() });

macro_rules! reader {
    ($name:ident, $message:ty, |$event:ident| $text:expr) => {
        #[derive(Default)]
        struct $name {
            seen: Vec<String>,
        }

        #[actor]
        impl $name {
            #[handle]
            fn subscribe(&mut self, m: Subscribe, cx: &mut Context<'_>) -> Result<String, ActorError> {
                Ok(format!("{:?}", cx.subscribe_at::<$message>("orders", &m.node)))
            }
            #[handle]
            fn order(&mut self, $event: Event<$message>, _cx: &mut Context<'_>) -> ActorResult {
                self.seen.push(format!("#{} {}", $event.sequence(), $text));
                Ok(())
            }
            #[handle]
            fn gap(&mut self, m: EventGap, _cx: &mut Context<'_>) -> ActorResult {
                self.seen.push(format!("gap {} to {}", m.from, m.to));
                Ok(())
            }
            #[handle]
            fn restart(&mut self, m: EventRestart, _cx: &mut Context<'_>) -> ActorResult {
                self.seen.push(format!("restart after {}", m.last));
                Ok(())
            }
            #[handle]
            fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
                self.seen.push(format!("down {:?}", m.reason.downcast_ref::<EventError>()));
                Ok(())
            }
            #[handle]
            fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
                Ok(self.seen.clone())
            }
        }
    };
}
reader!(NewReader, Order, |event| format!("{} {}", event.id, event.note));
reader!(OldReader, OrderV1, |event| event.id);

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn until<T>(what: &str, mut get: impl FnMut() -> T, is_it: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
{
    let limit = Instant::now() + LIMIT;
    loop {
        let is = get();
        if is_it(&is) {
            return is;
        }
        assert!(Instant::now() < limit, "{what}: {is:?}");
        std::thread::yield_now();
    }
}

fn publish(node: &Node, feed: Pid, ids: impl IntoIterator<Item = u64>) {
    node.send(feed, Publish { ids: ids.into_iter().collect() }).unwrap();
}

/// Has a reader subscribe as soon as its shard knows the node.
fn subscribe(node: &Node, reader: Pid, feed: &str) {
    let ask = || node.call_blocking_timeout(reader, Subscribe { node: feed.to_owned() }, LIMIT).unwrap();
    let said = until("in session", ask, |said| said != "Err(Link(NotConnected))");
    assert_eq!(said, "Ok(())");
}

/// Waits until a reader has seen as much as this, and compares.
fn sees(node: &Node, reader: Pid, expected: &[&str]) {
    let ask = || node.call_blocking_timeout(reader, Seen, LIMIT).unwrap();
    assert_eq!(until("it comes", ask, |seen| seen.len() >= expected.len()), expected);
}

fn facts(node: &Node) -> EventFacts {
    node.stats().events().into_iter().find(|event| &*event.name == "orders").unwrap()
}

fn plain() -> SpawnOptions {
    SpawnOptions::new()
}

#[test]
fn subscribers_of_a_node_of_before_get_publications_as_they_know_them() {
    let (old, new) = pair(then("one@localhost"), builder("two@localhost"));
    let feed = new.spawn(NewFeed::default, plain()).unwrap();
    publish(&new, feed, 1..=6);
    let readers = [0, 1].map(|_| old.spawn(OldReader::default, plain()).unwrap());
    for reader in readers {
        subscribe(&old, reader, "two@localhost");
        sees(&old, reader, &["#3 3", "#4 4", "#5 5", "#6 6"]);
    }
    publish(&new, feed, [7, NEVER_OLD, 9]);
    for reader in readers {
        sees(&old, reader, &["#3 3", "#4 4", "#5 5", "#6 6", "#7 7", "gap 8 to 8", "#9 9"]);
    }
    // Converted and sent once for all of them.
    let counters = new.stats().peers()[0].counters;
    assert_eq!((counters.events_out, counters.events_missed_out), (6, 1));
    let counters = old.stats().peers()[0].counters;
    assert_eq!((counters.events_in, counters.unknown_types, counters.decode_errors), (6, 0, 0));
}

#[test]
fn publications_of_a_node_of_before_arrive_as_their_subscribers_know_them() {
    let (old, new) = pair(then("one@localhost"), builder("two@localhost"));
    let feed = old.spawn(OldFeed::default, plain()).unwrap();
    publish(&old, feed, 1..=5);
    let readers = [0, 1].map(|_| new.spawn(NewReader::default, plain()).unwrap());
    for reader in readers {
        subscribe(&new, reader, "one@localhost");
        sees(&new, reader, &["#2 2 of old", "#3 3 of old", "#4 4 of old", "#5 5 of old"]);
    }
    publish(&old, feed, [6, NEVER_NEW, 8]);
    for reader in readers {
        let first = ["#2 2 of old", "#3 3 of old", "#4 4 of old", "#5 5 of old"];
        sees(&new, reader, &[&first[..], &["#6 6 of old", "gap 7 to 7", "#8 8 of old"]].concat());
    }
    let counters = new.stats().peers()[0].counters;
    assert_eq!((counters.events_in, counters.unknown_types, counters.decode_errors), (7, 0, 1));
}

#[test]
fn a_subscription_gets_the_later_version_once_its_node_publishes_that() {
    let reading = builder("two@localhost").start().unwrap();
    let events = reading.subscribe_nodes().unwrap();
    let address = reading.listen_address().unwrap().to_string();
    let start = |builder: NodeBuilder| builder.route("two@localhost", address.clone()).start().unwrap();
    let old = start(then("one@localhost"));
    up(&events);
    let feed = old.spawn(OldFeed::default, plain()).unwrap();
    publish(&old, feed, [1]);
    let reader = reading.spawn(NewReader::default, plain()).unwrap();
    subscribe(&reading, reader, "one@localhost");
    sees(&reading, reader, &["#1 1 of old"]);
    old.stop();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    let new = start(builder("one@localhost"));
    up(&events);
    let feed = new.spawn(NewFeed::default, plain()).unwrap();
    publish(&new, feed, [1, 2]);
    sees(&reading, reader, &["#1 1 of old", "restart after 1", "#1 1 of now", "#2 2 of now"]);
}

#[test]
fn subscribers_of_both_versions_share_a_node() {
    for (is_new, note) in [(true, "of now"), (false, "of old")] {
        let (one, two) = pair(builder("one@localhost"), builder("two@localhost"));
        let feed = match is_new {
            true => one.spawn(NewFeed::default, plain()).unwrap(),
            false => one.spawn(OldFeed::default, plain()).unwrap(),
        };
        publish(&one, feed, [1]);
        let old_reader = two.spawn(OldReader::default, plain()).unwrap();
        let new_reader = two.spawn(NewReader::default, plain()).unwrap();
        subscribe(&two, new_reader, "one@localhost");
        sees(&two, new_reader, &[&format!("#1 1 {note}")]);
        subscribe(&two, old_reader, "one@localhost");
        sees(&two, old_reader, &["#1 1"]);
        let known = facts(&one);
        assert_eq!((known.nodes, known.subscribers), (1, 2));
        publish(&one, feed, [2]);
        sees(&two, new_reader, &[&format!("#1 1 {note}"), &format!("#2 2 {note}")]);
        sees(&two, old_reader, &["#1 1", "#2 2"]);
        // The end of one is not that of the other.
        two.kill(new_reader);
        until("the node has unsubscribed", || facts(&one).subscribers, |count| *count == 1);
        assert_eq!(facts(&one).nodes, 1);
        publish(&one, feed, [3]);
        sees(&two, old_reader, &["#1 1", "#2 2", "#3 3"]);
        two.kill(old_reader);
        until("the node has unsubscribed", || facts(&one).nodes, |count| *count == 0);
        // On its own node it is one type, and the other is another.
        for (reader, is_its) in [
            (one.spawn(NewReader::default, plain()).unwrap(), is_new),
            (one.spawn(OldReader::default, plain()).unwrap(), !is_new),
        ] {
            let ask = Subscribe { node: "one@localhost".to_owned() };
            let said = one.call_blocking_timeout(reader, ask, LIMIT).unwrap();
            assert!(if is_its { said == "Ok(())" } else { said.contains("WrongType") }, "{said}");
        }
    }
}

#[test]
fn what_is_of_no_version_is_refused() {
    let (one, two) = pair(builder("one@localhost"), builder("two@localhost"));
    one.spawn(StrangeFeed::default, plain()).unwrap();
    let old_reader = two.spawn(OldReader::default, plain()).unwrap();
    let new_reader = two.spawn(NewReader::default, plain()).unwrap();
    for reader in [old_reader, new_reader] {
        subscribe(&two, reader, "one@localhost");
        sees(&two, reader, &["down Some(RemoteType)"]);
    }
}

struct NewMade(Order);

#[actor]
impl NewMade {
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        Ok(vec![format!("{} {}", self.0.id, self.0.note)])
    }
}

struct OldMade(OrderV1);

#[actor]
impl OldMade {
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        Ok(vec![self.0.id.to_string()])
    }
}

/// Has a process started on a node, with an order of now.
#[message(local, reply = Result<Pid, RemoteSpawnError>)]
struct Make {
    node: &'static str,
}

struct Maker;

#[actor]
impl Maker {
    #[handle]
    async fn make(
        &mut self,
        m: Make,
        cx: &mut Context<'_>,
    ) -> Result<Result<Pid, RemoteSpawnError>, ActorError> {
        Ok(cx.spawn_on(m.node, "made", of_now(3), RemoteSpawnOptions::new()).await)
    }
}

fn of_now(id: u64) -> Order {
    Order { id, note: "of now".to_owned() }
}

/// Starts a process as soon as the shards know the node.
fn made(mut make: impl FnMut() -> Result<Pid, RemoteSpawnError>) -> Result<Pid, RemoteSpawnError> {
    let is_early =
        |made: &Result<_, _>| matches!(made, Err(RemoteSpawnError::Ask { why: AskError::NotConnected, .. }));
    until("in session", &mut make, |made| !is_early(made))
}

fn new_offer(builder: NodeBuilder) -> NodeBuilder {
    builder.enable_spawn("made", Peers::anyone(), NewMade)
}

fn old_offer(builder: NodeBuilder) -> NodeBuilder {
    builder.enable_spawn("made", Peers::anyone(), OldMade)
}

fn has(node: &Node, pid: Pid) -> String {
    node.call_blocking_timeout(pid, Seen, LIMIT).unwrap().remove(0)
}

#[test]
fn old_and_new_nodes_start_processes_on_each_other() {
    let (old, new) = pair(old_offer(then("one@localhost")), new_offer(builder("two@localhost")));
    let options = RemoteSpawnOptions::new;
    let pid = made(|| new.spawn_on("one@localhost", "made", of_now(1), options())).unwrap();
    assert_eq!(has(&old, pid), "1");
    let pid = made(|| old.spawn_on("two@localhost", "made", OrderV1 { id: 2 }, options())).unwrap();
    assert_eq!(has(&new, pid), "2 of old");
    let maker = new.spawn(|| Maker, plain()).unwrap();
    let make = || new.call_blocking_timeout(maker, Make { node: "one@localhost" }, LIMIT).unwrap();
    assert_eq!(has(&old, made(make).unwrap()), "3");
    // What does not become an order of now is no argument.
    let refused = made(|| old.spawn_on("two@localhost", "made", OrderV1 { id: NEVER_NEW }, options()));
    assert!(matches!(refused, Err(RemoteSpawnError::Undecodable)), "{refused:?}");
}

#[test]
fn arguments_lose_nothing_between_new_nodes_once_they_know_what_the_other_reads() {
    let (one, two) = pair(builder("one@localhost"), new_offer(builder("two@localhost")));
    let make = || {
        let pid = made(|| one.spawn_on("two@localhost", "made", of_now(1), RemoteSpawnOptions::new()));
        has(&two, pid.unwrap())
    };
    until("in the current version", make, |order| order == "1 of now");
    let maker = one.spawn(|| Maker, plain()).unwrap();
    let make = || {
        let make = || one.call_blocking_timeout(maker, Make { node: "two@localhost" }, LIMIT).unwrap();
        has(&two, made(make).unwrap())
    };
    until("in the current version", make, |order| order == "3 of now");
}

#[test]
fn arguments_of_no_version_are_refused() {
    let strange = builder("two@localhost")
        .enable_spawn("made", Peers::anyone(), |m: Stranger| OldMade(OrderV1 { id: m.text.len() as u64 }));
    let (one, two) = pair(old_offer(builder("one@localhost")), strange);
    let options = RemoteSpawnOptions::new;
    let refused = made(|| one.spawn_on("two@localhost", "made", of_now(1), options()));
    assert!(matches!(refused, Err(RemoteSpawnError::WrongArguments)), "{refused:?}");
    // An offer of a new node that takes the earlier version is of that alone.
    let pid = made(|| two.spawn_on("one@localhost", "made", OrderV1 { id: 4 }, options())).unwrap();
    assert_eq!(has(&one, pid), "4");
    let is_refused = |made: &Result<_, _>| matches!(made, Err(RemoteSpawnError::WrongArguments));
    let refused = until(
        "the node reads the later one",
        || made(|| two.spawn_on("one@localhost", "made", of_now(1), options())),
        is_refused,
    );
    assert!(is_refused(&refused));
}
