//! What tools tell of a real node's processes: a supervisor that has restarted, relations, options, and who waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shard_diag::{Diag, NodeSource};
use shard_runtime::prelude::*;
use shard_runtime::{ChildSpec, OnFull, Pool, Strategy, Supervisor, SupervisorSpec, Target};

use crate::client::{call, options};
use crate::node::eventually;

#[message(local)]
struct Crash;

#[derive(Default)]
struct Store;

#[actor]
impl Store {
    #[handle]
    fn crash(&mut self, _: Crash, _cx: &mut Context<'_>) -> ActorResult {
        panic!("told to")
    }
}

/// Answers to one who has many relations.
#[derive(Default)]
struct Social;

#[actor]
impl Social {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.create_alias()?;
        cx.register_event::<Wait>("news", EventOptions::new().buffer(3))?;
        cx.link(cx.whereis("friend").ok_or(SpawnError::Stopping)?)?;
        cx.link(Target::name("friend"))?;
        cx.monitor(Target::name("friend"))?;
        cx.trap_exit(true);
        Ok(())
    }
}

#[message(local, reply = ())]
struct Never;
#[message(local)]
struct Wait;

/// Keeps whoever calls it waiting.
#[derive(Default)]
struct Silent {
    kept: Vec<ReplyTo<()>>,
}

#[actor]
impl Silent {
    #[handle]
    fn never(&mut self, _: Never, reply: ReplyTo<()>, _cx: &mut Context<'_>) -> ActorResult {
        self.kept.push(reply);
        Ok(())
    }
}

#[derive(Default)]
struct Waiter;

#[actor]
impl Waiter {
    #[handle]
    async fn wait(&mut self, _: Wait, cx: &mut Context<'_>) -> ActorResult {
        cx.call_timeout("silent", Never, Duration::from_secs(60)).await?;
        Ok(())
    }
}

struct Observed {
    node: Node,
    diag: Diag,
}

impl Observed {
    fn new(name: &str) -> Self {
        let node = Node::builder(name).shards(2).max_processes(4096).start().expect("a node");
        let diag = Diag::start(Arc::new(NodeSource::new(&node)), options()).expect("starts");
        Self { node, diag }
    }

    fn ask(&self, tool: &str, arguments: &Value) -> Value {
        call(self.diag.mcp_addresses()[0], tool, arguments)
    }

