//! A process from spawn to end, on the simulation and on real shards.

use shard_runtime::prelude::*;
use shard_runtime::{ProcessState, Simulation};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[message]
struct Add {
    n: i64,
}
#[message(reply = i64)]
struct Total;
#[message]
struct Boom;
#[message]
struct Quit;
#[message(reply = i64)]
struct Slow {
    millis: u64,
}
#[message(local, reply = i64)]
struct Ask {
    of: Pid,
}
#[message(reply = String)]
struct Later;
#[message]
struct Answer;
#[message(local)]
struct Unknown;

struct Dropped(Arc<AtomicUsize>);
impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Counter {
    total: i64,
    ended: Arc<AtomicUsize>,
    held: Vec<ReplyTo<String>>,
    _dropped: Dropped,
}

#[actor]
impl Counter {
    async fn init(&mut self, _cx: &mut Context<'_>) -> ActorResult {
        self.total = 1;
        Ok(())
    }
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        self.ended.fetch_add(if reason.is_ordinary() { 1 } else { 100 }, SeqCst);
    }
    #[handle]
    async fn add(&mut self, m: Add, _cx: &mut Context<'_>) -> ActorResult {
        self.total += m.n;
        Ok(())
    }
    #[handle]
    fn total(&mut self, _: Total, _cx: &mut Context<'_>) -> Result<i64, ActorError> {
        Ok(self.total)
    }
    #[handle]
    fn boom(&mut self, _: Boom, _cx: &mut Context<'_>) -> ActorResult {
        panic!("boom")
    }
    #[handle]
    fn quit(&mut self, _: Quit, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
    #[handle]
    async fn slow(&mut self, m: Slow, cx: &mut Context<'_>) -> Result<i64, ActorError> {
        cx.sleep(Duration::from_millis(m.millis)).await;
        self.total += 1000;
        Ok(self.total)
    }
    #[handle]
    async fn ask(&mut self, m: Ask, cx: &mut Context<'_>) -> Result<i64, ActorError> {
        let (one, two) = (cx.call(m.of, Total), cx.call(m.of, Total));
        Ok(one.await? + two.await?)
    }
    #[handle]
    fn later(&mut self, _: Later, reply: ReplyTo<String>, _cx: &mut Context<'_>) -> ActorResult {
        self.held.push(reply);
        Ok(())
    }
    #[handle]
    fn answer(&mut self, _: Answer, _cx: &mut Context<'_>) -> ActorResult {
        for reply in self.held.drain(..) {
            reply.send("now".into());
        }
        Ok(())
    }
    fn inspect(&self, out: &mut Inspect) {
        out.set("total", self.total);
    }
}

struct Probe {
    ended: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Probe {
    fn new() -> Self {
        Self { ended: Arc::default(), dropped: Arc::default() }
    }
    fn factory(&self) -> impl FnOnce() -> Counter + Send + 'static {
        let (ended, dropped) = (self.ended.clone(), self.dropped.clone());
        move || Counter { total: 0, ended, held: Vec::new(), _dropped: Dropped(dropped) }
    }
    fn counts(&self) -> (usize, usize) {
        (self.ended.load(SeqCst), self.dropped.load(SeqCst))
    }
}

fn simulation(shards: u16) -> Simulation {
    Simulation::new("unit@localhost", shards, 7).unwrap()
}

#[test]
fn messages_calls_and_inspect_reach_the_actor() {
    let (mut sim, probe) = (simulation(1), Probe::new());
    let pid = sim.spawn(0, probe.factory(), &SpawnOptions::named("counter")).unwrap();
    assert_eq!(sim.process(pid).unwrap().state, ProcessState::Init);
    sim.send(pid, Add { n: 2 }).unwrap();
    sim.send("counter", Add { n: 3 }).unwrap();
    assert_eq!(sim.call(pid, Total).unwrap(), 6);
    assert_eq!(sim.whereis("counter"), Some(pid));
    assert_eq!(sim.inspect(pid).unwrap(), [("total".to_owned(), "6".to_owned())]);
    let stats = sim.process(pid).unwrap();
    assert_eq!((stats.messages_in, stats.mailbox, stats.state), (3, 0, ProcessState::Sleep));
    assert_eq!(stats.behavior, "lifecycle.Counter");
}

