//! `network_node_info`: one connected peer, and what has changed lately. Reads memory only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::RemoteNode;
use crate::mcp::time_text::rfc3339;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};
use crate::source::{PeerChangeRow, ProxyError};

pub(super) const TOOL: Tool = Tool {
    name: "network_node_info",
    title: "One connected node",
    help: "The connection to one node: messages, bytes, links, reconnections, compression, traces, what waits, what was \
           refused or lost and why, what this node does for it, and the last changes of its sessions and data links with \
           their times.",
    params: &[Param::required("name", Shape::Text, "Name of the node, name@host.")],
    output: output_of::<NodeInfo>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

/// One connected node, and what has changed lately.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeInfo {
    #[serde(flatten)]
    node: RemoteNode,
    /// The last 64 changes of sessions and of data links each, oldest first.
    history: Vec<Change>,
}

/// What has changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Change {
    /// When, RFC 3339.
    at: String,
    /// Number of the session.
    session: u64,
    /// What: up, down, suspect, healthy, link up or link down.
    change: &'static str,
    /// Why a session ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The shard here that owns the data link.
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u16>,
    /// Which try of its slot the data link was, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
}

impl From<PeerChangeRow> for Change {
    fn from(row: PeerChangeRow) -> Self {
        let PeerChangeRow { at, session, change, reason, shard, epoch } = row;
        Self { at: rfc3339(at), session, change, reason, shard, epoch }
    }
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let name = call.args.text("name").unwrap_or_default();
    match call.desk.source.peers().into_iter().find(|peer| peer.node == name) {
        Some(mut peer) => {
            let history = std::mem::take(&mut peer.history).into_iter().map(Change::from).collect();
            Answer::of(&NodeInfo { node: RemoteNode::from(peer), history })
        }
        None => Err(ToolError::Proxy { node: String::from(name), source: ProxyError::NotConnected }),
    }
}
