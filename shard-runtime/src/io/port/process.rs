//! The process of a port, and the task that reads and writes its program.
//!
//! Owns: the pipes, what was read and is no whole piece yet, what waits to be written. Invariants: P1 whoever gets [`PortStart`]
//! gets [`PortTerminate`] once. P2 nothing is read while the window is full or the receiver has no room. P3 what the program wrote
//! before it ended is handed out before its end is told, unless the port was ended first.

use crate::actor::{Context, Inspect, ReplyTo};
use crate::error::{ActorResult, ExitReason, IoEnd, IoError};
use crate::io::open::Ident;
use crate::io::port::guard::{Exit, Launched, News, guard};
use crate::io::port::source::{Cut, Cutter, Piece, Source};
use crate::io::port::{Port, PortData, PortError, PortStart, PortStatus, PortTerminate, PortText};
use crate::io::target::Sent;
use crate::io::tcp::{Outbox, Written};
use crate::io::{CloseIo, IoBytes, IoTarget, IoText, Window, WriteBytes};
use crate::oneshot;
use crate::reactor::poller::Watched;
use crate::shard::{Pause, Shard, Task, on_shard, with_current};
use rustix::process::{Signal, pidfd_send_signal};
use shard_runtime_macros::{actor, handle};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, PipeWriter};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

/// Rounds over both outputs before others get their turn.
const ROUNDS: usize = 8;
/// First and longest pause before a receiver without room is tried again.
const RETRY: Duration = Duration::from_millis(1);
const LONGEST_RETRY: Duration = Duration::from_millis(64);

/// What the process and its task share.
struct Shared {
    ident: Rc<Ident>,
    target: IoTarget,
    port: Port,
    outbox: RefCell<Outbox>,
    window: Arc<Window>,
    waker: Cell<Option<Waker>>,
    is_closing: Cell<bool>,
    /// The program takes input.
    takes_input: Cell<bool>,
    end: RefCell<Option<IoEnd>>,
    /// Dropped, the program is to end.
    order: Cell<Option<PipeWriter>>,
    pidfd: RefCell<Option<OwnedFd>>,
    pid: Cell<Option<u32>>,
    is_known: Arc<AtomicBool>,
    is_open: Cell<bool>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    cut: Cell<u64>,
}

impl Shared {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    fn write(&self, bytes: IoBytes, written: Option<Written>) {
        if !self.takes_input.get() || self.is_closing.get() || self.end.borrow().is_some() {
            if let Some(written) = written {
                written.send(Err(IoError::NotConnected));
            }
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        outbox.push(bytes, written);
        let (pending, limit) = (outbox.bytes(), self.port.max_pending);
        drop(outbox);
        if pending > limit {
            self.end.borrow_mut().get_or_insert(IoEnd::SlowPeer { pending, limit });
        }
        self.wake();
    }

    /// The program has ended: tells the receiver, if that knows of the program and of no end.
    fn tell_end(&self, shard: &Shard, status: &PortStatus) {
        // ORDERING: see `Exit`, which does the same if this port does not live to do it.
        if self.is_known.swap(false, AcqRel) {
            let (id, tag) = (self.ident.alias(), Arc::clone(&self.port.tag));
            self.target.clone().tell(shard, PortTerminate { id, tag, status: status.clone() });
        }
    }

    /// The program has ended or is let go: counts it.
    fn close(&self, shard: &Shard, is_ordinary: bool) {
        if self.is_open.replace(false) {
            shard.count_io_end(is_ordinary);
        }
    }
}

/// The process of a port.
pub(super) struct PortProcess {
    shared: Rc<Shared>,
    task: Option<Task>,
}

impl PortProcess {
    pub(super) fn new(ident: Rc<Ident>, target: IoTarget, port: Port) -> Self {
        let shared = Shared {
            ident,
            target,
            window: Window::new(port.window),
            port,
            outbox: RefCell::default(),
            waker: Cell::new(None),
            is_closing: Cell::new(false),
            takes_input: Cell::new(true),
            end: RefCell::new(None),
            order: Cell::new(None),
            pidfd: RefCell::new(None),
            pid: Cell::new(None),
            is_known: Arc::default(),
            is_open: Cell::new(false),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            cut: Cell::new(0),
        };
        Self { shared: Rc::new(shared), task: None }
    }
}

#[actor(crate = shard_runtime)]
impl PortProcess {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let (shared, owner) = (Rc::clone(&self.shared), cx.pid().local.0);
        self.task = Some(cx.shard().spawn_task(owner, async move { run(&shared).await }));
        Ok(())
    }

