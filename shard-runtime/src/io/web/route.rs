//! Which handler gets which path.

use crate::error::IoError;
use crate::io::IoTarget;
use crate::io::web::sse::SseHandler;
use crate::io::web::websocket::WebSocketHandler;
use std::cell::Cell;
use std::time::Duration;

/// Has actors answer requests: each [`WebRequest`](crate::WebRequest) is a call to one of them.
///
/// A worker that is not there or has no room is passed over; if none takes the request: status 503, with `Retry-After`. One that
/// ends before it answers: 502. One that takes too long: 504; what it answers then is dropped. A body that is too long: 413.
#[derive(Clone, Debug)]
pub struct WebHandler {
    pub(super) targets: Vec<IoTarget>,
    pub(super) timeout: Duration,
    pub(super) max_body: usize,
}

impl WebHandler {
    /// Calls this process: a pool, a router, or one worker.
    #[must_use]
    pub fn to(target: impl Into<IoTarget>) -> Self {
        Self { targets: vec![target.into()], timeout: Duration::from_secs(5), max_body: 1 << 20 }
    }

    /// Adds another process; they get requests in turn, and one that takes none now is passed over.
    #[must_use]
    pub fn and(mut self, target: impl Into<IoTarget>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// Sets how long the worker may take. Default 5 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets how long the body of a request may be. Default 1 MiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum WebRoute {
    /// An actor is called.
    Worker(WebHandler),
    /// It becomes a WebSocket.
    WebSocket(WebSocketHandler),
    /// It becomes a stream of events.
    Sse(SseHandler),
}

macro_rules! into_handler {
    ($($type:ident $variant:ident,)*) => {
        $(impl From<$type> for WebRoute {
            fn from(handler: $type) -> Self {
                Self::$variant(handler)
            }
        })*
    };
}
into_handler! { WebHandler Worker, WebSocketHandler WebSocket, SseHandler Sse, }

/// The handlers of a server by path.
#[derive(Default)]
pub(super) struct Routes {
    entries: Vec<(String, bool, WebRoute, Cell<usize>)>,
}

impl Routes {
    pub(super) fn new(routes: Vec<(String, WebRoute)>) -> Result<Self, IoError> {
        let mut entries = Vec::with_capacity(routes.len());
        for (pattern, handler) in routes {
            if !pattern.starts_with('/') {
                return Err(IoError::BadOption {
                    option: "WebServer::route",
                    value: pattern,
                    must_be: "a path that begins with `/`; one that ends with `/*` takes all below it",
                });
            }
            let (path, takes_all) = match pattern.strip_suffix('*') {
                Some(prefix) => (prefix.to_owned(), true),
                None => (pattern, false),
            };
            entries.push((path, takes_all, handler, Cell::new(0)));
        }
        // The longest one is found first, and an exact one before the one that takes all below.
        entries.sort_by_key(|(path, takes_all, ..)| (std::cmp::Reverse(path.len()), *takes_all));
        Ok(Self { entries })
    }

    /// The handler of a path, and the number of the request among its own.
    pub(super) fn find(&self, path: &str) -> Option<(&WebRoute, usize)> {
        let matches = |known: &str, takes_all| {
            if takes_all {
                path.starts_with(known) || known.strip_suffix('/') == Some(path)
            } else {
                path == known
            }
        };
        let found = self.entries.iter().find(|(known, takes_all, ..)| matches(known, *takes_all));
        found.map(|(_, _, handler, count)| (handler, count.replace(count.get().wrapping_add(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::{Routes, WebHandler, WebRoute};

    #[test]
    fn the_longest_path_wins_and_an_exact_one_before_all_below() {
        let route = |path: &str| (path.to_owned(), WebRoute::from(WebHandler::to(path)));
        let paths = ["/*", "/api/*", "/api/v1", "/"];
        let routes = Routes::new(paths.map(route).into()).unwrap();
        let found = |path: &str| match routes.find(path) {
            Some((WebRoute::Worker(handler), _)) => format!("{:?}", handler.targets[0]),
            _ => String::new(),
        };
        for (path, route) in [
            ("/", "/"),
            ("/other", "/*"),
            ("/api", "/api/*"),
            ("/api/", "/api/*"),
            ("/api/v1", "/api/v1"),
            ("/api/v1/x", "/api/*"),
            ("/apix", "/*"),
        ] {
            assert!(found(path).contains(&format!("{route:?}")), "{path}: {}", found(path));
        }
        assert!(Routes::new(vec![route("x")]).is_err());
        assert!(Routes::new(vec![route("/x")]).unwrap().find("/y").is_none());
    }
}
