//! The WebSocket client: what a user says of it, and the handshake that makes a socket of a response.
//!
//! Invariant: K1 a socket is there only if the server has proved that it has read this very request: its answer to the key is
//! checked, and it may choose no subprotocol and no extension that was not offered.

use crate::error::{IoEnd, IoError};
use crate::io::IoTarget;
use crate::io::open::{Io, IoProcess, Opener};
use crate::io::web::client::{ClientOptions, client_options};
use crate::io::web::exchange::{Peer, Stage};
use crate::io::web::url::{WS, without_secrets};
use crate::io::web::websocket_process::{Shared, Socket, Start, WsHello, WsLimits, WsProcess};
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, StatusCode};
use std::time::Duration;
use tungstenite::WebSocket;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

/// Headers that the handshake sets itself.
const RESERVED: &[&str] = &[
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
];

/// A WebSocket to be opened to a server, to be started with [`Context::spawn_io`](crate::Context::spawn_io).
///
/// Its receiver gets a [`WsConnect`](crate::WsConnect) when the socket is there, with the headers of the server's response, then a
/// [`WsMessage`](crate::WsMessage) for each message, and a [`WsDisconnect`](crate::WsDisconnect) at last. If it cannot be opened
/// there is only a [`WsDisconnect`](crate::WsDisconnect) that says why: [`IoEnd::Refused`] has the status of a server that does not
/// want it; redirections are not followed. A [`WsMessage`](crate::WsMessage) sent to it goes to the server; what is sent before it
/// is there waits.
///
/// It is opened once. A supervisor of its owner, or the owner itself, opens another when it has ended.
///
/// ```no_run
/// use shard_runtime::prelude::*;
/// use shard_runtime::{WebSocketClient, WsConnect, WsDisconnect, WsMessage};
///
/// #[derive(Default)]
/// struct Feed;
/// #[actor]
/// impl Feed {
///     fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
///         let socket = cx.spawn_io(WebSocketClient::open("ws://127.0.0.1:8080/feed").subprotocol("v2.feed"))?;
///         cx.send(socket.id, WsMessage::text(socket.id, "subscribe"))?;
///         Ok(())
///     }
///     #[handle]
///     fn news(&mut self, m: WsMessage, cx: &mut Context<'_>) -> ActorResult {
///         cx.log().info(m.as_text().unwrap_or("bytes"));
///         Ok(())
///     }
///     #[handle]
///     fn up(&mut self, _: WsConnect, _cx: &mut Context<'_>) -> ActorResult { Ok(()) }
///     #[handle]
///     fn down(&mut self, m: WsDisconnect, _cx: &mut Context<'_>) -> ActorResult { Err(m.reason.into()) }
/// }
/// ```
#[derive(Clone)]
pub struct WebSocketClient {
    client: ClientOptions,
    subprotocols: Vec<String>,
    limits: WsLimits,
}

client_options!(WebSocketClient);

impl WebSocketClient {
    /// A socket to this URL, `ws://` or, with [`tls`](WebSocketClient::tls), `wss://`. A host name is looked up beside the shard.
    #[must_use]
    pub fn open(url: impl Into<String>) -> Self {
        Self {
            client: ClientOptions::new(url.into()),
            subprotocols: Vec::new(),
            limits: WsLimits {
                max_message: 1 << 20,
                max_pending: 1 << 20,
                window: 256 << 10,
                ping_every: Duration::from_secs(30),
            },
        }
    }

    /// Offers a subprotocol; the first is the most wanted. Which of them the server has chosen is in the header
    /// `sec-websocket-protocol` of [`WsConnect`](crate::WsConnect); it may choose none.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Sets how long a message of the server may be. Default 1 MiB.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.limits.max_message = bytes;
        self
    }

    /// Sets how many bytes may wait to be sent before the socket ends as too slow. Default 1 MiB.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.limits.max_pending = bytes;
        self
    }

    /// Sets how many bytes that were read may be unhandled before no more are read. Default 256 KiB; one message may exceed it.
    #[must_use]
    pub fn max_unhandled(mut self, bytes: usize) -> Self {
        self.limits.window = bytes;
        self
    }

    /// Sets how often a server that is silent is asked whether it is still there; if it is silent for two of these, the socket
    /// ends. Default 30 s.
    #[must_use]
    pub fn ping_every(mut self, period: Duration) -> Self {
        self.limits.ping_every = period;
        self
    }

    fn check(&self) -> Result<(), IoError> {
        let limits = &self.limits;
        for (option, value) in [
            ("max_header", self.client.max_header),
            ("max_message", limits.max_message),
            ("max_pending", limits.max_pending),
            ("max_unhandled", limits.window),
        ] {
            if value == 0 {
                return Err(IoError::BadOption { option, value: "0".to_owned(), must_be: "at least 1 byte" });
            }
        }
        if limits.ping_every < Duration::from_millis(10) {
            let value = format!("{:?}", limits.ping_every);
            return Err(IoError::BadOption { option: "ping_every", value, must_be: "at least 10 ms" });
        }
        let is_token = |name: &&String| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte))
        };
        match self.subprotocols.iter().find(|name| !is_token(name)) {
            None => Ok(()),
            Some(name) => Err(IoError::BadOption {
                option: "subprotocol",
                value: name.clone(),
                must_be: "a token: letters, digits and none of the separators of HTTP",
            }),
        }
    }
}

