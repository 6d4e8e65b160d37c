//! hyper's view of a connection and of time: adapters over the shard's sockets and timers.
//!
//! Invariant: H1 a peer that takes nothing for [`WRITE_LIMIT`] ends its connection, so that a response that is not read is not
//! kept for ever.

use crate::io::stream::Stream;
use crate::io::web::progress::Progress;
use crate::shard::{Pause, on_shard, with_current};
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// How long a peer may take nothing of what is to be written to it.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// A stream as hyper reads and writes it.
pub(super) struct WebSocketIo {
    stream: Stream,
    stalled: Option<Pause>,
    progress: Rc<Progress>,
}

impl WebSocketIo {
    pub(super) fn new(stream: Stream, progress: Rc<Progress>) -> Self {
        Self { stream, stalled: None, progress }
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Whether the TLS handshake is still under way.
    pub(super) fn is_handshaking(&self) -> bool {
        self.stream.is_handshaking()
    }

    fn limit<T>(
        &mut self,
        task: &mut Context<'_>,
        write: impl FnOnce(&mut Stream, &Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(&mut self.stream, task);
        self.progress.is_stalled.set(written.is_pending());
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Pause::new(WRITE_LIMIT));
        Pin::new(stalled).poll(task).map(|()| Err(ErrorKind::TimedOut.into()))
    }

    /// Reads what nobody wants. `Ok(0)`: the peer has ended its side.
    pub(super) fn poll_discard(&mut self, task: &Context<'_>) -> Poll<io::Result<usize>> {
        self.read(task, usize::MAX, |_| ())
    }

    fn read(&mut self, task: &Context<'_>, room: usize, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
        with_current(|shard| {
            let Some(shard) = shard else { return Poll::Ready(Err(ErrorKind::Unsupported.into())) };
            shard.with_scratch(|scratch| {
                let room = room.min(scratch.len());
                let scratch = scratch.get_mut(..room).unwrap_or_default();
                let read = ready!(self.stream.poll_read(task, scratch))?;
                shard.count(|cells| &cells.io_bytes_in, read as u64);
                take(scratch.get(..read).unwrap_or_default());
                Poll::Ready(Ok(read))
            })
        })
    }
}

impl Read for WebSocketIo {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        let read = ready!(io.read(task, buffer.remaining(), |bytes| buffer.put_slice(bytes)))?;
        if read > 0 {
            io.progress.has_begun.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for WebSocketIo {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(task, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.get_mut().limit(task, |stream, task| stream.poll_write(task, buffers));
        if let Poll::Ready(Ok(written)) = written {
            on_shard(|shard| shard.count(|cells| &cells.io_bytes_out, written as u64));
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().limit(task, Stream::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().limit(task, Stream::poll_finish)
    }
}

/// hyper's timers, on the shard's wheel.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardTimer;

impl Timer for ShardTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Pause::new(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        crate::clock::now()
    }
}

impl Sleep for Pause {}
