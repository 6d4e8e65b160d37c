//! What diagnostics counts about itself: answers, refusals, tool calls.
//!
//! Invariant: L1 both labels come from fixed sets, so the number of series is bounded.
//! Threads: written and read on the diagnostics thread; the lock only makes that safe to say.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    /// An answer, by path and status.
    Scrape,
    /// A connection or a request refused, by reason.
    Refused,
    /// A tool call, by tool and outcome.
    ToolCall,
}

/// Counters by event and two labels.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: RwLock<BTreeMap<(Event, &'static str, &'static str), u64>>,
}

impl Tally {
    /// Adds one.
    pub(crate) fn add(&self, event: Event, first: &'static str, second: &'static str) {
        *self
            .counts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((event, first, second))
            .or_insert(0) += 1;
    }

    /// All counters.
    pub(crate) fn read(&self) -> Vec<(Event, &'static str, &'static str, u64)> {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((event, first, second), count)| (*event, *first, *second, *count)).collect()
    }
}

/// Text of the statuses this server answers with.
pub(crate) fn status_text(status: http::StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        202 => "202",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        406 => "406",
        408 => "408",
        413 => "413",
        415 => "415",
        500 => "500",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
