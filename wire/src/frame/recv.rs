//! The receive buffer of a link: a chunk of memory, which views may hold while the link goes on in another.
//!
//! Invariants: R2 a chunk starts at a multiple of 16 and frames are multiples of 16, so every body in it is aligned.
//! R3 memory follows the bytes that arrived: a header that claims 64 MiB makes the buffer at most double.
//! R5 a chunk of which there is a lease is not written, moved or given back. R6 at most as many chunks are on lease as was said,
//! each of at most 256 KiB: beyond that bytes are copied out.
//! Cost: no allocation per frame; a partial frame is moved once per read at most. That a chunk is on lease is asked once per read.

use crate::error::WireError;
use crate::frame::Batch;
use crate::frame::batch::checked_max_frame;
use crate::frame::parse::{Frame, parse_into};
use crate::limits::{FRAME_ALIGN, RECV_BATCH_BYTES, RECV_INITIAL_BYTES};
use crate::view::Lease;
use std::sync::Arc;

/// The receive buffer of a link.
#[derive(Debug)]
pub struct RecvBuf {
    chunk: Arc<Batch>,
    /// Where the first frame that was not given out starts: a multiple of 16.
    start: usize,
    /// Where received bytes end.
    end: usize,
    /// Length of the frame at the front, if its header is known and its rest is not here yet.
    need: usize,
    limit: usize,
    /// Chunks that were on lease when bytes were to be received: at most `max_leased`. Some may be free by now.
    away: Vec<Arc<Batch>>,
    max_leased: usize,
    /// The chunk may be lent (R6).
    lends: bool,
}

impl RecvBuf {
    /// An empty buffer for frames of at most `max_frame` bytes, from 1 KiB to 64 MiB, which lends nothing. Allocates 16 KiB.
    ///
    /// # Errors
    /// [`WireError::Limit`] or [`WireError::FrameLength`] outside that range.
    pub fn new(max_frame: usize) -> Result<Self, WireError> {
        let limit = checked_max_frame(max_frame)?;
        let chunk = fresh(RECV_INITIAL_BYTES);
        Ok(Self { chunk, start: 0, end: 0, need: 0, limit, away: Vec::new(), max_leased: 0, lends: false })
    }

    /// Lets at most this many chunks be on lease at once; 0: every body is copied out.
    #[must_use]
    pub fn lending(mut self, chunks: usize) -> Self {
        self.max_leased = chunks;
        self.lends = self.may_lend();
        self
    }

    /// Room for received bytes, never empty. Frames given out before are gone after this call, views of them are not.
    ///
    /// Moves a partial frame to the front, and doubles the buffer if it is full: up to 256 KiB, or as far as the frame
    /// at its front needs.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if Arc::get_mut(&mut self.chunk).is_none() {
            self.leave_chunk();
        }
        // R5: nobody else has it now.
        let bytes = Arc::make_mut(&mut self.chunk);
        if self.start > 0 {
            bytes.as_mut_slice().copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == bytes.len() {
            let ceiling = RECV_BATCH_BYTES.max(self.need);
            // Not above the ceiling, yet always more than is held: what nobody took out is kept.
            let grown = (bytes.len() * 2).min(ceiling).max(self.end + FRAME_ALIGN);
            bytes.resize(grown, 0);
        }
        if self.max_leased > 0 {
            self.lends = self.may_lend();
        }
        Arc::make_mut(&mut self.chunk).as_mut_slice().get_mut(self.end..).unwrap_or_default()
    }

    /// Goes on in another chunk, with what was not given out.
    #[cold]
    fn leave_chunk(&mut self) {
        let free = self.away.iter_mut().position(|chunk| Arc::get_mut(chunk).is_some());
        let mut next = match free {
            Some(free) => self.away.swap_remove(free),
            None => fresh(self.chunk.len()),
        };
        let bytes = Arc::make_mut(&mut next);
        if bytes.len() < self.chunk.len() {
            bytes.resize(self.chunk.len(), 0);
        }
        let rest = self.chunk.as_slice().get(self.start..self.end).unwrap_or_default();
        if let Some(place) = bytes.as_mut_slice().get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        (self.start, self.end) = (0, rest.len());
        // LIMIT: R6: a chunk is on lease only while there is a place for it.
        self.away.push(std::mem::replace(&mut self.chunk, next));
    }

    fn may_lend(&self) -> bool {
        self.chunk.len() <= RECV_BATCH_BYTES && self.away_leased() < self.max_leased
    }

    fn away_leased(&self) -> usize {
        self.away.iter().filter(|chunk| Arc::strong_count(chunk) > 1).count()
    }

    /// How many chunks are on lease now.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.away_leased() + usize::from(Arc::strong_count(&self.chunk) > 1)
    }

    /// Notes that `received` bytes were written to the front of [`RecvBuf::spare_mut`]. More than fit are not counted.
    pub fn advance(&mut self, received: usize) {
        self.end = self.end.saturating_add(received).min(self.chunk.len());
    }

    /// The next whole frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// As [`parse`](crate::frame::parse); then each further call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        self.frames().next_frame()
    }

    /// The whole frames, to be taken one after the other.
    #[inline]
    pub fn frames(&mut self) -> Frames<'_> {
        let source = Source { chunk: &self.chunk, lends: self.lends };
        let received = self.chunk.as_slice().get(..self.end).unwrap_or_default();
        Frames { received, start: &mut self.start, need: &mut self.need, limit: self.limit, source }
    }

    /// How many bytes were received and not given out as frames.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// Memory of the buffer, in bytes, without chunks that were left to their leases.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chunk.len()
    }

    /// Gives memory back after big frames, if nothing is pending. To be called when the link is idle.
    pub fn shrink(&mut self) {
        if self.pending() == 0 && self.chunk.len() > RECV_INITIAL_BYTES {
            self.restart();
        }
    }

    /// Forgets what was received. What is on lease still counts.
    pub fn restart(&mut self) {
        let left = std::mem::replace(&mut self.chunk, fresh(RECV_INITIAL_BYTES));
        self.away.push(left);
        self.away.retain(|chunk| Arc::strong_count(chunk) > 1);
        (self.start, self.end, self.need) = (0, 0, 0);
        self.lends = self.may_lend();
    }
}

