//! A TCP server that echoes lines, and a client of the same kind: both are I/O processes.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use shard_runtime::{Chunk, TcpClient, TcpConnect, TcpData, TcpDisconnect, TcpServer};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};

/// Owns the server; gets what all its connections read.
struct Echo {
    told: Sender<SocketAddr>,
}

#[actor]
impl Echo {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let server = cx.spawn_io(TcpServer::bind("127.0.0.1:0").chunk(Chunk::lines()))?;
        if let Some(address) = server.local {
            self.told.send(address)?;
        }
        Ok(())
    }

    #[handle]
    fn connected(&mut self, m: TcpConnect, cx: &mut Context<'_>) -> ActorResult {
        cx.log().info(format_args!("{} is there", m.remote));
        Ok(())
    }

    #[handle]
    fn line(&mut self, m: TcpData, cx: &mut Context<'_>) -> ActorResult {
        let mut line = m.data.to_vec();
        line.push(b'\n');
        // Whoever has gone meanwhile needs no answer.
        let _gone = cx.send(m.id, TcpData { id: m.id, data: line.into() });
        Ok(())
    }

    #[handle]
    fn disconnected(&mut self, m: TcpDisconnect, cx: &mut Context<'_>) -> ActorResult {
        cx.log().info(m.reason);
        Ok(())
    }
}

/// Sends two lines and tells what comes back.
struct Client {
    address: SocketAddr,
    told: Sender<String>,
}

#[actor]
impl Client {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.spawn_io(TcpClient::connect(self.address.to_string()).chunk(Chunk::lines()))?;
        Ok(())
    }

    #[handle]
    fn connected(&mut self, m: TcpConnect, cx: &mut Context<'_>) -> ActorResult {
        cx.send(m.id, TcpData { id: m.id, data: "one\ntwo\n".into() })?;
        Ok(())
    }

    #[handle]
    fn line(&mut self, m: TcpData, _cx: &mut Context<'_>) -> ActorResult {
        self.told.send(String::from_utf8_lossy(&m.data).into_owned())?;
        Ok(())
    }

    #[handle]
    fn disconnected(&mut self, m: TcpDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        Err(m.reason.into())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("echo@localhost").start()?;
    let (told, address) = channel();
    node.spawn(move || Echo { told }, SpawnOptions::named("echo"))?;
    let address = address.recv()?;
    let (told, lines) = channel();
    node.spawn(move || Client { address, told }, SpawnOptions::new())?;
    for expected in ["one", "two"] {
        let line = lines.recv()?;
        println!("{line}");
        assert_eq!(line, expected);
    }
    node.stop();
    Ok(())
}
