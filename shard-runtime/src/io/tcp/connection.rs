//! One connection: the process that stands for it, and the task that reads and writes it.
//!
//! Owns: the socket, what was read and is no whole frame yet, what waits to be written. Invariants: N1 whoever gets
//! [`TcpConnect`] gets [`TcpDisconnect`] once, after the last data. N2 nothing is read while the window is full or the receiver
//! has no room, so the memory of a connection is bounded by its options. N3 both sides of the socket are served by one task,
//! which never blocks.
//! Cost: one read and one write per readiness of the socket; an allocation for what was read and one for its message.

use crate::actor::{Context, Inspect, ReplyTo};
use crate::error::{ActorResult, ExitReason, IoEnd, IoError};
use crate::io::open::Ident;
use crate::io::stream::Stream;
use crate::io::target::Sent;
use crate::io::tcp::client::Dial;
use crate::io::tcp::options::Options;
use crate::io::tcp::outbox::{Outbox, Written};
use crate::io::tcp::server::Open;
use crate::io::{CloseIo, IoBytes, IoTarget, TcpConnect, TcpData, TcpDisconnect, Window, WriteBytes};
use crate::shard::{Pause, Shard, Task, on_shard, with_current};
use bytes::{Bytes, BytesMut};
use shard_runtime_macros::{actor, handle};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

/// How long a connection that is closed in order may take to write what waits.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// Reads of one connection before others get their turn.
const READS: usize = 8;
/// How long a receiver may take to handle what came before the peer ended its side.
const HANDLED: Duration = Duration::from_secs(1);
/// How long the answers to it may be on their way after that.
const SETTLE: Duration = Duration::from_millis(10);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// First and longest pause before a receiver without room is tried again.
const RETRY: Duration = Duration::from_millis(1);
const LONGEST_RETRY: Duration = Duration::from_millis(64);