impl IoProcess for WebSocketClient {
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError> {
        self.check()?;
        let (peer, target) = self.client.peer(opener, WS, RESERVED)?;
        let dial = WsDial { peer, subprotocols: self.subprotocols };
        let limits = self.limits;
        opener.spawn(
            |ident| WsProcess::new(Shared::new(ident, target, &limits), Start::Dialled(dial), limits, None),
            None,
        )
    }
}

/// How a socket is made.
pub(super) struct WsDial {
    peer: Peer,
    subprotocols: Vec<String>,
}

impl WsDial {
    /// Connects and shakes hands.
    pub(super) async fn connect(
        &self,
        shared: &Shared,
        limits: &WsLimits,
    ) -> Result<(WebSocket<Socket>, WsHello), IoEnd> {
        let stage = Stage::new("");
        let attempt = async {
            let key = generate_key();
            let (exchange, response) =
                self.peer.ask(&stage, self.handshake(&key)?, || shared.opened()).await?;
            let remote = exchange.remote;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                exchange.close().await;
                return Err(IoEnd::Refused { status: response.status().as_u16() });
            }
            let headers = response.into_parts().0.headers;
            verify(&headers, &derive_accept_key(key.as_bytes()), &self.subprotocols)?;
            let (stream, read) = exchange.upgrade().await?;
            let hello = WsHello { remote, uri: self.peer.url.uri.clone(), headers };
            Ok((limits.socket(stream, &read, Role::Client), hello))
        };
        self.peer.in_time(&stage, |waker| shared.is_closing(waker), attempt).await
    }

    /// The headers of the handshake.
    fn handshake(&self, key: &str) -> Result<HeaderMap, IoEnd> {
        let bad = |_| IoEnd::Protocol { reason: "a header of the handshake cannot be sent".to_owned() };
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(key).map_err(bad)?);
        if !self.subprotocols.is_empty() {
            let offer = HeaderValue::from_str(&self.subprotocols.join(", ")).map_err(bad)?;
            headers.insert(SEC_WEBSOCKET_PROTOCOL, offer);
        }
        Ok(headers)
    }
}

/// Whether the head of a response with status 101 keeps its side of the handshake (K1).
fn verify(headers: &HeaderMap, accept: &str, offered: &[String]) -> Result<(), IoEnd> {
    let broken = |reason: &str| Err(IoEnd::Protocol { reason: format!("no WebSocket handshake: {reason}") });
    let has_token = |name, token: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
    };
    if !has_token(UPGRADE, "websocket") || !has_token(CONNECTION, "upgrade") {
        return broken("the response changes to another protocol");
    }
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    if accepts.next().is_none_or(|value| value != accept) || accepts.next().is_some() {
        return broken("the answer to the key is wrong");
    }
    if headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().any(|value| !value.is_empty()) {
        return broken("the server uses an extension that was not offered");
    }
    let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    match (chosen.next(), chosen.next()) {
        (None, None) => Ok(()),
        (Some(one), None) if offered.iter().any(|name| one == name.as_str()) => Ok(()),
        _ => broken("the server has chosen a subprotocol that was not offered"),
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, HeaderValue, IoEnd, verify};

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn check(changes: &[(&'static str, Option<&'static str>)]) -> Result<(), IoEnd> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-accept", ACCEPT),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in changes {
            match value {
                Some(value) => drop(headers.insert(*name, HeaderValue::from_static(value))),
                None => drop(headers.remove(*name)),
            }
        }
        verify(&headers, ACCEPT, &["v1".to_owned(), "v2".to_owned()])
    }

    #[test]
    fn a_handshake_is_checked_in_every_part() {
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[("sec-websocket-protocol", Some("v2"))]), Ok(()));
        for change in [
            ("upgrade", None),
            ("upgrade", Some("h2c")),
            ("connection", None),
            ("connection", Some("close")),
            ("sec-websocket-accept", None),
            ("sec-websocket-accept", Some("c3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
            ("sec-websocket-extensions", Some("permessage-deflate")),
            ("sec-websocket-protocol", Some("v3")),
            ("sec-websocket-protocol", Some("V2")),
            ("sec-websocket-protocol", Some("v1, v2")),
        ] {
            let refused = check(&[change]);
            assert!(matches!(refused, Err(IoEnd::Protocol { .. })), "{change:?}: {refused:?}");
        }
    }
}
