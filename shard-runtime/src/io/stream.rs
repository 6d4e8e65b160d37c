//! A connection's bytes, plain or through TLS: one non-blocking interface for all that reads and writes sockets here.
//!
//! Invariant: S1 TLS holds at most 64 KiB of plain text that is not encrypted yet, and what is encrypted is handed to the socket
//! before more is taken.

use crate::error::IoError;
use crate::io::TlsServer;
use crate::reactor::poller::Watched;
use crate::shard::Shard;
use rustls::Connection;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::task::{Context, Poll, ready};

/// Plain text that TLS takes before it must be able to send.
const TLS_BUFFER: usize = 64 << 10;

/// A connected stream of a shard.
pub(crate) enum Stream {
    Plain(Watched<TcpStream>),
    Tls(Box<Tls>),
}

/// A socket and its TLS session.
pub(crate) struct Tls {
    socket: Watched<TcpStream>,
    session: Connection,
}

impl Stream {
    pub(crate) fn tls(socket: Watched<TcpStream>, mut session: Connection) -> Self {
        session.set_buffer_limit(Some(TLS_BUFFER));
        Self::Tls(Box::new(Tls { socket, session }))
    }

    /// A connection that a server has accepted.
    pub(crate) fn accepted(
        shard: &Shard,
        socket: TcpStream,
        tls: Option<&TlsServer>,
    ) -> Result<Self, IoError> {
        let socket = Watched::new(shard.poller()?, socket)?;
        Ok(match tls {
            None => Self::Plain(socket),
            Some(tls) => Self::tls(socket, tls.session()?.into()),
        })
    }

    fn socket(&self) -> &Watched<TcpStream> {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    /// The peer's address and this side's.
    pub(crate) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        let socket = self.socket().get();
        Ok((socket.peer_addr()?, socket.local_addr()?))
    }

    /// Whether the TLS handshake is still under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.is_handshaking())
    }

    /// Brings a TLS handshake on, to its end.
    pub(crate) fn poll_handshake(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        let Self::Tls(tls) = self else { return Poll::Ready(Ok(())) };
        while tls.session.is_handshaking() {
            ready!(tls.poll_take(task))?;
        }
        // The last flight; what of it the socket does not take now goes out with the first write.
        match tls.poll_send(task) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
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
            tls.session.send_close_notify();
            ready!(tls.poll_send(task))?;
        }
        match self.socket().get().shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}

impl Tls {
    fn poll_read(&mut self, task: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
            ready!(self.poll_take(task))?;
        }
    }

    /// Takes what the socket has and decrypts it.
    fn poll_take(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        // A handshake goes on by writing, too.
        if self.session.wants_write()
            && let Poll::Ready(Err(error)) = self.poll_send(task)
        {
            return Poll::Ready(Err(error));
        }
        let session = &mut self.session;
        let read = ready!(self.socket.poll_read(task, |mut socket| session.read_tls(&mut socket)))?;
        if let Err(error) = self.session.process_new_packets() {
            // The alert that says why.
            let _unheard = self.poll_send(task);
            return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error)));
        }
        if read == 0 && self.session.is_handshaking() {
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, task: &Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(task))?;
        if self.session.is_handshaking() {
            // Reading brings it on, and whoever writes here reads, too.
            return Poll::Pending;
        }
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let written = self.session.writer().write_vectored(buffers)?;
        if written == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        if let Poll::Ready(Err(error)) = self.poll_send(task) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_send(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let session = &mut self.session;
            ready!(self.socket.poll_write(task, |mut socket| session.write_tls(&mut socket)))?;
        }
        Poll::Ready(Ok(()))
    }
}
