//! The process of a WebSocket, of a server or of a client: hands out what the peer sends, and sends what actors send to it.
//!
//! Invariants: W1 whoever gets [`WsConnect`] gets [`WsDisconnect`] once, after the last message. W2 what was read and is unhandled
//! and what waits to be written are bounded.

use crate::actor::{Context, Inspect, ReplyTo};
use crate::error::{ActorResult, ExitReason, IoEnd};
use crate::io::open::{Ident, Opener};
use crate::io::stream::Stream;
use crate::io::target::{IoTarget, Sent};
use crate::io::tcp::Open;
use crate::io::web::server::{Lasting, Site};
use crate::io::web::websocket::{Upgrade, WsConnect, WsDisconnect, WsKind, WsMessage};
use crate::io::web::websocket_client::WsDial;
use crate::io::{CloseIo, IoBytes, Window};
use crate::shard::{Pause, Shard, Task, on_shard, with_current};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use shard_runtime_macros::{actor, handle};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tungstenite::{Error, Message, WebSocket};

/// Messages of one peer before others get their turn.
const READS: usize = 16;
/// What a message that waits costs beside its bytes.
const ITEM: usize = 64;
/// How long the closing handshake may take.
const CLOSING: Duration = Duration::from_secs(5);
/// Pause before a receiver without room is tried again.
const RETRY: Duration = Duration::from_millis(2);

impl Upgrade {
    /// Makes a process of the connection.
    pub(super) fn start(self, site: &Site, stream: Stream, read: &Bytes, open: Open) {
        let Self { handler, index, remote, uri, headers } = self;
        let limits = WsLimits {
            max_message: handler.max_message,
            max_pending: handler.max_pending,
            window: handler.window,
            ping_every: handler.ping_every,
        };
        let socket = limits.socket(stream, read, Role::Server);
        let target = handler.targets.get(index % handler.targets.len().max(1)).cloned();
        on_shard(|shard| {
            let opener = Opener { shard, owner: site.ident.local() };
            let Some(target) = target else { return };
            let make = |ident| {
                let shared = Shared::new(ident, target, &limits);
                shared.is_open.set(true);
                site.keep(&(Rc::clone(&shared) as Rc<dyn Lasting>));
                WsProcess::new(
                    shared,
                    Start::Accepted(socket, WsHello { remote, uri, headers }),
                    limits,
                    Some(open),
                )
            };
            if opener.spawn(make, None).is_err() {
                shard.count_io_end(false);
            }
        });
    }
}

/// The bounds of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct WsLimits {
    pub(super) max_message: usize,
    pub(super) max_pending: usize,
    pub(super) window: usize,
    pub(super) ping_every: Duration,
}

impl WsLimits {
    /// The socket of a connection whose handshake is done, and of which this was read beyond it.
    pub(super) fn socket(&self, stream: Stream, read: &Bytes, role: Role) -> WebSocket<Socket> {
        let socket = Socket { stream, waker: Waker::noop().clone(), reads: READS };
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_message))
            // An idle socket should hold little.
            .read_buffer_size(4 << 10)
            .write_buffer_size(16 << 10)
            .max_write_buffer_size(self.max_message.max(self.max_pending).saturating_add(1 << 20));
        WebSocket::from_partially_read(socket, read.to_vec(), role, Some(config))
    }
}

/// How a socket comes to be.
pub(super) enum Start {
    /// A server has made it.
    Accepted(WebSocket<Socket>, WsHello),
    /// It is to be made.
    Dialled(WsDial),
}

/// What the receiver is told of a socket.
pub(super) struct WsHello {
    pub(super) remote: SocketAddr,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// A stream as tungstenite reads and writes it: what would wait says `WouldBlock` and wakes the task later.
pub(super) struct Socket {
    stream: Stream,
    waker: Waker,
    /// Reads that are left of this turn: a message may come in frames without end, and others want their turn.
    reads: usize,
}

impl Socket {
    fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
        match polled {
            Poll::Ready(result) => result,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads == 0 {
            self.waker.wake_by_ref();
            return Err(ErrorKind::WouldBlock.into());
        }
        self.reads -= 1;
        let read = Self::now(self.stream.poll_read(&TaskContext::from_waker(&self.waker), buffer))?;
        on_shard(|shard| shard.count(|cells| &cells.io_bytes_in, read as u64));
        Ok(read)
    }
}

impl io::Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let task = TaskContext::from_waker(&self.waker);
        let written = Self::now(self.stream.poll_write(&task, &[IoSlice::new(bytes)]))?;
        on_shard(|shard| shard.count(|cells| &cells.io_bytes_out, written as u64));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::now(self.stream.poll_flush(&TaskContext::from_waker(&self.waker)))
    }
}

