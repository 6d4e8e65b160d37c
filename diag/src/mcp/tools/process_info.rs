//! `process_info`: the full record of one process. Counters come from memory, the rest from the process's shard, which
//! need not reach the process for it. A shard that is stuck delays the answer by a second at most, and is named in it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::process_record::ProcessInfo;
use crate::mcp::tool::{Answer, Call, Tool, output_of};
use crate::source::InspectError;

/// Longest wait for the shard.
const WAIT: Duration = Duration::from_secs(1);
/// Grace for a source that overruns its deadline.
const GRACE: Duration = Duration::from_millis(20);

pub(super) const TOOL: Tool = Tool {
    name: "process_info",
    title: "Process",
    help: "Everything a node knows about one process: counters, state, queues, mailbox limit and policy, parent, \
           leader, links and monitors in both directions, aliases, events, keys of its environment. Where its shard is \
           stuck the counters come without the rest, and Note and BlockedBy say who holds the shard and for how long.",
    params: &[Param::required(
        "pid",
        Shape::Text,
        "Pid as <CRC.hi.lo>, node@host:ID.Creation or <key.hi.lo>, or a registered name.",
    )],
    output: output_of::<ProcessInfo>,
    idempotent: true,
    run: |call| Box::pin(run(call)),
};

async fn run(call: Call) -> Result<Answer, ToolError> {
    let text = call.args.text("pid").unwrap_or_default();
    let id = call.desk.resolve("pid", text)?;
    let source = &call.desk.source;
    let unknown = || ToolError::UnknownProcess { text: String::from(text) };
    if !source.process(id, &mut |_| {}) {
        return Err(unknown());
    }
    let deadline = call.deadline.min(Instant::now() + WAIT);
    let reply = source.facts(id, deadline.into_std());
    let answer = timeout_at(deadline + GRACE, reply).await.unwrap_or(Err(InspectError::Timeout));
    let node = source.identity();
    let mut answer = Some(answer);
    let mut info = None;
    source.process(id, &mut |row| {
        info = answer.take().map(|answer| ProcessInfo::new(row, &node, answer));
    });
    Answer::of(&info.ok_or_else(unknown)?)
}
