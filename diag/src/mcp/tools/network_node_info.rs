//! `network_node_info`: one connected peer. Reads memory only.

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::RemoteNode;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};
use crate::source::ProxyError;

pub(super) const TOOL: Tool = Tool {
    name: "network_node_info",
    title: "One connected node",
    help: "The connection to one node: messages, bytes, links, reconnections, fragments, compression, clock skew.",
    params: &[Param::required("name", Shape::Text, "Name of the node, name@host.")],
    output: output_of::<RemoteNode>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

fn run(call: &Call) -> Result<Answer, ToolError> {
    let name = call.args.text("name").unwrap_or_default();
    match call.desk.source.peers().into_iter().find(|peer| peer.node == name) {
        Some(peer) => Answer::of(&RemoteNode::from(peer)),
        None => Err(ToolError::Proxy { node: String::from(name), source: ProxyError::NotConnected }),
    }
}
