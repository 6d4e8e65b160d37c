//! The memory of this process, sampled while a soak runs.
//!
//! The bound: between the second fifth of the run and the last one, the median of the resident set may grow by [`GROWTH`].
//! The first fifth is warm-up: pools and tables fill.

use std::time::Duration;

/// Most growth, in bytes.
pub(super) const GROWTH: u64 = 8 << 20;
const PAGE: u64 = 4096;
/// Fewer samples than this say nothing.
const FEWEST: usize = 50;
/// Time between two samples.
const EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Memory {
    samples: Vec<u64>,
    next: Duration,
}

/// What the samples say.
pub(super) struct Growth {
    pub(super) early: u64,
    pub(super) late: u64,
}

impl Memory {
    /// Takes a sample if it is time.
    pub(super) fn sample(&mut self, elapsed: Duration) {
        if elapsed < self.next {
            return;
        }
        self.next = elapsed + EVERY;
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let resident = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        if let Some(pages) = resident {
            self.samples.push(pages * PAGE);
        }
    }

    /// Medians of the second and of the last fifth; `None` after too short a run.
    pub(super) fn growth(&self) -> Option<Growth> {
        if self.samples.len() < FEWEST {
            return None;
        }
        let fifth = self.samples.len() / 5;
        let median = |samples: &[u64]| {
            let mut samples = samples.to_vec();
            samples.sort_unstable();
            samples[samples.len() / 2]
        };
        let early = median(&self.samples[fifth..2 * fifth]);
        let late = median(&self.samples[self.samples.len() - fifth..]);
        Some(Growth { early, late })
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use std::time::Duration;

    #[test]
    fn growth_is_told_from_warm_up() {
        let mut memory = Memory::default();
        assert!(memory.growth().is_none());
        memory.samples = (0..100u64).map(|at| if at < 20 { at } else { 20 }).collect();
        let flat = memory.growth().unwrap();
        assert_eq!((flat.early, flat.late), (20, 20));
        memory.samples = (0..100).collect();
        let growing = memory.growth().unwrap();
        assert_eq!((growing.early, growing.late), (30, 90));
        memory.samples.clear();
        memory.sample(Duration::ZERO);
        memory.sample(Duration::from_millis(1));
        assert_eq!(memory.samples.len(), 1, "too early for another one");
        assert!(memory.samples[0] > 1 << 20);
    }
}
