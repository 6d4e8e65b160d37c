//! `network_nodes`: peers connected now. Reads memory only.

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::RemoteNode;
use crate::mcp::tool::{Answer, Call, Items, Tool, at_once, output_of};
use crate::snapshot::SECOND_NS;
use crate::source::PeerRow;

pub(super) const TOOL: Tool = Tool {
    name: "network_nodes",
    title: "Connected nodes",
    help: "Nodes this node is connected to, with messages and bytes both ways, links and uptimes, what waits (outboxes_full, \
           links_held, late), and what was refused or lost and why. Compare MessagesOut of one side with MessagesIn of the \
           other.",
    params: &[
        Param::optional("name", Shape::Text, "Part of the node name."),
        Param::bound("min_uptime", "Least seconds since the peer started."),
        Param::bound("min_connection_uptime", "Least seconds since the session began."),
        Param::bound("min_messages_in", "Least messages received from it."),
        Param::bound("min_messages_out", "Least messages sent to it."),
        Param::bound("min_bytes_in", "Least bytes received from it."),
        Param::bound("min_bytes_out", "Least bytes sent to it."),
    ],
    output: output_of::<Items<RemoteNode>>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

/// A number of a peer.
type Field = fn(&PeerRow) -> u64;

fn run(call: &Call) -> Result<Answer, ToolError> {
    let bounds: [(&str, Field); 6] = [
        ("min_uptime", |peer| peer.uptime_ns / SECOND_NS),
        ("min_connection_uptime", |peer| peer.connection_uptime_ns / SECOND_NS),
        ("min_messages_in", |peer| peer.messages_in),
        ("min_messages_out", |peer| peer.messages_out),
        ("min_bytes_in", |peer| peer.bytes_in),
        ("min_bytes_out", |peer| peer.bytes_out),
    ];
    let mut peers = call.desk.source.peers();
    let total = u64::try_from(peers.len()).unwrap_or(u64::MAX);
    let part = call.args.text("name").unwrap_or_default();
    peers.retain(|peer| {
        peer.node.contains(part)
            && bounds.iter().all(|(name, field)| call.args.int(name).is_none_or(|least| field(peer) >= least))
    });
    peers.sort_by(|a, b| a.node.cmp(&b.node));
    Answer::of(&Items::complete(peers.into_iter().map(RemoteNode::from).collect(), total))
}
