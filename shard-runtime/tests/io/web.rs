//! The web server: requests, WebSockets and streams of events, from well-behaved clients and others.

use crate::support::{Probe, Steady, connect, counters, node, probe, until};
use shard_runtime::http::{Method, StatusCode};
use shard_runtime::prelude::*;
use shard_runtime::{
    CloseIo, Io, IoEnd, SseConnect, SseDisconnect, SseHandler, SseMessage, WebHandler, WebRequest,
    WebResponse, WebServer, WebSocketHandler, WsConnect, WsDisconnect, WsMessage,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tungstenite::{Message as Frame, WebSocket};

#[derive(Debug)]
pub(crate) enum Seen {
    Up(Io),
    Asked,
    Connect(WsConnect),
    Disconnect(IoEnd),
    Stream(SseConnect),
    StreamEnd(SseDisconnect),
}

/// Serves everything itself.
pub(crate) struct Site {
    server: Option<WebServer>,
    tell: Sender<Seen>,
    echoes: bool,
    held: Vec<WsMessage>,
}

#[actor]
impl Site {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(server) = self.server.take() {
            let _ = self.tell.send(Seen::Up(cx.spawn_io(server)?));
        }
        Ok(())
    }

    #[handle]
    async fn request(&mut self, m: WebRequest, cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        Ok(match m.path() {
            "/hello" => WebResponse::text("hello"),
            "/echo" => WebResponse::ok(m.body),
            "/query" => WebResponse::text(m.query("a").unwrap_or("none")),
            "/slow" => {
                let _ = self.tell.send(Seen::Asked);
                cx.sleep(Duration::from_millis(300)).await;
                WebResponse::text("late")
            }
            "/crash" => panic!("a request that crashes its worker"),
            _ => WebResponse::error(StatusCode::NOT_FOUND, "no such page"),
        })
    }

    #[handle]
    fn connect(&mut self, m: WsConnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Connect(m));
        Ok(())
    }

    #[handle]
    fn message(&mut self, m: WsMessage, cx: &mut Context<'_>) -> ActorResult {
        if self.echoes {
            let _closed = cx.send(m.id, m);
        } else {
            self.held.push(m);
        }
        Ok(())
    }

    #[handle]
    fn disconnect(&mut self, m: WsDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Disconnect(m.reason));
        Ok(())
    }

    #[handle]
    fn stream(&mut self, m: SseConnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Stream(m));
        Ok(())
    }

    #[handle]
    fn stream_end(&mut self, m: SseDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::StreamEnd(m));
        Ok(())
    }
}

impl Site {
    /// Tells what it sees, and starts this server.
    pub(crate) fn new(tell: Sender<Seen>, echoes: bool, server: WebServer) -> Self {
        Self { server: Some(server), tell, echoes, held: Vec::new() }
    }
}

pub(crate) fn site(
    node: &Node,
    echoes: bool,
    server: impl FnOnce(WebServer) -> WebServer,
) -> (Pid, Io, Probe<Seen>) {
    let (tell, seen) = probe();
    let server = server(WebServer::bind("127.0.0.1:0"));
    let make = move || Site::new(tell, echoes, server);
    let pid = node.spawn(make, SpawnOptions::named("site")).unwrap();
    let Seen::Up(io) = seen.next() else { panic!() };
    (pid, io, seen)
}

pub(crate) fn worker(server: WebServer) -> WebServer {
    server.route("/*", WebHandler::to("site"))
}

/// Reads one response: its status, its headers in lower case, its body.
pub(crate) fn response(reader: &mut impl BufRead) -> (u16, String, Vec<u8>) {
    let mut head = String::new();
    loop {
        let before = head.len();
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the connection ended inside a head: {head:?}");
        if &head[before..] == "\r\n" {
            break;
        }
    }
    let head = head.to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|n| n.parse().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (status, head, body)
}

pub(crate) fn ask(io: &Io, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = connect(io.local.unwrap());
    stream.write_all(request.as_bytes()).unwrap();
    response(&mut BufReader::new(stream))
}

