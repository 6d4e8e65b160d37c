//! actix 0.13: the peer through which ratios to Ergo are derived, so the recorded shapes are kept exactly.
//!
//! Streams are sent by a task with `do_send` that yields every 1000 messages, as recorded. `do_send` ignores the mailbox
//! bound. Threads: one arbiter on processor 1 for one-shard work; across, the sender runs on processor 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, Context, Handler, Message, System};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::error::RunError;
use crate::machine::{cpu_count, pin, resident_bytes};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// Messages between two yields of a sending task.
const YIELD_EVERY: u64 = 1000;

#[derive(Message)]
#[rtype(result = "()")]
struct Add {
    n: u64,
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Total;

/// Counts messages and tells when it has seen all.
struct Sink {
    total: u64,
    expected: u64,
    done: Option<oneshot::Sender<Stopwatch>>,
}

impl Sink {
    fn expecting(expected: u64) -> (Self, oneshot::Receiver<Stopwatch>) {
        let (done, seen) = oneshot::channel();
        (Self { total: 0, expected, done: Some(done) }, seen)
    }
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Add> for Sink {
    type Result = ();
    fn handle(&mut self, message: Add, _: &mut Context<Self>) {
        self.total += message.n;
        if self.total == self.expected
            && let Some(done) = self.done.take()
        {
            // The receiver is gone only if the run was given up.
            let _ = done.send(Stopwatch::start());
        }
    }
}

impl Handler<Total> for Sink {
    type Result = u64;
    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u64 {
        self.total += 1;
        self.total
    }
}

async fn send_yielding(to: &Addr<Sink>, count: u64) {
    for n in 0..count {
        to.do_send(Add { n: 1 });
        if n % YIELD_EVERY == 0 {
            yield_now().await;
        }
    }
}

fn gone<T>(_: T) -> RunError {
    RunError::work("an actix actor went away before it had seen all messages")
}

/// How long a stream of `count` messages takes on one arbiter, sender yields every 1000.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn stream_of(count: u64) -> Result<Duration, RunError> {
    pin(1)?;
    System::new().block_on(async {
        let (sink, seen) = Sink::expecting(count);
        let to = sink.start();
        let watch = Stopwatch::start();
        send_yielding(&to, count).await;
        Ok(seen.await.map_err(gone)?.since(watch))
    })
}

/// The same; M msg/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn same_arbiter_stream(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(3_000_000);
    Ok(millions_per_second(count, stream_of(count)?.as_secs_f64()))
}

/// Sends all its messages from one handler.
struct Burster {
    to: Addr<Sink>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Burst {
    count: u64,
}

impl Actor for Burster {
    type Context = Context<Self>;
}

impl Handler<Burst> for Burster {
    type Result = ();
    fn handle(&mut self, burst: Burst, _: &mut Context<Self>) {
        for _ in 0..burst.count {
            self.to.do_send(Add { n: 1 });
        }
    }
}

/// One handler sends 3 M messages to an actor on the same arbiter, fresh process; M msg/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn burst(run: Run) -> Result<f64, RunError> {
    pin(1)?;
    let count = run.scale.of(3_000_000);
    System::new().block_on(async {
        let (sink, seen) = Sink::expecting(count);
        let burster = Burster { to: sink.start() }.start();
        let watch = Stopwatch::start();
        burster.do_send(Burst { count });
        let end = seen.await.map_err(gone)?;
        Ok(millions_per_second(count, end.seconds_since(watch)))
    })
}

/// Passes a ball on until it has no hops left.
struct Player {
    next: Option<Addr<Self>>,
    end: Option<Finish>,
}

