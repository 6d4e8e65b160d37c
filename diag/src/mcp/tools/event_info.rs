//! `event_info`: one event of the node. Reads memory only.

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::EventInfo;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "event_info",
    title: "Event",
    help: "One event of a node: producer, buffer, subscribers, publications, deliveries and losses.",
    params: &[Param::required("name", Shape::Text, "Name of the event, exactly.")],
    output: output_of::<EventInfo>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

fn run(call: &Call) -> Result<Answer, ToolError> {
    let name = call.args.text("name").unwrap_or_default();
    let rows = call.desk.source.events();
    match rows.iter().find(|row| &*row.name == name) {
        Some(row) => Answer::of(&EventInfo::of(call, row)),
        None => Err(ToolError::UnknownEvent { name: String::from(name) }),
    }
}