/// What the process and its task share.
pub(super) struct Shared {
    ident: Rc<Ident>,
    target: IoTarget,
    queue: RefCell<VecDeque<(Message, Option<ReplyTo<()>>)>>,
    bytes: Cell<usize>,
    window: Arc<Window>,
    is_closing: Cell<bool>,
    waker: Cell<Option<Waker>>,
    end: RefCell<Option<IoEnd>>,
    /// It is counted as opened, and not yet as closed.
    is_open: Cell<bool>,
    /// The receiver is to hear of its end.
    is_known: Cell<bool>,
    remote: Cell<Option<SocketAddr>>,
    messages_in: Cell<u64>,
    messages_out: Cell<u64>,
}

impl Shared {
    pub(super) fn new(ident: Rc<Ident>, target: IoTarget, limits: &WsLimits) -> Rc<Self> {
        Rc::new(Self {
            ident,
            target,
            queue: RefCell::default(),
            bytes: Cell::new(0),
            window: Window::new(limits.window),
            is_closing: Cell::new(false),
            waker: Cell::new(None),
            end: RefCell::new(None),
            is_open: Cell::new(false),
            is_known: Cell::new(false),
            remote: Cell::new(None),
            messages_in: Cell::new(0),
            messages_out: Cell::new(0),
        })
    }

    /// Whether it is to close; if not, the task is woken when it is.
    pub(super) fn is_closing(&self, waker: &Waker) -> bool {
        self.waker.set(Some(waker.clone()));
        self.is_closing.get()
    }

    /// A connection was made for it.
    pub(super) fn opened(&self) {
        self.is_open.set(true);
        on_shard(|shard| shard.count(|cells| &cells.io_opened, 1));
    }

