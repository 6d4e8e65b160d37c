//! What one end of a data link has to say: three lanes, what the peer has not confirmed, and the credit for the rest.
//!
//! ```text
//! push ──► lane: [ unconfirmed | waiting ] ──► next_write ──► socket ──► wrote
//!               ▲ on_report: confirmed, new limit      ▲ resume: written again from where the peer is
//! ```
//!
//! Invariants: O1 lanes are strict: control before signal before data; a lane is left at the end of a frame. O2 only data
//! uses credit; a frame that is larger than all credit goes alone, when nothing else is under way. O3 nothing but the
//! report that begins a link is written before the peer's has come. O4 what is kept is bounded: waiting bytes by
//! [`FlowConfig::max_waiting`], unconfirmed data by the credit, unconfirmed signals by [`FlowConfig::max_waiting`] too.

use crate::WireError;
use crate::flow::queue::{Left, Queue, Segment, Spare};
use crate::flow::report::Report;
use crate::flow::split::{Cut, Splitter, stands_for_a_message};
use crate::flow::{FlowConfig, FlowError, Full};
use crate::frame::{BodyWriter, FrameHead};
use crate::header::{FrameKind, Lane};
use crate::limits::BATCH_BYTES;

/// A lane whose frames are numbered and kept until they are confirmed.
#[derive(Debug)]
struct Kept {
    queue: Queue,
    split: Splitter,
    /// Largest frame in one piece.
    whole: usize,
    /// Bytes of a part of one that is larger.
    part: usize,
}

impl Kept {
    fn new(config: &FlowConfig, kind: FrameKind) -> Result<Self, WireError> {
        Ok(Self {
            queue: Queue::new(config.max_message, config.is_numbered)?,
            split: Splitter::new(kind),
            whole: config.whole_bytes(),
            part: config.part_bytes(),
        })
    }

    #[inline]
    fn push<F>(&mut self, head: &FrameHead<'_>, write: F) -> Result<usize, WireError>
    where
        F: FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    {
        let start = self.queue.out.len();
        let length = self.queue.push(head, write)?;
        if length > self.whole || !self.split.is_empty() {
            self.split.look_at(&mut self.queue.out, start, self.whole);
        }
        Ok(length)
    }

    #[inline]
    fn waiting(&self) -> u64 {
        self.queue.waiting() + self.split.bytes()
    }

    fn kept(&self) -> u64 {
        self.queue.kept() + self.split.bytes()
    }

    fn seal(&mut self, spare: &mut Spare) -> Result<(), WireError> {
        if !self.split.is_empty() {
            self.split.round(&mut self.queue.out, self.part, self.whole)?;
        }
        self.queue.seal(spare);
        Ok(())
    }

    fn segment(&mut self, allowed: u64, spare: &mut Spare) -> Result<Option<Segment>, WireError> {
        if self.queue.is_drained() {
            self.seal(spare)?;
        }
        Ok(self.queue.segment(allowed))
    }

    fn left(&self) -> Left {
        let mut left = self.queue.left(stands_for_a_message);
        left.unwritten += self.split.frames();
        left
    }
}

/// What became of the messages of a session that has ended and were not confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Loss {
    /// Never written whole: they did not arrive.
    pub failed: u64,
    /// Written, and not confirmed: they may have arrived.
    pub unknown: u64,
}

/// The sending half of a data link, for the life of a session: sockets come and go.
#[derive(Debug)]
pub struct Outbox {
    config: FlowConfig,
    control: Queue,
    signal: Kept,
    data: Kept,
    spare: Spare,
    /// Bytes of data that may be written since the session began.
    limit: u64,
    /// What is being written.
    segment: Option<(Lane, Segment)>,
    is_linked: bool,
    /// The peer has said where it is.
    is_open: bool,
}

