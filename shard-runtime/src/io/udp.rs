//! UDP sockets.
//!
//! Owns: the socket, and the datagrams that wait to be sent. Invariants: U1 a datagram is handed out whole or not at all. U2 what
//! is dropped, in either direction, is counted in `io_dropped`. U3 nothing waits for a receiver: what it has no room for is
//! dropped, as the network would.
//! Cost: one system call per datagram.

use crate::actor::{Context, Inspect};
use crate::error::{ActorResult, ExitReason, IoEnd, IoError};
use crate::io::open::{Ident, Io, IoProcess, Opener};
use crate::io::target::Sent;
use crate::io::{CloseIo, IoBytes, IoTarget, UdpPacket, Window};
use crate::reactor::poller::Watched;
use crate::shard::{Shard, Task, on_shard, with_current};
use bytes::Bytes;
use rustix::net::{RecvFlags, recvfrom};
use shard_runtime_macros::{actor, handle};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

/// Longest payload of a datagram over IPv4.
const LONGEST: usize = 65_507;
/// Datagrams read, and sent, before others get their turn.
const PACKETS: usize = 64;
/// Errors in a row after which a socket is given up.
const ERRORS: u32 = 64;

/// A UDP socket, to be started with [`Context::spawn_io`].
///
/// Its receiver gets a [`UdpPacket`] for each datagram; a [`UdpPacket`] sent to it goes to the address that it names. Nothing waits:
/// a datagram that comes while too much is unhandled, that its receiver has no room for, that is longer than
/// [`max_packet`](UdpServer::max_packet) or that the system does not take is dropped and counted (`io_dropped`). The socket lives as
/// long as its owner, whether its receiver exists or not.
#[derive(Clone, Debug)]
pub struct UdpServer {
    address: String,
    target: Option<IoTarget>,
    window: usize,
    max_packet: usize,
    max_pending: usize,
    reuse_port: bool,
}

impl UdpServer {
    /// A socket on this address, an IP address and a port; port 0 is any free one.
    #[must_use]
    pub fn bind(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            target: None,
            window: 1 << 20,
            max_packet: 65_000,
            max_pending: 1 << 20,
            reuse_port: false,
        }
    }

    /// Sets the receiver. Default: the process that starts it.
    #[must_use]
    pub fn to(mut self, target: impl Into<IoTarget>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Sets how many bytes that were read may be unhandled before datagrams are dropped; each counts 64 bytes more than it has.
    /// Default 1 MiB.
    #[must_use]
    pub fn max_unhandled(mut self, bytes: usize) -> Self {
        self.window = bytes;
        self
    }

    /// Sets the longest datagram that is taken, 1 to 65,507 bytes. Longer ones are dropped, never cut. Default 65,000.
    #[must_use]
    pub fn max_packet(mut self, bytes: usize) -> Self {
        self.max_packet = bytes;
        self
    }

    /// Sets how many bytes may wait to be sent before further datagrams are dropped. Default 1 MiB.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = bytes;
        self
    }

    /// Lets other sockets have the same address: the system spreads peers over them.
    #[must_use]
    pub fn reuse_port(mut self) -> Self {
        self.reuse_port = true;
        self
    }

    fn check(&self) -> Result<(), IoError> {
        let bad = |option, value: usize, must_be| {
            Err(IoError::BadOption { option, value: value.to_string(), must_be })
        };
        if !(1..=LONGEST).contains(&self.max_packet) {
            return bad("max_packet", self.max_packet, "1 to 65,507 bytes");
        }
        if self.window == 0 {
            return bad("max_unhandled", 0, "at least 1 byte");
        }
        if self.max_pending == 0 {
            return bad("max_pending", 0, "at least 1 byte");
        }
        Ok(())
    }
}

