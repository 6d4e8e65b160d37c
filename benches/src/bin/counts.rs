//! `counts PATH N`: does the work of one pure path N times, on one thread, without a kernel in the way.
//!
//! Meant to be run under callgrind, twice with different N, by `benches/counts.sh`: the difference of the instructions
//! divided by the difference of N is the price of one message, whatever the set-up costs.
#![expect(clippy::print_stderr, reason = "failures of a command-line program")]

use std::hint::black_box;
use std::process::ExitCode;

use shard_benches::error::RunError;
use shard_benches::frames::{Point, decode, encode};
use shard_benches::spsc::{Item, ring};
use shard_wire::frame::FrameBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A path that can be counted.
type Path = (&'static str, fn(u64) -> Result<(), RunError>);

static PATHS: &[Path] =
    &[("bare_ring", bare_ring), ("frame_encode", frame_encode), ("frame_round_trip", frame_round_trip)];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (name, count) = (args.next().unwrap_or_default(), args.next().and_then(|text| text.parse().ok()));
    let path = PATHS.iter().find(|(known, _)| *known == name);
    let (Some((_, work)), Some(count)) = (path, count) else {
        let known = PATHS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(" ");
        eprintln!("usage: counts PATH N, where PATH is one of: {known}");
        return ExitCode::from(2);
    };
    match work(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::from(2)
        }
    }
}

/// The peer of every path across shards: 64-byte items in batches of 32.
fn bare_ring(count: u64) -> Result<(), RunError> {
    const BATCH: u64 = 32;
    let (mut producer, mut consumer) = ring();
    let (mut next, mut seen, mut sum) = (0u64, 0u64, 0u64);
    while next < count {
        for n in next..count.min(next + BATCH) {
            if !producer.push(Item([n; 8])) {
                return Err(RunError::work("the ring is full though it was drained"));
            }
        }
        next = count.min(next + BATCH);
        producer.publish();
        seen += consumer.drain(256, |item| sum = sum.wrapping_add(item.0[0])) as u64;
    }
    black_box(sum);
    if seen == count { Ok(()) } else { Err(RunError::work(format_args!("{seen} of {count} items arrived"))) }
}

/// Frames of a small flat message per batch: 10 KiB.
const FRAMES: u64 = 128;

fn fill(batch: &mut FrameBuf, frames: u64) -> Result<(), RunError> {
    batch.clear();
    for n in 0..frames {
        encode(batch, &Point { x: n, y: 2, z: 3 }).map_err(RunError::work)?;
    }
    Ok(())
}

/// A message of 24 bytes into a batch buffer.
fn frame_encode(count: u64) -> Result<(), RunError> {
    let mut batch = FrameBuf::default();
    for _ in 0..count.div_ceil(FRAMES) {
        fill(&mut batch, FRAMES)?;
        black_box(batch.as_slice());
    }
    Ok(())
}

/// The same, and back: header, validation, message.
fn frame_round_trip(count: u64) -> Result<(), RunError> {
    let mut batch = FrameBuf::default();
    let mut sum = 0;
    for _ in 0..count.div_ceil(FRAMES) {
        fill(&mut batch, FRAMES)?;
        decode::<Point>(black_box(batch.as_slice()), |point| sum += point.x).map_err(RunError::work)?;
    }
    if sum == 0 { Err(RunError::work("no frame was decoded")) } else { Ok(()) }
}