/// What the process and its task share.
pub(crate) struct Conn {
    pub(crate) ident: Rc<Ident>,
    pub(crate) target: IoTarget,
    pub(crate) options: Options,
    pub(crate) stream: RefCell<Option<Stream>>,
    outbox: RefCell<Outbox>,
    window: Arc<Window>,
    waker: Cell<Option<Waker>>,
    is_closing: Cell<bool>,
    /// The receiver knows of the connection.
    is_known: Cell<bool>,
    end: RefCell<Option<IoEnd>>,
    addresses: Cell<Option<(SocketAddr, SocketAddr)>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

impl Conn {
    pub(crate) fn new(ident: Rc<Ident>, target: IoTarget, options: Options, stream: Option<Stream>) -> Self {
        Self {
            window: Window::new(options.window),
            ident,
            target,
            options,
            stream: RefCell::new(stream),
            outbox: RefCell::default(),
            waker: Cell::new(None),
            is_closing: Cell::new(false),
            is_known: Cell::new(false),
            end: RefCell::new(None),
            addresses: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Whether the receiver knows of the connection that there is.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.get()
    }

    /// The task is woken when it is to close.
    pub(crate) fn wake_on_close(&self, waker: &Waker) {
        self.waker.set(Some(waker.clone()));
    }

    /// A new connection in the place of one that has ended.
    pub(crate) fn renew(&self, stream: Stream) {
        self.end.replace(None);
        self.bytes_in.set(0);
        self.bytes_out.set(0);
        self.stream.replace(Some(stream));
    }

    /// Takes bytes to write. What exceeds the limit ends the connection.
    fn write(&self, bytes: IoBytes, written: Option<Written>) {
        let is_over = self.stream.borrow().is_none() || self.is_closing.get() || self.end.borrow().is_some();
        if is_over {
            if let Some(written) = written {
                written.send(Err(IoError::NotConnected));
            }
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        outbox.push(bytes, written);
        let (pending, limit) = (outbox.weight(), self.options.max_pending);
        drop(outbox);
        if pending > limit {
            self.end.borrow_mut().get_or_insert(IoEnd::SlowPeer { pending, limit });
        }
        self.wake();
    }

    /// The connection is there: tells the receiver. `Err`: there is none.
    pub(crate) fn announce(&self, shard: &Shard) -> Result<(), IoEnd> {
        let addresses = match self.stream.borrow().as_ref().map(Stream::addresses) {
            Some(Ok(addresses)) => addresses,
            // It was reset before it was looked at.
            Some(Err(error)) => return Err(error.into()),
            None => return Err(IoEnd::Local),
        };
        self.addresses.set(Some(addresses));
        let (remote, local) = addresses;
        let id = self.ident.alias();
        match self.target.send(shard, TcpConnect { id, remote, local }) {
            Sent::Yes => {
                self.is_known.set(true);
                Ok(())
            }
            // Whoever has no room for the news has none for the data.
            Sent::Full(_) | Sent::Gone => Err(IoEnd::NoTarget),
        }
    }

    /// The connection has ended: tells the receiver (N1) and whoever waits for writes.
    pub(crate) fn retract(&self, shard: &Shard, end: &IoEnd) {
        if let Some(stream) = self.stream.take() {
            shard.count_io_end(end.is_ordinary());
            drop(stream);
        }
        self.outbox.borrow_mut().fail(end);
        if self.is_known.replace(false) {
            self.tell_end(shard, end.clone());
        }
    }

    /// The news of the end is not lost for want of room: it waits for it, beside the process, which is ending.
    pub(crate) fn tell_end(&self, shard: &Shard, reason: IoEnd) {
        let id = self.ident.alias();
        self.target.clone().tell(shard, TcpDisconnect { id, reason });
    }
}

/// The process of a connection.
pub(crate) struct TcpConnection {
    conn: Rc<Conn>,
    dial: Option<Dial>,
    task: Option<Task>,
    /// Counts it as open with its server.
    _open: Option<Open>,
}

impl TcpConnection {
    /// A connection that there is, or that is to be made.
    pub(crate) fn new(conn: Conn, dial: Option<Dial>, open: Option<Open>) -> Self {
        Self { conn: Rc::new(conn), dial, task: None, _open: open }
    }
}

#[actor(crate = shard_runtime)]
impl TcpConnection {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let (conn, owner) = (Rc::clone(&self.conn), cx.pid().local.0);
        let dial = self.dial.take();
        self.task = Some(cx.shard().spawn_task(owner, async move {
            let end = match dial {
                None => serve(&conn).await,
                Some(dial) => dial.keep_connected(&conn).await,
            };
            finish(&conn, end);
        }));
        Ok(())
    }

    #[handle]
    fn data(&mut self, m: TcpData, _cx: &mut Context<'_>) -> ActorResult {
        self.conn.write(m.data, None);
        Ok(())
    }

    #[handle]
    fn bytes(
        &mut self,
        m: WriteBytes,
        reply: ReplyTo<Result<(), IoError>>,
        _cx: &mut Context<'_>,
    ) -> ActorResult {
        self.conn.write(m.0, Some(reply));
        Ok(())
    }

    #[handle]
    fn close(&mut self, _: CloseIo, _cx: &mut Context<'_>) -> ActorResult {
        self.conn.is_closing.set(true);
        self.conn.wake();
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        drop(self.task.take());
        let end = self.conn.end.borrow().clone();
        let end = end.unwrap_or_else(|| IoEnd::by(reason));
        self.conn.retract(cx.shard(), &end);
    }

    fn inspect(&self, out: &mut Inspect) {
        let conn = &self.conn;
        if let Some((remote, local)) = conn.addresses.get() {
            out.set("local", local);
            out.set("remote", remote);
        }
        out.set("process", format_args!("{:?}", conn.target));
        out.set("bytes in", conn.bytes_in.get());
        out.set("bytes out", conn.bytes_out.get());
        out.set("bytes pending", conn.outbox.borrow().bytes());
        out.set("tls", matches!(&*conn.stream.borrow(), Some(Stream::Tls(_))));
    }
}

/// Ends the process of a connection for this.
pub(crate) fn finish(conn: &Conn, end: IoEnd) {
    let reason = end.exit_reason();
    conn.end.borrow_mut().get_or_insert(end);
    on_shard(|shard| shard.end_process(conn.ident.local(), reason));
}

/// Serves a connection until it ends.
pub(crate) async fn serve(conn: &Conn) -> IoEnd {
    on_shard(|shard| shard.count(|cells| &cells.io_opened, 1));
    if conn.stream.borrow().as_ref().is_some_and(Stream::is_handshaking) {
        let mut limit = Pause::new(HANDSHAKE);
        let shaken = std::future::poll_fn(|task| {
            if Pin::new(&mut limit).poll(task).is_ready() {
                return Poll::Ready(Err(IoEnd::TimedOut { what: "the TLS handshake" }));
            }
            poll_handshake(conn, task)
        });
        if let Err(end) = shaken.await {
            return end;
        }
    }
    let announced = with_current(|shard| shard.map_or(Err(IoEnd::Local), |shard| conn.announce(shard)));
    if let Err(end) = announced {
        return end;
    }
    let mut service = Service::new(conn);
    std::future::poll_fn(|task| service.poll(task)).await
}

/// Brings a handshake on without taking any data.
fn poll_handshake(conn: &Conn, task: &TaskContext<'_>) -> Poll<Result<(), IoEnd>> {
    let mut stream = conn.stream.borrow_mut();
    let Some(stream) = stream.as_mut() else { return Poll::Ready(Err(IoEnd::Local)) };
    stream.poll_handshake(task).map_err(tls_end)
}

/// An error of a stream, with those of TLS told apart.
pub(crate) fn tls_end(error: std::io::Error) -> IoEnd {
    match error.kind() {
        std::io::ErrorKind::InvalidData => IoEnd::Tls { reason: error.to_string() },
        std::io::ErrorKind::UnexpectedEof => {
            IoEnd::Tls { reason: "the peer has closed the connection without saying so".to_owned() }
        }
        _ => error.into(),
    }
}

/// The state of serving.
struct Service<'a> {
    conn: &'a Conn,
    /// What was read and is no whole frame yet, or waits for the window.
    partial: BytesMut,
    scanned: usize,
    /// A message that the receiver had no room for.
    stalled: Option<TcpData>,
    retry: Option<Pause>,
    next_retry: Duration,
    linger: Option<Pause>,
    is_finishing: bool,
    /// The peer has ended its side.
    has_ended: bool,
    /// A pause for answers, and whether it began when all was handled.
    settle: Option<(Pause, bool)>,
    idle: Option<(Pause, u64)>,
    silence: Option<(Pause, u64)>,
    /// When its silence was looked at, the peer could not be heard.
    was_held: bool,
}

impl<'a> Service<'a> {
    fn new(conn: &'a Conn) -> Self {
        Self {
            conn,
            partial: BytesMut::new(),
            scanned: 0,
            stalled: None,
            retry: None,
            next_retry: RETRY,
            linger: None,
            is_finishing: false,
            has_ended: false,
            settle: None,
            idle: conn.options.idle.map(|idle| (Pause::new(idle), 0)),
            silence: conn.options.keep_alive.as_ref().map(|(_, every)| (Pause::new(*every), 0)),
            was_held: false,
        }
    }

    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<IoEnd> {
        self.conn.waker.set(Some(task.waker().clone()));
        if let Some(end) = self.conn.end.borrow().clone() {
            return Poll::Ready(end);
        }
        self.keep_alive(task);
        if let Err(end) = self.write(task) {
            return Poll::Ready(end);
        }
        if self.conn.is_closing.get() {
            return self.close(task);
        }
        if self.is_idle(task) {
            return Poll::Ready(IoEnd::TimedOut { what: "the wait for data" });
        }
        with_current(|shard| match shard {
            Some(shard) => self.read(shard, task),
            None => Poll::Ready(IoEnd::Local),
        })
    }

