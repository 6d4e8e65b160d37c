//! Messages between processes: order, priorities, drops, replies and wakers, on the simulation and on real shards.

use shard_runtime::prelude::*;
use shard_runtime::{SendReason, Simulation};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Poll, Waker};
use std::time::Duration;

#[message]
struct Number {
    n: u64,
}
#[message(local)]
struct Counted {
    _count: Arc<AtomicUsize>,
    large: [u64; 8],
}
#[message(local, reply = Token)]
struct Borrow {
    live: Arc<AtomicUsize>,
}
#[message(local)]
struct Burst {
    to: Pid,
    from: u64,
    count: u64,
}
#[message(local)]
struct Urgently {
    to: Pid,
}
#[message(local, reply = Vec<u64>)]
struct Seen;
#[message(local, reply = u64)]
struct WaitForThread {
    wakers: Sender<Waker>,
}
#[message(local)]
struct AskAndStop {
    of: Pid,
    live: Arc<AtomicUsize>,
}
#[message(local)]
struct Tick;

#[message(local)]
struct Block {
    until: Receiver<()>,
}
#[message]
struct Go;

/// Sends numbers to one process for as long as it lives.
struct Streamer {
    to: Pid,
    next: u64,
}

#[actor]
impl Streamer {
    #[handle]
    fn go(&mut self, _: Go, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..256 {
            cx.send(self.to, Number { n: self.next })?;
            self.next += 1;
        }
        cx.send(cx.pid(), Go)?;
        Ok(())
    }
}

/// Counts the tokens that are alive.
struct Token(Arc<AtomicUsize>);
impl Token {
    fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, SeqCst);
        Self(live.clone())
    }
}
impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Not `Send`: it is made on its shard.
#[derive(Default)]
struct Sink {
    seen: Rc<RefCell<Vec<u64>>>,
    ticks: u64,
}

#[actor]
impl Sink {
    #[handle]
    fn number(&mut self, m: Number, cx: &mut Context<'_>) -> ActorResult {
        self.seen.borrow_mut().push(m.n);
        if m.n == 1_000_000 {
            for n in 1..=3 {
                cx.send_with(cx.pid(), Number { n: 1_000_000 + n }, Priority::Max)?;
            }
        }
        Ok(())
    }
    #[handle]
    async fn counted(&mut self, m: Counted, _cx: &mut Context<'_>) -> ActorResult {
        self.seen.borrow_mut().push(m.large[7]);
        Ok(())
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(self.seen.take())
    }
    #[handle]
    fn burst(&mut self, m: Burst, cx: &mut Context<'_>) -> ActorResult {
        for n in m.from..m.from + m.count {
            cx.send(m.to, Number { n })?;
        }
        Ok(())
    }
    #[handle]
    fn block(&mut self, m: Block, _cx: &mut Context<'_>) -> ActorResult {
        // Whoever let it run may be gone.
        let _ = m.until.recv();
        Ok(())
    }
    #[handle]
    fn urgently(&mut self, m: Urgently, cx: &mut Context<'_>) -> ActorResult {
        cx.send(m.to, Number { n: 1 })?;
        cx.send_with(m.to, Number { n: 2 }, Priority::High)?;
        cx.send_with(m.to, Number { n: 3 }, Priority::Max)?;
        cx.send_with(m.to, Number { n: 4 }, Priority::High)?;
        cx.send_with(m.to, Number { n: 5 }, Priority::Max)?;
        Ok(())
    }
    #[handle]
    fn borrow(&mut self, m: Borrow, _cx: &mut Context<'_>) -> Result<Token, ActorError> {
        Ok(Token::new(&m.live))
    }
    #[handle]
    async fn wait(&mut self, m: WaitForThread, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let mut polls = 0;
        poll_fn(|task| {
            polls += 1;
            if polls == 1 {
                m.wakers.send(task.waker().clone()).map_or(Poll::Ready(()), |()| Poll::Pending)
            } else {
                Poll::Ready(())
            }
        })
        .await;
        Ok(polls)
    }
    #[handle]
    async fn ask_and_stop(&mut self, m: AskAndStop, cx: &mut Context<'_>) -> ActorResult {
        drop(cx.call(m.of, Borrow { live: m.live.clone() }));
        let asked = cx.call(m.of, Borrow { live: m.live.clone() });
        let taken = cx.call(m.of, Borrow { live: m.live }).await?;
        drop(asked);
        drop(taken);
        Ok(())
    }
    #[handle]
    fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        self.ticks += 1;
        if self.ticks < 3 {
            cx.send_after(cx.pid(), Tick, Duration::from_secs(1))?;
        }
        self.seen.borrow_mut().push(self.ticks);
        Ok(())
    }
}

