//! An actor that starts an I/O process and tells what it hears of it.

use crate::support::{Probe, probe};
use shard_runtime::prelude::*;
use shard_runtime::{Io, IoEnd, IoProcess, TcpConnect, TcpData, TcpDisconnect};
use std::net::SocketAddr;
use std::sync::mpsc::Sender;

/// What an actor saw of its connections.
#[derive(Debug)]
pub(crate) enum Seen {
    Up(Io),
    Connect(TcpConnect),
    Data(Vec<u8>),
    Disconnect(TcpDisconnect),
    Down(String),
}

/// What it does with data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Tell,
    Echo,
    /// Keeps it, with its part of the window, until it is told to [`Release`] it.
    Hold,
}

pub(crate) struct Owner<S> {
    spec: Option<S>,
    tell: Sender<Seen>,
    mode: Mode,
    held: Vec<TcpData>,
}

/// Lets go of what is held, and tells what follows.
#[message(local)]
pub(crate) struct Release;

#[message(local)]
struct Last(String);

#[message(local, reply = usize)]
pub(crate) struct Held;

#[message(local, reply = ())]
pub(crate) struct Ask;

#[actor]
impl<S: IoProcess> Owner<S> {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(spec) = self.spec.take() {
            let io = cx.spawn_io(spec)?;
            cx.monitor(io.id)?;
            let _ = self.tell.send(Seen::Up(io));
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
        match self.mode {
            Mode::Hold => self.held.push(m),
            Mode::Echo => {
                let _closed = cx.send(m.id, m);
            }
            Mode::Tell => {
                let _ = self.tell.send(Seen::Data(m.data.to_vec()));
            }
        }
        Ok(())
    }

    #[handle]
    fn disconnect(&mut self, m: TcpDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Disconnect(m));
        Ok(())
    }

    #[handle]
    fn down(&mut self, m: Down, cx: &mut Context<'_>) -> ActorResult {
        // It has overtaken what came before it in a lower queue.
        let _ended = cx.send(cx.pid(), Last(m.reason.to_string()));
        Ok(())
    }

    #[handle]
    fn last(&mut self, m: Last, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Seen::Down(m.0));
        Ok(())
    }

    #[handle]
    fn release(&mut self, _: Release, _cx: &mut Context<'_>) -> ActorResult {
        self.mode = Mode::Tell;
        for m in self.held.drain(..) {
            let _ = self.tell.send(Seen::Data(m.data.to_vec()));
        }
        Ok(())
    }

    #[handle]
    fn held(&mut self, _: Held, _cx: &mut Context<'_>) -> Result<usize, ActorError> {
        Ok(self.held.iter().map(|m| m.data.len()).sum())
    }

    #[handle]
    fn ask(&mut self, _: Ask, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

/// Starts an owner with options.
pub(crate) fn owner_with<S: IoProcess>(
    node: &Node,
    spec: S,
    mode: Mode,
    options: SpawnOptions,
) -> (Pid, Io, Probe<Seen>) {
    let (tell, seen) = probe();
    let owner = move || Owner { spec: Some(spec), tell, mode, held: Vec::new() };
    let pid = node.spawn(owner, options).unwrap();
    let Seen::Up(io) = seen.next() else { panic!("the first news is that it is up") };
    (pid, io, seen)
}

/// Starts an owner on shard 0.
pub(crate) fn owner<S: IoProcess>(node: &Node, spec: S, mode: Mode) -> (Pid, Io, Probe<Seen>) {
    owner_with(node, spec, mode, SpawnOptions::new().on_shard(0))
}

/// An owner without an I/O process of its own: a receiver for others.
pub(crate) fn receiver(node: &Node, mode: Mode, options: SpawnOptions) -> (Pid, Probe<Seen>) {
    let (tell, seen) = probe();
    let owner = move || Owner::<shard_runtime::TcpServer> { spec: None, tell, mode, held: Vec::new() };
    (node.spawn(owner, options).unwrap(), seen)
}

/// The next connection that is there.
pub(crate) fn connected(seen: &Probe<Seen>) -> TcpConnect {
    loop {
        if let Seen::Connect(m) = seen.next() {
            return m;
        }
    }
}

/// Why the next connection that ends has ended.
pub(crate) fn disconnect(seen: &Probe<Seen>) -> IoEnd {
    loop {
        if let Seen::Disconnect(m) = seen.next() {
            return m.reason;
        }
    }
}

/// Data, until there are this many bytes.
pub(crate) fn data(seen: &Probe<Seen>, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        match seen.next() {
            Seen::Data(more) => all.extend(more),
            Seen::Disconnect(m) => panic!("{} after {} of {bytes} bytes", m.reason, all.len()),
            _ => {}
        }
    }
    all
}

pub(crate) fn address(io: &Io) -> SocketAddr {
    io.local.unwrap()
}
