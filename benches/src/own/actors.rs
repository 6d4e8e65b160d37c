//! The actors of the workloads. Nothing here is tuned: handlers are `async fn` where a user would write them so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use shard_runtime::{
    ActorError, ActorResult, Context, Pid, SendReason, SpawnOptions, actor, handle, message,
};

use crate::timing::Stopwatch;

/// Messages a streaming source sends per activation.
pub const BURST: u64 = 256;

/// One message of a stream.
#[message]
#[derive(Debug)]
pub struct Add {
    /// What it adds.
    pub n: u64,
}

/// Asks a [`Sink`] how much it has seen.
#[message(reply = u64)]
#[derive(Debug)]
pub struct Total;

/// Counts messages and tells when it has seen all.
#[derive(Debug)]
pub struct Sink {
    total: u64,
    expected: u64,
    done: mpsc::Sender<Stopwatch>,
}

impl Sink {
    /// A sink that stops the clock at `expected`, and where it will tell.
    #[must_use]
    pub fn expecting(expected: u64) -> (Self, mpsc::Receiver<Stopwatch>) {
        let (done, seen) = mpsc::channel();
        (Self { total: 0, expected, done }, seen)
    }

    #[cold]
    fn finish(&self) {
        // The receiver is gone only if the run was given up.
        let _ = self.done.send(Stopwatch::start());
    }
}

#[actor]
impl Sink {
    #[handle]
    async fn add(&mut self, message: Add, _cx: &mut Context<'_>) -> ActorResult {
        self.total += message.n;
        if self.total == self.expected {
            self.finish();
        }
        Ok(())
    }

    #[handle]
    async fn total(&mut self, _: Total, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.total += 1;
        Ok(self.total)
    }

    #[handle]
    async fn greet(&mut self, greet: Greet, cx: &mut Context<'_>) -> ActorResult {
        cx.send(greet.whom, Hello { n: 0 })?;
        Ok(())
    }
}

/// Has a process say [`Hello`] to one of another node, which learns its address by it.
#[message(local)]
#[derive(Debug)]
pub struct Greet {
    /// Whom to greet.
    pub whom: Pid,
}

/// Says who its sender is.
#[message]
#[derive(Debug)]
pub struct Hello {
    /// Nothing.
    pub n: u64,
}

/// Tells who has said [`Hello`].
#[derive(Debug)]
pub struct Porter {
    /// Told each sender.
    pub told: mpsc::Sender<Pid>,
}

#[actor]
impl Porter {
    #[handle]
    async fn hello(&mut self, _: Hello, cx: &mut Context<'_>) -> ActorResult {
        // The receiver is gone only if the run was given up.
        let _ = self.told.send(cx.sender());
        Ok(())
    }
}

/// Times awaited calls one by one.
#[derive(Debug)]
pub struct TimedCaller {
    to: Pid,
    count: usize,
    done: mpsc::Sender<Vec<u64>>,
}

impl TimedCaller {
    /// A caller of `count` calls to `to`, and where it tells the times.
    #[must_use]
    pub fn new(to: Pid, count: usize) -> (Self, mpsc::Receiver<Vec<u64>>) {
        let (done, seen) = mpsc::channel();
        (Self { to, count, done }, seen)
    }
}

#[actor]
impl TimedCaller {
    #[handle]
    async fn start(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        let mut times = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            let watch = Stopwatch::start();
            cx.call(self.to, Total).await?;
            times.push(watch.nanos());
        }
        // The receiver is gone only if the run was given up.
        let _ = self.done.send(times);
        Ok(())
    }
}

/// Callers that stop the clock together.
#[derive(Debug)]
pub struct Crowd {
    busy: Arc<AtomicU64>,
    done: mpsc::Sender<Stopwatch>,
}

impl Crowd {
    /// A crowd of `members`, and where the last to finish tells.
    #[must_use]
    pub fn new(members: u64) -> (Self, mpsc::Receiver<Stopwatch>) {
        let (done, seen) = mpsc::channel();
        (Self { busy: Arc::new(AtomicU64::new(members)), done }, seen)
    }

    /// One caller of `count` calls.
    #[must_use]
    pub fn member(&self, to: Pid, count: u64) -> CrowdCaller {
        CrowdCaller { to, count, busy: Arc::clone(&self.busy), done: self.done.clone() }
    }
}

/// One of a [`Crowd`].
#[derive(Debug)]
pub struct CrowdCaller {
    to: Pid,
    count: u64,
    busy: Arc<AtomicU64>,
    done: mpsc::Sender<Stopwatch>,
}

