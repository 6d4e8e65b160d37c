//! The server's process: accepts connections and keeps their tasks.
//!
//! Owns: the listening socket and the tasks of all HTTP connections, which end with it. A WebSocket or a stream of events is a
//! process of its own, and its child.

use crate::actor::{Context, Inspect};
use crate::error::{ActorError, ActorResult, IoError};
use crate::io::CloseIo;
use crate::io::open::{Ident, Io, IoProcess, Opener};
use crate::io::stream::Stream;
use crate::io::tcp::{Accept, Open, accept_all, listen};
use crate::io::tls::TlsServer;
use crate::io::web::connection::serve;
use crate::io::web::route::{Routes, WebRoute};
use crate::io::web::websocket_process::Shared;
use crate::reactor::poller::Watched;
use crate::shard::{Pause, Shard, Task, on_shard};
use shard_runtime_macros::{actor, handle};
use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpStream};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How long requests that are being answered may take once the server is told to close.
const DRAIN: Duration = Duration::from_secs(5);

/// A web server, to be started with [`Context::spawn_io`]: HTTP/1.1, with TLS if it is given a certificate.
///
/// ```no_run
/// use shard_runtime::prelude::*;
/// use shard_runtime::{WebHandler, WebRequest, WebResponse, WebServer};
///
/// #[derive(Default)]
/// struct Hello;
/// #[actor]
/// impl Hello {
///     fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
///         cx.spawn_io(WebServer::bind("127.0.0.1:8080").route("/*", WebHandler::to(cx.pid())))?;
///         Ok(())
///     }
///     #[handle]
///     fn hello(&mut self, _: WebRequest, _cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
///         Ok(WebResponse::text("hello"))
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct WebServer {
    address: String,
    routes: Vec<(String, WebRoute)>,
    max_connections: usize,
    reuse_port: bool,
    tls: Option<TlsServer>,
    limits: Limits,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) max_header: usize,
}

impl WebServer {
    /// A server on this address, an IP address and a port; port 0 is any free one.
    #[must_use]
    pub fn bind(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            routes: Vec::new(),
            max_connections: 16_384,
            reuse_port: false,
            tls: None,
            limits: Limits {
                header_timeout: Duration::from_secs(15),
                body_timeout: Duration::from_secs(15),
                max_header: 16 << 10,
            },
        }
    }

    /// Adds a handler: for one path, or for all that begins with what stands before a final `*`. The longest one wins. What no
    /// handler is for gets status 404.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, handler: impl Into<WebRoute>) -> Self {
        self.routes.push((path.into(), handler.into()));
        self
    }

    /// Sets how many connections there may be at once; further ones are closed at once, and counted. Default 16,384.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Lets other servers listen on the same address: the system spreads connections over them, so start one on each shard.
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

    /// Sets how long the head of a request may take, from the end of the one before: also how long an idle connection is kept.
    /// Default 15 s.
    #[must_use]
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.limits.header_timeout = limit;
        self
    }

    /// Sets how long the body of a request may take to come. Default 15 s; then status 408.
    #[must_use]
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.limits.body_timeout = limit;
        self
    }

    /// Sets how long the head of a request may be, 8 KiB at least. Default 16 KiB; then status 431.
    #[must_use]
    pub fn max_header(mut self, bytes: usize) -> Self {
        self.limits.max_header = bytes.max(8 << 10);
        self
    }
}

impl IoProcess for WebServer {
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError> {
        let routes = Routes::new(self.routes)?;
        let poller = opener.shard.poller()?;
        let (listener, local) = listen(&self.address, self.reuse_port)?;
        let accept = Accept {
            listener: Watched::new(poller, listener)?,
            max: self.max_connections,
            open: Rc::new(Cell::new(0)),
        };
        let open = Rc::clone(&accept.open);
        let tls = self.tls;
        let limits = self.limits;
        opener.spawn(
            |ident| WebListener {
                local,
                open,
                accept: Some((accept, tls)),
                accepting: None,
                draining: None,
                site: Rc::new(Site {
                    ident,
                    routes,
                    limits,
                    is_closing: Cell::new(false),
                    requests: Cell::new(0),
                    tasks: RefCell::default(),
                    sockets: RefCell::default(),
                }),
            },
            Some(local),
        )
    }
}

