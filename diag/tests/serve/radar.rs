//! Metrics and health.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shard_diag::metrics::{FAMILIES, Kind};
use shard_diag::source::Phase;

use crate::client::{assert_fixture, get, request, start};
use crate::fake::{Fake, NODE1, NODE2};

/// One sample: labels and value.
type Sample = (BTreeMap<String, String>, f64);

/// Samples by family, and the declared types. Refuses a line that is not exposition text.
fn parse(page: &str) -> (BTreeMap<String, Vec<Sample>>, BTreeMap<String, String>) {
    let (mut samples, mut types) = (BTreeMap::<String, Vec<Sample>>::new(), BTreeMap::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            types.insert(String::from(name), String::from(kind));
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').expect("labels");
        let labels = labels.strip_suffix('}').expect("closed labels").split("\",").map(|pair| {
            let (label, text) = pair.split_once("=\"").expect("a label");
            (String::from(label), String::from(text.trim_end_matches('"')))
        });
        let value = value.parse().expect("a number");
        samples.entry(String::from(name)).or_default().push((labels.collect(), value));
    }
    (samples, types)
}

fn connected() -> (std::sync::Arc<Fake>, shard_diag::Diag) {
    let (one, two) = (Fake::new(NODE1, 120), Fake::new(NODE2, 3));
    Fake::connect(&one, &two);
    let diag = start(one.clone());
    (one, diag)
}

#[test]
fn the_page_has_every_family_with_its_type_and_labels() {
    let (_node, diag) = connected();
    let address = diag.radar_addresses()[0];
    // The first scrape is counted, so that the second shows the families that count scrapes.
    assert_eq!(get(address, "/metrics").status, 200);
    let answer = request(address, "GET", "/metrics", "Host: evil.example\r\n", "");
    assert_eq!(answer.status, 403);
    crate::client::call(diag.mcp_addresses()[0], "node_info", &json!({}));
    let answer = get(address, "/metrics");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let (samples, types) = parse(&answer.body);
    let mut listing = String::new();
    for family in FAMILIES {
        let (kind, series) = match family.kind {
            Kind::Counter => ("counter", String::from(family.name)),
            Kind::Gauge => ("gauge", String::from(family.name)),
            Kind::Histogram => ("histogram", format!("{}_count", family.name)),
        };
        let Some(found) = samples.get(&series) else {
            let may_be_empty = ["_top", "_bottom"].iter().any(|end| family.name.ends_with(end));
            assert!(may_be_empty && family.name.contains("event_"), "{} is missing", family.name);
            continue;
        };
        assert_eq!(types[family.name], kind, "{}", family.name);
        let expected: BTreeSet<_> = family.labels.iter().copied().chain(["node"]).collect();
        for (labels, _) in found {
            assert_eq!(
                labels.keys().map(String::as_str).collect::<BTreeSet<_>>(),
                expected,
                "{}",
                family.name
            );
            assert_eq!(labels["node"], NODE1.0);
        }
        let labels: Vec<_> = expected.into_iter().collect();
        listing.push_str(&format!("{} {kind} {}\n", family.name, labels.join(",")));
    }
    let histograms = FAMILIES.iter().filter(|family| family.kind == Kind::Histogram).count();
    // A histogram has three series names.
    assert_eq!(samples.len(), listing.lines().count() + 2 * histograms, "a sample of no family");
    assert_fixture("families.txt", &listing);
}

