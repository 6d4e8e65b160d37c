//! Each MCP tool through a real socket, on this node and on another one.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shard_diag::{Diag, DiagOptions};

use crate::client::{assert_fixture, call, fail, options, request, rpc, start};
use crate::fake::{CREATION, Fake, Inspected, NODE1, NODE2};

/// Two connected nodes: what is asked of the first can be asked of the second through it.
struct Pair {
    one: Arc<Fake>,
    two: Arc<Fake>,
    first: Diag,
    _second: Diag,
}

impl Pair {
    fn new() -> Self {
        let (one, two) = (Fake::new(NODE1, 120), Fake::new(NODE2, 30));
        Fake::connect(&one, &two);
        let agent = DiagOptions { mcp: None, radar: None, ..options() };
        let second = Diag::start(two.clone(), agent).expect("starts");
        Self { first: start(one.clone()), one, two, _second: second }
    }

    fn address(&self) -> std::net::SocketAddr {
        self.first.mcp_addresses()[0]
    }
}

#[test]
fn initialize_and_list_match_the_recorded_schemas() {
    let pair = Pair::new();
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" }
    });
    let answer = rpc(pair.address(), "initialize", &hello);
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(answer["result"]["serverInfo"]["name"], "shard-mcp");
    let tools = rpc(pair.address(), "tools/list", &json!({}))["result"]["tools"].clone();
    for tool in tools.as_array().expect("tools") {
        assert_eq!(tool["inputSchema"]["additionalProperties"], json!(false), "{tool}");
        assert_eq!(tool["inputSchema"]["properties"]["node"]["type"], "string", "{tool}");
        assert_eq!(tool["inputSchema"]["properties"]["timeout"]["maximum"], 120, "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["annotations"]["readOnlyHint"], json!(true), "{tool}");
    }
    assert_fixture("tools.json", &(serde_json::to_string_pretty(&tools).expect("JSON") + "\n"));
}

#[test]
fn the_newest_revision_needs_no_handshake() {
    let pair = Pair::new();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let ask = |method: &str, extra: &str, mut params: Value| {
        params["_meta"] = meta.clone();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let headers = format!(
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{extra}"
        );
        let answer = request(pair.address(), "POST", "/mcp", &headers, &body);
        assert_eq!(answer.status, 200, "{} {}", answer.head, answer.body);
        serde_json::from_str::<Value>(&answer.body).expect("JSON")["result"].clone()
    };
    let list = ask("tools/list", "", json!({}));
    assert_eq!((&list["resultType"], &list["ttlMs"]), (&json!("complete"), &json!(300_000)), "{list}");
    assert_eq!(list["cacheScope"], "private", "{list}");
    let info = ask("tools/call", "Mcp-Name: node_info\r\n", json!({ "name": "node_info", "arguments": {} }));
    assert_eq!(info["structuredContent"]["Name"], NODE1.0, "{info}");
}

#[test]
fn node_info_here_and_there() {
    let pair = Pair::new();
    let here = call(pair.address(), "node_info", &json!({}));
    assert_eq!((&here["Name"], &here["ProcessesTotal"]), (&json!(NODE1.0), &json!(120)));
    assert_eq!((&here["LogMessages"], &here["Uptime"]), (&json!([0, 1, 2, 3, 4, 5]), &json!(200)));
    let same = call(pair.address(), "node_info", &json!({ "node": NODE1.0, "timeout": 1 }));
    assert_eq!(same["Name"], NODE1.0);
    let there = call(pair.address(), "node_info", &json!({ "node": NODE2.0 }));
    assert_eq!((&there["Name"], &there["ProcessesTotal"]), (&json!(NODE2.0), &json!(30)));
}

fn column(list: &Value, field: &str) -> Vec<Value> {
    list["items"].as_array().expect("items").iter().map(|row| row[field].clone()).collect()
}

