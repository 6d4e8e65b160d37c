//! The server: listens, accepts, and starts a process for each connection.

use crate::actor::{Context, Inspect};
use crate::error::{ActorResult, IoError};
use crate::io::open::{Ident, Io, IoProcess, Opener};
use crate::io::stream::Stream;
use crate::io::tcp::connection::{Conn, TcpConnection};
use crate::io::tcp::options::{Options, connection_options};
use crate::io::tls::TlsServer;
use crate::io::{Chunk, CloseIo, IoBytes, IoTarget};
use crate::reactor::poller::Watched;
use crate::shard::{Pause, Shard, Task, on_shard};
use rustix::net::{SocketFlags, acceptfrom_with};
use shard_runtime_macros::{actor, handle};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Connections accepted before others get their turn.
const ACCEPTS: usize = 64;
/// Pause when the system has no descriptors left.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);

/// A TCP server, to be started with [`Context::spawn_io`]. Each connection is an I/O process of its own, on the same shard.
///
/// Each gets a receiver: the server's owner, or one of [`to`](TcpServer::to) in turn, which gets a
/// [`TcpConnect`](crate::TcpConnect), then [`TcpData`](crate::TcpData), at last a
/// [`TcpDisconnect`](crate::TcpDisconnect). To use several shards, start one on each with
/// [`reuse_port`](TcpServer::reuse_port).
#[derive(Clone, Debug)]
pub struct TcpServer {
    address: String,
    targets: Vec<IoTarget>,
    options: Options,
    max_connections: usize,
    reuse_port: bool,
    tls: Option<TlsServer>,
}

connection_options!(TcpServer);

impl TcpServer {
    /// A server on this address, an IP address and a port; port 0 is any free one.
    #[must_use]
    pub fn bind(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            targets: Vec::new(),
            options: Options::default(),
            max_connections: 16_384,
            reuse_port: false,
            tls: None,
        }
    }

    /// Adds a receiver: the n-th connection belongs to receiver n modulo their number, for as long as it lives. Default: the
    /// server's owner.
    #[must_use]
    pub fn to(mut self, target: impl Into<IoTarget>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// Sets how many connections there may be at once; further ones are closed at once, and counted. Default 16,384.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Lets other servers listen on the same address: the system spreads connections over them.
    #[must_use]
    pub fn reuse_port(mut self) -> Self {
        self.reuse_port = true;
        self
    }

    /// Speaks TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsServer) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl IoProcess for TcpServer {
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError> {
        self.options.check()?;
        let poller = opener.shard.poller()?;
        let (listener, local) = listen(&self.address, self.reuse_port)?;
        let accept = Accept {
            listener: Watched::new(poller, listener)?,
            max: self.max_connections,
            open: Rc::new(Cell::new(0)),
        };
        let mut targets = self.targets;
        if targets.is_empty() {
            targets.push(opener.owner().into());
        }
        let serving = Serving { targets, options: self.options, tls: self.tls, next: Cell::new(0) };
        let make = |ident| Listener {
            ident,
            local,
            open: Rc::clone(&accept.open),
            parts: Some((accept, serving)),
            task: None,
        };
        opener.spawn(make, Some(local))
    }
}

/// What accepts connections.
pub(crate) struct Accept {
    pub(crate) listener: Watched<TcpListener>,
    pub(crate) max: usize,
    /// Connections that are open.
    pub(crate) open: Rc<Cell<usize>>,
}

struct Serving {
    targets: Vec<IoTarget>,
    options: Options,
    tls: Option<TlsServer>,
    next: Cell<usize>,
}

/// Binds and listens.
pub(crate) fn listen(address: &str, reuse_port: bool) -> Result<(TcpListener, SocketAddr), IoError> {
    let parsed: SocketAddr =
        address.parse().map_err(|_| IoError::BadAddress { address: address.to_owned() })?;
    let refused = |source| IoError::Listen { address: address.to_owned(), source };
    let listening = || {
        let socket = Socket::new(Domain::for_address(parsed), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        socket.set_nonblocking(true)?;
        socket.bind(&parsed.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    listening().map_err(refused)
}

/// Counts a connection as open while it lives.
pub(crate) struct Open(Rc<Cell<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Accepts connections for ever, as many at once as may be.
pub(crate) async fn accept_all(accept: Accept, mut each: impl FnMut(&Shard, TcpStream, SocketAddr, Open)) {
    loop {
        let is_short = poll_fn(|task| {
            for _ in 0..ACCEPTS {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let accepted =
                    accept.listener.poll_read(task, |listener| Ok(acceptfrom_with(listener, flags)?));
                let (stream, address) = match accepted {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok((fd, address))) => {
                        (TcpStream::from(fd), address.and_then(|address| SocketAddr::try_from(address).ok()))
                    }
                    // The peer has given up meanwhile.
                    Poll::Ready(Err(error)) if error.kind() == ErrorKind::ConnectionAborted => continue,
                    Poll::Ready(Err(_)) => return Poll::Ready(true),
                };
                let is_full = accept.open.get() >= accept.max;
                let Some(address) = address.filter(|_| !is_full) else {
                    on_shard(|shard| shard.count(|cells| &cells.io_refused, 1));
                    continue;
                };
                accept.open.set(accept.open.get() + 1);
                let open = Open(Rc::clone(&accept.open));
                // It is small messages that suffer from the delay.
                let _still_works = stream.set_nodelay(true);
                on_shard(|shard| each(shard, stream, address, open));
            }
            task.waker().wake_by_ref();
            Poll::Ready(false)
        })
        .await;
        if is_short {
            on_shard(|shard| shard.count(|cells| &cells.io_refused, 1));
            Pause::new(NO_DESCRIPTORS).await;
        } else {
            yield_once().await;
        }
    }
}

/// Lets others run.
async fn yield_once() {
    let mut has_run = false;
    poll_fn(|task| {
        if std::mem::replace(&mut has_run, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Serving {
    fn start(&self, shard: &Shard, owner: u64, stream: TcpStream, open: Open) {
        let begun = || -> Result<(), IoError> {
            if let Some(after) = self.options.tcp_keep_alive {
                SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(after))?;
            }
            let stream = Stream::accepted(shard, stream, self.tls.as_ref())?;
            let index = self.next.get();
            self.next.set((index + 1) % self.targets.len().max(1));
            let Some(target) = self.targets.get(index).cloned() else { return Ok(()) };
            let opener = Opener { shard, owner };
            opener.spawn(
                |ident| {
                    let conn = Conn::new(ident, target, self.options.clone(), Some(stream));
                    TcpConnection::new(conn, None, Some(open))
                },
                None,
            )?;
            Ok(())
        };
        if begun().is_err() {
            shard.count(|cells| &cells.io_refused, 1);
        }
    }
}

/// The process of a server.
struct Listener {
    ident: Rc<Ident>,
    local: SocketAddr,
    open: Rc<Cell<usize>>,
    parts: Option<(Accept, Serving)>,
    task: Option<Task>,
}

#[actor(crate = shard_runtime)]
impl Listener {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let owner = self.ident.local();
        if let Some((accept, serving)) = self.parts.take() {
            self.task = Some(cx.shard().spawn_task(owner, async move {
                accept_all(accept, |shard, stream, _, open| serving.start(shard, owner, stream, open)).await;
            }));
        }
        Ok(())
    }

    #[handle]
    fn close(&mut self, _: CloseIo, _cx: &mut Context<'_>) -> ActorResult {
        Err(crate::error::ActorError::normal())
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("listener", self.local);
        out.set("connections", self.open.get());
    }
}
