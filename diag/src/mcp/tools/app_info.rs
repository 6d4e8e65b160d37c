//! `app_info`: one application of the node. Reads memory only.

use crate::mcp::app_records::AppInfo;
use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "app_info",
    title: "Application",
    help: "One application of a node: state, mode, members, what it depends on, environment, roles, time limits, number \
           of processes.",
    params: &[Param::required("name", Shape::Text, "Name of the application, exactly.")],
    output: output_of::<AppInfo>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

fn run(call: &Call) -> Result<Answer, ToolError> {
    let name = call.args.text("name").unwrap_or_default();
    let row = call.desk.source.apps().into_iter().find(|row| row.name == name);
    match row {
        Some(row) => Answer::of(&AppInfo::of(row, &call.desk.source.identity())),
        None => Err(ToolError::UnknownApplication { name: String::from(name) }),
    }
}