#[test]
fn an_actor_is_dropped_exactly_once() {
    let (mut sim, probe) = (simulation(1), Probe::new());
    let pid = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    sim.send(pid, Quit).unwrap();
    sim.run();
    assert_eq!(probe.counts(), (1, 1));
    assert!(sim.process(pid).is_none());
    assert_eq!(sim.call(pid, Total), Err(CallError::Send(shard_runtime::SendReason::NoProcess)));
    let again = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    assert_ne!(pid, again);
    assert_eq!(pid.local.slot(), again.local.slot());
    sim.kill(again);
    assert_eq!(probe.counts(), (101, 2));
    let left = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    sim.run();
    assert!(sim.process(left).is_some());
    drop(sim);
    assert_eq!(probe.counts(), (102, 3));
}

#[test]
fn a_panic_ends_its_process_only() {
    let (mut sim, probe) = (simulation(1), Probe::new());
    let pid = sim.spawn(0, probe.factory(), &SpawnOptions::named("counter")).unwrap();
    let other = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    for _ in 0..10 {
        sim.send(pid, Add { n: 1 }).unwrap();
    }
    sim.send(pid, Boom).unwrap();
    for _ in 0..10 {
        sim.send(pid, Add { n: 1 }).unwrap();
    }
    sim.run();
    assert!(sim.process(pid).is_none());
    assert_eq!(sim.whereis("counter"), None);
    assert_eq!(sim.call(other, Total).unwrap(), 1);
    let shard = sim.shard(0);
    assert_eq!((shard.panics, shard.terminated, shard.mailbox_lost), (1, 1, 10));
    assert_eq!(shard.retired_in, 21);
}

#[test]
fn a_suspended_handler_is_dropped_on_kill() {
    let (mut sim, probe) = (simulation(1), Probe::new());
    let pid = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    sim.send(pid, Slow { millis: 60_000 }).unwrap();
    sim.send(pid, Add { n: 1 }).unwrap();
    sim.advance(Duration::from_secs(1));
    assert_eq!(sim.process(pid).unwrap().mailbox, 1);
    sim.kill(pid);
    assert_eq!(probe.counts(), (100, 1));
    assert_eq!(sim.shard(0).waiters, 0);
}

#[test]
fn a_call_waits_and_times_out() {
    let (mut sim, probe) = (simulation(2), Probe::new());
    let pid = sim.spawn(1, probe.factory(), &SpawnOptions::new()).unwrap();
    assert_eq!(sim.call(pid, Slow { millis: 100 }).unwrap(), 1001);
    assert_eq!(sim.call(pid, Slow { millis: 60_000 }), Err(CallError::Timeout));
    sim.advance(Duration::from_secs(60));
    assert_eq!(sim.call(pid, Total).unwrap(), 2001);
    assert_eq!(sim.shard(0).late_replies + sim.shard(1).late_replies, 1);
}

#[test]
fn calls_of_one_handler_are_joined_and_cross_shards() {
    for shards in [1, 2, 5] {
        let (mut sim, probe) = (simulation(shards), Probe::new());
        let of = sim.spawn(shards - 1, probe.factory(), &SpawnOptions::new()).unwrap();
        let asker = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
        assert_eq!(sim.call(asker, Ask { of }).unwrap(), 2);
        assert_eq!(sim.call(asker, Ask { of: asker }), Err(CallError::Terminated));
        assert!(sim.process(asker).is_none());
    }
}

