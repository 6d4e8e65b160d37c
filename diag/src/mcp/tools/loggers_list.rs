//! `loggers_list`: where the log of a node goes. Reads memory only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Items, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "loggers_list",
    title: "Loggers",
    help: "Loggers of a node with the levels that reach each of them, and how many records each did not take.",
    params: &[],
    output: output_of::<Items<LoggerShort>>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

/// One logger; lower-case keys, as Ergo has them.
#[derive(Debug, Serialize, JsonSchema)]
struct LoggerShort {
    name: String,
    behavior: String,
    /// Levels that it takes and that the node logs; processes and applications may have a lower level.
    levels: Vec<&'static str>,
    /// Records it did not take.
    lost: u64,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let loggers = call.desk.source.identity().loggers;
    let total = u64::try_from(loggers.len()).unwrap_or(u64::MAX);
    let rows = loggers.into_iter().map(|row| LoggerShort {
        levels: row.levels.iter().map(|level| level.text()).collect(),
        name: row.name,
        behavior: row.behavior,
        lost: row.lost,
    });
    Answer::of(&Items::complete(rows.collect(), total))
}
