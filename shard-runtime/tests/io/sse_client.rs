//! The client of streams of events, against our own server and against servers that lie, flood, vanish or do nothing.

use crate::hostile::{GROWTH, resident, with_bystander};
use crate::raw::{drain, flood, head, header, nobody, raw_server};
use crate::support::{Probe, counters, node, probe, until};
use crate::tls::{Authority, server_with};
use shard_runtime::prelude::*;
use shard_runtime::{
    CloseIo, Io, IoEnd, IoError, SseClient, SseConnect, SseDisconnect, SseEvent, SseHandler, SseMessage,
    TlsClient, WebServer,
};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
const MS: Duration = Duration::from_millis(1);

#[derive(Debug)]
enum Seen {
    Up(Io),
    Refused(IoError),
    Connect(SseConnect),
    Event { event: String, data: String, id: Option<String> },
    Disconnect(SseDisconnect),
}

/// Follows a stream and tells what it sees.
struct Follower {
    client: Option<SseClient>,
    tell: Sender<Seen>,
    held: Option<Vec<SseEvent>>,
}

#[message(local)]
struct Release;

impl Follower {
    fn tell(&self, m: SseEvent) {
        let id = m.last_event_id.map(|id| id.to_string());
        let _ = self.tell.send(Seen::Event { event: m.event.to_string(), data: m.data.into_string(), id });
    }
}

#[actor]
impl Follower {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(client) = self.client.take() {
            let _ = self.tell.send(cx.spawn_io(client).map_or_else(Seen::Refused, Seen::Up));
        }
        Ok(())
    }

    #[handle]
    fn connect(&mut self, m: SseConnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Connect(m));
        Ok(())
    }

    #[handle]
    fn event(&mut self, m: SseEvent, _cx: &mut Context<'_>) -> ActorResult {
        match &mut self.held {
            Some(held) => held.push(m),
            None => self.tell(m),
        }
        Ok(())
    }

    #[handle]
    fn disconnect(&mut self, m: SseDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Disconnect(m));
        Ok(())
    }

    #[handle]
    fn release(&mut self, _: Release, _cx: &mut Context<'_>) -> ActorResult {
        for m in self.held.take().into_iter().flatten() {
            self.tell(m);
        }
        Ok(())
    }
}

fn follower(node: &Node, client: SseClient, holds: bool) -> (Pid, Probe<Seen>) {
    let (tell, seen) = probe();
    let make = move || Follower { client: Some(client), tell, held: holds.then(Vec::new) };
    (node.spawn(make, SpawnOptions::new().on_shard(0)).unwrap(), seen)
}

fn follow(node: &Node, client: SseClient) -> (Pid, Io, Probe<Seen>) {
    let (pid, seen) = follower(node, client, false);
    let Seen::Up(io) = seen.next() else { panic!("it was refused") };
    (pid, io, seen)
}

fn to(address: SocketAddr) -> SseClient {
    SseClient::follow(format!("http://{address}/events")).retry(5 * MS).max_retry(20 * MS)
}

fn connected(seen: &Probe<Seen>) -> SseConnect {
    match seen.next() {
        Seen::Connect(m) => m,
        other => panic!("{other:?}"),
    }
}

fn disconnected(seen: &Probe<Seen>) -> SseDisconnect {
    match seen.next() {
        Seen::Disconnect(m) => m,
        other => panic!("{other:?}"),
    }
}

fn event(seen: &Probe<Seen>) -> (String, String, Option<String>) {
    match seen.next() {
        Seen::Event { event, data, id } => (event, data, id),
        other => panic!("{other:?}"),
    }
}

fn chunk(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).unwrap();
    stream.write_all(bytes).unwrap();
    stream.write_all(b"\r\n").unwrap();
}

/// What a server tells: that it is there, then each stream.
#[derive(Debug)]
enum Heard {
    Up(Io),
    Stream(SseConnect),
}

/// A server of ours: numbers from where each stream was cut off, ten to a connection, up to this.
struct Counter {
    server: Option<WebServer>,
    tell: Sender<Heard>,
    last: u32,
}

