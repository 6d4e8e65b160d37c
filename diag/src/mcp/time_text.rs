//! Wall-clock time as RFC 3339 text in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Days of a 400-year cycle of the calendar.
const CYCLE_DAYS: u64 = 146_097;

/// `2026-07-28T12:00:00.123Z`; times before 1970 read as 1970.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// The time that a text says, with any offset from UTC.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// Year, month and day of a day since 1970. Years are counted from March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let from_march_0 = days + 719_468;
    let (cycle, day) = (from_march_0 / CYCLE_DAYS, from_march_0 % CYCLE_DAYS);
    let year_of_cycle = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_times() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_785_240_000, "2026-07-28T12:00:00.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
            assert_eq!(parse_rfc3339(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn an_offset_counts_and_a_text_without_one_is_no_time() {
        let noon = parse_rfc3339("2026-07-28T14:00:00+02:00");
        assert_eq!(noon, Some(UNIX_EPOCH + Duration::from_secs(1_785_240_000)));
        for text in ["", "tomorrow", "2026-07-28", "2026-07-28T12:00:00", "2026-02-30T12:00:00Z"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
