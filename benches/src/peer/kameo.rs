//! kameo 0.22, with unbounded mailboxes and `try_send`, its way to send without a future.
//!
//! Without its default features: no tracing spans, no macros. Threads: see [`tokio_runtime`](super::tokio_runtime).

use std::convert::Infallible;
use std::time::Duration;

use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};

use crate::error::RunError;
use crate::machine::{cpu_count, resident_bytes};
use crate::peer::actix::LEAST_FOR_MEMORY;
use crate::peer::tokio_runtime::{Finish, on_one_thread, on_workers, send_yielding, start, wait};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

struct Add {
    n: u64,
}

struct Total;

/// Counts messages and tells when it has seen all.
struct Sink {
    total: u64,
    expected: u64,
    finish: Finish,
}

impl Actor for Sink {
    type Args = Self;
    type Error = Infallible;
    async fn on_start(sink: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(sink)
    }
}

impl Message<Add> for Sink {
    type Reply = ();
    async fn handle(&mut self, message: Add, _: &mut Context<Self, ()>) {
        self.total += message.n;
        if self.total == self.expected {
            self.finish.part_done();
        }
    }
}

impl Message<Total> for Sink {
    type Reply = u64;
    async fn handle(&mut self, _: Total, _: &mut Context<Self, u64>) -> u64 {
        self.total += 1;
        self.total
    }
}

/// A sink that has started.
async fn sink(expected: u64, finish: Finish) -> ActorRef<Sink> {
    let sink = Sink::spawn_with_mailbox(Sink { total: 0, expected, finish }, mailbox::unbounded());
    sink.wait_for_startup().await;
    sink
}

fn add(to: &ActorRef<Sink>) -> Result<(), RunError> {
    to.tell(Add { n: 1 }).try_send().map_err(RunError::work)
}

async fn stream(count: u64) -> Result<Duration, RunError> {
    let (finish, mut end) = Finish::of(1);
    let to = sink(count, finish).await;
    let watch = Stopwatch::start();
    send_yielding(count, || add(&to)).await?;
    Ok(wait(&mut end).await?.since(watch))
}

/// How long a stream of `count` messages takes on one thread, sender yields every 1000.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn stream_of(count: u64) -> Result<Duration, RunError> {
    on_one_thread(stream(count))
}

/// The same; M msg/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn same_thread_stream(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(1_000_000);
    Ok(millions_per_second(count, stream_of(count)?.as_secs_f64()))
}

/// The same on two worker threads; M msg/s.
///
/// # Errors
/// When threads cannot be started or messages are lost.
pub fn workers_stream(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(1_000_000);
    Ok(millions_per_second(count, on_workers(2, stream(count))?.as_secs_f64()))
}

/// Sends all its messages from one handler.
struct Burster {
    to: ActorRef<Sink>,
}

struct Burst {
    count: u64,
}

impl Actor for Burster {
    type Args = Self;
    type Error = Infallible;
    async fn on_start(burster: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(burster)
    }
}

impl Message<Burst> for Burster {
    type Reply = ();
    async fn handle(&mut self, burst: Burst, _: &mut Context<Self, ()>) {
        for _ in 0..burst.count {
            // A refused message is missed by the sink, and the watchdog ends the run.
            let _ = add(&self.to);
        }
    }
}

/// One handler sends 3 M messages to an actor on the same thread, fresh process; M msg/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn burst(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(3_000_000);
    on_one_thread(async move {
        let (finish, mut end) = Finish::of(1);
        let to = sink(count, finish).await;
        let burster = Burster::spawn_with_mailbox(Burster { to }, mailbox::unbounded());
        burster.wait_for_startup().await;
        let watch = Stopwatch::start();
        burster.tell(Burst { count }).try_send().map_err(RunError::work)?;
        Ok(millions_per_second(count, wait(&mut end).await?.seconds_since(watch)))
    })
}

/// Passes a ball on until it has no hops left.
struct Player {
    next: Option<ActorRef<Self>>,
    finish: Finish,
}

struct Join {
    next: ActorRef<Player>,
}

struct Ball {
    left: u64,
}

impl Actor for Player {
    type Args = Self;
    type Error = Infallible;
    async fn on_start(player: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(player)
    }
}

impl Message<Join> for Player {
    type Reply = ();
    async fn handle(&mut self, join: Join, _: &mut Context<Self, ()>) {
        self.next = Some(join.next);
    }
}

impl Message<Ball> for Player {
    type Reply = ();
    async fn handle(&mut self, ball: Ball, _: &mut Context<Self, ()>) {
        if ball.left == 0 {
            self.finish.part_done();
        } else if let Some(next) = &self.next {
            // A lost ball never ends, and the watchdog ends the run.
            let _ = next.tell(Ball { left: ball.left - 1 }).try_send();
        }
    }
}

