//! Five nodes find each other, traffic flows on every link, and what they say about it is what tools expect.

use crate::nodes::{Cluster, Place, SOON};
use shard_tests::harness::{NodeSpec, TempDir, eventually, venv_python};
use std::process::Command;
use std::time::Duration;

#[test]
fn five_nodes_see_each_other_and_talk_on_all_twenty_links() {
    let cluster = Cluster::start(5, &[]);
    for (index, place) in cluster.places.iter().enumerate() {
        for other in cluster.others(index) {
            eventually(SOON, &format!("{} hears {other}", place.name), || place.received_from(&other) > 0.0);
            eventually(SOON, &format!("{} talks to {other}", place.name), || place.sent_to(&other) > 0.0);
        }
    }
    let of_each = |family: &str| cluster.places.iter().map(|place| place.sum(family, &[])).sum::<f64>();
    assert_eq!(of_each("ergo_connections_lost_total"), 0.0);
    assert_eq!(of_each("shard_handshake_errors_total"), 0.0);
    assert_eq!(of_each("ergo_send_errors_remote_total"), 0.0);
    for (index, node) in cluster.nodes.iter().enumerate() {
        assert!(!node.stderr().contains("panic"), "{}", node.stderr());
        assert_eq!(cluster.log_lines(index, " up (session ").len(), 4, "{}", node.stderr());
    }
}

#[test]
fn the_official_sdk_asks_every_node_through_the_first() {
    let cluster = Cluster::start(5, &[]);
    let names: Vec<String> = cluster.places.iter().map(|place| place.name.clone()).collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../diag/tests/mcp_client.py");
    let logs = TempDir::new("sdk").expect("a folder");
    let python = venv_python().unwrap_or_else(|error| panic!("{error}"));
    let mut client = NodeSpec::program(python, "client", logs.path())
        .with_argument(script)
        .with_argument(format!("http://{}/mcp", cluster.places[0].mcp))
        .with_arguments(&names)
        .start()
        .expect("the client starts");
    let status = client.wait(Duration::from_secs(60)).expect("a child").expect("the client ends");
    assert!(status.success(), "{}{}", client.stdout(), client.stderr());
    for name in &names {
        assert!(client.stdout().contains(&format!("{name}: ")), "{}", client.stdout());
    }
}

/// Gauges that end in `_total`: Ergo's names, kept so that its dashboards work. No other complaint is known.
const NOT_COUNTERS: [&str; 6] = [
    "ergo_applications_total",
    "ergo_connected_nodes_total",
    "ergo_processes_total",
    "ergo_registered_aliases_total",
    "ergo_registered_events_total",
    "ergo_registered_names_total",
];

#[test]
fn promtool_accepts_the_metrics_of_every_node() {
    let cluster = Cluster::start(3, &[]);
    for (index, place) in cluster.places.iter().enumerate() {
        for other in cluster.others(index) {
            eventually(SOON, "traffic, so that every family has a value", || {
                place.received_from(&other) > 0.0
            });
        }
        check(place, cluster.logs.path());
    }
}

fn check(place: &Place, folder: &std::path::Path) {
    let page = shard_tests::harness::get(place.radar, "/metrics", SOON).expect("metrics").body;
    let file = folder.join("page.txt");
    std::fs::write(&file, page).expect("a file");
    let input = std::fs::File::open(&file).expect("a file");
    let out = Command::new("promtool").args(["check", "metrics"]).stdin(input).output();
    let out = out.unwrap_or_else(|error| panic!("promtool: {error}; run `tests/prepare test` first"));
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let unexplained: Vec<&str> = text.lines().filter(|line| !is_explained(line)).collect();
    assert!(unexplained.is_empty(), "{}: {unexplained:#?}", place.name);
    // 3: nothing but complaints about style, which were looked at above.
    assert!(matches!(out.status.code(), Some(0 | 3)), "{}: {}", place.name, out.status);
}

fn is_explained(line: &str) -> bool {
    let complaint = "non-counter metrics should not have \"_total\" suffix";
    line.split_once(' ').is_some_and(|(name, rest)| rest == complaint && NOT_COUNTERS.contains(&name))
}
