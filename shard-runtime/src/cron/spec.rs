//! A specification such as `*/5 * * * *` in a time zone, and when it occurs next.
//!
//! A pure function of (specification, instant). The fields are the library's; local times that come twice or not at all are
//! decided here. Invariant: within a stretch of time without a change of the zone's offset, local time is time plus a
//! constant, so the search goes from stretch to stretch and sees no local time that does not exist.
//! Cost: microseconds, except for dates that are years away. Never on a hot path.

use crate::error::CronError;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Bytes of a specification.
const MAX_BYTES: usize = 256;
/// Changes of a zone's offset that a search crosses: more than in the eight years between two leap days around 2100.
const MAX_STRETCHES: usize = 64;

/// When a job runs.
#[derive(Clone)]
pub(crate) struct CronSpec {
    text: String,
    cron: Cron,
    zone: TimeZone,
    zone_name: String,
    /// The hour is not restricted: local times that come twice are two occurrences.
    every_hour: bool,
}

/// What the short forms stand for.
fn expand(text: &str) -> &str {
    match text {
        "@hourly" => "1 * * * *",
        "@daily" => "10 3 * * *",
        "@weekly" => "30 5 * * 1",
        "@monthly" => "20 4 1 * *",
        fields => fields,
    }
}

impl std::fmt::Debug for CronSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The parsed form is thousands of numbers.
        f.debug_struct("CronSpec")
            .field("text", &self.text)
            .field("zone", &self.zone_name)
            .finish_non_exhaustive()
    }
}

impl CronSpec {
    /// Reads a specification. Without a zone, and for `local`, it is `local_zone`.
    pub(crate) fn new(text: &str, zone: Option<&str>, local_zone: TimeZone) -> Result<Self, CronError> {
        let bad = |problem: String| {
            let spec = text.chars().take(MAX_BYTES).collect();
            CronError::BadSpec { spec, problem }
        };
        // LIMIT: length of a specification.
        if text.len() > MAX_BYTES {
            return Err(bad(format!("longer than {MAX_BYTES} bytes")));
        }
        let text = text.trim();
        let expanded = expand(text);
        if expanded.contains('@') {
            return Err(bad("the short forms are @hourly, @daily, @weekly and @monthly".into()));
        }
        let fields: Vec<&str> = expanded.split_ascii_whitespace().collect();
        let hour = match fields.len() {
            5 => fields[1],
            6 => fields[2],
            count => return Err(bad(format!("{count} fields instead of 5, or 6 with seconds"))),
        };
        // What the library overlooks.
        for parts in fields.iter().filter(|field| field.contains(',')).map(|field| field.split(',')) {
            if parts.clone().any(|part| part == "*") {
                return Err(bad("* stands alone in its field".into()));
            }
            if parts.clone().any(str::is_empty) {
                return Err(bad("a list has an empty place".into()));
            }
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(&fields.join(" ")).map_err(|error| bad(error.to_string()))?;
        let (zone, zone_name) = match zone {
            None | Some("local") => {
                let name = local_zone.iana_name().unwrap_or("local").to_owned();
                (local_zone, name)
            }
            Some(name) => {
                let zone = TimeZone::get(name)
                    .map_err(|_| CronError::BadZone { zone: name.chars().take(64).collect() })?;
                (zone, name.to_owned())
            }
        };
        let every_hour = hour == "*";
        Ok(Self { text: text.to_owned(), cron, zone, zone_name, every_hour })
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The name of its zone.
    pub(crate) fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// The first occurrence after `after`, both in seconds since the Unix epoch.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let mut stretch = Timestamp::from_second(after).ok()?;
        // Where the search goes on: after this second, or at it.
        let (mut from, mut inclusive) = (after, false);
        for _ in 0..MAX_STRETCHES {
            let offset = i64::from(self.zone.to_offset(stretch).seconds());
            let end = self.zone.following(stretch).next().map(|change| change.timestamp());
            while let Some(found) = self.next_local(from + offset, inclusive) {
                let at = found - offset;
                if end.is_some_and(|end| at >= end.as_second()) {
                    break;
                }
                if self.every_hour || !self.is_repeated(found, offset) {
                    return Some(at);
                }
                (from, inclusive) = (at, false);
            }
            // Without a further change there is no further stretch.
            stretch = end?;
            (from, inclusive) = (stretch.as_second(), true);
        }
        None
    }

    /// The first local time that matches, in seconds as if it were UTC.
    fn next_local(&self, from: i64, inclusive: bool) -> Option<i64> {
        let from = Timestamp::from_second(from).ok()?.to_zoned(TimeZone::UTC);
        Some(self.cron.find_next_occurrence(&from, inclusive).ok()?.timestamp().as_second())
    }

    /// Whether this local time, at this offset, has been there before.
    fn is_repeated(&self, local: i64, offset: i64) -> bool {
        let Ok(local) = Timestamp::from_second(local) else { return false };
        let local = local.to_zoned(TimeZone::UTC).datetime();
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { after, .. } => i64::from(after.seconds()) == offset,
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => false,
        }
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