    fn names(&self, arguments: &Value) -> Vec<String> {
        let list = self.ask("process_list", arguments);
        let rows = list["items"].as_array().expect("rows").iter();
        let mut names: Vec<_> = rows.map(|row| row["Name"].as_str().expect("a name").to_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_supervisor_tells_of_its_restarts_and_children() {
    let observed = Observed::new("tree@localhost");
    let tree = || {
        let minute = Duration::from_secs(60);
        Supervisor::new(SupervisorSpec::one_for_one().strategy(Strategy::Permanent).intensity(5, minute))
            .child(ChildSpec::new("store"), Store::default)
            .child(ChildSpec::new("workers"), || Pool::of(Store::default).size(2))
    };
    observed.node.spawn(tree, SpawnOptions::named("tree")).expect("a supervisor");
    let inspect = |pid: &str| observed.ask("process_inspect", &json!({ "pid": pid }));
    let fresh = inspect("tree");
    for (key, value) in [
        ("type", "One For One"),
        ("strategy", "Permanent"),
        ("intensity", "5"),
        ("period", "60"),
        ("restarts_count", "0"),
        ("children_total", "2"),
        ("children_running", "2"),
        ("children_disabled", "0"),
    ] {
        assert_eq!((&fresh[key], &fresh[format!("ergo:{key}")]), (&json!(value), &json!(value)), "{fresh}");
    }
    assert_eq!(observed.names(&json!({ "kind": "supervisor" })), ["tree"]);
    assert_eq!(observed.names(&json!({ "kind": "pool" })), ["workers"]);
    assert_eq!(observed.names(&json!({ "parent": "tree" })), ["store", "workers"]);
    assert_eq!(observed.names(&json!({ "parent": "workers" })), ["", ""]);

    let before = observed.ask("process_info", &json!({ "pid": "store" }));
    let tree_pid = observed.ask("process_lookup", &json!({ "name": "tree" }))["PID"].clone();
    assert_eq!((&before["Parent"], &before["Kind"]), (&tree_pid, &json!("actor")), "{before}");
    assert_eq!((&before["LinksPID"], &before["LinkedBy"]), (&json!([tree_pid]), &json!([tree_pid])));
    for restarts in ["1", "2"] {
        let pid = observed.node.whereis("store").expect("it lives");
        observed.node.send(pid, Crash).expect("sent");
        eventually("it is restarted", || inspect("tree")["restarts_count"] == restarts);
    }
    let after = inspect("tree");
    assert_eq!((&after["restarts_total"], &after["last_restart_child"]), (&json!("2"), &json!("store")));
    assert_eq!((&after["child:store:restarts"], &after["children_running"]), (&json!("2"), &json!("2")));
    // The pid as the supervisor prints it leads to the child.
    let entries = after.as_object().expect("an object");
    let is_store = |key: &String| key.starts_with("child:store:") && key != "child:store:restarts";
    let (_, pid) = entries.iter().find(|(key, _)| is_store(key)).expect("the child");
    let found = observed.ask("process_info", &json!({ "pid": pid }));
    assert_eq!(found["Name"], "store", "{found}");
    assert_ne!(found["PID"], before["PID"]);

    observed.node.send("workers", Crash).expect("sent");
    eventually("a worker is replaced", || inspect("workers")["worker_restarts"] == "1");
    assert_eq!(inspect("workers")["pool_size"], "2");
    let page = crate::client::get(observed.diag.radar_addresses()[0], "/metrics").body;
    let sum = |family: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with(family));
        lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")).sum()
    };
    // Each crash is a panic, and a message whose handler was cut off.
    assert_eq!((sum("shard_panics_total{"), sum("shard_interrupted_total{")), (3.0, 3.0), "{page}");
}

#[test]
fn relations_and_options_are_told_in_both_directions() {
    let observed = Observed::new("social@localhost");
    let spawn = |name: &str| SpawnOptions::named(name).on_shard(1);
    observed.node.spawn(Store::default, spawn("friend")).expect("a friend");
    let options = spawn("social")
        .with_mailbox(8)
        .on_full(OnFull::Reject)
        .with_fallback("friend", "spilled")
        .with_env("region", "a value that stays where it is")
        .with_send_priority(Priority::High);
    observed.node.spawn(Social::default, options).expect("a social one");
    let info = |pid: &str| observed.ask("process_info", &json!({ "pid": pid }));
    let (social, friend) = (info("social"), info("friend"));
    assert_eq!(social["LinksPID"], json!([friend["PID"]]), "{social}");
    assert_eq!(
        (&social["LinksProcessID"], &social["MonitorsProcessID"]),
        (&json!(["friend"]), &json!(["friend"]))
    );
    assert_eq!(
        (&friend["LinkedBy"], &friend["MonitoredBy"]),
        (&json!([social["PID"], social["PID"]]), &json!([social["PID"]]))
    );
    assert_eq!((&social["LinkedBy"], &friend["LinksPID"]), (&json!([]), &json!([])));
    assert_eq!((&social["Events"], &social["EnvKeys"]), (&json!(["news"]), &json!(["REGION"])), "{social}");
    assert_eq!(social["Aliases"].as_array().map(Vec::len), Some(1));
    assert!(social["Env"] == json!({}) && !social.to_string().contains("stays where it is"), "{social}");
    assert_eq!((&social["MailboxSize"], &social["MailboxPolicy"]), (&json!(8), &json!("reject")));
    assert_eq!(social["Fallback"], json!({ "Enable": true, "Name": "friend", "Tag": "spilled" }));
    assert_eq!((&social["MessagePriority"], &social["TrapExit"]), (&json!("high"), &json!(true)));
    assert_eq!((&friend["MailboxSize"], &friend["Fallback"]["Enable"]), (&json!(-1), &json!(false)));
}

#[test]
fn one_that_waits_for_a_reply_is_answered_for_from_its_record() {
    let observed = Observed::new("waiting@localhost");
    observed.node.spawn(Silent::default, SpawnOptions::named("silent")).expect("a silent one");
    observed.node.spawn(Waiter::default, SpawnOptions::named("waiter")).expect("a waiter");
    observed.node.send("waiter", Wait).expect("sent");
    let state = || observed.ask("process_state", &json!({ "pid": "waiter" }));
    eventually("it waits", || state()["State"] == "wait response");
    // Its shard is free: what it knows comes at once.
    let begun = Instant::now();
    let info = observed.ask("process_info", &json!({ "pid": "waiter" }));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((&info["AwaitedCalls"], &info["State"]), (&json!(1), &json!("wait response")), "{info}");
    // Twice, because the first question is still pending when the second comes.
    for _ in 0..2 {
        let answer = observed.ask("process_inspect", &json!({ "pid": "waiter", "timeout": 1 }));
        assert_eq!(
            (&answer["State"], &answer["AwaitedCalls"]),
            (&json!("wait response"), &json!("1")),
            "{answer}"
        );
        let note = answer["Note"].as_str().expect("a note");
        assert!(note.contains("not answered within 0.9 s"), "{note}");
        assert!(
            answer["StateTime"].as_str().and_then(|ns| ns.parse::<u64>().ok()) > Some(900_000_000),
            "{answer}"
        );
    }
    let row = &observed.ask("process_list", &json!({ "state": "wait response" }))["items"][0];
    assert_eq!(row["Name"], "waiter", "{row}");
}
