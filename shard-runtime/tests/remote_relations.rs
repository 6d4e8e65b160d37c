//! Links, monitors and exit signals between two nodes of one OS process, over real sockets.

use shard_runtime::prelude::*;
use shard_runtime::{LinkError, LinkOptions, LogLevel, NodeEvent, RemoteError, Target};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

type Action = Box<dyn FnOnce(&mut Context<'_>) -> String + Send>;

/// Runs something inside a puppet.
#[message(local, reply = String)]
struct Act(Action);
#[message(local)]
struct End(How);

#[derive(Clone, Copy)]
enum How {
    Normal,
    Error,
    Panic,
}

#[derive(Debug, thiserror::Error)]
#[error("custom {0}")]
struct Custom(&'static str);

/// Does what it is told, and reports what it hears.
struct Puppet {
    tell: Sender<String>,
}

#[actor]
impl Puppet {
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        let _nobody_listens = self.tell.send(format!("terminate {reason}"));
    }
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    fn end(&mut self, m: End, _cx: &mut Context<'_>) -> ActorResult {
        match m.0 {
            How::Normal => Err(ActorError::normal()),
            How::Error => Err(Custom("boom").into()),
            How::Panic => panic!("told to"),
        }
    }
    #[handle]
    fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
        let _nobody_listens = self.tell.send(format!("down {} {}", short(&m.target), m.reason));
        Ok(())
    }
    #[handle]
    fn exit_signal(&mut self, m: ExitSignal, _cx: &mut Context<'_>) -> ActorResult {
        let is_remote = m.reason.downcast_ref::<RemoteError>().is_some();
        let mark = if is_remote { " (remote)" } else { "" };
        let _nobody_listens = self.tell.send(format!("exit {} {}{mark}", short(&m.source), m.reason));
        Ok(())
    }
}

fn short(target: &Target) -> String {
    match target {
        Target::Pid(_) => "pid".into(),
        Target::Alias(_) => "alias".into(),
        Target::Node(name) => format!("node {name}"),
        Target::NameAt { name, node } => format!("{name} at {node}"),
        other => format!("{other:?}"),
    }
}

struct Pair {
    one: Node,
    two: Node,
    events: [Receiver<NodeEvent>; 2],
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.two.stop();
        self.one.stop();
    }
}

fn builder(name: &str, shards: u16) -> shard_runtime::NodeBuilder {
    Node::builder(name)
        .shards(shards)
        .listen("127.0.0.1:0")
        .cookie("unit test cookie")
        .log_level(LogLevel::Panic)
}

fn pair_by(one: Node, address: String, shards: u16) -> Pair {
    let first = one.subscribe_nodes().unwrap();
    let two = builder("two@localhost", shards).route("one@localhost", address).start().unwrap();
    let second = two.subscribe_nodes().unwrap();
    for events in [&first, &second] {
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    }
    Pair { one, two, events: [first, second] }
}

fn pair(shards: (u16, u16)) -> Pair {
    let one = builder("one@localhost", shards.0).start().unwrap();
    let address = one.listen_address().unwrap().to_string();
    pair_by(one, address, shards.1)
}

fn puppet(node: &Node, options: SpawnOptions) -> (Pid, Receiver<String>) {
    let (tell, reports) = channel();
    (node.spawn(move || Puppet { tell }, options).unwrap(), reports)
}

