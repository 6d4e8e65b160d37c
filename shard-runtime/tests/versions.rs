//! Nodes with different versions of a message in one cluster: two nodes in this process, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::{LogLevel, NodeBuilder, NodeEvent};
use shard_wire::{MessageEntry, Registry, vtable};
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

impl From<OrderV1> for Order {
    fn from(old: OrderV1) -> Self {
        Self { id: old.id, note: "of old".to_owned() }
    }
}
impl From<&Order> for OrderV1 {
    fn from(new: &Order) -> Self {
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

fn pair(one: NodeBuilder, two: NodeBuilder) -> (Node, Node) {
    let one = one.start().unwrap();
    let two = two.route("one@localhost", one.listen_address().unwrap().to_string()).start().unwrap();
    let events = two.subscribe_nodes().unwrap();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
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
    let (old, new) = pair(builder("one@localhost").messages(registry_of_then()), builder("two@localhost"));
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
