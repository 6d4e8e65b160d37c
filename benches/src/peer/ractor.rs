//! ractor 0.16, whose mailboxes are unbounded, with native async traits and without message spans.
//!
//! Threads: see [`tokio_runtime`](super::tokio_runtime).

use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::error::RunError;
use crate::machine::{cpu_count, resident_bytes};
use crate::peer::actix::LEAST_FOR_MEMORY;
use crate::peer::tokio_runtime::{Finish, on_one_thread, on_workers, send_yielding, start, wait};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// What a [`Sink`] understands.
enum ToSink {
    Add { n: u64 },
    Total(RpcReplyPort<u64>),
}

/// Counts messages and tells when it has seen all.
struct Sink;

struct Counted {
    total: u64,
    expected: u64,
    finish: Finish,
}

impl Actor for Sink {
    type Msg = ToSink;
    type State = Counted;
    type Arguments = Counted;

    async fn pre_start(&self, _: ActorRef<ToSink>, counted: Counted) -> Result<Counted, ActorProcessingErr> {
        Ok(counted)
    }

    async fn handle(
        &self,
        _: ActorRef<ToSink>,
        message: ToSink,
        state: &mut Counted,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ToSink::Add { n } => {
                state.total += n;
                if state.total == state.expected {
                    state.finish.part_done();
                }
            }
            ToSink::Total(port) => {
                state.total += 1;
                port.send(state.total)?;
            }
        }
        Ok(())
    }
}

async fn sink(expected: u64, finish: Finish) -> Result<ActorRef<ToSink>, RunError> {
    let counted = Counted { total: 0, expected, finish };
    Ok(Actor::spawn(None, Sink, counted).await.map_err(RunError::work)?.0)
}

fn add(to: &ActorRef<ToSink>) -> Result<(), RunError> {
    to.cast(ToSink::Add { n: 1 }).map_err(RunError::work)
}

async fn stream(count: u64) -> Result<Duration, RunError> {
    let (finish, mut end) = Finish::of(1);
    let to = sink(count, finish).await?;
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

/// Sends all its messages from one handler; its message is how many.
struct Burster;

impl Actor for Burster {
    type Msg = u64;
    type State = ActorRef<ToSink>;
    type Arguments = ActorRef<ToSink>;

    async fn pre_start(
        &self,
        _: ActorRef<u64>,
        to: ActorRef<ToSink>,
    ) -> Result<ActorRef<ToSink>, ActorProcessingErr> {
        Ok(to)
    }

    async fn handle(
        &self,
        _: ActorRef<u64>,
        count: u64,
        to: &mut ActorRef<ToSink>,
    ) -> Result<(), ActorProcessingErr> {
        for _ in 0..count {
            add(to)?;
        }
        Ok(())
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
        let to = sink(count, finish).await?;
        let (burster, _) = Actor::spawn(None, Burster, to).await.map_err(RunError::work)?;
        let watch = Stopwatch::start();
        burster.cast(count).map_err(RunError::work)?;
        Ok(millions_per_second(count, wait(&mut end).await?.seconds_since(watch)))
    })
}

/// What a [`Player`] understands.
enum ToPlayer {
    Join { next: ActorRef<Self>, joined: RpcReplyPort<()> },
    Ball { left: u64 },
}

/// Passes a ball on until it has no hops left.
struct Player;

struct Seat {
    next: Option<ActorRef<ToPlayer>>,
    finish: Finish,
}

impl Actor for Player {
    type Msg = ToPlayer;
    type State = Seat;
    type Arguments = Finish;

    async fn pre_start(&self, _: ActorRef<ToPlayer>, finish: Finish) -> Result<Seat, ActorProcessingErr> {
        Ok(Seat { next: None, finish })
    }

    async fn handle(
        &self,
        _: ActorRef<ToPlayer>,
        message: ToPlayer,
        seat: &mut Seat,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ToPlayer::Ball { left: 0 } => seat.finish.part_done(),
            ToPlayer::Ball { left } => {
                if let Some(next) = &seat.next {
                    next.cast(ToPlayer::Ball { left: left - 1 })?;
                }
            }
            ToPlayer::Join { next, joined } => {
                seat.next = Some(next);
                joined.send(())?;
            }
        }
        Ok(())
    }
}

/// The answer of a call without a time-out.
fn answer<T>(result: CallResult<T>) -> Result<T, RunError> {
    match result {
        CallResult::Success(answer) => Ok(answer),
        CallResult::Timeout | CallResult::SenderError => Err(RunError::work("a call was not answered")),
    }
}

fn play(players: usize, balls: usize, hops: u64) -> Result<f64, RunError> {
    on_one_thread(async move {
        let (finish, mut end) = Finish::of(balls as u64);
        let mut all = Vec::new();
        for _ in 0..players {
            all.push(Actor::spawn(None, Player, finish.clone()).await.map_err(RunError::work)?.0);
        }
        for (from, to) in all.iter().zip(all.iter().cycle().skip(1)) {
            let join = |joined| ToPlayer::Join { next: to.clone(), joined };
            answer(from.call(join, None).await.map_err(RunError::work)?)?;
        }
        let watch = Stopwatch::start();
        for ball in 0..balls {
            if let Some(first) = all.get(ball * players / balls) {
                first.cast(ToPlayer::Ball { left: hops / balls as u64 }).map_err(RunError::work)?;
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
            sinks.push(sink(count, finish.clone()).await?);
        }
        let watch = Stopwatch::start();
        for to in sinks {
            start(async move { send_yielding(count, || add(&to)).await });
        }
        let seconds = wait(&mut end).await?.seconds_since(watch);
        Ok(millions_per_second(count * pairs as u64, seconds))
    })
}

/// How long `count` calls take, each awaited before the next, on one thread.
///
/// # Errors
/// When the thread cannot be pinned or a call is not answered.
pub fn calls_of(count: u64) -> Result<Duration, RunError> {
    on_one_thread(async move {
        let (finish, _end) = Finish::of(1);
        let to = sink(u64::MAX, finish).await?;
        let watch = Stopwatch::start();
        let mut last = 0;
        for _ in 0..count {
            last = answer(to.call(ToSink::Total, None).await.map_err(RunError::work)?)?;
        }
        let took = watch.elapsed();
        if last == count {
            Ok(took)
        } else {
            Err(RunError::work(format_args!("{last} of {count} calls were counted")))
        }
    })
}

/// One task awaits each reply before it calls again, same thread; M calls/s.
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
    type Msg = ();
    type State = ();
    type Arguments = Finish;

    async fn pre_start(&self, _: ActorRef<()>, census: Finish) -> Result<(), ActorProcessingErr> {
        census.part_done();
        Ok(())
    }
}

/// How long until `count` actors have started, and what they keep resident, in bytes.
fn spawn_many(count: u64) -> Result<(Duration, u64), RunError> {
    on_one_thread(async move {
        let (census, mut end) = Finish::of(count);
        let mut all: Vec<ActorRef<()>> = Vec::with_capacity(usize::try_from(count).map_err(RunError::work)?);
        let before = resident_bytes();
        let watch = Stopwatch::start();
        for _ in 0..count {
            all.push(Actor::spawn(None, Tiny, census.clone()).await.map_err(RunError::work)?.0);
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
