//! hyper's view of a connection and of time: adapters over the shard's sockets and timers.
//!
//! Invariant: H1 a peer that takes nothing for [`WRITE_LIMIT`] ends its connection, so that a response that is not read is not
//! kept for ever.

use crate::io::stream::Stream;
use crate::shard::{Pause, on_shard, with_current};
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// How long a peer may take nothing of what is to be written to it.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// A stream as hyper reads and writes it.
pub(super) struct WebSocketIo {
    stream: Stream,
    stalled: Option<Pause>,
}

impl WebSocketIo {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, stalled: None }
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    fn limit<T>(
        &mut self,
        task: &mut Context<'_>,
        write: impl FnOnce(&mut Stream, &Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(&mut self.stream, task);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Pause::new(WRITE_LIMIT));
        Pin::new(stalled).poll(task).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl Read for WebSocketIo {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &mut self.get_mut().stream;
        with_current(|shard| {
            let Some(shard) = shard else { return Poll::Ready(Err(ErrorKind::Unsupported.into())) };
            shard.with_scratch(|scratch| {
                let room = buffer.remaining().min(scratch.len());
                let scratch = scratch.get_mut(..room).unwrap_or_default();
                let read = ready!(stream.poll_read(task, scratch))?;
                shard.count(|cells| &cells.io_bytes_in, read as u64);
                buffer.put_slice(scratch.get(..read).unwrap_or_default());
                Poll::Ready(Ok(()))
            })
        })
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
