//! An event with many subscribers on ten other nodes of this OS process: how fast they subscribe, what a publication costs its
//! publisher, and how fast it reaches them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use shard_runtime::{
    ActorResult, Context, Event, EventOptions, LogLevel, Node, Pid, Pinning, SpawnOptions, Target, Topic,
    actor, handle, message,
};

use crate::error::RunError;
use crate::machine::cpu_count;
use crate::own::actors::Tick;
use crate::own::start::World;
use crate::timing::Stopwatch;
use crate::workload::Run;

const FEED: &str = "feed@localhost";
const NAME: &str = "bench.quotes";
const NODES: u64 = 10;
/// How long a founder waits whose shard is not in session yet.
const PAUSE: Duration = Duration::from_millis(1);

/// What is published.
#[message]
#[derive(Debug)]
pub struct Quote {
    /// Some number.
    pub value: u64,
}

/// Publish once, and say how long that took.
#[message(local)]
struct Publish {
    took: mpsc::Sender<(Stopwatch, Duration)>,
}

/// Counts down twice, subscriptions and deliveries of one node, and tells when the last one is there.
#[derive(Debug)]
struct Countdown {
    subscribing: AtomicU64,
    missing: AtomicU64,
    done: mpsc::Sender<Stopwatch>,
}

impl Countdown {
    fn one_of(&self, counter: &AtomicU64) {
        if counter.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send(Stopwatch::start());
        }
    }
}

/// Subscribes when told, and counts what it gets.
struct Subscriber {
    got: Arc<Countdown>,
}

#[actor]
impl Subscriber {
    #[handle]
    fn subscribe(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        cx.subscribe_at::<Quote>(NAME, FEED)?;
        self.got.one_of(&self.got.subscribing);
        Ok(())
    }

    #[handle]
    fn quote(&mut self, event: Event<Quote>, _cx: &mut Context<'_>) -> ActorResult {
        if event.value > 0 {
            self.got.one_of(&self.got.missing);
        }
        Ok(())
    }
}

/// Has all subscribers of a node subscribe.
#[message(local)]
struct Go;

/// Spawns the subscribers of a node, and tells when the node is in session.
struct Founder {
    count: u64,
    members: Vec<Pid>,
    got: Arc<Countdown>,
}

#[actor]
impl Founder {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..self.count {
            let got = Arc::clone(&self.got);
            self.members.push(cx.spawn(move || Subscriber { got }, SpawnOptions::new())?);
        }
        cx.send(cx.pid(), Tick)?;
        Ok(())
    }

    #[handle]
    fn probe(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        if cx.monitor(Target::node(FEED)).is_err() {
            cx.send_after(cx.pid(), Tick, PAUSE)?;
            return Ok(());
        }
        // The receiver is gone only if the run was given up.
        let _ = self.got.done.send(Stopwatch::start());
        Ok(())
    }

    #[handle]
    fn go(&mut self, _: Go, cx: &mut Context<'_>) -> ActorResult {
        for member in &self.members {
            cx.send(*member, Tick)?;
        }
        Ok(())
    }
}

/// Registers the event, and publishes when told.
struct Producer {
    topic: Option<Topic<Quote>>,
}

#[actor]
impl Producer {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        self.topic = Some(cx.register_event::<Quote>(NAME, EventOptions::new())?);
        Ok(())
    }

    #[handle]
    fn publish(&mut self, m: Publish, cx: &mut Context<'_>) -> ActorResult {
        if let Some(topic) = &self.topic {
            let begun = Stopwatch::start();
            cx.publish(topic, Quote { value: 1 })?;
            // The receiver is gone only if the run was given up.
            let _ = m.took.send((begun, Stopwatch::start().since(begun)));
        }
        Ok(())
    }
}

fn node(name: &str, cpu: u64, route: Option<String>) -> Result<Node, RunError> {
    let cpu = usize::try_from(cpu).map_err(RunError::work)? % cpu_count();
    let mut builder = Node::builder(name)
        .shards(1)
        .pinning(Pinning::Cpus(vec![cpu]))
        .listen("127.0.0.1:0")
        .cookie("a secret of the benches")
        .log_level(LogLevel::Error);
    if let Some(address) = route {
        builder = builder.route(FEED, address);
    }
    builder.start().map_err(RunError::work)
}

