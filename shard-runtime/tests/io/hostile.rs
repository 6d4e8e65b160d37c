//! Peers that lie, flood, vanish or do nothing: memory stays bounded, reasons are typed, others are served.
//!
//! Memory is that of this process, as the kernel tells it: `nextest` runs each test in a process of its own.

use crate::owner::{Ask, Mode, address, connected, disconnect, owner, receiver};
use crate::support::{connect, counters, node, now, until};
use shard_runtime::prelude::*;
use shard_runtime::{Chunk, IoEnd, TcpData, TcpServer};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// How much more memory an attack may take than the warm-up before it.
pub(crate) const GROWTH: usize = 48 << 20;

/// Resident bytes of this process.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// A process of the same shard that answers calls all the while, from another thread; each has its deadline.
pub(crate) fn with_bystander<R>(node: &Node, attack: impl FnOnce() -> R) -> R {
    let (pid, _quiet) = receiver(node, Mode::Tell, SpawnOptions::new().on_shard(0));
    let is_over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let ends = Arc::clone(&is_over);
        let calls = scope.spawn(move || {
            let mut answered = 0;
            // Once at least, however late this thread comes to run.
            loop {
                node.call_blocking_timeout(pid, Ask, Duration::from_secs(10)).expect("a bystander is served");
                answered += 1;
                if ends.load(SeqCst) {
                    return answered;
                }
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        is_over.store(true, SeqCst);
        assert!(calls.join().unwrap() > 0);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// One good exchange: whatever happened, others are served.
fn is_served(address: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

#[test]
fn a_frame_that_never_ends_is_cut_by_its_limit() {
    let node = node("endless", 1);
    let lines = TcpServer::bind("127.0.0.1:0").chunk(Chunk::lines());
    let (_, server, seen) = owner(&node, lines, Mode::Echo);
    is_served_line(address(&server));
    connected(&seen);
    disconnect(&seen);
    let before = resident();
    with_bystander(&node, || {
        for _ in 0..5 {
            let mut stream = connect(address(&server));
            let mut sent = 0_usize;
            while sent < 64 << 20 && stream.write_all(&[b'x'; 65_536]).is_ok() {
                sent += 65_536;
            }
            assert!(sent < 64 << 20, "it is never closed");
            assert!(matches!(disconnect(&seen), IoEnd::TooLarge { limit: 65_536, .. }));
        }
    });
    // A header that promises more than allowed is not believed, nor is memory taken for it.
    let framed = TcpServer::bind("127.0.0.1:0").chunk(Chunk::header(4));
    let (_, server, seen) = owner(&node, framed, Mode::Echo);
    for _ in 0..100 {
        let mut stream = connect(address(&server));
        stream.write_all(&[0xff; 4]).unwrap();
        assert_eq!(disconnect(&seen), IoEnd::TooLarge { length: 0xffff_ffff, limit: 16 << 20 });
    }
    // One that promises what is allowed and sends nothing holds nothing.
    let promised: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(address(&server));
            stream.write_all(&(16_u32 << 20).saturating_sub(4).to_be_bytes()).unwrap();
            connected(&seen);
            stream
        })
        .collect();
    is_served(address(&server), b"\0\0\0\x02ok");
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    until("counted", || counters(&node).io_failed == 105);
    drop(promised);
}

fn is_served_line(address: SocketAddr) {
    let mut stream = connect(address);
    stream.write_all(b"line\n").unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"line");
}

#[test]
fn a_frame_of_no_length_ends_its_connection() {
    let node = node("zero", 1);
    let chunk = Chunk::header(4).length_includes_header();
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0").chunk(chunk), Mode::Echo);
    let before = resident();
    with_bystander(&node, || {
        for _ in 0..20 {
            let mut stream = connect(address(&server));
            let _reset = stream.write_all(&[0; 100_000]);
            assert_eq!(disconnect(&seen), IoEnd::BadFrame { length: 0, header: 4 });
        }
    });
    is_served(address(&server), b"\0\0\0\x06ok");
    until("counted", || counters(&node).io_failed == 20);
    assert!(resident() < before + GROWTH, "no flood of empty messages");
}

#[test]
fn connections_that_are_opened_and_dropped_leave_nothing() {
    let node = node("churn", 1);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), Mode::Echo);
    let churn = |connections: usize| {
        for batch in 0..connections / 100 {
            let streams: Vec<TcpStream> = (0..100).map(|_| connect(address(&server))).collect();
            for (index, mut stream) in streams.into_iter().enumerate() {
                match index % 4 {
                    0 => drop(stream),
                    1 => stream.write_all(b"and away").unwrap(),
                    2 => stream.shutdown(Shutdown::Write).unwrap(),
                    _ => {
                        // Closed by a reset.
                        let socket = socket2::SockRef::from(&stream);
                        socket.set_linger(Some(Duration::ZERO)).unwrap();
                    }
                }
            }
            let _ = batch;
            while seen.try_next().is_some() {}
        }
    };
    churn(1000);
    until("the warm-up is over", || counters(&node).io_closed == counters(&node).io_opened);
    let before = resident();
    with_bystander(&node, || churn(10_000));
    until("all are closed", || {
        let counters = counters(&node);
        counters.io_opened + counters.io_refused == 11_000
            && counters.io_closed == counters.io_opened
            && counters.io_descriptors == 1
            && counters.io_tasks == 1
    });
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    is_served(address(&server), b"still here");
}