fn fresh(len: usize) -> Arc<Batch> {
    let mut bytes = Batch::new();
    bytes.resize(len, 0);
    Arc::new(bytes)
}

/// The whole frames of a receive buffer, from the front.
#[derive(Debug)]
pub struct Frames<'a> {
    received: &'a [u8],
    start: &'a mut usize,
    need: &'a mut usize,
    limit: usize,
    source: Source<'a>,
}

impl<'a> Frames<'a> {
    /// The next whole frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// As [`parse`](crate::frame::parse); then each further call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, WireError> {
        let mut frame = Frame::EMPTY;
        Ok(self.next_into(&mut frame)?.then_some(frame))
    }

    /// The same over an [`Frame::EMPTY`] one, which is faster than to have it given; whether there was one.
    ///
    /// # Errors
    /// As [`parse`](crate::frame::parse).
    #[inline(always)]
    pub fn next_into(&mut self, frame: &mut Frame<'a>) -> Result<bool, WireError> {
        match parse_into(self.received.get(*self.start..).unwrap_or_default(), self.limit, frame)? {
            0 => {
                *self.start += frame.consumed();
                Ok(true)
            }
            need => {
                *self.need = need;
                Ok(false)
            }
        }
    }

    /// Where their bodies lie.
    #[must_use]
    #[inline]
    pub fn source(&self) -> Source<'a> {
        self.source
    }
}

/// The memory that frames lie in.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    chunk: &'a Arc<Batch>,
    lends: bool,
}

impl<'a> Source<'a> {
    /// Memory that is nobody's buffer, and may be held by whoever likes to.
    #[must_use]
    pub fn of(chunk: &'a Arc<Batch>) -> Self {
        Self { chunk, lends: true }
    }

