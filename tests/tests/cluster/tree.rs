//! A supervision tree as tools show it, on this node and through it on another; and that it heals.

use crate::nodes::{Cluster, SOON};
use serde_json::{Value, json};
use shard_scenarios::messaging::{Fail, POOL, SENDER, SUPERVISOR};
use shard_tests::harness::eventually;

#[test]
fn every_node_shows_its_tree_and_restarts_are_seen_from_elsewhere() {
    let cluster = Cluster::start(2, &[("SHARDS", "2")]);
    let probe = cluster.probe();
    let (near, far) = (&cluster.places[0], &cluster.places[1]);
    let ask = |node: &str, tool: &str, mut arguments: Value| -> Value {
        arguments["node"] = json!(node);
        near.tool(tool, &arguments).unwrap_or_else(|error| panic!("{tool} {arguments}: {error}"))
    };
    for node in [&near.name, &far.name] {
        let list = ask(node, "process_list", json!({ "sort_by": "messages_in" }));
        let rows = list["items"].as_array().expect("rows");
        let of = |name: &str| {
            rows.iter().find(|row| row["Name"] == name).unwrap_or_else(|| panic!("{name}: {list}"))
        };
        for (name, kind, behavior) in [
            (SUPERVISOR, "supervisor", "shard.Supervisor"),
            (POOL, "pool", "shard.Pool"),
            (SENDER, "actor", "messaging.Sender"),
        ] {
            let row = of(name);
            assert_eq!((&row["Kind"], &row["Behavior"]), (&json!(kind), &json!(behavior)), "{row}");
            let drain = row["Drain"].as_f64().expect("a number");
            let (messages, wakeups) = (row["MessagesIn"].as_f64(), row["Wakeups"].as_f64());
            let expected = messages.zip(wakeups).filter(|(_, wakeups)| *wakeups > 0.0);
            let expected = expected.map_or(0.0, |(messages, wakeups)| messages / wakeups);
            // What reads the JSON may miss a fraction by its last bit.
            assert!((drain - expected).abs() <= 2.0 * f64::EPSILON * expected, "{expected}: {row}");
        }
        assert_eq!(
            (&of(POOL)["Parent"], &of(SENDER)["Parent"]),
            (&of(SUPERVISOR)["PID"], &of(SUPERVISOR)["PID"])
        );
        let workers = ask(node, "process_list", json!({ "parent": POOL, "behavior": "messaging.Worker" }));
        assert_eq!(workers["matched"], 3, "{workers}");
        let info = ask(node, "process_info", json!({ "pid": POOL }));
        let tied = |key: &str| info[key].as_array().map_or(0, Vec::len);
        // To its supervisor and to each of its workers, both ways.
        assert_eq!((tied("LinksPID"), tied("LinkedBy")), (4, 4), "{info}");
        assert_eq!((&info["Note"], &info["MailboxSize"]), (&Value::Null, &json!(-1)), "{info}");
    }

    let inspect = |pid: &str| ask(&far.name, "process_inspect", json!({ "pid": pid }));
    let fresh = inspect(SUPERVISOR);
    assert_eq!((&fresh["restarts_count"], &fresh["children_running"]), (&json!("0"), &json!("2")), "{fresh}");
    let fail = || Fail { why: "the test".to_owned() };
    probe.send((SENDER, far.name.as_str()), fail()).expect("accepted");
    eventually(SOON, "the supervisor has restarted the sender", || {
        let now = inspect(SUPERVISOR);
        now["restarts_total"] == "1" && now["children_running"] == "2"
    });
    let after = inspect(SUPERVISOR);
    assert_eq!(
        (&after["child:messaging_sender:restarts"], &after["last_restart_child"]),
        (&json!("1"), &json!(SENDER))
    );
    assert!(
        after["last_restart_reason"].as_str().is_some_and(|why| why.contains("told to fail: the test")),
        "{after}"
    );
    probe.send((POOL, far.name.as_str()), fail()).expect("accepted");
    eventually(SOON, "the pool has replaced a worker", || {
        let now = inspect(POOL);
        now["worker_restarts"] == "1" && now["pool_running"] == "3"
    });
    assert_eq!(inspect(SUPERVISOR)["restarts_total"], "1", "a worker is its pool's concern");

    let counts = || [near.received_from(&far.name), far.received_from(&near.name)];
    let before = counts();
    eventually(SOON, "traffic goes on in both directions", || {
        counts().iter().zip(before).all(|(now, before)| *now > before)
    });
    probe.stop();
}
