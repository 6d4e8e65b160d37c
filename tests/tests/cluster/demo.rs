//! The demo as a whole: it comes up, says how it is, and leaves nothing behind, however it ends.

use crate::nodes::SOON;
use serde_json::Value;
use shard_tests::harness::{
    NodeProcess, NodeSpec, Signal, TempDir, binary, eventually, eventually_some, free_port, poll,
};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PACKAGE: &str = "shard-scenarios";
const NODES: usize = 3;

struct Demo {
    process: NodeProcess,
    folder: TempDir,
    /// The nodes' process ids.
    pids: Vec<u32>,
}

/// The first of a dozen consecutive ports that nobody uses now.
fn port_block() -> u16 {
    let block = |first: u16| {
        let ports = first..first.checked_add(12)?;
        let held: Result<Vec<_>, _> = ports.map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        held.is_ok().then_some(first)
    };
    eventually_some(SOON, "twelve free ports in a row", || block(free_port().ok()?))
}

fn spec(folder: &Path, arguments: &[&str]) -> NodeSpec {
    // The demo looks for the other program beside itself.
    binary(PACKAGE, "node").expect("node builds");
    NodeSpec::program(binary(PACKAGE, "demo").expect("demo builds"), "demo", folder)
        .with_argument("--folder")
        .with_argument(folder.join("demo"))
        .with_arguments(arguments)
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new("demo").expect("a folder");
        let (count, ports) = (NODES.to_string(), port_block().to_string());
        let usual = ["--nodes", count.as_str(), "--ports-from", ports.as_str()];
        let mut process = spec(folder.path(), &[&usual[..], arguments].concat()).start().expect("started");
        let up = format!("all {NODES} nodes are up and connected");
        eventually(Duration::from_secs(60), &format!("{up}: {}", process.stderr()), || {
            assert!(process.is_running(), "{}{}", process.stdout(), process.stderr());
            process.stdout().contains(&up)
        });
        let record = std::fs::read_to_string(folder.path().join("demo/run.json")).expect("run.json");
        let record: Value = serde_json::from_str(&record).expect("JSON");
        let nodes = record["nodes"].as_array().expect("nodes").iter();
        let pids = nodes.map(|node| node["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid"));
        let pids: Vec<u32> = pids.collect();
        assert_eq!(pids.len(), NODES);
        assert!(pids.iter().all(|pid| is_node(*pid)), "{pids:?}");
        Self { process, folder, pids }
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("demo/run.json")
    }

    fn is_gone(&self) -> bool {
        self.pids.iter().all(|pid| !is_node(*pid))
    }
}

/// Whether this process runs the program `node`: an id may be another's by now.
fn is_node(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "node")
}

#[test]
fn it_shows_addresses_and_traffic_and_ctrl_c_leaves_nothing() {
    let mut demo = Demo::start(&[]);
    let out = demo.process.stdout();
    for word in ["http://127.0.0.1:", "/metrics", "/health/ready", "/mcp", "demo@cluster-node3"] {
        assert!(out.contains(word), "{out}");
    }
    let process = &demo.process;
    eventually(SOON, "a line that says all is well", || {
        process.stdout().contains("3 of 3 nodes up, traffic on 6 of 6 links")
    });
    demo.process.signal(Signal::Interrupt).expect("it runs");
    let status = demo.process.wait(SOON).expect("a child").expect("it ends");
    assert_eq!(status.code(), Some(0), "{}{}", demo.process.stdout(), demo.process.stderr());
    assert!(demo.process.stdout().contains("all nodes stopped"), "{}", demo.process.stdout());
    assert!(demo.is_gone() && !demo.record().exists());
}

#[test]
fn a_duration_ends_it() {
    let mut demo = Demo::start(&["--duration", "1s"]);
    let status = demo.process.wait(SOON).expect("a child").expect("it ends by itself");
    assert_eq!(status.code(), Some(0), "{}{}", demo.process.stdout(), demo.process.stderr());
    assert!(demo.is_gone());
}

#[test]
fn killed_it_takes_its_nodes_with_it() {
    let mut demo = Demo::start(&[]);
    demo.process.kill().expect("killed");
    eventually(SOON, "its nodes are gone", || demo.is_gone());
}

#[test]
fn a_node_that_dies_is_named_and_the_others_go_on() {
    let mut demo = Demo::start(&[]);
    // Not our child, so the harness cannot signal it.
    let killed = std::process::Command::new("kill").args(["-9", &demo.pids[1].to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let process = &demo.process;
    eventually(SOON, "it says who died", || {
        let out = process.stdout();
        out.contains("demo@cluster-node2 has died") && out.contains("[info] demo@cluster-node2 ready")
    });
    eventually(SOON, "the others go on", || process.stdout().contains("2 of 3 nodes up"));
    assert!(is_node(demo.pids[0]) && is_node(demo.pids[2]));
    demo.process.signal(Signal::Terminate).expect("it runs");
    let status = demo.process.wait(SOON).expect("a child").expect("it ends");
    assert_eq!(status.code(), Some(1), "{}", demo.process.stderr());
    assert!(demo.is_gone());
}

#[test]
fn a_port_that_is_taken_is_named_before_anything_starts() {
    let folder = TempDir::new("demo").expect("a folder");
    let ports = port_block();
    // The third: links of the first node.
    let _held = TcpListener::bind(("127.0.0.1", ports + 2)).expect("free a moment ago");
    let ports = ports.to_string();
    let mut demo = spec(folder.path(), &["--ports-from", &ports]).start().expect("started");
    let status = demo.wait(SOON).expect("a child").expect("it ends");
    let text = demo.stderr();
    assert_eq!(status.code(), Some(69), "{text}");
    assert!(text.contains("for links of demo@cluster-node1"), "{text}");
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
    assert!(poll(Duration::ZERO, || folder.path().join("demo").exists().then_some(())).is_none());
}