    /// A lease of these bytes where they lie, if they lie here and may be lent.
    #[must_use]
    #[inline]
    pub fn lend(self, bytes: &[u8]) -> Option<Lease> {
        if self.lends { Lease::within(self.chunk, bytes) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::RecvBuf;
    use crate::frame::{FrameBuf, FrameHead};
    use crate::header::FrameKind;
    use crate::limits::{RECV_BATCH_BYTES, RECV_INITIAL_BYTES};
    use crate::view::Lease;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// This many bytes come, if there is room for them.
        Receive(usize),
        /// What is whole is taken out; of these frames, by their place, a lease is asked.
        Take(Vec<bool>),
        /// One of the leases is given back.
        Return(prop::sample::Index),
        Restart,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1_usize..30_000).prop_map(Step::Receive),
            4 => vec(any::<bool>(), 1..4).prop_map(Step::Take),
            2 => any::<prop::sample::Index>().prop_map(Step::Return),
            1 => Just(Step::Restart),
        ];
        vec(step, 1..120)
    }

    /// The body of frame `n`: each differs from its neighbours.
    fn body(n: usize, len: usize) -> Vec<u8> {
        (0..len).map(|at| (n * 31 + at) as u8).collect()
    }

    fn receive(buffer: &mut RecvBuf, bytes: &[u8]) -> usize {
        let room = buffer.spare_mut();
        let now = room.len().min(bytes.len());
        room[..now].copy_from_slice(&bytes[..now]);
        buffer.advance(now);
        now
    }

    proptest! {
        #[test]
        fn what_is_on_lease_stays_as_it_is(
            steps in steps(),
            lengths in vec(prop_oneof![8 => 0_usize..300, 1 => 0_usize..60_000, 1 => 0..400_000_usize], 1..80),
            max in 0_usize..5,
        ) {
            let mut batch = FrameBuf::default();
            let mut ends = Vec::new();
            for (n, len) in lengths.iter().enumerate() {
                let bytes = body(n, *len);
                batch.push_frame(&FrameHead::new(FrameKind::Send), |out| out.put(&bytes)).unwrap();
                ends.push(batch.len());
            }
            let mut buffer = RecvBuf::new(1 << 20).unwrap().lending(max);
            let (mut given, mut taken) = (0, 0);
            let mut leases: Vec<(usize, Lease)> = Vec::new();
            for step in steps {
                match step {
                    Step::Receive(count) => {
                        let rest = &batch.as_slice()[given..];
                        given += receive(&mut buffer, &rest[..count.min(rest.len())]);
                    }
                    Step::Take(lent) => {
                        let mut frames = buffer.frames();
                        let mut lent = lent.iter().cycle();
                        while let Some(frame) = frames.next_frame().unwrap() {
                            prop_assert_eq!(frame.body, &body(taken, lengths[taken])[..]);
                            if *lent.next().unwrap() && let Some(lease) = frames.source().lend(frame.body) {
                                prop_assert!(std::ptr::eq(lease.bytes(), frame.body));
                                leases.push((taken, lease));
                            }
                            taken += 1;
                        }
                    }
                    Step::Return(which) if !leases.is_empty() => drop(leases.swap_remove(which.index(leases.len()))),
                    Step::Return(_) => (),
                    Step::Restart => {
                        buffer.restart();
                        // The link begins again with the frame that was not taken.
                        given = taken.checked_sub(1).map_or(0, |last| ends[last]);
                    }
                }
                for (n, lease) in &leases {
                    prop_assert_eq!(lease.bytes(), &body(*n, lengths[*n])[..]);
                }
                prop_assert!(buffer.leased() <= max);
                prop_assert!(buffer.away.len() <= max);
                prop_assert!(buffer.away.iter().all(|chunk| chunk.len() <= RECV_BATCH_BYTES));
            }
            drop(leases);
            prop_assert_eq!(buffer.leased(), 0);
        }
    }

    #[test]
    fn a_chunk_that_comes_back_is_used_again() {
        let mut batch = FrameBuf::default();
        batch.push_frame(&FrameHead::new(FrameKind::Send), |out| out.put(&[7; 100])).unwrap();
        let mut buffer = RecvBuf::new(1 << 20).unwrap().lending(2);
        let lend = |buffer: &mut RecvBuf| {
            receive(buffer, batch.as_slice());
            let mut frames = buffer.frames();
            let frame = frames.next_frame().unwrap().unwrap();
            frames.source().lend(frame.body)
        };
        let (first, second) = (lend(&mut buffer).unwrap(), lend(&mut buffer).unwrap());
        assert_eq!(buffer.leased(), 2);
        assert!(lend(&mut buffer).is_none(), "two are on lease");
        let at = first.bytes().as_ptr();
        drop(first);
        // It is free when the one that is written now has gone on lease itself.
        let third = lend(&mut buffer).unwrap();
        assert_eq!((buffer.leased(), second.bytes()), (2, &[7; 100][..]));
        drop(second);
        let fourth = lend(&mut buffer).unwrap();
        assert_eq!(fourth.bytes().as_ptr(), at);
        assert_eq!(third.bytes(), fourth.bytes());
        assert_eq!(buffer.capacity(), RECV_INITIAL_BYTES);
    }

    #[test]
    fn a_chunk_above_the_ordinary_is_not_lent() {
        let mut batch = FrameBuf::default();
        batch.push_frame(&FrameHead::new(FrameKind::Send), |out| out.put(&[7; 300_000])).unwrap();
        let mut buffer = RecvBuf::new(1 << 20).unwrap().lending(4);
        let mut given = 0;
        while given < batch.len() {
            given += receive(&mut buffer, &batch.as_slice()[given..]);
            if let Some(frame) = buffer.next_frame().unwrap() {
                assert_eq!(frame.body.len(), 300_000);
                assert_eq!(given, batch.len());
            }
        }
        let source = buffer.frames().source();
        assert!(source.lend(&[]).is_none());
        buffer.shrink();
        assert_eq!(buffer.capacity(), RECV_INITIAL_BYTES);
    }
}
