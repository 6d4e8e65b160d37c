//! The timers of the tokio world: `tokio::time::sleep`, and the `DelayQueue` of tokio-util, which is also a timer wheel.
//!
//! Threads: one current-thread runtime on processor 1. Both have a resolution of 1 ms, as ours has.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::time::Sleep;
use tokio_util::time::DelayQueue;

use crate::error::RunError;
use crate::machine::pin;
use crate::own::timers::{TIMERS, far, near};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

fn on_clock<T>(work: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
    pin(1)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(RunError::io("starting a current-thread runtime"))?
        .block_on(work)
}

/// Arms sleeps, as a first poll does, and drops all; M timers/s.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn sleeps_cancelled(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(TIMERS);
    on_clock(async {
        let mut armed: Vec<Pin<Box<Sleep>>> =
            Vec::with_capacity(usize::try_from(count).map_err(RunError::work)?);
        let watch = Stopwatch::start();
        poll_fn(|task| {
            for n in 0..count {
                let mut sleep = Box::pin(tokio::time::sleep(far(n)));
                // Far off, so it is armed and pending.
                let _ = sleep.as_mut().poll(task);
                armed.push(sleep);
            }
            Poll::Ready(())
        })
        .await;
        drop(armed);
        Ok(millions_per_second(count, watch.seconds()))
    })
}

/// Inserts into a `DelayQueue` and removes all by key; M timers/s.
///
/// # Errors
/// When the thread cannot be pinned.
pub fn queue_cancelled(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(TIMERS);
    on_clock(async {
        let mut queue = DelayQueue::new();
        let mut keys = Vec::with_capacity(usize::try_from(count).map_err(RunError::work)?);
        let watch = Stopwatch::start();
        for n in 0..count {
            keys.push(queue.insert(n, far(n)));
        }
        for key in &keys {
            queue.remove(key);
        }
        Ok(millions_per_second(count, watch.seconds()))
    })
}

/// Inserts into a `DelayQueue` and takes each as it expires; M timers/s.
///
/// # Errors
/// When the thread cannot be pinned or a timer is lost.
pub fn queue_fired(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(TIMERS);
    on_clock(async {
        let mut queue = DelayQueue::new();
        let watch = Stopwatch::start();
        for n in 0..count {
            queue.insert(n, near(n));
        }
        let mut fired = 0;
        while poll_fn(|task| queue.poll_expired(task)).await.is_some() {
            fired += 1;
        }
        let seconds = watch.seconds();
        if fired == count {
            Ok(millions_per_second(count, seconds))
        } else {
            Err(RunError::work(format_args!("{fired} of {count} timers fired")))
        }
    })
}
