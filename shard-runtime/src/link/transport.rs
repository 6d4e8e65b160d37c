//! The socket of a data link, plain or through TLS, as its shard uses it: never waiting.
//!
//! Invariants: T1 what TLS has taken to be written is handed to the socket before more is taken, 64 KiB at most. T2 what the socket
//! gave is decrypted before more is read. T3 bytes that TLS has taken are written as far as the link's numbers go: what is
//! lost with the socket is sent again like what the system had taken.
//! Cost: plain, one branch per call; TLS copies and encrypts on the shard, with an allocation per record of 16 KiB.

use crate::control::Handed;
#[cfg(feature = "tls")]
use crate::link::secure::SecureTcp;
use crate::reactor::tcp::Tcp;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

/// The socket of a data link.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Tcp),
    #[cfg(feature = "tls")]
    Tls(Box<SecureTcp>),
}

impl Transport {
    /// Takes a connection over. On the shard's executor only.
    ///
    /// # Errors
    /// The descriptor cannot be duplicated or made non-blocking.
    pub(crate) fn adopt(handed: Handed) -> io::Result<Self> {
        let tcp = Tcp::adopt(handed.stream)?;
        match handed.tls {
            None => Ok(Self::Plain(tcp)),
            #[cfg(feature = "tls")]
            Some(session) => Ok(Self::Tls(Box::new(SecureTcp::new(tcp, *session)))),
            #[cfg(not(feature = "tls"))]
            Some(session) => match *session {},
        }
    }

    /// Writes what fits now; with a task, has it woken when there is room.
    #[inline]
    pub(crate) fn send(&mut self, task: Option<&mut Context<'_>>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => match task {
                None => pending_if_blocked(tcp.try_send(bytes)),
                Some(task) => tcp.poll_send(task, bytes),
            },
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.send(task, bytes),
        }
    }

    /// Hands on what was taken earlier.
    #[inline]
    pub(crate) fn flush(&mut self, task: &mut Option<&mut Context<'_>>) -> Poll<io::Result<()>> {
        let _only_for_tls = &task;
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.flush(task.as_deref_mut()),
        }
    }

    /// Reads what is there now; with a task, has it woken when there is something. `Ok(0)`: the peer has closed.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        task: Option<&mut Context<'_>>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => match task {
                None => pending_if_blocked(tcp.try_recv(room)),
                Some(task) => tcp.poll_recv(task, room),
            },
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.receive(task, room),
        }
    }

    /// Ends both directions.
    pub(crate) fn shut_down(&mut self) {
        match self {
            Self::Plain(tcp) => tcp.shut_down(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.shut_down(),
        }
    }
}

#[inline]
fn pending_if_blocked<T>(outcome: io::Result<T>) -> Poll<io::Result<T>> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        other => Poll::Ready(other),
    }
}
