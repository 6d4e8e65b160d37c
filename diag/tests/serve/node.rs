//! Diagnostics of a real node: counters that agree with what its actors did, and answers while a shard is stuck.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shard_diag::source::Version;
use shard_diag::{Diag, NodeSource};
use shard_runtime::prelude::*;
use shard_runtime::{AppContext, AppSpec, Application, StopPlan};

use crate::client::{call, fail, get, options};

/// How long the spinner spins in these tests.
const SPIN: Duration = Duration::from_secs(3);
/// Generous: the point is that nobody waits for the shard, which is stuck for thirty times as long.
const PROMPT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);

#[message(reply = u64)]
struct Count;

#[message]
struct Spin;

#[derive(Default)]
struct Counter {
    counted: u64,
}

#[actor]
impl Counter {
    #[handle]
    fn count(&mut self, _: Count, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.counted += 1;
        Ok(self.counted)
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("counted", self.counted);
    }
}

#[derive(Default)]
struct Spinner {}

#[actor]
impl Spinner {
    #[handle]
    fn spin(&mut self, _: Spin, _cx: &mut Context<'_>) -> ActorResult {
        let end = Instant::now() + SPIN;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

/// A node of two shards, the counter on the first and the spinner on the second, observed.
struct Observed {
    node: Node,
    diag: Diag,
}

impl Observed {
    fn new(name: &str) -> Self {
        let node = Node::builder(name).shards(2).max_processes(4096).start().expect("a node");
        let spawn = |shard| SpawnOptions::new().on_shard(shard);
        node.spawn(Counter::default, spawn(0).with_name("counter")).expect("a counter");
        node.spawn(Spinner::default, spawn(1).with_name("spinner")).expect("a spinner");
        let version =
            Version { name: String::from("test"), release: String::from("9"), ..Version::default() };
        let source = NodeSource::new(&node).with_version(version);
        let diag = Diag::start(Arc::new(source), options()).expect("starts");
        Self { node, diag }
    }

    fn ask(&self, tool: &str, arguments: &Value) -> Value {
        call(self.diag.mcp_addresses()[0], tool, arguments)
    }

    fn row(&self, name: &str) -> Value {
        let rows = self.ask("process_list", &json!({ "name": name }));
        rows["items"][0].clone()
    }

    fn metrics(&self) -> String {
        let answer = get(self.diag.radar_addresses()[0], "/metrics");
        assert_eq!(answer.status, 200);
        answer.body
    }
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn counters_agree_with_what_the_actors_did() {
    let observed = Observed::new("observed@localhost");
    for count in 1..=10 {
        assert_eq!(observed.node.call_blocking("counter", Count).expect("an answer"), count);
    }
    let info = observed.ask("node_info", &json!({}));
    assert_eq!(info["Name"], "observed@localhost");
    assert_eq!(info["ProcessesTotal"], 2);
    let row = observed.row("counter");
    assert_eq!((&row["MessagesIn"], &row["Behavior"]), (&json!(10), &json!("node.Counter")), "{row}");
    let inspected = observed.ask("process_inspect", &json!({ "pid": "counter" }));
    assert_eq!(inspected, json!({ "counted": "10" }));
    let some = observed.ask("process_inspect", &json!({ "pid": "counter", "items": ["counted", "nothing"] }));
    assert_eq!(some, json!({ "counted": "10", "nothing": "<unknown item>" }));
    let pid = observed.ask("process_lookup", &json!({ "name": "counter" }));
    assert_eq!(pid["PID"], row["PID"], "{pid}");
    let page = observed.metrics();
    for line in [
        "ergo_processes_total{node=\"observed@localhost\"} 2",
        "ergo_registered_names_total{node=\"observed@localhost\"} 2",
        "ergo_processes_spawned_total{node=\"observed@localhost\"} 2",
    ] {
        assert!(page.contains(line), "no {line:?} in\n{page}");
    }
}

#[test]
fn totals_keep_what_ended_processes_did() {
    let observed = Observed::new("totals@localhost");
    let total = || {
        let page = observed.metrics();
        let line = page.lines().find(|line| line.starts_with("ergo_process_messages_in{")).expect("a total");
        line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a number")
    };
    observed.node.call_blocking("counter", Count).expect("an answer");
    let before = total();
    assert!(before >= 1, "{before}");
    observed.node.kill(observed.node.whereis("counter").expect("a counter"));
    eventually("the counter is gone", || observed.node.whereis("counter").is_none());
    eventually("its record is gone", || observed.ask("node_info", &json!({}))["ProcessesTotal"] == 1);
    assert!(total() >= before);
}

#[test]
fn a_stuck_shard_hides_nothing_and_delays_nobody() {
    let observed = Observed::new("stuck@localhost");
    observed.node.send("spinner", Spin).expect("sent");
    eventually("the handler runs", || observed.row("spinner")["State"] == "running");

    let asked = Instant::now();
    let row = observed.row("spinner");
    let took = asked.elapsed();
    assert!(took < PROMPT, "process_list took {took:?}");
    assert_eq!(row["State"], "running", "{row}");
    let asked = Instant::now();
    let page = observed.metrics();
    let took = asked.elapsed();
    assert!(took < PROMPT, "/metrics took {took:?}");
    assert!(page.contains("shard_current_callback_seconds{shard=\"1\",node=\"stuck@localhost\"}"), "{page}");

    let elapsed = |row: &Value| row["CallbackElapsed"].as_u64().unwrap_or_else(|| panic!("no time: {row}"));
    let first = elapsed(&observed.row("spinner"));
    eventually("the time in the handler grows", || elapsed(&observed.row("spinner")) > first);

    // The other shard answers; the stuck one says who holds it, and does so before the handler is back.
    assert_eq!(observed.ask("process_inspect", &json!({ "pid": "counter" })), json!({ "counted": "0" }));
    let error = fail(observed.diag.mcp_addresses()[0], "process_inspect", &json!({ "pid": "spinner" }));
    let text = error.to_string();
    assert!(text.contains("shard 1 is blocked by <") && text.contains("(spinner) for "), "{text}");
    // What is in memory comes with it, and the reason why the rest does not.
    let asked = Instant::now();
    let info = observed.ask("process_info", &json!({ "pid": "spinner" }));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "process_info took {took:?}");
    let row = observed.row("spinner");
    assert_eq!((&info["BlockedBy"]["Name"], &info["BlockedBy"]["PID"]), (&json!("spinner"), &row["PID"]));
    assert_eq!((&info["MessagesIn"], &info["stalled_shards"]), (&json!(1), &json!([1])), "{info}");
    let note = info["Note"].as_str().expect("a note");
    assert!(note.contains("shard 1 is blocked by <") && note.contains("(spinner) for "), "{note}");
    let info = observed.ask("process_info", &json!({ "pid": "counter" }));
    assert_eq!((&info["Note"], &info["MailboxSize"]), (&Value::Null, &json!(-1)), "{info}");
    eventually("the handler is back", || observed.row("spinner")["State"] == "sleep");
    let page = observed.metrics();
    let number = |series: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{series}: {page}"))
    };
    assert!(number("shard_stalls_total{shard=\"1\",over=\"1s\"") >= 1.0);
    assert!(number("shard_stall_seconds_sum{shard=\"1\"") >= SPIN.as_secs_f64());
    assert!(number("shard_stall_seconds_count{shard=\"1\"") >= 1.0);
    assert_eq!(observed.ask("process_inspect", &json!({ "pid": "spinner" })), json!({}));
}

#[test]
fn a_stop_turns_readiness_off_before_diagnostics_ends() {
    let node = Node::builder("stopping@localhost").max_processes(64).start().expect("a node");
    let diag = Diag::for_node(&node, options()).expect("starts");
    let radar = diag.radar_addresses()[0];
    assert_eq!(get(radar, "/health/ready").status, 200);
    node.stop();
    let answer = get(radar, "/health/ready");
    assert_eq!(answer.status, 503, "{}", answer.body);
    diag.stop().expect("stops");
}

/// An application of a counter, whose drain waits for a name that nobody claims.
struct Shop;

impl Application for Shop {
    fn name(&self) -> &str {
        "shop"
    }
    fn spec(&self) -> AppSpec {
        AppSpec::new()
            .version("1.2")
            .tag("eu")
            .secret_env("token", String::from("hunter2"))
            .env("region", "eu")
            .member(Counter::default, SpawnOptions::named("till").on_shard(1))
    }
    async fn stop(&mut self, cx: &AppContext<'_>) {
        while cx.whereis("door").is_none() {
            cx.sleep(Duration::from_millis(1)).await;
        }
    }
}

#[test]
fn applications_of_a_real_node_and_readiness_while_they_stop() {
    let node = Node::builder("apps@localhost")
        .shards(2)
        .max_processes(64)
        .app(Shop)
        .secret_env("key", String::from("hunter2"))
        .expose_env(true)
        .start()
        .expect("a node");
    let diag = Diag::for_node(&node, options()).expect("starts");
    let (mcp, radar) = (diag.mcp_addresses()[0], diag.radar_addresses()[0]);
    let ask = |tool, arguments: Value| call(mcp, tool, &arguments);
    let listed = ask("app_list", json!({}));
    let row = &listed["items"][0];
    assert_eq!(
        (&row["name"], &row["state"], &row["processes"]),
        (&json!("shop"), &json!("running"), &json!(1))
    );
    let info = ask("app_info", json!({ "name": "shop" }));
    assert_eq!(info["Env"], json!({ "REGION": "eu", "TOKEN": "[redacted]" }));
    let processes = ask("app_processes", json!({ "name": "shop" }));
    assert_eq!((&processes["matched"], &processes["items"][0]["Name"]), (&json!(1), &json!("till")));
    assert_eq!(processes["items"][0]["Application"], "shop");
    let filtered = ask("process_list", json!({ "application": "shop" }));
    assert_eq!(filtered["matched"], 1);
    let till = ask("process_info", json!({ "pid": "till" }));
    assert_eq!(till["Env"], json!({ "KEY": "[redacted]", "REGION": "eu", "TOKEN": "[redacted]" }));
    let about = ask("node_info", json!({}));
    assert_eq!((&about["ApplicationsTotal"], &about["ApplicationsRunning"]), (&json!(1), &json!(1)));
    assert_eq!(about["Env"], json!({ "KEY": "[redacted]" }));
    eventually("the families count it", || {
        let page = get(radar, "/metrics").body;
        ["ergo_applications_total", "ergo_applications_running"]
            .iter()
            .all(|family| page.lines().any(|line| line.starts_with(family) && line.ends_with(" 1")))
    });
    assert_eq!(get(radar, "/health/ready").status, 200);
    let stopping = node.clone();
    let stopper =
        std::thread::Builder::new().spawn(move || stopping.stop_with(StopPlan::new())).expect("a thread");
    eventually("it is no longer ready", || get(radar, "/health/ready").status == 503);
    eventually("it drains", || ask("app_list", json!({}))["items"][0]["state"] == "stopping");
    assert!(node.spawn(Counter::default, SpawnOptions::named("late")).is_err(), "new work is refused");
    let force = node.stop_with(StopPlan::new().force());
    let report = stopper.join().expect("it returns");
    assert_eq!(force.phases.len(), report.phases.len());
    assert_eq!(get(radar, "/health/ready").status, 503);
    diag.stop().expect("stops");
}