    #[handle]
    fn data(&mut self, m: PortData, _cx: &mut Context<'_>) -> ActorResult {
        self.shared.write(m.data, None);
        Ok(())
    }

    #[handle]
    fn bytes(
        &mut self,
        m: WriteBytes,
        reply: ReplyTo<Result<(), IoError>>,
        _cx: &mut Context<'_>,
    ) -> ActorResult {
        self.shared.write(m.0, Some(reply));
        Ok(())
    }

    #[handle]
    fn close(&mut self, _: CloseIo, _cx: &mut Context<'_>) -> ActorResult {
        self.shared.is_closing.set(true);
        self.shared.wake();
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        let shared = &self.shared;
        // Its pipes are closed with it; who has the program's end tells it when the guard has brought it about.
        drop(self.task.take());
        drop(shared.order.take());
        if cx.shard().is_stopping()
            && let Some(pidfd) = &*shared.pidfd.borrow()
        {
            let _ended = pidfd_send_signal(pidfd, Signal::KILL);
        }
        let end = shared.end.borrow().clone().unwrap_or(IoEnd::Local);
        shared.outbox.borrow_mut().fail(&end);
        shared.close(cx.shard(), matches!(reason, ExitReason::Normal | ExitReason::Shutdown));
    }

    fn inspect(&self, out: &mut Inspect) {
        let (shared, port) = (&self.shared, &self.shared.port);
        out.set("tag", &port.tag);
        out.set("cmd", &port.program);
        out.set("args", port.args.join(" "));
        // Their values may be secrets.
        let keys: Vec<&str> = port.env.iter().map(|(key, _)| key.as_str()).collect();
        out.set("env", keys.join(" "));
        out.set("inherits env", port.inherits_env);
        if let Some(dir) = &port.dir {
            out.set("dir", dir.display());
        }
        out.set("binary", port.is_binary);
        if let Some(pid) = shared.pid.get() {
            out.set("pid", pid);
        }
        out.set("process", format_args!("{:?}", shared.target));
        out.set("bytes in", shared.bytes_in.get());
        out.set("bytes out", shared.bytes_out.get());
        out.set("bytes pending", shared.outbox.borrow().bytes());
        out.set("lines cut", shared.cut.get());
    }
}

/// Starts the program, serves it, and ends the process of the port.
async fn run(shared: &Rc<Shared>) {
    let served = match start(shared).await {
        Ok(service) => serve(service).await,
        Err(error) => Ok(PortStatus::NotStarted { reason: error.to_string() }),
    };
    on_shard(|shard| {
        let (id, tag) = (shared.ident.alias(), Arc::clone(&shared.port.tag));
        let reason = match served {
            Ok(status) => {
                let was_started = !matches!(status, PortStatus::NotStarted { .. });
                let is_ordinary = status.is_success() || (shared.is_closing.get() && was_started);
                shared.close(shard, is_ordinary);
                if !was_started {
                    let status = status.clone();
                    shared.target.clone().tell(shard, PortTerminate { id, tag, status });
                }
                if is_ordinary { ExitReason::Normal } else { ExitReason::custom(IoEnd::Program(status)) }
            }
            // The guard brings the program to its end, and that is told then.
            Err(end) => {
                let is_ordinary = end.is_ordinary();
                shared.end.borrow_mut().get_or_insert(end.clone());
                if is_ordinary { ExitReason::Normal } else { ExitReason::custom(end) }
            }
        };
        shard.end_process(shared.ident.local(), reason);
    });
}

