//! Work between shards: sender on shard 0 (processor 0), receiver on shard 1 (processor 1).

use std::sync::mpsc;
use std::time::Duration;

use crate::error::RunError;
use crate::machine::{cpu_count, pin};
use crate::own::actors::{Caller, Collector, Echo, Sink, Sleeper, Source, Tick, Waker};
use crate::own::same_shard::stream_between;
use crate::own::start::{Spread, World};
use crate::peer::futex::{GAP, WAKES};
use crate::peer::raw_ring::{TIMED_TOGETHER, per_trip};
use crate::timing::{Stopwatch, micros, millions_per_second, quantile, rest_for, spin_for};
use crate::workload::Run;

/// How long one process takes to stream `count` messages to another on another shard, in bursts of 256.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn stream_of(count: u64) -> Result<Duration, RunError> {
    stream_between(Spread::TwoShards, 1, count)
}

/// One process streams to another on another shard in bursts of 256; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn stream(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(20_000_000);
    Ok(millions_per_second(count, stream_of(count)?.as_secs_f64()))
}

/// The same, and an idle shard polls for 50 us before it parks (`idle_spin`); M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn patient_stream(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(20_000_000);
    let took = stream_between(Spread::TwoShardsPatient, 1, count)?;
    Ok(millions_per_second(count, took.as_secs_f64()))
}

/// As many pairs as processors, each receiver on the shard after its sender's; M msg/s in all.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn many_to_many(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(5_000_000);
    let world = World::start(Spread::OneShardPerCpu)?;
    let mut sources = Vec::new();
    let mut ends = Vec::new();
    for pair in 0..cpu_count() {
        let (sink, seen) = Sink::expecting(count);
        let to = world.spawn((pair + 1) % cpu_count(), move || sink)?;
        let (source, _calls) = Source::new(to, count);
        sources.push(world.spawn(pair, move || source)?);
        ends.push(seen);
    }
    let watch = Stopwatch::start();
    for from in sources {
        world.send(from, Tick)?;
    }
    let mut seconds = 0.0_f64;
    for seen in &ends {
        seconds = seconds.max(World::wait(seen)?.seconds_since(watch));
    }
    Ok(millions_per_second(count * cpu_count() as u64, seconds))
}

/// One message to another shard and back, both shards busy-polling; p50 of nanoseconds per round trip.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn round_trip(run: Run) -> Result<f64, RunError> {
    let groups = usize::try_from(run.scale.of(20_000)).map_err(RunError::work)?;
    let world = World::start(Spread::TwoShardsPolling)?;
    let to = world.spawn(1, Echo::default)?;
    let (caller, seen) = Caller::new(to, groups, TIMED_TOGETHER);
    let from = world.spawn(0, move || caller)?;
    world.send(from, Tick)?;
    let mut times = World::wait(&seen)?;
    per_trip(quantile(&mut times, 0.5))
}

/// One way from a handler on shard 0 to a handler on the parked shard 1; p50 in microseconds.
///
/// Each turn is started from outside, from processor 0, which waits until the message has arrived: so shard 1 has had at
/// least the gap to fall asleep.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn wake(run: Run) -> Result<f64, RunError> {
    let origin = Stopwatch::start();
    let world = World::start(Spread::TwoShards)?;
    let (done, seen) = mpsc::channel();
    let to = world.spawn(1, move || Sleeper { origin, seen: done })?;
    let from = world.spawn(0, move || Waker { to, origin })?;
    pin(0)?;
    let mut waits = Vec::new();
    for _ in 0..run.scale.of(WAKES) {
        spin_for(GAP);
        world.send(from, Tick)?;
        waits.push(World::wait(&seen)?);
    }
    micros(quantile(&mut waits, 0.5))
}

/// Streams that keep the receiver's shard busy: each is a source that sends bursts of 256 and a sink.
const STREAMS: usize = 8;

/// One way from a handler on shard 0 to a handler on shard 1, which eight endless streams keep busy; p99 in microseconds.
///
/// One message about every 100 us, and none waits for another: the receiver only writes down how long each was on its way.
/// Who starts them sleeps in between: with a thread that spins beside two busy shards, a machine of two processors would
/// show its scheduler's time slices.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn into_busy(run: Run) -> Result<f64, RunError> {
    let messages = run.scale.of(WAKES);
    let origin = Stopwatch::start();
    let world = World::start(Spread::TwoShards)?;
    for _ in 0..STREAMS {
        let (sink, _endless) = Sink::expecting(u64::MAX);
        let to = world.spawn(1, move || sink)?;
        let (source, _calls) = Source::new(to, u64::MAX);
        let from = world.spawn(1, move || source)?;
        world.send(from, Tick)?;
    }
    let expected = usize::try_from(messages).map_err(RunError::work)?;
    let (collector, seen) = Collector::of(expected, origin);
    let to = world.spawn(1, move || collector)?;
    let from = world.spawn(0, move || Waker { to, origin })?;
    pin(0)?;
    for _ in 0..messages {
        rest_for(GAP);
        world.send(from, Tick)?;
    }
    let mut waits = World::wait(&seen)?;
    micros(quantile(&mut waits, 0.99))
}