/// Shared by all players: the last ball to end stops the clock.
#[derive(Clone)]
struct Finish {
    balls_left: Arc<AtomicU64>,
    seen: tokio::sync::mpsc::UnboundedSender<Stopwatch>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Join {
    next: Addr<Player>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Ball {
    left: u64,
}

impl Actor for Player {
    type Context = Context<Self>;
}

impl Handler<Join> for Player {
    type Result = ();
    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        self.next = Some(join.next);
    }
}

impl Handler<Ball> for Player {
    type Result = ();
    fn handle(&mut self, ball: Ball, _: &mut Context<Self>) {
        if ball.left > 0 {
            if let Some(next) = &self.next {
                next.do_send(Ball { left: ball.left - 1 });
            }
        } else if let Some(end) = &self.end
            && end.balls_left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // The receiver is gone only if the run was given up.
            let _ = end.seen.send(Stopwatch::start());
        }
    }
}

fn play(players: usize, balls: usize, hops: u64) -> Result<f64, RunError> {
    pin(1)?;
    System::new().block_on(async {
        let (seen, mut end) = tokio::sync::mpsc::unbounded_channel();
        let finish = Finish { balls_left: Arc::new(AtomicU64::new(balls as u64)), seen };
        let all: Vec<Addr<Player>> =
            (0..players).map(|_| Player { next: None, end: Some(finish.clone()) }.start()).collect();
        for (from, to) in all.iter().zip(all.iter().cycle().skip(1)) {
            from.send(Join { next: to.clone() }).await.map_err(gone)?;
        }
        let per_ball = hops / balls as u64;
        let watch = Stopwatch::start();
        for ball in 0..balls {
            if let Some(first) = all.get(ball * players / balls) {
                first.do_send(Ball { left: per_ball });
            }
        }
        let ended = end.recv().await.ok_or_else(|| gone(()))?;
        Ok(ended.seconds_since(watch))
    })
}

/// Two actors on one arbiter, one message to and fro; M round trips/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn ping_pong(run: Run) -> Result<f64, RunError> {
    let trips = run.scale.of(1_000_000);
    Ok(millions_per_second(trips, play(2, 1, trips * 2)?))
}

/// A ring of 1000 actors on one arbiter with 100 tokens; M hops/s.
///
/// # Errors
/// When the thread cannot be pinned or messages are lost.
pub fn ring_1000(run: Run) -> Result<f64, RunError> {
    let hops = run.scale.of(2_000_000);
    Ok(millions_per_second(hops, play(1000, 100, hops)?))
}

/// An arbiter whose thread is pinned to `cpu`.
async fn arbiter_on(cpu: usize) -> Result<Arbiter, RunError> {
    let arbiter = Arbiter::new();
    let (pinned, answer) = oneshot::channel();
    if !arbiter.spawn_fn(move || {
        let _ = pinned.send(pin(cpu));
    }) {
        return Err(gone(()));
    }
    answer.await.map_err(gone)??;
    Ok(arbiter)
}

/// Stream to an actor on another arbiter, sender yields every 1000; M msg/s.
///
/// # Errors
/// When threads cannot be pinned or messages are lost.
pub fn other_arbiter_stream(run: Run) -> Result<f64, RunError> {
    pin(0)?;
    let count = run.scale.of(3_000_000);
    System::new().block_on(async {
        let far = arbiter_on(1).await?;
        let (sink, seen) = Sink::expecting(count);
        let to = Sink::start_in_arbiter(&far.handle(), move |_| sink);
        to.send(Total).await.map_err(gone)?;
        let watch = Stopwatch::start();
        send_yielding(&to, count - 1).await;
        let end = seen.await.map_err(gone)?;
        Ok(millions_per_second(count - 1, end.seconds_since(watch)))
    })
}

