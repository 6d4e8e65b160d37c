//! What must hold whatever a user's code does: stale reply handles, errors that panic, clocks that disagree, late stops.

use shard_runtime::prelude::*;
use shard_runtime::Simulation;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "tests outside any shard, and one handler that measures itself")]
fn now() -> Instant {
    Instant::now()
}

#[message(local, reply = u64)]
struct Hold {
    out: Sender<ReplyTo<u64>>,
}
#[message(local, reply = [u8; 8])]
struct Never;
#[message(local)]
struct Fail;
#[message(local, reply = u64)]
struct Plain;
#[derive(Default)]
struct Holder {
    kept: Vec<ReplyTo<[u8; 8]>>,
}

#[actor]
impl Holder {
    #[handle]
    fn hold(&mut self, m: Hold, reply: ReplyTo<u64>, _cx: &mut Context<'_>) -> ActorResult {
        let _gone = m.out.send(reply);
        Ok(())
    }
    #[handle]
    fn never(&mut self, _m: Never, reply: ReplyTo<[u8; 8]>, _cx: &mut Context<'_>) -> ActorResult {
        self.kept.push(reply);
        Ok(())
    }
    #[handle]
    fn plain(&mut self, _m: Plain, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(1)
    }
}

/// The index of a node in the process-wide table is used again, and a `ReplyTo` names its node by that index only.
#[test]
fn a_reply_handle_of_a_gone_node_answers_nobody() {
    let (out, held) = channel();
    let mut first = Simulation::new("first@localhost", 1, 1).unwrap();
    let holder = first.spawn(0, Holder::default, &SpawnOptions::new()).unwrap();
    // The outside call takes waiter 0 in generation 1. It ends with a time-out; the reply handle lives on.
    assert!(first.call(holder, Hold { out }).is_err());
    let stale: ReplyTo<u64> = held.recv().unwrap();
    drop(first);

    let mut second = Simulation::new("second@localhost", 1, 2).unwrap();
    let holder = second.spawn(0, Holder::default, &SpawnOptions::new()).unwrap();
    // Nobody ever answers this; a thread answers the call of the other node meanwhile.
    let answer = std::thread::Builder::new().spawn(move || stale.send(0x4141_4141_4141_4141));
    answer.unwrap().join().unwrap();
    let result = second.call(holder, Never);
    assert!(result.is_err(), "a u64 for another node's call was read as a [u8; 8]: {result:?}");
}

/// An error whose text panics: the process is being buried after its batch was settled, so it is settled twice.
struct Bomb;
impl std::fmt::Debug for Bomb {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
impl std::fmt::Display for Bomb {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("the text of an error panics")
    }
}
impl std::error::Error for Bomb {}

