//! The frame header: 48 bytes, little-endian, and its optional blocks.
//!
//! Owns: the layout below, the kinds, the flags and the deadline.
//! ```text
//!  0 length u32 | kind u8 | flags u8 | padding u8 | version u8      8 message key u64     16 to u64     24 from u64
//! 32 reference u64                                                 40 deadline u32 | reserved u32
//! ```
//! Blocks follow in this order, each only if its flag is set: trace (32 bytes), fragment (16 bytes), name (one byte of
//! length, the name, zeros up to a multiple of 16). Then the body, then `padding` zeros.
//! Invariants: H1 `length` is a multiple of 16 and covers header, blocks, body and padding. H2 kinds, flags and versions
//! that are not known are refused, not skipped: an older node must not act on half a frame.

use crate::cursor::low_half;
use crate::error::WireError;
use crate::ids::LocalId;
use crate::key::MessageKey;
use crate::limits::{FRAGMENT_BYTES, FRAME_ALIGN, HEADER_BYTES, TRACE_BYTES};

/// The version of header and bodies that this crate speaks.
pub const FRAME_VERSION: u8 = 1;

/// What a frame is for. The numbers are part of the protocol; unknown ones are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum FrameKind {
    /// A message to a process.
    Send = 1,
    /// A message that wants a reply; `reference` names the waiter.
    Call = 2,
    /// A published event to its subscribers on the other node.
    Event = 3,
    /// A part of a message that is too long for one frame; the body is a slice of its frame.
    Part = 4,
    /// Something that the other node is asked to do; the body is an [`Ask`](crate::ask::Ask). Only to nodes that announce
    /// [`SERVES`](crate::ask::SERVES).
    Ask = 5,
    /// The reply to the call with this `reference`.
    Reply = 16,
    /// The call with this `reference` failed; the body is a fixed layout.
    ReplyError = 17,
    /// An exit signal to a process.
    Exit = 18,
    /// A watched process or node is gone.
    Down = 19,
    /// An important message was, or was not, put into its mailbox.
    Ack = 20,
    /// Links two processes.
    Link = 21,
    /// Undoes a link.
    Unlink = 22,
    /// Starts to watch a process, name, event or node.
    Monitor = 23,
    /// Stops to watch.
    Demonitor = 24,
    /// As [`FrameKind::Part`], of a frame of the signal lane.
    SignalPart = 25,
    /// What came of the ask with this `reference`.
    Answer = 26,
    /// The asker has, or does not want, the process that the ask with this `reference` has started.
    Claim = 27,
    /// Subscribes a node to an event.
    Subscribe = 28,
    /// Ends a subscription.
    Unsubscribe = 29,
    /// A subscription has ended, or is refused.
    Unsubscribed = 30,
    /// Returns credit, with the cumulative count of delivered data frames.
    Credit = 32,
    /// Tells that the peer is alive.
    Heartbeat = 33,
    /// The last frame of a link: why it is closed.
    Goodbye = 34,
    /// State of the peer's shards: which are stalled, and by whom.
    Beacon = 35,
    /// A part of the handshake.
    Handshake = 36,
    /// Session up, down and slot epochs.
    Session = 37,
    /// A request or an answer between the control threads of two nodes.
    Control = 48,
    /// A request or an answer between the diagnostics threads of two nodes.
    Diag = 49,
    /// Traffic of an election.
    Raft = 50,
    /// Traffic of a registrar.
    Registrar = 51,
}

/// Which queue of a link a frame waits in. Smaller is sent first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// Credit, heartbeats, handshake, sessions and the threads of the node.
    Control,
    /// Replies, acks, exits, downs, links, monitors and subscriptions.
    Signal,
    /// Messages and events. The only lane that needs credit.
    Data,
}

impl FrameKind {
    /// The kind with this number.
    #[must_use]
    #[inline]
    pub const fn from_u8(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Send,
            2 => Self::Call,
            3 => Self::Event,
            4 => Self::Part,
            5 => Self::Ask,
            16 => Self::Reply,
            17 => Self::ReplyError,
            18 => Self::Exit,
            19 => Self::Down,
            20 => Self::Ack,
            21 => Self::Link,
            22 => Self::Unlink,
            23 => Self::Monitor,
            24 => Self::Demonitor,
            25 => Self::SignalPart,
            26 => Self::Answer,
            27 => Self::Claim,
            28 => Self::Subscribe,
            29 => Self::Unsubscribe,
            30 => Self::Unsubscribed,
            32 => Self::Credit,
            33 => Self::Heartbeat,
            34 => Self::Goodbye,
            35 => Self::Beacon,
            36 => Self::Handshake,
            37 => Self::Session,
            48 => Self::Control,
            49 => Self::Diag,
            50 => Self::Raft,
            51 => Self::Registrar,
            _ => return None,
        })
    }

    /// The queue a frame of this kind waits in.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self as u8 {
            0..16 => Lane::Data,
            16..32 => Lane::Signal,
            _ => Lane::Control,
        }
    }
}