async fn start(shared: &Rc<Shared>) -> io::Result<Result<Service, IoEnd>> {
    let (launched, launching) = oneshot::channel();
    let (ended, exit) = oneshot::channel();
    let port = shared.port.clone();
    let home = with_current(|shard| shard.map(Shard::home)).ok_or(ErrorKind::NotConnected)?;
    let news = News {
        home,
        target: shared.target.clone(),
        id: shared.ident.alias(),
        tag: Arc::clone(&port.tag),
        is_known: Arc::clone(&shared.is_known),
    };
    crate::reactor::spawn_thread("port", move || guard(&port, launched, ended, news))?;
    let launched = launching.await.unwrap_or_else(|_| Err(ErrorKind::BrokenPipe.into()))?;
    with_current(|shard| match shard {
        Some(shard) => Service::new(shared, shard, launched, exit),
        None => Ok(Err(IoEnd::Local)),
    })
}

async fn serve(service: Result<Service, IoEnd>) -> Result<PortStatus, IoEnd> {
    let mut service = service?;
    std::future::poll_fn(|task| service.poll(task)).await
}

/// What is handed out.
enum Out {
    Text(PortText),
    Data(PortData),
    Error(PortError),
}

/// The state of serving.
struct Service {
    shared: Rc<Shared>,
    stdin: Option<Watched<OwnedFd>>,
    sources: [Source; 2],
    ending: oneshot::Receiver<Exit>,
    exit: Option<Exit>,
    stalled: Option<Out>,
    retry: Option<Pause>,
    next_retry: Duration,
    /// A period of the keep-alive, and how much had been written when it began.
    silence: Option<(Pause, u64)>,
}

impl Service {
    fn new(
        shared: &Rc<Shared>,
        shard: &Shard,
        launched: Launched,
        ending: oneshot::Receiver<Exit>,
    ) -> io::Result<Result<Self, IoEnd>> {
        let poller = shard.poller()?;
        let port = &shared.port;
        let cut = match &port.chunk {
            _ if !port.is_binary => Cut::Lines { limit: port.max_line, skips: false },
            Some(chunk) => Cut::Frames(chunk.clone()),
            None => Cut::Reads,
        };
        let lines = Cut::Lines { limit: port.max_line, skips: false };
        let source = |pipe, cut| -> io::Result<Source> {
            Ok(Source { pipe: Some(Watched::new(poller, pipe)?), cutter: Cutter::new(cut) })
        };
        let service = Self {
            stdin: Some(Watched::new(poller, launched.stdin)?),
            sources: [source(launched.stdout, cut)?, source(launched.stderr, lines)?],
            shared: Rc::clone(shared),
            ending,
            exit: None,
            stalled: None,
            retry: None,
            next_retry: RETRY,
            silence: port.keep_alive.as_ref().map(|(_, every)| (Pause::new(*every), 0)),
        };
        shared.order.set(Some(launched.order));
        shared.pidfd.replace(Some(launched.pidfd));
        shared.pid.set(Some(launched.pid));
        shared.is_open.set(true);
        shard.count(|cells| &cells.io_opened, 1);
        let (id, tag) = (shared.ident.alias(), Arc::clone(&port.tag));
        match shared.target.send(shard, PortStart { id, tag, pid: launched.pid }) {
            Sent::Yes => {
                // ORDERING: pairs with the swap of whoever tells its end: the start was sent before.
                shared.is_known.store(true, Release);
                Ok(Ok(service))
            }
            Sent::Full(_) | Sent::Gone => Ok(Err(IoEnd::NoTarget)),
        }
    }

    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<PortStatus, IoEnd>> {
        self.shared.waker.set(Some(task.waker().clone()));
        if let Some(end) = self.shared.end.borrow().clone() {
            return Poll::Ready(Err(end));
        }
        self.keep_alive(task);
        self.write(task);
        if self.shared.is_closing.get() {
            // From here its graces run, also if it does not take what still waits.
            drop(self.shared.order.take());
            if self.shared.outbox.borrow().is_empty() {
                self.stdin = None;
            }
        }
        if self.exit.is_none() {
            match Pin::new(&mut self.ending).poll(task) {
                Poll::Pending => {}
                Poll::Ready(Ok(exit)) => self.exit = Some(exit),
                Poll::Ready(Err(_)) => {
                    let status = PortStatus::Unknown { reason: "its guard has gone".to_owned() };
                    on_shard(|shard| self.shared.tell_end(shard, &status));
                    return Poll::Ready(Ok(status));
                }
            }
        }
        with_current(|shard| match shard {
            Some(shard) => self.read(shard, task),
            None => Poll::Ready(Err(IoEnd::Local)),
        })
    }

