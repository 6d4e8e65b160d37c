//! `process_lookup`: pid of a name, or name of a pid. Reads memory only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};
use crate::pid;

pub(super) const TOOL: Tool = Tool {
    name: "process_lookup",
    title: "Process by name or pid",
    help: "Finds the pid of a registered name, or the name of a pid; `name` wins where both are given.",
    params: &[
        Param::optional("name", Shape::Text, "Registered name."),
        Param::optional("pid", Shape::Text, "Pid as <CRC.hi.lo>, node@host:ID.Creation or <key.hi.lo>."),
    ],
    output: output_of::<Found>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(rename = "PID")]
    pid: String,
    #[serde(rename = "ShortPID")]
    short_pid: String,
    name: String,
    state: &'static str,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let source = &call.desk.source;
    let by_name = call.args.text("name");
    let (text, id) = match (by_name, call.args.text("pid")) {
        (Some(name), _) => {
            let id = source.lookup(name);
            (name, id.ok_or_else(|| ToolError::UnknownProcess { text: String::from(name) })?)
        }
        (None, Some(pid)) => (pid, call.desk.resolve("pid", pid)?),
        (None, None) => return Err(ToolError::argument("name", String::from("or `pid` is required"))),
    };
    let node = source.identity();
    let mut found = None;
    source.process(id, &mut |row| {
        found = Some(Found {
            pid: pid::full(&node.name, node.creation, id),
            short_pid: pid::short(node.crc, id),
            name: String::from(row.name),
            state: row.cells.state.text(),
        });
    });
    let Some(found) = found else {
        return Err(ToolError::UnknownProcess { text: String::from(text) });
    };
    let plain = if by_name.is_some() { found.short_pid.clone() } else { found.name.clone() };
    Ok(Answer::of(&found)?.with_text(plain))
}