/// Priority of a message, as in its mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Priority {
    /// The main queue.
    #[default]
    Normal = 0,
    /// The system queue.
    High = 1,
    /// The urgent queue.
    Max = 2,
}

/// The flags of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FrameFlags(u8);

impl FrameFlags {
    /// None, and normal priority.
    pub const NONE: Self = Self(0);
    /// A [`Trace`] block follows.
    pub const TRACE: Self = Self(1);
    /// A [`Fragment`] block follows.
    pub const FRAGMENT: Self = Self(1 << 1);
    /// A name block follows: the target is a registered name.
    pub const NAME: Self = Self(1 << 2);
    /// The sender wants an [`FrameKind::Ack`].
    pub const IMPORTANT: Self = Self(1 << 3);
    /// The body is compressed, see [`compress`](crate::compress). Only messages and replies may be, and only if both nodes
    /// announce that they can.
    pub const COMPRESSED: Self = Self(1 << 6);
    /// `to` is the number of an [`Alias`](crate::Alias) of the receiving node, not a process. Only messages and calls may
    /// have it, and only to nodes that announce [`ALIASES`].
    pub const ALIAS: Self = Self(1 << 7);
    pub(crate) const BLOCKS: Self = Self(Self::TRACE.0 | Self::FRAGMENT.0 | Self::NAME.0);
    const PRIORITY_SHIFT: u32 = 4;
    const PRIORITY_MASK: u8 = 0b11 << Self::PRIORITY_SHIFT;

    /// The flags with these bits; `None` for a priority that does not exist.
    #[must_use]
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        let no_priority = bits & Self::PRIORITY_MASK == Self::PRIORITY_MASK;
        if no_priority { None } else { Some(Self(bits)) }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    #[must_use]
    #[inline]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags and those of `other`.
    #[must_use]
    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags without those of `other`.
    #[must_use]
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What does not tell of a block.
    #[inline]
    pub(crate) const fn without_blocks(self) -> Self {
        Self(self.0 & !Self::BLOCKS.0)
    }

    /// These flags if `on`, else none.
    #[inline]
    pub(crate) const fn when(self, on: bool) -> Self {
        if on { self } else { Self(0) }
    }

    /// These flags with another priority.
    #[must_use]
    #[inline]
    pub const fn with_priority(self, priority: Priority) -> Self {
        Self(self.0 & !Self::PRIORITY_MASK | (priority as u8) << Self::PRIORITY_SHIFT)
    }

    /// The priority.
    #[must_use]
    #[inline]
    pub const fn priority(self) -> Priority {
        match (self.0 & Self::PRIORITY_MASK) >> Self::PRIORITY_SHIFT {
            0 => Priority::Normal,
            1 => Priority::High,
            _ => Priority::Max,
        }
    }
}

/// When a call ends, in milliseconds since the link's epoch, in 32 bits that may wrap. 0 means never.
///
/// Right for deadlines up to 24 days from now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Deadline(pub u32);

impl Deadline {
    /// Never.
    pub const NONE: Self = Self(0);
    /// The longest time ahead that can be told from the past, in milliseconds.
    pub const MAX_AHEAD_MS: u64 = (1 << 31) - 1;

    /// The deadline `ahead_ms` after `now_ms`, both in milliseconds, the second since the link's epoch. What lies
    /// further ahead than [`Deadline::MAX_AHEAD_MS`] is brought forward to it.
    #[must_use]
    pub const fn after(now_ms: u64, ahead_ms: u64) -> Self {
        let ahead = if ahead_ms > Self::MAX_AHEAD_MS { Self::MAX_AHEAD_MS } else { ahead_ms };
        let at = low_half(now_ms.wrapping_add(ahead));
        // 0 is taken: one millisecond late is better than never.
        Self(if at == 0 { 1 } else { at })
    }

