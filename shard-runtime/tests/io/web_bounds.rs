//! What a web server holds and says when its workers cannot take what is asked: bounds, detours, and nothing for strangers' eyes.

use crate::support::{connect, counters, node, probe, until};
use crate::web::{ask, get, response, site, worker};
use shard_runtime::prelude::io::*;
use shard_runtime::prelude::*;
use shard_runtime::{LogLevel, LogLevels, MemorySink};
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;

#[message(local)]
struct Block(Sender<()>);

/// Answers requests, once nothing blocks it.
#[derive(Default)]
struct Plain;

#[actor]
impl Plain {
    #[handle]
    async fn block(&mut self, m: Block, cx: &mut Context<'_>) -> ActorResult {
        m.0.send(())?;
        cx.sleep(Duration::from_secs(3600)).await;
        Ok(())
    }

    #[handle]
    fn request(&mut self, m: WebRequest, _cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        Ok(WebResponse::text(format!("{}", m.body.len())))
    }
}

/// A process of this name that handles nothing any more.
fn blocked(node: &Node, options: SpawnOptions) -> Pid {
    let pid = node.spawn(Plain::default, options.on_shard(0)).unwrap();
    let (tell, is_blocked) = probe();
    node.send(pid, Block(tell)).unwrap();
    is_blocked.next();
    pid
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length))
}

#[test]
fn what_waits_for_a_worker_is_bounded_also_when_its_clients_have_gone() {
    let node = node("unhandled", 1);
    let stuck = blocked(&node, SpawnOptions::named("stuck"));
    let routes = |server: WebServer| {
        server.route("/*", WebHandler::to("stuck").timeout(Duration::from_secs(60))).max_unhandled(100_000)
    };
    let (_, server, _seen) = site(&node, true, routes);
    let clients: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = connect(server.local.unwrap());
            stream.write_all(post(30_000).as_bytes()).unwrap();
            stream
        })
        .collect();
    let waiting = || node.stats().process(stuck.local).map(|stats| stats.mailbox);
    until("three wait in the mailbox", || waiting() == Some(3));
    drop(clients);
    until("nobody waits for the answers", || counters(&node).io_abandoned == 3);
    for _ in 0..5 {
        let (status, head, body) = ask(&server, &post(30_000));
        assert_eq!((status, body), (503, b"Service Unavailable".to_vec()));
        assert!(head.contains("retry-after: 1"), "{head}");
    }
    assert_eq!((counters(&node).io_shed, waiting()), (5, Some(3)));
    // What was dropped with its worker counts no more.
    node.kill(stuck);
    until("it has gone", || node.whereis("stuck").is_none());
    node.spawn(Plain::default, SpawnOptions::named("stuck")).unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&server, &post(30_000)).2, b"30000");
    }
    assert_eq!(ask(&server, &post(200_000)).2, b"200000", "one may exceed the bound");
    assert_eq!(counters(&node).io_shed, 5);
}