    fn write(&self, task: &TaskContext<'_>) -> Result<(), IoEnd> {
        let mut stream = self.conn.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else { return Err(IoEnd::Local) };
        let mut outbox = self.conn.outbox.borrow_mut();
        let mut total = 0;
        while !outbox.is_empty() {
            match outbox.with_slices(|slices| stream.poll_write(task, slices)) {
                Poll::Pending => break,
                Poll::Ready(Ok(written)) => {
                    total += written as u64;
                    outbox.advance(written);
                }
                Poll::Ready(Err(error)) => return Err(self.write_end(error)),
            }
        }
        if let Poll::Ready(Err(error)) = stream.poll_flush(task) {
            return Err(self.write_end(error));
        }
        if total > 0 {
            self.conn.bytes_out.set(self.conn.bytes_out.get() + total);
            on_shard(|shard| shard.count(|cells| &cells.io_bytes_out, total));
        }
        Ok(())
    }

    /// A peer that had ended its side before a write failed has closed the connection, and not only half of it.
    fn write_end(&self, error: std::io::Error) -> IoEnd {
        if self.has_ended { IoEnd::Closed } else { tls_end(error) }
    }

    /// The peer has ended its side, and may still read: what it sent is handled and answered before the connection ends.
    fn answer(&mut self, task: &mut TaskContext<'_>) -> Poll<IoEnd> {
        if self.conn.bytes_in.get() == 0 && self.conn.outbox.borrow().is_empty() {
            return Poll::Ready(IoEnd::Closed);
        }
        let linger = self.linger.get_or_insert_with(|| Pause::new(LINGER));
        if Pin::new(linger).poll(task).is_ready() {
            let (pending, limit) = (self.conn.outbox.borrow().bytes(), self.conn.options.max_pending);
            return Poll::Ready(if pending > 0 { IoEnd::SlowPeer { pending, limit } } else { IoEnd::Closed });
        }
        if !self.conn.outbox.borrow().is_empty() {
            // While it is being written, answers are still on their way.
            self.settle = None;
            return Poll::Pending;
        }
        let is_handled = self.conn.window.is_empty(task.waker());
        if self.settle.as_ref().is_none_or(|&(_, handled)| handled != is_handled) {
            // Once all is handled, an answer may still be on a ring, or in the mailbox of this process.
            self.settle = Some((Pause::new(if is_handled { SETTLE } else { HANDLED }), is_handled));
        }
        let is_over = self.settle.as_mut().is_some_and(|(pause, _)| Pin::new(pause).poll(task).is_ready());
        if is_over { Poll::Ready(IoEnd::Closed) } else { Poll::Pending }
    }

