//! The actors of the streams between nodes.
//!
//! A source that is refused because the link's outbox is full waits a millisecond, as a user's would: what is queued by
//! then keeps the socket busy for longer.

use std::sync::mpsc;
use std::time::Duration;

use shard_runtime::{ActorError, ActorResult, Context, Pid, SendReason, actor, handle, message};

use crate::error::RunError;
use crate::own::actors::{BURST, Tick};
use crate::timing::Stopwatch;

/// How long a refused source waits.
const PAUSE: Duration = Duration::from_millis(1);

/// A message whose frame has 64 bytes: 48 of header and two words.
#[message]
#[derive(Debug)]
pub struct Numbered {
    /// Position in the stream.
    pub number: u64,
    /// The rest of the frame.
    pub n: u64,
}

/// First and last message of a stream.
pub type Span = (Stopwatch, Stopwatch);

/// Counts frames and tells when the first and the last came.
#[derive(Debug)]
pub struct FrameSink {
    seen: u64,
    expected: u64,
    first: Option<Stopwatch>,
    done: mpsc::Sender<Span>,
}

impl FrameSink {
    /// A sink that stops the clock at `expected`, and where it will tell.
    #[must_use]
    pub fn expecting(expected: u64) -> (Self, mpsc::Receiver<Span>) {
        let (done, seen) = mpsc::channel();
        (Self { seen: 0, expected, first: None, done }, seen)
    }

    #[cold]
    fn finish(&self) {
        let now = Stopwatch::start();
        // The receiver is gone only if the run was given up.
        let _ = self.done.send((self.first.unwrap_or(now), now));
    }
}

#[actor]
impl FrameSink {
    #[handle]
    async fn numbered(&mut self, message: Numbered, _cx: &mut Context<'_>) -> ActorResult {
        if message.number != self.seen {
            return Err(out_of_order(message.number, self.seen));
        }
        if self.seen == 0 {
            self.first = Some(Stopwatch::start());
        }
        self.seen += message.n;
        if self.seen == self.expected {
            self.finish();
        }
        Ok(())
    }
}

#[cold]
fn out_of_order(number: u64, seen: u64) -> ActorError {
    RunError::work(format_args!("message {number} came where {seen} was due")).into()
}

/// Streams frames in bursts.
#[derive(Debug)]
pub struct FrameSource {
    /// The sink.
    pub to: Pid,
    /// Number of the next frame.
    pub next: u64,
    /// How many in all.
    pub end: u64,
}

#[actor]
impl FrameSource {
    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        let last = self.end.min(self.next + BURST);
        let mut is_refused = false;
        while self.next < last {
            match cx.send(self.to, Numbered { number: self.next, n: 1 }) {
                Ok(()) => self.next += 1,
                Err(error) if matches!(error.reason, SendReason::OutboxFull) => {
                    is_refused = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if is_refused {
            cx.send_after(cx.pid(), Tick, PAUSE)?;
        } else if self.next < self.end {
            cx.send(cx.pid(), Tick)?;
        }
        Ok(())
    }
}

/// A large message.
#[message]
#[derive(Debug)]
pub struct Bulk {
    /// Position in the stream.
    pub number: u64,
    /// The bulk.
    pub bytes: Vec<u8>,
}

/// Counts large messages.
#[derive(Debug)]
pub struct BulkSink {
    seen: u64,
    expected: u64,
    size: usize,
    first: Option<Stopwatch>,
    done: mpsc::Sender<Span>,
}

impl BulkSink {
    /// A sink of `expected` messages of `size` bytes, and where it will tell.
    #[must_use]
    pub fn expecting(expected: u64, size: usize) -> (Self, mpsc::Receiver<Span>) {
        let (done, seen) = mpsc::channel();
        (Self { seen: 0, expected, size, first: None, done }, seen)
    }
}

#[actor]
impl BulkSink {
    #[handle]
    async fn bulk(&mut self, message: Bulk, _cx: &mut Context<'_>) -> ActorResult {
        if message.number != self.seen || message.bytes.len() != self.size {
            return Err(out_of_order(message.number, self.seen));
        }
        let now = Stopwatch::start();
        let first = *self.first.get_or_insert(now);
        self.seen += 1;
        if self.seen == self.expected {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send((first, now));
        }
        Ok(())
    }
}

/// Sends large messages, one per activation. A refused message comes back and is sent again, so its bytes are made once.
#[derive(Debug)]
pub struct BulkSource {
    to: Pid,
    next: u64,
    end: u64,
    size: usize,
    again: Option<Bulk>,
}

impl BulkSource {
    /// A source of `end` messages of `size` bytes.
    #[must_use]
    pub fn new(to: Pid, end: u64, size: usize) -> Self {
        Self { to, next: 0, end, size, again: None }
    }
}

#[actor]
impl BulkSource {
    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        let size = self.size;
        let bulk = self.again.take().unwrap_or_else(|| Bulk { number: self.next, bytes: vec![7; size] });
        match cx.send(self.to, bulk) {
            Ok(()) => self.next += 1,
            Err(error) if matches!(error.reason, SendReason::OutboxFull) => {
                self.again = Some(error.into_inner());
                cx.send_after(cx.pid(), Tick, PAUSE)?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if self.next < self.end {
            cx.send(cx.pid(), Tick)?;
        }
        Ok(())
    }
}