#[actor]
impl CrowdCaller {
    #[handle]
    async fn start(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..self.count {
            cx.call(self.to, Total).await?;
        }
        if self.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send(Stopwatch::start());
        }
        Ok(())
    }
}

/// Lets a [`Source`] send its next burst.
#[message]
#[derive(Debug)]
pub struct Tick;

/// Lets a [`Source`] send that many at once.
#[message]
#[derive(Debug)]
pub struct Burst {
    /// How many.
    pub count: u64,
}

/// Lets a [`Source`] call that many times, one after the other.
#[message]
#[derive(Debug)]
pub struct Calls {
    /// How many.
    pub count: u64,
}

/// Sends to one process.
#[derive(Debug)]
pub struct Source {
    to: Pid,
    left: u64,
    done: mpsc::Sender<Stopwatch>,
}

impl Source {
    /// A source of `left` messages to `to`, and where it tells that its calls are done.
    #[must_use]
    pub fn new(to: Pid, left: u64) -> (Self, mpsc::Receiver<Stopwatch>) {
        let (done, seen) = mpsc::channel();
        (Self { to, left, done }, seen)
    }
}

#[actor]
impl Source {
    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..self.left.min(BURST) {
            match cx.send(self.to, Add { n: 1 }) {
                Ok(()) => self.left -= 1,
                // The way to the receiver's shard is full: the rest goes after others have run.
                Err(error) if matches!(error.reason, SendReason::Overloaded) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.left > 0 {
            cx.send(cx.pid(), Tick)?;
        }
        Ok(())
    }

    #[handle]
    async fn burst(&mut self, message: Burst, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..message.count {
            cx.send(self.to, Add { n: 1 })?;
        }
        Ok(())
    }

    #[handle]
    async fn calls(&mut self, message: Calls, cx: &mut Context<'_>) -> ActorResult {
        let mut last = 0;
        for _ in 0..message.count {
            last = cx.call(self.to, Total).await?;
        }
        if last >= message.count {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send(Stopwatch::start());
        }
        Ok(())
    }
}

/// A ball that is passed on until it has no hops left.
#[message]
#[derive(Debug)]
pub struct Ball {
    /// Hops to go.
    pub left: u64,
}

/// Tells a [`Player`] whom to pass to.
#[message(local)]
#[derive(Debug)]
pub struct Join {
    /// The next player.
    pub next: Pid,
}

/// Passes balls on.
#[derive(Debug)]
pub struct Player {
    next: Option<Pid>,
    balls: Arc<AtomicU64>,
    done: mpsc::Sender<Stopwatch>,
}

impl Player {
    /// A player; `balls` counts those still in play, and the last to end stops the clock.
    #[must_use]
    pub fn new(balls: &Arc<AtomicU64>, done: &mpsc::Sender<Stopwatch>) -> Self {
        Self { next: None, balls: Arc::clone(balls), done: done.clone() }
    }
}

#[actor]
impl Player {
    #[handle]
    async fn ball(&mut self, ball: Ball, cx: &mut Context<'_>) -> ActorResult {
        if ball.left > 0 {
            if let Some(next) = self.next {
                cx.send(next, Ball { left: ball.left - 1 })?;
            }
        } else if self.balls.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send(Stopwatch::start());
        }
        Ok(())
    }

    #[handle]
    async fn join(&mut self, join: Join, _cx: &mut Context<'_>) -> ActorResult {
        self.next = Some(join.next);
        Ok(())
    }
}

/// A round trip's message, there and back.
#[message]
#[derive(Debug)]
pub struct Ping {
    /// Who asks.
    pub number: u64,
}

/// Sends every [`Ping`] back to its sender.
#[derive(Debug, Default)]
pub struct Echo;

#[actor]
impl Echo {
    #[handle]
    async fn ping(&mut self, ping: Ping, cx: &mut Context<'_>) -> ActorResult {
        cx.send(cx.sender(), ping)?;
        Ok(())
    }

    #[handle]
    async fn greet(&mut self, greet: Greet, cx: &mut Context<'_>) -> ActorResult {
        cx.send(greet.whom, Hello { n: 0 })?;
        Ok(())
    }
}

/// Keeps one [`Ping`] in flight and times groups of round trips.
#[derive(Debug)]
pub struct Caller {
    to: Pid,
    group: u64,
    groups_left: usize,
    in_group: u64,
    watch: Stopwatch,
    times: Vec<u64>,
    done: mpsc::Sender<Vec<u64>>,
}

