//! The server's process: accepts connections and keeps their tasks.
//!
//! Owns: the listening socket and the tasks of all HTTP connections, which end with it. A WebSocket or a stream of events is a
//! process of its own, and its child. Invariant: L1 what workers have of its requests is bounded, whatever became of the clients.

use crate::actor::{Context, Inspect};
use crate::error::{ActorError, ActorResult, ExitReason, IoError};
use crate::io::open::{Ident, Io, IoProcess, Opener};
use crate::io::stream::Stream;
use crate::io::tcp::{Accept, Open, accept_all, listen};
use crate::io::tls::TlsServer;
use crate::io::web::connection::serve;
use crate::io::web::route::{Routes, WebRoute};
use crate::io::{CloseIo, Draining, Window};
use crate::reactor::poller::Watched;
use crate::shard::{LogLevel, Pause, Shard, Task, on_shard};
use http::StatusCode;
use shard_runtime_macros::{actor, handle};
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::net::{SocketAddr, TcpStream};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether all connections have ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often a server says at most that requests are not answered.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

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
    max_unhandled: usize,
    limits: Limits,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) max_header: usize,
    pub(super) drain: Duration,
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
            max_unhandled: 64 << 20,
            limits: Limits {
                header_timeout: Duration::from_secs(15),
                body_timeout: Duration::from_secs(15),
                max_header: 16 << 10,
                drain: Duration::from_secs(5),
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

    /// Sets how many bytes of requests, heads and bodies, workers may have that they have not dropped yet, also of clients that
    /// have gone. A request above that gets status 503. Default 64 MiB for each server; one request may exceed it.
    #[must_use]
    pub fn max_unhandled(mut self, bytes: usize) -> Self {
        self.max_unhandled = bytes;
        self
    }

    /// Sets how long requests under way may take once the server is closed, by [`CloseIo`] or by a stop of its application or
    /// node. What is not answered then is cut off, and counted. Default 5 s; zero cuts them off at once.
    #[must_use]
    pub fn drain(mut self, limit: Duration) -> Self {
        self.limits.drain = limit;
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
        let (limits, unhandled) = (self.limits, Window::new(self.max_unhandled));
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
                    unhandled,
                    requests: Cell::new(0),
                    complained: Cell::new(None),
                    kept_quiet: Cell::new(0),
                    tasks: RefCell::default(),
                    lasting: RefCell::default(),
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
    /// What workers may have of its requests.
    pub(super) unhandled: Arc<Window>,
    pub(super) requests: Cell<u64>,
    /// When it last said that a request was not answered, and how often it has not said so since.
    complained: Cell<Option<u64>>,
    kept_quiet: Cell<u64>,
    tasks: RefCell<TaskList>,
    /// The WebSockets and streams it has made: those that live are told when it closes.
    lasting: RefCell<Vec<Weak<dyn Lasting>>>,
}

/// What a request has become and lasts longer than its answer.
pub(super) trait Lasting {
    /// The server closes.
    fn close(&self);
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

    /// Remembers a WebSocket or a stream. One that was asked for before the server closed is told at once.
    pub(super) fn keep(&self, made: &Rc<dyn Lasting>) {
        if self.is_closing.get() {
            return made.close();
        }
        let mut lasting = self.lasting.borrow_mut();
        if lasting.len() == lasting.capacity() {
            lasting.retain(|made| made.strong_count() > 0);
        }
        lasting.push(Rc::downgrade(made));
    }

    /// Says in the log why a request was not answered: as a warning once a second, else for who reads debug lines.
    pub(super) fn complain(&self, status: StatusCode, why: &dyn Display) {
        on_shard(|shard| {
            let now = shard.now_ticks();
            let is_quiet = self
                .complained
                .get()
                .is_some_and(|last| now.saturating_sub(last) < shard.ticks(COMPLAIN_EVERY));
            if is_quiet {
                self.kept_quiet.set(self.kept_quiet.get() + 1);
                let text = || format!("a request got status {status}: {why}");
                return shard.log_line(LogLevel::Debug, self.ident.local(), text);
            }
            self.complained.set(Some(now));
            let more = self.kept_quiet.take();
            shard.log_line(LogLevel::Warning, self.ident.local(), || {
                format!("a request got status {status}: {why}; {more} more since this was last said")
            });
        });
    }

    /// Tells the connections to end when what they are at is answered.
    fn close(&self) {
        self.is_closing.set(true);
        for task in self.tasks.borrow().places.iter().flatten() {
            task.wake();
        }
        let lasting: Vec<_> = self.lasting.borrow().iter().filter_map(Weak::upgrade).collect();
        for made in lasting {
            made.close();
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
        let (pid, shard) = (cx.pid(), cx.shard());
        let application = shard.application_of(pid.local.0);
        shard.node().drains().add(Draining { pid, application, limit: self.site.limits.drain });
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
        let limit = self.site.limits.drain;
        if self.open.get() == 0 || limit.is_zero() {
            return Err(ActorError::normal());
        }
        self.site.close();
        let (open, owner) = (Rc::clone(&self.open), self.site.ident.local());
        self.draining = Some(cx.shard().spawn_task(owner, async move {
            let start = crate::clock::now();
            while open.get() > 0 && crate::clock::now().saturating_duration_since(start) < limit {
                Pause::new(LOOK_EVERY).await;
            }
            let left = open.get();
            on_shard(|shard| {
                if left > 0 {
                    shard.log_line(LogLevel::Warning, owner, || {
                        format!("{left} connections had not ended {limit:?} after the close and are cut off")
                    });
                }
                shard.end_process(owner, ExitReason::Normal);
            });
        }));
        Ok(())
    }

    fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<'_>) {
        self.accepting = None;
        self.draining = None;
        let tasks = std::mem::take(&mut *self.site.tasks.borrow_mut());
        drop(tasks);
        cx.shard().node().drains().remove(cx.pid());
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("listener", self.local);
        out.set("connections", self.open.get());
        out.set("requests", self.site.requests.get());
        out.set("bytes unhandled", self.site.unhandled.used());
    }
}
