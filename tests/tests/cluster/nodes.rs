//! A cluster of `node` processes on loopback, and questions to them.

use serde_json::{Value, json};
use shard_runtime::{Node, RegistrarSpec};
use shard_tests::harness::{
    Metrics, NodeProcess, NodeSpec, TempDir, eventually, free_ports, get, node_binary, request,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Longest wait for anything that should come at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);
pub(crate) const COOKIE: &str = "a cookie of the tests, long enough for any address";
const CLUSTER: &str = "tests";

/// Where one node is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) wire: SocketAddr,
    pub(crate) radar: SocketAddr,
    pub(crate) mcp: SocketAddr,
}

impl Place {
    /// The page of metrics; `None` while the node does not answer.
    pub(crate) fn try_metrics(&self) -> Option<Metrics> {
        let page = get(self.radar, "/metrics", ANSWER).ok()?;
        Some(Metrics::parse(&page.body).expect("metrics are well formed"))
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.try_metrics().unwrap_or_else(|| panic!("{} has no metrics", self.name))
    }

    /// One number, 0 where there is no series.
    pub(crate) fn sum(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(family, labels).unwrap_or(0.0)
    }

    /// Names of the nodes it is connected to.
    pub(crate) fn peers(&self) -> Vec<String> {
        self.try_metrics()
            .map(|page| page.label_values("ergo_remote_node_uptime_seconds", "remote_node"))
            .unwrap_or_default()
    }

    pub(crate) fn received_from(&self, other: &str) -> f64 {
        self.sum("ergo_remote_messages_in_total", &[("remote_node", other)])
    }

    pub(crate) fn sent_to(&self, other: &str) -> f64 {
        self.sum("ergo_remote_messages_out_total", &[("remote_node", other)])
    }

    /// Failed handshakes for one reason, on the port for other nodes.
    pub(crate) fn refused(&self, reason: &str) -> f64 {
        let acceptor = self.wire.to_string();
        self.sum("shard_handshake_errors_total", &[("acceptor", &acceptor), ("reason", reason)])
    }

    /// The structured answer of a tool, or the error's text.
    pub(crate) fn tool(&self, tool: &str, arguments: &Value) -> Result<Value, String> {
        let call = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call }).to_string();
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2025-06-18"),
        ];
        let answer = request(self.mcp, "POST", "/mcp", &headers, &body, ANSWER).map_err(|e| e.to_string())?;
        let answer: Value =
            serde_json::from_str(&answer.body).map_err(|e| format!("{e}: {}", answer.body))?;
        let result = &answer["result"];
        if result["isError"] == false {
            Ok(result["structuredContent"].clone())
        } else {
            Err(answer.to_string())
        }
    }
}

/// Nodes `demo@cluster-node1` and so on. Dropping it kills them.
pub(crate) struct Cluster {
    pub(crate) places: Vec<Place>,
    pub(crate) nodes: Vec<NodeProcess>,
    registrar: SocketAddr,
    pub(crate) logs: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Cluster {
    /// Starts them and waits until each sees all others.
    pub(crate) fn start(count: usize, variables: &[(&'static str, &str)]) -> Self {
        let ports = free_ports(1 + 3 * count).expect("free ports");
        let at = |index: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[index]));
        let places = (0..count).map(|i| Place {
            name: format!("demo@cluster-node{}", i + 1),
            wire: at(1 + 3 * i),
            radar: at(2 + 3 * i),
            mcp: at(3 + 3 * i),
        });
        let mut cluster = Self {
            places: places.collect(),
            nodes: Vec::new(),
            registrar: at(0),
            logs: TempDir::new("cluster").expect("a folder"),
            variables: variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        };
        for index in 0..count {
            let node = cluster.launch(index);
            cluster.nodes.push(node);
        }
        cluster.await_mesh();
        cluster
    }

    /// What node `index` is started with.
    pub(crate) fn spec(&self, index: usize) -> NodeSpec {
        let place = &self.places[index];
        let label = format!("node{}", index + 1);
        let mut spec = NodeSpec::program(node_binary().expect("node builds"), &label, self.logs.path())
            .with_variable("NODE_NAME", &place.name)
            .with_variable("CLUSTER", CLUSTER)
            .with_variable("COOKIE", COOKIE)
            .with_variable("REGISTRAR", format!("embedded://{}", self.registrar))
            .with_variable("LISTEN", place.wire.to_string())
            .with_variable("RADAR_ADDR", place.radar.to_string())
            .with_variable("MCP_ADDR", place.mcp.to_string())
            .with_variable("SCENARIO_TIME_SCALE", "0.1")
            .with_variable("SCENARIO_START_DELAY_MS", "2000");
        for (name, value) in &self.variables {
            spec = spec.with_variable(*name, value);
        }
        spec
    }

    pub(crate) fn launch(&self, index: usize) -> NodeProcess {
        self.spec(index).start().expect("node starts")
    }

    /// Ends a node as a power cut would.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].kill().expect("killed");
    }

    pub(crate) fn restart(&mut self, index: usize) {
        self.nodes[index] = self.launch(index);
    }

    /// Names of all nodes but one.
    pub(crate) fn others(&self, index: usize) -> Vec<String> {
        let others = self.places.iter().enumerate().filter(|(i, _)| *i != index);
        others.map(|(_, place)| place.name.clone()).collect()
    }

    fn await_mesh(&mut self) {
        for index in 0..self.places.len() {
            let others = self.others(index);
            let place = self.places[index].clone();
            let node = &mut self.nodes[index];
            eventually(SOON, &format!("{} sees all others: {}", place.name, node.stderr()), || {
                assert!(node.is_running(), "{} ended:\n{}", place.name, node.stderr());
                place.peers() == others
            });
        }
    }

    /// A node of this test process in the same cluster, connected to all.
    pub(crate) fn probe(&self) -> Node {
        let node = Node::builder("probe@tests")
            .max_processes(4096)
            .listen("127.0.0.1:0")
            .cookie(COOKIE)
            .cluster(CLUSTER)
            .registrar(RegistrarSpec::embedded(self.registrar.to_string()))
            .start()
            .expect("the probe starts");
        eventually(SOON, "the probe is connected to all", || node.nodes().len() == self.places.len());
        node
    }

    /// Lines of a node's log that contain a text.
    pub(crate) fn log_lines(&self, index: usize, text: &str) -> Vec<String> {
        let log = self.nodes[index].stderr();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}
