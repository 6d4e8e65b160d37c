//! The WebSocket client, against our own server and against servers that lie, flood, vanish or do nothing.

use crate::hostile::{GROWTH, resident, with_bystander};
use crate::raw::{drain, flood, head, header, nobody, raw_server};
use crate::support::{Probe, counters, node, probe, until};
use crate::tls::{Authority, server_with};
use shard_runtime::prelude::*;
use shard_runtime::{
    CloseIo, Io, IoEnd, IoError, TlsClient, WebServer, WebSocketClient, WebSocketHandler, WsConnect,
    WsDisconnect, WsKind, WsMessage,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tungstenite::handshake::derive_accept_key;

#[derive(Debug)]
enum Seen {
    Up(Io),
    Refused(IoError),
    Connect(WsConnect),
    Message(WsKind, Vec<u8>),
    Disconnect(WsDisconnect),
}

/// Serves or dials, and tells what it sees.
struct Talker {
    server: Option<WebServer>,
    client: Option<WebSocketClient>,
    tell: Sender<Seen>,
    echoes: bool,
    held: Option<Vec<WsMessage>>,
}

#[message(local)]
struct Release;

#[message(local, reply = ())]
struct Ask;

#[actor]
impl Talker {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let started = match (self.server.take(), self.client.take()) {
            (Some(server), _) => cx.spawn_io(server),
            (None, Some(client)) => cx.spawn_io(client),
            _ => return Ok(()),
        };
        let _ = self.tell.send(started.map_or_else(Seen::Refused, Seen::Up));
        Ok(())
    }

    #[handle]
    fn connect(&mut self, m: WsConnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Connect(m));
        Ok(())
    }

    #[handle]
    fn message(&mut self, m: WsMessage, cx: &mut Context<'_>) -> ActorResult {
        if let Some(held) = &mut self.held {
            held.push(m);
            return Ok(());
        }
        if self.echoes {
            let _closed = cx.send(m.id, m);
        } else {
            let _ = self.tell.send(Seen::Message(m.kind, m.body.to_vec()));
        }
        Ok(())
    }

    #[handle]
    fn disconnect(&mut self, m: WsDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Disconnect(m));
        Ok(())
    }

    #[handle]
    fn ask(&mut self, _: Ask, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn release(&mut self, _: Release, _cx: &mut Context<'_>) -> ActorResult {
        for m in self.held.take().into_iter().flatten() {
            let _ = self.tell.send(Seen::Message(m.kind, m.body.to_vec()));
        }
        Ok(())
    }
}

fn talker(
    node: &Node,
    options: SpawnOptions,
    make: impl FnOnce(Sender<Seen>) -> Talker,
) -> (Pid, Probe<Seen>) {
    let (tell, seen) = probe();
    let talker = make(tell);
    (node.spawn(move || talker, options.on_shard(0)).unwrap(), seen)
}

fn server(node: &Node, server: WebServer) -> (Io, Probe<Seen>) {
    let make = |tell| Talker { server: Some(server), client: None, tell, echoes: true, held: None };
    // The routes name their target.
    let (_, seen) = talker(node, SpawnOptions::named("chat"), make);
    let Seen::Up(io) = seen.next() else { panic!("no server") };
    (io, seen)
}

fn chat() -> WebServer {
    WebServer::bind("127.0.0.1:0").route("/ws", WebSocketHandler::to("chat").max_message(100_000))
}

fn client(node: &Node, client: WebSocketClient) -> (Pid, Io, Probe<Seen>) {
    let make = |tell| Talker { server: None, client: Some(client), tell, echoes: false, held: None };
    let (pid, seen) = talker(node, SpawnOptions::new(), make);
    let Seen::Up(io) = seen.next() else { panic!("it was refused") };
    (pid, io, seen)
}

fn to(address: SocketAddr) -> WebSocketClient {
    WebSocketClient::open(format!("ws://{address}/ws"))
}

/// Why the socket ended, as the first and last thing that is heard of it.
fn end(seen: &Probe<Seen>) -> IoEnd {
    let Seen::Disconnect(m) = seen.next() else { panic!("it was opened") };
    m.reason
}

fn connected(seen: &Probe<Seen>) -> WsConnect {
    match seen.next() {
        Seen::Connect(m) => m,
        other => panic!("{other:?}"),
    }
}

