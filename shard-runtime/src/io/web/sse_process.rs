//! The process that follows a stream of events: asks for it, hands out its events, and asks again when it has ended.
//!
//! Invariants: F1 whoever gets [`SseConnect`] gets [`SseDisconnect`] once, after the last event of that connection. F2 nothing is
//! read while the window is full or the receiver has no room, so what is kept is bounded by the options. F3 there is a pause before
//! each new try, whatever a server says.

use crate::actor::{Context, Inspect};
use crate::error::{ActorResult, ExitReason, IoEnd};
use crate::io::open::Ident;
use crate::io::target::Sent;
use crate::io::web::exchange::{Exchange, Peer, Stage, http_end};
use crate::io::web::sse::{SseConnect, SseDisconnect};
use crate::io::web::sse_client::SseEvent;
use crate::io::web::sse_parser::{Bounds, Parsed, Parser};
use crate::io::{CloseIo, IoTarget, IoText, Window};
use crate::shard::{Pause, Shard, Task, on_shard, with_current};
use crate::supervisor::Backoff;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use hyper::body::{Body as _, Incoming};
use shard_runtime_macros::{actor, handle};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

/// Pieces and events of one stream before others get their turn.
const READS: usize = 16;
/// First and longest pause before a receiver without room is tried again.
const RETRY: Duration = Duration::from_millis(1);
const LONGEST_RETRY: Duration = Duration::from_millis(64);
/// Shortest pause that a server may name: no server makes a client ask without end.
const SHORTEST: Duration = Duration::from_millis(100);
/// By which share a pause is shorter or longer at random, so that clients that were cut off together do not come back together.
const JITTER: f64 = 0.25;
/// The status of a server that wants no client to come back.
const NO_MORE: IoEnd = IoEnd::Refused { status: StatusCode::NO_CONTENT.as_u16() };

/// How often a stream is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    pub(super) retry: Duration,
    pub(super) max_retry: Duration,
    pub(super) max_failures: u32,
}

/// What the process and its task share.
struct Shared {
    ident: Rc<Ident>,
    target: IoTarget,
    window: Arc<Window>,
    waker: Cell<Option<Waker>>,
    is_closing: Cell<bool>,
    /// A connection is counted as opened, and not yet as closed.
    is_open: Cell<bool>,
    /// The receiver knows of a stream, and not yet of its end.
    is_known: Cell<bool>,
    /// The receiver was told of a stream or of another try, and not yet that it is over.
    is_awaited: Cell<bool>,
    last_id: RefCell<Option<Arc<str>>>,
    /// The pause that the server wants, or the user.
    retry: Cell<Duration>,
    failures: Cell<u32>,
    connections: Cell<u64>,
    events: Cell<u64>,
    bytes_in: Cell<u64>,
}

impl Shared {
    /// Whether it is to close; if not, the task is woken when it is.
    fn is_closing(&self, waker: &Waker) -> bool {
        self.waker.set(Some(waker.clone()));
        self.is_closing.get()
    }

    fn tell_end(&self, shard: &Shard, reason: IoEnd, again: Option<Duration>) {
        self.is_known.set(false);
        self.is_awaited.set(again.is_some());
        let id = self.ident.alias();
        self.target.clone().tell(shard, SseDisconnect { id, reason, again });
    }

    fn count_end(&self, shard: &Shard, is_ordinary: bool) {
        if self.is_open.replace(false) {
            shard.count_io_end(is_ordinary);
        }
    }
}

/// What the task needs beside that.
pub(super) struct Plan {
    pub(super) peer: Peer,
    pub(super) bounds: Bounds,
    pub(super) tries: Tries,
    pub(super) idle: Option<Duration>,
}

/// The process of a stream that is followed.
pub(super) struct SseFollower {
    shared: Rc<Shared>,
    plan: Option<Plan>,
    task: Option<Task>,
}

impl SseFollower {
    pub(super) fn new(
        ident: Rc<Ident>,
        target: IoTarget,
        window: usize,
        last_id: Option<Arc<str>>,
        plan: Plan,
    ) -> Self {
        let shared = Shared {
            ident,
            target,
            window: Window::new(window),
            waker: Cell::new(None),
            is_closing: Cell::new(false),
            is_open: Cell::new(false),
            is_known: Cell::new(false),
            is_awaited: Cell::new(false),
            last_id: RefCell::new(last_id),
            retry: Cell::new(plan.tries.retry),
            failures: Cell::new(0),
            connections: Cell::new(0),
            events: Cell::new(0),
            bytes_in: Cell::new(0),
        };
        Self { shared: Rc::new(shared), plan: Some(plan), task: None }
    }
}