pub(crate) fn get(io: &Io, path: &str) -> (u16, Vec<u8>) {
    let (status, _, body) = ask(io, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    (status, body)
}

#[test]
fn requests_are_calls_to_a_worker() {
    let node = node("web", 2);
    let (_, server, _seen) = site(&node, true, worker);
    assert_eq!(get(&server, "/hello"), (200, b"hello".to_vec()));
    assert_eq!(get(&server, "/query?b=1&a=2"), (200, b"2".to_vec()));
    assert_eq!(get(&server, "/nowhere").0, 404);
    let mut stream = connect(server.local.unwrap());
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for round in 0..100 {
        let body = "x".repeat(round * 37);
        write!(stream, "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let (status, _, back) = response(&mut reader);
        assert_eq!((status, back.len()), (200, body.len()));
    }
    // Pipelined, and with a body in chunks.
    let one = "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    stream.write_all(one.repeat(3).as_bytes()).unwrap();
    for _ in 0..3 {
        assert_eq!(response(&mut reader).2, b"abcde");
    }
    let (status, head, body) = ask(&server, "HEAD /hello HTTP/1.0\r\n\r\n".replace("HEAD", "GET").as_str());
    assert_eq!((status, body), (200, b"hello".to_vec()));
    assert!(head.contains("content-type: text/plain"), "{head}");
    until("counted", || counters(&node).io_requests >= 107);
}

#[test]
fn what_goes_wrong_has_the_status_that_says_so() {
    let node = node("statuses", 1);
    let routes = |server: WebServer| {
        server
            .route("/*", WebHandler::to("site").max_body(100).timeout(Duration::from_millis(50)))
            .route("/nobody", WebHandler::to("nobody"))
            .body_timeout(Duration::from_millis(50))
    };
    let (_, server, _seen) = site(&node, true, routes);
    assert_eq!(get(&server, "/nobody").0, 503, "no such worker");
    assert_eq!(get(&server, "/slow").0, 504);
    let post = |length: usize, body: &str| {
        format!("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    assert_eq!(ask(&server, &post(101, "")).0, 413, "before it has come");
    let chunk = format!(
        "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n80\r\n{}\r\n",
        "x".repeat(128)
    );
    assert_eq!(ask(&server, &chunk).0, 413, "while it comes");
    assert_eq!(ask(&server, &post(10, "x")).0, 408, "a body that does not come");
    let head = format!("GET /hello HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(64 << 10));
    assert_eq!(ask(&server, &head).0, 431);
    assert_eq!(ask(&server, "NONSENSE\r\n\r\n").0, 400);
    until("the worker is idle again", || get(&server, "/hello").0 == 200);
}

/// A worker that crashes at one request.
struct Crasher;

#[actor]
impl Crasher {
    #[handle]
    fn request(&mut self, m: WebRequest, _cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        if m.path() == "/crash" {
            panic!("a request that crashes its worker");
        }
        Ok(WebResponse::text("alive"))
    }
}

#[test]
fn a_worker_that_crashes_answers_502_and_its_successor_goes_on() {
    let node = node("crash", 1);
    node.spawn(|| shard_runtime::Pool::of(|| Crasher).size(2), SpawnOptions::named("pool")).unwrap();
    let (_, server, _seen) = site(&node, true, |server| server.route("/*", WebHandler::to("pool")));
    assert_eq!(get(&server, "/crash").0, 502);
    until("a successor is there", || get(&server, "/").0 == 200 && get(&server, "/").0 == 200);
}

#[test]
fn a_slow_head_is_cut_off_and_others_are_served() {
    let node = node("loris", 1);
    let routes = |server: WebServer| worker(server).header_timeout(Duration::from_millis(200));
    let (_, server, _seen) = site(&node, true, routes);
    let mut slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = connect(server.local.unwrap());
            stream.write_all(b"GET /hello HTTP/1.1\r\nhost: ").unwrap();
            stream
        })
        .collect();
    assert_eq!(get(&server, "/hello").0, 200, "meanwhile");
    for stream in &mut slow {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ended = stream.read_to_end(&mut rest);
    }
    until("they are counted as failures", || counters(&node).io_failed >= 200);
    assert_eq!(get(&server, "/hello").0, 200);
}

#[test]
fn too_many_connections_are_refused_and_counted() {
    let node = node("crowd", 1);
    let (_, server, _seen) = site(&node, true, |server| worker(server).max_connections(3));
    let mut kept: Vec<_> = (0..3).map(|_| connect(server.local.unwrap())).collect();
    for stream in &mut kept {
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert_eq!(response(&mut BufReader::new(stream)).0, 200);
    }
    let mut rest = Vec::new();
    let _reset = connect(server.local.unwrap()).read_to_end(&mut rest);
    assert!(rest.is_empty());
    until("counted", || counters(&node).io_refused == 1);
    kept.pop();
    until("there is room again", || {
        let mut stream = connect(server.local.unwrap());
        let sent = stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n");
        let mut text = String::new();
        sent.is_ok() && stream.read_to_string(&mut text).is_ok() && text.contains("hello")
    });
}

#[test]
fn a_server_that_closes_answers_what_was_asked() {
    let node = node("closing", 1);
    let (_, server, seen) = site(&node, true, worker);
    let mut idle = connect(server.local.unwrap());
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(response(&mut BufReader::new(idle.try_clone().unwrap())).0, 200);
    let mut asking = connect(server.local.unwrap());
    asking.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let Seen::Asked = seen.next() else { panic!() };
    node.send(server.id, CloseIo).unwrap();
    let (status, head, body) = response(&mut BufReader::new(asking));
    assert_eq!((status, body), (200, b"late".to_vec()));
    assert!(head.contains("connection: close"), "{head}");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    until("the process has ended", || node.stats().process(server.pid.local).is_none());
    assert!(TcpStream::connect(server.local.unwrap()).is_err());
}

fn ws(address: SocketAddr, path: &str, origin: Option<&str>) -> Result<WebSocket<Steady>, u16> {
    let mut request = http::Request::builder().uri(format!("ws://{address}{path}"));
    for (name, value) in [
        ("host", address.to_string().as_str()),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request = request.header(name, value);
    }
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    match tungstenite::client(request.body(()).unwrap(), Steady(connect(address))) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

fn sockets(server: WebServer) -> WebServer {
    worker(server).route(
        "/ws",
        WebSocketHandler::to("site").max_message(100_000).ping_every(Duration::from_millis(200)),
    )
}

#[test]
fn a_websocket_carries_text_and_bytes_both_ways() {
    let node = node("ws", 1);
    let (_, server, seen) = site(&node, true, sockets);
    let address = server.local.unwrap();
    let mut socket = ws(address, "/ws?room=1", None).unwrap();
    let Seen::Connect(up) = seen.next() else { panic!() };
    assert_eq!((up.uri.query(), up.remote), (Some("room=1"), socket.get_ref().0.local_addr().unwrap()));
    for round in 0..200_usize {
        let message = if round % 2 == 0 {
            Frame::text("é".repeat(round * 20))
        } else {
            Frame::binary(vec![7; round * 100])
        };
        socket.send(message.clone()).unwrap();
        let back = loop {
            match socket.read().unwrap() {
                Frame::Ping(_) => {}
                other => break other,
            }
        };
        assert_eq!(back, message);
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    let Seen::Disconnect(reason) = seen.next() else { panic!() };
    assert_eq!(reason, IoEnd::Closed);
    assert_eq!(get(&server, "/hello").0, 200);
    assert_eq!(get(&server, "/ws").0, 400, "no handshake");
}

#[test]
fn a_websocket_of_another_origin_is_refused() {
    let node = node("origin", 1);
    let routes = |server: WebServer| {
        sockets(server)
            .route("/listed", WebSocketHandler::to("site").origins(["https://good.example"]))
            .route("/any", WebSocketHandler::to("site").any_origin())
    };
    let (_, server, _seen) = site(&node, true, routes);
    let address = server.local.unwrap();
    let own = format!("http://{address}");
    assert!(ws(address, "/ws", Some(&own)).is_ok());
    assert_eq!(ws(address, "/ws", Some("https://evil.example")).unwrap_err(), 403);
    assert!(ws(address, "/listed", Some("https://good.example")).is_ok());
    assert_eq!(ws(address, "/listed", Some(&own)).unwrap_err(), 403);
    assert!(ws(address, "/any", Some("https://evil.example")).is_ok());
}

#[test]
fn a_websocket_that_misbehaves_is_closed_for_a_reason() {
    let node = node("wsbad", 1);
    let (_, server, seen) = site(&node, true, sockets);
    let address = server.local.unwrap();
    let next_end = || loop {
        if let Seen::Disconnect(end) = seen.next() {
            return end;
        }
    };
    let mut socket = ws(address, "/ws", None).unwrap();
    socket.send(Frame::binary(vec![0; 100_001])).unwrap();
    assert!(matches!(next_end(), IoEnd::Protocol { .. }), "too long");
    let mut socket = ws(address, "/ws", None).unwrap();
    socket.get_mut().write_all(&[0xff; 64]).unwrap();
    assert!(matches!(next_end(), IoEnd::Protocol { .. }), "garbage");
    let silent = ws(address, "/ws", None).unwrap();
    assert_eq!(next_end(), IoEnd::TimedOut { what: "the answer to a ping" });
    drop(silent);
    drop(ws(address, "/ws", None).unwrap());
    let end = next_end();
    assert!(matches!(end, IoEnd::Reset | IoEnd::Closed), "{end:?}");
}

#[test]
fn what_a_process_sends_to_a_websocket_arrives_and_close_is_in_order() {
    let node = node("wspush", 1);
    let (_, server, seen) = site(&node, false, sockets);
    let mut socket = ws(server.local.unwrap(), "/ws", None).unwrap();
    let Seen::Connect(up) = seen.next() else { panic!() };
    for n in 0..1000 {
        node.send(up.id, WsMessage::text(up.id, format!("{n}"))).unwrap();
    }
    node.send(up.id, CloseIo).unwrap();
    let mut next = 0;
    loop {
        match socket.read() {
            Ok(Frame::Text(text)) => {
                assert_eq!(text.as_str(), format!("{next}"));
                next += 1;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    assert_eq!(next, 1000);
    let Seen::Disconnect(end) = seen.next() else { panic!() };
    assert_eq!(end, IoEnd::Local);
}

#[test]
fn a_browser_gets_a_stream_of_events() {
    let node = node("sse", 1);
    let routes = |server: WebServer| {
        worker(server).route("/events", SseHandler::to("site").heartbeat(Duration::from_millis(100)))
    };
    let (_, server, seen) = site(&node, true, routes);
    assert_eq!(get(&server, "/events").0, 406, "without the header");
    let mut stream = connect(server.local.unwrap());
    let request =
        "GET /events?x HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nlast-event-id: 41\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (status, head, _) = response(&mut reader);
    assert_eq!(status, 200);
    assert!(head.contains("text/event-stream") && head.contains("no-cache"), "{head}");
    let Seen::Stream(up) = seen.next() else { panic!() };
    assert_eq!((up.last_event_id.as_deref(), up.uri.query()), (Some("41"), Some("x")));
    let event =
        SseMessage { event: Some("tick".into()), id: Some("42".into()), ..SseMessage::data("one\ntwo") };
    node.send(up.id, event).unwrap();
    let mut text = String::new();
    let mut line = String::new();
    while !(text.contains(": connected") && text.contains("data: two") && text.contains(": heartbeat")) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
        text.push_str(&line);
    }
    assert!(text.contains("event: tick\nid: 42\ndata: one\ndata: two\n\n"), "{text}");
    drop((stream, reader));
    let Seen::StreamEnd(end) = seen.next() else { panic!() };
    assert_eq!((end.id, end.reason), (up.id, IoEnd::Closed));
}

#[test]
fn a_stream_that_is_not_read_is_cut_off() {
    let node = node("sseslow", 1);
    let routes =
        |server: WebServer| worker(server).route("/events", SseHandler::to("site").max_pending(100_000));
    let (_, server, seen) = site(&node, true, routes);
    let mut stream = connect(server.local.unwrap());
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n").unwrap();
    let Seen::Stream(up) = seen.next() else { panic!() };
    let mut sent = 0;
    while node.send(up.id, SseMessage::data("x".repeat(10_000))).is_ok() {
        sent += 1;
        assert!(sent < 100_000, "a stream that nobody reads takes everything");
    }
    let Seen::StreamEnd(end) = seen.next() else { panic!() };
    assert!(matches!(end.reason, IoEnd::SlowPeer { limit: 100_000, .. }), "{:?}", end.reason);
    drop(stream);
}

#[test]
fn requests_for_tests_of_workers() {
    let mut node = shard_runtime::Simulation::new("unit@localhost", 1, 1).unwrap();
    let worker = node.spawn(0, || Crasher, &SpawnOptions::new()).unwrap();
    let answer = node.call(worker, WebRequest::for_test(Method::GET, "/", "")).unwrap();
    assert_eq!((answer.status, answer.body), (StatusCode::OK, "alive".into()));
}