/// As many pairs as processors, each receiver on the arbiter after its sender's; M msg/s in all.
///
/// # Errors
/// When threads cannot be pinned or messages are lost.
pub fn many_to_many(run: Run) -> Result<f64, RunError> {
    let pairs = cpu_count();
    let count = run.scale.of(1_000_000);
    System::new().block_on(async {
        let mut arbiters = Vec::new();
        for cpu in 0..pairs {
            arbiters.push(arbiter_on(cpu).await?);
        }
        let mut sinks = Vec::new();
        let mut ends = Vec::new();
        for arbiter in arbiters.iter().cycle().skip(1).take(pairs) {
            let (sink, seen) = Sink::expecting(count + 1);
            let to = Sink::start_in_arbiter(&arbiter.handle(), move |_| sink);
            to.send(Total).await.map_err(gone)?;
            sinks.push(to);
            ends.push(seen);
        }
        let watch = Stopwatch::start();
        for (arbiter, to) in arbiters.iter().zip(sinks) {
            arbiter.spawn(async move { send_yielding(&to, count).await });
        }
        let mut seconds = 0.0_f64;
        for seen in ends {
            seconds = seconds.max(seen.await.map_err(gone)?.seconds_since(watch));
        }
        Ok(millions_per_second(count * pairs as u64, seconds))
    })
}

/// How long `count` calls take, each awaited before the next, same arbiter.
///
/// # Errors
/// When the thread cannot be pinned or a call is not answered.
pub fn calls_of(count: u64) -> Result<Duration, RunError> {
    pin(1)?;
    let caller = async move {
        let to = Sink::expecting(u64::MAX).0.start();
        let watch = Stopwatch::start();
        let mut last = 0;
        for _ in 0..count {
            last = to.send(Total).await.map_err(gone)?;
        }
        let took = watch.elapsed();
        if last != count {
            return Err(RunError::work(format_args!("{last} of {count} calls were counted")));
        }
        Ok(took)
    };
    // A task, as in a program: the future that `block_on` itself polls is woken by a system call.
    System::new().block_on(async { actix::spawn(caller).await.map_err(RunError::work)? })
}

/// One task awaits each reply before it asks again, same arbiter; M calls/s.
///
/// # Errors
/// When the thread cannot be pinned or a call is not answered.
pub fn call_reply(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(1_000_000);
    Ok(millions_per_second(count, calls_of(count)?.as_secs_f64()))
}

/// An actor of 8 bytes that only says that it has started.
struct Tiny {
    started: Arc<AtomicU64>,
}

impl Actor for Tiny {
    type Context = Context<Self>;
    fn started(&mut self, context: &mut Context<Self>) {
        // The default capacity, said aloud: `do_send` ignores it, `send` does not.
        context.set_mailbox_capacity(16);
        self.started.fetch_add(1, Ordering::Relaxed);
    }
}

fn spawn_many(count: u64) -> Result<(Duration, u64), RunError> {
    pin(1)?;
    let count = usize::try_from(count).map_err(RunError::work)?;
    System::new().block_on(async {
        let started = Arc::new(AtomicU64::new(0));
        let mut all: Vec<Addr<Tiny>> = Vec::with_capacity(count);
        let before = resident_bytes();
        let watch = Stopwatch::start();
        while all.len() < count {
            all.push(Tiny { started: Arc::clone(&started) }.start());
        }
        while started.load(Ordering::Relaxed) < count as u64 {
            yield_now().await;
        }
        let took = watch.elapsed();
        Ok((took, resident_bytes().saturating_sub(before)))
    })
}

/// How long until `count` actors have started on one arbiter.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn spawn_of(count: u64) -> Result<Duration, RunError> {
    Ok(spawn_many(count)?.0)
}

/// Starts 1 M actors on one arbiter and waits until each has started; seconds.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn spawn(run: Run) -> Result<f64, RunError> {
    Ok(spawn_of(run.scale.of(1_000_000))?.as_secs_f64())
}

/// With fewer, what the allocator held before would count.
pub const LEAST_FOR_MEMORY: u64 = 50_000;

/// Resident bytes per idle actor, with 1 M of them and their addresses; the address takes 8 of these bytes.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn memory(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(1_000_000).max(LEAST_FOR_MEMORY);
    let (_, bytes) = spawn_many(count)?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of one process")]
    let per_actor = bytes as f64 / count as f64;
    Ok(per_actor)
}
