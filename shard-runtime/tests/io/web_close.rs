//! How a web server ends: what was asked is answered, what is idle goes at once, and what takes too long is cut off and counted.

use crate::support::{LIMIT, Probe, connect, counters, node, now, probe, until};
use crate::web::{Seen, Site, response, site, worker};
use shard_runtime::prelude::io::*;
use shard_runtime::prelude::*;
use shard_runtime::{AppSpec, Application};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// A connection on which this was sent.
fn sent(server: &Io, text: &str) -> TcpStream {
    let mut stream = connect(server.local.unwrap());
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// A connection that has had its answer and is kept.
fn idle(server: &Io) -> TcpStream {
    let stream = sent(server, "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(response(&mut BufReader::new(stream.try_clone().unwrap())).0, 200);
    stream
}

/// A connection whose request is with its worker.
fn slow(server: &Io, seen: &Probe<Seen>) -> TcpStream {
    let stream = sent(server, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    let Seen::Asked = seen.next() else { panic!() };
    stream
}

/// What comes until the end of a connection.
fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap().to_lowercase()
}

fn is_answered(stream: TcpStream) {
    let text = rest(stream);
    assert!(text.starts_with("http/1.1 200") && text.ends_with("late"), "{text}");
    assert!(text.contains("connection: close"), "{text}");
}

#[test]
fn a_stop_of_the_node_answers_what_was_asked() {
    let node = node("drained", 2);
    let (_, server, seen) = site(&node, true, worker);
    let (idle, asking) = (idle(&server), slow(&server, &seen));
    node.stop();
    is_answered(asking);
    assert_eq!(rest(idle), "");
    assert!(TcpStream::connect(server.local.unwrap()).is_err());
    assert_eq!((counters(&node).io_cut, counters(&node).io_failed), (0, 0));
}

/// An application of one member, which serves.
struct Shop(Sender<Seen>);

impl Application for Shop {
    fn name(&self) -> &str {
        "shop"
    }

    fn spec(&self) -> AppSpec {
        let tell = self.0.clone();
        let make = move || Site::new(tell.clone(), true, worker(WebServer::bind("127.0.0.1:0")));
        AppSpec::new().member(make, SpawnOptions::named("site"))
    }
}

#[test]
fn a_stop_of_an_application_answers_what_it_was_asked() {
    let node = node("shop", 2);
    let (tell, seen) = probe();
    node.load_app(Shop(tell)).unwrap();
    node.start_app("shop").unwrap();
    let Seen::Up(server) = seen.next() else { panic!() };
    let (idle, asking) = (idle(&server), slow(&server, &seen));
    node.stop_app("shop").unwrap();
    is_answered(asking);
    assert_eq!(rest(idle), "");
    assert_eq!(counters(&node).io_cut, 0);
}

#[test]
fn half_a_request_does_not_hold_a_close() {
    let node = node("halves", 1);
    let never = LIMIT * 10;
    let routes = |server: WebServer| worker(server).drain(never).header_timeout(never).body_timeout(never);
    let (_, server, _seen) = site(&node, true, routes);
    let texts = [
        "GET /hello HTTP/1.1\r\nhost:",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n12",
    ];
    let idle = idle(&server);
    let before = counters(&node).io_bytes_in;
    let [half_head, half_body, mut growing] = texts.map(|text| sent(&server, text));
    let unused = connect(server.local.unwrap());
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    until("all are accepted", || counters(&node).io_opened == 5);
    until("all is read", || counters(&node).io_bytes_in == before + bytes as u64);
    node.send(server.id, CloseIo).unwrap();
    // A body that goes on coming is answered.
    growing.write_all(b"34").unwrap();
    let whole = rest(growing);
    assert!(whole.starts_with("http/1.1 200") && whole.ends_with("1234"), "{whole}");
    assert_eq!((rest(half_head), rest(unused), rest(idle)), (String::new(), String::new(), String::new()));
    let text = rest(half_body);
    assert!(text.starts_with("http/1.1 408") && text.contains("connection: close"), "{text}");
    until("the process has ended", || node.stats().process(server.pid.local).is_none());
    assert_eq!(counters(&node).io_cut, 0);
}

#[test]
fn what_is_not_answered_in_time_is_cut_off_and_counted() {
    for limit in [Duration::ZERO, Duration::from_millis(50)] {
        let node = node("cut", 1);
        let (_, server, seen) = site(&node, true, |server| worker(server).drain(limit));
        let (idle, asking) = (idle(&server), slow(&server, &seen));
        node.send(server.id, CloseIo).unwrap();
        assert_eq!((rest(idle), rest(asking)), (String::new(), String::new()));
        until("the process has ended", || node.stats().process(server.pid.local).is_none());
        let counters = counters(&node);
        assert_eq!((counters.io_cut, counters.io_abandoned), (1, 0), "{limit:?}");
        assert_eq!((counters.io_opened, counters.io_closed, counters.io_failed), (2, 2, 1), "{limit:?}");
    }
}

/// Owns a server and does nothing else.
struct Holder(Option<WebServer>, Sender<Io>);

#[actor]
impl Holder {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let server = self.0.take().ok_or_else(ActorError::normal)?;
        self.1.send(cx.spawn_io(server)?)?;
        Ok(())
    }
}

#[test]
fn the_end_of_its_owner_cuts_a_server_off_and_is_counted() {
    let node = node("orphan", 1);
    let (_, _other, seen) = site(&node, true, worker);
    let (tell, told) = probe();
    let make = move || Holder(Some(worker(WebServer::bind("127.0.0.1:0"))), tell);
    let owner = node.spawn(make, SpawnOptions::new().on_shard(0)).unwrap();
    let server = told.next();
    let (idle, asking) = (idle(&server), slow(&server, &seen));
    node.kill(owner);
    assert_eq!((rest(idle), rest(asking)), (String::new(), String::new()));
    until("counted", || counters(&node).io_closed == 2);
    let counters = counters(&node);
    assert_eq!((counters.io_cut, counters.io_failed), (1, 1));
}

#[test]
fn a_close_ends_streams_of_events_at_once() {
    let node = node("streams", 1);
    let routes =
        |server: WebServer| worker(server).route("/events", SseHandler::to("site")).drain(LIMIT * 10);
    let (_, server, seen) = site(&node, true, routes);
    let stream = sent(&server, "GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
    let Seen::Stream(up) = seen.next() else { panic!() };
    node.send(up.id, SseMessage::data("last")).unwrap();
    node.send(server.id, CloseIo).unwrap();
    let start = now();
    let text = rest(stream);
    assert!(text.contains("data: last"), "{text}");
    assert!(now() - start < LIMIT, "it held the close");
    let Seen::StreamEnd(end) = seen.next() else { panic!() };
    assert_eq!(end.reason, IoEnd::Local);
    until("the process has ended", || node.stats().process(server.pid.local).is_none());
}
