//! Streams of events to browsers (server-sent events): each is a process to which actors send what the browser gets.
//!
//! Invariant: S1 what waits for a browser is bounded: a browser that reads too slowly is cut off. S2 whoever gets
//! [`SseConnect`] gets [`SseDisconnect`] once.

use crate::actor::{Context, Inspect, local_message};
use crate::error::{ActorResult, ExitReason, IoEnd};
use crate::io::CloseIo;
use crate::io::open::{Ident, Opener};
use crate::io::target::{IoTarget, Sent};
use crate::io::web::body::WebBody;
use crate::io::web::server::{Lasting, Site};
use crate::shard::{Pause, on_shard, with_current};
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use shard_runtime_macros::{actor, handle};
use shard_wire::Alias;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

/// Gives browsers streams of events. A request that does not accept `text/event-stream` gets status 406.
#[derive(Clone, Debug)]
pub struct SseHandler {
    targets: Vec<IoTarget>,
    heartbeat: Duration,
    max_pending: usize,
}

impl SseHandler {
    /// Tells this process of each stream.
    #[must_use]
    pub fn to(target: impl Into<IoTarget>) -> Self {
        Self { targets: vec![target.into()], heartbeat: Duration::from_secs(30), max_pending: 1 << 20 }
    }

    /// Adds another process; they get streams in turn.
    #[must_use]
    pub fn and(mut self, target: impl Into<IoTarget>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// Sets how long nothing is sent before a comment is, which finds out whether the browser is still there. Default 30 s.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = every.max(Duration::from_millis(10));
        self
    }

    /// Sets how many bytes may wait for one browser before it is cut off. Default 1 MiB.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = bytes;
        self
    }
}

/// A stream is there: a browser listens, and gets what is sent to `id` as [`SseMessage`]; or a
/// [`SseClient`](crate::SseClient) does, and [`SseEvent`](crate::SseEvent)s follow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SseConnect {
    /// The stream.
    pub id: Alias,
    /// The peer.
    pub remote: SocketAddr,
    /// What the browser asked for; the URL of a client.
    pub uri: Uri,
    /// The headers of the browser's request; those of the server's response, if it is the stream of a client.
    pub headers: HeaderMap,
    /// The id of the last event that came before the stream was cut off, if there is one and it was said.
    pub last_event_id: Option<String>,
}

/// A stream has ended, or could not be opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SseDisconnect {
    /// The stream.
    pub id: Alias,
    /// Why.
    pub reason: IoEnd,
    /// After which time a client tries it again. `None`: it is over, as it always is for the stream of a browser.
    pub again: Option<Duration>,
}

/// An event for a browser.
#[derive(Clone, Debug, Default)]
pub struct SseMessage {
    /// The event's name; `message` for browsers if there is none.
    pub event: Option<String>,
    /// The event's id, which the browser sends when it comes back.
    pub id: Option<String>,
    /// How long the browser is to wait before it comes back, in milliseconds.
    pub retry: Option<u64>,
    /// The data, of as many lines as wanted.
    pub data: String,
}

impl SseMessage {
    /// An event of data alone.
    #[must_use]
    pub fn data(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// As it is sent. A name or an id ends at its first line break, which would begin another field.
    fn encode(&self) -> Bytes {
        let mut text = String::with_capacity(self.data.len() + 32);
        let first_line = |value: &str| value.split(['\r', '\n', '\0']).next().unwrap_or("").to_owned();
        // Writing into a string does not fail.
        if let Some(event) = &self.event {
            let _infallible = writeln!(text, "event: {}", first_line(event));
        }
        if let Some(id) = &self.id {
            let _infallible = writeln!(text, "id: {}", first_line(id));
        }
        if let Some(retry) = self.retry {
            let _infallible = writeln!(text, "retry: {retry}");
        }
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            let _infallible = writeln!(text, "data: {line}");
        }
        text.push('\n');
        text.into()
    }
}

local_message!(SseConnect);
local_message!(SseDisconnect);
local_message!(SseMessage);

/// What the process of a stream and the body of its response share.
struct Shared {
    ident: Rc<Ident>,
    target: IoTarget,
    queue: RefCell<VecDeque<Bytes>>,
    bytes: Cell<usize>,
    sent: Cell<u64>,
    is_over: Cell<bool>,
    waker: Cell<Option<Waker>>,
    end: RefCell<Option<IoEnd>>,
}

impl Shared {
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
    fn close(&self) {
        self.end(IoEnd::Local);
    }
}

