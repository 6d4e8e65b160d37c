//! `cron_info`: the jobs of a node and which of them are next. Reads memory only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::args::Param;
use crate::mcp::cron_records::CronJob;
use crate::mcp::error::ToolError;
use crate::mcp::time_text::rfc3339;
use crate::mcp::tool::{Answer, Call, ROWS_MAX, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "cron_info",
    title: "Cron",
    help: "Cron jobs of a node: when the next ones run, and for each job its times, action, last run, last error and \
           counters of runs, failures, skipped and missed runs.",
    params: &[Param::int("limit", 0, ROWS_MAX, 1000, "Most jobs to return, by name; 0 is 10000.")],
    output: output_of::<CronInfo>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct CronInfo {
    /// Next run, RFC 3339; null if no job will run.
    next: Option<String>,
    /// Jobs that run then.
    spool: Vec<String>,
    jobs: Vec<CronJob>,
    /// Jobs there are.
    total: usize,
    /// Some jobs are not in this answer.
    truncated: bool,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let cron = call.desk.source.cron();
    let limit = match call.args.int("limit").unwrap_or(1000) {
        0 => ROWS_MAX,
        limit => limit,
    };
    let total = cron.jobs.len();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Answer::of(&CronInfo {
        next: cron.next.map(rfc3339),
        spool: cron.spool.into_iter().take(limit).collect(),
        jobs: cron.jobs.into_iter().take(limit).map(CronJob::from).collect(),
        total,
        truncated: total > limit,
    })
}
