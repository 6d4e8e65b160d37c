//! One data link: its socket, what it has to say, what it hears.
//!
//! Invariants: D1 what the halves of the wire's flow say is written in their order, and nothing else. D2 what is queued is
//! bounded by [`LinkOptions::outbox`]. D3 a link without a socket keeps its queue, and what the peer has not confirmed: the frames
//! of one session wait for the slot's next socket. D4 what waits is kept in whole batches of about 64 KiB whose memory is
//! used again: one buffer that grows to the bound would be copied at each doubling and be cold memory each time.
//! Cost: one `send` per turn and dirty link, one `recv` per turn and hot link.

use crate::link::transport::Transport;
use crate::link::{LinkCells, LinkOptions};
use crate::process::bump;
use shard_wire::WireError;
use shard_wire::flow::{Cut, FlowConfig, FlowError, Full, Inbound, Joiner, Loss, Outbox, Report};
use shard_wire::frame::{FrameHead, RecvBuf};
use shard_wire::header::FrameKind;
use shard_wire::placement::Slot;
use shard_wire::session::LinkId;
use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

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

/// How a peer broke the protocol of a link.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// A frame cannot be read.
    #[error(transparent)]
    Frame(#[from] WireError),
    /// What it says of the link cannot be.
    #[error(transparent)]
    Flow(#[from] FlowError),
}

/// The socket part of a link.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) transport: Transport,
    pub(crate) link: LinkId,
    pub(crate) epoch: u32,
    /// The peer has said where it is, and may send messages.
    pub(crate) is_begun: bool,
    /// Ticks until which it is read every turn.
    pub(crate) hot_until: u64,
    /// Ticks at the last report that bytes came in.
    pub(crate) reported: u64,
    /// It takes no more bytes now.
    is_full: bool,
}

impl Socket {
    pub(crate) fn new(transport: Transport, link: LinkId, epoch: u32, now: u64, hot_until: u64) -> Self {
        Self { transport, link, epoch, is_begun: false, hot_until, reported: now, is_full: false }
    }
}

/// A clock that deadlines in frames count on: this many milliseconds at that tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkClock {
    pub(crate) ms: u64,
    pub(crate) at: u64,
}

/// One slot of one session.
#[derive(Debug)]
pub(crate) struct DataLink {
    pub(crate) slot: Slot,
    pub(crate) socket: Option<Socket>,
    /// Whether the control thread knows that a socket is wanted.
    pub(crate) wanted: bool,
    pub(crate) out: Outbox,
    pub(crate) inbound: Inbound,
    pub(crate) joiners: [Joiner; 2],
    config: FlowConfig,
    /// Deadlines in our frames.
    pub(crate) clock: LinkClock,
    /// Deadlines in the peer's.
    pub(crate) peer_clock: LinkClock,
    /// Out of the link while frames are handled.
    pub(crate) receive: Option<RecvBuf>,
    /// Whole frames may be left in the receive buffer.
    pub(crate) frames_left: bool,
    pub(crate) dirty: bool,
    /// Frames sent and taken at the last look for idle links.
    used: [(u64, u64); 2],
    /// It has refused a message, and is still more than half full.
    pub(crate) is_full: bool,
    /// Bytes that the peer's counters show as queued here.
    shown: u64,
    /// What the peer's counters show as cut into parts here.
    cut: Cut,
    /// It is counted as held by the peer's credit.
    pub(crate) is_held: bool,
}

impl DataLink {
    /// A link without a socket.
    ///
    /// # Errors
    /// If a limit cannot be used.
    pub(crate) fn new(
        slot: Slot,
        config: FlowConfig,
        links: LinkOptions,
        now: u64,
    ) -> Result<Self, WireError> {
        let clock = LinkClock { ms: 0, at: now };
        Ok(Self {
            slot,
            socket: None,
            wanted: false,
            out: Outbox::new(config)?,
            inbound: Inbound::new(links.window),
            joiners: [Joiner::new(config.max_message), Joiner::new(config.max_message)],
            clock,
            peer_clock: clock,
            receive: Some(RecvBuf::new(config.max_frame())?.lending(links.leases)),
            frames_left: false,
            dirty: false,
            used: [(0, 0); 2],
            is_full: false,
            shown: 0,
            cut: Cut::default(),
            is_held: false,
            config,
        })
    }

    pub(crate) fn is_numbered(&self) -> bool {
        self.config.is_numbered
    }

    /// A socket stands. `clock_ms`: our clock now.
    pub(crate) fn adopt(&mut self, mut socket: Socket, clock_ms: u64) -> Result<(), Full> {
        let report = self.inbound.report(clock_ms);
        self.out.link(&report)?;
        socket.is_begun = !self.config.is_numbered;
        if !self.config.is_numbered {
            // Both ends of an older protocol count from here.
            self.clock = LinkClock { ms: 0, at: socket.reported };
            self.peer_clock = self.clock;
        }
        self.socket = Some(socket);
        self.wanted = true;
        self.dirty = true;
        Ok(())
    }

    /// The peer's report that begins a link.
    pub(crate) fn begin(&mut self, body: &[u8], now: u64) -> Result<(), Broken> {
        let report = Report::from_bytes(body)?;
        self.out.on_resume(&report)?;
        self.peer_clock = LinkClock { ms: report.clock_ms, at: now };
        if let Some(socket) = &mut self.socket {
            socket.is_begun = true;
        }
        self.dirty = true;
        Ok(())
    }

