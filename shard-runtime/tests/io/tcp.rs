//! TCP servers, connections and clients.

use crate::owner::{Ask, Mode, Seen, address, connected, data, disconnect, owner, owner_with, receiver};
use crate::support::{connect, counters, node, until};
use shard_runtime::prelude::*;
use shard_runtime::testing::Bed;
use shard_runtime::{Backoff, Chunk, CloseIo, IoEnd, IoError, TcpClient, TcpData, TcpServer, WriteBytes};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

#[test]
fn an_echo_keeps_every_byte_in_order() {
    let node = node("echo", 2);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), Mode::Echo);
    let mut stream = connect(address(&server));
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| (n / 7) as u8).collect();
    let mut reader = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::Builder::new().spawn(move || {
        for piece in sent.chunks(70_001) {
            stream.write_all(piece).unwrap();
        }
        stream
    });
    let mut back = vec![0; bytes.len()];
    reader.read_exact(&mut back).unwrap();
    assert!(back == bytes, "what came back differs");
    let up = connected(&seen);
    assert_eq!((up.remote, up.local), (reader.local_addr().unwrap(), address(&server)));
    drop((writer.unwrap().join().unwrap(), reader));
    assert_eq!(disconnect(&seen), IoEnd::Closed);
    until("counted", || {
        let counters = counters(&node);
        (counters.io_opened, counters.io_closed, counters.io_failed) == (1, 1, 0)
            && counters.io_bytes_in == 4_000_000
            && counters.io_bytes_out == 4_000_000
    });
}

#[test]
fn small_messages_go_back_and_forth() {
    let node = node("small", 1);
    let (_, server, _seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), Mode::Echo);
    let mut streams: Vec<_> = (0..20).map(|_| connect(address(&server))).collect();
    for round in 0..50_u8 {
        for stream in &mut streams {
            stream.write_all(&[round; 5]).unwrap();
        }
        for stream in &mut streams {
            let mut back = [0; 5];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, [round; 5]);
        }
    }
}

#[test]
fn frames_are_handed_out_whole_however_they_come() {
    let node = node("frames", 1);
    let chunk = Chunk::header(4).max_length(1 << 20);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0").chunk(chunk), Mode::Tell);
    let mut stream = connect(address(&server));
    let frames: Vec<Vec<u8>> =
        [0_usize, 1, 5, 70_000, 300_000, 3].iter().map(|&n| vec![n as u8; n]).collect();
    let mut bytes = Vec::new();
    for frame in &frames {
        bytes.extend((frame.len() as u32).to_be_bytes());
        bytes.extend(frame);
    }
    for piece in bytes.chunks(3001) {
        stream.write_all(piece).unwrap();
    }
    connected(&seen);
    for frame in &frames {
        let Seen::Data(got) = seen.next() else { panic!("a frame is due") };
        assert!(got[4..] == frame[..], "{} bytes instead of {}", got.len(), frame.len());
    }
}

#[test]
fn a_client_connects_again_under_its_alias() {
    let node = node("again", 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpClient::connect(listener.local_addr().unwrap().to_string())
        .reconnect(Backoff::new(Duration::from_millis(5), Duration::from_millis(20)));
    let (_, client, seen) = owner(&node, client, Mode::Echo);
    for round in 0..3_u8 {
        let (mut stream, _) = listener.accept().unwrap();
        let up = connected(&seen);
        assert_eq!((up.id, up.remote), (client.id, listener.local_addr().unwrap()));
        stream.write_all(&[round; 9]).unwrap();
        let mut back = [0; 9];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [round; 9]);
        drop(stream);
        assert_eq!(disconnect(&seen), IoEnd::Closed);
    }
    // While nobody listens it goes on trying, without more news of the same end.
    let port = listener.local_addr().unwrap();
    let (stream, _) = listener.accept().unwrap();
    connected(&seen);
    drop((stream, listener));
    assert_eq!(disconnect(&seen), IoEnd::Closed);
    let written = node.call_blocking(client.id, WriteBytes("lost".into())).unwrap();
    assert!(matches!(written, Err(IoError::NotConnected)), "{written:?}");
    let listener = TcpListener::bind(port).unwrap();
    let (_stream, _) = listener.accept().unwrap();
    let Seen::Connect(up) = seen.next() else { panic!("the failed tries are no news") };
    assert_eq!(up.id, client.id);
}

