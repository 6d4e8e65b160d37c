//! TCP: a server that accepts, a client that dials, and the connections of both.

mod client;
mod connection;
mod dial;
mod options;
mod outbox;
mod server;

pub use client::TcpClient;
pub use server::TcpServer;

#[cfg(feature = "web")]
pub(crate) use connection::tls_end;
#[cfg(feature = "web")]
pub(crate) use dial::dial;
pub(crate) use outbox::{Outbox, Written};
#[cfg(feature = "web")]
pub(crate) use server::{Accept, Open, accept_all, listen};
