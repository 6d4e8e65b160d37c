//! Several nodes in one OS process: they find each other, lose each other, and refuse strangers.

use shard_runtime::wire::session::DownReason;
use shard_runtime::prelude::*;
use shard_runtime::{NodeBuilder, NodeEvent, RegistrarSpec};
use std::net::TcpListener;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const COOKIE: &str = "a cookie for tests";
const LIMIT: Duration = Duration::from_secs(20);

fn deadline() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
    Instant::now().checked_add(LIMIT).unwrap()
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn builder(name: &str) -> NodeBuilder {
    Node::builder(name).listen("127.0.0.1:0").cookie(COOKIE).log_level(shard_runtime::LogLevel::Debug)
}

fn next(events: &Receiver<NodeEvent>, until: Instant) -> NodeEvent {
    #[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
    let left = until.saturating_duration_since(Instant::now());
    events.recv_timeout(left).expect("an event in time")
}

/// Waits for an up of every name; any other event is a failure.
fn expect_ups(events: &Receiver<NodeEvent>, names: &[&str]) -> Vec<u64> {
    let until = deadline();
    let mut found = vec![None; names.len()];
    while found.iter().any(Option::is_none) {
        match next(events, until) {
            NodeEvent::Up { name, session } => {
                let place = names.iter().position(|known| *known == name).expect("a known name");
                assert_eq!(found[place].replace(session), None, "{name} came up twice");
            }
            other => panic!("{other:?}"),
        }
    }
    found.into_iter().flatten().collect()
}

#[test]
fn two_nodes_connect_by_a_route_and_part_with_a_goodbye() {
    let first = builder("first@localhost").start().unwrap();
    let at = first.listen_address().unwrap().to_string();
    let second = builder("second@localhost").route("first@localhost", at).start().unwrap();
    let (events, others) = (first.subscribe_nodes().unwrap(), second.subscribe_nodes().unwrap());
    let session = expect_ups(&events, &["second@localhost"]);
    assert_eq!(expect_ups(&others, &["first@localhost"]), session);
    assert_eq!(first.nodes(), ["second@localhost"]);
    second.stop();
    let down =
        NodeEvent::Down { name: "second@localhost".into(), session: session[0], reason: DownReason::Goodbye };
    assert_eq!(next(&events, deadline()), down);
    assert_eq!(first.nodes(), [] as [&str; 0]);
}

#[test]
fn five_nodes_find_each_other_through_the_embedded_registrar() {
    let registrar = RegistrarSpec::embedded(free_port());
    let names: Vec<String> = (1..=5).map(|n| format!("n{n}@localhost")).collect();
    let nodes: Vec<Node> =
        names.iter().map(|name| builder(name).registrar(registrar.clone()).start().unwrap()).collect();
    for (node, own) in nodes.iter().zip(&names) {
        let events = node.subscribe_nodes().unwrap();
        let others: Vec<&str> = names.iter().filter(|name| *name != own).map(String::as_str).collect();
        expect_ups(&events, &others);
    }
}

#[message(reply = u64)]
struct Count {
    by: u64,
}

#[derive(Default)]
struct Counter {
    total: u64,
}

#[actor]
impl Counter {
    #[handle]
    fn count(&mut self, m: Count, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.total += m.by;
        Ok(self.total)
    }
}

#[test]
fn calls_cross_nodes_by_pid_and_by_name() {
    let first = builder("server@localhost").shards(2).start().unwrap();
    let at = first.listen_address().unwrap().to_string();
    let pid = first.spawn(Counter::default, SpawnOptions::named("counter").on_shard(1)).unwrap();
    let second = builder("caller@localhost").shards(2).route("server@localhost", at).start().unwrap();
    expect_ups(&second.subscribe_nodes().unwrap(), &["server@localhost"]);
    assert_eq!(second.call_blocking(pid, Count { by: 1 }).unwrap(), 1);
    assert_eq!(second.call_blocking(("counter", "server@localhost"), Count { by: 2 }).unwrap(), 3);
}
