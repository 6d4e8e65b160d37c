//! One data link: its socket, the batch being built, the batch being written, the receive buffer.
//!
//! Invariants: D1 frames leave in the order they were pushed; a batch that is partly written is finished before the next
//! is taken. D2 what is queued is bounded by [`OUTBOX_BYTES`]. D3 a link without a socket keeps its queue: the frames of
//! one session wait for the slot's next socket. D4 while the socket is full, what waits is kept in whole batches of about
//! [`BATCH_BYTES`] whose memory is used again: one buffer that grows to the bound would be copied at each doubling and be
//! cold memory each time.
//! Cost: one `send` per turn and dirty link, one `recv` per turn and hot link.

use crate::link::LinkCells;
use crate::process::bump;
use crate::reactor::tcp::Tcp;
use shard_wire::frame::{Batch, FrameBuf, RecvBuf};
use shard_wire::limits::{BATCH_BYTES, BATCH_KEEP_BYTES};
use shard_wire::placement::Slot;
use shard_wire::session::LinkId;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

/// Bytes that may wait on one link before senders are refused.
pub(crate) const OUTBOX_BYTES: usize = 8 << 20;

/// Empty batches kept for later, about 1 MiB.
const SPARE: usize = 16;

/// What reading a socket gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Got {
    /// Bytes.
    Some,
    /// Nothing now.
    Nothing,
    /// The peer has closed, or the socket failed.
    Closed,
}

/// The socket part of a link.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) tcp: Tcp,
    pub(crate) link: LinkId,
    pub(crate) epoch: u32,
    /// Ticks at which it was granted: the base of its deadlines.
    pub(crate) since: u64,
    /// Ticks until which it is read every turn.
    pub(crate) hot_until: u64,
    /// Ticks at the last report that bytes came in.
    pub(crate) reported: u64,
}

/// One slot of one session.
#[derive(Debug)]
pub(crate) struct DataLink {
    pub(crate) slot: Slot,
    pub(crate) socket: Option<Socket>,
    /// Whether the control thread knows that a socket is wanted.
    pub(crate) wanted: bool,
    pub(crate) out: FrameBuf,
    /// Full batches between `batch` and `out`, each with its number of frames.
    sealed: VecDeque<(Batch, usize)>,
    sealed_bytes: usize,
    sealed_frames: usize,
    spare: Vec<Batch>,
    batch: Batch,
    batch_frames: usize,
    written: usize,
    /// Out of the link while frames are handled.
    pub(crate) receive: Option<RecvBuf>,
    /// Whole frames may be left in the receive buffer.
    pub(crate) frames_left: bool,
    pub(crate) dirty: bool,
}

impl DataLink {
    pub(crate) fn new(slot: Slot, out: FrameBuf, receive: RecvBuf) -> Self {
        Self {
            slot,
            socket: None,
            wanted: false,
            out,
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            sealed_frames: 0,
            spare: Vec::new(),
            batch: Batch::new(),
            batch_frames: 0,
            written: 0,
            receive: Some(receive),
            frames_left: false,
            dirty: false,
        }
    }

    /// Bytes queued and not yet taken by the socket.
    #[inline]
    pub(crate) fn queued_bytes(&self) -> usize {
        self.out.len() + self.sealed_bytes + self.batch.len() - self.written
    }

    /// Frames queued or partly written.
    pub(crate) fn queued_frames(&self) -> usize {
        self.out.frames() + self.sealed_frames + self.batch_frames
    }

    /// Whether a batch has come together that should leave before the turn ends.
    #[inline]
    pub(crate) fn is_batch_full(&self) -> bool {
        self.out.len() >= BATCH_BYTES
    }

    /// Writes a full batch, or puts it aside behind what the socket has not taken. `false`: the socket has failed.
    pub(crate) fn write_full(&mut self, cells: &LinkCells) -> bool {
        if !self.batch.is_empty() || self.socket.is_none() {
            self.seal();
        }
        self.write(cells)
    }

    fn seal(&mut self) {
        let frames = self.out.frames();
        let batch = self.out.take(self.spare.pop().unwrap_or_default());
        self.sealed_bytes += batch.len();
        self.sealed_frames += frames;
        self.sealed.push_back((batch, frames));
    }

