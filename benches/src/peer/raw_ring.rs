//! Two pinned threads and bare rings: the ceiling of every path across shards.

use std::hint::{black_box, spin_loop};
use std::sync::{Arc, Barrier};

use crate::error::RunError;
use crate::machine::{join, pinned_thread};
use crate::spsc::{Item, ring};
use crate::timing::{Stopwatch, micros, millions_per_second, quantile};
use crate::workload::Run;

/// Items per publication: what a shard publishes at the least.
const BATCH: u64 = 32;
/// Items a consumer takes at once.
const DRAIN: usize = 256;

/// Streams 64-byte items from one thread to another; millions per second.
///
/// # Errors
/// When threads cannot be started or pinned.
pub fn stream(run: Run) -> Result<f64, RunError> {
    stream_by::<false>(run)
}

/// The same with the lines of later slots asked for in time, as the product's ring does; millions per second.
///
/// # Errors
/// When threads cannot be started or pinned.
pub fn stream_ahead(run: Run) -> Result<f64, RunError> {
    stream_by::<true>(run)
}

fn stream_by<const AHEAD: bool>(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(20_000_000);
    let (mut producer, mut consumer) = ring();
    let start = Arc::new(Barrier::new(2));
    let started = Arc::clone(&start);
    let writer = pinned_thread("ring-writer", 0, move || {
        started.wait();
        let watch = Stopwatch::start();
        for n in 0..count {
            if AHEAD {
                producer.claim_ahead();
            }
            while !producer.push(Item([n; 8])) {
                producer.publish();
                spin_loop();
            }
            if n % BATCH == BATCH - 1 {
                producer.publish();
            }
        }
        producer.publish();
        Ok(watch)
    })?;
    let reader = pinned_thread("ring-reader", 1, move || {
        start.wait();
        let (mut seen, mut sum) = (0u64, 0u64);
        while seen < count {
            let drained = consumer.drain(DRAIN, |item| sum = sum.wrapping_add(item.0[0]));
            seen += drained as u64;
            if drained == 0 {
                spin_loop();
            }
        }
        let end = Stopwatch::start();
        black_box(sum);
        Ok(end)
    })?;
    let begun = join(writer)?;
    let ended = join(reader)?;
    Ok(millions_per_second(count, ended.seconds_since(begun)))
}

/// Round trips timed together, so that the clock costs them little.
pub const TIMED_TOGETHER: u64 = 16;

/// One item to and fro, both threads spinning; p50 of nanoseconds per round trip.
///
/// # Errors
/// When threads cannot be started or pinned, or an item is lost.
pub fn round_trip(run: Run) -> Result<f64, RunError> {
    let samples = run.scale.of(20_000);
    let count = samples * TIMED_TOGETHER;
    let (mut out, mut far_in) = ring();
    let (mut far_out, mut back) = ring();
    let echo = pinned_thread("ring-echo", 1, move || {
        let mut answered = 0;
        while answered < count {
            let mut item = None;
            if far_in.drain(1, |seen| item = Some(*seen)) == 1 {
                answered += item.map_or(0, |item| u64::from(far_out.push(item)));
                far_out.publish();
            }
        }
        Ok(())
    })?;
    let caller = pinned_thread("ring-caller", 0, move || {
        let mut sum = 0u64;
        let mut times = Vec::new();
        for sample in 0..samples {
            let watch = Stopwatch::start();
            for trip in 0..TIMED_TOGETHER {
                // One item is in flight, so there is always room.
                out.push(Item([sample * TIMED_TOGETHER + trip; 8]));
                out.publish();
                while back.drain(1, |item| sum = sum.wrapping_add(item.0[0])) == 0 {}
            }
            times.push(watch.nanos());
        }
        if sum == (0..count).sum::<u64>() {
            Ok(times)
        } else {
            Err(RunError::work("items came back changed"))
        }
    })?;
    let mut times = join(caller)?;
    join(echo)?;
    per_trip(quantile(&mut times, 0.5))
}

/// Nanoseconds per round trip of those that were timed together.
///
/// # Errors
/// [`RunError::Work`] when there is no sample.
pub fn per_trip(nanos: Option<u64>) -> Result<f64, RunError> {
    #[expect(clippy::cast_precision_loss, reason = "a small constant")]
    let together = TIMED_TOGETHER as f64;
    Ok(micros(nanos)? * 1e3 / together)
}
