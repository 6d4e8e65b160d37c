//! The one clock of the benches.
//!
//! Reads the monotonic clock directly: the shard clock is a coarse clock of the code under test and must not measure it.
//! Cost: about 20 ns per read, so sides read it around batches, never around single messages of a stream.
#![expect(
    clippy::disallowed_methods,
    reason = "a bench measures the runtime from outside with the system's own clock"
)]

use std::time::{Duration, Instant};

use crate::error::RunError;

/// A point in time that threads may hand to each other.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The later of two.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// From `earlier` to this one; zero if `earlier` is the later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// Seconds from `earlier` to this one; zero if `earlier` is the later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.since(earlier).as_secs_f64()
    }
}

/// Keeps this thread busy for `span`, so that a peer thread has time to fall asleep while this core stays awake.
pub fn spin_for(span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        std::hint::spin_loop();
    }
}

/// Gives this thread's processor away for about `span`, so that work elsewhere is paced and not disturbed.
pub fn rest_for(span: Duration) {
    let start = Instant::now();
    while let Some(left) = span.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Millions per second of `count` things done in `seconds`.
#[must_use]
pub fn millions_per_second(count: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    let count = count as f64;
    count / seconds / 1e6
}

/// The `quantile` (0 to 1) of `values`, which it sorts; `None` of an empty slice.
#[must_use]
pub fn quantile(values: &mut [u64], quantile: f64) -> Option<u64> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a slice of at most a few million samples, between 0 and its last index"
    )]
    let index = (last as f64 * quantile.clamp(0.0, 1.0)).round() as usize;
    values.get(index).copied()
}

/// Nanoseconds to microseconds.
///
/// # Errors
/// [`RunError::Work`] when there is no sample.
pub fn micros(nanos: Option<u64>) -> Result<f64, RunError> {
    let nanos = nanos.ok_or_else(|| RunError::work("no sample was taken"))?;
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a wait")]
    let nanos = nanos as f64;
    Ok(nanos / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_taken_from_sorted_values() {
        let mut values = [9, 1, 5, 3, 7];
        assert_eq!(quantile(&mut values, 0.5), Some(5));
        assert_eq!(quantile(&mut values, 0.0), Some(1));
        assert_eq!(quantile(&mut values, 1.0), Some(9));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