/// Shakes hands as a server, with these headers and bytes besides.
fn accept(stream: &mut TcpStream, headers: &str, then: &[u8]) -> String {
    let head = head(stream);
    let key = derive_accept_key(header(&head, "sec-websocket-key").unwrap().as_bytes());
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {key}\r\n{headers}\r\n"
    )
    .into_bytes();
    response.extend(then);
    stream.write_all(&response).unwrap();
    head
}

#[test]
fn a_client_and_a_server_of_ours_talk_and_close_in_order() {
    let node = node("wsclient", 1);
    let (io, heard) = server(&node, chat());
    let address = io.local.unwrap();
    let spec = WebSocketClient::open(format!("ws://{address}/ws?room=1")).header("x-token", "7");
    let (_, socket, seen) = client(&node, spec);
    // It waits until the socket is there.
    node.send(socket.id, WsMessage::text(socket.id, "first")).unwrap();
    let Seen::Connect(on_server) = heard.next() else { panic!() };
    assert_eq!(on_server.uri.query(), Some("room=1"));
    assert_eq!(on_server.headers["x-token"], "7");
    let up = connected(&seen);
    assert_eq!((up.id, up.remote, up.uri.path()), (socket.id, address, "/ws"));
    assert!(up.headers.contains_key("sec-websocket-accept"));
    assert!(matches!(seen.next(), Seen::Message(WsKind::Text, body) if body == b"first"));
    for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
        let body: Vec<u8> = (0..length).map(|n| n as u8).collect();
        node.call_blocking(socket.id, WsMessage::binary(socket.id, body.clone())).unwrap();
        assert!(matches!(seen.next(), Seen::Message(WsKind::Binary, back) if back == body), "{length} bytes");
    }
    for n in 0..1000 {
        node.send(socket.id, WsMessage::text(socket.id, format!("{n}"))).unwrap();
    }
    for n in 0..1000 {
        assert!(
            matches!(seen.next(), Seen::Message(WsKind::Text, body) if body == format!("{n}").as_bytes())
        );
    }
    node.send(socket.id, CloseIo).unwrap();
    assert_eq!(end(&seen), IoEnd::Local);
    assert_eq!(end(&heard), IoEnd::Closed);
    until("both ends are closed in order", || {
        let counters = counters(&node);
        (counters.io_opened, counters.io_closed, counters.io_failed) == (2, 2, 0)
            && counters.io_descriptors == 1
    });
    until("its process is gone", || node.stats().process(socket.pid.local).is_none());
}

#[test]
fn a_server_that_closes_ends_the_socket_in_order() {
    let node = node("wsserver", 1);
    let (io, heard) = server(&node, chat());
    let (_, _, seen) = client(&node, to(io.local.unwrap()));
    let Seen::Connect(on_server) = heard.next() else { panic!() };
    connected(&seen);
    node.send(on_server.id, WsMessage::text(on_server.id, "bye")).unwrap();
    node.send(on_server.id, CloseIo).unwrap();
    assert!(matches!(seen.next(), Seen::Message(WsKind::Text, body) if body == b"bye"));
    assert_eq!(end(&seen), IoEnd::Closed);
    assert_eq!(end(&heard), IoEnd::Local);
}

#[test]
fn a_websocket_goes_through_tls() {
    let (node, authority, other) = (node("wss", 1), Authority::new(), Authority::new());
    let (io, _heard) = server(&node, chat().tls(server_with(&authority)));
    let trusting = |authority: &Authority| {
        let tls = TlsClient::trusting(&authority.pem()).unwrap().server_name("localhost");
        client(&node, WebSocketClient::open(format!("wss://{}/ws", io.local.unwrap())).tls(tls))
    };
    let (_, socket, seen) = trusting(&authority);
    connected(&seen);
    let body = vec![7; 90_000];
    node.send(socket.id, WsMessage::binary(socket.id, body.clone())).unwrap();
    assert!(matches!(seen.next(), Seen::Message(WsKind::Binary, back) if back == body));
    node.send(socket.id, CloseIo).unwrap();
    assert_eq!(end(&seen), IoEnd::Local);
    let (_, _, seen) = trusting(&other);
    assert!(matches!(end(&seen), IoEnd::Tls { .. }), "whom it does not trust it does not talk to");
}