/// Makes a response of a request for events, and the process that fills it.
pub(super) fn accept(
    site: &Site,
    handler: &SseHandler,
    index: usize,
    remote: SocketAddr,
    request: &Request<Incoming>,
) -> Result<Response<WebBody>, (StatusCode, &'static str)> {
    let accepts = request.headers().get_all(ACCEPT).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.contains("text/event-stream") || value.contains("*/*"))
    });
    if !accepts {
        return Err((StatusCode::NOT_ACCEPTABLE, "this is a stream of events: accept text/event-stream"));
    }
    let unavailable = (StatusCode::SERVICE_UNAVAILABLE, "no stream can be opened now");
    let target = handler.targets.get(index % handler.targets.len().max(1)).ok_or(unavailable)?.clone();
    let header = |name: &str| request.headers().get(name)?.to_str().ok().map(str::to_owned);
    let last_event_id = header("last-event-id");
    let (uri, headers, max) = (request.uri().clone(), request.headers().clone(), handler.max_pending);
    let mut made = None;
    let opened = with_current(|shard| {
        let opener = Opener { shard: shard?, owner: site.ident.local() };
        let stream = |ident: Rc<Ident>| {
            let shared = Rc::new(Shared {
                ident,
                target,
                queue: RefCell::default(),
                bytes: Cell::new(0),
                sent: Cell::new(0),
                is_over: Cell::new(false),
                waker: Cell::new(None),
                end: RefCell::new(None),
            });
            site.keep(&(Rc::clone(&shared) as Rc<dyn Lasting>));
            made = Some(Rc::clone(&shared));
            SseStream { shared, max, hello: Some((remote, uri, headers, last_event_id)), is_known: false }
        };
        opener.spawn(stream, None).ok()
    });
    let (Some(_), Some(shared)) = (opened, made) else { return Err(unavailable) };
    let heartbeat = handler.heartbeat;
    let feed = Feed { shared, heartbeat, silence: Pause::new(heartbeat), is_new: true };
    let mut response = Response::new(WebBody::events(feed));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// The events of one stream as the body of a response.
pub(super) struct Feed {
    shared: Rc<Shared>,
    heartbeat: Duration,
    silence: Pause,
    is_new: bool,
}

impl Feed {
    pub(super) fn poll_next(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Bytes>> {
        if std::mem::take(&mut self.is_new) {
            return Poll::Ready(Some(Bytes::from_static(b": connected\n\n")));
        }
        if let Some(next) = self.shared.queue.borrow_mut().pop_front() {
            self.shared.bytes.set(self.shared.bytes.get() - next.len());
            self.silence = Pause::new(self.heartbeat);
            return Poll::Ready(Some(next));
        }
        if self.shared.is_over.get() {
            return Poll::Ready(None);
        }
        self.shared.waker.set(Some(task.waker().clone()));
        if Pin::new(&mut self.silence).poll(task).is_ready() {
            self.silence = Pause::new(self.heartbeat);
            return Poll::Ready(Some(Bytes::from_static(b": heartbeat\n\n")));
        }
        Poll::Pending
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.shared.is_over.get() {
            self.shared.end(IoEnd::Closed);
        }
    }
}

/// The process of a stream.
struct SseStream {
    shared: Rc<Shared>,
    max: usize,
    hello: Option<(SocketAddr, Uri, HeaderMap, Option<String>)>,
    is_known: bool,
}

#[actor(crate = shard_runtime)]
impl SseStream {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.shard().count(|cells| &cells.io_opened, 1);
        let Some((remote, uri, headers, last_event_id)) = self.hello.take() else { return Ok(()) };
        let connect = SseConnect { id: self.shared.ident.alias(), remote, uri, headers, last_event_id };
        match self.shared.target.send(cx.shard(), connect) {
            Sent::Yes => self.is_known = true,
            Sent::Full(_) | Sent::Gone => self.shared.end(IoEnd::NoTarget),
        }
        Ok(())
    }

    #[handle]
    fn event(&mut self, m: SseMessage, _cx: &mut Context<'_>) -> ActorResult {
        let bytes = m.encode();
        let (pending, limit) = (self.shared.bytes.get() + bytes.len(), self.max);
        if pending > limit {
            self.shared.end(IoEnd::SlowPeer { pending, limit });
            return Ok(());
        }
        self.shared.bytes.set(pending);
        self.shared.sent.set(self.shared.sent.get() + 1);
        self.shared.queue.borrow_mut().push_back(bytes);
        self.shared.wake();
        Ok(())
    }

    #[handle]
    fn close(&mut self, _: CloseIo, _cx: &mut Context<'_>) -> ActorResult {
        self.shared.end(IoEnd::Local);
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        self.shared.is_over.set(true);
        self.shared.wake();
        let end = self.shared.end.borrow().clone();
        let end = end.unwrap_or_else(|| IoEnd::by(reason));
        cx.shard().count_io_end(end.is_ordinary());
        if self.is_known {
            let news = SseDisconnect { id: self.shared.ident.alias(), reason: end, again: None };
            self.shared.target.clone().tell(cx.shard(), news);
        }
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("events", self.shared.sent.get());
        out.set("bytes pending", self.shared.bytes.get());
    }
}

#[cfg(test)]
mod tests {
    use super::SseMessage;

    #[test]
    fn an_event_is_written_as_browsers_read_it() {
        let event = SseMessage {
            event: Some("tick\nevil: 1".into()),
            id: Some("7".into()),
            retry: Some(500),
            data: "one\r\ntwo\nthree\rfour".into(),
        };
        let text = "event: tick\nid: 7\nretry: 500\ndata: one\ndata: two\ndata: three\ndata: four\n\n";
        assert_eq!(event.encode(), text);
        assert_eq!(SseMessage::data("").encode(), "data: \n\n");
    }
}