#[test]
fn process_list_ranks_filters_and_cuts() {
    let pair = Pair::new();
    let list = call(pair.address(), "process_list", &json!({ "sort_by": "messages_in", "limit": 5 }));
    assert_eq!(column(&list, "MessagesIn"), [1190, 1180, 1170, 1160, 1150].map(|n| json!(n)));
    assert_eq!((&list["total"], &list["matched"], &list["returned"]), (&json!(120), &json!(120), &json!(5)));
    assert_eq!(list["truncated"], json!(true));
    let there = json!({ "sort_by": "messages_in", "limit": 5, "node": NODE2.0 });
    assert_eq!(column(&call(pair.address(), "process_list", &there), "MessagesIn")[0], json!(290));
    let ties = json!({ "sort_by": "mailbox", "limit": 3, "shard": 1 });
    let names = column(&call(pair.address(), "process_list", &ties), "ShortPID");
    assert_eq!(names, ["<574801E2.1048576.1004>", "<574801E2.1048576.1008>", "<574801E2.1048576.1012>"]);
    let ascending = json!({ "sort_by": "messages_in", "order": "asc", "limit": 2 });
    assert_eq!(
        column(&call(pair.address(), "process_list", &ascending), "MessagesIn"),
        [json!(0), json!(10)]
    );
    for (filter, matched) in [
        (json!({ "state": "wait_response" }), 1),
        (json!({ "state": "Wait Response" }), 1),
        (json!({ "name": "worker_11" }), 3),
        (json!({ "behavior": "Sender" }), 60),
        (json!({ "application": "dem" }), 0),
        (json!({ "parent": "worker_0", "min_messages_in": 1000 }), 20),
        (json!({ "min_mailbox_latency_ms": 6 }), 30),
        (json!({ "min_running_time_ms": 118_500.0 }), 1),
        (json!({ "exclude_system": true }), 119),
        (json!({ "max_uptime": 199 }), 0),
        (json!({ "limit": 0, "kind": "actor" }), 119),
        (json!({ "kind": "supervisor" }), 1),
    ] {
        let list = call(pair.address(), "process_list", &filter);
        assert_eq!(list["matched"], json!(matched), "{filter}");
    }
    let empty = call(pair.address(), "process_list", &json!({ "kind": "router" }));
    assert_eq!((&empty["items"], &empty["truncated"]), (&json!([]), &json!(false)));
}

#[test]
fn one_process_in_every_form_of_its_pid() {
    let pair = Pair::new();
    let full = format!("{}:{}.{CREATION}", NODE1.0, (1_u64 << 52) + 1004);
    for pid in ["<574801E2.1048576.1004>", full.as_str(), "worker_3"] {
        let info = call(pair.address(), "process_info", &json!({ "pid": pid }));
        assert_eq!((&info["PID"], &info["MessagesIn"]), (&json!(full), &json!(30)));
        let state = call(pair.address(), "process_state", &json!({ "pid": pid }));
        assert_eq!(state, json!({ "State": "sleep", "StateTime": 5_000_000, "CallbackElapsed": 0 }));
        let found = call(pair.address(), "process_lookup", &json!({ "pid": pid }));
        assert_eq!(
            (&found["Name"], &found["ShortPID"]),
            (&json!("worker_3"), &json!("<574801E2.1048576.1004>"))
        );
    }
    let lookup = json!({ "name": "process_lookup", "arguments": { "name": "worker_3" } });
    let answer = rpc(pair.address(), "tools/call", &lookup);
    assert_eq!(answer["result"]["content"][0]["text"], "<574801E2.1048576.1004>");
    let there = call(pair.address(), "process_info", &json!({ "pid": "<2C323E75.0.1001>", "node": NODE2.0 }));
    assert_eq!(there["Name"], "worker_0");
}