fn simulation(shards: u16) -> Simulation {
    Simulation::new("unit@localhost", shards, 11).unwrap()
}

#[test]
fn order_holds_within_and_across_shards() {
    for (shards, count) in [(1, 5_000), (2, 5_000), (3, 100_000)] {
        let mut sim = simulation(shards);
        let sink = sim.spawn(shards - 1, Sink::default, &SpawnOptions::new()).unwrap();
        let source = sim.spawn(0, Sink::default, &SpawnOptions::new()).unwrap();
        sim.send(source, Burst { to: sink, from: 0, count }).unwrap();
        sim.run();
        assert_eq!(sim.call(sink, Seen).unwrap(), (0..count).collect::<Vec<_>>(), "{shards} shards");
        let stats = sim.process(sink).unwrap();
        assert_eq!((stats.messages_in, stats.mailbox), (count + 1, 0));
        assert_eq!(sim.process(source).unwrap().messages_out, count);
    }
}

#[test]
fn urgent_comes_before_system_and_system_before_main() {
    for shards in [1, 2] {
        let mut sim = simulation(shards);
        let sink = sim.spawn(shards - 1, Sink::default, &SpawnOptions::new()).unwrap();
        let source = sim.spawn(0, Sink::default, &SpawnOptions::new()).unwrap();
        sim.send(source, Urgently { to: sink }).unwrap();
        sim.run();
        assert_eq!(sim.call(sink, Seen).unwrap(), [3, 5, 2, 4, 1]);
        assert_eq!(sim.process(sink).unwrap().messages_in, 6);
    }
}

#[test]
fn urgent_cuts_the_running_batch() {
    let mut sim = simulation(1);
    let sink = sim.spawn(0, Sink::default, &SpawnOptions::new()).unwrap();
    for n in [7, 1_000_000, 8, 9] {
        sim.send(sink, Number { n }).unwrap();
    }
    sim.run();
    assert_eq!(sim.call(sink, Seen).unwrap(), [7, 1_000_000, 1_000_001, 1_000_002, 1_000_003, 8, 9]);
}

#[test]
fn what_a_ring_still_holds_is_dropped_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let mut sim = simulation(2);
    let sink = sim.spawn(1, Sink::default, &SpawnOptions::new()).unwrap();
    let message = || Counted { _count: count.clone(), large: [3; 8] };
    sim.send(sink, message()).unwrap();
    sim.run();
    assert_eq!(Arc::strong_count(&count), 1);
    for _ in 0..500 {
        sim.send(sink, message()).unwrap();
    }
    sim.kill(sink);
    assert_eq!(Arc::strong_count(&count), 1, "queued behind a kill");
    let refused = sim.send(sink, message()).unwrap_err();
    assert_eq!((refused.reason, refused.into_inner().large), (SendReason::NoProcess, [3; 8]));
    let other = sim.spawn(1, Sink::default, &SpawnOptions::new()).unwrap();
    for _ in 0..500 {
        sim.send(other, message()).unwrap();
    }
    drop(sim);
    assert_eq!(Arc::strong_count(&count), 1, "in a ring of a node that ended");
}

#[test]
fn replies_are_dropped_exactly_once() {
    let live = Arc::new(AtomicUsize::new(0));
    for shards in [1, 2] {
        let mut sim = simulation(shards);
        let lender = sim.spawn(shards - 1, Sink::default, &SpawnOptions::new()).unwrap();
        let asker = sim.spawn(0, Sink::default, &SpawnOptions::new()).unwrap();
        sim.send(asker, AskAndStop { of: lender, live: live.clone() }).unwrap();
        sim.run();
        assert_eq!(live.load(SeqCst), 0);
        drop(sim.call(lender, Borrow { live: live.clone() }).unwrap());
        assert_eq!(live.load(SeqCst), 0);
        assert_eq!(sim.shard(0).waiters, 0);
        assert_eq!(
            sim.shard(0).late_replies,
            2,
            "of the call that was dropped, and of the one nobody looked at"
        );
    }
}