    /// Milliseconds left at `now_ms` since the link's epoch: `None` for no deadline, 0 if it has passed.
    #[must_use]
    pub const fn left_ms(self, now_ms: u64) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let left = self.0.wrapping_sub(low_half(now_ms));
        Some(if left as u64 > Self::MAX_AHEAD_MS { 0 } else { left })
    }

    /// Whether it has passed at `now_ms` since the link's epoch.
    #[must_use]
    pub const fn is_past(self, now_ms: u64) -> bool {
        matches!(self.left_ms(now_ms), Some(0))
    }
}

/// Feature: a node takes up the trace of a frame, and wants to be told it.
pub const TRACES: u64 = 1 << 6;
/// Feature: a node takes messages to its aliases.
pub const ALIASES: u64 = 1 << 7;

/// Where a message stands in a trace: a block of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Trace {
    /// The whole trace.
    pub trace: u128,
    /// The sender's span.
    pub span: u64,
    /// Bits for the tracer; not looked at by the wire. The lowest eight are the flags of a W3C trace context.
    pub flags: u64,
}

impl Trace {
    /// The block.
    #[must_use]
    pub fn to_bytes(self) -> [u8; TRACE_BYTES] {
        let mut bytes = [0; TRACE_BYTES];
        let (trace, rest) = bytes.split_at_mut(16);
        let (span, flags) = rest.split_at_mut(8);
        trace.copy_from_slice(&self.trace.to_le_bytes());
        span.copy_from_slice(&self.span.to_le_bytes());
        flags.copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }
}

/// Which part of a message a frame carries: a block of 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fragment {
    /// Names the message among those the sender has under way on this link.
    pub message: u32,
    /// Which part this is, from 0.
    pub index: u32,
    /// How many parts there are, at least 1.
    pub count: u32,
    /// Length of the whole body in bytes.
    pub total_bytes: u32,
}

impl Fragment {
    /// The block.
    #[must_use]
    pub fn to_bytes(self) -> [u8; FRAGMENT_BYTES] {
        let words = u128::from(self.message)
            | u128::from(self.index) << 32
            | u128::from(self.count) << 64
            | u128::from(self.total_bytes) << 96;
        words.to_le_bytes()
    }
}

/// The fixed part of a header, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Length of the whole frame in bytes.
    pub length: u32,
    /// What the frame is for.
    pub kind: FrameKind,
    /// Its flags.
    pub flags: FrameFlags,
    /// Bytes after the body, 0 to 15.
    pub padding: u8,
    /// Which message the body is.
    pub key: MessageKey,
    /// The target process; [`LocalId::NONE`] if a name block tells it.
    pub to: LocalId,
    /// The sending process, on the sending node.
    pub from: LocalId,
    /// What a reply or ack refers to.
    pub reference: u64,
    /// When a call ends.
    pub deadline: Deadline,
}

impl FrameHeader {
    /// A header that says nothing.
    pub(crate) const EMPTY: Self = Self {
        length: 0,
        kind: FrameKind::Send,
        flags: FrameFlags::NONE,
        padding: 0,
        key: MessageKey::NONE,
        to: LocalId::NONE,
        from: LocalId::NONE,
        reference: 0,
        deadline: Deadline::NONE,
    };

    /// The 48 bytes.
    #[must_use]
    #[inline]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let words = [
            self.first_word(),
            self.key.0,
            self.to.0,
            self.from.0,
            self.reference,
            u64::from(self.deadline.0),
        ];
        let mut bytes = [0; HEADER_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// Length, kind, flags, padding and version.
    #[inline]
    pub(crate) fn first_word(&self) -> u64 {
        u64::from(self.length)
            | u64::from(self.kind as u8) << 32
            | u64::from(self.flags.bits()) << 40
            | u64::from(self.padding) << 48
            | u64::from(FRAME_VERSION) << 56
    }

    /// Reads the fixed part. The length is checked against the flags, the padding and `limit`.
    ///
    /// # Errors
    /// [`WireError::FrameLength`], [`WireError::Version`], [`WireError::Invalid`].
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES], limit: usize) -> Result<Self, WireError> {
        let mut header = Self::EMPTY;
        header.read(bytes, limit)?;
        Ok(header)
    }

    /// The same in place: a header that is moved is read in wider pieces than it was just written in, for which a processor
    /// waits each time.
    #[inline(always)]
    pub(crate) fn read(&mut self, bytes: &[u8; HEADER_BYTES], limit: usize) -> Result<(), WireError> {
        let [first, key, to, from, reference, last] = words(bytes);
        let [l0, l1, l2, l3, kind, flags, padding, version] = first.to_le_bytes();
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let total = length as usize;
        if total > limit || total < HEADER_BYTES || !total.is_multiple_of(FRAME_ALIGN) {
            return Err(bad_length(length, HEADER_BYTES, limit));
        }
        if version != FRAME_VERSION {
            return Err(WireError::Version { have: version, want: FRAME_VERSION });
        }
        let Some(kind) = FrameKind::from_u8(kind) else {
            return Err(invalid("frame kind", 4, u64::from(kind)));
        };
        let Some(flags) = FrameFlags::from_bits(flags) else {
            return Err(invalid("frame flags", 5, u64::from(flags)));
        };
        if padding > 15 {
            return Err(invalid("frame padding", 6, u64::from(padding)));
        }
        if last >> 32 != 0 {
            return Err(invalid("reserved header field", 44, last >> 32));
        }
        let trace = if flags.has(FrameFlags::TRACE) { TRACE_BYTES } else { 0 };
        let fragment = if flags.has(FrameFlags::FRAGMENT) { FRAGMENT_BYTES } else { 0 };
        let least = HEADER_BYTES + trace + fragment + usize::from(padding);
        if least > total {
            return Err(bad_length(length, least, limit));
        }
        self.length = length;
        self.kind = kind;
        self.flags = flags;
        self.padding = padding;
        self.key = MessageKey(key);
        self.to = LocalId(to);
        self.from = LocalId(from);
        self.reference = reference;
        self.deadline = Deadline(low_half(last));
        Ok(())
    }
}

