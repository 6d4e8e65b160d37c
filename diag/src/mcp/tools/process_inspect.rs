//! `process_inspect`: asks a process for its own view of itself. The only tool that needs a shard to answer.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool};
use crate::source::InspectError;

/// Longest wait for a process.
const WAIT: Duration = Duration::from_secs(5);
/// Grace for a source that overruns its deadline.
const GRACE: Duration = Duration::from_millis(20);

pub(super) const TOOL: Tool = Tool {
    name: "process_inspect",
    title: "Inspect a process",
    help: "Asks a process for its own key-value view of itself (items [\"help\"] lists what can be asked). Waits at \
           most 5 s; a stuck process or shard yields an error that says who blocks it and for how long.",
    params: &[
        Param::required(
            "pid",
            Shape::Text,
            "Pid as <CRC.hi.lo> or node@host:ID.Creation, or a registered name.",
        ),
        Param::optional(
            "items",
            Shape::Texts,
            "Items to ask for; omitted: what the process shows by default.",
        ),
    ],
    output: schema,
    idempotent: true,
    run: |call| Box::pin(run(call)),
};

fn schema() -> Map<String, Value> {
    match json!({ "type": "object", "additionalProperties": { "type": "string" } }) {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

async fn run(call: Call) -> Result<Answer, ToolError> {
    let text = call.args.text("pid").unwrap_or_default();
    let id = call.desk.resolve("pid", text)?;
    let source = &call.desk.source;
    if !source.process(id, &mut |_| {}) {
        return Err(ToolError::UnknownProcess { text: String::from(text) });
    }
    let deadline = call.deadline.min(Instant::now() + WAIT);
    let reply = source.inspect(id, call.args.texts("items"), deadline.into_std());
    match timeout_at(deadline + GRACE, reply).await.unwrap_or(Err(InspectError::Timeout)) {
        Ok(pairs) => {
            let object = pairs.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
            Ok(Answer { structured: Value::Object(object), text: None })
        }
        Err(InspectError::UnknownProcess) => Err(ToolError::UnknownProcess { text: String::from(text) }),
        Err(error) => {
            let mut record = ("terminated", 0);
            source.process(id, &mut |row| {
                record = (row.cells.state.text(), row.cells.callback_elapsed_ns / 1_000_000);
            });
            Err(ToolError::InspectLate { source: error, state: record.0, callback_ms: record.1 })
        }
    }
}
