//! Work that stays on one shard, pinned to processor 1.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::Duration;

use crate::error::RunError;
use crate::own::actors::{Ball, Burst, Calls, Join, Player, Sink, Source, Tick};
use crate::own::start::{Spread, World};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// How long one process takes to stream `count` messages to another, in bursts of 256.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn stream_of(count: u64) -> Result<Duration, RunError> {
    stream_between(Spread::OneShard, 0, count)
}

/// The same between shard 0 and shard `to_shard`.
pub(crate) fn stream_between(spread: Spread, to_shard: usize, count: u64) -> Result<Duration, RunError> {
    let world = World::start(spread)?;
    let (sink, seen) = Sink::expecting(count);
    let to = world.spawn(to_shard, move || sink)?;
    let (source, _calls) = Source::new(to, count);
    let from = world.spawn(0, move || source)?;
    let watch = Stopwatch::start();
    world.send(from, Tick)?;
    Ok(World::wait(&seen)?.since(watch))
}

/// One process streams to another in bursts of 256; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn stream(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(20_000_000);
    Ok(millions_per_second(count, stream_of(count)?.as_secs_f64()))
}

/// The stream in a build without instruments; M msg/s.
///
/// # Errors
/// As for [`stream`], and when this program was built with them.
pub fn bare_stream(run: Run) -> Result<f64, RunError> {
    if cfg!(not(shard_bare)) {
        return Err(RunError::work(
            "this program has its instruments: give --bare the one that `make bare` builds",
        ));
    }
    stream(run)
}

/// One handler sends 3 M messages; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn burst(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(3_000_000);
    let world = World::start(Spread::OneShard)?;
    let (sink, seen) = Sink::expecting(count);
    let to = world.spawn(0, move || sink)?;
    let (source, _calls) = Source::new(to, 0);
    let from = world.spawn(0, move || source)?;
    let watch = Stopwatch::start();
    world.send(from, Burst { count })?;
    let end = World::wait(&seen)?;
    Ok(millions_per_second(count, end.seconds_since(watch)))
}

/// Seconds for `balls` balls to make `hops` hops in all among `players` players in a ring.
fn play(players: usize, balls: usize, hops: u64) -> Result<f64, RunError> {
    let world = World::start(Spread::OneShard)?;
    let (done, seen) = mpsc::channel();
    let in_play = Arc::new(AtomicU64::new(balls as u64));
    let mut all = Vec::with_capacity(players);
    for _ in 0..players {
        let player = Player::new(&in_play, &done);
        all.push(world.spawn(0, move || player)?);
    }
    for (from, to) in all.iter().zip(all.iter().cycle().skip(1)) {
        world.send(*from, Join { next: *to })?;
    }
    let watch = Stopwatch::start();
    for ball in 0..balls {
        if let Some(first) = all.get(ball * players / balls) {
            world.send(*first, Ball { left: hops / balls as u64 })?;
        }
    }
    Ok(World::wait(&seen)?.seconds_since(watch))
}

/// Two processes, one message to and fro; M round trips/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn ping_pong(run: Run) -> Result<f64, RunError> {
    let trips = run.scale.of(3_000_000);
    Ok(millions_per_second(trips, play(2, 1, trips * 2)?))
}

/// A ring of 1000 processes with 100 tokens; M hops/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn ring_1000(run: Run) -> Result<f64, RunError> {
    let hops = run.scale.of(10_000_000);
    Ok(millions_per_second(hops, play(1000, 100, hops)?))
}

/// How long `count` calls take, each awaited before the next.
///
/// # Errors
/// When the node refuses, or a call is not answered.
pub fn calls_of(count: u64) -> Result<Duration, RunError> {
    let world = World::start(Spread::OneShard)?;
    let (sink, _) = Sink::expecting(u64::MAX);
    let to = world.spawn(0, move || sink)?;
    let (source, seen) = Source::new(to, 0);
    let from = world.spawn(0, move || source)?;
    let watch = Stopwatch::start();
    world.send(from, Calls { count })?;
    Ok(World::wait(&seen)?.since(watch))
}

/// One process awaits each reply of another; M calls/s.
///
/// # Errors
/// When the node refuses, or a call is not answered.
pub fn call_reply(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(3_000_000);
    Ok(millions_per_second(count, calls_of(count)?.as_secs_f64()))
}