#[test]
fn lists_are_the_largest_and_ranges_are_complete() {
    let (_node, diag) = connected();
    let (samples, _) = parse(&get(diag.radar_addresses()[0], "/metrics").body);
    let top = &samples["ergo_process_messages_in_top"];
    assert_eq!(top.len(), 50);
    let values: BTreeSet<u64> = top.iter().map(|(_, value)| *value as u64).collect();
    assert_eq!(values, (70..120).map(|i| 10 * i).collect());
    let first = top.iter().find(|(_, value)| *value == 1170.0).expect("the 117th process");
    assert_eq!(first.0["pid"], "<574801E2.1048576.1118>");
    assert_eq!((first.0["name"].as_str(), first.0["application"].as_str()), ("worker_117", "demo"));
    let by_range = |name: &str| -> BTreeMap<String, f64> {
        samples[name].iter().map(|(labels, value)| (labels["range"].clone(), *value)).collect()
    };
    let depth = by_range("ergo_mailbox_depth_distribution");
    assert_eq!((depth.len(), depth["1"], depth["5"], depth["10K+"]), (10, 30.0, 60.0, 0.0));
    let latency = by_range("ergo_mailbox_latency_distribution");
    assert_eq!((latency.len(), latency["5ms"], latency["10ms"], latency["60s+"]), (12, 60.0, 30.0, 0.0));
    assert_eq!(by_range("ergo_process_utilization_distribution").len(), 8);
    assert_eq!(samples["ergo_log_messages_total"].len(), 6);
    assert_eq!(samples["ergo_event_utilization"].len(), 5);
    let by_event = |name: &str| -> BTreeMap<String, f64> {
        samples[name].iter().map(|(labels, value)| (labels["event"].clone(), *value)).collect()
    };
    assert_eq!(by_event("ergo_event_subscribers_top").len(), 4, "also those without");
    let published = by_event("ergo_event_published_top");
    assert_eq!((published.len(), published["news"], published["wasted"]), (2, 100.0, 300.0));
    assert_eq!(by_event("ergo_event_local_sent_top"), BTreeMap::from([(String::from("news"), 500.0)]));
    assert_eq!(samples["ergo_event_subscribers_max"][0].1, 5.0);
    assert_eq!(samples["ergo_acceptor_handshake_errors_total"][0].1, 3.0);
    assert_eq!(samples["ergo_remote_messages_in_total"][0].0["remote_node"], NODE2.0);
}

#[test]
fn stalls_and_losses_are_told_by_shard() {
    let (_node, diag) = connected();
    let (samples, _) = parse(&get(diag.radar_addresses()[0], "/metrics").body);
    let of = |name: &str, shard: &str, label: &str| -> BTreeMap<String, f64> {
        let rows = samples[name].iter().filter(|(labels, _)| labels["shard"] == shard);
        rows.map(|(labels, value)| (labels.get(label).cloned().unwrap_or_default(), *value)).collect()
    };
    for shard in ["0", "1"] {
        let over = of("shard_stalls_total", shard, "over");
        assert_eq!((over.len(), over["100ms"], over["1s"], over["10s"]), (3, 10.0, 3.0, 1.0));
        let below = of("shard_stall_seconds_bucket", shard, "le");
        assert_eq!((below.len(), below["0.2"], below["1"], below["5"]), (10, 4.0, 7.0, 9.0), "{below:?}");
        assert_eq!((below["300"], below["+Inf"]), (9.0, 10.0));
        assert_eq!(of("shard_stall_seconds_count", shard, "")[""], 10.0);
        assert_eq!(of("shard_stall_seconds_sum", shard, "")[""], 310.5);
        for (name, value) in [
            ("shard_policy_dropped_total", 21.0),
            ("shard_mailbox_refused_total", 22.0),
            ("shard_mailbox_lost_total", 23.0),
            ("shard_interrupted_total", 24.0),
            ("shard_unhandled_total", 25.0),
            ("shard_panics_total", 26.0),
            ("shard_inbox_refused_total", 27.0),
            ("shard_ring_refused_total", 28.0),
            ("shard_mailbox_bytes", 29.0),
            ("shard_over_budget_total", 30.0),
            ("shard_io_tasks", 31.0),
            ("shard_io_descriptors", 32.0),
            ("shard_io_opened_total", 33.0),
            ("shard_io_closed_total", 34.0),
            ("shard_io_failed_total", 35.0),
            ("shard_io_refused_total", 36.0),
            ("shard_io_held_total", 39.0),
            ("shard_io_requests_total", 40.0),
            ("shard_io_dropped_total", 45.0),
            ("shard_rescued_total", 46.0),
            ("shard_nudged_total", 47.0),
            ("shard_traces_held", 48.0),
            ("shard_traces_dropped_total", 49.0),
        ] {
            assert_eq!(of(name, shard, "")[""], value, "{name}");
        }
        let failed = of("shard_io_requests_failed_total", shard, "why");
        assert_eq!((failed.len(), failed["shed"], failed["unanswered"]), (4, 41.0, 42.0));
        assert_eq!((failed["abandoned"], failed["cut"]), (43.0, 44.0));
        let kept = of("shard_arena_bytes", shard, "kind");
        assert_eq!((kept.len(), kept["envelopes"], kept["futures"]), (2, 50.0, 51.0));
        let bytes = of("shard_io_bytes_total", shard, "direction");
        assert_eq!((bytes.len(), bytes["in"], bytes["out"]), (2, 37.0, 38.0));
    }
    assert_eq!(of("shard_policy_dropped_total", "outside", "")[""], 5.0);
}

