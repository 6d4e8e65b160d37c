//! The sample service as its users meet it: requests, a crash, a line of the feed, a signal.

use shard_tests::harness::{
    NodeProcess, NodeSpec, Response, Signal, TempDir, binary, eventually, eventually_some, request,
};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

fn start(label: &str) -> (TempDir, NodeProcess, SocketAddr, SocketAddr) {
    let logs = TempDir::new(label).expect("a folder");
    let program = binary("shard-scenarios", "sample_service").expect("it is built");
    let listeners = ["--http", "127.0.0.1:0", "--feed", "127.0.0.1:0", "--diag-port", "0"];
    let spec = NodeSpec::program(program, label, logs.path()).with_arguments(listeners);
    let process = spec.start().expect("it starts");
    let address = |what: &str| {
        eventually_some(LIMIT, what, || {
            process.stderr().split_once(what)?.1.lines().next()?.trim().parse().ok()
        })
    };
    let (http, feed) = (address("http on "), address("feed on "));
    (logs, process, http, feed)
}

fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> Response {
    request(to, method, path, &[], body, LIMIT).expect("it answers")
}

#[test]
fn it_serves_survives_a_crash_feeds_and_stops_when_told() {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let (_logs, mut process, http, feed) = start("sample-service");
        let reader = TcpStream::connect(feed).expect("it takes readers");
        reader.set_read_timeout(Some(LIMIT)).expect("a limit");
        eventually(LIMIT, "the reader has joined", || process.stderr().contains("feed joined"));

        let placed = ask(http, "POST", "/orders", r#"{"item":"tea","quantity":2}"#);
        assert_eq!((placed.status, &*placed.body), (201, r#"{"id":1,"item":"tea","quantity":2}"#));
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).expect("a line");
        assert_eq!(line.trim_end(), placed.body);

        let status = |method, path, body| ask(http, method, path, body).status;
        assert_eq!(status("POST", "/orders", "tea"), 400);
        assert_eq!(status("POST", "/orders", r#"{"item":"tea","quantity":0}"#), 422);
        assert_eq!(status("GET", "/orders/2", ""), 404);
        assert_eq!(status("POST", "/crash", ""), 502);
        for _ in 0..20 {
            assert_eq!(ask(http, "GET", "/orders/1", "").body, placed.body);
        }
        assert_eq!(ask(http, "GET", "/health", "").body, r#"{"workers":8}"#);

        process.signal(signal).expect("it is there");
        let ended = process.wait(LIMIT).expect("it is there").expect("it ends in time");
        assert!(ended.success(), "{signal:?}: {ended}\n{}", process.stderr());
    }
}
