//! What I/O processes of sockets tell, and what they are told. These messages stay on their node.

use crate::actor::local_message;
use crate::error::{IoEnd, IoError};
use crate::io::IoBytes;
use shard_wire::Alias;
use std::net::SocketAddr;

/// A connection is there: a server has accepted it, or a client has made it. Comes before its first data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpConnect {
    /// The connection. Send to it what is to be written.
    pub id: Alias,
    /// The peer.
    pub remote: SocketAddr,
    /// This side.
    pub local: SocketAddr,
}

/// Bytes of a connection: one read, or one frame if it has a [`Chunk`](crate::Chunk). Sent to a connection, it is written.
#[derive(Clone, Debug)]
pub struct TcpData {
    /// The connection.
    pub id: Alias,
    /// The bytes.
    pub data: IoBytes,
}

/// A connection has ended, or could not be made. Comes once for each [`TcpConnect`], after its last data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpDisconnect {
    /// The connection.
    pub id: Alias,
    /// Why.
    pub reason: IoEnd,
}

/// Called on a connection or a port, it is answered when its bytes have been handed to the system: whoever waits for that
/// sends no faster than the peer reads.
#[derive(Clone, Debug)]
pub struct WriteBytes(pub IoBytes);

/// Sent to an I/O process, it ends it in order: what waits to be written is written first, for 5 seconds at most. A web server
/// takes nothing more and answers what was asked, for as long as its `drain` says; a TCP server ends its connections at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloseIo;

/// A datagram, both ways.
#[derive(Clone, Debug)]
pub struct UdpPacket {
    /// The socket.
    pub id: Alias,
    /// The peer: from whom it came, or to whom it goes.
    pub address: SocketAddr,
    /// Its bytes.
    pub data: IoBytes,
}

local_message!(TcpConnect);
local_message!(TcpData);
local_message!(TcpDisconnect);
local_message!(WriteBytes => Result<(), IoError>);
local_message!(CloseIo);
local_message!(UdpPacket);