#[test]
fn the_network_is_told_by_peer_and_as_a_whole() {
    let (_node, diag) = connected();
    let (samples, types) = parse(&get(diag.radar_addresses()[0], "/metrics").body);
    let of = |name: &str, label: &str| -> BTreeMap<String, f64> {
        let rows = samples[name].iter();
        rows.map(|(labels, value)| (labels.get(label).cloned().unwrap_or_default(), *value)).collect()
    };
    for (name, kind, value) in [
        ("ergo_remote_compressed_sent_total", "counter", 62.0),
        ("ergo_remote_compressed_bytes_sent_total", "counter", 63.0),
        ("ergo_remote_compressed_orig_bytes_sent_total", "counter", 64.0),
        ("ergo_remote_decompressed_recv_total", "counter", 65.0),
        ("ergo_remote_decompressed_bytes_recv_total", "counter", 66.0),
        ("ergo_remote_decompressed_orig_recv_total", "counter", 67.0),
        ("shard_net_outboxes_full", "gauge", 68.0),
        ("shard_net_links_held", "gauge", 69.0),
        ("shard_net_late_messages", "gauge", 70.0),
    ] {
        assert_eq!((of(name, "remote_node")[NODE2.0], types[name].as_str()), (value, kind), "{name}");
    }
    let lost = of("shard_net_session_losses_total", "outcome");
    assert_eq!((lost.len(), lost["failed"], lost["unknown"]), (2, 71.0, 72.0));
    assert_eq!(of("shard_net_traced_total", "direction")["out"], 61.0);
    let ends = of("shard_net_sessions_lost_total", "reason");
    assert_eq!((ends.len(), ends["goodbye"], ends["heartbeat"]), (2, 0.0, 3.0));
    assert_eq!(of("shard_net_dial_errors_total", "reason")["timeout"], 7.0);
    assert_eq!(of("shard_net_accept_failures_total", "acceptor")["127.0.0.1:15000"], 8.0);
    assert_eq!(of("shard_net_links_opened_total", "side")["accepted"], 9.0);
}

#[test]
fn the_guide_lists_every_family() {
    let mut table = String::from("| Metric | Type | Labels | What it says |\n| --- | --- | --- | --- |\n");
    for family in FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!(
            "| `{}` | {kind} | {} | {} |\n",
            family.name,
            labels.join(", "),
            family.help
        ));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/metrics.md");
    let guide = std::fs::read_to_string(path).expect("the page");
    let (written, listed) = guide.split_once("## All families\n\n").expect("a list of families");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(path, format!("{written}## All families\n\n{table}")).expect("writable");
        return;
    }
    assert!(listed == table, "docs/guide/metrics.md differs; run with UPDATE_FIXTURES=1:\n{table}");
}

