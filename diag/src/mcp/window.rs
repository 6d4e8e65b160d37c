//! Busy ratio of each shard over the last ten seconds, from samples of its cumulative busy time.
//!
//! Invariant: W1 a ratio is taken over the samples at hand; before there are two of them there is none.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use crate::source::ShardRow;

/// Samples kept; one per second.
const SAMPLES: usize = 11;

/// Samples of all shards: uptime in nanoseconds, then busy nanoseconds by shard.
#[derive(Debug, Default)]
pub(crate) struct Window {
    samples: RwLock<VecDeque<(u64, Vec<u64>)>>,
}

impl Window {
    /// Adds a sample taken when the node was `uptime_ns` old.
    pub(crate) fn sample(&self, uptime_ns: u64, shards: &[ShardRow]) {
        let mut samples = self.samples.write().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back((uptime_ns, shards.iter().map(|shard| shard.busy_ns).collect()));
    }

    /// Busy share of the shard at `index` since the oldest sample.
    pub(crate) fn ratio(&self, index: usize, uptime_ns: u64, busy_ns: u64) -> Option<f64> {
        let samples = self.samples.read().unwrap_or_else(PoisonError::into_inner);
        let (then_ns, busy) = samples.front()?;
        let wall = uptime_ns.checked_sub(*then_ns).filter(|wall| *wall > 0)?;
        let spent = busy_ns.saturating_sub(*busy.get(index)?);
        Some((spent as f64 / wall as f64).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_covers_the_window_only() {
        let window = Window::default();
        assert_eq!(window.ratio(0, 5, 5), None);
        for second in 0..20_u64 {
            let row = ShardRow { busy_ns: second * 500, ..ShardRow::default() };
            window.sample(second * 1000, &[row]);
        }
        let ratio = window.ratio(0, 20_000, 10_000);
        assert!(ratio.is_some_and(|ratio| (ratio - 0.5).abs() < 1e-9), "{ratio:?}");
        assert_eq!(window.ratio(1, 20_000, 10_000), None);
    }
}
