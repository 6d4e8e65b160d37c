//! The same stream into four styles of handler, in one build: a plain `fn`, an `async fn` that awaits only now and then, one
//! whose await is ready at every message, and one that suspends at every message.

use std::future::ready;
use std::hint::black_box;
use std::sync::mpsc;

use shard_runtime::{Actor, ActorResult, Context, actor, handle};

use crate::error::RunError;
use crate::own::actors::{Add, Source, Tick};
use crate::own::start::{Spread, World};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// Counts, and tells when all are there.
#[derive(Debug)]
pub struct Count {
    total: u64,
    expected: u64,
    done: mpsc::Sender<Stopwatch>,
}

impl Count {
    /// To `expected`, and where it tells.
    #[must_use]
    pub fn to(expected: u64) -> (Self, mpsc::Receiver<Stopwatch>) {
        let (done, seen) = mpsc::channel();
        (Self { total: 0, expected, done }, seen)
    }

    fn add(&mut self, n: u64) {
        self.total += n;
        if self.total == self.expected {
            self.finish();
        }
    }

    #[cold]
    fn finish(&self) {
        // The receiver is gone only if the run was given up.
        let _ = self.done.send(Stopwatch::start());
    }
}

/// Handles without a future.
#[derive(Debug)]
pub struct Plain(pub Count);

#[actor]
impl Plain {
    #[handle]
    fn add(&mut self, message: Add, _cx: &mut Context<'_>) -> ActorResult {
        self.0.add(message.n);
        Ok(())
    }
}

/// Awaits only when all messages are there, as a handler does that flushes now and then: its future lives in the pool and is
/// polled once per message.
#[derive(Debug)]
pub struct Seldom(pub Count);

#[actor]
impl Seldom {
    #[handle]
    async fn add(&mut self, message: Add, cx: &mut Context<'_>) -> ActorResult {
        self.0.total += message.n;
        if self.0.total == self.0.expected {
            cx.yield_now().await;
            self.0.finish();
        }
        Ok(())
    }
}

/// Awaits something at every message, and finds it ready: the future lives in the pool and is polled once.
#[derive(Debug)]
pub struct Awaiting(pub Count);

#[actor]
impl Awaiting {
    #[handle]
    async fn add(&mut self, message: Add, _cx: &mut Context<'_>) -> ActorResult {
        let n = black_box(ready(message.n)).await;
        self.0.add(n);
        Ok(())
    }
}

/// Lets others run at every message, and is resumed.
#[derive(Debug)]
pub struct Suspending(pub Count);

#[actor]
impl Suspending {
    #[handle]
    async fn add(&mut self, message: Add, cx: &mut Context<'_>) -> ActorResult {
        cx.yield_now().await;
        self.0.add(message.n);
        Ok(())
    }
}

fn stream_into<A: Actor>(
    run: Run,
    full: u64,
    make: impl FnOnce(Count) -> A + Send + 'static,
) -> Result<f64, RunError> {
    let expected = run.scale.of(full);
    let world = World::start(Spread::OneShard)?;
    let (count, seen) = Count::to(expected);
    let to = world.spawn(0, move || make(count))?;
    let (source, _calls) = Source::new(to, expected);
    let from = world.spawn(0, move || source)?;
    let watch = Stopwatch::start();
    world.send(from, Tick)?;
    Ok(millions_per_second(expected, World::wait(&seen)?.seconds_since(watch)))
}

/// Into a plain `fn`; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn plain(run: Run) -> Result<f64, RunError> {
    stream_into(run, 20_000_000, Plain)
}

/// Into an `async fn` that awaits only at the end; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn seldom(run: Run) -> Result<f64, RunError> {
    stream_into(run, 20_000_000, Seldom)
}

/// Into an `async fn` whose await is ready; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn awaiting(run: Run) -> Result<f64, RunError> {
    stream_into(run, 20_000_000, Awaiting)
}

/// Into an `async fn` that suspends once per message; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn suspending(run: Run) -> Result<f64, RunError> {
    stream_into(run, 5_000_000, Suspending)
}
