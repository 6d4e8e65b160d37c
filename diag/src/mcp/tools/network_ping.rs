//! `network_ping`: round trips of the control link to a connected node. No shard takes part on either side.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::tool::{Answer, Call, Tool, output_of};
use crate::source::ProxyError;

/// Longest wait for all echoes.
const WAIT: Duration = Duration::from_secs(5);
/// Grace for a source that overruns its deadline.
const GRACE: Duration = Duration::from_millis(20);

pub(super) const TOOL: Tool = Tool {
    name: "network_ping",
    title: "Ping a node",
    help: "Round trips between the diagnostics lanes of two connected nodes: least, mean and most of `count`.",
    params: &[
        Param::required("name", Shape::Text, "Name of the node, name@host."),
        Param::int("count", 1, 10, 3, "Echoes to send."),
    ],
    output: output_of::<Echo>,
    idempotent: true,
    run: |call| Box::pin(run(call)),
};

#[derive(Debug, Serialize, JsonSchema)]
struct RoundTrip {
    min: u64,
    avg: u64,
    max: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Echo {
    name: String,
    /// Echoes that came back.
    count: usize,
    /// Nanoseconds.
    rtt_ns: RoundTrip,
    lane: &'static str,
    /// Clock of the peer minus ours in nanoseconds; 0 is not measured.
    clock_skew_ns: i64,
}

async fn run(call: Call) -> Result<Answer, ToolError> {
    let name = call.args.text("name").unwrap_or_default();
    let failed = |source| ToolError::Proxy { node: String::from(name), source };
    let source = &call.desk.source;
    if source.identity().name == name {
        return Err(ToolError::argument(
            "name",
            String::from("is the answering node itself; name another one"),
        ));
    }
    let count = u32::try_from(call.args.int("count").unwrap_or(3)).unwrap_or(3);
    let deadline = call.deadline.min(Instant::now() + WAIT);
    let reply = source.ping(name, count, deadline.into_std());
    let trips = timeout_at(deadline + GRACE, reply)
        .await
        .map_err(|_| failed(ProxyError::Timeout))?
        .map_err(failed)?;
    let (Some(min), Some(max)) = (trips.iter().min(), trips.iter().max()) else {
        return Err(failed(ProxyError::Timeout));
    };
    let sum = trips.iter().fold(0_u64, |sum, trip| sum.saturating_add(*trip));
    let avg = sum / u64::try_from(trips.len()).unwrap_or(1);
    let clock_skew_ns =
        source.peers().iter().find(|peer| peer.node == name).map_or(0, |peer| peer.clock_skew_ns);
    let text = format!("ping {name}: rtt {:.2}ms", avg as f64 / 1e6);
    let echo = Echo {
        name: String::from(name),
        count: trips.len(),
        rtt_ns: RoundTrip { min: *min, avg, max: *max },
        lane: "control",
        clock_skew_ns,
    };
    Ok(Answer::of(&echo)?.with_text(text))
}
