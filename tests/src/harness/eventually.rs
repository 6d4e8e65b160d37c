//! Waiting for what another process does.
//!
//! Owns: the only sleep of the tests. Why it may sleep: the condition lives in another process (a metric, a log line, a
//! closed port) and nothing there can wake us, so somebody has to ask again. The sleep is no synchronisation: it never
//! decides whether a condition holds, only how often it is asked, and a test never passes because time went by.
//! Cost: one question every 20 ms.

#![expect(
    clippy::disallowed_methods,
    reason = "the one poll of the harness: there is no shard and no clock to ask here"
)]

use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until the condition gives a value, at most for `within`. The condition is asked at least once, and once more
/// after the time is up.
pub fn poll<T>(within: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        let late = Instant::now() >= deadline;
        let value = condition();
        if value.is_some() || late {
            return value;
        }
        thread::sleep(INTERVAL.min(deadline.saturating_duration_since(Instant::now())));
    }
}

/// Waits until the condition holds.
///
/// # Panics
/// If it does not hold within the time; the text names `what` was awaited.
#[track_caller]
pub fn eventually(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(within, what, || condition().then_some(()));
}

/// Waits until the condition gives a value.
///
/// # Panics
/// If there is none within the time; the text names `what` was awaited.
#[track_caller]
pub fn eventually_some<T>(within: Duration, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    let Some(value) = poll(within, condition) else { panic!("not within {within:?}: {what}") };
    value
}

#[cfg(test)]
mod tests {
    use super::{eventually, eventually_some, poll};
    use std::time::Duration;

    #[test]
    fn asks_again_until_it_holds() {
        let mut asked = 0;
        eventually(Duration::from_secs(60), "third time", || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
        assert_eq!(eventually_some(Duration::ZERO, "at once", || Some(7)), 7);
    }

    #[test]
    fn gives_up_after_the_deadline() {
        let mut asked = 0;
        assert_eq!(
            poll(Duration::from_millis(30), || -> Option<()> {
                asked += 1;
                None
            }),
            None
        );
        assert!(asked >= 2, "asked at the start and at the end");
    }

    #[test]
    #[should_panic(expected = "not within 0ns: the moon is blue")]
    fn says_what_it_waited_for() {
        eventually(Duration::ZERO, "the moon is blue", || false);
    }
}