impl Caller {
    /// A caller that times `groups` groups of `group` round trips with `to`, and where it tells the times.
    #[must_use]
    pub fn new(to: Pid, groups: usize, group: u64) -> (Self, mpsc::Receiver<Vec<u64>>) {
        let (done, seen) = mpsc::channel();
        let times = Vec::with_capacity(groups);
        (Self { to, group, groups_left: groups, in_group: 0, watch: Stopwatch::start(), times, done }, seen)
    }
}

#[actor]
impl Caller {
    #[handle]
    async fn ping(&mut self, ping: Ping, cx: &mut Context<'_>) -> ActorResult {
        self.in_group += 1;
        if self.in_group == self.group {
            self.in_group = 0;
            self.times.push(self.watch.nanos());
            self.groups_left = self.groups_left.saturating_sub(1);
            if self.groups_left == 0 {
                // The receiver is gone only if the run was given up.
                let _ = self.done.send(std::mem::take(&mut self.times));
                return Ok(());
            }
            self.watch = Stopwatch::start();
        }
        cx.send(self.to, Ping { number: ping.number + 1 })?;
        Ok(())
    }

    #[handle]
    async fn start(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        self.watch = Stopwatch::start();
        cx.send(self.to, Ping { number: 0 })?;
        Ok(())
    }
}

/// Nanoseconds since the run's origin at which it was sent.
#[message]
#[derive(Debug)]
pub struct Stamped {
    /// See above.
    pub sent_at: u64,
}

/// Sends one time stamp per [`Tick`].
#[derive(Debug)]
pub struct Waker {
    /// The sleeper.
    pub to: Pid,
    /// Start of the run.
    pub origin: Stopwatch,
}

#[actor]
impl Waker {
    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        cx.send(self.to, Stamped { sent_at: self.origin.nanos() })?;
        Ok(())
    }
}

/// Tells how long each time stamp was on its way.
#[derive(Debug)]
pub struct Sleeper {
    /// Start of the run.
    pub origin: Stopwatch,
    /// Told each way's nanoseconds.
    pub seen: mpsc::Sender<u64>,
}

#[actor]
impl Sleeper {
    #[handle]
    async fn stamped(&mut self, message: Stamped, _cx: &mut Context<'_>) -> ActorResult {
        // The receiver is gone only if the run was given up.
        let _ = self.seen.send(self.origin.nanos().saturating_sub(message.sent_at));
        Ok(())
    }
}

/// Writes down how long each time stamp was on its way, and tells all at the end.
#[derive(Debug)]
pub struct Collector {
    origin: Stopwatch,
    waits: Vec<u64>,
    expected: usize,
    seen: mpsc::Sender<Vec<u64>>,
}

impl Collector {
    /// Of `expected` stamps counted from `origin`, and where it tells.
    #[must_use]
    pub fn of(expected: usize, origin: Stopwatch) -> (Self, mpsc::Receiver<Vec<u64>>) {
        let (seen, told) = mpsc::channel();
        (Self { origin, waits: Vec::with_capacity(expected), expected, seen }, told)
    }
}

#[actor]
impl Collector {
    #[handle]
    async fn stamped(&mut self, message: Stamped, _cx: &mut Context<'_>) -> ActorResult {
        self.waits.push(self.origin.nanos().saturating_sub(message.sent_at));
        if self.waits.len() == self.expected {
            // The receiver is gone only if the run was given up.
            let _ = self.seen.send(std::mem::take(&mut self.waits));
        }
        Ok(())
    }
}

/// Tells when all of a population have run their `init`.
#[derive(Debug)]
pub struct Census {
    /// How many are missing.
    pub missing: AtomicU64,
    /// Told by the last.
    pub done: mpsc::Sender<Stopwatch>,
}

/// A small actor: one pointer of state, and an `init` that says that it is up.
#[derive(Debug)]
pub struct Citizen {
    census: Arc<Census>,
}

#[actor]
impl Citizen {
    async fn init(&mut self, _cx: &mut Context<'_>) -> ActorResult {
        if self.census.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The receiver is gone only if the run was given up.
            let _ = self.census.done.send(Stopwatch::start());
        }
        Ok(())
    }

    #[handle]
    async fn add(&mut self, _: Add, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

/// Spawns as many [`Citizen`]s as its list has room for, on its own shard.
#[derive(Debug)]
pub struct Founder {
    /// Shared by all citizens.
    pub census: Arc<Census>,
    /// Keeps the addresses. Its memory is touched before the run.
    pub citizens: Vec<Pid>,
    /// How many to spawn.
    pub count: usize,
}

#[actor]
impl Founder {
    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        self.citizens.clear();
        while self.citizens.len() < self.count {
            let census = Arc::clone(&self.census);
            self.citizens.push(cx.spawn(move || Citizen { census }, SpawnOptions::default())?);
        }
        Ok(())
    }
}