/// What all connections of a server share.
pub(super) struct Site {
    pub(super) ident: Rc<Ident>,
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    pub(super) is_closing: Cell<bool>,
    pub(super) requests: Cell<u64>,
    tasks: RefCell<TaskList>,
    /// The WebSockets it has made: those that live are told when it closes.
    sockets: RefCell<Vec<Weak<Shared>>>,
}

/// The tasks of connections, by place.
#[derive(Default)]
struct TaskList {
    places: Vec<Option<Task>>,
    free: Vec<usize>,
}

impl Site {
    fn start(self: &Rc<Self>, shard: &Shard, stream: Stream, remote: SocketAddr, open: Open) {
        let place = {
            let mut tasks = self.tasks.borrow_mut();
            tasks.free.pop().unwrap_or_else(|| {
                tasks.places.push(None);
                tasks.places.len() - 1
            })
        };
        let site = Rc::clone(self);
        let task = shard.spawn_task(self.ident.local(), async move {
            serve(&site, stream, remote, open).await;
            let done = {
                let mut tasks = site.tasks.borrow_mut();
                tasks.free.push(place);
                tasks.places.get_mut(place).and_then(Option::take)
            };
            drop(done);
        });
        if let Some(place) = self.tasks.borrow_mut().places.get_mut(place) {
            *place = Some(task);
        }
    }

    /// Remembers a WebSocket.
    pub(super) fn keep(&self, socket: &Rc<Shared>) {
        let mut sockets = self.sockets.borrow_mut();
        if sockets.len() == sockets.capacity() {
            sockets.retain(|socket| socket.strong_count() > 0);
        }
        sockets.push(Rc::downgrade(socket));
    }

    /// Tells the connections to end when what they are at is answered.
    fn close(&self) {
        self.is_closing.set(true);
        for task in self.tasks.borrow().places.iter().flatten() {
            task.wake();
        }
        for socket in self.sockets.borrow().iter().filter_map(Weak::upgrade) {
            socket.close();
        }
    }
}

/// The process of a web server.
struct WebListener {
    local: SocketAddr,
    open: Rc<Cell<usize>>,
    accept: Option<(Accept, Option<TlsServer>)>,
    accepting: Option<Task>,
    draining: Option<Task>,
    site: Rc<Site>,
}

#[actor(crate = shard_runtime)]
impl WebListener {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let Some((accept, tls)) = self.accept.take() else { return Ok(()) };
        let site = Rc::clone(&self.site);
        let begin = move |shard: &Shard, stream: TcpStream, remote, open| match Stream::accepted(
            shard,
            stream,
            tls.as_ref(),
        ) {
            Ok(stream) => site.start(shard, stream, remote, open),
            Err(_) => shard.count(|cells| &cells.io_refused, 1),
        };
        self.accepting = Some(cx.shard().spawn_task(self.site.ident.local(), accept_all(accept, begin)));
        Ok(())
    }

    /// Takes no more connections, answers what was asked, and ends.
    #[handle]
    fn close(&mut self, _: CloseIo, cx: &mut Context<'_>) -> ActorResult {
        if self.draining.is_some() {
            return Ok(());
        }
        self.accepting = None;
        self.site.close();
        if self.open.get() == 0 {
            return Err(ActorError::normal());
        }
        let (open, owner) = (Rc::clone(&self.open), self.site.ident.local());
        self.draining = Some(cx.shard().spawn_task(owner, async move {
            let mut waited = Duration::ZERO;
            let step = Duration::from_millis(5);
            while open.get() > 0 && waited < DRAIN {
                Pause::new(step).await;
                waited += step;
            }
            on_shard(|shard| shard.end_process(owner, crate::error::ExitReason::Normal));
        }));
        Ok(())
    }

    fn terminate(&mut self, _reason: &crate::error::ExitReason, _cx: &mut Context<'_>) {
        self.accepting = None;
        self.draining = None;
        let tasks = std::mem::take(&mut *self.site.tasks.borrow_mut());
        drop(tasks);
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("listener", self.local);
        out.set("connections", self.open.get());
        out.set("requests", self.site.requests.get());
    }
}
