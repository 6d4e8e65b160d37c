//! One glommio task per actor and a local channel as its mailbox: what the engine offers without our pump.
//!
//! Threads: one executor on processor 1.

use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_bounded, new_unbounded};
use glommio::{LocalExecutorBuilder, Placement, spawn_local};

use crate::error::RunError;
use crate::machine::cpu_count;
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// Registered memory of the executor: it serves file I/O only.
const IO_MEMORY: usize = 64 << 10;
/// Messages that a mailbox holds before its sender waits.
const MAILBOX: usize = 1024;

fn on_executor<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    LocalExecutorBuilder::new(Placement::Fixed(1 % cpu_count()))
        .io_memory(IO_MEMORY)
        .spawn(move || async move { work().await })
        .map_err(RunError::work)?
        .join()
        .map_err(RunError::work)?
}

fn gone<T>(_: T) -> RunError {
    RunError::work("a task went away before it had seen all messages")
}

/// One task streams to another through a bounded channel; M msg/s.
///
/// # Errors
/// When the executor cannot be started or messages are lost.
pub fn stream(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(3_000_000);
    on_executor(async move || {
        let (to, from) = new_bounded::<u64>(MAILBOX);
        let sink = spawn_local(async move {
            let mut total = 0;
            while let Some(n) = from.recv().await {
                total += n;
            }
            (total, Stopwatch::start())
        });
        let watch = Stopwatch::start();
        for _ in 0..count {
            to.send(1).await.map_err(gone)?;
        }
        drop(to);
        let (total, end) = sink.await;
        if total == count { Ok(millions_per_second(count, end.seconds_since(watch))) } else { Err(gone(())) }
    })
}

/// Passes a ball to and fro until it has no hops left.
async fn play(from: LocalReceiver<u64>, to: LocalSender<u64>) -> Result<(), RunError> {
    while let Some(left) = from.recv().await {
        if left == 0 {
            break;
        }
        to.try_send(left - 1).map_err(gone)?;
    }
    Ok(())
}

/// Two tasks, one message to and fro; M round trips/s.
///
/// # Errors
/// When the executor cannot be started or messages are lost.
pub fn ping_pong(run: Run) -> Result<f64, RunError> {
    let trips = run.scale.of(1_000_000);
    on_executor(async move || {
        let (to_one, of_one) = new_unbounded();
        let (to_other, of_other) = new_unbounded();
        to_one.try_send(trips * 2).map_err(gone)?;
        let watch = Stopwatch::start();
        // The ball has an even number of hops, so it ends where it began.
        let other = spawn_local(play(of_other, to_one));
        spawn_local(play(of_one, to_other)).await?;
        let seconds = watch.seconds();
        // Its mailbox is closed by now.
        other.await?;
        Ok(millions_per_second(trips, seconds))
    })
}
