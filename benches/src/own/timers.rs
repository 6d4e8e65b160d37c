//! A million timers of one shard: armed and cancelled, armed and fired.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;

use shard_runtime::{ActorResult, Context, Sleep, actor, handle, message};

use crate::error::RunError;
use crate::own::start::{Spread, World};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// Timers per run.
pub const TIMERS: u64 = 1_000_000;

/// When the `n`th of the timers that are cancelled would fire: between one and sixteen minutes from now.
#[must_use]
pub fn far(n: u64) -> Duration {
    Duration::from_millis(60_000 + n % 900_000)
}

/// When the `n`th of the timers that fire does: within 64 ms, which is less than arming all takes.
#[must_use]
pub fn near(n: u64) -> Duration {
    Duration::from_millis(1 + n % 64)
}

/// Has a [`Clockwork`] arm that many timers and drop them before they fire.
#[message(local)]
#[derive(Debug)]
pub struct Cancel {
    /// How many.
    pub count: u64,
    /// How many are armed at once.
    pub at_once: u64,
}

/// Has a [`Clockwork`] arm that many timers and wait for all.
#[message(local)]
#[derive(Debug)]
pub struct Fire {
    /// How many.
    pub count: u64,
}

/// A timer that fires.
#[message]
#[derive(Debug)]
pub struct Strike;

/// Arms timers.
#[derive(Debug)]
pub struct Clockwork {
    due: u64,
    done: mpsc::Sender<(Stopwatch, Stopwatch)>,
}

impl Clockwork {
    /// Where it tells when it began and when it was done.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<(Stopwatch, Stopwatch)>) {
        let (done, seen) = mpsc::channel();
        (Self { due: 0, done }, seen)
    }

    #[cold]
    fn finish(&self, begun: Stopwatch) {
        // The receiver is gone only if the run was given up.
        let _ = self.done.send((begun, Stopwatch::start()));
    }
}

#[actor]
impl Clockwork {
    #[handle]
    async fn cancel(&mut self, message: Cancel, cx: &mut Context<'_>) -> ActorResult {
        let mut armed: Vec<Sleep<'_>> = Vec::with_capacity(usize::try_from(message.at_once)?);
        let begun = Stopwatch::start();
        for _ in 0..message.count / message.at_once {
            armed.extend((0..message.at_once).map(|n| cx.sleep(far(n))));
            // A shard without room for a timer ends the sleep at once.
            let last = armed
                .last_mut()
                .map(|last| Pin::new(last).poll(&mut std::task::Context::from_waker(Waker::noop())));
            if last != Some(Poll::Pending) {
                return Err(RunError::work("a timer could not be armed").into());
            }
            armed.clear();
        }
        self.finish(begun);
        Ok(())
    }

    #[handle]
    async fn fire(&mut self, message: Fire, cx: &mut Context<'_>) -> ActorResult {
        self.due = message.count;
        let begun = Stopwatch::start();
        for n in 0..message.count {
            cx.send_after(cx.pid(), Strike, near(n))?;
        }
        // The strikes come after this handler has returned: the beginning is told first.
        let _ = self.done.send((begun, begun));
        Ok(())
    }

    #[handle]
    fn strike(&mut self, _: Strike, _cx: &mut Context<'_>) -> ActorResult {
        self.due -= 1;
        if self.due == 0 {
            let now = Stopwatch::start();
            self.finish(now);
        }
        Ok(())
    }
}

/// Arms 1 M timers (`sleep`), drops all before they fire; M timers/s.
///
/// # Errors
/// When the node refuses.
pub fn cancelled(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(TIMERS);
    let world = World::start(Spread::OneShard)?;
    let (clockwork, seen) = Clockwork::new();
    let to = world.spawn(0, move || clockwork)?;
    world.send(to, Cancel { count, at_once: count })?;
    let (begun, ended) = World::wait(&seen)?;
    Ok(millions_per_second(count, ended.seconds_since(begun)))
}

/// Arms 1 M timers (`send_after`) and handles the message of each; M timers/s.
///
/// # Errors
/// When the node refuses, or a timer is lost.
pub fn fired(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(TIMERS);
    let world = World::start(Spread::OneShard)?;
    let (clockwork, seen) = Clockwork::new();
    let to = world.spawn(0, move || clockwork)?;
    world.send(to, Fire { count })?;
    let (begun, _) = World::wait(&seen)?;
    let (_, ended) = World::wait(&seen)?;
    Ok(millions_per_second(count, ended.seconds_since(begun)))
}