/// A node with its share of the subscribers.
struct Branch {
    node: Node,
    founder: Pid,
    told: mpsc::Receiver<Stopwatch>,
}

/// Ten nodes whose processes have all subscribed, and how long that took.
struct Cluster {
    feed: Node,
    producer: Pid,
    branches: Vec<Branch>,
    took: Duration,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for branch in &self.branches {
            branch.node.stop();
        }
        self.feed.stop();
    }
}

impl Cluster {
    /// When the last node has told.
    fn all(&self) -> Result<Stopwatch, RunError> {
        let mut last: Option<Stopwatch> = None;
        for branch in &self.branches {
            let at = World::wait(&branch.told)?;
            last = Some(last.map_or(at, |other| other.later(at)));
        }
        last.ok_or_else(|| RunError::work("there are no nodes"))
    }

    fn gather(count: u64) -> Result<Self, RunError> {
        let feed = node(FEED, 0, None)?;
        let address = feed.listen_address().ok_or_else(|| RunError::work("the node has no listener"))?;
        let on_shard = || SpawnOptions::new().on_shard(0);
        let producer = feed.spawn(|| Producer { topic: None }, on_shard()).map_err(RunError::work)?;
        let mut cluster = Self { feed, producer, branches: Vec::new(), took: Duration::ZERO };
        let each = count / NODES;
        for n in 0..NODES {
            let node = node(&format!("reader{n}@localhost"), n, Some(address.to_string()))?;
            let (done, told) = mpsc::channel();
            let (subscribing, missing) = (AtomicU64::new(each), AtomicU64::new(each));
            let got = Arc::new(Countdown { subscribing, missing, done });
            let founder = Founder { count: each, members: Vec::new(), got };
            let founder = node.spawn(move || founder, on_shard()).map_err(RunError::work)?;
            cluster.branches.push(Branch { node, founder, told });
        }
        // All are there, and in session.
        cluster.all()?;
        let watch = Stopwatch::start();
        for branch in &cluster.branches {
            branch.node.send(branch.founder, Go).map_err(RunError::work)?;
        }
        let end = cluster.all()?;
        while cluster.feed.stats().events().iter().all(|event| event.nodes < NODES) {
            std::thread::yield_now();
        }
        cluster.took = Stopwatch::start().later(end).since(watch);
        Ok(cluster)
    }

    /// Publishes once: when that began, and how long it held the publisher.
    fn publish(&self) -> Result<(Stopwatch, Duration), RunError> {
        let (took, told) = mpsc::channel();
        self.feed.send(self.producer, Publish { took }).map_err(RunError::work)?;
        World::wait(&told)
    }
}

/// The full work, and how much of it a run does.
fn count(run: Run) -> (u64, f64) {
    const FULL: u64 = 1_000_000;
    let count = run.scale.of(FULL) / NODES * NODES;
    (count, FULL as f64 / count as f64)
}

/// 1 M processes of 10 nodes subscribe to one event of another node; seconds.
///
/// # Errors
/// When a node refuses.
pub fn subscribe(run: Run) -> Result<f64, RunError> {
    let (count, share) = count(run);
    Ok(Cluster::gather(count)?.took.as_secs_f64() * share)
}

/// What a publication for 1 M subscribers on 10 nodes takes of its publisher's time; microseconds.
///
/// # Errors
/// When a node refuses, or deliveries are lost.
pub fn publish(run: Run) -> Result<f64, RunError> {
    let cluster = Cluster::gather(count(run).0)?;
    let (_, took) = cluster.publish()?;
    cluster.all()?;
    Ok(took.as_secs_f64() * 1e6)
}

/// One publication reaches 1 M subscribers on 10 nodes, and each has handled it; seconds.
///
/// # Errors
/// When a node refuses, or deliveries are lost.
pub fn deliver(run: Run) -> Result<f64, RunError> {
    let (count, share) = count(run);
    let cluster = Cluster::gather(count)?;
    let (begun, _) = cluster.publish()?;
    let end = cluster.all()?;
    Ok(end.since(begun).as_secs_f64() * share)
}
