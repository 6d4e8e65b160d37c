//! A connection of a link on the control thread, plain or through TLS: its handshake of TLS, its halves, and its way to a shard.
//!
//! Invariants: S1 with TLS nothing is read or written in plain text but the refusal of a peer that speaks it. S2 the channel
//! binding of two connections differs, so a proof made on one is none on another. S3 a peer that is refused hears why before
//! the connection is closed, as far as it listens.

use crate::io::{LinkTls, TlsSession};
use shard_wire::NodeName;
use shard_wire::handshake::Reason;
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(feature = "tls")]
use {crate::control::stream_tls as secured, crate::control::stream_tls::Secured};

/// A connection between two nodes.
#[derive(Debug)]
pub(super) enum LinkStream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<Secured>),
}

/// A connection as a shard takes it over: non-blocking.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) tls: Option<Box<TlsSession>>,
}

impl LinkStream {
    /// Takes an accepted connection; with `tls` once its handshake is done.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_async, reason = "there is no TLS to wait for"))]
    pub(super) async fn accepted(stream: TcpStream, tls: Option<&LinkTls>) -> Result<Self, Reason> {
        match tls {
            None => Ok(Self::Plain(stream)),
            #[cfg(feature = "tls")]
            Some(tls) => secured::accept(stream, tls).await.map(|tls| Self::Tls(Box::new(tls))),
            #[cfg(not(feature = "tls"))]
            Some(tls) => match *tls {},
        }
    }

    /// Takes a connection that was made to `address`; with `tls` once its handshake is done and the certificate counts for
    /// `expected`.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_async, reason = "there is no TLS to wait for"))]
    pub(super) async fn dialled(
        stream: TcpStream,
        tls: Option<&LinkTls>,
        expected: Option<&NodeName>,
        address: SocketAddr,
    ) -> Result<Self, Reason> {
        let _only_for_tls = (expected, address);
        match tls {
            None => Ok(Self::Plain(stream)),
            #[cfg(feature = "tls")]
            Some(tls) => {
                secured::connect(stream, tls, expected, address).await.map(|tls| Self::Tls(Box::new(tls)))
            }
            #[cfg(not(feature = "tls"))]
            Some(tls) => match *tls {},
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// What this channel vouches for, for the purpose that `channel` names (S2).
    pub(super) fn binding(&self, channel: &[u8; 32]) -> Result<[u8; 32], Reason> {
        match self {
            Self::Plain(_) => Ok(*channel),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.binding(channel),
        }
    }

    /// Whether what the peer has shown counts for this node. In plain text its proof is all there is.
    pub(super) fn is_for(&self, node: &NodeName) -> bool {
        let _only_for_tls = node;
        match self {
            Self::Plain(_) => true,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_for(node),
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.peer_addr(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.socket().peer_addr(),
        }
    }

    /// Reads; why not, if that fails.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Reason> {
        use tokio::io::AsyncReadExt;
        match self {
            Self::Plain(stream) => stream.read(buffer).await.map_err(|_| Reason::Closed),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read(buffer).await,
        }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await.map_err(|_| Reason::Closed),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write_all(bytes).await,
        }
    }

    /// As [`finish`](Self::finish), with bytes of its own.
    pub(super) async fn finish_with(self, bytes: Vec<u8>) {
        self.finish(&bytes).await;
    }

    /// Writes the last bytes and ends.
    pub(super) async fn finish(mut self, bytes: &[u8]) {
        // A peer that has gone need not be told.
        let _gone = self.write_all(bytes).await;
        match self {
            Self::Plain(mut stream) => {
                let _gone = stream.shutdown().await;
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.finish().await,
        }
    }

    /// Gives the connection out of the control thread's hands, with these bytes to be written first. They fit an empty socket
    /// buffer, so this neither blocks nor falls short while the peer lives.
    pub(super) fn hand_over(self, first: &[u8]) -> io::Result<Handed> {
        match self {
            Self::Plain(stream) => {
                let mut stream = stream.into_std()?;
                if !first.is_empty() {
                    io::Write::write_all(&mut stream, first)?;
                }
                Ok(Handed { stream, tls: None })
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.hand_over(first),
        }
    }

    pub(super) fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Plain(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Plain(read), WriteHalf::Plain(write))
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => {
                let (read, write) = tls.into_split();
                (ReadHalf::Tls(read), WriteHalf::Tls(write))
            }
        }
    }
}

/// The reading half.
pub(super) enum ReadHalf {
    Plain(OwnedReadHalf),
    #[cfg(feature = "tls")]
    Tls(secured::Reading),
}

impl ReadHalf {
    /// Reads. Cancel safe.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use tokio::io::AsyncReadExt;
        match self {
            Self::Plain(half) => half.read(buffer).await,
            #[cfg(feature = "tls")]
            Self::Tls(half) => half.read(buffer).await,
        }
    }
}

/// The writing half. Dropping it ends this direction.
pub(super) enum WriteHalf {
    Plain(OwnedWriteHalf),
    #[cfg(feature = "tls")]
    Tls(secured::Writing),
}

impl WriteHalf {
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(half) => half.write_all(bytes).await,
            #[cfg(feature = "tls")]
            Self::Tls(half) => half.write_all(bytes).await,
        }
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(half) => half.shutdown().await,
            #[cfg(feature = "tls")]
            Self::Tls(half) => half.shutdown().await,
        }
    }
}
