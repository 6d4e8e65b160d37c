//! `process_inspect`: asks a process for its own view of itself. The only tool that needs a process to answer.

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
/// Share of the wait that is kept back, and the most of it.
const RESERVE: f64 = 0.1;
const RESERVE_MAX: Duration = Duration::from_millis(250);

pub(super) const TOOL: Tool = Tool {
    name: "process_inspect",
    title: "Inspect a process",
    help: "Asks a process for its own key-value view of itself (items [\"help\"] lists what can be asked). A \
           supervisor tells of its restarts and children, a pool of its workers, a router of its routes. Waits at most \
           5 s; a process that is suspended or busy for longer is answered for from its record (Note, State, \
           AwaitedCalls), a stuck shard yields an error that says who blocks it and for how long.",
    params: &[
        Param::required(
            "pid",
            Shape::Text,
            "Pid as <CRC.hi.lo>, node@host:ID.Creation or <key.hi.lo>, or a registered name.",
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
    let begun = Instant::now();
    let last = call.deadline.min(begun + WAIT);
    // What is kept back is for its shard's word, should the process itself have none.
    let reserve = last.saturating_duration_since(begun).mul_f64(RESERVE).min(RESERVE_MAX);
    let deadline = last.checked_sub(reserve).unwrap_or(last);
    let reply = source.inspect(id, call.args.texts("items"), deadline.into_std());
    match timeout_at(deadline + GRACE, reply).await.unwrap_or(Err(InspectError::Timeout)) {
        Ok(pairs) => {
            let object = pairs.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
            Ok(Answer { structured: Value::Object(object), text: None })
        }
        Err(InspectError::UnknownProcess) => Err(ToolError::UnknownProcess { text: String::from(text) }),
        Err(error) => from_record(&call, id, error, last, begun.elapsed()).await,
    }
}

/// What is known of a process that did not answer. If its shard works, that is an answer: the process is suspended, or
/// has much to do. If not, it is an error that names who holds the shard.
async fn from_record(
    call: &Call,
    id: u64,
    error: InspectError,
    last: Instant,
    waited: Duration,
) -> Result<Answer, ToolError> {
    let source = &call.desk.source;
    let late = |error| {
        let mut record = ("terminated", 0);
        source.process(id, &mut |row| {
            record = (row.cells.state.text(), row.cells.callback_elapsed_ns / 1_000_000);
        });
        Err(ToolError::InspectLate { source: error, state: record.0, callback_ms: record.1 })
    };
    if !matches!(error, InspectError::Timeout) {
        return late(error);
    }
    let reply = source.facts(id, last.into_std());
    let Ok(Ok(facts)) = timeout_at(last + GRACE, reply).await else { return late(error) };
    let mut object = Map::new();
    source.process(id, &mut |row| {
        let cells = &row.cells;
        let seconds = cells.state_ns as f64 / 1e9;
        let note = format!(
            "not answered within {:.1} s: the process has been in state {} for {seconds:.1} s, and comes to \
             inspections between two handlers only; this is what its record says",
            waited.as_secs_f64(),
            cells.state.text(),
        );
        let entries = [
            ("Note", note),
            ("State", String::from(cells.state.text())),
            ("StateTime", cells.state_ns.to_string()),
            ("CallbackElapsed", cells.callback_elapsed_ns.to_string()),
            ("AwaitedCalls", facts.awaited_calls.to_string()),
            ("MessagesMailbox", cells.mailbox.to_string()),
            ("MessagesIn", cells.messages_in.to_string()),
            ("Wakeups", cells.wakeups.to_string()),
        ];
        object = entries.into_iter().map(|(key, value)| (String::from(key), Value::from(value))).collect();
    });
    if object.is_empty() { late(error) } else { Ok(Answer { structured: Value::Object(object), text: None }) }
}
