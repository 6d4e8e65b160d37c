//! How many restarts within which time are too many.
//!
//! Invariants: W1 `times` ascends. W2 it never holds more than `limit + 1` entries.

use std::collections::VecDeque;
use std::time::Duration;

/// Restarts allowed within [`DEFAULT_PERIOD`] when a supervisor names no intensity.
pub(crate) const DEFAULT_INTENSITY: u16 = 5;

/// The period when none is named.
pub(crate) const DEFAULT_PERIOD: Duration = Duration::from_secs(5);

/// The times of the latest restarts of one budget: a supervisor's, or a child's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    times: VecDeque<u64>,
}

impl Window {
    /// Counts a restart at `now` (nanoseconds) and says whether it is one too many: more than `limit` restarts, this
    /// one included, of which none is more than `period` ago.
    pub(super) fn exceeds(&mut self, now: u64, limit: u16, period: Duration) -> bool {
        self.times.push_back(now);
        if self.times.len() <= usize::from(limit) {
            return false;
        }
        while self.times.front().is_some_and(|&time| now.saturating_sub(time) > nanos(period)) {
            self.times.pop_front();
        }
        self.times.len() > usize::from(limit)
    }

    /// How many restarts at `now` are not more than `period` ago.
    pub(super) fn used(&self, now: u64, period: Duration) -> usize {
        let recent = self.times.iter().rev().take_while(|&&time| now.saturating_sub(time) <= nanos(period));
        recent.count()
    }

    /// Forgets all restarts.
    pub(super) fn clear(&mut self) {
        self.times.clear();
    }
}

fn nanos(period: Duration) -> u64 {
    u64::try_from(period.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_INTENSITY, DEFAULT_PERIOD, Window};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_sixth_restart_within_five_seconds_is_too_many() {
        let mut window = Window::default();
        let fatal: Vec<_> =
            (0..6).map(|n| window.exceeds(n * SECOND, DEFAULT_INTENSITY, DEFAULT_PERIOD)).collect();
        assert_eq!(fatal, [false, false, false, false, false, true], "5 s ago is not older than 5 s");
    }

    #[test]
    fn only_strictly_older_restarts_are_forgotten() {
        let mut window = Window::default();
        for n in 0..5 {
            assert!(!window.exceeds(n * SECOND, DEFAULT_INTENSITY, DEFAULT_PERIOD));
        }
        assert!(!window.exceeds(5 * SECOND + 1, DEFAULT_INTENSITY, DEFAULT_PERIOD));
        assert!(window.exceeds(5 * SECOND + 1, DEFAULT_INTENSITY, DEFAULT_PERIOD));
    }

    #[test]
    fn the_window_stays_bounded_and_can_be_cleared() {
        let mut window = Window::default();
        for n in 0..1_000 {
            assert!(!window.exceeds(n * 100 * SECOND, 3, DEFAULT_PERIOD));
            assert!(window.times.len() <= 4);
        }
        window.clear();
        assert!(!window.exceeds(0, 1, DEFAULT_PERIOD));
        assert!(window.exceeds(0, 1, DEFAULT_PERIOD));
    }
}
