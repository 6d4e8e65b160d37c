//! What the specifications mean, at the dates where that is not plain.

use super::CronSpec;
use crate::error::CronError;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use proptest::prelude::*;

fn spec(text: &str, zone: &str) -> CronSpec {
    CronSpec::new(text, Some(zone), TimeZone::UTC).unwrap()
}

fn refused(text: &str) -> CronError {
    CronSpec::new(text, None, TimeZone::UTC).unwrap_err()
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

/// The next occurrences after an instant, as local times with their offsets.
fn next(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let spec = spec(text, zone);
    let mut now = at(after);
    (0..count)
        .map(|_| {
            now = spec.next(now).unwrap();
            let local: Zoned = Timestamp::from_second(now).unwrap().in_tz(zone).unwrap();
            local.strftime("%Y-%m-%d %H:%M%:z").to_string()
        })
        .collect()
}

#[test]
fn a_local_time_that_is_left_out_does_not_occur() {
    // Berlin goes from 02:00 to 03:00 on 2026-03-29, New York on 2026-03-08.
    let berlin = next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2);
    assert_eq!(berlin, ["2026-03-28 02:30+01:00", "2026-03-30 02:30+02:00"]);
    let york = next("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2);
    assert_eq!(york, ["2026-03-09 02:30-04:00", "2026-03-10 02:30-04:00"]);
    // A job of every hour misses nothing of real time.
    let hours = next("15 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
    assert_eq!(hours, ["2026-03-29 01:15+01:00", "2026-03-29 03:15+02:00", "2026-03-29 04:15+02:00"]);
    // The first minute after the gap is there.
    let edge = next("0 3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 1);
    assert_eq!(edge, ["2026-03-29 03:00+02:00"]);
}

#[test]
fn a_local_time_that_comes_twice_occurs_once_if_the_hour_is_named() {
    // Berlin goes back from 03:00 to 02:00 on 2026-10-25, New York from 02:00 to 01:00 on 2026-11-01.
    let berlin = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(berlin, ["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]);
    let york = next("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
    assert_eq!(york, ["2026-11-01 01:30-04:00", "2026-11-02 01:30-05:00"]);
    // Asked between the two, it is over.
    let between = next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1);
    assert_eq!(between, ["2026-10-26 02:30+01:00"]);
    let pair = next("0,30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
    assert_eq!(pair, ["2026-10-25 02:00+02:00", "2026-10-25 02:30+02:00", "2026-10-26 02:00+01:00"]);
    let hours = next("15 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4);
    assert_eq!(
        hours,
        [
            "2026-10-25 02:15+02:00",
            "2026-10-25 02:15+01:00",
            "2026-10-25 03:15+01:00",
            "2026-10-25 04:15+01:00"
        ]
    );
    // Half an hour back, on the other side of the earth: 02:00 becomes 01:30 on 2026-04-05.
    let howe = next("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2);
    assert_eq!(howe, ["2026-04-05 01:45+11:00", "2026-04-06 01:45+10:30"]);
}

#[test]
fn dates_that_not_every_month_or_year_has() {
    let leap = next("0 12 29 2 *", "UTC", "2024-03-01T00:00:00Z", 2);
    assert_eq!(leap, ["2028-02-29 12:00+00:00", "2032-02-29 12:00+00:00"]);
    // 2100 is no leap year.
    let century = next("0 12 29 2 *", "Europe/Berlin", "2096-03-01T00:00:00Z", 1);
    assert_eq!(century, ["2104-02-29 12:00+01:00"]);
    let ends = next("0 0 L * *", "UTC", "2027-01-15T00:00:00Z", 4);
    assert_eq!(
        ends,
        [
            "2027-01-31 00:00+00:00",
            "2027-02-28 00:00+00:00",
            "2027-03-31 00:00+00:00",
            "2027-04-30 00:00+00:00"
        ]
    );
    let long = next("0 0 31 * *", "UTC", "2027-01-31T00:00:00Z", 2);
    assert_eq!(long, ["2027-03-31 00:00+00:00", "2027-05-31 00:00+00:00"]);
}

#[test]
fn weekdays_last_ones_and_numbered_ones() {
    // 2026-11-01 is a Sunday.
    for sunday in ["0 0 * * 0", "0 0 * * 7", "0 0 * * SUN"] {
        let found = next(sunday, "UTC", "2026-10-31T12:00:00Z", 2);
        assert_eq!(found, ["2026-11-01 00:00+00:00", "2026-11-08 00:00+00:00"], "{sunday}");
    }
    let fridays = next("0 0 * * 5L", "UTC", "2026-11-01T00:00:00Z", 2);
    assert_eq!(fridays, ["2026-11-27 00:00+00:00", "2026-12-25 00:00+00:00"]);
    let second = next("0 0 * * 2#2", "UTC", "2026-11-01T00:00:00Z", 2);
    assert_eq!(second, ["2026-11-10 00:00+00:00", "2026-12-08 00:00+00:00"]);
    // Both day fields restricted: either will do.
    let either = next("0 0 13 * 5", "UTC", "2026-11-07T00:00:00Z", 3);
    assert_eq!(either, ["2026-11-13 00:00+00:00", "2026-11-20 00:00+00:00", "2026-11-27 00:00+00:00"]);
}

#[test]
fn short_forms_and_seconds() {
    assert_eq!(next("@hourly", "UTC", "2026-11-01T00:00:00Z", 1), ["2026-11-01 00:01+00:00"]);
    assert_eq!(next("@daily", "UTC", "2026-11-01T00:00:00Z", 1), ["2026-11-01 03:10+00:00"]);
    assert_eq!(next("@weekly", "UTC", "2026-11-01T00:00:00Z", 1), ["2026-11-02 05:30+00:00"]);
    assert_eq!(next("@monthly", "UTC", "2026-11-02T00:00:00Z", 1), ["2026-12-01 04:20+00:00"]);
    assert_eq!(
        spec("*/20 * * * * *", "UTC").next(at("2026-11-01T00:00:20Z")),
        Some(at("2026-11-01T00:00:40Z"))
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for text in [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*,5 * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "* * * * 1#6",
        "@reboot",
        "@yearly",
        "a b c d e",
        "1,, * * * *",
    ] {
        assert!(matches!(refused(text), CronError::BadSpec { .. }), "{text:?}: {:?}", refused(text));
    }
    assert!(matches!(refused(&"1,".repeat(400)), CronError::BadSpec { .. }));
    let zone = CronSpec::new("* * * * *", Some("Mars/Olympus"), TimeZone::UTC).unwrap_err();
    assert_eq!(zone, CronError::BadZone { zone: "Mars/Olympus".into() });
    assert_eq!(spec("0 0 30 2 *", "Europe/Berlin").next(0), None);
}

proptest! {
    #[test]
    fn no_text_panics_and_occurrences_go_forward(
        text in "([-*/,0-9L#WA-Z?@ ]{0,12} ?){1,6}|[*0-9/]{1,4} [*0-9/]{1,4} [*0-9L]{1,3} [*0-9]{1,3} [*0-7]",
        after in -4_000_000_000i64..8_000_000_000,
    ) {
        for zone in ["Europe/Berlin", "America/New_York"] {
            if let Ok(spec) = CronSpec::new(&text, Some(zone), TimeZone::UTC)
                && let Some(first) = spec.next(after)
            {
                prop_assert!(first > after);
                // What comes next does not depend on where the search began.
                prop_assert_eq!(spec.next(first - 1), Some(first));
            }
        }
    }
}
