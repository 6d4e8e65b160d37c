//! `process_info`: the full record of one process. Reads memory only.

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::ProcessInfo;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "process_info",
    title: "Process",
    help: "Everything a node knows about one process: counters, state, mailbox, parent, leader, relations.",
    params: &[Param::required(
        "pid",
        Shape::Text,
        "Pid as <CRC.hi.lo> or node@host:ID.Creation, or a registered name.",
    )],
    output: output_of::<ProcessInfo>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

fn run(call: &Call) -> Result<Answer, ToolError> {
    let text = call.args.text("pid").unwrap_or_default();
    let id = call.desk.resolve("pid", text)?;
    let node = call.desk.source.identity();
    let mut info = None;
    call.desk.source.process(id, &mut |row| info = Some(ProcessInfo::new(row, &node)));
    match info {
        Some(info) => Answer::of(&info),
        None => Err(ToolError::UnknownProcess { text: String::from(text) }),
    }
}
