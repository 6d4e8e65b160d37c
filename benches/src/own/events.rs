//! Events with many subscribers on one shard: how fast they subscribe, and how fast one publication reaches them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use shard_runtime::{ActorResult, Context, Event, EventOptions, Topic, actor, handle, message};

use crate::error::RunError;
use crate::own::actors::Tick;
use crate::own::start::{Spread, World};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

const NAME: &str = "bench.prices";

/// What is published.
#[message(local)]
#[derive(Debug)]
pub struct Price {
    /// Some number.
    pub value: u64,
}

/// Counts down and tells when the last one is there.
#[derive(Debug)]
struct Countdown {
    missing: AtomicU64,
    done: mpsc::Sender<Stopwatch>,
}

impl Countdown {
    fn of(count: u64) -> (Arc<Self>, mpsc::Receiver<Stopwatch>) {
        let (done, seen) = mpsc::channel();
        (Arc::new(Self { missing: AtomicU64::new(count), done }), seen)
    }

    fn one(&self) {
        if self.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
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
        cx.subscribe::<Price>(NAME)?;
        Ok(())
    }

    #[handle]
    fn price(&mut self, event: Event<Price>, _cx: &mut Context<'_>) -> ActorResult {
        if event.value > 0 {
            self.got.one();
        }
        Ok(())
    }
}

/// Registers the event, spawns the subscribers, and gives the topic to whoever publishes.
struct Producer {
    subscribers: u64,
    topic: mpsc::Sender<Topic<Price>>,
    got: Arc<Countdown>,
}

#[actor]
impl Producer {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let topic = cx.register_event::<Price>(NAME, EventOptions::new())?;
        for _ in 0..self.subscribers {
            let got = Arc::clone(&self.got);
            let subscriber = cx.spawn(move || Subscriber { got }, shard_runtime::SpawnOptions::new())?;
            cx.send(subscriber, Tick)?;
        }
        // The receiver is gone only if the run was given up.
        let _ = self.topic.send(topic);
        Ok(())
    }
}

/// Subscribers that are all subscribed, and how long that took.
struct Audience {
    world: World,
    topic: Topic<Price>,
    seen: mpsc::Receiver<Stopwatch>,
    took: f64,
}

fn gather(count: u64) -> Result<Audience, RunError> {
    let world = World::start(Spread::OneShard)?;
    let (got, seen) = Countdown::of(count);
    let (give, topic) = mpsc::channel();
    world.spawn(0, move || Producer { subscribers: count, topic: give, got })?;
    // The subscriptions are handled after the spawns, which are not measured.
    let topic = World::wait(&topic)?;
    let watch = Stopwatch::start();
    while world.node().stats().events().iter().all(|event| event.subscribers < count) {
        std::hint::spin_loop();
    }
    Ok(Audience { world, topic, seen, took: Stopwatch::start().seconds_since(watch) })
}

/// 1 M processes of one shard subscribe to one event; M subscriptions/s.
///
/// # Errors
/// When the node refuses.
pub fn subscribe(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(1_000_000);
    Ok(millions_per_second(count, gather(count)?.took))
}

/// One publication reaches 1 M subscribers of one shard, and each has handled it; M deliveries/s.
///
/// # Errors
/// When the node refuses, or deliveries are lost.
pub fn deliver(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(1_000_000);
    let audience = gather(count)?;
    let watch = Stopwatch::start();
    audience.world.node().publish(&audience.topic, Price { value: 1 }).map_err(RunError::work)?;
    let end = World::wait(&audience.seen)?;
    Ok(millions_per_second(count, end.seconds_since(watch)))
}
