//! How long a restart waits.

use std::time::Duration;

use super::error::InvalidSpec;

/// An exponential back-off between restarts, for [`SupervisorSpec::backoff`](super::SupervisorSpec::backoff) and
/// [`ChildSpec::backoff`](super::ChildSpec::backoff). Without one a child is restarted at once.
///
/// The n-th restart in a row waits `first * factor^(n-1)`, never longer than `max`, then spread by the jitter. A child
/// that has been up for `max` or longer begins again at `first`.
///
/// ```
/// # use shard_runtime::Backoff;
/// # use std::time::Duration;
/// let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(5)).jitter(0.2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
}

impl Backoff {
    /// Waits `first`, then twice as long each time, up to `max`. No jitter.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, factor: 2.0, jitter: 0.0 }
    }

    /// Sets by how much a wait is longer than the one before, at least 1. Default 2.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets by which share a wait is made shorter or longer at random, 0 to 1. Default 0.
    #[must_use]
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// The wait before the restart number `attempt` in a row, counted from 1.
    pub(crate) fn delay(&self, attempt: u32, random: u64) -> Duration {
        let power = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let max = self.max.as_secs_f64();
        let plain = (self.first.as_secs_f64() * self.factor.powi(power)).min(max);
        // 53 bits, as many as the fraction of an f64 holds: exact, and below 1.
        let unit = (random >> 11) as f64 / (1u64 << 53) as f64;
        let spread = plain * (1.0 + self.jitter * (2.0 * unit - 1.0));
        Duration::try_from_secs_f64(spread.clamp(0.0, max)).unwrap_or(self.max)
    }

    /// How long a child must have been up to begin again at the first wait.
    pub(crate) const fn forgives_after(&self) -> Duration {
        self.max
    }

    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        let sound = self.factor.is_finite()
            && self.factor >= 1.0
            && (0.0..=1.0).contains(&self.jitter)
            && self.first <= self.max;
        if sound { Ok(()) } else { Err(InvalidSpec::Backoff) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, Duration};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::new(10 * MS, 50 * MS);
        let waits: Vec<_> = [1, 2, 3, 4, u32::MAX].map(|n| backoff.delay(n, 7).as_millis()).to_vec();
        assert_eq!(waits, [10, 20, 40, 50, 50]);
    }

    #[test]
    fn jitter_spreads_around_the_wait_and_not_beyond_the_longest() {
        let backoff = Backoff::new(100 * MS, 100 * MS).jitter(0.5);
        assert_eq!(backoff.delay(1, 0), 50 * MS);
        assert_eq!(backoff.delay(1, 1 << 63), 100 * MS);
        assert_eq!(backoff.delay(1, u64::MAX), 100 * MS);
        assert_eq!(Backoff::new(100 * MS, 900 * MS).jitter(0.5).delay(1, u64::MAX).as_millis(), 150);
    }

    #[test]
    fn what_cannot_be_waited_is_refused() {
        for bad in [
            Backoff::new(2 * MS, MS),
            Backoff::new(MS, MS).factor(0.5),
            Backoff::new(MS, MS).factor(f64::NAN),
            Backoff::new(MS, MS).factor(f64::INFINITY),
            Backoff::new(MS, MS).jitter(-0.1),
            Backoff::new(MS, MS).jitter(1.1),
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        assert!(Backoff::new(MS, MS).factor(1.0).jitter(1.0).validate().is_ok());
    }
}