#[test]
fn a_worker_that_is_missing_or_full_is_passed_over() {
    let node = node("detour", 1);
    let gone = blocked(&node, SpawnOptions::named("gone"));
    node.kill(gone);
    until("it has gone", || node.stats().process(gone.local).is_none());
    let full = blocked(&node, SpawnOptions::named("full").with_mailbox(1));
    let routes = |server: WebServer| {
        server
            .route("/*", WebHandler::to("nobody").and(gone).and("plain").and("full"))
            .route("/none", WebHandler::to("nobody").and("plain2"))
    };
    let (_, server, _seen) = site(&node, true, routes);
    // One request fills the mailbox of the worker that is blocked, and waits there.
    let mut waits = connect(server.local.unwrap());
    let fill = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    waits.write_all(fill.as_bytes()).unwrap();
    until("its mailbox is full", || node.stats().process(full.local).is_some_and(|stats| stats.mailbox == 1));
    node.spawn(Plain::default, SpawnOptions::named("plain")).unwrap();
    for _ in 0..20 {
        assert_eq!(get(&server, "/"), (200, b"0".to_vec()));
    }
    // Between two holders of a name, and once there is one again.
    for _ in 0..2 {
        let (status, head, body) = ask(&server, "GET /none HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!((status, body), (503, b"Service Unavailable".to_vec()));
        assert!(head.contains("retry-after: 1"), "{head}");
    }
    assert_eq!(counters(&node).io_unanswered, 2);
    assert_eq!(counters(&node).call_errors_local, 2, "a call that was passed on has not failed");
    node.spawn(Plain::default, SpawnOptions::named("plain2")).unwrap();
    assert_eq!(get(&server, "/none").0, 200);
}

#[test]
fn strangers_get_a_phrase_and_the_log_gets_the_reason() {
    let node = node("phrases", 1);
    let memory = MemorySink::new(100);
    node.logger_add("memory", memory.clone(), LogLevels::ALL).unwrap();
    let routes = |server: WebServer| {
        server
            .route("/*", WebHandler::to("site").timeout(Duration::from_millis(50)))
            .route("/nobody", WebHandler::to("nobody"))
    };
    let (_, server, _seen) = site(&node, true, routes);
    assert_eq!(get(&server, "/nobody"), (503, b"Service Unavailable".to_vec()));
    assert_eq!(get(&server, "/slow"), (504, b"Gateway Timeout".to_vec()));
    until("the worker is idle again", || get(&server, "/hello").0 == 200);
    node.spawn(|| Crasher, SpawnOptions::named("nobody")).unwrap();
    assert_eq!(get(&server, "/nobody"), (502, b"Bad Gateway".to_vec()));
    assert!(counters(&node).io_unanswered >= 3);
    let said = |what: &str| {
        let lines = memory.records();
        lines.iter().filter(|line| line.level == LogLevel::Warning && line.text.contains(what)).count()
    };
    until("the log says why", || said("no process is registered under this name") == 1);
    // However many there are: one line a second.
    for _ in 0..200 {
        assert_eq!(get(&server, "/nobody").0, 503);
    }
    until("it says how many", || {
        get(&server, "/nobody");
        memory.records().iter().any(|line| {
            line.text.contains("more since this was last said") && !line.text.contains("; 0 more")
        })
    });
    assert!(said("a request got status") < 50, "{}", said("a request got status"));
}

/// Ends by a panic at the first request.
struct Crasher;

#[actor]
impl Crasher {
    #[handle]
    fn request(&mut self, _: WebRequest, _cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        panic!("a request that crashes its worker");
    }
}

#[test]
fn an_answer_before_the_body_is_read_does_not_end_in_a_reset() {
    let node = node("linger", 1);
    let routes = |server: WebServer| {
        server.route("/*", WebHandler::to("site").max_body(100)).body_timeout(Duration::from_millis(50))
    };
    let (_, server, _seen) = site(&node, true, routes);
    let rest = |stream: &mut TcpStream| {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an end in order, not a reset");
        assert!(rest.is_empty());
    };
    for (length, sent, status) in [(100_000, 100_000_u64, 413), (90, 80, 408)] {
        let mut stream = connect(server.local.unwrap());
        write!(stream, "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n").unwrap();
        let answered = response(&mut BufReader::new(stream.try_clone().unwrap()));
        assert_eq!(answered.0, status);
        assert!(answered.1.contains("connection: close"), "{}", answered.1);
        // What was on its way when the answer was given.
        for _ in 0..10 {
            let before = counters(&node).io_bytes_in;
            stream.write_all(&vec![b'x'; sent as usize / 10]).expect("it is still taken");
            until("it is read", || counters(&node).io_bytes_in == before + sent / 10);
        }
        stream.shutdown(Shutdown::Write).unwrap();
        rest(&mut stream);
    }
    until("both have ended", || counters(&node).io_closed == 2);
    // Who sends for ever, and who does nothing, are left in the end.
    let mut flood = connect(server.local.unwrap());
    let mut silent = connect(server.local.unwrap());
    for stream in [&mut flood, &mut silent] {
        stream.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n").unwrap();
        assert_eq!(response(&mut BufReader::new(stream.try_clone().unwrap())).0, 413);
    }
    let mut sent = 0_usize;
    while sent < 64 << 20 && flood.write_all(&[b'x'; 4096]).is_ok() {
        sent += 4096;
    }
    assert!(sent < 64 << 20, "it is read for ever");
    until("all have ended", || counters(&node).io_closed == 4);
    assert_eq!(counters(&node).io_failed, 0);
}

#[test]
fn a_connection_that_is_idle_for_too_long_has_not_failed() {
    let node = node("idle", 1);
    let routes = |server: WebServer| worker(server).header_timeout(Duration::from_millis(100));
    let (_, server, _seen) = site(&node, true, routes);
    let mut idle = connect(server.local.unwrap());
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut reader = BufReader::new(idle);
    assert_eq!(response(&mut reader).0, 200);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    until("it has ended", || counters(&node).io_closed == 1);
    assert_eq!(counters(&node).io_failed, 0);
}