/// The same, by its drop.
#[derive(Debug)]
struct DropBomb;
impl std::fmt::Display for DropBomb {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
impl std::error::Error for DropBomb {}
impl Drop for DropBomb {
    fn drop(&mut self) {
        panic!("the drop of an error panics")
    }
}

#[message(local)]
struct FailDrop;

struct Failing(Arc<AtomicUsize>);
impl Drop for Failing {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}
#[actor]
impl Failing {
    #[handle]
    fn fail(&mut self, _m: Fail, _cx: &mut Context<'_>) -> ActorResult {
        Err(Bomb)?
    }
    #[handle]
    fn fail_drop(&mut self, _m: FailDrop, _cx: &mut Context<'_>) -> ActorResult {
        Err(DropBomb)?
    }
}

#[derive(Default)]
struct Log;
impl shard_runtime::LogSink for Log {
    fn write(&mut self, _: &shard_runtime::wire::NodeName, _: &shard_runtime::LogRecord) {}
}

#[test]
fn an_error_whose_text_panics_ends_its_process_only() {
    let level = shard_runtime::LogLevel::Error;
    let mut sim = Simulation::with_log("bomb@localhost", 1, 1, level, Box::new(Log)).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    let pid = sim.spawn(0, || Failing(count), &SpawnOptions::new()).unwrap();
    sim.send(pid, Fail).unwrap();
    sim.run();
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn an_error_whose_drop_panics_ends_its_process_only() {
    let mut sim = Simulation::new("bomb@localhost", 1, 1).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    let pid = sim.spawn(0, || Failing(count), &SpawnOptions::new()).unwrap();
    sim.send(pid, FailDrop).unwrap();
    sim.run();
    assert_eq!(drops.load(SeqCst), 1, "the actor was dropped more than once");
}

/// Flags sit below the time stamp and are subtracted with it: a call handled in the tick it was sent waits 2^56 ticks.
#[test]
fn a_message_never_waits_for_years() {
    let mut sim = Simulation::new("latency@localhost", 1, 1).unwrap();
    let pid = sim.spawn(0, Holder::default, &SpawnOptions::new()).unwrap();
    let asker = sim.spawn(0, Nested::default, &SpawnOptions::new()).unwrap();
    assert_eq!(sim.call(asker, Through { of: pid }).unwrap(), 1);
    let waited = sim.process(pid).unwrap().waited_ns;
    assert!(waited < 1_000_000_000, "waited {waited} ns");
}

#[message(local, reply = u64)]
struct Through {
    of: Pid,
}
#[derive(Default)]
struct Nested;
#[actor]
impl Nested {
    #[handle]
    async fn through(&mut self, m: Through, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(cx.call(m.of, Plain).await?)
    }
}

#[test]
fn latency_of_outside_senders_is_sane() {
    let node = Node::builder("outside@localhost").start().unwrap();
    let pid = node.spawn(Nop::default, SpawnOptions::new()).unwrap();
    let mut worst = 0;
    for _ in 0..300_000 {
        node.send(pid, Fail).unwrap();
    }
    let deadline = now() + Duration::from_secs(10);
    while node.stats().process(pid.local).unwrap().mailbox > 0 && now() < deadline {
        worst = worst.max(node.stats().process(pid.local).unwrap().waited_ns);
        std::thread::yield_now();
    }
    worst = worst.max(node.stats().process(pid.local).unwrap().waited_ns);
    node.stop();
    assert!(worst < 300_000 * 10_000_000_000, "waited {worst} ns in all");
}
#[derive(Default)]
struct Nop;
#[actor]
impl Nop {
    #[handle]
    fn nop(&mut self, _m: Fail, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

#[test]
fn a_spawn_after_the_stop_is_refused_at_once() {
    let node = Node::builder("stopped@localhost").start().unwrap();
    node.stop();
    let before = now();
    assert!(node.spawn(Nop::default, SpawnOptions::new()).is_err());
    assert!(before.elapsed() < Duration::from_secs(2), "it took {:?}", before.elapsed());
}

/// An actor that holds the last handle of its node.
struct Owner(Option<Node>);
#[message(local)]
struct End;
#[actor]
impl Owner {
    #[handle]
    fn end(&mut self, _m: End, _cx: &mut Context<'_>) -> ActorResult {
        let before = now();
        drop(self.0.take());
        STALLED.store(before.elapsed().as_millis() as usize, SeqCst);
        Ok(())
    }
}
static STALLED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn the_last_handle_dropped_on_a_shard_does_not_stall_it() {
    let node = Node::builder("owner@localhost").start().unwrap();
    let stats = node.stats();
    let clone = node.clone();
    let pid = node.spawn(move || Owner(Some(clone)), SpawnOptions::new()).unwrap();
    node.send(pid, End).unwrap();
    drop(node);
    let deadline = now() + Duration::from_secs(20);
    while stats.node().counters.terminated == 0 && now() < deadline {
        std::thread::yield_now();
    }
    assert!(STALLED.load(SeqCst) < 1000, "the shard stood for {} ms", STALLED.load(SeqCst));
}
