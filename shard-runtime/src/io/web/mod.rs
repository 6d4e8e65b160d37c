//! The web server: HTTP/1.1 on the shard, with actors that answer requests, WebSockets and event streams; and clients of both.
//!
//! hyper speaks the protocol, through adapters over the shard's own sockets and timers; no other runtime is there.

mod answer;
mod body;
mod call;
mod client;
mod connection;
mod exchange;
mod message;
mod progress;
mod route;
mod server;
mod socket;
mod sse;
mod sse_client;
mod sse_parser;
mod sse_process;
mod url;
mod websocket;
mod websocket_client;
mod websocket_process;

pub use message::{WebRequest, WebResponse};
pub use route::{WebHandler, WebRoute};
pub use server::WebServer;
pub use sse::{SseConnect, SseDisconnect, SseHandler, SseMessage};
pub use sse_client::{SseClient, SseEvent};
pub use websocket::{WebSocketHandler, WsConnect, WsDisconnect, WsKind, WsMessage};
pub use websocket_client::WebSocketClient;