    /// Writes what is left, ends this side, and leaves.
    fn close(&mut self, task: &mut TaskContext<'_>) -> Poll<IoEnd> {
        let linger = self.linger.get_or_insert_with(|| Pause::new(LINGER));
        if Pin::new(linger).poll(task).is_ready() {
            let (pending, limit) = (self.conn.outbox.borrow().bytes(), self.conn.options.max_pending);
            return Poll::Ready(if pending > 0 { IoEnd::SlowPeer { pending, limit } } else { IoEnd::Local });
        }
        if !self.conn.outbox.borrow().is_empty() {
            return Poll::Pending;
        }
        let mut stream = self.conn.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else { return Poll::Ready(IoEnd::Local) };
        if !self.is_finishing {
            match stream.poll_finish(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(IoEnd::Local),
                Poll::Ready(Ok(())) => self.is_finishing = true,
            }
        }
        // Read to the end: closing a socket with unread bytes would reset it, and with it what the peer has not read yet.
        let mut rest = [0; 4096];
        for _ in 0..READS {
            match stream.poll_read(task, &mut rest) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(IoEnd::Local),
                Poll::Ready(Ok(_)) => {}
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn read(&mut self, shard: &Shard, task: &mut TaskContext<'_>) -> Poll<IoEnd> {
        for _ in 0..READS {
            match self.hand_out(shard, task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(())) => {}
            }
            if self.has_ended {
                return self.answer(task);
            }
            if !self.conn.window.is_open(task.waker()) {
                shard.count(|cells| &cells.io_held, 1);
                return Poll::Pending;
            }
            let mut stream = self.conn.stream.borrow_mut();
            let Some(stream) = stream.as_mut() else { return Poll::Ready(IoEnd::Local) };
            let read = shard.with_scratch(|buffer| {
                let read = stream.poll_read(task, buffer);
                read.map_ok(|read| {
                    let bytes = buffer.get(..read).unwrap_or_default();
                    if self.conn.options.chunk.is_some() {
                        self.partial.extend_from_slice(bytes);
                    } else if read > 0 {
                        let data = IoBytes::leased(Bytes::copy_from_slice(bytes), &self.conn.window);
                        self.stalled = Some(TcpData { id: self.conn.ident.alias(), data });
                    }
                    read
                })
            });
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(tls_end(error)),
                Poll::Ready(Ok(0)) => self.has_ended = true,
                Poll::Ready(Ok(read)) => {
                    let before = self.conn.bytes_in.get();
                    self.conn.bytes_in.set(before + read as u64);
                    shard.count(|cells| &cells.io_bytes_in, read as u64);
                }
            }
        }
        // Others first.
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands out what was read. `Pending`: the receiver has no room, or the window is full.
    fn hand_out(&mut self, shard: &Shard, task: &mut TaskContext<'_>) -> Poll<Result<(), IoEnd>> {
        loop {
            if let Some(retry) = &mut self.retry {
                if Pin::new(retry).poll(task).is_pending() {
                    return Poll::Pending;
                }
                self.retry = None;
            }
            if let Some(message) = self.stalled.take() {
                match self.conn.target.send(shard, message) {
                    Sent::Yes => self.next_retry = RETRY,
                    Sent::Gone => return Poll::Ready(Err(IoEnd::NoTarget)),
                    Sent::Full(message) => {
                        shard.count(|cells| &cells.io_held, 1);
                        self.stalled = Some(message);
                        self.retry = Some(Pause::new(self.next_retry));
                        self.next_retry = (self.next_retry * 2).min(LONGEST_RETRY);
                        continue;
                    }
                }
            }
            let Some(chunk) = &self.conn.options.chunk else { return Poll::Ready(Ok(())) };
            if !self.conn.window.is_open(task.waker()) {
                shard.count(|cells| &cells.io_held, 1);
                return Poll::Pending;
            }
            match chunk.next(&mut self.partial, &mut self.scanned) {
                Err(end) => return Poll::Ready(Err(end)),
                Ok(None) => return Poll::Ready(Ok(())),
                Ok(Some(frame)) => {
                    let data = IoBytes::leased(frame, &self.conn.window);
                    self.stalled = Some(TcpData { id: self.conn.ident.alias(), data });
                }
            }
        }
    }

    /// Whether nothing has come for as long as allowed.
    fn is_idle(&mut self, task: &mut TaskContext<'_>) -> bool {
        let (Some((pause, seen)), Some(limit)) = (&mut self.idle, self.conn.options.idle) else {
            return false;
        };
        let now = self.conn.bytes_in.get();
        if Pin::new(&mut *pause).poll(task).is_pending() {
            return false;
        }
        if *seen == now {
            // What is not read because its receiver is behind is not the peer's silence.
            let is_held = self.stalled.is_some() || !self.conn.window.is_open(task.waker());
            if !is_held && !self.was_held && !self.has_ended {
                return true;
            }
            self.was_held = is_held;
        }
        (*pause, *seen) = (Pause::new(limit), now);
        let _armed = Pin::new(pause).poll(task);
        false
    }

    /// Writes the bytes of a keep-alive if nothing was written for a period.
    fn keep_alive(&mut self, task: &mut TaskContext<'_>) {
        let (Some((pause, seen)), Some((bytes, every))) = (&mut self.silence, &self.conn.options.keep_alive)
        else {
            return;
        };
        if self.conn.is_closing.get() || Pin::new(&mut *pause).poll(task).is_pending() {
            return;
        }
        let now = self.conn.bytes_out.get();
        let mut outbox = self.conn.outbox.borrow_mut();
        if *seen == now && outbox.is_empty() {
            outbox.push(bytes.clone(), None);
        }
        (*pause, *seen) = (Pause::new(*every), now);
        let _armed = Pin::new(pause).poll(task);
    }
}