#[test]
fn process_info_tells_what_the_shard_knows() {
    let pair = Pair::new();
    for (node, pid) in [(NODE1, "<574801E2.1048576.1004>"), (NODE2, "<2C323E75.1048576.1004>")] {
        let info = call(pair.address(), "process_info", &json!({ "pid": pid, "node": node.0 }));
        let expected = json!({
            "MessagesMailbox": 3, "MailboxMain": 1, "Drain": 10.0, "RunningTime": 3_000_000_000_u64, "Wakeups": 3,
            "Kind": "actor", "Utilization": 0.015, "StateTime": 5_000_000,
            "MailboxSize": 64, "MailboxPolicy": "drop oldest", "MessagePriority": "high",
            "MailboxQueues": { "Main": 1, "System": 2, "Urgent": 3, "Log": 4 },
            "Fallback": { "Enable": true, "Name": "spill", "Tag": "a tag" },
            "TrapExit": true, "SplitHandle": false, "AwaitedCalls": 2,
            "Env": {}, "EnvKeys": ["REGION"], "Aliases": ["Alias#<00000000000000ff.8.0.0>"], "Events": ["its event"],
            "LinksPID": [format!("{}:1001.{CREATION}", node.0)], "LinksProcessID": ["a name"],
            "LinksAlias": ["Alias#<00000000000000ff.7.0.0>"], "LinksEvent": ["an event"], "LinksNode": ["linked@node"],
            "MonitorsPID": [], "MonitorsProcessID": ["a name"], "MonitorsNode": ["monitored@node"],
            "LinkedBy": [format!("{}:1001.{CREATION}", node.0)],
            "MonitoredBy": [format!("{}:1001.{CREATION}", node.0)],
        });
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(info[key], *value, "{key} of {info}");
        }
        assert_eq!((&info["Note"], &info["stalled_shards"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn process_info_of_a_stuck_shard_has_the_counters_and_says_who_is_in_the_way() {
    let pair = Pair::new();
    pair.two.stick(1, Duration::from_millis(12_300));
    let begun = Instant::now();
    let ask = json!({ "pid": "worker_3", "node": NODE2.0 });
    let info = call(pair.address(), "process_info", &ask);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((&info["MessagesIn"], &info["Drain"]), (&json!(30), &json!(10.0)), "{info}");
    let note = info["Note"].as_str().expect("a note");
    assert!(note.contains("shard 1 is blocked by <574801E2.0.1002> (spinner) for 12.3 s"), "{note}");
    let by = &info["BlockedBy"];
    assert_eq!((&by["Name"], &by["ForNs"]), (&json!("spinner"), &json!(12_300_000_000_u64)), "{info}");
    assert_eq!(info["stalled_shards"], json!([1]));
    for fact in ["LinksPID", "MailboxQueues", "EnvKeys", "MailboxSize"] {
        assert_eq!(info[fact], Value::Null, "an unknown {fact} is not an empty one");
    }
    // A source that hangs is given up after a second.
    pair.two.edit().inspected = Inspected::Hangs;
    let begun = Instant::now();
    let info = call(pair.address(), "process_info", &ask);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let note = info["Note"].as_str().expect("a note");
    assert!(note.contains("shard 1 did not answer in time"), "{note}");
    assert_eq!(info["BlockedBy"], Value::Null);
}

#[test]
fn a_pid_of_elsewhere_or_of_yesterday_is_refused() {
    let pair = Pair::new();
    for (pid, kind) in [
        ("<2C323E75.0.1001>", "wrong_node"),
        ("other@host:1001.5", "wrong_node"),
        ("demo@cluster-node1:1001.5", "stale_incarnation"),
        ("<574801E2.0.9999>", "unknown_process"),
        ("nobody", "unknown_process"),
        ("<574801E2.0>", "invalid_argument"),
    ] {
        for tool in ["process_info", "process_state", "process_inspect"] {
            assert_eq!(fail(pair.address(), tool, &json!({ "pid": pid }))["kind"], kind, "{tool} {pid}");
        }
    }
    let error = fail(pair.address(), "process_info", &json!({ "pid": "<574801E2.0.1001>", "node": NODE2.0 }));
    assert_eq!(
        (&error["kind"], &error["node"], &error["field"]),
        (&json!("wrong_node"), &json!(NODE2.0), &json!("/pid"))
    );
}

#[test]
fn a_wrong_argument_is_named() {
    let pair = Pair::new();
    for (tool, arguments, field) in [
        ("process_list", json!({ "limit": -1 }), "/limit"),
        ("process_list", json!({ "limit": "5" }), "/limit"),
        ("process_list", json!({ "sort_by": "size" }), "/sort_by"),
        ("process_list", json!({ "state": "busy" }), "/state"),
        ("process_list", json!({ "min_mailbox": true }), "/min_mailbox"),
        ("process_list", json!({ "colour": "red" }), "/colour"),
        ("process_info", json!({}), "/pid"),
        ("process_inspect", json!({ "pid": "worker_0", "items": "help" }), "/items"),
        ("process_lookup", json!({}), "/name"),
        ("network_ping", json!({ "name": NODE2.0, "count": 11 }), "/count"),
        ("network_ping", json!({ "name": NODE1.0 }), "/name"),
        ("node_info", json!({ "timeout": 0 }), "/timeout"),
        ("node_info", json!({ "node": 5 }), "/node"),
    ] {
        let error = fail(pair.address(), tool, &arguments);
        assert_eq!((&error["kind"], &error["field"]), (&json!("invalid_argument"), &json!(field)), "{error}");
        let text = error["text"].as_str().expect("a text");
        assert!(text.contains(&field[1..]), "{text}");
    }
    let error = fail(pair.address(), "process_list", &json!({ "node": NODE2.0, "state": "busy" }));
    assert_eq!((&error["kind"], &error["field"]), (&json!("invalid_argument"), &json!("/state")));
    let unknown = rpc(pair.address(), "tools/call", &json!({ "name": "no_such_tool", "arguments": {} }));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[test]
fn inspect_answers_or_says_who_is_in_the_way() {
    let pair = Pair::new();
    let ask = json!({ "pid": "worker_0", "items": ["help", "total"] });
    let answer = call(pair.address(), "process_inspect", &ask);
    assert_eq!(answer, json!({ "id": "1001", "items": "help,total" }));
    pair.one.stick(1, Duration::from_millis(12_300));
    let error = fail(pair.address(), "process_inspect", &ask);
    assert_eq!((&error["kind"], &error["blocked_by"]["shard"]), (&json!("shard_blocked"), &json!(1)));
    let text = error["text"].as_str().expect("a text");
    assert!(text.contains("shard 1 is blocked by <574801E2.0.1002> (spinner) for 12.3 s"), "{text}");
    pair.one.edit().inspected = Inspected::IsSuspended;
    let answer = call(pair.address(), "process_inspect", &ask);
    assert_eq!((&answer["AwaitedCalls"], &answer["State"]), (&json!("2"), &json!("sleep")), "{answer}");
    let note = answer["Note"].as_str().expect("a note");
    assert!(note.contains("not answered within") && note.contains("state sleep"), "{note}");
    pair.one.edit().inspected = Inspected::Hangs;
    let begun = Instant::now();
    let error = fail(pair.address(), "process_inspect", &json!({ "pid": "worker_0", "timeout": 1 }));
    assert_eq!(error["kind"], "timeout");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_stuck_node_answers_its_peers_at_once() {
    let pair = Pair::new();
    pair.two.stick(1, Duration::from_secs(20));
    let begun = Instant::now();
    let list = call(pair.address(), "process_list", &json!({ "node": NODE2.0, "state": "running" }));
    assert_eq!(column(&list, "CallbackElapsed"), [json!(20_000_000_000_u64)]);
    let stats = call(pair.address(), "runtime_stats", &json!({ "node": NODE2.0 }));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let shard = &stats["shards"][1];
    assert_eq!((&shard["state"], &shard["stalled_ns"]), (&json!("stalled"), &json!(20_000_000_000_u64)));
    assert_eq!(shard["current"]["pid"], "<2C323E75.1048576.1002>");
    assert_eq!((&shard["rescued"], &shard["nudged"]), (&json!(46), &json!(47)));
    assert_eq!((&shard["traces_held"], &shard["traces_dropped"]), (&json!(48), &json!(49)));
    assert_eq!(stats["shards"][0]["state"], "running");
    assert!(stats["sys"].as_u64().is_some_and(|bytes| bytes > 100_000), "{stats}");
}

#[test]
fn applications_by_filter_and_name() {
    let pair = Pair::new();
    let names = |arguments: &Value| column(&call(pair.address(), "app_list", arguments), "name");
    assert_eq!(names(&json!({})), ["audit", "orders", "web"]);
    assert_eq!(names(&json!({ "state": "running" })), ["orders"]);
    assert_eq!(names(&json!({ "mode": "temporary", "min_uptime": 1 })), ["web"]);
    assert_eq!(names(&json!({ "name": "e" })), ["orders", "web"]);
    assert_eq!(fail(pair.address(), "app_list", &json!({ "state": "stopped" }))["kind"], "invalid_argument");
    let listed = call(pair.address(), "app_list", &json!({ "name": "orders" }));
    let row = &listed["items"][0];
    assert_eq!((&row["processes"], &row["group_size"], &row["uptime"]), (&json!(3), &json!(2), &json!(90)));
    let orders = call(pair.address(), "app_info", &json!({ "name": "orders" }));
    assert_eq!(orders["Depends"], json!({ "Applications": ["store"], "Network": true }));
    assert_eq!(orders["Map"], json!({ "front": "worker_0" }));
    assert_eq!(orders["Env"], json!({ "TOKEN": "[redacted]" }));
    assert_eq!((&orders["ProcessesTotal"], &orders["Parent"]), (&json!(3), &json!(NODE1.0)));
    assert_eq!((&orders["StopTimeout"], &orders["Mode"]), (&json!(15.0), &json!("permanent")));
    assert_eq!(orders["Group"].as_array().map(Vec::len), Some(2));
    let far = call(pair.address(), "app_info", &json!({ "name": "audit", "node": NODE2.0 }));
    assert_eq!((&far["State"], &far["LastReason"]), (&json!("loaded"), &json!("normal")));
    for tool in ["app_info", "app_processes"] {
        assert_eq!(fail(pair.address(), tool, &json!({ "name": "ghost" }))["kind"], "unknown_application");
    }
    assert_eq!(fail(pair.address(), "app_processes", &json!({ "name": "audit" }))["kind"], "not_running");
}

#[test]
fn events_by_filter_rank_and_name() {
    let pair = Pair::new();
    let names = |arguments: &Value| column(&call(pair.address(), "event_list", arguments), "Event");
    assert_eq!(names(&json!({})), ["idle", "news", "quiet", "wasted"]);
    assert_eq!(names(&json!({ "sort_by": "published", "limit": 2 })), ["wasted", "news"]);
    assert_eq!(names(&json!({ "utilization_state": "on_demand" })), ["quiet"]);
    assert_eq!(names(&json!({ "notify": false, "has_buffer": false })), ["idle", "wasted"]);
    assert_eq!(names(&json!({ "max_subscribers": 0, "min_published": 1 })), ["wasted"]);
    assert_eq!(names(&json!({ "stale_sec": 60 })), ["news", "wasted"], "published in 1970");
    assert_eq!(names(&json!({ "producer": "worker_0" })), ["idle", "news", "wasted"]);
    assert_eq!(names(&json!({ "name": "w", "open": true })), ["news"]);
    let news = call(pair.address(), "event_info", &json!({ "name": "news" }));
    assert_eq!(
        (&news["BufferSize"], &news["CurrentBuffer"], &news["MessagesLost"]),
        (&json!(16), &json!(7), &json!(2))
    );
    assert_eq!((&news["ProducerName"], &news["UtilizationState"]), (&json!("worker_0"), &json!("active")));
    assert_eq!(news["CreatedAt"], 10_000_000_000_u64);
    let far = call(pair.address(), "event_info", &json!({ "name": "idle", "node": NODE2.0 }));
    assert_eq!((&far["LastPublishedAt"], &far["Open"]), (&json!(0), &json!(false)));
    assert_eq!(fail(pair.address(), "event_info", &json!({ "name": "new" }))["kind"], "unknown_event");
}

#[test]
fn cron_jobs_and_what_they_will_do() {
    let pair = Pair::new();
    let info = call(pair.address(), "cron_info", &json!({}));
    assert_eq!((&info["Next"], &info["Total"]), (&json!("1970-01-01T01:00:00.000Z"), &json!(3)));
    assert_eq!((&info["Spool"], &info["Truncated"]), (&json!(["backup", "report"]), &json!(false)));
    let names: Vec<_> = info["Jobs"].as_array().expect("jobs").iter().map(|job| &job["Name"]).collect();
    assert_eq!(names, ["backup", "old", "report"]);
    let cut = call(pair.address(), "cron_info", &json!({ "limit": 1, "node": NODE2.0 }));
    assert_eq!((cut["Jobs"].as_array().map(Vec::len), &cut["Truncated"]), (Some(1), &json!(true)));
    let backup = call(pair.address(), "cron_job", &json!({ "name": "backup" }));
    let expected = json!({
        "Disabled": false, "Name": "backup", "Spec": "0 * * * *", "Location": "Europe/Berlin",
        "ActionInfo": "tick to worker_0", "Next": "1970-01-01T01:00:00.000Z", "LastRun": "1970-01-01T00:01:00.000Z",
        "LastErr": "no such process", "Fallback": { "Enable": true, "Name": "worker_3", "Tag": "a tag" },
        "Overlap": "skip", "Missed": "run once", "Runs": 9, "Failures": 2, "Skipped": 3, "MissedRuns": 4,
    });
    assert_eq!(backup, expected);
    let old = call(pair.address(), "cron_job", &json!({ "name": "old", "node": NODE2.0 }));
    assert_eq!((&old["Disabled"], &old["LastRun"], &old["Next"]), (&json!(true), &Value::Null, &Value::Null));
    let node = call(pair.address(), "node_info", &json!({}))["Cron"].clone();
    assert_eq!((&node["Jobs"], &node["Next"]), (&json!(["backup", "old", "report"]), &info["Next"]));

    let plan = |arguments: Value| call(pair.address(), "cron_schedule", &arguments);
    assert_eq!(plan(json!({}))["Schedule"].as_array().map(Vec::len), Some(1), "one hour");
    let since = "2026-07-28T14:00:00+02:00";
    let two = plan(json!({ "since": since, "duration_seconds": 7200, "job": "report" }));
    let expected = json!({ "Truncated": false, "Schedule": [
        { "Time": "2026-07-28T13:00:00.000Z", "Jobs": ["report"] },
        { "Time": "2026-07-28T14:00:00.000Z", "Jobs": ["report"] },
    ]});
    assert_eq!(two, expected);
    let cut = plan(json!({ "hours": 48, "limit": 3, "node": NODE2.0 }));
    assert_eq!((cut["Schedule"].as_array().map(Vec::len), &cut["Truncated"]), (Some(3), &json!(true)));
    for (tool, arguments) in
        [("cron_job", json!({ "name": "no" })), ("cron_schedule", json!({ "job": "no" }))]
    {
        assert_eq!(fail(pair.address(), tool, &arguments)["kind"], "unknown_job", "{tool}");
    }
    for (arguments, field) in [
        (json!({ "since": "tomorrow" }), "/since"),
        (json!({ "since": "1969-07-20T20:17:00Z" }), "/since"),
        (json!({ "since": "2200-01-02T00:00:00Z" }), "/since"),
        (json!({ "hours": 1, "duration_seconds": 5 }), "/hours"),
        (json!({ "hours": 8785 }), "/hours"),
        (json!({ "limit": 0 }), "/limit"),
    ] {
        let error = fail(pair.address(), "cron_schedule", &arguments);
        assert_eq!((&error["kind"], &error["field"]), (&json!("invalid_argument"), &json!(field)), "{error}");
    }
}

#[test]
fn loggers_and_levels() {
    let pair = Pair::new();
    let loggers = call(pair.address(), "loggers_list", &json!({ "node": NODE2.0 }));
    let default = json!({ "name": "default", "behavior": "file", "levels": ["info", "error"], "lost": 6 });
    assert_eq!((&loggers["items"], &loggers["total"]), (&json!([default]), &json!(1)));
    let full = format!("{}:{}.{CREATION}", NODE1.0, (1_u64 << 52) + 1004);
    for (arguments, text, pid, level) in [
        (json!({}), String::from("node log level: info"), Value::Null, "info"),
        (json!({ "target": "node" }), String::from("node log level: info"), Value::Null, "info"),
        (
            json!({ "target": "worker_3" }),
            String::from("process worker_3 (<574801E2.1048576.1004>) log level: debug"),
            json!(full),
            "debug",
        ),
        (json!({ "target": full }), format!("process {full} log level: debug"), json!(full), "debug"),
    ] {
        let ask = json!({ "name": "log_level_get", "arguments": arguments });
        let answer = rpc(pair.address(), "tools/call", &ask)["result"].clone();
        assert_eq!(answer["content"][0]["text"], json!(text));
        let level_of = &answer["structuredContent"];
        assert_eq!((&level_of["LogLevel"], &level_of["PID"]), (&json!(level), &pid), "{answer}");
    }
    let error = fail(pair.address(), "log_level_get", &json!({ "target": "nobody" }));
    assert_eq!(error["kind"], "unknown_process");
    let error = fail(pair.address(), "log_level_get", &json!({ "target": "<574801E2.0>" }));
    assert_eq!(error["field"], "/target");
}

#[test]
fn the_network_as_one_node_sees_it() {
    let pair = Pair::new();
    let nodes = call(pair.address(), "cluster_nodes", &json!({}));
    assert_eq!(column(&nodes, "name"), [NODE1.0, NODE2.0, "far@away"]);
    assert_eq!(column(&nodes, "status"), ["self", "connected", "discovered"]);
    pair.one.edit().registrar_down = Some(String::from("connection refused"));
    let nodes = call(pair.address(), "cluster_nodes", &json!({}));
    assert_eq!(nodes["source_errors"], json!(["registrar: connection refused"]));
    let peers = call(pair.address(), "network_nodes", &json!({}));
    assert_eq!((column(&peers, "Node"), &peers["total"]), (vec![json!(NODE2.0)], &json!(1)));
    let none = call(pair.address(), "network_nodes", &json!({ "min_messages_in": 1001 }));
    assert_eq!((&none["items"], &none["matched"], &none["total"]), (&json!([]), &json!(0), &json!(1)));
    let peer = call(pair.address(), "network_node_info", &json!({ "name": NODE2.0 }));
    assert_eq!((&peer["MessagesOut"], &peer["PoolDSN"]), (&json!(900), &Value::Null));
    assert_eq!((&peer["CompressedBytesSent"], &peer["DecompressedOrigRecv"]), (&json!(63), &json!(67)));
    assert_eq!(
        (&peer["outboxes_full"], &peer["links_held"], &peer["late"]),
        (&json!(68), &json!(69), &json!(70))
    );
    assert_eq!((&peer["failed_out"], &peer["unknown_out"]), (&json!(71), &json!(72)));
    assert_eq!(peers["items"][0]["links_held"], 69);
    let flags = &peer["NetworkFlags"];
    assert_eq!(
        (&flags["EnableRemoteSpawn"], &flags["EnableRemoteApplicationStart"]),
        (&json!(true), &json!(false))
    );
    let node = call(pair.address(), "node_info", &json!({}));
    assert_eq!(node["ConnectionsLostBy"], json!({ "heartbeat": 3 }));
    assert_eq!((&node["DialErrors"], &node["LinksAccepted"]), (&json!({ "timeout": 7 }), &json!(9)));
    let change =
        json!({ "at": "1970-01-01T00:00:00.000Z", "session": 1, "change": "down", "reason": "heartbeat" });
    assert_eq!(peer["history"], json!([change]));
    assert_eq!(fail(pair.address(), "network_node_info", &json!({ "name": "x@y" }))["kind"], "not_connected");
    let echo = call(pair.address(), "network_ping", &json!({ "name": NODE2.0, "count": 2 }));
    assert_eq!(echo["rtt_ns"], json!({ "min": 100_000, "avg": 150_000, "max": 200_000 }));
    let back = call(pair.address(), "network_ping", &json!({ "name": NODE1.0, "node": NODE2.0 }));
    assert_eq!(back["name"], NODE1.0);
}

#[test]
fn an_absent_or_silent_node_is_a_typed_error() {
    let pair = Pair::new();
    let error = fail(pair.address(), "node_info", &json!({ "node": "x@y" }));
    assert_eq!((&error["kind"], &error["node"]), (&json!("not_connected"), &json!("x@y")));
    let (one, silent) = (Fake::new(NODE1, 1), Fake::new(NODE2, 1));
    Fake::connect(&one, &silent);
    let diag = start(one);
    let begun = Instant::now();
    let error = fail(diag.mcp_addresses()[0], "node_info", &json!({ "node": NODE2.0, "timeout": 1 }));
    assert_eq!(error["kind"], "timeout");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn an_answer_over_the_cap_says_what_to_do() {
    let (one, two) = (Fake::new(NODE1, 120), Fake::new(NODE2, 120));
    Fake::connect(&one, &two);
    let small = DiagOptions { result_cap_bytes: 20_000, ..options() };
    let diag = Diag::start(one, small.clone()).expect("starts");
    let _other = Diag::start(two, small).expect("starts");
    let address = diag.mcp_addresses()[0];
    for arguments in [json!({ "limit": 0 }), json!({ "limit": 0, "node": NODE2.0 })] {
        let error = fail(address, "process_list", &arguments);
        assert_eq!(error["kind"], "too_large");
        assert!(error["text"].as_str().is_some_and(|text| text.contains("`limit`")), "{error}");
    }
    call(address, "process_list", &json!({ "limit": 5 }));
}

#[test]
fn calls_beyond_the_limit_are_refused_at_once() {
    let node = Fake::new(NODE1, 5);
    node.edit().inspected = Inspected::Hangs;
    let diag = Diag::start(node, DiagOptions { max_inflight: 1, ..options() }).expect("starts");
    let address = diag.mcp_addresses()[0];
    let slow = std::thread::Builder::new()
        .spawn(move || fail(address, "process_inspect", &json!({ "pid": "worker_0", "timeout": 3 })))
        .expect("a thread");
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        let answer = rpc(address, "tools/call", &json!({ "name": "node_info", "arguments": {} }));
        if answer["result"]["structuredContent"]["error"]["kind"] == "overloaded" {
            break;
        }
        assert!(Instant::now() < deadline, "never refused: {answer}");
    }
    assert_eq!(slow.join().expect("no panic")["kind"], "timeout");
    call(address, "node_info", &json!({}));
}

#[test]
fn the_official_python_client_lists_and_calls() {
    let venv = std::env::var_os("SHARD_TEST_VENV").map(PathBuf::from);
    let python = venv.as_ref().map_or_else(|| PathBuf::from("python3"), |venv| venv.join("bin/python"));
    let has_sdk = Command::new(&python).args(["-c", "import mcp"]).output();
    if !has_sdk.is_ok_and(|output| output.status.success()) {
        // `make test` names an environment that has the SDK; a bare `cargo test` may have none.
        assert!(venv.is_none(), "{} has no module mcp", python.display());
        return;
    }
    let pair = Pair::new();
    let url = format!("http://{}/mcp", pair.address());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp_client.py");
    let output = Command::new(python).args([script, &url, NODE1.0, NODE2.0]).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let tools =
        rpc(pair.address(), "tools/list", &json!({}))["result"]["tools"].as_array().map_or(0, Vec::len);
    assert!(text.contains(&format!("{tools} tools")) && text.contains(NODE2.0), "{text}");
}