#[test]
fn a_connection_that_cannot_be_made_says_why() {
    let node = node("refused", 1);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_, _, seen) = owner(&node, TcpClient::connect(free.to_string()), Mode::Tell);
    let IoEnd::Connect { address, reason } = disconnect(&seen) else { panic!("refused") };
    assert_eq!(address, free.to_string());
    assert!(reason.contains("refused"), "{reason}");
    let Seen::Down(why) = seen.next() else { panic!("and it ends") };
    assert!(why.contains(&free.to_string()), "{why}");

    let (_, _, seen) = owner(&node, TcpClient::connect("no-such-host.invalid:1"), Mode::Tell);
    assert!(matches!(disconnect(&seen), IoEnd::Connect { .. }));
    let (_, _, seen) = owner(&node, TcpClient::connect("no address"), Mode::Tell);
    assert!(matches!(disconnect(&seen), IoEnd::Connect { .. }));
}

#[test]
fn an_attempt_to_connect_has_a_limit() {
    let node = node("limit", 1);
    // A listener whose backlog is full lets nobody in.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let fill: Vec<_> = (0..4)
        .map(|_| {
            let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            filler.set_nonblocking(true).unwrap();
            let _pending = filler.connect(&address.into());
            filler
        })
        .collect();
    let client = TcpClient::connect(address.to_string()).connect_timeout(Duration::from_millis(50));
    let (_, _, seen) = owner(&node, client, Mode::Tell);
    assert_eq!(disconnect(&seen), IoEnd::TimedOut { what: "the connection attempt" });
    drop((fill, socket));
}

#[test]
fn a_write_is_answered_when_it_is_written() {
    let node = node("written", 1);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), Mode::Tell);
    let mut stream = connect(address(&server));
    let id = connected(&seen).id;
    node.call_blocking(id, WriteBytes("hello".into())).unwrap().unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
    // A peer that does not read: the answer is why it was not written.
    let big = vec![0_u8; 900_000];
    let node = &node;
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..12)
            .map(|_| {
                let big = big.clone();
                scope.spawn(move || {
                    node.call_blocking_timeout(id, WriteBytes(big.into()), Duration::from_secs(15))
                })
            })
            .collect();
        let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert!(
            answers.iter().any(|answer| matches!(answer, Ok(Err(IoError::Ended(IoEnd::SlowPeer { .. }))))),
            "{answers:?}"
        );
    });
    assert!(matches!(disconnect(&seen), IoEnd::SlowPeer { limit: 1_048_576, .. }));
}

#[test]
fn closing_writes_the_rest_first() {
    let node = node("close", 1);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0").max_pending(16 << 20), Mode::Tell);
    let mut stream = connect(address(&server));
    let id = connected(&seen).id;
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|n| (n / 3) as u8).collect();
    node.send(id, TcpData { id, data: bytes.clone().into() }).unwrap();
    node.send(id, CloseIo).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == bytes, "{} of {} bytes came", back.len(), bytes.len());
    drop(stream);
    assert_eq!(disconnect(&seen), IoEnd::Local);
    // A server that is closed takes its connections with it.
    let mut kept = connect(address(&server));
    connected(&seen);
    node.send(server.id, CloseIo).unwrap();
    assert_eq!(disconnect(&seen), IoEnd::Local);
    assert!(matches!(kept.read(&mut [0]), Ok(0) | Err(_)));
    until("nobody listens", || std::net::TcpStream::connect(address(&server)).is_err());
}

