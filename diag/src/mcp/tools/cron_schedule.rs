//! `cron_schedule`: what cron will run in a span of time. Reads memory only.
//!
//! Invariant: P1 the span and the number of times are bounded, so the search is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::time_text::{parse_rfc3339, rfc3339};
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};

/// Longest span: a leap year.
const HOURS_MAX: u64 = 366 * 24;
const SECONDS_MAX: u64 = HOURS_MAX * 3600;
/// Span where the caller does not say.
const SECONDS_DEFAULT: u64 = 3600;
/// Most times of one answer.
const TIMES_MAX: u64 = 1000;
/// Latest begin, in seconds since 1970: the year 2200.
const SINCE_MAX_S: u64 = 7_258_118_400;

pub(super) const TOOL: Tool = Tool {
    name: "cron_schedule",
    title: "Cron schedule",
    help: "What cron will run on a node: times in order, with the names of the jobs that run then. Disabled jobs are \
           left out.",
    params: &[
        Param::int("duration_seconds", 0, SECONDS_MAX, SECONDS_DEFAULT, "Length of the span; 0 is an hour."),
        Param::optional("hours", Shape::Int { min: 1, max: HOURS_MAX }, "The same in hours, instead."),
        Param::optional("since", Shape::Text, "Begin of the span, RFC 3339; now without it."),
        Param::optional("job", Shape::Text, "Name of the only job to look at, exactly."),
        Param::int("limit", 1, TIMES_MAX, TIMES_MAX, "Most times to return."),
    ],
    output: output_of::<Schedule>,
    // Without `since` it begins now: the answers of two calls differ, but neither changes anything.
    idempotent: true,
    run: |call| at_once(run(&call)),
};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Slot {
    /// RFC 3339.
    time: String,
    jobs: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Schedule {
    schedule: Vec<Slot>,
    /// There is more in the span.
    truncated: bool,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let args = &call.args;
    if args.has("hours") && args.has("duration_seconds") {
        return Err(ToolError::argument("hours", String::from("excludes `duration_seconds`")));
    }
    let seconds = match (args.int("hours"), args.int("duration_seconds")) {
        (Some(hours), _) => hours * 3600,
        (None, Some(0) | None) => SECONDS_DEFAULT,
        (None, Some(seconds)) => seconds,
    };
    let since = match args.text("since") {
        None => SystemTime::now(),
        Some(text) => begin(text)?,
    };
    let source = &call.desk.source;
    let job = args.text("job");
    if let Some(name) = job
        && !source.cron().jobs.iter().any(|job| job.name == name)
    {
        return Err(ToolError::UnknownJob { name: String::from(name) });
    }
    let limit = usize::try_from(args.int("limit").unwrap_or(TIMES_MAX)).unwrap_or(usize::MAX);
    let plan = source.cron_schedule(since, Duration::from_secs(seconds), limit, job);
    let slots = plan.slots.into_iter().map(|slot| Slot { time: rfc3339(slot.time), jobs: slot.jobs });
    Answer::of(&Schedule { schedule: slots.collect(), truncated: plan.truncated })
}

fn begin(text: &str) -> Result<SystemTime, ToolError> {
    let wrong = |why: &str| ToolError::argument("since", String::from(why));
    let time = parse_rfc3339(text).ok_or_else(|| wrong("is not a time such as 2026-07-28T12:00:00Z"))?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| wrong("is before 1970"))?;
    if since.as_secs() > SINCE_MAX_S { Err(wrong("is after 2199")) } else { Ok(time) }
}