#[test]
fn a_deferred_reply_is_sent_later_and_a_dropped_one_says_why() {
    let (mut sim, probe) = (simulation(1), Probe::new());
    let pid = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    assert_eq!(sim.call(pid, Later), Err(CallError::Timeout));
    sim.send(pid, Answer).unwrap();
    sim.run();
    let other = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    sim.send(other, Quit).unwrap();
    assert_eq!(sim.call(other, Later), Err(CallError::Terminated));
}

#[test]
fn an_unhandled_message_is_counted_and_its_caller_told() {
    let (mut sim, probe) = (simulation(1), Probe::new());
    let pid = sim.spawn(0, probe.factory(), &SpawnOptions::new()).unwrap();
    sim.send(pid, Unknown).unwrap();
    assert_eq!(sim.call(pid, Unknown), Err(CallError::Unhandled));
    assert_eq!(sim.shard(0).unhandled, 2);
    assert_eq!(sim.call(pid, Total).unwrap(), 1);
}

#[test]
fn a_node_starts_serves_and_stops() {
    let probe = Probe::new();
    let node = Node::builder("unit@localhost").shards(2).start().unwrap();
    let pid = node.spawn(probe.factory(), SpawnOptions::named("counter").on_shard(1)).unwrap();
    for _ in 0..1000 {
        node.send(pid, Add { n: 1 }).unwrap();
    }
    assert_eq!(node.call_blocking("counter", Total).unwrap(), 1001);
    let asker = node.spawn(probe.factory(), SpawnOptions::new().on_shard(0)).unwrap();
    assert_eq!(node.call_blocking(asker, Ask { of: pid }).unwrap(), 2002);
    let inspect = node.inspect_blocking(pid, vec![], Duration::from_secs(5)).unwrap();
    assert_eq!(inspect, [("total".to_owned(), "1001".to_owned())]);
    assert_eq!(node.stats().process(pid.local).unwrap().messages_in, 1003);
    assert_eq!(node.call_blocking(pid, Slow { millis: 20 }).unwrap(), 2001);
    node.kill(asker);
    assert!(matches!(node.call_blocking(asker, Total), Err(CallError::Killed | CallError::Send(_))));
    node.stop();
    assert_eq!(probe.counts(), (101, 2));
    assert!(matches!(node.call_blocking(pid, Total), Err(CallError::Send(_))));
}

#[test]
fn a_name_is_claimed_once() {
    let node = Node::builder("unit@localhost").start().unwrap();
    let probe = Probe::new();
    let first = node.spawn(probe.factory(), SpawnOptions::named("only")).unwrap();
    let second = node.spawn(probe.factory(), SpawnOptions::named("only"));
    assert!(matches!(second, Err(SpawnError::NameTaken { holder, .. }) if holder == first));
    assert_eq!(probe.counts().1, 1);
    node.send("only", Quit).unwrap();
    let third = loop {
        match node.spawn(probe.factory(), SpawnOptions::named("only")) {
            Ok(pid) => break pid,
            Err(SpawnError::NameTaken { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(node.whereis("only"), Some(third));
}

struct Keeper(Option<Node>);

#[actor]
impl Keeper {
    #[handle]
    fn quit(&mut self, _: Quit, _cx: &mut Context<'_>) -> ActorResult {
        self.0 = None;
        Ok(())
    }
}

#[test]
fn a_node_whose_last_handle_a_process_drops_stops() {
    let probe = Probe::new();
    let node = Node::builder("unit@localhost").shards(2).start().unwrap();
    let counted = node.spawn(probe.factory(), SpawnOptions::new().on_shard(1)).unwrap();
    let held = node.clone();
    let keeper = node.spawn(move || Keeper(Some(held)), SpawnOptions::new().on_shard(0)).unwrap();
    node.send(counted, Add { n: 1 }).unwrap();
    node.send(keeper, Quit).unwrap();
    drop(node);
    let mut polls = 0u64;
    while probe.counts() != (1, 1) {
        polls += 1;
        assert!(polls < 1 << 34, "the node did not stop");
        std::thread::yield_now();
    }
}
