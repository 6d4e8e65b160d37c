//! The client of a stream of events: what a user says of it and hears from it.

use crate::actor::local_message;
use crate::error::IoError;
use crate::io::open::{Io, IoProcess, Opener};
use crate::io::web::client::{ClientOptions, client_options};
use crate::io::web::sse_parser::Bounds;
use crate::io::web::sse_process::{Plan, SseFollower, Tries};
use crate::io::web::url::{HTTP, without_secrets};
use crate::io::{IoTarget, IoText};
use shard_wire::Alias;
use std::sync::Arc;
use std::time::Duration;

/// Headers that the client sets itself.
const RESERVED: &[&str] =
    &["accept", "cache-control", "content-length", "last-event-id", "transfer-encoding"];

/// A stream of events (server-sent events) to be followed, to be started with [`Context::spawn_io`](crate::Context::spawn_io).
///
/// Its receiver gets a [`SseConnect`](crate::SseConnect) when the stream is there, then a [`SseEvent`] for each event, and a
/// [`SseDisconnect`](crate::SseDisconnect) when it has ended, which says when it is tried again: with the id of the last event, so
/// that a server that keeps events goes on where it was cut off. A server that closed is asked again after the pause that it wants;
/// after a failure the pauses grow, up to [`max_retry`](SseClient::max_retry), all a quarter shorter or longer at random. Only the
/// first failure of a row is told, and the last.
///
/// It is over, with a [`SseDisconnect`](crate::SseDisconnect) whose `again` is `None`, when the server answers with status 204,
/// after [`max_failures`](SseClient::max_failures) failures in a row, or on request
/// ([`CloseIo`](crate::CloseIo)). A failure is: no connection, another status than 200
/// ([`IoEnd::Refused`](crate::IoEnd::Refused); redirections are not followed), another type of content, and a stream that broke
/// before it brought an event.
///
/// While too much of what was read is unhandled, the stream is not read on. What is no UTF-8 is replaced.
///
/// ```no_run
/// use shard_runtime::prelude::*;
/// use shard_runtime::{SseClient, SseConnect, SseDisconnect, SseEvent};
///
/// #[derive(Default)]
/// struct Prices;
/// #[actor]
/// impl Prices {
///     fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
///         cx.spawn_io(SseClient::follow("http://127.0.0.1:8080/prices"))?;
///         Ok(())
///     }
///     #[handle]
///     fn price(&mut self, m: SseEvent, cx: &mut Context<'_>) -> ActorResult {
///         cx.log().info(format_args!("{}: {}", m.event, m.data));
///         Ok(())
///     }
///     #[handle]
///     fn up(&mut self, _: SseConnect, _cx: &mut Context<'_>) -> ActorResult { Ok(()) }
///     #[handle]
///     fn down(&mut self, m: SseDisconnect, _cx: &mut Context<'_>) -> ActorResult {
///         if m.again.is_none() { Err(m.reason.into()) } else { Ok(()) }
///     }
/// }
/// ```
#[derive(Clone)]
pub struct SseClient {
    client: ClientOptions,
    last_event_id: Option<Arc<str>>,
    bounds: Bounds,
    window: usize,
    idle: Option<Duration>,
    tries: Tries,
}

client_options!(SseClient);

impl SseClient {
    /// The events of this URL, `http://` or, with [`tls`](SseClient::tls), `https://`. A host name is looked up beside the shard, at
    /// each try.
    #[must_use]
    pub fn follow(url: impl Into<String>) -> Self {
        Self {
            client: ClientOptions::new(url.into()),
            last_event_id: None,
            bounds: Bounds { line: 64 << 10, event: 256 << 10 },
            window: 256 << 10,
            idle: None,
            tries: Tries {
                retry: Duration::from_secs(3),
                max_retry: Duration::from_secs(30),
                max_failures: 20,
            },
        }
    }

    /// Goes on after the event with this id, as if it had come. Default: from wherever the server begins.
    #[must_use]
    pub fn last_event_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.last_event_id = Some(id.into());
        self
    }

    /// Sets the pause before it is tried again, until the server names one. Default 3 s. A server may name 100 ms at least, and
    /// [`max_retry`](SseClient::max_retry) at most.
    #[must_use]
    pub fn retry(mut self, pause: Duration) -> Self {
        self.tries.retry = pause;
        self
    }

    /// Sets the longest pause. Default 30 s.
    #[must_use]
    pub fn max_retry(mut self, pause: Duration) -> Self {
        self.tries.max_retry = pause;
        self
    }

    /// Sets after how many failures in a row it is over. Default 20.
    #[must_use]
    pub fn max_failures(mut self, failures: u32) -> Self {
        self.tries.max_failures = failures;
        self
    }

    /// Ends a connection on which nothing comes for this long, not even a comment; it counts as broken. Default: never, but the
    /// system finds out in minutes whether the server's machine is still there.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }

    /// Sets how long a line may be. A longer one ends the connection. Default 64 KiB.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.bounds.line = bytes;
        self
    }

    /// Sets how long the data of an event may be. More of it ends the connection. Default 256 KiB.
    #[must_use]
    pub fn max_event(mut self, bytes: usize) -> Self {
        self.bounds.event = bytes;
        self
    }

    /// Sets how many bytes of events may be unhandled before no more are read. Default 256 KiB; one event may exceed it.
    #[must_use]
    pub fn max_unhandled(mut self, bytes: usize) -> Self {
        self.window = bytes;
        self
    }

    fn check(&self) -> Result<(), IoError> {
        for (option, value, must_be) in [
            ("max_header", self.client.max_header, "at least 1 byte"),
            ("max_line", self.bounds.line, "at least 1 byte"),
            ("max_event", self.bounds.event, "at least 1 byte"),
            ("max_unhandled", self.window, "at least 1 byte"),
            ("max_failures", self.tries.max_failures as usize, "at least 1"),
        ] {
            if value == 0 {
                return Err(IoError::BadOption { option, value: "0".to_owned(), must_be });
            }
        }
        let Tries { retry, max_retry, .. } = self.tries;
        let idle = self.idle.unwrap_or(Duration::MAX);
        for (option, value, is_sound, must_be) in [
            (
                "retry",
                retry,
                !retry.is_zero() && retry <= max_retry,
                "longer than nothing, `max_retry` at most",
            ),
            ("idle_timeout", idle, !idle.is_zero(), "longer than nothing"),
        ] {
            if !is_sound {
                return Err(IoError::BadOption { option, value: format!("{value:?}"), must_be });
            }
        }
        Ok(())
    }
}

impl IoProcess for SseClient {
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError> {
        self.check()?;
        let (peer, target) = self.client.peer(opener, HTTP, RESERVED)?;
        let plan = Plan { peer, bounds: self.bounds, tries: self.tries, idle: self.idle };
        let (window, last_id) = (self.window, self.last_event_id);
        opener.spawn(|ident| SseFollower::new(ident, target, window, last_id, plan), None)
    }
}

/// An event of a stream that a [`SseClient`] follows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SseEvent {
    /// The client.
    pub id: Alias,
    /// The event's name; `message` if it has none.
    pub event: Arc<str>,
    /// Its data, with a newline between its lines.
    pub data: IoText,
    /// The id of the last event that had one, this one included: where the stream goes on after it.
    pub last_event_id: Option<Arc<str>>,
}

local_message!(SseEvent);
