//! Cron, the log and I/O of a real node, as operators see them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};
use shard_diag::Diag;
use shard_runtime::prelude::*;
use shard_runtime::{CronJob, LogLevel, TcpConnect, TcpData, TcpDisconnect, TcpServer};

use crate::client::{call, get, options};
use crate::node::eventually;

/// Echoes what its server reads.
struct Echo {
    up: Sender<SocketAddr>,
}

#[actor]
impl Echo {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let io = cx.spawn_io(TcpServer::bind("127.0.0.1:0"))?;
        if let Some(address) = io.local {
            // The test waits for it; if it is gone, nobody does.
            let _gone = self.up.send(address);
        }
        Ok(())
    }

    #[handle]
    fn connect(&mut self, _: TcpConnect, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn data(&mut self, data: TcpData, cx: &mut Context<'_>) -> ActorResult {
        let _closed = cx.send(data.id, data);
        Ok(())
    }

    #[handle]
    fn disconnect(&mut self, _: TcpDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

/// A node of two shards with an echo on the second, and its diagnostics.
fn observed(name: &str) -> (Node, Diag, SocketAddr) {
    let node = Node::builder(name).shards(2).max_processes(64).start().expect("a node");
    let (up, address) = channel();
    node.spawn(move || Echo { up }, SpawnOptions::named("echo").on_shard(1)).expect("an echo");
    let address = address.recv_timeout(Duration::from_secs(20)).expect("an address");
    let diag = Diag::for_node(&node, options()).expect("starts");
    (node, diag, address)
}

fn value(diag: &Diag, series: &str) -> Option<f64> {
    let page = get(diag.radar_addresses()[0], "/metrics").body;
    page.lines().find(|line| line.starts_with(series))?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn cron_jobs_of_a_real_node() {
    let (node, diag, _) = observed("cron@localhost");
    let ask = |tool: &str, arguments: Value| call(diag.mcp_addresses()[0], tool, &arguments);
    assert_eq!(ask("cron_info", json!({}))["Next"], Value::Null);
    node.cron_add(CronJob::new("lost", "* * * * * *").zone("UTC").tick("nobody").fallback("echo", "a tag"))
        .expect("added");
    node.cron_add(CronJob::new("rests", "@daily").tick("echo").disabled()).expect("added");
    eventually("it has failed twice", || {
        ask("cron_job", json!({ "name": "lost" }))["Failures"].as_u64() >= Some(2)
    });
    let info = ask("cron_info", json!({}));
    assert_eq!((&info["Total"], &info["Spool"]), (&json!(2), &json!(["lost"])), "{info}");
    let lost = &info["Jobs"][0];
    assert_eq!((&lost["Location"], &lost["ActionInfo"]), (&json!("UTC"), &json!("tick to nobody")), "{info}");
    assert_eq!(lost["Fallback"], json!({ "Enable": true, "Name": "echo", "Tag": "a tag" }));
    assert!(lost["LastErr"].as_str().is_some_and(|text| !text.is_empty()), "{lost}");
    assert!(lost["LastRun"].is_string() && lost["Next"].is_string(), "{lost}");
    assert_eq!((&info["Jobs"][1]["Disabled"], &info["Jobs"][1]["Next"]), (&json!(true), &Value::Null));
    assert!(value(&diag, "shard_cron_failures_total{job=\"lost\"") >= Some(2.0));
    assert_eq!(value(&diag, "shard_cron_jobs{state=\"disabled\""), Some(1.0));
    let plan = ask("cron_schedule", json!({ "since": "2026-11-24T00:00:00Z", "duration_seconds": 2 }));
    assert_eq!(
        plan["Schedule"][0],
        json!({ "Time": "2026-11-24T00:00:01.000Z", "Jobs": ["lost"] }),
        "{plan}"
    );
    assert_eq!((plan["Schedule"].as_array().map(Vec::len), &plan["Truncated"]), (Some(2), &json!(false)));
}

#[test]
fn a_schedule_of_many_jobs_is_cut_by_runs() {
    let (node, diag, _) = observed("many@localhost");
    for job in 0..30 {
        node.cron_add(CronJob::new(format!("job{job}"), "* * * * * *").tick("nobody")).expect("added");
    }
    let plan = call(diag.mcp_addresses()[0], "cron_schedule", &json!({ "since": "2200-01-01T00:00:00Z" }));
    let slots = plan["Schedule"].as_array().expect("slots");
    let runs: usize = slots.iter().filter_map(|slot| slot["Jobs"].as_array()).map(Vec::len).sum();
    assert_eq!((runs, &plan["Truncated"]), (20_000, &json!(true)));
}

#[test]
fn log_levels_and_loggers_of_a_real_node() {
    let (node, diag, _) = observed("levels@localhost");
    let ask = |tool: &str, arguments: Value| call(diag.mcp_addresses()[0], tool, &arguments);
    let level = |target: &str| ask("log_level_get", json!({ "target": target }))["LogLevel"].clone();
    assert_eq!((level("node"), level("echo")), (json!("info"), json!("info")));
    node.set_node_log_level(LogLevel::Warning);
    assert_eq!((level("node"), level("echo")), (json!("warning"), json!("warning")));
    let echo = node.whereis("echo").expect("an echo");
    node.set_process_log_level(echo, Some(LogLevel::Trace)).expect("its shard takes it");
    eventually("it has its own level", || level("echo") == json!("trace"));
    assert_eq!(level("node"), json!("warning"));
    assert_eq!(ask("process_list", json!({ "name": "echo" }))["items"][0]["LogLevel"], "trace");
    let loggers = ask("loggers_list", json!({}));
    assert_eq!(loggers["items"][0]["name"], "default", "{loggers}");
    assert_eq!(loggers["items"][0]["levels"], json!(["warning", "error", "panic"]), "{loggers}");
    assert_eq!(value(&diag, "shard_log_lost_total{level=\"error\""), Some(0.0));
}

#[test]
fn io_of_a_real_node_is_counted_on_its_shard() {
    let (_node, diag, address) = observed("io@localhost");
    let series = |name: &str| value(&diag, &format!("{name}{{shard=\"1\""));
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(&[7; 1000]).expect("written");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let mut back = [0; 1000];
    stream.read_exact(&mut back).expect("echoed");
    assert!(back == [7; 1000]);
    eventually("the bytes are counted", || {
        let bytes =
            |way: &str| value(&diag, &format!("shard_io_bytes_total{{shard=\"1\",direction=\"{way}\""));
        (bytes("in"), bytes("out")) == (Some(1000.0), Some(1000.0))
    });
    assert_eq!((series("shard_io_opened_total"), series("shard_io_closed_total")), (Some(1.0), Some(0.0)));
    assert!(series("shard_io_descriptors") >= Some(2.0), "the server and its connection");
    drop(stream);
    eventually("its end is counted", || series("shard_io_closed_total") == Some(1.0));
    assert_eq!(series("shard_io_failed_total"), Some(0.0));
}
