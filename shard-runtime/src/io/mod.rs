//! I/O processes: sockets, servers and programs that talk to actors by messages.
//!
//! An I/O process is a process of its shard like any other: it has a pid, an alias by which messages call it, a mailbox, counters,
//! and it can be monitored, inspected and killed. Beside it a task of the shard reads and writes, and never blocks. It belongs to
//! the process that started it and ends with it.

mod bytes;
mod chunk;
mod drain;
#[cfg(feature = "tls")]
mod link_tls;
mod message;
mod open;
mod port;
mod stream;
mod target;
mod tcp;
#[cfg_attr(not(feature = "tls"), path = "tls_off.rs")]
mod tls;
#[cfg(feature = "tls")]
mod tls_stream;
mod udp;
#[cfg(feature = "web")]
mod web;

pub use bytes::{IoBytes, IoText};
pub use chunk::Chunk;
#[cfg(feature = "tls")]
pub use link_tls::{CertificateNames, LinkTls};
pub use message::{CloseIo, TcpConnect, TcpData, TcpDisconnect, UdpPacket, WriteBytes};
pub use open::{Io, IoProcess};
pub use port::{Port, PortData, PortError, PortStart, PortStatus, PortTerminate, PortText};
pub use target::IoTarget;
pub use tcp::{TcpClient, TcpServer};
#[cfg(feature = "tls")]
pub use tls::{TlsClient, TlsServer};
pub use udp::UdpServer;
#[cfg(feature = "web")]
pub use web::{
    SseClient, SseConnect, SseDisconnect, SseEvent, SseHandler, SseMessage, WebHandler, WebRequest,
    WebResponse, WebRoute, WebServer, WebSocketClient, WebSocketHandler, WsConnect, WsDisconnect, WsKind,
    WsMessage,
};

#[cfg(feature = "web")]
pub(crate) use bytes::Lease;
pub(crate) use bytes::Window;
#[cfg(feature = "web")]
pub(crate) use drain::Draining;
pub(crate) use drain::{Drain, Drains};
#[cfg(feature = "tls")]
pub(crate) use link_tls::TlsSession;
#[cfg(feature = "web")]
pub(crate) use tcp::tls_end;
#[cfg(not(feature = "tls"))]
pub(crate) use tls::{LinkTls, TlsSession};