#[actor(crate = shard_runtime)]
impl SseFollower {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let Some(plan) = self.plan.take() else { return Ok(()) };
        let shared = Rc::clone(&self.shared);
        self.task = Some(cx.shard().spawn_task(cx.pid().local.0, async move {
            let end = plan.follow(&shared).await;
            let reason = if end == NO_MORE { ExitReason::Normal } else { end.exit_reason() };
            on_shard(|shard| shard.end_process(shared.ident.local(), reason));
        }));
        Ok(())
    }

    #[handle]
    fn close(&mut self, _: CloseIo, _cx: &mut Context<'_>) -> ActorResult {
        self.shared.is_closing.set(true);
        if let Some(waker) = self.shared.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        drop(self.task.take());
        let end = IoEnd::by(reason);
        self.shared.count_end(cx.shard(), end.is_ordinary());
        if self.shared.is_awaited.get() {
            self.shared.tell_end(cx.shard(), end, None);
        }
    }

    fn inspect(&self, out: &mut Inspect) {
        let shared = &self.shared;
        out.set("process", format_args!("{:?}", shared.target));
        out.set("connected", shared.is_known.get());
        out.set("connections", shared.connections.get());
        out.set("failures in a row", shared.failures.get());
        out.set("events", shared.events.get());
        out.set("bytes in", shared.bytes_in.get());
        if let Some(id) = &*shared.last_id.borrow() {
            out.set("last event id", id);
        }
    }
}

impl Plan {
    /// Follows the stream over all its connections. Returns why it is over; the receiver has heard of it.
    async fn follow(&self, shared: &Shared) -> IoEnd {
        loop {
            let events = shared.events.get();
            let end = self.listen(shared).await;
            let was_known = shared.is_known.get();
            if shared.events.get() > events {
                shared.failures.set(0);
            }
            let is_failure = !(was_known && end == IoEnd::Closed);
            let failures = if is_failure { shared.failures.get().saturating_add(1) } else { 0 };
            shared.failures.set(failures);
            if shared.is_closing.get() || end == NO_MORE || failures >= self.tries.max_failures {
                on_shard(|shard| {
                    shared.count_end(shard, end.is_ordinary() || end == NO_MORE);
                    shared.tell_end(shard, end.clone(), None);
                });
                return end;
            }
            let first = shared.retry.get().min(self.tries.max_retry);
            let backoff = Backoff::new(first, self.tries.max_retry).jitter(JITTER);
            let pause = with_current(|shard| backoff.delay(failures, shard.map_or(0, Shard::random)));
            on_shard(|shard| {
                shared.count_end(shard, end.is_ordinary());
                // Of a row of failures, the first: not each try.
                if was_known || failures == 1 {
                    shared.tell_end(shard, end, Some(pause));
                }
            });
            let mut pause = Pause::new(pause);
            poll_fn(|task| {
                if shared.is_closing(task.waker()) {
                    Poll::Ready(())
                } else {
                    Pin::new(&mut pause).poll(task)
                }
            })
            .await;
            if shared.is_closing.get() {
                on_shard(|shard| shared.tell_end(shard, IoEnd::Local, None));
                return IoEnd::Local;
            }
        }
    }

    /// Asks for the stream once and hands out what comes. Returns why it has ended.
    async fn listen(&self, shared: &Shared) -> IoEnd {
        let stage = Stage::new("");
        let asked =
            self.peer.in_time(&stage, |waker| shared.is_closing(waker), self.ask(shared, &stage)).await;
        let (exchange, body) = match asked {
            Ok(asked) => asked,
            Err(end) => return end,
        };
        let last_id = shared.last_id.borrow().clone();
        let mut listening = Listening {
            shared,
            exchange,
            body,
            parser: Parser::new(self.bounds, last_id),
            stalled: None,
            retry: None,
            next_retry: RETRY,
            has_ended: None,
            idle: self.idle.map(|limit| (Pause::new(limit), limit, shared.bytes_in.get())),
            was_held: false,
        };
        let end = poll_fn(|task| listening.poll(task)).await;
        listening.exchange.close().await;
        end
    }

    /// Asks for the stream and tells the receiver that it is there.
    async fn ask(&self, shared: &Shared, stage: &Stage) -> Result<(Exchange, Incoming), IoEnd> {
        let last_id = shared.last_id.borrow().clone().filter(|id| !id.is_empty());
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // An id with characters that no header can have is not sent: then the server begins where it likes.
        let value = last_id.as_ref().and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        let last_id = last_id.filter(|_| value.is_some());
        if let Some(value) = value {
            headers.insert(HeaderName::from_static("last-event-id"), value);
        }
        let opened = || {
            shared.is_open.set(true);
            on_shard(|shard| shard.count(|cells| &cells.io_opened, 1));
        };
        let (exchange, response) = self.peer.ask(stage, headers, opened).await?;
        let (head, body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_stream =
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"));
        let coding = head.headers.get(CONTENT_ENCODING);
        let refusal = match head.status {
            StatusCode::OK if coding.is_some_and(|coding| coding != "identity") => {
                let reason = "the content is compressed, which was not asked for".to_owned();
                Some(IoEnd::Protocol { reason })
            }
            StatusCode::OK if is_stream => None,
            StatusCode::OK => {
                let kind: String = kind.chars().take(100).collect();
                let reason = format!("the content is `{kind}` and no `text/event-stream`");
                Some(IoEnd::Protocol { reason })
            }
            status => Some(IoEnd::Refused { status: status.as_u16() }),
        };
        if let Some(end) = refusal {
            exchange.close().await;
            return Err(end);
        }
        shared.connections.set(shared.connections.get() + 1);
        let connect = SseConnect {
            id: shared.ident.alias(),
            remote: exchange.remote,
            uri: self.peer.url.uri.clone(),
            headers: head.headers,
            last_event_id: last_id.map(|id| id.to_string()),
        };
        let sent = with_current(|shard| shard.map(|shard| shared.target.send(shard, connect)));
        if !matches!(sent, Some(Sent::Yes)) {
            // Whoever has no room for the news has none for the events.
            return Err(IoEnd::NoTarget);
        }
        shared.is_known.set(true);
        shared.is_awaited.set(true);
        Ok((exchange, body))
    }
}

/// The state of one connection.
struct Listening<'a> {
    shared: &'a Shared,
    exchange: Exchange,
    body: Incoming,
    parser: Parser,
    /// An event that the receiver had no room for.
    stalled: Option<SseEvent>,
    retry: Option<Pause>,
    next_retry: Duration,
    /// Nothing more will come; what has come is handed out first.
    has_ended: Option<IoEnd>,
    /// How long nothing may come, and how much had come when that began.
    idle: Option<(Pause, Duration, u64)>,
    /// The server could not be heard for a time.
    was_held: bool,
}

