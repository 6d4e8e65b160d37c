//! TCP servers, connections and clients.

use crate::support::{Probe, connect, counters, node, probe, until};
use shard_runtime::prelude::*;
use shard_runtime::{
    Backoff, Chunk, CloseIo, Io, IoEnd, IoError, TcpClient, TcpConnect, TcpData, TcpDisconnect, TcpServer,
    WriteBytes,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// What an actor saw of its connections.
#[derive(Debug)]
enum Seen {
    Up(Io),
    Connect(TcpConnect),
    Data(Vec<u8>),
    Disconnect(TcpDisconnect),
}

/// Starts an I/O process and tells what it hears of it; echoes what it is told to.
struct Owner<S> {
    spec: Option<S>,
    tell: Sender<Seen>,
    echoes: bool,
    holds: Option<Vec<TcpData>>,
}

#[message(local)]
struct Release;

#[actor]
impl<S: shard_runtime::IoProcess> Owner<S> {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(spec) = self.spec.take() {
            let _ = self.tell.send(Seen::Up(cx.spawn_io(spec)?));
        }
        Ok(())
    }

    #[handle]
    fn connect(&mut self, m: TcpConnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Connect(m));
        Ok(())
    }

    #[handle]
    fn data(&mut self, m: TcpData, cx: &mut Context<'_>) -> ActorResult {
        if let Some(held) = &mut self.holds {
            held.push(m);
            return Ok(());
        }
        if self.echoes {
            let _closed = cx.send(m.id, m);
        } else {
            let _ = self.tell.send(Seen::Data(m.data.to_vec()));
        }
        Ok(())
    }

    #[handle]
    fn disconnect(&mut self, m: TcpDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Disconnect(m));
        Ok(())
    }

    #[handle]
    fn release(&mut self, _: Release, _cx: &mut Context<'_>) -> ActorResult {
        self.holds = None;
        Ok(())
    }
}

fn owner<S: shard_runtime::IoProcess>(node: &Node, spec: S, echoes: bool) -> (Pid, Io, Probe<Seen>) {
    let (tell, seen) = probe();
    let owner = move || Owner { spec: Some(spec), tell, echoes, holds: None };
    let pid = node.spawn(owner, SpawnOptions::new().on_shard(0)).unwrap();
    let Seen::Up(io) = seen.next() else { panic!() };
    (pid, io, seen)
}

fn disconnect(seen: &Probe<Seen>) -> IoEnd {
    loop {
        if let Seen::Disconnect(m) = seen.next() {
            return m.reason;
        }
    }
}

fn address(io: &Io) -> SocketAddr {
    io.local.unwrap()
}

#[test]
fn an_echo_keeps_every_byte_in_order() {
    let node = node("echo", 2);
    let (_, server, seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), true);
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
    let Seen::Connect(up) = seen.next() else { panic!() };
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
    let (_, server, _seen) = owner(&node, TcpServer::bind("127.0.0.1:0"), true);
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