impl Outbox {
    /// An empty one, without a socket.
    ///
    /// # Errors
    /// [`WireError::Limit`] or [`WireError::FrameLength`] if a limit cannot be used.
    pub fn new(config: FlowConfig) -> Result<Self, WireError> {
        Ok(Self {
            control: Queue::new(crate::limits::FLOOR_MAX_FRAME, false)?,
            signal: Kept::new(&config, FrameKind::SignalPart)?,
            data: Kept::new(&config, FrameKind::Part)?,
            spare: Spare::default(),
            limit: if config.is_numbered { 0 } else { u64::MAX },
            segment: None,
            is_linked: false,
            is_open: false,
            config,
        })
    }

    /// Appends a frame to its lane, bounded. Gives the frame's length.
    ///
    /// # Errors
    /// [`Full::Bytes`] if as much waits as may wait; [`Full::Frame`] for what `write` or the frame's limit refuses. The
    /// lane is as it was before.
    #[inline]
    pub fn push<F>(&mut self, head: &FrameHead<'_>, write: F) -> Result<usize, Full>
    where
        F: FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    {
        // LIMIT: O4.
        let lane = match head.kind.lane() {
            Lane::Data if self.data.waiting() < self.config.max_waiting => &mut self.data,
            Lane::Signal if self.signal.kept() < 2 * self.config.max_waiting => &mut self.signal,
            _ => return Err(Full::Bytes),
        };
        Ok(lane.push(head, write)?)
    }

    /// Appends a frame of the control lane, which is forgotten with its link.
    ///
    /// # Errors
    /// As [`Outbox::push`].
    pub fn push_control<F>(&mut self, head: &FrameHead<'_>, write: F) -> Result<usize, Full>
    where
        F: FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    {
        // LIMIT: control frames are a few per turn; a peer that does not read gets no more of them.
        if self.control.waiting() >= BATCH_BYTES as u64 {
            return Err(Full::Bytes);
        }
        Ok(self.control.push(head, write)?)
    }

    /// Bytes that wait to be written, all lanes.
    #[inline]
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.data.waiting() + self.signal.waiting() + self.control.waiting()
    }

    /// What was cut into parts since the session began.
    #[must_use]
    pub fn cut_into_parts(&self) -> Cut {
        let (data, signal) = (self.data.split.done(), self.signal.split.done());
        Cut { messages: data.messages + signal.messages, parts: data.parts + signal.parts }
    }

    /// Bytes of the control lane that wait.
    #[must_use]
    pub fn waiting_control(&self) -> u64 {
        self.control.waiting()
    }

    /// Bytes that are kept: those that wait, and those that are not confirmed.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.data.kept() + self.signal.kept()
    }

    /// Bytes of data that may be written before the peer gives more.
    #[must_use]
    pub fn credit(&self) -> u64 {
        self.limit.saturating_sub(self.data.queue.written())
    }

