//! `process_state`: state of one process, since when, and the time in its handler. Reads memory only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "process_state",
    title: "Process state",
    help: "State of one process (init, sleep, running, wait response, terminated, zombee), how long it has been in \
           it, and how long the handler in progress has run. Works while the process is stuck.",
    params: &[Param::required(
        "pid",
        Shape::Text,
        "Pid as <CRC.hi.lo>, node@host:ID.Creation or <key.hi.lo>, or a registered name.",
    )],
    output: output_of::<State>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct State {
    state: &'static str,
    /// Nanoseconds in the state.
    state_time: u64,
    /// Nanoseconds the handler in progress has run; 0 if none runs.
    callback_elapsed: u64,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let text = call.args.text("pid").unwrap_or_default();
    let id = call.desk.resolve("pid", text)?;
    let mut state = None;
    call.desk.source.process(id, &mut |row| {
        state = Some(State {
            state: row.cells.state.text(),
            state_time: row.cells.state_ns,
            callback_elapsed: row.cells.callback_elapsed_ns,
        });
    });
    match state {
        Some(state) => Answer::of(&state),
        None => Err(ToolError::UnknownProcess { text: String::from(text) }),
    }
}
