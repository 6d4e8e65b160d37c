//! `cluster_nodes`: every node of the cluster this node knows. Reads memory only.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::error::ToolError;
use crate::mcp::records::seconds;
use crate::mcp::tool::{Answer, Call, Tool, at_once, output_of};

pub(super) const TOOL: Tool = Tool {
    name: "cluster_nodes",
    title: "Nodes of the cluster",
    help: "Nodes of the cluster: the answering node first (self), then connected ones, then those only the registrar \
           knows (discovered). Pass a name as `node` to any tool.",
    params: &[],
    output: output_of::<Cluster>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

#[derive(Debug, Serialize, JsonSchema)]
struct Member {
    name: String,
    status: &'static str,
    /// Key of the incarnation; null if unknown.
    creation: Option<u64>,
    /// Seconds since it started; null if unknown.
    uptime: Option<i64>,
    /// Release of its program; null if unknown.
    version: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Cluster {
    items: Vec<Member>,
    total: usize,
    matched: usize,
    returned: usize,
    truncated: bool,
    /// What could not be asked, and why.
    source_errors: Vec<String>,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let source = &call.desk.source;
    let me = source.identity();
    let mut seen = BTreeSet::from([me.name.clone()]);
    let mut items = vec![Member {
        name: me.name,
        status: "self",
        creation: Some(me.creation),
        uptime: Some(seconds(me.uptime_ns)),
        version: Some(me.version.release),
    }];
    let mut peers = source.peers();
    peers.sort_by(|a, b| a.node.cmp(&b.node));
    for peer in peers {
        if seen.insert(peer.node.clone()) {
            items.push(Member {
                name: peer.node,
                status: "connected",
                creation: Some(peer.creation),
                uptime: Some(seconds(peer.uptime_ns)),
                version: Some(peer.version.release),
            });
        }
    }
    let registrar = source.registrar();
    let mut known = registrar.nodes;
    known.sort_by(|a, b| a.name.cmp(&b.name));
    for node in known {
        if seen.insert(node.name.clone()) {
            let creation = (node.creation != 0).then_some(node.creation);
            items.push(Member {
                name: node.name,
                status: "discovered",
                creation,
                uptime: None,
                version: None,
            });
        }
    }
    let source_errors = registrar.down.map(|reason| format!("registrar: {reason}")).into_iter().collect();
    let total = items.len();
    Answer::of(&Cluster { items, total, matched: total, returned: total, truncated: false, source_errors })
}
