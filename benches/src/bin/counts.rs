//! `counts PATH N`: does the work of one pure path N times, on one thread, without a kernel in the way.
//!
//! Meant to be run under callgrind, twice with different N, by `benches/counts.sh`: the difference of the instructions
//! divided by the difference of N is the price of one message, whatever the set-up costs.
#![expect(clippy::print_stderr, reason = "failures of a command-line program")]

use std::hint::black_box;
use std::process::ExitCode;

use shard_benches::error::RunError;
use shard_benches::spsc::{Item, ring};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A path that can be counted.
type Path = (&'static str, fn(u64) -> Result<(), RunError>);

static PATHS: &[Path] = &[("bare_ring", bare_ring)];

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