fn play(players: usize, balls: usize, hops: u64) -> Result<f64, RunError> {
    on_one_thread(async move {
        let (finish, mut end) = Finish::of(balls as u64);
        let all: Vec<ActorRef<Player>> = (0..players)
            .map(|_| {
                let player = Player { next: None, finish: finish.clone() };
                Player::spawn_with_mailbox(player, mailbox::unbounded())
            })
            .collect();
        for (from, to) in all.iter().zip(all.iter().cycle().skip(1)) {
            from.ask(Join { next: to.clone() }).send().await.map_err(RunError::work)?;
        }
        let watch = Stopwatch::start();
        for ball in 0..balls {
            if let Some(first) = all.get(ball * players / balls) {
                first.tell(Ball { left: hops / balls as u64 }).try_send().map_err(RunError::work)?;
            }
        }
        Ok(wait(&mut end).await?.seconds_since(watch))
    })
}

/// Two actors on one thread, one message to and fro; M round trips/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn ping_pong(run: Run) -> Result<f64, RunError> {
    let trips = run.scale.of(500_000);
    Ok(millions_per_second(trips, play(2, 1, trips * 2)?))
}

/// A ring of 1000 actors on one thread with 100 tokens; M hops/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn ring_1000(run: Run) -> Result<f64, RunError> {
    let hops = run.scale.of(1_000_000);
    Ok(millions_per_second(hops, play(1000, 100, hops)?))
}

/// As many pairs of sender and receiver as processors, on as many worker threads; M msg/s in all.
///
/// # Errors
/// When threads cannot be started or messages are lost.
pub fn many_to_many(run: Run) -> Result<f64, RunError> {
    let (pairs, count) = (cpu_count(), run.scale.of(500_000));
    on_workers(pairs, async move {
        let (finish, mut end) = Finish::of(pairs as u64);
        let mut sinks = Vec::new();
        for _ in 0..pairs {
            sinks.push(sink(count, finish.clone()).await);
        }
        let watch = Stopwatch::start();
        for to in sinks {
            start(async move { send_yielding(count, || add(&to)).await });
        }
        let seconds = wait(&mut end).await?.seconds_since(watch);
        Ok(millions_per_second(count * pairs as u64, seconds))
    })
}

/// How long `count` calls (`ask`) take, each awaited before the next, on one thread.
///
/// # Errors
/// When the thread cannot be pinned or a call is not answered.
pub fn calls_of(count: u64) -> Result<Duration, RunError> {
    on_one_thread(async move {
        let (finish, _end) = Finish::of(1);
        let to = sink(u64::MAX, finish).await;
        let watch = Stopwatch::start();
        let mut last = 0;
        for _ in 0..count {
            last = to.ask(Total).send().await.map_err(RunError::work)?;
        }
        let took = watch.elapsed();
        if last == count {
            Ok(took)
        } else {
            Err(RunError::work(format_args!("{last} of {count} calls were counted")))
        }
    })
}

/// One task awaits each reply before it asks again, same thread; M calls/s.
///
/// # Errors
/// When the thread cannot be pinned or a call is not answered.
pub fn call_reply(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(500_000);
    Ok(millions_per_second(count, calls_of(count)?.as_secs_f64()))
}

/// An actor that only says that it has started.
struct Tiny;

impl Actor for Tiny {
    type Args = Finish;
    type Error = Infallible;
    async fn on_start(census: Finish, _: ActorRef<Self>) -> Result<Self, Infallible> {
        census.part_done();
        Ok(Self)
    }
}

/// How long until `count` actors have started, and what they keep resident, in bytes.
fn spawn_many(count: u64) -> Result<(Duration, u64), RunError> {
    on_one_thread(async move {
        let (census, mut end) = Finish::of(count);
        let mut all: Vec<ActorRef<Tiny>> =
            Vec::with_capacity(usize::try_from(count).map_err(RunError::work)?);
        let before = resident_bytes();
        let watch = Stopwatch::start();
        for _ in 0..count {
            all.push(Tiny::spawn_with_mailbox(census.clone(), mailbox::unbounded()));
        }
        let took = wait(&mut end).await?.since(watch);
        Ok((took, resident_bytes().saturating_sub(before)))
    })
}

/// How long until `count` actors have started.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn spawn_of(count: u64) -> Result<Duration, RunError> {
    Ok(spawn_many(count)?.0)
}

/// Starts 1 M actors on one thread and waits until each has started; seconds.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn spawn(run: Run) -> Result<f64, RunError> {
    Ok(spawn_of(run.scale.of(1_000_000))?.as_secs_f64())
}

/// Resident bytes per idle actor and its reference, of 200 thousand.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn memory(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(200_000).max(LEAST_FOR_MEMORY);
    let (_, bytes) = spawn_many(count)?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of one process")]
    let per_actor = bytes as f64 / count as f64;
    Ok(per_actor)
}