    /// Writes the bytes of a keep-alive if nothing was written for a period.
    fn keep_alive(&mut self, task: &mut TaskContext<'_>) {
        let (Some((pause, seen)), Some((bytes, every))) = (&mut self.silence, &self.shared.port.keep_alive)
        else {
            return;
        };
        if self.stdin.is_none()
            || self.shared.is_closing.get()
            || Pin::new(&mut *pause).poll(task).is_pending()
        {
            return;
        }
        let now = self.shared.bytes_out.get();
        let mut outbox = self.shared.outbox.borrow_mut();
        // What the program has not read yet is on its way: more would only wait behind it.
        if *seen == now && outbox.is_empty() {
            outbox.push(bytes.clone(), None);
        }
        (*pause, *seen) = (Pause::new(*every), now);
        let _armed = Pin::new(pause).poll(task);
    }

    fn write(&mut self, task: &TaskContext<'_>) {
        let Some(stdin) = &self.stdin else { return };
        let mut outbox = self.shared.outbox.borrow_mut();
        let mut total = 0;
        let mut is_closed = false;
        while !outbox.is_empty() {
            let written = outbox
                .with_slices(|slices| stdin.poll_write(task, |pipe| Ok(rustix::io::writev(pipe, slices)?)));
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(written)) => {
                    total += written as u64;
                    outbox.advance(written);
                }
                Poll::Ready(Err(_)) => {
                    // It has closed its input, and may go on without.
                    is_closed = true;
                    outbox.fail(&IoEnd::Closed);
                }
            }
        }
        drop(outbox);
        if is_closed {
            self.stdin = None;
            self.shared.takes_input.set(false);
        }
        self.shared.bytes_out.set(self.shared.bytes_out.get() + total);
        on_shard(|shard| shard.count(|cells| &cells.io_bytes_out, total));
    }

    fn read(&mut self, shard: &Shard, task: &mut TaskContext<'_>) -> Poll<Result<PortStatus, IoEnd>> {
        for _ in 0..ROUNDS {
            for index in 0..self.sources.len() {
                match self.hand_out(index, shard, task) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                    Poll::Ready(Ok(())) => {}
                }
            }
            let mut has_read = false;
            for index in 0..self.sources.len() {
                has_read |= self.fill(index, shard, task);
            }
            if has_read {
                continue;
            }
            return match &self.exit {
                Some(exit) if self.sources.iter().all(|source| source.pipe.is_none()) => {
                    self.shared.tell_end(shard, &exit.status);
                    Poll::Ready(Ok(exit.status.clone()))
                }
                _ => Poll::Pending,
            };
        }
        // Others first.
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads one of the outputs once. Whether that brought something: bytes, or its end.
    fn fill(&mut self, index: usize, shard: &Shard, task: &TaskContext<'_>) -> bool {
        let Some(source) = self.sources.get_mut(index) else { return false };
        let Some(pipe) = &source.pipe else { return false };
        let has_ended = self.exit.is_some();
        let read = shard.with_scratch(|buffer| {
            let read = if has_ended {
                // All it wrote is in the pipe; who else still holds the other end is not waited for.
                match rustix::io::read(pipe.get(), &mut *buffer) {
                    Err(rustix::io::Errno::AGAIN) => Poll::Ready(Ok(0)),
                    read => Poll::Ready(read.map_err(io::Error::from)),
                }
            } else {
                pipe.poll_read(task, |pipe| Ok(rustix::io::read(pipe, &mut *buffer)?))
            };
            read.map_ok(|read| {
                source.cutter.push(buffer.get(..read).unwrap_or_default());
                read
            })
        });
        match read {
            Poll::Pending => false,
            Poll::Ready(Ok(0) | Err(_)) => {
                source.pipe = None;
                source.cutter.has_ended = true;
                true
            }
            Poll::Ready(Ok(read)) => {
                self.shared.bytes_in.set(self.shared.bytes_in.get() + read as u64);
                shard.count(|cells| &cells.io_bytes_in, read as u64);
                true
            }
        }
    }

    /// Hands out what was read of one output. `Pending`: the receiver has no room, or the window is full.
    fn hand_out(
        &mut self,
        index: usize,
        shard: &Shard,
        task: &mut TaskContext<'_>,
    ) -> Poll<Result<(), IoEnd>> {
        loop {
            if let Some(retry) = &mut self.retry {
                if Pin::new(retry).poll(task).is_pending() {
                    return Poll::Pending;
                }
                self.retry = None;
            }
            if let Some(out) = self.stalled.take() {
                match send(&self.shared.target, shard, out) {
                    Sent::Yes => self.next_retry = RETRY,
                    Sent::Gone => return Poll::Ready(Err(IoEnd::NoTarget)),
                    Sent::Full(out) => {
                        shard.count(|cells| &cells.io_held, 1);
                        self.stalled = Some(out);
                        self.retry = Some(Pause::new(self.next_retry));
                        self.next_retry = (self.next_retry * 2).min(LONGEST_RETRY);
                        continue;
                    }
                }
            }
            if !self.shared.window.is_open(task.waker()) {
                shard.count(|cells| &cells.io_held, 1);
                return Poll::Pending;
            }
            let Some(source) = self.sources.get_mut(index) else { return Poll::Ready(Ok(())) };
            match source.cutter.next() {
                Err(end) => return Poll::Ready(Err(end)),
                Ok(None) => return Poll::Ready(Ok(())),
                Ok(Some(piece)) => self.stalled = Some(self.wrap(index, piece)),
            }
        }
    }

    fn wrap(&self, index: usize, piece: Piece) -> Out {
        let (id, tag) = (self.shared.ident.alias(), Arc::clone(&self.shared.port.tag));
        let window = &self.shared.window;
        match piece {
            Piece::Bytes(bytes) => Out::Data(PortData { id, tag, data: IoBytes::leased(bytes, window) }),
            Piece::Line { text, is_cut } => {
                if is_cut {
                    self.shared.cut.set(self.shared.cut.get() + 1);
                }
                let text = IoText::leased(text, window);
                if index == 0 {
                    Out::Text(PortText { id, tag, text, is_cut })
                } else {
                    Out::Error(PortError { id, tag, text, is_cut })
                }
            }
        }
    }
}

fn send(target: &IoTarget, shard: &Shard, out: Out) -> Sent<Out> {
    fn again<M>(sent: Sent<M>, wrap: impl FnOnce(M) -> Out) -> Sent<Out> {
        match sent {
            Sent::Yes => Sent::Yes,
            Sent::Gone => Sent::Gone,
            Sent::Full(message) => Sent::Full(wrap(message)),
        }
    }
    match out {
        Out::Text(m) => again(target.send(shard, m), Out::Text),
        Out::Data(m) => again(target.send(shard, m), Out::Data),
        Out::Error(m) => again(target.send(shard, m), Out::Error),
    }
}
