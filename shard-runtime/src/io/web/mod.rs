//! The web server: HTTP/1.1 on the shard, with actors that answer requests, WebSockets and event streams.
//!
//! hyper speaks the protocol, through adapters over the shard's own sockets and timers; no other runtime is there.

mod answer;
mod body;
mod call;
mod connection;
mod message;
mod progress;
mod route;
mod server;
mod socket;
mod sse;
mod websocket;
mod websocket_process;

pub use message::{WebRequest, WebResponse};
pub use route::{WebHandler, WebRoute};
pub use server::WebServer;
pub use sse::{SseConnect, SseDisconnect, SseHandler, SseMessage};
pub use websocket::{WebSocketHandler, WsConnect, WsDisconnect, WsKind, WsMessage};