#[test]
fn io_processes_end_with_their_owner() {
    let node = node("orphans", 1);
    let (pid, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), Mode::Tell);
    let (receiver, heard) = receiver(&node, Mode::Tell, SpawnOptions::new());
    let mut streams: Vec<_> = (0..5).map(|_| connect(address(&server))).collect();
    for _ in 0..5 {
        connected(&seen);
    }
    node.kill(pid);
    for stream in &mut streams {
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        assert!(end.is_err() || rest.is_empty(), "closed, in order or not");
    }
    until("nobody listens", || std::net::TcpStream::connect(address(&server)).is_err());
    until("nothing is left", || {
        let counters = counters(&node);
        counters.io_opened == 5
            && counters.io_closed == 5
            && counters.io_tasks == 0
            && counters.io_descriptors == 0
    });
    // The receiver of another owner's connection hears of its end, however that owner ended.
    let (pid, server, _seen) = owner(&node, TcpServer::bind("127.0.0.1:0").to(receiver), Mode::Tell);
    let _stream = connect(address(&server));
    connected(&heard);
    node.kill(pid);
    assert!(matches!(disconnect(&heard), IoEnd::Ended { .. } | IoEnd::Local));
}

#[test]
fn receivers_take_connections_in_turn() {
    let node = node("turns", 2);
    let (_first, one) = receiver(&node, Mode::Tell, SpawnOptions::named("first").on_shard(0));
    let (second, two) = receiver(&node, Mode::Echo, SpawnOptions::new().on_shard(1));
    let spec = TcpServer::bind("127.0.0.1:0").to("first").to(second);
    let (_, server, _) = owner(&node, spec, Mode::Tell);
    let mut streams: Vec<_> = (0..4).map(|_| connect(address(&server))).collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&[index as u8; 3]).unwrap();
    }
    let mut firsts = data(&one, 6);
    firsts.sort_unstable();
    assert_eq!(firsts, [0, 0, 0, 2, 2, 2]);
    for index in [1, 3] {
        let mut back = [9; 3];
        streams[index].read_exact(&mut back).unwrap();
        assert_eq!(back, [index as u8; 3], "across shards and back");
    }
    connected(&two);
    connected(&two);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted() {
    let node = node("full", 1);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0").max_connections(2), Mode::Echo);
    let first = connect(address(&server));
    let _second = connect(address(&server));
    connected(&seen);
    connected(&seen);
    let mut third = connect(address(&server));
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "closed at once");
    until("counted", || counters(&node).io_refused == 1);
    first.shutdown(Shutdown::Both).unwrap();
    disconnect(&seen);
    until("a place is free", || {
        let mut next = connect(address(&server));
        let _gone = next.write_all(b"x");
        next.read(&mut [0]).is_ok_and(|read| read == 1)
    });
}

#[test]
fn two_shards_share_one_port() {
    let node = node("shared", 2);
    let (_, first, one) = owner(&node, TcpServer::bind("127.0.0.1:0").reuse_port(), Mode::Echo);
    let spec = TcpServer::bind(address(&first).to_string()).reuse_port();
    let (_, second, two) = owner_with(&node, spec, Mode::Echo, SpawnOptions::new().on_shard(1));
    assert_eq!(first.local, second.local);
    let mut streams: Vec<_> = (0..64).map(|_| connect(address(&first))).collect();
    for stream in &mut streams {
        stream.write_all(b"both").unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).unwrap();
    }
    connected(&one);
    connected(&two);
    let taken = TcpServer::bind(address(&first).to_string());
    let (tell, seen) = crate::support::probe();
    node.spawn(move || Refused { spec: Some(taken), tell }, SpawnOptions::new()).unwrap();
    assert!(matches!(seen.next(), IoError::Listen { .. }));
}

/// Tells why an I/O process could not be started.
struct Refused<S> {
    spec: Option<S>,
    tell: std::sync::mpsc::Sender<IoError>,
}

#[actor]
impl<S: shard_runtime::IoProcess> Refused<S> {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(spec) = self.spec.take()
            && let Err(error) = cx.spawn_io(spec)
        {
            let _ = self.tell.send(error);
        }
        Ok(())
    }
}

#[test]
fn options_and_addresses_that_make_no_sense_are_refused() {
    let node = node("senseless", 1);
    let why = |spec: TcpServer| {
        let (tell, seen) = crate::support::probe();
        node.spawn(move || Refused { spec: Some(spec), tell }, SpawnOptions::new()).unwrap();
        seen.next()
    };
    assert!(matches!(why(TcpServer::bind("nowhere")), IoError::BadAddress { .. }));
    let bind = || TcpServer::bind("127.0.0.1:0");
    for spec in [
        bind().max_unhandled(0),
        bind().max_pending(0),
        bind().idle_timeout(Duration::ZERO),
        bind().keep_alive("", Duration::from_secs(1)),
        bind().chunk(Chunk::fixed(0)),
    ] {
        assert!(matches!(why(spec), IoError::BadOption { .. }));
    }
}