impl IoProcess for UdpServer {
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError> {
        self.check()?;
        let poller = opener.shard.poller()?;
        let (socket, local) = bind(&self.address, self.reuse_port)?;
        let socket = Watched::new(poller, socket)?;
        let target = self.target.unwrap_or_else(|| opener.owner().into());
        let make = |ident| UdpProcess {
            udp: Rc::new(Udp {
                ident,
                target,
                socket,
                local,
                window: Window::new(self.window),
                max_packet: self.max_packet,
                max_pending: self.max_pending,
                queue: RefCell::default(),
                pending: Cell::new(0),
                waker: Cell::new(None),
                counts: Counts::default(),
            }),
            task: None,
        };
        opener.spawn(make, Some(local))
    }
}

fn bind(address: &str, reuse_port: bool) -> Result<(UdpSocket, SocketAddr), IoError> {
    let parsed: SocketAddr =
        address.parse().map_err(|_| IoError::BadAddress { address: address.to_owned() })?;
    let binding = || {
        let socket = Socket::new(Domain::for_address(parsed), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(reuse_port)?;
        socket.set_nonblocking(true)?;
        socket.bind(&parsed.into())?;
        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok((socket, local))
    };
    binding().map_err(|source| IoError::Listen { address: address.to_owned(), source })
}

#[derive(Default)]
struct Counts {
    packets_in: Cell<u64>,
    packets_out: Cell<u64>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    dropped_in: Cell<u64>,
    dropped_out: Cell<u64>,
    truncated: Cell<u64>,
}

fn add(cell: &Cell<u64>, value: u64) {
    cell.set(cell.get() + value);
}

/// What the process and its task share.
struct Udp {
    ident: Rc<Ident>,
    target: IoTarget,
    socket: Watched<UdpSocket>,
    local: SocketAddr,
    window: Arc<Window>,
    max_packet: usize,
    max_pending: usize,
    queue: RefCell<VecDeque<(SocketAddr, IoBytes)>>,
    /// Bytes in the queue.
    pending: Cell<usize>,
    waker: Cell<Option<Waker>>,
    counts: Counts,
}

impl Udp {
    fn dropped(&self, shard: &Shard, cell: &Cell<u64>) {
        add(cell, 1);
        shard.count(|cells| &cells.io_dropped, 1);
    }

    fn push(&self, shard: &Shard, packet: UdpPacket) {
        // An empty datagram takes its place, too.
        let cost = packet.data.len() + 64;
        if self.pending.get() + cost > self.max_pending {
            return self.dropped(shard, &self.counts.dropped_out);
        }
        self.pending.set(self.pending.get() + cost);
        self.queue.borrow_mut().push_back((packet.address, packet.data));
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Sends what waits. Whether there is more to do at once.
    fn send(&self, shard: &Shard, task: &TaskContext<'_>) -> bool {
        for _ in 0..PACKETS {
            let Some((address, data)) = self.queue.borrow_mut().pop_front() else { return false };
            match self.socket.poll_write(task, |socket| socket.send_to(&data, address)) {
                Poll::Pending => {
                    self.queue.borrow_mut().push_front((address, data));
                    return false;
                }
                Poll::Ready(Ok(bytes)) => {
                    add(&self.counts.packets_out, 1);
                    add(&self.counts.bytes_out, bytes as u64);
                    shard.count(|cells| &cells.io_bytes_out, bytes as u64);
                }
                // Too long, no way there, refused by an earlier peer: the next one may go.
                Poll::Ready(Err(_)) => self.dropped(shard, &self.counts.dropped_out),
            }
            self.pending.set(self.pending.get().saturating_sub(data.len() + 64));
        }
        true
    }

    /// Reads what is there. Whether there is more to do at once.
    fn receive(&self, shard: &Shard, task: &TaskContext<'_>, errors: &mut u32) -> Result<bool, IoEnd> {
        for _ in 0..PACKETS {
            let read = shard.with_scratch(|buffer| {
                let buffer = buffer.get_mut(..self.max_packet).unwrap_or_default();
                let read = self
                    .socket
                    .poll_read(task, |socket| Ok(recvfrom(socket, &mut *buffer, RecvFlags::TRUNC)?));
                read.map_ok(|(_, length, address)| {
                    (buffer.get(..length).map(Bytes::copy_from_slice), address, length)
                })
            });
            let (data, address, length) = match read {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => {
                    *errors += 1;
                    if *errors == ERRORS {
                        return Err(error.into());
                    }
                    continue;
                }
            };
            *errors = 0;
            add(&self.counts.packets_in, 1);
            add(&self.counts.bytes_in, length as u64);
            shard.count(|cells| &cells.io_bytes_in, length as u64);
            let Some(data) = data else {
                add(&self.counts.truncated, 1);
                self.dropped(shard, &self.counts.dropped_in);
                continue;
            };
            let address = address.and_then(|address| SocketAddr::try_from(address).ok());
            let Some(address) = address.filter(|_| self.window.is_open(task.waker())) else {
                self.dropped(shard, &self.counts.dropped_in);
                continue;
            };
            let data = IoBytes::leased(data, &self.window);
            match self.target.send(shard, UdpPacket { id: self.ident.alias(), address, data }) {
                Sent::Yes => {}
                Sent::Full(_) | Sent::Gone => self.dropped(shard, &self.counts.dropped_in),
            }
        }
        Ok(true)
    }

    fn poll(&self, task: &TaskContext<'_>, errors: &mut u32) -> Poll<IoEnd> {
        self.waker.set(Some(task.waker().clone()));
        with_current(|shard| {
            let Some(shard) = shard else { return Poll::Ready(IoEnd::Local) };
            let sends = self.send(shard, task);
            match self.receive(shard, task, errors) {
                Err(end) => Poll::Ready(end),
                Ok(receives) => {
                    if sends || receives {
                        task.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        })
    }
}

/// The process of a socket.
struct UdpProcess {
    udp: Rc<Udp>,
    task: Option<Task>,
}

#[actor(crate = shard_runtime)]
impl UdpProcess {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let (udp, owner) = (Rc::clone(&self.udp), cx.pid().local.0);
        cx.shard().count(|cells| &cells.io_opened, 1);
        self.task = Some(cx.shard().spawn_task(owner, async move {
            let mut errors = 0;
            let end = std::future::poll_fn(|task| udp.poll(task, &mut errors)).await;
            on_shard(|shard| {
                shard.count(|cells| &cells.io_failed, 1);
                shard.end_process(udp.ident.local(), ExitReason::custom(end));
            });
        }));
        Ok(())
    }

    #[handle]
    fn packet(&mut self, m: UdpPacket, cx: &mut Context<'_>) -> ActorResult {
        self.udp.push(cx.shard(), m);
        Ok(())
    }

    #[handle]
    fn close(&mut self, _: CloseIo, cx: &mut Context<'_>) -> ActorResult {
        // What the system takes at once; a datagram is owed no more.
        let task = TaskContext::from_waker(Waker::noop());
        while self.udp.send(cx.shard(), &task) {}
        Err(crate::error::ActorError::normal())
    }

    fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<'_>) {
        drop(self.task.take());
        let lost = self.udp.queue.take().len() as u64;
        cx.shard().count(|cells| &cells.io_dropped, lost);
        cx.shard().count(|cells| &cells.io_closed, 1);
    }

    fn inspect(&self, out: &mut Inspect) {
        let counts = &self.udp.counts;
        out.set("socket", self.udp.local);
        out.set("process", format_args!("{:?}", self.udp.target));
        for (key, cell) in [
            ("packets in", &counts.packets_in),
            ("packets out", &counts.packets_out),
            ("bytes in", &counts.bytes_in),
            ("bytes out", &counts.bytes_out),
            ("dropped in", &counts.dropped_in),
            ("dropped out", &counts.dropped_out),
            ("truncated", &counts.truncated),
        ] {
            out.set(key, cell.get());
        }
        out.set("bytes pending", self.udp.pending.get());
    }
}
