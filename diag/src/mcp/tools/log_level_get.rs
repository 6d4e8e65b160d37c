//! `log_level_get`: the log level of the node or of one process. Reads memory only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};
use crate::pid;

/// The target that is no process.
const NODE: &str = "node";

pub(super) const TOOL: Tool = Tool {
    name: "log_level_get",
    title: "Log level",
    help: "The least level that is logged: of the node, or of one process, which may have a level of its own or of its \
           application.",
    params: &[Param::optional(
        "target",
        Shape::Text,
        "`node`, which is the default; or a pid as <CRC.hi.lo>, node@host:ID.Creation or <key.hi.lo>, or a registered \
         name.",
    )],
    output: output_of::<Level>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Level {
    /// What was asked for.
    target: String,
    /// Null for the node.
    #[serde(rename = "PID")]
    pid: Option<String>,
    /// trace, debug, info, warning, error, panic or disabled.
    log_level: &'static str,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let target = call.args.text("target").unwrap_or(NODE);
    let node = call.desk.source.identity();
    if target == NODE {
        let log_level = node.log_level.text();
        let level = Level { target: String::from(NODE), pid: None, log_level };
        return Ok(Answer::of(&level)?.with_text(format!("node log level: {log_level}")));
    }
    let id = call.desk.resolve("target", target)?;
    let mut found = None;
    call.desk.source.process(id, &mut |row| found = Some((row.cells.log_level.text(), row.name == target)));
    let Some((log_level, is_name)) = found else {
        return Err(ToolError::UnknownProcess { text: String::from(target) });
    };
    let shown =
        if is_name { format!("{target} ({})", pid::short(node.crc, id)) } else { String::from(target) };
    let pid = Some(pid::full(&node.name, node.creation, id));
    let level = Level { target: String::from(target), pid, log_level };
    Ok(Answer::of(&level)?.with_text(format!("process {shown} log level: {log_level}")))
}