#[test]
fn a_refusal_keeps_its_status() {
    let node = node("wsrefused", 1);
    let (io, _heard) = server(&node, chat());
    let address = io.local.unwrap();
    let (_, _, seen) = client(&node, WebSocketClient::open(format!("ws://{address}/nowhere")));
    assert_eq!(end(&seen), IoEnd::Refused { status: 404 });
    let (_, _, seen) = client(&node, to(address).header("origin", "https://evil.example"));
    assert_eq!(end(&seen), IoEnd::Refused { status: 403 });
    for status in [200, 301, 401, 503] {
        let address = raw_server(move |_, mut stream| {
            head(&mut stream);
            let answer = format!("HTTP/1.1 {status} x\r\nlocation: /ws\r\ncontent-length: 2\r\n\r\nno");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let (_, socket, seen) = client(&node, to(address));
        assert_eq!(end(&seen), IoEnd::Refused { status });
        until("its process is gone", || node.stats().process(socket.pid.local).is_none());
    }
    until("counted, on the client's side", || counters(&node).io_failed >= 6);
}

#[test]
fn a_subprotocol_is_chosen_and_early_frames_are_not_lost() {
    let node = node("wsproto", 1);
    let (tell, heads) = probe();
    let address = raw_server(move |_, mut stream| {
        // The first message comes in one piece with the handshake.
        let head = accept(&mut stream, "sec-websocket-protocol: v1\r\n", b"\x81\x05early");
        let mut frame = [0; 8];
        stream.read_exact(&mut frame).unwrap();
        tell.send((head, frame)).unwrap();
        drain(&stream);
    });
    let (_, socket, seen) = client(&node, to(address).subprotocol("v2").subprotocol("v1"));
    assert_eq!(connected(&seen).headers["sec-websocket-protocol"], "v1");
    assert!(matches!(seen.next(), Seen::Message(WsKind::Text, body) if body == b"early"));
    node.send(socket.id, WsMessage::text(socket.id, "hi")).unwrap();
    let (head, frame) = heads.next();
    assert_eq!(header(&head, "sec-websocket-protocol"), Some("v2, v1"));
    assert_eq!(header(&head, "host"), Some(address.to_string().as_str()));
    assert_eq!(frame[..2], [0x81, 0x82], "a client masks");
    let unmasked: Vec<u8> = frame[6..].iter().zip(&frame[2..6]).map(|(byte, mask)| byte ^ mask).collect();
    assert_eq!(unmasked, b"hi");
}

#[test]
fn a_server_that_breaks_the_handshake_is_left_for_a_reason() {
    let node = node("wsliar", 1);
    let answers: [&[u8]; 6] = [
        b"\x00\x01\x02garbage instead of a handshake\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: bm90IHlvdXIga2V5\r\n\r\n",
        b"HTTP/1.1 101 x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 x\r\nupgr",
        b"",
    ];
    for answer in answers {
        let address = raw_server(move |_, mut stream| {
            head(&mut stream);
            stream.write_all(answer).unwrap();
        });
        let (_, socket, seen) = client(&node, to(address));
        let end = end(&seen);
        assert!(matches!(end, IoEnd::Protocol { .. } | IoEnd::Reset), "{answer:?}: {end:?}");
        until("its process is gone", || node.stats().process(socket.pid.local).is_none());
        assert!(seen.try_next().is_none(), "it is told once");
    }
    let (_, _, seen) = client(&node, to(nobody()));
    assert!(matches!(end(&seen), IoEnd::Connect { .. }));
    until("counted", || {
        let counters = counters(&node);
        (counters.io_opened, counters.io_failed, counters.io_descriptors) == (6, 6, 0)
    });
}

#[test]
fn a_header_without_end_is_cut_by_its_limit() {
    let node = node("wsendless", 1);
    let before = resident();
    for line in ["x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(1000), "z".repeat(32 << 10)] {
        let (tell, sent) = probe();
        let address = raw_server(move |_, mut stream| {
            head(&mut stream);
            stream.write_all(b"HTTP/1.1 101 x\r\na: ").unwrap();
            tell.send(flood(&mut stream, line.as_bytes(), 64 << 20)).unwrap();
        });
        let (_, _, seen) = client(&node, to(address).max_header(10_000));
        let end = end(&seen);
        assert!(
            matches!(&end, IoEnd::Protocol { reason } if reason.contains("longer than allowed")),
            "{end:?}"
        );
        assert!(sent.next() < 64 << 20, "it is closed");
    }
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    until("counted", || counters(&node).io_failed == 2);
}

#[test]
fn a_server_that_never_answers_costs_its_time_and_no_more() {
    let node = node("wsmute", 1);
    let (tell, heads) = probe();
    let address = raw_server(move |_, mut stream| {
        tell.send(head(&mut stream)).unwrap();
        drain(&stream);
    });
    let (_, _, seen) = client(&node, to(address).connect_timeout(Duration::from_millis(200)));
    assert_eq!(end(&seen), IoEnd::TimedOut { what: "the response" });
    assert!(heads.next().starts_with("GET /ws HTTP/1.1\r\n"));
    // A close does not wait for it.
    let (_, socket, seen) = client(&node, to(address).connect_timeout(Duration::from_secs(3600)));
    heads.next();
    node.send(socket.id, WsMessage::text(socket.id, "in vain")).unwrap();
    node.send(socket.id, CloseIo).unwrap();
    assert_eq!(end(&seen), IoEnd::Local);
    // Nor does the end of its owner.
    let (owner, socket, _seen) = client(&node, to(address).connect_timeout(Duration::from_secs(3600)));
    heads.next();
    node.kill(owner);
    until("it ends with its owner", || node.stats().process(socket.pid.local).is_none());
    until("nothing is left", || counters(&node).io_descriptors == 0);
}

#[test]
fn frames_that_break_the_protocol_end_the_socket() {
    let node = node("wsframes", 1);
    let before = resident();
    let mut huge = vec![0x82, 127];
    huge.extend((1_u64 << 40).to_be_bytes());
    let fragments = [&[0x02, 126, 0x80, 0][..], &[9; 0x8000]].concat();
    let more = [&[0x00, 126, 0x80, 0][..], &[9; 0x8000]].concat();
    let cases: [(Vec<u8>, Vec<u8>); 5] = [
        (huge, vec![1; 65_536]),
        (fragments, more),
        (b"\x81\x85\x01\x02\x03\x04abcde".to_vec(), Vec::new()),
        (vec![0xff; 64], Vec::new()),
        (b"\x81\x02\xff\xfe".to_vec(), Vec::new()),
    ];
    for (number, (first, then)) in cases.into_iter().enumerate() {
        let (tell, sent) = probe();
        let address = raw_server(move |_, mut stream| {
            accept(&mut stream, "", &first);
            let sent = if then.is_empty() { 0 } else { flood(&mut stream, &then, 64 << 20) };
            tell.send(sent).unwrap();
            drain(&stream);
        });
        let (_, _, seen) = client(&node, to(address).max_message(100_000));
        connected(&seen);
        let end = end(&seen);
        assert!(matches!(end, IoEnd::Protocol { .. }), "case {number}: {end:?}");
        assert!(sent.next() < 64 << 20, "it is closed");
    }
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    until("counted", || (counters(&node).io_opened, counters(&node).io_failed) == (5, 5));
}

#[test]
fn a_flood_of_pings_is_taken_in_turns_and_answered_in_bounds() {
    let node = node("wsflood", 1);
    let before = resident();
    let (tell, sent) = probe();
    // It never reads the answers.
    let address = raw_server(move |_, mut stream| {
        accept(&mut stream, "", b"");
        let pings = [&[0x89, 125][..], &[7; 125]].concat().repeat(500);
        tell.send(flood(&mut stream, &pings, usize::MAX)).unwrap();
    });
    with_bystander(&node, || {
        let (_, socket, seen) = client(&node, to(address));
        connected(&seen);
        until("a flood has come", || counters(&node).io_bytes_in > 16 << 20);
        node.send(socket.id, CloseIo).unwrap();
        // The flood goes on over the close, which waits for its 5 seconds and no longer.
        assert_eq!(end(&seen), IoEnd::Local);
    });
    assert!(sent.next() > 16 << 20);
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
}

#[test]
fn a_socket_that_is_cut_inside_a_frame_is_no_ordinary_end() {
    let node = node("wscut", 1);
    let address = raw_server(|number, mut stream| {
        accept(&mut stream, "", if number == 0 { b"\x81\x05ear" } else { b"" });
    });
    for _ in 0..2 {
        let (_, _, seen) = client(&node, to(address));
        connected(&seen);
        assert_eq!(end(&seen), IoEnd::Reset);
    }
    until("counted", || counters(&node).io_failed == 2);
}

#[test]
fn a_server_that_answers_no_ping_is_given_up() {
    let node = node("wsdead", 1);
    let address = raw_server(|_, mut stream| {
        accept(&mut stream, "", b"");
        drain(&stream);
    });
    let (_, _, seen) = client(&node, to(address).ping_every(Duration::from_millis(100)));
    connected(&seen);
    assert_eq!(end(&seen), IoEnd::TimedOut { what: "the answer to a ping" });
}

#[test]
fn a_server_that_reads_nothing_ends_the_socket() {
    let node = node("wsdeaf", 1);
    let before = resident();
    let (hold, held) = probe::<TcpStream>();
    let address = raw_server(move |_, mut stream| {
        accept(&mut stream, "", b"");
        hold.send(stream).unwrap();
    });
    let (owner, socket, seen) = client(&node, to(address).max_pending(200_000));
    connected(&seen);
    let stream = held.next();
    while node.send(socket.id, WsMessage::binary(socket.id, vec![0; 50_000])).is_ok() {
        // What was sent is taken before there is more.
        node.call_blocking(owner, Ask).unwrap();
    }
    assert!(matches!(end(&seen), IoEnd::SlowPeer { limit: 200_000, .. }));
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    drop(stream);
}

#[test]
fn a_receiver_that_holds_messages_stops_the_server() {
    let node = node("wswindow", 1);
    let (tell, sent) = probe();
    let address = raw_server(move |_, mut stream| {
        accept(&mut stream, "", b"");
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let frame = [&[0x82, 126, 0x10, 0x00][..], &[5; 4096]].concat();
        tell.send(flood(&mut stream, &frame, 200 << 20)).unwrap();
        drain(&stream);
    });
    let spec = to(address).max_unhandled(100_000).ping_every(Duration::from_millis(100));
    let make =
        |tell| Talker { server: None, client: Some(spec), tell, echoes: false, held: Some(Vec::new()) };
    let (owner, seen) = talker(&node, SpawnOptions::new(), make);
    let Seen::Up(socket) = seen.next() else { panic!() };
    connected(&seen);
    assert!(sent.next() < 100 << 20, "the server is held back");
    assert!(counters(&node).io_held >= 1);
    node.send(owner, Release).unwrap();
    for _ in 0..24 {
        assert!(matches!(seen.next(), Seen::Message(WsKind::Binary, body) if body.len() == 4096));
    }
    node.kill(owner);
    until("it ends with its owner", || node.stats().process(socket.pid.local).is_none());
}

#[test]
fn options_of_a_websocket_that_make_no_sense_are_refused() {
    let node = node("wsoptions", 1);
    let tls = TlsClient::trusting(&Authority::new().pem()).unwrap();
    let fine = || WebSocketClient::open("ws://localhost/");
    for (option, spec) in [
        ("url", WebSocketClient::open("http://localhost/")),
        ("url", WebSocketClient::open("localhost:80")),
        ("url", WebSocketClient::open("wss://localhost/")),
        ("url", fine().tls(tls)),
        ("header", fine().header("Sec-WebSocket-Key", "mine")),
        ("header", fine().header("x", "a\r\nhost: b")),
        ("subprotocol", fine().subprotocol("a, b")),
        ("max_message", fine().max_message(0)),
        ("max_pending", fine().max_pending(0)),
        ("ping_every", fine().ping_every(Duration::ZERO)),
    ] {
        let make = |tell| Talker { server: None, client: Some(spec), tell, echoes: false, held: None };
        let (_, seen) = talker(&node, SpawnOptions::new(), make);
        let Seen::Refused(error) = seen.next() else { panic!("{option} was taken") };
        assert!(matches!(&error, IoError::BadOption { option: found, .. } if *found == option), "{error}");
    }
}
