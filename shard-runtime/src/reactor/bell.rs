//! What wakes a parked shard when a descriptor of its epoll set becomes ready: the set itself, watched by io_uring.
//!
//! Invariants: B1 the descriptor is a duplicate of the set's, owned by glommio's stream alone. B2 nothing is ever read from it:
//! glommio waits for readiness first, and the read after it fails, because an epoll set is no socket. That failure is the bell,
//! and a bell rings once.
//! Cost: a duplicated descriptor and one entry of the ring per ring of the bell.
#![expect(
    unsafe_code,
    reason = "hands a duplicated descriptor to glommio; proven by an_echo_keeps_every_byte_in_order"
)]

use futures_lite::io::AsyncRead;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::task::Context;

/// Rings once when the set has something ready.
pub(crate) struct Bell {
    stream: ::glommio::net::TcpStream,
}

impl Bell {
    /// On the shard's executor only.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new(set: BorrowedFd<'_>) -> io::Result<Self> {
        let twin = set.try_clone_to_owned()?.into_raw_fd();
        // SAFETY: B1: the descriptor was just duplicated, and the stream is its only owner.
        let stream = unsafe { ::glommio::net::TcpStream::from_raw_fd(twin) };
        Ok(Self { stream })
    }

    /// Whether it rings; else the task is woken when it does.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> bool {
        Pin::new(&mut self.stream).poll_read(task, &mut [0]).is_ready()
    }
}