fn run(node: &Node, pid: Pid, act: impl FnOnce(&mut Context<'_>) -> String + Send + 'static) -> String {
    node.call_blocking(pid, Act(Box::new(act))).unwrap()
}

fn monitor(node: &Node, watcher: Pid, target: impl Into<Target>) -> String {
    let target = target.into();
    run(node, watcher, move |cx| format!("{:?}", cx.monitor(target)))
}

fn link(node: &Node, watcher: Pid, target: impl Into<Target>) -> String {
    let target = target.into();
    run(node, watcher, move |cx| format!("{:?}", cx.link(target)))
}

fn next(reports: &Receiver<String>) -> String {
    reports.recv_timeout(LIMIT).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}

fn watched_by(node: &Node, pid: Pid) -> (usize, usize) {
    let facts = node.facts_blocking(pid, LIMIT).unwrap();
    (facts.linked_by.len(), facts.monitored_by.len())
}

fn until_watched(node: &Node, pid: Pid, by: (usize, usize)) {
    until("it is watched", || watched_by(node, pid) == by);
}

/// Once a frame that was sent after all others has been heard, nothing is under way to this watcher.
fn nothing_more(pair: &Pair, watcher: Pid, reports: &Receiver<String>) {
    let (last, _) = puppet(&pair.one, SpawnOptions::new().on_shard(0));
    pair.one.kill(last);
    assert_eq!(monitor(&pair.two, watcher, last), "Ok(())");
    let heard = next(reports);
    assert!(["down pid kill", "down pid no such process"].contains(&&*heard), "{heard}");
}

#[test]
fn a_monitor_tells_why_a_process_of_another_node_ended_once() {
    for (shards, from, to) in [((1, 1), 0, 0), ((2, 2), 0, 1), ((1, 3), 2, 0)] {
        let pair = pair(shards);
        let (watcher, reports) = puppet(&pair.two, SpawnOptions::new().on_shard(from));
        let ends: [(Option<How>, &str); 4] = [
            (Some(How::Normal), "normal"),
            (Some(How::Error), "custom boom"),
            (Some(How::Panic), "panic: told to"),
            (None, "kill"),
        ];
        for (end, text) in ends {
            let (target, _) = puppet(&pair.one, SpawnOptions::new().on_shard(to));
            assert_eq!(monitor(&pair.two, watcher, target), "Ok(())");
            let again = monitor(&pair.two, watcher, target);
            assert_eq!(again, format!("{:?}", Err::<(), _>(LinkError::Exists)));
            until_watched(&pair.one, target, (0, 1));
            let facts = pair.one.facts_blocking(target, LIMIT).unwrap();
            assert_eq!(facts.monitored_by, [watcher]);
            match end {
                Some(end) => pair.one.send(target, End(end)).unwrap(),
                None => pair.one.kill(target),
            }
            assert_eq!(next(&reports), format!("down pid {text}"));
        }
        nothing_more(&pair, watcher, &reports);
    }
}

#[test]
fn names_and_aliases_of_another_node_fire_when_given_up_and_when_their_owner_ends() {
    let pair = pair((2, 2));
    let (watcher, reports) = puppet(&pair.two, SpawnOptions::new().on_shard(1));
    let (owner, _) = puppet(&pair.one, SpawnOptions::named("owner").on_shard(1));
    let by_name = || Target::name_at("owner", "one@localhost");
    let new_alias = || {
        let (tell, told) = channel();
        run(&pair.one, owner, move |cx| {
            tell.send(cx.create_alias().unwrap()).unwrap();
            String::new()
        });
        told.recv_timeout(LIMIT).unwrap()
    };
    let (first, second) = (new_alias(), new_alias());
    for target in [by_name(), first.into(), second.into()] {
        assert_eq!(monitor(&pair.two, watcher, target), "Ok(())");
    }
    until_watched(&pair.one, owner, (0, 3));
    run(&pair.one, owner, move |cx| format!("{:?}", cx.delete_alias(first)));
    assert_eq!(next(&reports), "down alias unregistered");
    run(&pair.one, owner, |cx| format!("{:?}", cx.unregister()));
    assert_eq!(next(&reports), "down owner at one@localhost unregistered");
    run(&pair.one, owner, |cx| format!("{:?}", cx.register("owner")));
    assert_eq!(monitor(&pair.two, watcher, by_name()), "Ok(())");
    until_watched(&pair.one, owner, (0, 2));
    pair.one.kill(owner);
    let mut heard = [next(&reports), next(&reports)];
    heard.sort();
    assert_eq!(heard, ["down alias kill", "down owner at one@localhost kill"]);
    nothing_more(&pair, watcher, &reports);
    // The node's own name means a name of this node.
    let own = monitor(&pair.two, watcher, ("nobody", "two@localhost"));
    assert_eq!(own, "Err(NameUnknown)");
}

#[test]
fn what_is_not_there_fires_at_once() {
    let pair = pair((2, 2));
    let (watcher, reports) = puppet(&pair.two, SpawnOptions::new());
    let (gone, ended) = puppet(&pair.one, SpawnOptions::new().on_shard(1));
    pair.one.send(gone, End(How::Error)).unwrap();
    assert_eq!(next(&ended), "terminate custom boom");
    until("it is gone", || pair.one.stats().process(gone.local).is_none());
    let never = Pid { local: shard_runtime::wire::LocalId(gone.local.0 + 500), ..gone };
    let no_shard = Pid { local: shard_runtime::wire::LocalId(gone.local.0 | 7 << 52), ..gone };
    let stranger = Pid { node: shard_runtime::wire::IncarnationKey(99), ..gone };
    for (target, heard) in [
        (Target::from(gone), "down pid custom boom"),
        (Target::from(never), "down pid no such process"),
        (Target::name_at("nobody", "one@localhost"), "down nobody at one@localhost no such process"),
    ] {
        assert_eq!(monitor(&pair.two, watcher, target), "Ok(())");
        assert_eq!(next(&reports), heard);
    }
    assert_eq!(monitor(&pair.two, watcher, no_shard), "Err(NoProcess)");
    assert_eq!(monitor(&pair.two, watcher, stranger), "Err(NotConnected)");
    assert_eq!(monitor(&pair.two, watcher, ("x", "three@localhost")), "Err(NotConnected)");
    assert_eq!(link(&pair.two, watcher, gone), "Ok(())");
    assert_eq!(next(&reports), "terminate custom boom");
}

#[test]
fn a_link_to_another_node_ends_its_consumer_unless_that_traps_exits() {
    let pair = pair((2, 2));
    let (target, target_reports) = puppet(&pair.one, SpawnOptions::new().on_shard(1));
    let (plain, plain_reports) = puppet(&pair.two, SpawnOptions::new().on_shard(0));
    let (trapping, trapped) = puppet(&pair.two, SpawnOptions::new().on_shard(1).trap_exit());
    let (alone, alone_reports) = puppet(&pair.two, SpawnOptions::new().dedicated_thread().trap_exit());
    for consumer in [plain, trapping, alone] {
        assert_eq!(link(&pair.two, consumer, target), "Ok(())");
    }
    until_watched(&pair.one, target, (3, 0));
    pair.one.send(target, End(How::Error)).unwrap();
    assert_eq!(next(&target_reports), "terminate custom boom");
    assert_eq!(next(&plain_reports), "terminate custom boom");
    assert_eq!(next(&trapped), "exit pid custom boom (remote)");
    assert_eq!(next(&alone_reports), "exit pid custom boom (remote)");
    until("the consumer is gone", || pair.two.stats().process(plain.local).is_none());
}

#[test]
fn exit_signals_reach_other_nodes() {
    let pair = pair((2, 2));
    let (sender, _) = puppet(&pair.two, SpawnOptions::new().on_shard(1));
    let (alone, _) = puppet(&pair.two, SpawnOptions::new().dedicated_thread());
    let (trapping, trapped) = puppet(&pair.one, SpawnOptions::new().trap_exit());
    let (plain, ended) = puppet(&pair.one, SpawnOptions::new());
    let exit =
        move |cx: &mut Context<'_>| format!("{:?}", cx.exit(trapping, ExitReason::custom(Custom("x"))));
    for from in [sender, alone] {
        assert_eq!(run(&pair.two, from, exit), "Ok(())");
        assert_eq!(next(&trapped), "exit pid custom x (remote)");
    }
    pair.two.exit(plain, ExitReason::Shutdown).unwrap();
    assert_eq!(next(&ended), "terminate shutdown");
    let stranger = Pid { node: shard_runtime::wire::IncarnationKey(99), ..plain };
    assert_eq!(pair.two.exit(stranger, ExitReason::Shutdown), Err(LinkError::NotConnected));
    // It is signed by who sent it: a process of the other node is nobody's parent here.
    assert!(pair.one.stats().process(trapping.local).is_some());
}

#[test]
fn undone_relations_do_not_fire_and_do_not_end_their_successors() {
    let pair = pair((2, 2));
    let (watcher, reports) = puppet(&pair.two, SpawnOptions::new().on_shard(1));
    let (target, _) = puppet(&pair.one, SpawnOptions::named("target").on_shard(1));
    let said = run(&pair.two, watcher, move |cx| {
        let name = Target::name_at("target", "one@localhost");
        let mut said = Vec::new();
        for _ in 0..100 {
            said.push(
                cx.monitor(target).is_ok() && cx.monitor(name.clone()).is_ok() && cx.link(target).is_ok(),
            );
            said.push(
                cx.unlink(target).is_ok()
                    && cx.demonitor(name.clone()).is_ok()
                    && cx.demonitor(target).is_ok(),
            );
        }
        assert!(said.iter().all(|done| *done));
        format!("{:?} {:?}", cx.demonitor(target), cx.monitor(target))
    });
    assert_eq!(said, "Err(Missing) Ok(())");
    until_watched(&pair.one, target, (0, 1));
    pair.one.kill(target);
    assert_eq!(next(&reports), "down pid kill");
    nothing_more(&pair, watcher, &reports);
}

#[test]
fn consumers_that_end_are_forgotten_on_the_other_node() {
    let pair = pair((2, 2));
    let (target, _) = puppet(&pair.one, SpawnOptions::named("target").on_shard(1));
    let consumers: Vec<_> =
        (0..2).map(|shard| puppet(&pair.two, SpawnOptions::new().on_shard(shard))).collect();
    for (consumer, _) in &consumers {
        assert_eq!(link(&pair.two, *consumer, target), "Ok(())");
        assert_eq!(monitor(&pair.two, *consumer, ("target", "one@localhost")), "Ok(())");
    }
    until_watched(&pair.one, target, (2, 2));
    let counts = |node: &Node| {
        let counters = node.stats().peers()[0].counters;
        (counters.relations_out, counters.relations_in, counters.relations_refused)
    };
    assert_eq!((counts(&pair.one), counts(&pair.two)), ((0, 4, 0), (4, 0, 0)));
    for (consumer, _) in &consumers {
        pair.two.kill(*consumer);
    }
    until_watched(&pair.one, target, (0, 0));
    assert_eq!((counts(&pair.one), counts(&pair.two)), ((0, 0, 0), (0, 0, 0)));
}

/// What one watcher of each kind hears of the end of a session, apart from the reason.
fn watch_all(pair: &Pair, target: Pid) -> (Pid, Receiver<String>) {
    let (watcher, reports) = puppet(&pair.two, SpawnOptions::new().on_shard(1).trap_exit());
    assert_eq!(link(&pair.two, watcher, target), "Ok(())");
    assert_eq!(monitor(&pair.two, watcher, target), "Ok(())");
    assert_eq!(monitor(&pair.two, watcher, ("target", "one@localhost")), "Ok(())");
    assert_eq!(monitor(&pair.two, watcher, Target::node("one@localhost")), "Ok(())");
    until_watched(&pair.one, target, (1, 2));
    (watcher, reports)
}

#[test]
fn a_node_that_stops_fires_everything_once() {
    let pair = pair((2, 2));
    let (target, _) = puppet(&pair.one, SpawnOptions::named("target").on_shard(0));
    let (watcher, reports) = watch_all(&pair, target);
    pair.one.stop();
    let mut heard: Vec<String> = (0..4).map(|_| next(&reports)).collect();
    heard.sort();
    let lost = "no connection: session 1 has ended (goodbye)";
    assert_eq!(heard[0], format!("down node one@localhost {lost}"));
    for (heard, what) in heard[1..].iter().zip(["down pid", "down target at one@localhost", "exit pid"]) {
        let reasons = [format!("{what} {lost}"), format!("{what} shutdown")];
        assert!(reasons.contains(heard), "{heard}");
    }
    assert!(matches!(pair.events[1].recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }));
    assert_eq!(monitor(&pair.two, watcher, target), "Err(NotConnected)");
    assert!(reports.try_recv().is_err());
}

