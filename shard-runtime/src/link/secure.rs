//! TLS over the socket of a data link.
//!
//! Invariants: those of [`Transport`](crate::link::transport::Transport). Buffers are made when the link is, and used again.

use crate::io::TlsSession;
use crate::reactor::tcp::Tcp;
use std::io::{self, ErrorKind, Read, Write};
use std::task::{Context, Poll};

/// Plain text that TLS takes before it must be able to send.
const OUT_BYTES: usize = 64 << 10;
/// What is read from the socket at once: four records of the greatest length.
const IN_BYTES: usize = 66 << 10;

/// A socket with its TLS session.
pub(crate) struct SecureTcp {
    tcp: Tcp,
    session: TlsSession,
    /// Encrypted bytes that were read, of which these are not decrypted yet.
    received: Box<[u8]>,
    from: usize,
    to: usize,
}

impl std::fmt::Debug for SecureTcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecureTcp").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl SecureTcp {
    pub(super) fn new(tcp: Tcp, mut session: TlsSession) -> Self {
        session.set_buffer_limit(Some(OUT_BYTES));
        Self { tcp, session, received: vec![0; IN_BYTES].into(), from: 0, to: 0 }
    }

    pub(super) fn send(
        &mut self,
        mut task: Option<&mut Context<'_>>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.flush(task.as_deref_mut()) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        let taken = self.session.writer().write(bytes)?;
        if taken == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        // What the socket does not take now goes first next time (T1).
        match self.flush(task) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    pub(super) fn flush(&mut self, task: Option<&mut Context<'_>>) -> Poll<io::Result<()>> {
        let mut out = Out { tcp: &mut self.tcp, task };
        while self.session.wants_write() {
            match self.session.write_tls(&mut out) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn receive(
        &mut self,
        mut task: Option<&mut Context<'_>>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.session.reader().read(room) {
                // Its end was not announced: the link was cut, as far as TLS goes. The numbers say what was lost.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
            if self.from == self.to {
                let read = match task.as_deref_mut() {
                    None => match self.tcp.try_recv(&mut self.received) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                        other => other?,
                    },
                    Some(task) => match self.tcp.poll_recv(task, &mut self.received) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(read) => read?,
                    },
                };
                if read == 0 {
                    return Poll::Ready(Ok(0));
                }
                (self.from, self.to) = (0, read);
            }
            self.decrypt()?;
        }
    }

    /// Gives TLS some of what was read (T2).
    fn decrypt(&mut self) -> io::Result<()> {
        let mut rest = self.received.get(self.from..self.to).unwrap_or_default();
        self.from += self.session.read_tls(&mut rest)?;
        if let Err(error) = self.session.process_new_packets() {
            // The alert that says why.
            let _unheard = self.flush(None);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        // Such as the answer to a change of keys; what the socket does not take now goes with the next write.
        match self.flush(None) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn shut_down(&mut self) {
        self.session.send_close_notify();
        // A peer that does not read, or has gone, need not be told.
        let _unheard = self.flush(None);
        self.tcp.shut_down();
    }
}

/// The socket as TLS writes it.
struct Out<'a, 'b, 'c> {
    tcp: &'a mut Tcp,
    task: Option<&'b mut Context<'c>>,
}

impl Write for Out<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.task {
            None => self.tcp.try_send(bytes),
            Some(task) => match self.tcp.poll_send(task, bytes) {
                Poll::Ready(sent) => sent,
                Poll::Pending => Err(ErrorKind::WouldBlock.into()),
            },
        }
    }

    fn write_vectored(&mut self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if self.task.is_none() {
            return self.tcp.try_send_all(buffers);
        }
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        first.map_or(Ok(0), |buffer| self.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
