//! `app_list`: applications of the node by filter. Reads memory only, also while every shard is stuck.

use crate::mcp::app_records::AppShort;
use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Items, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "app_list",
    title: "Applications",
    help: "Applications loaded on a node, by filter: state, mode, release, uptime, labels, number of processes, how often \
           each was started and why it ended last.",
    params: &[
        Param::optional(
            "state",
            Shape::Choice(&["loaded", "initializing", "running", "stopping"]),
            "State, exactly.",
        ),
        Param::optional(
            "mode",
            Shape::Choice(&["temporary", "transient", "permanent"]),
            "What the end of a member means, exactly.",
        ),
        Param::optional("name", Shape::Text, "Part of the application's name."),
        Param::bound("min_uptime", "Least seconds it has been running."),
    ],
    output: output_of::<Items<AppShort>>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

fn run(call: &Call) -> Result<Answer, ToolError> {
    let args = &call.args;
    let mut rows = call.desk.source.apps();
    let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let part = args.text("name").unwrap_or_default();
    rows.retain(|row| {
        row.name.contains(part)
            && args.text("state").is_none_or(|state| state == row.state)
            && args.text("mode").is_none_or(|mode| mode == row.mode)
            && args.int("min_uptime").is_none_or(|least| row.uptime_ns / 1_000_000_000 >= least)
    });
    Answer::of(&Items::complete(rows.iter().map(AppShort::from).collect(), total))
}