    /// Makes the oldest of what waits the batch being written. Whether there was something.
    fn next_batch(&mut self) -> bool {
        let empty = std::mem::take(&mut self.batch);
        if self.spare.len() < SPARE && (1..=BATCH_KEEP_BYTES).contains(&empty.capacity()) {
            self.spare.push(empty);
        }
        self.written = 0;
        if let Some((batch, frames)) = self.sealed.pop_front() {
            self.sealed_bytes -= batch.len();
            self.sealed_frames -= frames;
            (self.batch, self.batch_frames) = (batch, frames);
            return true;
        }
        self.batch_frames = self.out.frames();
        if self.batch_frames == 0 {
            self.spare.truncate(2);
            return false;
        }
        self.batch = self.out.take(self.spare.pop().unwrap_or_default());
        true
    }

    /// Whether a write waits for the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.batch.is_empty() && self.socket.is_some()
    }

    /// Writes as much as the socket takes. `false`: the socket has failed.
    pub(crate) fn write(&mut self, cells: &LinkCells) -> bool {
        self.write_with(cells, |tcp, bytes| match tcp.try_send(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            other => Poll::Ready(other),
        })
    }

    /// The same; if the socket is full, has the task woken when there is room.
    pub(crate) fn poll_write(&mut self, cells: &LinkCells, task: &mut Context<'_>) -> bool {
        self.write_with(cells, |tcp, bytes| tcp.poll_send(task, bytes))
    }

    fn write_with(
        &mut self,
        cells: &LinkCells,
        mut send: impl FnMut(&mut Tcp, &[u8]) -> Poll<std::io::Result<usize>>,
    ) -> bool {
        loop {
            if self.batch.is_empty() && self.socket.is_some() && !self.next_batch() {
                self.dirty = false;
                break;
            }
            let Some(socket) = self.socket.as_mut() else { return true };
            let rest = self.batch.get(self.written..).unwrap_or_default();
            match send(&mut socket.tcp, rest) {
                Poll::Pending => break,
                Poll::Ready(Ok(sent)) => {
                    bump(&cells.bytes_out, sent as u64);
                    self.written += sent;
                    if self.written == self.batch.len() {
                        self.batch.clear();
                        self.written = 0;
                        self.batch_frames = 0;
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => (),
                Poll::Ready(Err(_)) => return false,
            }
        }
        cells.outbox_bytes.store(self.queued_bytes() as u64, Relaxed);
        true
    }

    /// Reads into the receive buffer.
    pub(crate) fn read(&mut self, cells: &LinkCells) -> Got {
        self.read_with(cells, |tcp, room| match tcp.try_recv(room) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            other => Poll::Ready(other),
        })
    }

    /// The same; if there is nothing, has the task woken when there is.
    pub(crate) fn poll_read(&mut self, cells: &LinkCells, task: &mut Context<'_>) -> Got {
        self.read_with(cells, |tcp, room| tcp.poll_recv(task, room))
    }

    fn read_with(
        &mut self,
        cells: &LinkCells,
        receive: impl FnOnce(&mut Tcp, &mut [u8]) -> Poll<std::io::Result<usize>>,
    ) -> Got {
        let (Some(socket), Some(buffer)) = (self.socket.as_mut(), self.receive.as_mut()) else {
            return Got::Nothing;
        };
        match receive(&mut socket.tcp, buffer.spare_mut()) {
            Poll::Pending => Got::Nothing,
            Poll::Ready(Ok(0)) => Got::Closed,
            Poll::Ready(Ok(received)) => {
                bump(&cells.bytes_in, received as u64);
                buffer.advance(received);
                self.frames_left = true;
                Got::Some
            }
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => Got::Nothing,
            Poll::Ready(Err(_)) => Got::Closed,
        }
    }

    /// Gives bytes that came behind the handshake.
    pub(crate) fn preload(&mut self, mut bytes: &[u8]) {
        let Some(buffer) = self.receive.as_mut() else { return };
        while !bytes.is_empty() {
            let room = buffer.spare_mut();
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Some(place) = room.get_mut(..count) {
                place.copy_from_slice(now);
            }
            buffer.advance(count);
            bytes = later;
        }
        self.frames_left = true;
    }

    /// Closes the socket. A partly written batch is lost with it; returns the number of frames whose fate is not known.
    pub(crate) fn close(&mut self) -> usize {
        if let Some(socket) = self.socket.take() {
            socket.tcp.shut_down();
        }
        self.batch.clear();
        self.written = 0;
        self.wanted = false;
        self.frames_left = false;
        if let Some(buffer) = self.receive.as_mut()
            && let Ok(fresh) = RecvBuf::new(self.out.max_frame())
        {
            *buffer = fresh;
        }
        std::mem::take(&mut self.batch_frames)
    }
}
