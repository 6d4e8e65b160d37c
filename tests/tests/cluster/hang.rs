//! A handler that does not come back: its node stays up, and tools see through to it.

use crate::nodes::{Cluster, SOON};
use serde_json::{Value, json};
use shard_scenarios::hog::{HOG, Hog};
use shard_tests::harness::eventually;
use std::time::{Duration, Instant};

const SECONDS: u32 = 20;
/// The promise for one answer. The machine is shared with the busy loop and with whatever else a test run does, so one
/// answer in twenty may be later, and none by more than the limit.
const PROMPT: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(1);

#[test]
#[expect(clippy::disallowed_methods, reason = "measures what a client waits for")]
fn a_busy_shard_is_seen_through_and_no_node_goes_down() {
    let cluster = Cluster::start(2, &[("SCENARIOS", "hog"), ("SHARDS", "1")]);
    let probe = cluster.probe();
    let (near, far) = (&cluster.places[0], &cluster.places[1]);
    let hog = || -> Value {
        let rows = near.tool("process_list", &json!({ "node": far.name, "name": HOG }));
        rows.unwrap_or_else(|error| panic!("{error}"))["items"][0].clone()
    };
    let elapsed = |row: &Value| row["CallbackElapsed"].as_u64().unwrap_or_else(|| panic!("no time: {row}"));
    assert_eq!(hog()["State"], "sleep");
    probe.send((HOG, far.name.as_str()), Hog { seconds: SECONDS }).expect("accepted");
    let began = Instant::now();
    eventually(SOON, "the handler runs", || hog()["State"] == "running");

    let mut answers = Vec::new();
    let mut last = 0;
    let mut callback = 0.0;
    // Down to the last seconds: a node that is going to be called down would be by then.
    while began.elapsed() + Duration::from_secs(3) < Duration::from_secs(u64::from(SECONDS)) {
        let start = Instant::now();
        let row = hog();
        answers.push(start.elapsed());
        assert_eq!(row["State"], "running", "{row}");
        assert!(elapsed(&row) > last, "the time in the handler grows: {row}");
        last = elapsed(&row);
        let start = Instant::now();
        let metrics = far.metrics();
        answers.push(start.elapsed());
        // A page may be a second old, and is never older.
        callback = metrics.sum("shard_current_callback_seconds", &[]).expect("a sample");
        assert!(callback + 2.0 > last as f64 / 1e9, "{callback} s of {last} ns");
        // One round in a tenth of a second is enough; the busy loop needs the machine too.
        eventually(SOON, "a tenth of a second goes by", || start.elapsed() > PROMPT);
    }
    assert!(answers.len() > 40, "asked {} times", answers.len());
    let late = answers.iter().filter(|took| **took > PROMPT).count();
    assert!(late * 20 <= answers.len(), "{late} of {} answers took more than {PROMPT:?}", answers.len());
    let slowest = answers.iter().max().expect("there were answers");
    assert!(*slowest < LIMIT, "the slowest answer took {slowest:?}");
    assert!(last > u64::from(SECONDS - 4) * 1_000_000_000, "in its handler for {last} ns");
    assert!(callback > f64::from(SECONDS - 6), "in its handler for {callback} s");
    let info = near.tool("process_info", &json!({ "node": far.name, "pid": HOG })).expect("its counters");
    let note = info["Note"].as_str().unwrap_or_else(|| panic!("no note: {info}"));
    assert!(note.contains("shard 0 is blocked by <") && note.contains("(hog) for 1"), "{note}");
    assert_eq!((&info["State"], &info["BlockedBy"]["Name"]), (&json!("running"), &json!(HOG)), "{info}");
    let error = near.tool("process_inspect", &json!({ "node": far.name, "pid": HOG })).expect_err("blocked");
    assert!(error.contains("shard 0 is blocked by <") && error.contains("(hog) for 1"), "{error}");

    eventually(SOON, "the handler is back", || hog()["State"] == "sleep");
    let inspected = near.tool("process_inspect", &json!({ "node": far.name, "pid": HOG }));
    assert_eq!(inspected.expect("it answers")["hogged_seconds"], SECONDS.to_string());
    let info = near.tool("process_info", &json!({ "node": far.name, "pid": HOG })).expect("it answers");
    assert_eq!((&info["Note"], &info["AwaitedCalls"]), (&Value::Null, &json!(0)), "{info}");
    // A page may be a second old.
    eventually(SOON, "the stall is counted", || far.sum("shard_stalls_total", &[("over", "10s")]) == 1.0);
    assert!(far.sum("shard_stall_seconds_sum", &[]) >= f64::from(SECONDS), "the stall's length is summed");
    for (index, place) in cluster.places.iter().enumerate() {
        assert_eq!(place.sum("ergo_connections_lost_total", &[]), 0.0, "{}", cluster.nodes[index].stderr());
    }
    probe.stop();
}