    /// Tells the receiver that it is there. `Err`: there is none.
    fn announce(&self, shard: &Shard, hello: WsHello) -> Result<(), IoEnd> {
        let WsHello { remote, uri, headers } = hello;
        self.remote.set(Some(remote));
        match self.target.send(shard, WsConnect { id: self.ident.alias(), remote, uri, headers }) {
            Sent::Yes => {
                self.is_known.set(true);
                Ok(())
            }
            Sent::Full(_) | Sent::Gone => Err(IoEnd::NoTarget),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn end(&self, end: IoEnd) {
        let reason = end.exit_reason();
        self.end.borrow_mut().get_or_insert(end);
        on_shard(|shard| shard.end_process(self.ident.local(), reason));
    }
}

impl Lasting for Shared {
    /// Closes in order.
    fn close(&self) {
        self.is_closing.set(true);
        self.wake();
    }
}

/// The process of a WebSocket.
pub(super) struct WsProcess {
    shared: Rc<Shared>,
    start: Option<Start>,
    limits: WsLimits,
    task: Option<Task>,
    /// Counts it as open with its server.
    _open: Option<Open>,
}

impl WsProcess {
    pub(super) fn new(shared: Rc<Shared>, start: Start, limits: WsLimits, open: Option<Open>) -> Self {
        Self { shared, start: Some(start), limits, task: None, _open: open }
    }
}

/// Makes the connection, tells of it and serves it until it ends. Returns why it did.
async fn dial_and_serve(shared: &Shared, dial: WsDial, limits: WsLimits) -> IoEnd {
    let (socket, hello) = match dial.connect(shared, &limits).await {
        Ok(dialled) => dialled,
        Err(end) => {
            // Nobody has heard of it, and whoever waits for it hears that it will not come.
            shared.is_known.set(true);
            return end;
        }
    };
    let announced =
        with_current(|shard| shard.map_or(Err(IoEnd::Local), |shard| shared.announce(shard, hello)));
    match announced {
        Ok(()) => serve(shared, socket, limits.ping_every).await,
        Err(end) => end,
    }
}

/// Serves a socket until it ends. Returns why it did.
async fn serve(shared: &Shared, socket: WebSocket<Socket>, ping_every: Duration) -> IoEnd {
    let mut service = Service {
        shared,
        socket,
        stalled: None,
        retry: None,
        limit: None,
        is_closing: false,
        silence: Pause::new(ping_every),
        ping_every,
        is_asked: false,
        has_said_close: false,
    };
    std::future::poll_fn(|task| service.poll(task)).await
}

#[actor(crate = shard_runtime)]
impl WsProcess {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let Some(start) = self.start.take() else { return Ok(()) };
        let (shared, limits, owner) = (Rc::clone(&self.shared), self.limits, cx.pid().local.0);
        self.task = Some(match start {
            Start::Accepted(socket, hello) => {
                if let Err(end) = shared.announce(cx.shard(), hello) {
                    shared.end(end);
                    return Ok(());
                }
                cx.shard().spawn_task(owner, async move {
                    let end = serve(&shared, socket, limits.ping_every).await;
                    shared.end(end);
                })
            }
            Start::Dialled(dial) => cx.shard().spawn_task(owner, async move {
                let end = dial_and_serve(&shared, dial, limits).await;
                shared.end(end);
            }),
        });
        Ok(())
    }

    /// Sends a message to the peer; called, it is answered when the message is on its way.
    #[handle]
    fn message(&mut self, m: WsMessage, reply: ReplyTo<()>, _cx: &mut Context<'_>) -> ActorResult {
        if self.shared.is_closing.get() {
            return Ok(());
        }
        let bytes = m.body.into_bytes();
        let (pending, limit) = (self.shared.bytes.get() + bytes.len() + ITEM, self.limits.max_pending);
        if pending > limit {
            self.shared.end(IoEnd::SlowPeer { pending, limit });
            return Ok(());
        }
        self.shared.bytes.set(pending);
        let message = match m.kind {
            WsKind::Text => match bytes.clone().try_into() {
                Ok(text) => Message::Text(text),
                // Sent as what it is: the peer would end the connection over a text that is none.
                Err(_) => Message::Binary(bytes),
            },
            WsKind::Binary => Message::Binary(bytes),
        };
        let reply = reply.is_awaited().then_some(reply);
        self.shared.queue.borrow_mut().push_back((message, reply));
        self.shared.wake();
        Ok(())
    }

    #[handle]
    fn close(&mut self, _: CloseIo, _cx: &mut Context<'_>) -> ActorResult {
        self.shared.close();
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        drop(self.task.take());
        let end = self.shared.end.borrow().clone();
        let end = end.unwrap_or_else(|| IoEnd::by(reason));
        if self.shared.is_open.replace(false) {
            cx.shard().count_io_end(end.is_ordinary());
        }
        if self.shared.is_known.get() {
            let news = WsDisconnect { id: self.shared.ident.alias(), reason: end };
            self.shared.target.clone().tell(cx.shard(), news);
        }
    }

    fn inspect(&self, out: &mut Inspect) {
        if let Some(remote) = self.shared.remote.get() {
            out.set("remote", remote);
        }
        out.set("process", format_args!("{:?}", self.shared.target));
        out.set("messages in", self.shared.messages_in.get());
        out.set("messages out", self.shared.messages_out.get());
        out.set("bytes pending", self.shared.bytes.get());
    }
}

/// The state of serving a WebSocket.
struct Service<'a> {
    shared: &'a Shared,
    socket: WebSocket<Socket>,
    stalled: Option<WsMessage>,
    retry: Option<Pause>,
    /// Of a close in order.
    limit: Option<Pause>,
    /// The close frame is on its way.
    is_closing: bool,
    silence: Pause,
    ping_every: Duration,
    /// A ping is on its way, and nothing has come since.
    is_asked: bool,
    /// The peer has sent its close frame.
    has_said_close: bool,
}