#[test]
fn cron_jobs_and_lost_log_lines_are_counted() {
    let (_node, diag) = connected();
    let (samples, _) = parse(&get(diag.radar_addresses()[0], "/metrics").body);
    let by = |name: &str, label: &str| -> BTreeMap<String, f64> {
        samples[name].iter().map(|(labels, value)| (labels[label].clone(), *value)).collect()
    };
    let lost = by("shard_log_lost_total", "level");
    assert_eq!((lost.len(), lost["trace"], lost["panic"]), (6, 6.0, 1.0));
    assert_eq!(by("shard_log_dropped_total", "sink"), BTreeMap::from([(String::from("default"), 6.0)]));
    let jobs = by("shard_cron_jobs", "state");
    assert_eq!((jobs.len(), jobs["enabled"], jobs["disabled"]), (2, 2.0, 1.0));
    assert_eq!(samples["shard_cron_next_run_timestamp_seconds"][0].1, 3600.0);
    for (name, value) in [
        ("shard_cron_runs_total", 9.0),
        ("shard_cron_failures_total", 2.0),
        ("shard_cron_skipped_total", 3.0),
        ("shard_cron_missed_total", 4.0),
    ] {
        let counts = by(name, "job");
        assert_eq!((counts.len(), counts["backup"]), (3, value), "{name}");
    }
    let last = by("shard_cron_last_run_timestamp_seconds", "job");
    assert_eq!((last.len(), last["backup"]), (2, 60.0), "one never ran");
}

#[test]
fn promtool_finds_only_the_six_gauges_that_end_in_total() {
    let (_node, diag) = connected();
    let page = get(diag.radar_addresses()[0], "/metrics").body;
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        // It comes with Debian's package `prometheus`; the text itself is checked by the other tests.
        let required = std::env::var_os("SHARD_TESTS_REQUIRE_TOOLS").is_some();
        assert!(!required, "promtool is missing; install the package `prometheus`");
        return;
    };
    child.stdin.take().expect("stdin").write_all(page.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an answer");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let findings: BTreeSet<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let expected = [
        "ergo_applications_total",
        "ergo_connected_nodes_total",
        "ergo_processes_total",
        "ergo_registered_aliases_total",
        "ergo_registered_events_total",
        "ergo_registered_names_total",
    ];
    assert_eq!(findings, BTreeSet::from(expected), "{text}");
}

#[test]
fn a_healthy_node_says_so_and_nothing_else() {
    let (_node, diag) = connected();
    let address = diag.radar_addresses()[0];
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        let answer = get(address, path);
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"healthy"}"#), "{path}");
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    }
    let answer = request(address, "POST", "/health/live", "", "");
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    let answer = request(address, "HEAD", "/health/live", "", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(get(address, "/health").status, 404);
}

#[test]
fn a_wedged_shard_fails_liveness_with_its_reason_while_metrics_answer() {
    let (node, diag) = connected();
    let address = diag.radar_addresses()[0];
    node.stick(1, Duration::from_secs(15));
    let answer = get(address, "/health/live");
    assert_eq!(answer.status, 503);
    let plain: Value = serde_json::from_str(&answer.body).expect("JSON");
    let signal = json!({ "signal": "runtime.shard.1", "status": "down", "timeout": "10s" });
    assert_eq!(plain, json!({ "status": "unhealthy", "signals": [signal] }));
    let verbose: Value = serde_json::from_str(&get(address, "/health/live?verbose=1").body).expect("JSON");
    let reason = verbose["signals"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("15.0 s") && reason.contains("<574801E2.1048576.1002>"), "{reason}");
    assert_eq!(get(address, "/health/ready").status, 200);
    let (samples, _) = parse(&get(address, "/metrics").body);
    let ages: Vec<f64> = samples["shard_heartbeat_age_seconds"].iter().map(|(_, value)| *value).collect();
    assert!(ages.contains(&15.0), "{ages:?}");
}

#[test]
fn stopping_and_a_lost_registrar_fail_readiness_only() {
    let (node, diag) = connected();
    let address = diag.radar_addresses()[0];
    node.edit().phase = Phase::Stopping;
    node.edit().registrar_down = Some(String::from("connection refused"));
    let answer = get(address, "/health/ready");
    assert_eq!(answer.status, 503);
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body["signals"][0]["signal"], "runtime.registrar");
    assert_eq!(body["signals"][1]["signal"], "runtime.shutdown");
    assert_eq!(get(address, "/health/live").status, 200);
}
