//! `cron_job`: one job of a node's schedule. Reads memory only.

use crate::mcp::args::{Param, Shape};
use crate::mcp::cron_records::CronJob;
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "cron_job",
    title: "Cron job",
    help: "One cron job of a node: its times and time zone, action, next and last run, last error, counters.",
    params: &[Param::required("name", Shape::Text, "Name of the job, exactly.")],
    output: output_of::<CronJob>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

fn run(call: &Call) -> Result<Answer, ToolError> {
    let name = call.args.text("name").unwrap_or_default();
    match call.desk.source.cron().jobs.into_iter().find(|job| job.name == name) {
        Some(job) => Answer::of(&CronJob::from(job)),
        None => Err(ToolError::UnknownJob { name: String::from(name) }),
    }
}
