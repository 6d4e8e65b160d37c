//! Liveness, readiness and startup with their reasons.
//!
//! Owns: the runtime's own signals, worked out from a fresh look at the node. Invariants: H1 a probe fails exactly when
//! one of its signals is down. H2 the runtime's signals are listed only while they are down, so a healthy body is
//! `{"status":"healthy"}`. H3 no shard is asked.

use std::time::Duration;

use serde::Serialize;

use crate::pid;
use crate::snapshot::Shelf;
use crate::source::{Phase, Source};

/// Passes that may be missed before the collector counts as down.
const OVERDUE_INTERVALS: u32 = 3;

/// One of the three questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Probe {
    /// Should the process be restarted?
    Live,
    /// Should it get traffic?
    Ready,
    /// Has it started?
    Startup,
}

/// The answer, ready to be serialised.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signals: Vec<Signal>,
}

#[derive(Debug, Serialize)]
struct Signal {
    signal: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

impl Verdict {
    /// The probe passes.
    pub(crate) fn is_healthy(&self) -> bool {
        self.signals.is_empty()
    }
}

/// Limits the signals are judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Age of a heartbeat that makes its shard down.
    pub(crate) stall_down_after: Duration,
    /// Time between two passes of the collector.
    pub(crate) collect_interval: Duration,
}

/// Judges the node; `verbose` adds reasons.
pub(crate) fn judge(
    source: &dyn Source,
    shelf: &Shelf,
    limits: Limits,
    probe: Probe,
    verbose: bool,
) -> Verdict {
    let mut signals = match probe {
        Probe::Live => live(source, shelf, limits),
        Probe::Ready => ready(source),
        Probe::Startup => Vec::new(),
    };
    signals.sort_by(|a, b| a.signal.cmp(&b.signal));
    if !verbose {
        for signal in &mut signals {
            signal.reason = None;
            signal.age_ms = None;
        }
    }
    Verdict { status: if signals.is_empty() { "healthy" } else { "unhealthy" }, signals }
}

fn down(signal: String, timeout: Option<Duration>, reason: String, age_ms: Option<u64>) -> Signal {
    Signal { signal, status: "down", timeout: timeout.map(duration_text), reason: Some(reason), age_ms }
}

fn live(source: &dyn Source, shelf: &Shelf, limits: Limits) -> Vec<Signal> {
    let mut signals = Vec::new();
    for shard in source.shards() {
        let age = Duration::from_nanos(shard.heartbeat_age_ns);
        if age <= limits.stall_down_after {
            continue;
        }
        let reason = match &shard.current {
            Some(current) => format!(
                "no sign of life for {:.1} s; process {} ({}) has been in its handler for {:.1} s",
                age.as_secs_f64(),
                pid::short(source.identity().crc, current.id),
                current.name,
                Duration::from_nanos(current.since_ns).as_secs_f64()
            ),
            None => format!("no sign of life for {:.1} s outside any handler", age.as_secs_f64()),
        };
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let name = format!("runtime.shard.{}", shard.id);
        signals.push(down(name, Some(limits.stall_down_after), reason, Some(age_ms)));
    }
    let overdue = limits.collect_interval * OVERDUE_INTERVALS;
    let age = shelf.latest().taken.elapsed();
    if age > overdue {
        let reason = format!("the last collection is {:.1} s old", age.as_secs_f64());
        signals.push(down(String::from("runtime.diag"), Some(overdue), reason, None));
    }
    signals
}

fn ready(source: &dyn Source) -> Vec<Signal> {
    let mut signals = Vec::new();
    if source.identity().phase == Phase::Stopping {
        let reason = String::from("a graceful stop has begun");
        signals.push(down(String::from("runtime.shutdown"), None, reason, None));
    }
    if let Some(reason) = source.registrar().down {
        signals.push(down(String::from("runtime.registrar"), None, reason, None));
    }
    signals
}

/// A duration as Go prints it: `500ms`, `5s`, `1m30s`, `1h0m0s`.
fn duration_text(duration: Duration) -> String {
    let (total, millis) = (duration.as_secs(), duration.subsec_millis());
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let fraction = if millis == 0 {
        String::new()
    } else {
        let digits = format!("{millis:03}");
        format!(".{}", digits.trim_end_matches('0'))
    };
    match (hours, minutes, seconds) {
        (0, 0, 0) if millis > 0 => format!("{millis}ms"),
        (0, 0, s) => format!("{s}{fraction}s"),
        (0, m, s) => format!("{m}m{s}{fraction}s"),
        (h, m, s) => format!("{h}h{m}m{s}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        let cases = [
            (0, "0s"),
            (500, "500ms"),
            (1_500, "1.5s"),
            (5_000, "5s"),
            (60_000, "1m0s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
        }
    }
}
