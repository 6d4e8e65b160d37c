//! `app_processes`: all processes of one application, shard by shard. Reads memory only.

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::ProcessShort;
use crate::mcp::tool::{Answer, Call, Items, ROWS_MAX, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "app_processes",
    title: "Processes of an application",
    help: "Processes that belong to one application of a node: its members and all that was spawned below them. \
           process_list with `application` filters and ranks them.",
    params: &[
        Param::required("name", Shape::Text, "Name of the application, exactly."),
        Param::int("limit", 0, ROWS_MAX, 100, "Most rows to return; 0 is 10000."),
    ],
    output: output_of::<Items<ProcessShort>>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

fn run(call: &Call) -> Result<Answer, ToolError> {
    let name = call.args.text("name").unwrap_or_default();
    let source = &call.desk.source;
    let app = source.apps().into_iter().find(|row| row.name == name);
    match app {
        None => return Err(ToolError::UnknownApplication { name: String::from(name) }),
        Some(app) if app.state == "loaded" && app.processes == 0 => {
            return Err(ToolError::NotRunning { name: String::from(name) });
        }
        Some(_) => {}
    }
    let limit = match call.args.int("limit").unwrap_or(100) {
        0 => ROWS_MAX,
        limit => limit,
    };
    let node = source.identity();
    let (mut items, mut total, mut matched) = (Vec::new(), 0, 0);
    source.for_each_process(&mut |row| {
        total += 1;
        if row.application == name {
            matched += 1;
            if matched <= limit {
                items.push(ProcessShort::new(row, &node));
            }
        }
    });
    Answer::of(&Items::cut(items, total, matched))
}
