//! A connection through TLS.
//!
//! Invariant: S1 TLS holds at most 64 KiB of plain text that is not encrypted yet, and what is encrypted is handed to the socket
//! before more is taken.

use crate::reactor::poller::Watched;
use rustls::Connection;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::task::{Context, Poll, ready};

/// Plain text that TLS takes before it must be able to send.
const TLS_BUFFER: usize = 64 << 10;

/// A socket and its TLS session.
pub(crate) struct Tls {
    socket: Watched<TcpStream>,
    session: Connection,
}

impl Tls {
    pub(super) fn new(socket: Watched<TcpStream>, mut session: Connection) -> Self {
        session.set_buffer_limit(Some(TLS_BUFFER));
        Self { socket, session }
    }

    pub(crate) fn socket(&self) -> &Watched<TcpStream> {
        &self.socket
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Brings the handshake on, to its end.
    pub(crate) fn poll_handshake(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_take(task))?;
        }
        // The last flight; what of it the socket does not take now goes out with the first write.
        match self.poll_send(task) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Says that this side ends.
    pub(crate) fn poll_goodbye(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        self.session.send_close_notify();
        self.poll_send(task)
    }

    pub(crate) fn poll_read(&mut self, task: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
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

    pub(crate) fn poll_write(
        &mut self,
        task: &Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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

    pub(crate) fn poll_send(&mut self, task: &Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let session = &mut self.session;
            ready!(self.socket.poll_write(task, |mut socket| session.write_tls(&mut socket)))?;
        }
        Poll::Ready(Ok(()))
    }
}