#[test]
fn garbage_is_only_bytes() {
    let node = node("garbage", 1);
    let chunk = Chunk::header(8).length_at(3, 4).max_length(10_000);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0").chunk(chunk), Mode::Tell);
    let mut state = 0x1234_5678_9abc_def0_u64;
    let before = resident();
    with_bystander(&node, || {
        for _ in 0..200 {
            let garbage: Vec<u8> = (0..5000)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let mut stream = connect(address(&server));
            let _reset = stream.write_all(&garbage);
            drop(stream);
            let end = disconnect(&seen);
            assert!(matches!(end, IoEnd::TooLarge { .. } | IoEnd::Closed | IoEnd::Reset), "{end:?}");
        }
    });
    assert!(resident() < before + GROWTH);
    assert_eq!(counters(&node).panics, 0);
}

#[test]
fn peers_that_never_read_cost_what_they_may() {
    let node = node("deaf", 1);
    let spec = TcpServer::bind("127.0.0.1:0").max_pending(100_000).max_unhandled(100_000);
    let (_, server, seen) = owner(&node, spec, Mode::Echo);
    is_served(address(&server), b"warm");
    disconnect(&seen);
    let before = resident();
    let mut streams: Vec<_> = (0..50).map(|_| connect(address(&server))).collect();
    with_bystander(&node, || {
        for stream in &mut streams {
            stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            let deadline = now() + Duration::from_secs(20);
            // Until it is closed, or takes no more.
            while stream.write(&[7; 65_536]).is_ok() {
                assert!(now() < deadline, "it takes everything");
            }
        }
    });
    assert!(resident() < before + GROWTH, "from {before} to {}", resident());
    is_served(address(&server), b"others are served");
}

#[test]
fn a_reset_while_it_is_written_to_is_a_reset() {
    let node = node("reset", 1);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0").max_pending(64 << 20), Mode::Tell);
    with_bystander(&node, || {
        for _ in 0..20 {
            let stream = connect(address(&server));
            let id = connected(&seen).id;
            node.send(id, TcpData { id, data: vec![5; 8 << 20].into() }).unwrap();
            let mut some = [0; 1000];
            (&stream).read_exact(&mut some).unwrap();
            // Unread bytes make the close a reset.
            drop(stream);
            let end = disconnect(&seen);
            assert_eq!(end, IoEnd::Reset);
        }
    });
    until("counted", || counters(&node).io_failed == 20);
}