#[test]
fn a_simulation_has_no_io() {
    let mut bed = Bed::new(1).unwrap();
    let (tell, seen) = crate::support::probe();
    let (tell_too, seen_too) = crate::support::probe();
    bed.spawn(move || Refused { spec: Some(TcpServer::bind("127.0.0.1:0")), tell }, SpawnOptions::new())
        .unwrap();
    let client = TcpClient::connect("127.0.0.1:1");
    bed.spawn(move || Refused { spec: Some(client), tell: tell_too }, SpawnOptions::new()).unwrap();
    bed.run();
    assert!(matches!(seen.next(), IoError::NoReactor));
    assert!(matches!(seen_too.next(), IoError::NoReactor));
}

#[test]
fn a_process_with_its_own_thread_has_io_too() {
    let node = node("own", 2);
    let options = SpawnOptions::new().on_shard(1).dedicated_thread();
    let (pid, server, seen) = owner_with(&node, TcpServer::bind("127.0.0.1:0"), Mode::Echo, options);
    let mut stream = connect(address(&server));
    let bytes = vec![7; 600_000];
    let mut reader = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::Builder::new().spawn(move || stream.write_all(&sent).map(|()| stream));
    let mut back = vec![0; bytes.len()];
    reader.read_exact(&mut back).unwrap();
    assert!(back == bytes);
    connected(&seen);
    node.kill(pid);
    assert!(matches!(reader.read(&mut [0]), Ok(0) | Err(_)), "it ends with its owner");
    drop(writer);
}

#[test]
fn inspection_shows_where_a_connection_goes() {
    let node = node("inspect", 1);
    let (pid, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), Mode::Echo);
    let mut stream = connect(address(&server));
    stream.write_all(b"12345").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    connected(&seen);
    let inspect = |pid| node.inspect_blocking(pid, Vec::new(), Duration::from_secs(5)).unwrap();
    let entry = |entries: &[(String, String)], key: &str| {
        entries.iter().find(|(found, _)| found == key).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let shown = inspect(server.pid);
    assert_eq!(entry(&shown, "listener"), address(&server).to_string());
    assert_eq!(entry(&shown, "connections"), "1");
    assert!(node.call_blocking(pid, Ask).is_ok());
    let client = TcpClient::connect(address(&server).to_string()).to(pid);
    let (_, client, _heard) = owner(&node, client, Mode::Tell);
    let up = loop {
        let up = connected(&seen);
        if up.id == client.id {
            break up;
        }
    };
    node.call_blocking(client.id, WriteBytes("12345".into())).unwrap().unwrap();
    // The server's side sends it back, and so does this one, for ever; but it goes on counting.
    until("it is counted", || entry(&inspect(client.pid), "bytes in").parse::<u64>().unwrap() >= 5);
    let shown = inspect(client.pid);
    assert_eq!(entry(&shown, "remote"), address(&server).to_string());
    assert_eq!(entry(&shown, "local"), up.local.to_string());
    assert!(entry(&shown, "bytes out").parse::<u64>().unwrap() >= 5);
    assert_eq!(entry(&shown, "tls"), "false");
    assert!(entry(&shown, "process").contains("Pid"), "{shown:?}");
}

/// Sends itself messages for ever.
#[derive(Default)]
struct Busy;

#[message(local)]
struct Again;

#[actor]
impl Busy {
    #[handle]
    fn again(&mut self, m: Again, cx: &mut Context<'_>) -> ActorResult {
        cx.send(cx.pid(), m)?;
        Ok(())
    }
}

#[test]
fn an_echo_goes_on_beside_a_busy_process() {
    let node = node("busy", 1);
    let busy = node.spawn(Busy::default, SpawnOptions::new()).unwrap();
    node.send(busy, Again).unwrap();
    let (_, server, _seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), Mode::Echo);
    let mut stream = connect(address(&server));
    for round in 0..500_u32 {
        stream.write_all(&round.to_le_bytes()).unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, round.to_le_bytes());
    }
    node.kill(busy);
}