#[inline]
fn words(bytes: &[u8; HEADER_BYTES]) -> [u64; HEADER_BYTES / 8] {
    let mut words = [0; HEADER_BYTES / 8];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}

#[cold]
fn bad_length(have: u32, min: usize, limit: usize) -> WireError {
    WireError::FrameLength { have: u64::from(have), min: min as u64, max: limit as u64 }
}

#[cold]
fn invalid(what: &'static str, offset: usize, have: u64) -> WireError {
    WireError::Invalid { what, offset, have }
}

#[cfg(test)]
mod tests {
    use super::{Deadline, FrameFlags, FrameKind, Lane, Priority};

    #[test]
    fn every_kind_has_one_number() {
        let known: Vec<u8> = (0..=u8::MAX).filter(|kind| FrameKind::from_u8(*kind).is_some()).collect();
        assert_eq!(known.len(), 30);
        for number in known {
            assert_eq!(FrameKind::from_u8(number).unwrap() as u8, number);
        }
        assert_eq!(FrameKind::Event.lane(), Lane::Data);
        assert_eq!(FrameKind::Reply.lane(), Lane::Signal);
        assert_eq!(FrameKind::Credit.lane(), Lane::Control);
        assert!(Lane::Control < Lane::Signal && Lane::Signal < Lane::Data);
    }

    #[test]
    fn flags_carry_the_priority_and_refuse_one_that_does_not_exist() {
        let flags = FrameFlags::IMPORTANT.with(FrameFlags::NAME).with_priority(Priority::Max);
        assert_eq!(
            (flags.priority(), flags.has(FrameFlags::NAME), flags.has(FrameFlags::TRACE)),
            (Priority::Max, true, false)
        );
        assert_eq!(flags.with_priority(Priority::High).priority(), Priority::High);
        assert_eq!(FrameFlags::from_bits(flags.bits()), Some(flags));
        assert_eq!(FrameFlags::from_bits(0x30), None);
        assert_eq!(FrameFlags::from_bits(0x40), Some(FrameFlags::COMPRESSED));
        assert_eq!(FrameFlags::from_bits(0x70), None);
        assert_eq!(FrameFlags::from_bits(0x80), Some(FrameFlags::ALIAS));
    }

    #[test]
    fn deadlines_survive_the_wrap_of_their_clock() {
        let now = u64::from(u32::MAX) - 10;
        let deadline = Deadline::after(now, 100);
        assert_eq!(deadline.left_ms(now), Some(100));
        assert_eq!(deadline.left_ms(now + 99), Some(1));
        assert!(
            !deadline.is_past(now + 99) && deadline.is_past(now + 100) && deadline.is_past(now + 1_000_000)
        );
        assert!(!Deadline::NONE.is_past(now));
        let never_zero = Deadline::after(u64::from(u32::MAX), 1);
        assert_ne!(never_zero, Deadline::NONE);
        let far = Deadline::after(5, u64::MAX);
        assert_eq!(far.left_ms(5).map(u64::from), Some(Deadline::MAX_AHEAD_MS));
    }
}