    /// Whether data waits for credit and nothing else.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_open
            && self.data.waiting() > 0
            && self.segment.is_none()
            && self.credit() < self.data.waiting()
    }

    /// Whether a batch has come together that should leave before the turn ends.
    #[inline]
    #[must_use]
    pub fn is_batch_full(&self) -> bool {
        self.data.queue.out.len() >= BATCH_BYTES
    }

    /// Puts a full batch behind those that wait, so that its buffer does not grow.
    ///
    /// # Errors
    /// What cutting a big message gives, which is a defect of this crate.
    pub fn seal(&mut self) -> Result<(), WireError> {
        self.data.seal(&mut self.spare)
    }

    /// Whether everything was written and confirmed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting() == 0 && self.data.queue.is_settled() && self.signal.queue.is_settled()
    }

    /// A socket stands. `report` is what the peer has to know before anything else.
    ///
    /// # Errors
    /// [`Full`] never, as the control lane is empty.
    pub fn link(&mut self, report: &Report) -> Result<(), Full> {
        self.is_linked = true;
        self.is_open = !self.config.is_numbered;
        self.segment = None;
        self.control.clear();
        if self.config.is_numbered {
            self.push_control(&FrameHead::new(FrameKind::Session), |body| body.put(&report.to_bytes()))?;
        }
        Ok(())
    }

    /// The socket is gone. How many frames are lost with it for certain not to be known: none if frames are numbered.
    pub fn cut(&mut self) -> u64 {
        self.is_linked = false;
        self.is_open = false;
        self.segment = None;
        self.control.clear();
        if self.config.is_numbered {
            return 0;
        }
        self.data.queue.drop_partial(&mut self.spare) + self.signal.queue.drop_partial(&mut self.spare)
    }

    /// The peer's first report on a link: what is not confirmed is written again.
    ///
    /// # Errors
    /// [`FlowError::Count`] if the peer says it has what was never sent, or less than it had. [`FlowError::Again`] if it is
    /// not the first. The link is then out of step.
    pub fn on_resume(&mut self, report: &Report) -> Result<(), FlowError> {
        if self.is_open || !self.is_linked {
            return Err(FlowError::Again);
        }
        self.data.queue.resume(report.data, &mut self.spare)?;
        self.signal.queue.resume(report.signal, &mut self.spare)?;
        self.limit = self.limit.max(report.limit);
        self.is_open = true;
        Ok(())
    }

    /// The peer has taken more, and gives credit.
    ///
    /// # Errors
    /// [`FlowError::Count`] as above; [`FlowError::Early`] before the first report.
    pub fn on_credit(&mut self, report: &Report) -> Result<(), FlowError> {
        if !self.is_open {
            return Err(FlowError::Early);
        }
        self.data.queue.confirm(report.data, &mut self.spare)?;
        self.signal.queue.confirm(report.signal, &mut self.spare)?;
        self.limit = self.limit.max(report.limit);
        Ok(())
    }

    /// The bytes to be written next; empty if there are none now.
    ///
    /// # Errors
    /// What cutting a big message gives, which is a defect of this crate.
    #[inline]
    pub fn next_write(&mut self) -> Result<&[u8], WireError> {
        if !self.is_linked {
            return Ok(&[]);
        }
        if self.segment.is_none() {
            self.segment = self.choose()?;
        }
        Ok(match self.segment {
            None => &[],
            Some((Lane::Control, segment)) => self.control.rest(segment),
            Some((Lane::Signal, segment)) => self.signal.queue.rest(segment),
            Some((Lane::Data, segment)) => self.data.queue.rest(segment),
        })
    }

    fn choose(&mut self) -> Result<Option<(Lane, Segment)>, WireError> {
        if self.control.is_drained() {
            self.control.seal(&mut self.spare);
        }
        if let Some(segment) = self.control.segment(u64::MAX) {
            return Ok(Some((Lane::Control, segment)));
        }
        if !self.is_open {
            return Ok(None);
        }
        if let Some(segment) = self.signal.segment(u64::MAX, &mut self.spare)? {
            return Ok(Some((Lane::Signal, segment)));
        }
        let credit = self.credit();
        let mut segment = self.data.segment(credit, &mut self.spare)?;
        if segment.is_none() && self.data.queue.is_settled() {
            // O2: larger than all credit, and nothing is under way that could bring more.
            segment = self.data.queue.next_len().and_then(|length| self.data.queue.segment(length as u64));
        }
        if segment.is_none() && self.waiting() == 0 {
            self.spare.shrink();
        }
        Ok(segment.map(|segment| (Lane::Data, segment)))
    }

    /// Notes that the socket took this many bytes of what [`Outbox::next_write`] gave.
    #[inline]
    pub fn wrote(&mut self, count: usize) {
        let Some((lane, segment)) = self.segment else { return };
        let queue = match lane {
            Lane::Control => &mut self.control,
            Lane::Signal => &mut self.signal.queue,
            Lane::Data => &mut self.data.queue,
        };
        if queue.wrote(count, segment, &mut self.spare) {
            self.segment = None;
        }
    }

    /// Frames of data and of signals since the session began.
    #[must_use]
    pub fn pushed(&self) -> (u64, u64) {
        (self.data.queue.pushed(), self.signal.queue.pushed())
    }

    /// The session has ended: what became of the rest.
    #[must_use]
    pub fn loss(&self) -> Loss {
        let (data, signal) = (self.data.left(), self.signal.left());
        Loss { failed: data.unwritten + signal.unwritten, unknown: data.unconfirmed + signal.unconfirmed }
    }
}