#[actor]
impl Counter {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(server) = self.server.take() {
            let _ = self.tell.send(Heard::Up(cx.spawn_io(server)?));
        }
        Ok(())
    }

    #[handle]
    fn stream(&mut self, m: SseConnect, cx: &mut Context<'_>) -> ActorResult {
        let first = m.last_event_id.as_ref().map_or(1, |id| id.parse::<u32>().unwrap() + 1);
        for n in (first..first + 10).filter(|n| *n <= self.last) {
            let event = SseMessage {
                event: (n % 2 == 0).then(|| "even".to_owned()),
                id: Some(n.to_string()),
                retry: (n == 1).then_some(100),
                data: format!("{n}\nof {}", self.last),
            };
            cx.send(m.id, event)?;
        }
        if first + 10 <= self.last {
            // What was sent before is written before it ends.
            cx.send(m.id, CloseIo)?;
        }
        let _ = self.tell.send(Heard::Stream(m));
        Ok(())
    }

    #[handle]
    fn stream_end(&mut self, _: SseDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn counter(node: &Node, last: u32, tls: Option<&Authority>) -> (Io, Probe<Heard>) {
    let (tell, heard) = probe();
    let server =
        WebServer::bind("127.0.0.1:0").route("/events", SseHandler::to("counter").heartbeat(50 * MS));
    let server = match tls {
        None => server,
        Some(authority) => server.tls(server_with(authority)),
    };
    let make = move || Counter { server: Some(server), tell, last };
    node.spawn(make, SpawnOptions::named("counter").on_shard(0)).unwrap();
    let Heard::Up(io) = heard.next() else { panic!("no server") };
    (io, heard)
}

#[test]
fn a_stream_of_ours_goes_on_where_it_was_cut_off() {
    let node = node("sseclient", 1);
    let (server, heard) = counter(&node, 35, None);
    let spec = to(server.local.unwrap()).max_retry(150 * MS).header("authorization", "Bearer 7");
    let (_, client, seen) = follow(&node, spec);
    let mut next = 1;
    for connection in 0..4 {
        let last = (connection > 0).then(|| (connection * 10).to_string());
        let Heard::Stream(asked) = heard.next() else { panic!() };
        assert_eq!(asked.last_event_id, last, "what it asked for");
        assert_eq!(asked.headers["authorization"], "Bearer 7");
        assert_eq!(asked.headers["accept"], "text/event-stream");
        let up = connected(&seen);
        assert_eq!((up.id, up.remote, up.uri.path()), (client.id, server.local.unwrap(), "/events"));
        assert_eq!(up.last_event_id, last);
        assert_eq!(up.headers["content-type"], "text/event-stream");
        for _ in 0..10.min(35 - connection * 10) {
            let name = if next % 2 == 0 { "even" } else { "message" };
            assert_eq!(event(&seen), (name.to_owned(), format!("{next}\nof 35"), Some(next.to_string())));
            next += 1;
        }
        if connection < 3 {
            let down = disconnected(&seen);
            assert_eq!((down.id, down.reason), (client.id, IoEnd::Closed));
            // As the first event says, a quarter more or less.
            let again = down.again.unwrap();
            assert!((75 * MS..=125 * MS).contains(&again), "{again:?}");
        }
    }
    assert_eq!(next, 36);
    let shown = node.inspect_blocking(client.pid, Vec::new(), Duration::from_secs(5)).unwrap();
    let entry = |key: &str| shown.iter().find(|(found, _)| found == key).map(|(_, value)| &**value);
    assert_eq!(
        (entry("events"), entry("connections"), entry("last event id")),
        (Some("35"), Some("4"), Some("35"))
    );
    node.send(client.id, CloseIo).unwrap();
    let down = disconnected(&seen);
    assert_eq!((down.reason, down.again), (IoEnd::Local, None));
    until("nothing but the server is left", || counters(&node).io_descriptors == 1);
    until("its process is gone", || node.stats().process(client.pid.local).is_none());
}

#[test]
fn a_stream_goes_through_tls() {
    let (node, authority, other) = (node("ssetls", 1), Authority::new(), Authority::new());
    let (server, _heard) = counter(&node, 10, Some(&authority));
    let trusting = |authority: &Authority| {
        let tls = TlsClient::trusting(&authority.pem()).unwrap().server_name("localhost");
        let url = format!("https://{}/events", server.local.unwrap());
        follow(&node, SseClient::follow(url).tls(tls).retry(5 * MS).max_failures(1)).2
    };
    let seen = trusting(&authority);
    connected(&seen);
    for n in 1..=10 {
        assert_eq!(event(&seen).1, format!("{n}\nof 10"));
    }
    let down = disconnected(&trusting(&other));
    assert!(matches!(down.reason, IoEnd::Tls { .. }) && down.again.is_none(), "{down:?}");
}

#[test]
fn a_server_that_wants_nobody_to_come_back_ends_it() {
    let node = node("sse204", 1);
    let address = raw_server(|number, mut stream| {
        let head = head(&mut stream);
        if number == 0 {
            assert_eq!(header(&head, "last-event-id"), Some("é9"));
            stream.write_all(CHUNKED.as_bytes()).unwrap();
            chunk(&mut stream, b"\xef\xbb\xbfretry: 100\n: comment\ndata: a\r\n\r");
            chunk(&mut stream, b"\ndata: b\xff\n\nid: 12\ndata: lost");
            stream.write_all(b"0\r\n\r\n").unwrap();
        } else {
            assert_eq!(header(&head, "last-event-id"), Some("é9"), "an event that was cut off has no id yet");
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    let (_, client, seen) = follow(&node, to(address).last_event_id("é9"));
    connected(&seen);
    assert_eq!(event(&seen).1, "a");
    assert_eq!(event(&seen).1, "b\u{fffd}", "what is no UTF-8 is replaced");
    let down = disconnected(&seen);
    assert_eq!(down.reason, IoEnd::Closed);
    assert_eq!(
        down.again.map(|again| again <= 20 * MS),
        Some(true),
        "the longest pause bounds what the server says"
    );
    let down = disconnected(&seen);
    assert_eq!((down.reason, down.again), (IoEnd::Refused { status: 204 }, None));
    until("its process is gone", || node.stats().process(client.pid.local).is_none());
    until("an ordinary end", || (counters(&node).io_closed, counters(&node).io_failed) == (2, 0));
}

#[test]
fn failures_in_a_row_end_it_and_only_the_first_is_told() {
    let node = node("ssefail", 1);
    let (tell, tries) = probe();
    let address = raw_server(move |number, mut stream| {
        head(&mut stream);
        tell.send(number).unwrap();
        if number == 2 {
            // One that brings an event begins the count anew.
            stream.write_all(STREAM.as_bytes()).unwrap();
            stream.write_all(b"data: up\n\n").unwrap();
        } else {
            stream.write_all(b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    let (_, client, seen) = follow(&node, to(address).max_failures(4));
    let down = disconnected(&seen);
    assert_eq!(down.reason, IoEnd::Refused { status: 503 });
    assert!(down.again.is_some_and(|again| again <= 20 * MS));
    connected(&seen);
    assert_eq!(event(&seen).1, "up");
    let down = disconnected(&seen);
    assert_eq!((down.reason, down.again.is_some()), (IoEnd::Closed, true));
    let down = disconnected(&seen);
    assert_eq!((down.reason, down.again.is_some()), (IoEnd::Refused { status: 503 }, true));
    let down = disconnected(&seen);
    assert_eq!((down.reason, down.again), (IoEnd::Refused { status: 503 }, None));
    until("its process is gone", || node.stats().process(client.pid.local).is_none());
    assert_eq!(std::iter::from_fn(|| tries.try_next()).max(), Some(6), "two, one that worked, four");
    until("counted", || (counters(&node).io_closed, counters(&node).io_failed) == (7, 6));
    let (_, _, seen) = follow(&node, to(nobody()).max_failures(3));
    for is_last in [false, true] {
        let down = disconnected(&seen);
        assert!(matches!(down.reason, IoEnd::Connect { .. }) && down.again.is_none() == is_last, "{down:?}");
    }
}

#[test]
fn a_server_cannot_make_a_client_come_back_at_once() {
    let node = node("sseretry", 1);
    let address = raw_server(|_, mut stream| {
        head(&mut stream);
        stream.write_all(STREAM.as_bytes()).unwrap();
        stream.write_all(b"retry: 0\ndata: x\n\n").unwrap();
    });
    let (_, _, seen) = follow(&node, to(address).max_retry(Duration::from_secs(3600)));
    connected(&seen);
    event(&seen);
    let again = disconnected(&seen).again.unwrap();
    assert!((75 * MS..=125 * MS).contains(&again), "{again:?}");
}

/// The reason of a client that gives up at once.
fn only_end(seen: &Probe<Seen>) -> IoEnd {
    loop {
        match seen.next() {
            Seen::Disconnect(m) => {
                assert_eq!(m.again, None, "{}", m.reason);
                return m.reason;
            }
            Seen::Connect(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_server_that_speaks_something_else_is_left_for_a_reason() {
    let node = node("sseliar", 1);
    type IsExpected = fn(&IoEnd) -> bool;
    let answers: [(&[u8], IsExpected); 9] = [
        (b"\x00\x01garbage\r\n\r\n", |end| matches!(end, IoEnd::Protocol { .. })),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n", |end| {
            matches!(end, IoEnd::Protocol { reason } if reason.contains("text/html"))
        }),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", |end| matches!(end, IoEnd::Protocol { .. })),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n", |end| {
            matches!(end, IoEnd::Protocol { reason } if reason.contains("compressed"))
        }),
        (b"HTTP/1.1 302 x\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", |end| {
            *end == IoEnd::Refused { status: 302 }
        }),
        (b"HTTP/1.1 200 OK\r\ncontent-ty", |end| matches!(end, IoEnd::Protocol { .. })),
        (b"", |end| matches!(end, IoEnd::Protocol { .. })),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            |end| matches!(end, IoEnd::Protocol { .. }),
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n20\r\ndata: cut",
            |end| matches!(end, IoEnd::Protocol { .. } | IoEnd::Reset),
        ),
    ];
    for (number, (answer, is_expected)) in answers.into_iter().enumerate() {
        let address = raw_server(move |_, mut stream| {
            head(&mut stream);
            stream.write_all(answer).unwrap();
        });
        let (_, client, seen) = follow(&node, to(address).max_failures(1));
        let end = only_end(&seen);
        assert!(is_expected(&end), "answer {number}: {end:?}");
        until("its process is gone", || node.stats().process(client.pid.local).is_none());
    }
    until("counted", || {
        let counters = counters(&node);
        (counters.io_opened, counters.io_failed, counters.io_descriptors) == (9, 9, 0)
    });
}

#[test]
fn what_never_ends_is_cut_by_its_limit() {
    let node = node("sseendless", 1);
    let before = resident();
    let line = "x".repeat(64 << 10);
    let data = "data: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n".repeat(1000);
    let header = "a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(1000);
    for (begin, piece, is_head) in
        [(STREAM, &line, false), (STREAM, &data, false), ("HTTP/1.1 200 OK\r\n", &header, true)]
    {
        let (tell, sent) = probe();
        let piece = piece.clone();
        let address = raw_server(move |_, mut stream| {
            head(&mut stream);
            stream.write_all(begin.as_bytes()).unwrap();
            tell.send(flood(&mut stream, piece.as_bytes(), 64 << 20)).unwrap();
        });
        let (_, _, seen) = follow(&node, to(address).max_line(50_000).max_event(100_000).max_failures(1));
        let end = only_end(&seen);
        if is_head {
            assert!(
                matches!(&end, IoEnd::Protocol { reason } if reason.contains("longer than allowed")),
                "{end:?}"
            );
        } else {
            assert!(matches!(end, IoEnd::TooLarge { limit: 50_000 | 100_000, .. }), "{end:?}");
        }
        assert!(sent.next() < 64 << 20, "it is closed");
    }
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    until("counted", || counters(&node).io_failed == 3);
}

#[test]
fn floods_of_nothing_are_taken_in_turns() {
    let node = node("sseflood", 1);
    let before = resident();
    // Interim responses, comments, blank lines, chunks of a byte: none of them ever is an event.
    let interim = "HTTP/1.1 103 x\r\n\r\n".repeat(3000);
    let chunks = "1\r\n:\r\n1\r\n\n\r\n".repeat(5000);
    for (begin, piece) in
        [("", &interim), (STREAM, &":\n".repeat(30_000)), (STREAM, &"\n".repeat(60_000)), (CHUNKED, &chunks)]
    {
        let piece = piece.clone();
        let (tell, sent) = probe();
        let address = raw_server(move |_, mut stream| {
            head(&mut stream);
            stream.write_all(begin.as_bytes()).unwrap();
            tell.send(flood(&mut stream, piece.as_bytes(), usize::MAX)).unwrap();
        });
        with_bystander(&node, || {
            let (_, client, seen) = follow(&node, to(address).connect_timeout(500 * MS).max_failures(1));
            if begin.is_empty() {
                assert_eq!(only_end(&seen), IoEnd::TimedOut { what: "the response" });
            } else {
                connected(&seen);
                let bytes = || counters(&node).io_bytes_in;
                let first = bytes();
                until("a flood has come", || bytes() > first + (8 << 20));
                node.send(client.id, CloseIo).unwrap();
                assert_eq!(only_end(&seen), IoEnd::Local);
            }
        });
        assert!(sent.next() > 1 << 20);
    }
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let node = node("ssemute", 1);
    let mute = raw_server(|_, stream| drain(&stream));
    let (_, _, seen) = follow(&node, to(mute).connect_timeout(100 * MS).max_failures(1));
    assert_eq!(only_end(&seen), IoEnd::TimedOut { what: "the response" });
    let address = raw_server(|_, mut stream| {
        head(&mut stream);
        stream.write_all(STREAM.as_bytes()).unwrap();
        stream.write_all(b"data: once\n\n").unwrap();
        drain(&stream);
    });
    let (_, _, seen) = follow(&node, to(address).idle_timeout(100 * MS).max_failures(1));
    connected(&seen);
    assert_eq!(event(&seen).1, "once");
    assert_eq!(only_end(&seen), IoEnd::TimedOut { what: "the wait for an event" });
}

#[test]
fn it_ends_on_request_and_with_its_owner_wherever_it_is() {
    let node = node("sseend", 1);
    let long = Duration::from_secs(3600);
    let (tell, heads) = probe();
    let mute = raw_server(move |_, mut stream| {
        tell.send(head(&mut stream)).unwrap();
        drain(&stream);
    });
    let silent = raw_server(|_, mut stream| {
        head(&mut stream);
        stream.write_all(STREAM.as_bytes()).unwrap();
        drain(&stream);
    });
    let asking = || to(mute).connect_timeout(long);
    let waiting = || to(nobody()).retry(long).max_retry(long);
    let (_, client, seen) = follow(&node, asking());
    heads.next();
    node.send(client.id, CloseIo).unwrap();
    assert_eq!(only_end(&seen), IoEnd::Local);
    let (_, client, seen) = follow(&node, waiting());
    assert!(disconnected(&seen).again.is_some());
    node.send(client.id, CloseIo).unwrap();
    assert_eq!(only_end(&seen), IoEnd::Local);
    let (_, client, seen) = follow(&node, to(silent));
    connected(&seen);
    node.send(client.id, CloseIo).unwrap();
    assert_eq!(only_end(&seen), IoEnd::Local);
    for spec in [asking(), waiting(), to(silent)] {
        let (owner, client, _seen) = follow(&node, spec);
        node.kill(owner);
        until("it ends with its owner", || node.stats().process(client.pid.local).is_none());
    }
    until("nothing is left", || (counters(&node).io_descriptors, counters(&node).io_tasks) == (0, 0));
}

#[test]
fn a_receiver_that_holds_events_stops_the_server() {
    let node = node("ssewindow", 1);
    let before = resident();
    let (tell, sent) = probe();
    let address = raw_server(move |_, mut stream| {
        head(&mut stream);
        stream.write_all(STREAM.as_bytes()).unwrap();
        stream.set_write_timeout(Some(300 * MS)).unwrap();
        tell.send(flood(&mut stream, b"data: 0123456789\n\n".repeat(100).as_slice(), 200 << 20)).unwrap();
        drain(&stream);
    });
    // Silence that is not the server's is none.
    let (owner, seen) = follower(&node, to(address).max_unhandled(100_000).idle_timeout(100 * MS), true);
    let Seen::Up(client) = seen.next() else { panic!() };
    connected(&seen);
    let sent = sent.next();
    assert!(sent < 100 << 20, "the server is held back");
    assert!(counters(&node).io_held >= 1);
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    node.send(owner, Release).unwrap();
    for _ in 0..sent / 18 {
        assert_eq!(event(&seen).1, "0123456789");
    }
    node.kill(owner);
    until("it ends with its owner", || node.stats().process(client.pid.local).is_none());
}

#[test]
fn options_of_a_stream_that_make_no_sense_are_refused() {
    let node = node("sseoptions", 1);
    let fine = || SseClient::follow("http://localhost/");
    for (option, spec) in [
        ("url", SseClient::follow("ws://localhost/")),
        ("url", SseClient::follow("https://localhost/")),
        ("url", SseClient::follow("")),
        ("header", fine().header("Last-Event-ID", "7")),
        ("header", fine().header("x", "\n")),
        ("max_line", fine().max_line(0)),
        ("max_event", fine().max_event(0)),
        ("max_unhandled", fine().max_unhandled(0)),
        ("max_failures", fine().max_failures(0)),
        ("retry", fine().retry(Duration::ZERO)),
        ("retry", fine().max_retry(MS)),
        ("idle_timeout", fine().idle_timeout(Duration::ZERO)),
    ] {
        let (_, seen) = follower(&node, spec, false);
        let Seen::Refused(error) = seen.next() else { panic!("{option} was taken") };
        assert!(matches!(&error, IoError::BadOption { option: found, .. } if *found == option), "{error}");
    }
}
