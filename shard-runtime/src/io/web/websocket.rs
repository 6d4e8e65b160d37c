//! What a user says of WebSockets and hears of them, and the handshake that makes one of a request.
//!
//! Invariant: W3 a page of another origin is refused unless it is allowed.

use crate::actor::local_message;
use crate::error::IoEnd;
use crate::io::{IoBytes, IoTarget};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use shard_wire::Alias;
use std::net::SocketAddr;
use std::time::Duration;

/// Makes WebSockets of requests.
///
/// A page may connect if it comes from the same host; [`origins`](WebSocketHandler::origins) allows others.
#[derive(Clone, Debug)]
pub struct WebSocketHandler {
    pub(super) targets: Vec<IoTarget>,
    origins: Option<Vec<String>>,
    is_any_origin: bool,
    pub(super) max_message: usize,
    pub(super) max_pending: usize,
    pub(super) window: usize,
    pub(super) ping_every: Duration,
}

impl WebSocketHandler {
    /// Hands what browsers send to this process.
    #[must_use]
    pub fn to(target: impl Into<IoTarget>) -> Self {
        Self {
            targets: vec![target.into()],
            origins: None,
            is_any_origin: false,
            max_message: 1 << 20,
            max_pending: 1 << 20,
            window: 256 << 10,
            ping_every: Duration::from_secs(30),
        }
    }

    /// Adds another process; they get sockets in turn, each for its life.
    #[must_use]
    pub fn and(mut self, target: impl Into<IoTarget>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// Allows pages of these origins, such as `https://example.org`, and no others.
    #[must_use]
    pub fn origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Allows pages of any origin: only for what anybody may do.
    #[must_use]
    pub fn any_origin(mut self) -> Self {
        self.is_any_origin = true;
        self
    }

    /// Sets how long a message may be. Default 1 MiB.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets how many bytes may wait for one browser before it is cut off. Default 1 MiB.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = bytes;
        self
    }

    /// Sets how many bytes that were read may be unhandled before no more are read. Default 256 KiB; one message may exceed it.
    #[must_use]
    pub fn max_unhandled(mut self, bytes: usize) -> Self {
        self.window = bytes.max(1);
        self
    }

    /// Sets how often a browser that is silent is asked whether it is still there; if it is silent for two of these, it is cut
    /// off. Default 30 s.
    #[must_use]
    pub fn ping_every(mut self, period: Duration) -> Self {
        self.ping_every = period.max(Duration::from_millis(10));
        self
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let Some(origin) = text(ORIGIN) else { return true };
        if let Some(origins) = &self.origins {
            return origins.iter().any(|known| known == origin);
        }
        self.is_any_origin || origin.split_once("://").is_some_and(|(_, host)| Some(host) == text(HOST))
    }
}

/// A socket is there: a browser has connected, or a [`WebSocketClient`](crate::WebSocketClient) has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WsConnect {
    /// The socket. Send it [`WsMessage`]s.
    pub id: Alias,
    /// The peer.
    pub remote: SocketAddr,
    /// What the browser asked for; the URL of a client.
    pub uri: Uri,
    /// The headers of the browser's request; those of the server's response, if it is the socket of a client.
    pub headers: HeaderMap,
}

/// A WebSocket has ended, or could not be opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WsDisconnect {
    /// The socket.
    pub id: Alias,
    /// Why.
    pub reason: IoEnd,
}

/// What a message of a WebSocket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WsKind {
    /// Text, which is UTF-8.
    #[default]
    Text,
    /// Any bytes.
    Binary,
}

/// A message of a WebSocket, both ways. Pings are answered, and pongs taken, without it.
#[derive(Clone, Debug)]
pub struct WsMessage {
    /// The socket.
    pub id: Alias,
    /// Text or bytes.
    pub kind: WsKind,
    /// The whole message.
    pub body: IoBytes,
}

impl WsMessage {
    /// A text.
    #[must_use]
    pub fn text(id: Alias, text: impl Into<String>) -> Self {
        Self { id, kind: WsKind::Text, body: text.into().into() }
    }

    /// Bytes.
    #[must_use]
    pub fn binary(id: Alias, bytes: impl Into<IoBytes>) -> Self {
        Self { id, kind: WsKind::Binary, body: bytes.into() }
    }

    /// The text of a text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok().filter(|_| self.kind == WsKind::Text)
    }
}

local_message!(WsConnect);
local_message!(WsDisconnect);
local_message!(WsMessage => ());

/// What a connection becomes once its response is written.
pub(super) struct Upgrade {
    pub(super) handler: WebSocketHandler,
    pub(super) index: usize,
    pub(super) remote: SocketAddr,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// Answers a request for a WebSocket.
pub(super) fn accept(
    handler: &WebSocketHandler,
    index: usize,
    remote: SocketAddr,
    request: Request<()>,
) -> Result<(Response<()>, Upgrade), (StatusCode, String)> {
    if !handler.allows(request.headers()) {
        return Err((StatusCode::FORBIDDEN, "pages of this origin may not connect".to_owned()));
    }
    let response = tungstenite::handshake::server::create_response(&request)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("no WebSocket handshake: {error}")))?;
    let (parts, ()) = request.into_parts();
    let upgrade = Upgrade { handler: handler.clone(), index, remote, uri: parts.uri, headers: parts.headers };
    Ok((response, upgrade))
}