fn end_of(error: Error) -> IoEnd {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => IoEnd::Closed,
        Error::Io(error) => crate::io::tls_end(error),
        Error::Capacity(error) => IoEnd::Protocol { reason: error.to_string() },
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => IoEnd::Reset,
        error => IoEnd::Protocol { reason: error.to_string() },
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

impl Service<'_> {
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<IoEnd> {
        self.shared.waker.set(Some(task.waker().clone()));
        let socket = self.socket.get_mut();
        socket.waker.clone_from(task.waker());
        socket.reads = READS;
        if let Err(end) = self.check_silence(task) {
            return Poll::Ready(end);
        }
        if let Err(end) = self.write(task) {
            return Poll::Ready(end);
        }
        if let Some(limit) = &mut self.limit
            && Pin::new(limit).poll(task).is_ready()
        {
            return Poll::Ready(IoEnd::Local);
        }
        with_current(|shard| match shard {
            Some(shard) => self.read(shard, task),
            None => Poll::Ready(IoEnd::Local),
        })
    }

    fn write(&mut self, task: &mut TaskContext<'_>) -> Result<(), IoEnd> {
        if self.shared.is_closing.get() && self.limit.is_none() {
            // Also for a peer that does not read what waits for it.
            let mut pause = Pause::new(CLOSING);
            let _armed = Pin::new(&mut pause).poll(task);
            self.limit = Some(pause);
        }
        // What was handed over before must be on its way first: so a slow peer holds back, and does not fill a buffer.
        while self.flush()? {
            if !self.socket.can_write() {
                return Ok(());
            }
            let Some((message, reply)) = self.shared.queue.borrow_mut().pop_front() else { break };
            let length = message.len();
            match self.socket.write(message) {
                Ok(()) => {}
                // It is in the buffer.
                Err(error) if would_block(&error) => {}
                Err(error) => return Err(end_of(error)),
            }
            self.shared.bytes.set(self.shared.bytes.get().saturating_sub(length + ITEM));
            self.shared.messages_out.set(self.shared.messages_out.get() + 1);
            if let Some(reply) = reply {
                reply.send(());
            }
        }
        let is_empty = self.shared.queue.borrow().is_empty();
        // Behind answers to pings that nobody reads there may be no room for it.
        let may_close = is_empty && !self.is_closing && self.socket.can_write();
        if self.shared.is_closing.get() && may_close && self.flush()? {
            self.is_closing = true;
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            match self.socket.close(Some(frame)) {
                Ok(()) => {}
                Err(error) if would_block(&error) => {}
                Err(error) => return Err(end_of(error)),
            }
        }
        self.flush().map(|_| ())
    }

    /// Whether everything is on its way.
    fn flush(&mut self) -> Result<bool, IoEnd> {
        match self.socket.flush() {
            Ok(()) => Ok(true),
            Err(error) if would_block(&error) => Ok(false),
            // The closing handshake is done; reading says so, too.
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(true),
            Err(error) => Err(end_of(error)),
        }
    }

    fn read(&mut self, shard: &Shard, task: &mut TaskContext<'_>) -> Poll<IoEnd> {
        for _ in 0..READS {
            if let Some(retry) = &mut self.retry {
                if Pin::new(retry).poll(task).is_pending() {
                    return Poll::Pending;
                }
                self.retry = None;
            }
            if let Some(message) = self.stalled.take() {
                match self.shared.target.send(shard, message) {
                    Sent::Yes => {}
                    Sent::Gone => return Poll::Ready(IoEnd::NoTarget),
                    Sent::Full(message) => {
                        shard.count(|cells| &cells.io_held, 1);
                        self.stalled = Some(message);
                        self.retry = Some(Pause::new(RETRY));
                        continue;
                    }
                }
            }
            if !self.shared.window.is_open(task.waker()) {
                shard.count(|cells| &cells.io_held, 1);
                return Poll::Pending;
            }
            let (kind, bytes) = match self.socket.read() {
                Ok(Message::Text(text)) => (WsKind::Text, Bytes::from(text)),
                Ok(Message::Binary(bytes)) => (WsKind::Binary, bytes),
                Ok(other) => {
                    self.has_said_close |= other.is_close();
                    self.heard();
                    continue;
                }
                Err(error) if would_block(&error) => return Poll::Pending,
                Err(error) => {
                    // After its close frame, how the connection itself ends says nothing more.
                    let is_done = self.has_said_close && matches!(error, Error::Io(_));
                    let end = if is_done { IoEnd::Closed } else { end_of(error) };
                    let by_us = self.shared.is_closing.get() && end == IoEnd::Closed;
                    return Poll::Ready(if by_us { IoEnd::Local } else { end });
                }
            };
            self.heard();
            self.shared.messages_in.set(self.shared.messages_in.get() + 1);
            let body = IoBytes::leased(bytes, &self.shared.window);
            self.stalled = Some(WsMessage { id: self.shared.ident.alias(), kind, body });
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn heard(&mut self) {
        self.is_asked = false;
    }

    /// Asks a silent peer whether it is there, and gives up on one that does not answer.
    fn check_silence(&mut self, task: &mut TaskContext<'_>) -> Result<(), IoEnd> {
        if Pin::new(&mut self.silence).poll(task).is_pending() {
            return Ok(());
        }
        // Messages that wait for their receiver are not the peer's silence.
        if self.is_asked && self.stalled.is_none() && self.shared.window.is_open(task.waker()) {
            return Err(IoEnd::TimedOut { what: "the answer to a ping" });
        }
        self.is_asked = true;
        self.silence = Pause::new(self.ping_every);
        let _armed = Pin::new(&mut self.silence).poll(task);
        if !self.socket.can_write() {
            return Ok(());
        }
        match self.socket.write(Message::Ping(Bytes::new())) {
            Ok(()) => Ok(()),
            Err(error) if would_block(&error) => Ok(()),
            // So much waits for the peer to read it that there is no room for a ping, and it would not read that either.
            Err(Error::WriteBufferFull(_)) => Ok(()),
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(()),
            Err(error) => Err(end_of(error)),
        }
    }
}
