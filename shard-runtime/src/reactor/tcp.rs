//! A connected socket of a shard: tried directly first, through the reactor only to wait for readiness.
//!
//! Invariants: T1 two descriptors name one socket: the direct one for non-blocking calls, glommio's for readiness; both
//! are closed with it. T2 glommio reads and writes sockets by plain non-blocking calls after a readiness poll, so a direct
//! call never races with bytes in flight in a ring. T3 an option is set on an open socket, from a value of its type.
//! Cost: one syscall per try; a readiness poll only before a park.
#![expect(
    unsafe_code,
    reason = "hands a duplicated descriptor to glommio; proven by a_stream_keeps_its_order_on_every_pair_of_shards"
)]

use futures_lite::io::{AsyncRead, AsyncWrite};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes that the kernel keeps of a link beyond those under way: 256 KiB, four batches.
static UNSENT: libc::c_int = 256 << 10;

/// What is in the kernel goes before replies, credit and downs, whatever their lane: so there is to be little of it. Bytes under
/// way, which the peer's kernel has room for, are not counted.
fn keep_little_unsent(socket: &TcpStream) -> io::Result<()> {
    let length = size_of_val(&UNSENT) as libc::socklen_t;
    // SAFETY: T3: the descriptor is open, and the value is a `c_int` that outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const UNSENT).cast(),
            length,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A socket owned by a shard.
#[derive(Debug)]
pub(crate) struct Tcp {
    direct: TcpStream,
    ready: ::glommio::net::TcpStream,
}

impl Tcp {
    /// Takes a connected socket over. On the shard's executor only.
    ///
    /// # Errors
    /// The descriptor cannot be duplicated or made non-blocking.
    pub(crate) fn adopt(direct: TcpStream) -> io::Result<Self> {
        direct.set_nonblocking(true)?;
        direct.set_nodelay(true)?;
        keep_little_unsent(&direct)?;
        let twin = direct.try_clone()?.into_raw_fd();
        // SAFETY: T1: the descriptor was just duplicated, and glommio's stream is its only owner.
        let ready = unsafe { ::glommio::net::TcpStream::from_raw_fd(twin) };
        Ok(Self { direct, ready })
    }

    /// Reads what is there now. `Ok(0)`: the peer has closed.
    pub(crate) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.direct).read(buffer)
    }

    /// Writes what fits now.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.direct).write(bytes)
    }

    /// Writes what fits now of several buffers.
    #[cfg(feature = "tls")]
    pub(crate) fn try_send_all(&self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        (&self.direct).write_vectored(buffers)
    }

    /// Reads, or has the task woken when there is something to read.
    pub(crate) fn poll_recv(&mut self, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.ready).poll_read(task, buffer)
    }

    /// Writes, or has the task woken when there is room.
    pub(crate) fn poll_send(&mut self, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.ready).poll_write(task, bytes)
    }

    /// Ends both directions, so that the peer learns it even while glommio holds its descriptor.
    pub(crate) fn shut_down(&self) {
        // A socket that is gone already needs no end.
        let _gone = self.direct.shutdown(std::net::Shutdown::Both);
    }
}