    /// The peer has taken something.
    pub(crate) fn credit(&mut self, body: &[u8]) -> Result<(), Broken> {
        self.out.on_credit(&Report::from_bytes(body)?)?;
        self.dirty |= self.out.waiting() > 0;
        Ok(())
    }

    /// Whether the peer keeps within its credit. One of protocol version 1 knows of none.
    #[inline]
    pub(crate) fn check_credit(&self) -> Result<(), Broken> {
        if self.config.is_numbered {
            self.inbound.check_credit()?;
        }
        Ok(())
    }

    /// Tells the peer what was taken. If it does not even read that, it will be told later.
    pub(crate) fn tell(&mut self, clock_ms: u64) {
        if self.config.is_numbered && self.socket.is_some() && self.out.waiting_control() == 0 {
            let report = self.inbound.report(clock_ms);
            let told =
                self.out.push_control(&FrameHead::new(FrameKind::Credit), |out| out.put(&report.to_bytes()));
            self.dirty |= told.is_ok();
        }
    }

    /// Whether nothing was sent or taken since the last look, and nothing is open: frames are numbered, so that nothing is lost
    /// with its socket.
    pub(crate) fn is_unused(&mut self) -> bool {
        let used = [self.out.pushed(), self.inbound.taken()];
        let is_same = std::mem::replace(&mut self.used, used) == used;
        is_same && self.config.is_numbered && self.out.is_settled() && !self.inbound.is_untold()
    }

    /// Whether more than half of what may wait does.
    pub(crate) fn is_short(&self) -> bool {
        self.out.waiting() > self.config.max_waiting / 2
    }

    /// Bytes queued and not yet taken by the socket.
    #[inline]
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.out.waiting()
    }

    /// Whether a batch has come together that should leave before the turn ends.
    #[inline]
    pub(crate) fn is_batch_full(&self) -> bool {
        self.out.is_batch_full()
    }

    /// Writes a full batch, or puts it aside behind what the socket has not taken. `false`: the socket has failed.
    pub(crate) fn write_full(&mut self, cells: &LinkCells) -> bool {
        self.out.seal().is_ok() && (self.is_blocked() || self.write(cells))
    }

    /// Whether a write waits for the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.is_full)
    }

    /// Writes as much as the socket takes. `false`: the socket has failed.
    pub(crate) fn write(&mut self, cells: &LinkCells) -> bool {
        self.write_with(cells, None)
    }

    /// The same; if the socket is full, has the task woken when there is room.
    pub(crate) fn poll_write(&mut self, cells: &LinkCells, task: &mut Context<'_>) -> bool {
        self.write_with(cells, Some(task))
    }

    fn write_with(&mut self, cells: &LinkCells, mut task: Option<&mut Context<'_>>) -> bool {
        loop {
            let Some(socket) = self.socket.as_mut() else { return true };
            // Our own frames cannot be cut: a link that cannot go on has to say so.
            let Ok(rest) = self.out.next_write() else { return false };
            if rest.is_empty() {
                socket.is_full = match socket.transport.flush(&mut task) {
                    Poll::Ready(Ok(())) => false,
                    Poll::Ready(Err(_)) => return false,
                    Poll::Pending => true,
                };
                // Nothing, or nothing without credit: that makes it dirty again.
                self.dirty = socket.is_full;
                break;
            }
            match socket.transport.send(task.as_deref_mut(), rest) {
                Poll::Pending => {
                    socket.is_full = true;
                    break;
                }
                Poll::Ready(Ok(sent)) => {
                    bump(&cells.bytes_out, sent as u64);
                    self.out.wrote(sent);
                }
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => (),
                Poll::Ready(Err(_)) => return false,
            }
        }
        // Other links of this shard lead to the same peer.
        let queued = self.queued_bytes();
        let before = std::mem::replace(&mut self.shown, queued);
        let all = cells.outbox_bytes.load(Relaxed);
        cells.outbox_bytes.store(all.saturating_sub(before) + queued, Relaxed);
        let cut = self.out.cut_into_parts();
        if cut != self.cut {
            bump(&cells.cut_out, cut.messages - self.cut.messages);
            bump(&cells.parts_out, cut.parts - self.cut.parts);
            self.cut = cut;
        }
        true
    }

    /// Reads into the receive buffer.
    pub(crate) fn read(&mut self, cells: &LinkCells) -> Got {
        self.read_with(cells, None)
    }

    /// The same; if there is nothing, has the task woken when there is.
    pub(crate) fn poll_read(&mut self, cells: &LinkCells, task: &mut Context<'_>) -> Got {
        self.read_with(cells, Some(task))
    }

    fn read_with(&mut self, cells: &LinkCells, task: Option<&mut Context<'_>>) -> Got {
        let (Some(socket), Some(buffer)) = (self.socket.as_mut(), self.receive.as_mut()) else {
            return Got::Nothing;
        };
        match socket.transport.receive(task, buffer.spare_mut()) {
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

    /// Closes the socket. Returns the number of messages whose fate is not known for that: none if frames are numbered, for
    /// they wait for the next socket.
    pub(crate) fn close(&mut self) -> u64 {
        if let Some(mut socket) = self.socket.take() {
            socket.transport.shut_down();
        }
        self.wanted = false;
        self.frames_left = false;
        if let Some(buffer) = self.receive.as_mut() {
            buffer.restart();
        }
        self.out.cut()
    }

    /// What becomes of the rest when the session ends.
    pub(crate) fn loss(&self) -> Loss {
        self.out.loss()
    }
}
