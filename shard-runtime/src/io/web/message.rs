//! A request as its worker gets it, and the response as the worker returns it: a value, so it is written once or not at all.

use crate::actor::local_message;
use crate::io::Lease;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use std::net::SocketAddr;

/// A request to a web server, called on its worker, which returns a [`WebResponse`].
///
/// It counts as unhandled until it is dropped, also if its client has gone: see
/// [`WebServer::max_unhandled`](crate::WebServer::max_unhandled).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebRequest {
    /// What is asked for.
    pub method: Method,
    /// The path and the query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Who asks.
    pub remote: SocketAddr,
    /// Given back when the request is dropped.
    pub(super) _share: Share,
}

/// A request's part of what the workers of its server may have unhandled; given back with the request. Clones do not count.
#[derive(Default)]
pub(super) struct Share(Option<Lease>);

impl Share {
    pub(super) fn of(lease: Lease) -> Self {
        Self(Some(lease))
    }
}

impl Clone for Share {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "counted" } else { "free" })
    }
}

impl WebRequest {
    /// A request as if it had come from outside: for tests of workers.
    ///
    /// # Panics
    /// The target is no path.
    #[must_use]
    pub fn for_test(method: Method, target: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            uri: Uri::from_static(target),
            headers: HeaderMap::new(),
            body: body.into(),
            remote: SocketAddr::from(([127, 0, 0, 1], 0)),
            _share: Share::default(),
        }
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The first value of a key of the query, as it stands there: not decoded.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<&str> {
        let pairs = self.uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// A header's value, if it is readable text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is not what is expected.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// The response to a [`WebRequest`].
#[derive(Clone, Debug)]
pub struct WebResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers. The length and the date are added.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl WebResponse {
    /// An empty response with this status.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Status 200 with these bytes.
    #[must_use]
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::status(StatusCode::OK) }
    }

    /// Status 200 with a text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::ok(text.into()).typed("text/plain; charset=utf-8")
    }

    /// Status 200 with a page.
    #[must_use]
    pub fn html(page: impl Into<String>) -> Self {
        Self::ok(page.into()).typed("text/html; charset=utf-8")
    }

    /// Status 200 with a value as JSON; status 500 if the value cannot be written so.
    #[must_use]
    pub fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::ok(json).typed("application/json"),
            Err(error) => Self::text(error.to_string()).with_status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// A plain text that says what is wrong.
    #[must_use]
    pub fn error(status: StatusCode, text: impl Into<String>) -> Self {
        Self::text(text).with_status(status)
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds a header.
    ///
    /// # Errors
    /// The value has bytes that no header may have.
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Result<Self, InvalidHeaderValue> {
        self.headers.append(name, HeaderValue::from_str(value)?);
        Ok(self)
    }

    fn typed(mut self, kind: &'static str) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self
    }
}

local_message!(WebRequest => WebResponse);