#[test]
fn relations_of_one_session_do_not_fire_in_the_next() {
    let pair = pair((1, 2));
    let (target, _) = puppet(&pair.one, SpawnOptions::named("target"));
    let (_watcher, reports) = watch_all(&pair, target);
    let address = pair.one.listen_address().unwrap().to_string();
    pair.two.stop();
    while !matches!(pair.events[0].recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    while !next(&reports).starts_with("terminate") {}
    // Who watched from there is forgotten.
    until_watched(&pair.one, target, (0, 0));
    let again = builder("two@localhost", 2).route("one@localhost", address).start().unwrap();
    while !matches!(pair.events[0].recv_timeout(LIMIT).unwrap(), NodeEvent::Up { session: 2, .. }) {}
    let (watcher, reports) = puppet(&again, SpawnOptions::new().on_shard(1));
    until("the new session is known", || monitor(&again, watcher, target) != "Err(NotConnected)");
    until_watched(&pair.one, target, (0, 1));
    pair.one.kill(target);
    assert_eq!(next(&reports), "down pid kill");
    again.stop();
}

/// Passes bytes on until it is cut; then nothing connects any more.
struct Relay {
    streams: Arc<RwLock<Option<Vec<TcpStream>>>>,
    address: String,
}

impl Relay {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let streams = Arc::new(RwLock::new(Some(Vec::new())));
        let known = Arc::clone(&streams);
        start(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(&target) else { return };
                let mut known = known.write().unwrap();
                let Some(known) = known.as_mut() else { return };
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
                        let _closed = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { streams, address }
    }

    fn cut(&self) {
        for stream in self.streams.write().unwrap().take().unwrap() {
            let _closed = stream.shutdown(Shutdown::Both);
        }
        // The one that waits for a connection learns of it by the next.
        let _refused = TcpStream::connect(&self.address);
    }
}

fn start(run: impl FnOnce() + Send + 'static) {
    let _runs = std::thread::Builder::new().spawn(run).unwrap();
}

#[test]
fn a_lost_connection_fires_everything_once_on_both_nodes() {
    let one = builder("one@localhost", 2).start().unwrap();
    let relay = Relay::to(one.listen_address().unwrap().to_string());
    let pair = pair_by(one, relay.address.clone(), 2);
    let (target, _) = puppet(&pair.one, SpawnOptions::named("target").on_shard(1));
    let (watcher, reports) = watch_all(&pair, target);
    let (back, back_reports) = puppet(&pair.one, SpawnOptions::new());
    assert_eq!(link(&pair.one, back, watcher), "Ok(())");
    until_watched(&pair.two, watcher, (1, 0));
    relay.cut();
    let lost = "no connection: session 1 has ended (disconnected)";
    let mut heard: Vec<String> = (0..4).map(|_| next(&reports)).collect();
    heard.sort();
    let what = ["down node one@localhost", "down pid", "down target at one@localhost", "exit pid"];
    assert_eq!(heard, what.map(|what| format!("{what} {lost}")));
    let peer = &pair.two.stats().peers()[0];
    let changes: Vec<_> = peer.history.iter().map(|record| (record.session, record.change.name())).collect();
    assert_eq!((changes[0], changes[changes.len() - 1]), ((1, "up"), (1, "down")));
    assert!(changes.contains(&(1, "link up")) && changes.contains(&(1, "link down")), "{changes:?}");
    assert_eq!(next(&back_reports), format!("terminate {lost}"));
    until_watched(&pair.one, target, (0, 0));
    until_watched(&pair.two, watcher, (0, 0));
    pair.one.kill(target);
    until("it is gone", || pair.one.stats().process(target.local).is_none());
    let facts = pair.two.facts_blocking(watcher, LIMIT).unwrap();
    assert!(facts.links.is_empty() && facts.monitors.is_empty());
    assert!(reports.try_recv().is_err());
}

/// The end of one process is many frames at once, more than its links take.
#[test]
fn ends_that_find_no_room_in_their_link_wait_for_it() {
    let one = builder("one@localhost", 1).links(LinkOptions::new().outbox(1024)).start().unwrap();
    let address = one.listen_address().unwrap().to_string();
    let pair = pair_by(one, address, 1);
    let (target, _) = puppet(&pair.one, SpawnOptions::new());
    let watchers: Vec<_> = (0..300).map(|_| puppet(&pair.two, SpawnOptions::new())).collect();
    for (watcher, _) in &watchers {
        assert_eq!(monitor(&pair.two, *watcher, target), "Ok(())");
    }
    until_watched(&pair.one, target, (0, 300));
    pair.one.kill(target);
    for (_, reports) in &watchers {
        assert_eq!(next(reports), "down pid kill");
    }
    let counters = pair.one.stats().peers()[0].counters;
    assert!(counters.outbox_refused > 0, "they found room at once");
    assert_eq!((counters.relations_in, counters.relations_refused), (0, 0));
}

/// With more than 64 pairs of shards, frames go by way of the shard that owns the link.
#[test]
fn relations_hop_to_the_shard_that_owns_the_link() {
    let pair = pair((9, 8));
    let watchers: Vec<_> =
        (0..8).map(|shard| puppet(&pair.two, SpawnOptions::new().on_shard(shard))).collect();
    let (target, _) = puppet(&pair.one, SpawnOptions::named("target").on_shard(8));
    for (watcher, _) in &watchers {
        assert_eq!(monitor(&pair.two, *watcher, target), "Ok(())");
        assert_eq!(monitor(&pair.two, *watcher, ("target", "one@localhost")), "Ok(())");
        let undone = run(&pair.two, *watcher, move |cx| format!("{:?}", cx.demonitor(target)));
        assert_eq!((undone, monitor(&pair.two, *watcher, target)), ("Ok(())".into(), "Ok(())".into()));
    }
    until_watched(&pair.one, target, (0, 16));
    pair.one.kill(target);
    for (_, reports) in &watchers {
        let mut heard = [next(reports), next(reports)];
        heard.sort();
        assert_eq!(heard, ["down pid kill", "down target at one@localhost kill"]);
    }
}
