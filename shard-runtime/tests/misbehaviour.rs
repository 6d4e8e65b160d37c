//! Processes that behave badly on a real node: the rest of it goes on as the semantics page says.

use shard_runtime::prelude::*;
use shard_runtime::wire::NodeName;
use shard_runtime::{LogLevel, LogRecord, LogSink, ProcessState, SendReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long anything may take on a machine that has other things to do.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long the handler that blocks does so.
const BLOCK: Duration = Duration::from_secs(3);

#[expect(clippy::disallowed_methods, reason = "tests outside any shard")]
fn now() -> Instant {
    Instant::now()
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = now();
    while !is_so() {
        assert!(since.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::yield_now();
    }
}

#[message(local)]
struct Boom;
#[message(local)]
struct Block {
    until: Receiver<()>,
}
#[message(local)]
struct Flood;
#[message(local, reply = u64)]
struct Ping;

/// Behaves as it is told.
struct Culprit {
    handled: Arc<AtomicU64>,
}

/// Messages that the flooder keeps in its mailbox.
const FLOOD: u64 = 20_000;

#[actor]
impl Culprit {
    #[handle]
    fn boom(&mut self, _: Boom, _cx: &mut Context<'_>) -> ActorResult {
        panic!("on purpose")
    }
    #[handle]
    fn block(&mut self, m: Block, _cx: &mut Context<'_>) -> ActorResult {
        // Nobody sends: this blocks the thread for as long as it says.
        let _timed_out = m.until.recv_timeout(BLOCK);
        Ok(())
    }
    #[handle]
    fn flood(&mut self, _: Flood, cx: &mut Context<'_>) -> ActorResult {
        let handled = self.handled.fetch_add(1, SeqCst);
        cx.send(cx.pid(), Flood)?;
        if handled < FLOOD {
            cx.send(cx.pid(), Flood)?;
        }
        Ok(())
    }
    #[handle]
    fn ping(&mut self, _: Ping, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(1)
    }
}

#[derive(Default)]
struct Neighbour {
    pings: u64,
}

#[actor]
impl Neighbour {
    #[handle]
    fn ping(&mut self, _: Ping, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.pings += 1;
        Ok(self.pings)
    }
}

struct Lines(Sender<(LogLevel, String)>);
impl LogSink for Lines {
    fn write(&mut self, _: &NodeName, record: &LogRecord) {
        let _nobody_listens = self.0.send((record.level, record.text.clone()));
    }
}

struct Scene {
    node: Node,
    culprit: Pid,
    handled: Arc<AtomicU64>,
    /// One on the culprit's shard, one on the other.
    neighbours: [Pid; 2],
    lines: Receiver<(LogLevel, String)>,
}

impl Scene {
    fn new() -> Self {
        let (tell, lines) = channel();
        let node =
            Node::builder("mis@localhost").shards(2).log_level(LogLevel::Warning).log_sink(Lines(tell));
        let node = node.start().unwrap();
        let handled = Arc::new(AtomicU64::new(0));
        let count = handled.clone();
        let options = SpawnOptions::named("culprit").on_shard(0);
        let culprit = node.spawn(move || Culprit { handled: count }, options).unwrap();
        let neighbours =
            [0, 1].map(|shard| node.spawn(Neighbour::default, SpawnOptions::new().on_shard(shard)).unwrap());
        Self { node, culprit, handled, neighbours, lines }
    }

    fn is_gone(&self) -> bool {
        self.node.stats().process(self.culprit.local).is_none()
    }

    /// The neighbours answer, nobody knows the culprit any more, its name is free.
    fn all_is_well_without_it(&self) {
        for neighbour in self.neighbours {
            assert!(self.node.call_blocking(neighbour, Ping).unwrap() > 0);
        }
        assert_eq!(self.node.whereis("culprit"), None);
        let refused = self.node.send(self.culprit, Flood).unwrap_err();
        assert_eq!(refused.reason, SendReason::NoProcess);
        self.node.kill(self.culprit);
        let handled = Arc::new(AtomicU64::new(0));
        let again = self.node.spawn(move || Culprit { handled }, SpawnOptions::named("culprit").on_shard(0));
        assert_eq!(self.node.call_blocking(again.unwrap(), Ping).unwrap(), 1);
        let counters = self.node.stats().node().counters;
        assert_eq!((counters.spawned, counters.terminated, counters.processes), (4, 1, 3));
    }
}

#[test]
fn a_handler_that_panics_ends_its_process_only() {
    let scene = Scene::new();
    scene.node.send(scene.culprit, Boom).unwrap();
    eventually("it is gone", || scene.is_gone());
    scene.all_is_well_without_it();
    let counters = scene.node.stats().node().counters;
    assert_eq!((counters.panics, counters.interrupted, counters.mailbox_lost), (1, 1, 0));
}

#[test]
fn a_handler_that_blocks_holds_its_shard_and_nothing_else() {
    let scene = Scene::new();
    let stats = scene.node.stats();
    let (_never, until) = channel();
    scene.node.send(scene.culprit, Block { until }).unwrap();
    eventually("it blocks", || stats.shards()[0].current == Some(scene.culprit.local));
    let began = now();
    scene.node.send(scene.culprit, Flood).unwrap();
    // The other shard goes on, and readers see through.
    let mut answers = 0;
    while began.elapsed() < BLOCK / 3 {
        assert!(scene.node.call_blocking_timeout(scene.neighbours[1], Ping, BLOCK / 3).unwrap() > answers);
        answers += 1;
        let row = stats.process(scene.culprit.local).unwrap();
        assert_eq!(row.state, ProcessState::Running);
        assert_eq!(stats.shards()[0].current, Some(scene.culprit.local));
    }
    assert!(answers > 10, "{answers} answers");
    assert!(stats.process(scene.culprit.local).unwrap().callback_ns > 1_000_000_000);
    // Those on its shard wait.
    let waits = scene.node.call_blocking_timeout(scene.neighbours[0], Ping, Duration::from_millis(20));
    assert_eq!(waits, Err(CallError::Timeout));
    // A kill is seen at once and takes effect when the handler comes back.
    scene.node.kill(scene.culprit);
    assert_eq!(stats.process(scene.culprit.local).unwrap().state, ProcessState::Zombee);
    assert!(began.elapsed() < BLOCK, "this machine is too busy to look at a block of {BLOCK:?}");
    eventually("it is gone", || scene.is_gone());
    scene.all_is_well_without_it();
    let counters = stats.shards()[0].counters;
    assert_eq!((counters.mailbox_lost, counters.interrupted), (1, 0));
    assert!(counters.stalls >= 1 && stats.nanos(counters.stalled) >= BLOCK.as_nanos() as u64);
    let bucket = shard_runtime::STALL_BOUNDS_NS.iter().position(|bound| *bound == 5_000_000_000).unwrap();
    assert_eq!(counters.stall_times[bucket], 1, "{:?}", counters.stall_times);
    // On a busy machine another activation may be called a stall too; this one is, once.
    let lines: Vec<_> = scene
        .lines
        .try_iter()
        .filter(|(_, text)| text.contains("held") && text.contains("Culprit"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (level, text) = &lines[0];
    let who = format!(".0.{}> (misbehaviour.Culprit)", scene.culprit.local.slot());
    assert!(*level == LogLevel::Warning && text.contains(&who), "{text}");
}

#[test]
fn a_process_that_floods_its_own_mailbox_leaves_turns_to_others() {
    let scene = Scene::new();
    scene.node.send(scene.culprit, Flood).unwrap();
    eventually("it floods", || scene.handled.load(SeqCst) > 2 * FLOOD);
    for neighbour in scene.neighbours {
        for answer in 1..=100 {
            assert_eq!(scene.node.call_blocking(neighbour, Ping).unwrap(), answer);
        }
    }
    let row = scene.node.stats().process(scene.culprit.local).unwrap();
    assert!(row.mailbox >= FLOOD / 2, "{}", row.mailbox);
    scene.node.kill(scene.culprit);
    eventually("it is gone", || scene.is_gone());
    scene.all_is_well_without_it();
    let counters = scene.node.stats().shards()[0].counters;
    let handled = scene.handled.load(SeqCst);
    // To the unit: what it got was handled or was lost with its mailbox, and it sent all of that but the first.
    assert_eq!(counters.retired_in, handled + counters.mailbox_lost);
    assert_eq!(counters.retired_out + 1, counters.retired_in);
    assert_eq!(counters.mailbox_lost, FLOOD + 1);
}