#[test]
fn a_delayed_send_comes_in_time() {
    let mut sim = simulation(1);
    let sink = sim.spawn(0, Sink::default, &SpawnOptions::new()).unwrap();
    sim.send(sink, Tick).unwrap();
    sim.advance(Duration::from_millis(990));
    assert_eq!(sim.call(sink, Seen).unwrap(), [1]);
    sim.advance(Duration::from_millis(20));
    assert_eq!(sim.call(sink, Seen).unwrap(), [2]);
    sim.advance(Duration::from_secs(10));
    assert_eq!(sim.call(sink, Seen).unwrap(), [3]);
    assert_eq!(sim.shard(0).timers, 0);
}

#[test]
fn one_seed_gives_one_run() {
    let run = || {
        let mut sim = simulation(3);
        let sinks: Vec<_> =
            (0..9).map(|n| sim.spawn(n % 3, Sink::default, &SpawnOptions::new()).unwrap()).collect();
        for (index, from) in sinks.iter().enumerate() {
            sim.send(*from, Burst { to: sinks[(index + 4) % 9], from: 0, count: 700 }).unwrap();
        }
        let turns = sim.run();
        (turns, sinks.iter().map(|sink| sim.process(*sink).unwrap().wakeups).collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_foreign_waker_wakes() {
    let node = Node::builder("unit@localhost").start().unwrap();
    let pid = node.spawn(Sink::default, SpawnOptions::new()).unwrap();
    let (sender, wakers) = channel::<Waker>();
    let thread = std::thread::Builder::new().spawn(move || {
        let waker = wakers.recv().unwrap();
        let twin = waker.clone();
        waker.wake();
        twin
    });
    assert_eq!(node.call_blocking(pid, WaitForThread { wakers: sender }).unwrap(), 2);
    let stale = thread.unwrap().join().unwrap();
    node.kill(pid);
    stale.wake_by_ref();
    node.stop();
    stale.wake();
}

#[test]
fn shards_exchange_messages_under_load() {
    let node = Node::builder("unit@localhost").shards(2).ring_slots(64).start().unwrap();
    let sinks: Vec<_> =
        (0..2).map(|shard| node.spawn(Sink::default, SpawnOptions::new().on_shard(shard)).unwrap()).collect();
    let count = 200_000;
    for (from, to) in [(0, 1), (1, 0)] {
        node.send(sinks[from], Burst { to: sinks[to], from: 0, count }).unwrap();
    }
    for sink in sinks {
        let mut seen = Vec::new();
        while seen.len() < count as usize {
            seen.extend(node.call_blocking(sink, Seen).unwrap());
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }
    assert_eq!(node.stats().node().counters.dead_letters, 0);
}

/// Waits for a condition.
#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_sender_that_spilled_waits_for_its_target_and_nobody_else_does() {
    let node = Node::builder("unit@localhost").shards(2).ring_slots(64).start().unwrap();
    let neighbour = node.spawn(Sink::default, SpawnOptions::new().on_shard(0)).unwrap();
    let target = node.spawn(Sink::default, SpawnOptions::new().on_shard(1)).unwrap();
    let (release, until) = channel();
    node.send(target, Block { until }).unwrap();
    eventually("the target's shard is stuck", || node.stats().shards()[1].current == Some(target.local));
    let streamer =
        node.spawn(move || Streamer { to: target, next: 0 }, SpawnOptions::new().on_shard(0)).unwrap();
    node.send(streamer, Go).unwrap();
    eventually("it spills", || node.stats().shards()[0].counters.spilled > 256);
    // Whoever did not spill goes on at full rate.
    for _ in 0..1000 {
        assert!(node.call_blocking(neighbour, Seen).unwrap().is_empty());
    }
    let spilled = node.stats().shards()[0].counters.spilled;
    assert!(spilled < 1 << 20, "the spill's limit is far, the sender having waited: {spilled}");
    // A sender that waits can be killed while its target is stuck.
    node.kill(streamer);
    eventually("the sender is gone", || node.stats().process(streamer.local).is_none());
    release.send(()).unwrap();
    let mut seen = Vec::new();
    while (seen.len() as u64) < spilled + 64 {
        seen.extend(node.call_blocking(target, Seen).unwrap());
    }
    assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>());
}