impl Listening<'_> {
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<IoEnd> {
        if self.shared.is_closing(task.waker()) {
            return Poll::Ready(IoEnd::Local);
        }
        for _ in 0..READS {
            let handed = with_current(|shard| match shard {
                Some(shard) => self.hand_out(shard, task),
                None => Poll::Ready(Err(IoEnd::Local)),
            });
            match handed {
                Poll::Pending => {
                    self.was_held = true;
                    return Poll::Pending;
                }
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(end) = self.has_ended.take() {
                return Poll::Ready(end);
            }
            let driven = self.exchange.drive(task);
            match Pin::new(&mut self.body).poll_frame(task) {
                Poll::Pending => {
                    return match driven {
                        Err(end) => Poll::Ready(end),
                        Ok(()) if self.is_idle(task) => {
                            Poll::Ready(IoEnd::TimedOut { what: "the wait for an event" })
                        }
                        Ok(()) => Poll::Pending,
                    };
                }
                Poll::Ready(None) => self.has_ended = Some(IoEnd::Closed),
                Poll::Ready(Some(Err(error))) => {
                    self.has_ended = Some(driven.err().unwrap_or_else(|| http_end(&error)));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.shared.bytes_in.set(self.shared.bytes_in.get() + data.len() as u64);
                        self.parser.push(&data);
                    }
                }
            }
        }
        // Others first.
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands out the events that have come. `Pending`: the receiver has no room, or the window is full.
    fn hand_out(&mut self, shard: &Shard, task: &mut TaskContext<'_>) -> Poll<Result<(), IoEnd>> {
        loop {
            if let Some(retry) = &mut self.retry {
                if Pin::new(retry).poll(task).is_pending() {
                    return Poll::Pending;
                }
                self.retry = None;
            }
            if let Some(event) = self.stalled.take() {
                match self.shared.target.send(shard, event) {
                    Sent::Yes => {
                        self.next_retry = RETRY;
                        // Not before: an event that nobody got is asked for again.
                        self.keep_id();
                    }
                    Sent::Gone => return Poll::Ready(Err(IoEnd::NoTarget)),
                    Sent::Full(event) => {
                        shard.count(|cells| &cells.io_held, 1);
                        self.stalled = Some(event);
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
            let next = self.parser.next();
            if let Some(pause) = self.parser.take_retry() {
                self.shared.retry.set(pause.max(SHORTEST));
            }
            match next {
                Err(end) => return Poll::Ready(Err(end)),
                Ok(None) => {
                    self.keep_id();
                    return Poll::Ready(Ok(()));
                }
                Ok(Some(Parsed { event, data, last_id })) => {
                    self.shared.events.set(self.shared.events.get() + 1);
                    self.stalled = Some(SseEvent {
                        id: self.shared.ident.alias(),
                        event: event.into(),
                        data: IoText::leased(data, &self.shared.window),
                        last_event_id: last_id,
                    });
                }
            }
        }
    }

    fn keep_id(&self) {
        self.shared.last_id.replace(self.parser.last_id().cloned());
    }

    /// Whether nothing has come for as long as allowed.
    fn is_idle(&mut self, task: &mut TaskContext<'_>) -> bool {
        let was_held = std::mem::take(&mut self.was_held);
        let Some((pause, limit, seen)) = &mut self.idle else { return false };
        let now = self.shared.bytes_in.get();
        // What was not read because the receiver was behind is not the server's silence.
        if !was_held {
            if Pin::new(&mut *pause).poll(task).is_pending() {
                return false;
            }
            if *seen == now {
                return true;
            }
        }
        (*pause, *seen) = (Pause::new(*limit), now);
        let _armed = Pin::new(pause).poll(task);
        false
    }
}
