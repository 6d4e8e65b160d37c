//! Knobs common to all scenarios.

use std::time::Duration;

/// Knobs common to all scenarios. The default: random, at full length, first traffic after five seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Seed of all random choices; `None` draws one per actor.
    pub seed: Option<u64>,
    /// Factor on every delay: 0.1 runs ten times as fast. Positive.
    pub time_scale: f64,
    /// Delay before the first traffic, before scaling.
    pub start_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: None, time_scale: 1.0, start_delay: Duration::from_secs(5) }
    }
}

impl Settings {
    /// A delay under the time scale.
    #[must_use]
    pub fn scaled(&self, delay: Duration) -> Duration {
        Duration::try_from_secs_f64(delay.as_secs_f64() * self.time_scale).unwrap_or(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use std::time::Duration;

    #[test]
    fn delays_scale_and_nonsense_leaves_them_alone() {
        let at = |time_scale| Settings { time_scale, ..Settings::default() }.scaled(Duration::from_secs(5));
        assert_eq!(at(0.1), Duration::from_millis(500));
        assert_eq!(at(f64::NAN), Duration::from_secs(5));
        assert_eq!(at(-1.0), Duration::from_secs(5));
    }
}
