//! A connection's bytes, plain or through TLS: one non-blocking interface for all that reads and writes sockets here.

use crate::error::IoError;
use crate::io::tls::{Tls, TlsServer};
use crate::reactor::poller::Watched;
use crate::shard::Shard;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::task::{Context, Poll, ready};

/// A connected stream of a shard.
pub(crate) enum Stream {
    Plain(Watched<TcpStream>),
    Tls(Box<Tls>),
}

impl Stream {
    /// A connection that a server has accepted.
    pub(crate) fn accepted(
        shard: &Shard,
        socket: TcpStream,
        tls: Option<&TlsServer>,
    ) -> Result<Self, IoError> {
        let socket = Watched::new(shard.poller()?, socket)?;
        Ok(match tls {
            None => Self::Plain(socket),
            Some(tls) => Self::Tls(Box::new(tls.stream(socket)?)),
        })
    }

    fn socket(&self) -> &Watched<TcpStream> {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.socket(),
        }
    }

    /// The peer's address and this side's.
    pub(crate) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        let socket = self.socket().get();
        Ok((socket.peer_addr()?, socket.local_addr()?))
    }

    /// Whether the TLS handshake is still under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_handshaking())
    }

    /// Brings a TLS handshake on, to its end.
    pub(crate) fn poll_handshake(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_handshake(task),
        }
    }

    /// Reads. `Ok(0)`: the peer has ended its side.
    pub(crate) fn poll_read(&mut self, task: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => {
                let read = ready!(socket.poll_read(task, |mut socket| socket.read(buffer)));
                if matches!(read, Ok(read) if read > 0 && read < buffer.len()) {
                    socket.taken_all();
                }
                Poll::Ready(read)
            }
            Self::Tls(tls) => tls.poll_read(task, buffer),
        }
    }

    /// Writes the first of these buffers, as much as fits.
    pub(crate) fn poll_write(
        &mut self,
        task: &Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => match buffers {
                [one] => socket.poll_write(task, |mut socket| socket.write(one)),
                _ => socket.poll_write(task, |mut socket| socket.write_vectored(buffers)),
            },
            Self::Tls(tls) => tls.poll_write(task, buffers),
        }
    }

    /// Hands everything that was written to the system.
    pub(crate) fn poll_flush(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_send(task),
        }
    }

    /// Ends this side after what was written.
    pub(crate) fn poll_finish(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Tls(tls) = self {
            ready!(tls.poll_goodbye(task))?;
        }
        match self.socket().get().shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}
