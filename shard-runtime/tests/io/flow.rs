//! Bounds of connections: what is unhandled, what waits to be written, silence.

use crate::owner::{Ask, Held, Mode, Release, Seen, address, connected, data, disconnect, owner, receiver};
use crate::support::{connect, counters, node, until};
use shard_runtime::prelude::*;
use shard_runtime::{Chunk, IoEnd, TcpData, TcpServer};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Writes until the peer takes no more; how much it took.
fn fill(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut total = 0;
    loop {
        match stream.write(&[1; 65_536]) {
            Ok(written) => total += written,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return total;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(total < 200 << 20, "nothing holds the peer back");
    }
}

#[test]
fn a_receiver_that_holds_data_stops_its_peer() {
    for chunk in [None, Some(Chunk::fixed(1000))] {
        let node = node("window", 2);
        let mut spec = TcpServer::bind("127.0.0.1:0").max_unhandled(100_000);
        if let Some(chunk) = chunk {
            spec = spec.chunk(chunk);
        }
        let (pid, server, seen) = owner(&node, spec, Mode::Hold);
        let mut stream = connect(address(&server));
        let total = fill(&mut stream);
        let held = node.call_blocking(pid, Held).unwrap();
        assert!((80_000..=100_000 + 65_536).contains(&held), "{held} bytes are unhandled");
        assert!(counters(&node).io_held >= 1);
        node.send(pid, Release).unwrap();
        let whole = total / 1000 * 1000;
        assert!(data(&seen, whole).iter().all(|&byte| byte == 1));
        // And it goes on.
        stream.write_all(&[1; 2000]).unwrap();
        data(&seen, 2000);
    }
}

#[test]
fn a_receiver_with_a_bounded_mailbox_loses_nothing() {
    let node = node("bounded", 2);
    let (pid, seen) = receiver(&node, Mode::Echo, SpawnOptions::new().on_shard(1).with_mailbox(2));
    let spec = TcpServer::bind("127.0.0.1:0").to(pid).chunk(Chunk::header(2));
    let (_, server, _own) = owner(&node, spec, Mode::Tell);
    let mut stream = connect(address(&server));
    let mut bytes = Vec::new();
    for number in 0..2000_u32 {
        bytes.extend([0, 4]);
        bytes.extend(number.to_be_bytes());
    }
    let mut reader = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::Builder::new().spawn(move || stream.write_all(&sent).map(|()| stream)).unwrap();
    let mut back = vec![0; bytes.len()];
    reader.read_exact(&mut back).unwrap();
    assert!(back == bytes, "in order, and all of it");
    connected(&seen);
    drop(writer.join().unwrap().unwrap());
}

#[test]
fn a_peer_that_does_not_read_is_closed() {
    let node = node("slow", 1);
    let (pid, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0").max_pending(200_000), Mode::Tell);
    let stream = connect(address(&server));
    let id = connected(&seen).id;
    let end = loop {
        let sent = node.send(id, TcpData { id, data: vec![0; 50_000].into() });
        node.call_blocking(pid, Ask).unwrap();
        if sent.is_err() {
            break disconnect(&seen);
        }
    };
    let IoEnd::SlowPeer { pending, limit: 200_000 } = end else { panic!("{end:?}") };
    assert!(pending > 200_000);
    until("counted", || counters(&node).io_failed == 1);
    drop(stream);
}

#[test]
fn silence_ends_a_connection_if_it_is_told_to() {
    let node = node("idle", 1);
    let spec = TcpServer::bind("127.0.0.1:0").idle_timeout(Duration::from_millis(400));
    let (_, server, seen) = owner(&node, spec, Mode::Tell);
    let mut stream = connect(address(&server));
    for _ in 0..4 {
        stream.write_all(b"alive").unwrap();
        data(&seen, 5);
    }
    assert_eq!(disconnect(&seen), IoEnd::TimedOut { what: "the wait for data" });
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn data_that_waits_for_its_receiver_is_no_silence() {
    let node = node("patient", 1);
    let spec = TcpServer::bind("127.0.0.1:0").idle_timeout(Duration::from_millis(100)).max_unhandled(10_000);
    let (pid, server, seen) = owner(&node, spec, Mode::Hold);
    let mut stream = connect(address(&server));
    // Longer than the time allowed, for the filling itself waits for it.
    let total = fill(&mut stream);
    node.send(pid, Release).unwrap();
    data(&seen, total);
    assert_eq!(disconnect(&seen), IoEnd::TimedOut { what: "the wait for data" });
}

#[test]
fn bytes_are_written_into_the_silence() {
    let node = node("alive", 1);
    let spec = TcpServer::bind("127.0.0.1:0").keep_alive("ping\n", Duration::from_millis(20));
    let (_, server, _seen) = owner(&node, spec, Mode::Tell);
    let mut stream = connect(address(&server));
    let mut back = [0; 15];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ping\nping\nping\n");
}

#[test]
fn a_peer_that_has_ended_its_side_still_gets_its_answers() {
    let node = node("half", 2);
    let (pid, _heard) = receiver(&node, Mode::Echo, SpawnOptions::new().on_shard(1));
    let (_, server, _seen) = owner(&node, TcpServer::bind("127.0.0.1:0").to(pid), Mode::Tell);
    for size in [1, 1000, 3_000_000] {
        let mut stream = connect(address(&server));
        let bytes = vec![3; size];
        let mut reader = stream.try_clone().unwrap();
        let sent = bytes.clone();
        let writer = std::thread::Builder::new().spawn(move || {
            stream.write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).unwrap();
        assert!(back == bytes, "{} of {size} bytes came back", back.len());
        drop(writer.unwrap().join().unwrap());
    }
    until("all are closed in order", || {
        let counters = counters(&node);
        counters.io_closed == 3 && counters.io_failed == 0
    });
}

#[test]
fn a_receiver_that_does_not_exist_ends_the_connection() {
    let node = node("nobody", 1);
    let (_, server, _seen) = owner(&node, TcpServer::bind("127.0.0.1:0").to("nobody"), Mode::Tell);
    let mut stream = connect(address(&server));
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    let (pid, seen) = receiver(&node, Mode::Tell, SpawnOptions::named("somebody"));
    let (_, server, _own) = owner(&node, TcpServer::bind("127.0.0.1:0").to("somebody"), Mode::Tell);
    let mut stream = connect(address(&server));
    connected(&seen);
    node.kill(pid);
    until("it is gone", || node.whereis("somebody").is_none());
    stream.write_all(b"anybody?").unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    until("both are counted", || counters(&node).io_failed == 2);
    assert!(!matches!(seen.try_next(), Some(Seen::Data(_))));
}
