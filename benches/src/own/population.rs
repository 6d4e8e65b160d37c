//! Many processes that wait: how fast they come up, what each keeps resident, and what they cost while they sleep.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::Duration;

use shard_runtime::Pid;
use shard_runtime::wire::{IncarnationKey, LocalId};

use crate::error::RunError;
use crate::machine::{cpu_count, resident_bytes, thread_nanos};
use crate::own::actors::{Census, Founder, Tick};
use crate::own::start::{Spread, World};
use crate::peer::actix::LEAST_FOR_MEMORY;
use crate::timing::Stopwatch;
use crate::workload::Run;

/// How long `count` processes take to come up, `init` included, and what they keep resident, in bytes.
fn found(count: u64) -> Result<(Duration, u64), RunError> {
    let world = World::start(Spread::OneShard)?;
    let (done, seen) = mpsc::channel();
    let census = Arc::new(Census { missing: AtomicU64::new(count), done });
    let count = usize::try_from(count).map_err(RunError::work)?;
    // Touched here, so that the list of addresses is not counted as the processes' memory.
    let nobody = Pid { node: IncarnationKey(1), local: LocalId::CORE };
    let citizens = vec![nobody; count];
    let founder = world.spawn(0, move || Founder { census, citizens, count })?;
    let before = resident_bytes();
    let watch = Stopwatch::start();
    world.send(founder, Tick)?;
    let end = World::wait(&seen)?;
    Ok((end.since(watch), resident_bytes().saturating_sub(before)))
}

/// How long `count` processes take to come up, `init` included; above 1 M on several nodes, one after the other.
///
/// # Errors
/// When the node refuses.
pub fn spawn_of(count: u64) -> Result<Duration, RunError> {
    const AT_ONCE: u64 = 1_000_000;
    let (mut left, mut total) = (count, Duration::ZERO);
    while left > 0 {
        total += found(left.min(AT_ONCE))?.0;
        left = left.saturating_sub(AT_ONCE);
    }
    Ok(total)
}

/// Spawns 1 M processes from a handler and waits until each has run its `init`; seconds.
///
/// # Errors
/// When the node refuses.
pub fn spawn(run: Run) -> Result<f64, RunError> {
    Ok(spawn_of(run.scale.of(1_000_000))?.as_secs_f64())
}

/// How long the sleepers are watched.
const WATCHED: Duration = Duration::from_secs(2);

/// Share of one core, in percent, that a node of 100,000 sleeping processes uses, all its threads together.
///
/// # Errors
/// When the node refuses.
pub fn idle(run: Run) -> Result<f64, RunError> {
    let shards = cpu_count();
    let each = run.scale.of(100_000) / shards as u64;
    let world = World::start(Spread::OneShardPerCpu)?;
    let (done, seen) = mpsc::channel();
    let census = Arc::new(Census { missing: AtomicU64::new(each * shards as u64), done });
    let count = usize::try_from(each).map_err(RunError::work)?;
    for shard in 0..shards {
        let census = Arc::clone(&census);
        let founder =
            world.spawn(shard, move || Founder { census, citizens: Vec::with_capacity(count), count })?;
        world.send(founder, Tick)?;
    }
    World::wait(&seen)?;
    // The shards look once more at their lanes, publish what they know and park.
    let (_nothing, quiet) = mpsc::channel::<()>();
    let _ = quiet.recv_timeout(WATCHED / 10);
    let (before, watch) = (thread_nanos()?, Stopwatch::start());
    let _ = quiet.recv_timeout(WATCHED);
    let used = thread_nanos()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of some seconds")]
    let share = used as f64 / watch.nanos() as f64;
    Ok(share * 100.0)
}

/// Resident bytes per idle process, of 1 M.
///
/// # Errors
/// When the node refuses.
pub fn memory(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(1_000_000).max(LEAST_FOR_MEMORY);
    let (_, bytes) = found(count)?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of one process")]
    let per_process = bytes as f64 / count as f64;
    Ok(per_process)
}
