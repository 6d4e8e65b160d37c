//! The tokio runtimes on which ractor and kameo run, and how their streams are sent.
//!
//! Work of one shard runs on a current-thread runtime pinned to processor 1; work across shards on a multi-thread runtime
//! with two workers, which tokio places as it likes: that is how both are documented to be used.
//! Streams are sent in the shape in which actix's were recorded: a task that yields every 1000 messages.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;
use tokio::task::yield_now;

use crate::error::RunError;
use crate::machine::pin;
use crate::timing::Stopwatch;

/// Messages between two yields of a sending task.
const YIELD_EVERY: u64 = 1000;

/// Runs `work` as a task of a current-thread runtime on processor 1.
///
/// # Errors
/// When the thread cannot be pinned, or what `work` returns.
pub fn on_one_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T, RunError>> + Send + 'static,
) -> Result<T, RunError> {
    pin(1)?;
    let runtime =
        Builder::new_current_thread().build().map_err(RunError::io("starting a current-thread runtime"))?;
    let task = runtime.spawn(work);
    runtime.block_on(task).map_err(RunError::work)?
}

/// Runs `work` as a task of a runtime with `workers` worker threads.
///
/// # Errors
/// When threads cannot be started, or what `work` returns.
pub fn on_workers<T: Send + 'static>(
    workers: usize,
    work: impl Future<Output = Result<T, RunError>> + Send + 'static,
) -> Result<T, RunError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .build()
        .map_err(RunError::io("starting a multi-thread runtime"))?;
    // On a worker, not on this thread: that would be one thread more than the runtime has.
    let task = runtime.spawn(work);
    runtime.block_on(task).map_err(RunError::work)?
}

/// Starts a task on the runtime of the caller. How it fails is seen by what it does not do.
pub fn start(work: impl Future<Output = Result<(), RunError>> + Send + 'static) {
    drop(Handle::current().spawn(work));
}

/// Calls `send` `count` times and lets others run after every 1000.
///
/// # Errors
/// The first refusal.
pub async fn send_yielding(
    count: u64,
    mut send: impl FnMut() -> Result<(), RunError>,
) -> Result<(), RunError> {
    for n in 0..count {
        send()?;
        if n % YIELD_EVERY == 0 {
            yield_now().await;
        }
    }
    Ok(())
}

/// Counts down, and tells when the last is done. Shared by the actors of a run.
#[derive(Debug, Clone)]
pub struct Finish {
    left: Arc<AtomicU64>,
    seen: mpsc::UnboundedSender<Stopwatch>,
}

impl Finish {
    /// Of `parts`, and where the last tells.
    #[must_use]
    pub fn of(parts: u64) -> (Self, mpsc::UnboundedReceiver<Stopwatch>) {
        let (seen, end) = mpsc::unbounded_channel();
        (Self { left: Arc::new(AtomicU64::new(parts)), seen }, end)
    }

    /// One part is done.
    pub fn part_done(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The receiver is gone only if the run was given up.
            let _ = self.seen.send(Stopwatch::start());
        }
    }
}

/// Waits for the end that a [`Finish`] tells.
///
/// # Errors
/// [`RunError::Work`] when every actor of the run is gone.
pub async fn wait(end: &mut mpsc::UnboundedReceiver<Stopwatch>) -> Result<Stopwatch, RunError> {
    end.recv().await.ok_or_else(|| RunError::work("the actors went away before they had done their work"))
}
