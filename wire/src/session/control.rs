//! Messages of a control link: a fixed, versioned layout that a rolling upgrade can rely on.
//!
//! ```text
//! length u32 (what follows) · version u8 · kind u8 · fields, little-endian
//! ```
//!
//! Owns: [`ControlMsg`], its bytes, and [`ControlReader`], which cuts a byte stream into messages.
//! Invariants: G1 a message is at most [`MAX_CONTROL_BYTES`]. G2 a kind that is not known is skipped and counted, never
//! fatal; a message of a newer layout may carry more fields behind the known ones. G3 what version 1 wrote is taken to
//! the last byte or refused.
//! Cost: one allocation per message that carries text, bytes or beacons.

use crate::handshake::cursor::{Reader, Short};
use crate::placement::Slot;
use crate::session::DownReason;
use crate::{IncarnationKey, LocalId, Pid};

/// Largest control message, in bytes, its length field not counted.
pub const MAX_CONTROL_BYTES: usize = 128 * 1024;
/// Most bytes one [`ControlMsg::DiagChunk`] carries.
pub const MAX_CHUNK_BYTES: usize = 64 * 1024;
/// Most beacons a heartbeat carries: one per shard.
pub const MAX_STALLS: usize = 2048;
/// Most keys that one [`ControlMsg::Types`] carries.
pub const MAX_TYPES: usize = 8192;
/// Longest reason or name, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

const VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;

/// A shard that has not finished a callback for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stall {
    /// Index of the shard.
    pub shard: u16,
    /// For how long, in milliseconds.
    pub stalled_ms: u32,
    /// The process in whose callback it is.
    pub pid: Pid,
}

/// A message on a control link.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ControlMsg {
    /// The sender lives. Answered by [`ControlMsg::HeartbeatAck`].
    Heartbeat {
        /// Counts the heartbeats of a session.
        seq: u64,
        /// When it was sent, on the sender's monotonic clock, in nanoseconds.
        sent_ns: u64,
        /// Shards of the sender that are stuck now.
        stalls: Vec<Stall>,
    },
    /// Answers a heartbeat.
    HeartbeatAck {
        /// The heartbeat's count.
        seq: u64,
        /// The heartbeat's time, unchanged.
        echo_ns: u64,
    },
    /// First message on each control link: the session the sender believes in.
    SessionUp {
        /// The session.
        session: u64,
    },
    /// The sender has ended the session but stays.
    SessionDown {
        /// The session.
        session: u64,
        /// Why.
        reason: DownReason,
    },
    /// The sender stops.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
    /// The sender takes nothing new: it stops, as planned, once it has done what it has accepted. Only to nodes that announce
    /// [`SERVES`](crate::ask::SERVES).
    Leaving,
    /// Everything that the sender has accepted is done and answered: what has no answer was not accepted. A goodbye follows.
    Settled,
    /// Keys of the messages that the sender reads: first of all in a session, in one or more. Only to nodes that announce
    /// [`TYPES`](crate::TYPES).
    Types {
        /// Some of them, at most [`MAX_TYPES`].
        keys: Vec<u64>,
        /// No more follow.
        last: bool,
    },
    /// The sender wants a data link but cannot dial it itself.
    LinkRequest {
        /// The session.
        session: u64,
        /// Which link.
        slot: Slot,
    },
    /// A diagnostics question.
    DiagCall {
        /// Chosen by the asker.
        req_id: u64,
        /// Time left, in milliseconds.
        deadline_ms: u32,
        /// The question, as JSON.
        tool_json: Vec<u8>,
    },
    /// Part of a diagnostics answer.
    DiagChunk {
        /// Of the question.
        req_id: u64,
        /// Counts the parts from 0.
        seq: u32,
        /// No part follows.
        last: bool,
        /// At most [`MAX_CHUNK_BYTES`].
        bytes: Vec<u8>,
    },
    /// A diagnostics question that failed.
    DiagError {
        /// Of the question.
        req_id: u64,
        /// Number of the error, of the diagnostics protocol.
        kind: u16,
        /// What, where and what to do.
        text: String,
    },
    /// The asker no longer wants the answer.
    DiagCancel {
        /// Of the question.
        req_id: u64,
    },
    /// Which process holds a name?
    NameQuery {
        /// Chosen by the asker.
        req_id: u64,
        /// The registered name.
        name: String,
    },
    /// Answers [`ControlMsg::NameQuery`].
    NameAnswer {
        /// Of the question.
        req_id: u64,
        /// The process; `None` if nobody holds the name.
        local: Option<LocalId>,
        /// Epoch of the name table when it was looked up.
        epoch: u64,
    },
    /// The sender no longer has the link of this slot, up to this epoch. Idempotent; said again on each control link.
    LinkDown {
        /// The session.
        session: u64,
        /// Which link.
        slot: Slot,
        /// Links of this epoch and of those before are over.
        epoch: u32,
    },
    /// Bytes of a service that uses the control link, such as a registrar or an election.
    Service {
        /// Which service, as the runtime assigns them.
        channel: u16,
        /// Its message.
        bytes: Vec<u8>,
    },
}

/// Why bytes are no control message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Larger than [`MAX_CONTROL_BYTES`] or than the limit of a field. Close the link; when sending, split it.
    #[error("a control message of {have} bytes is over its limit of {limit}: split it")]
    TooLarge {
        /// Its size.
        have: usize,
        /// The limit.
        limit: usize,
    },
    /// It ends inside a field. Close the link.
    #[error("a control message ends at byte {offset}, {need} bytes were needed: close the link")]
    Truncated {
        /// Where the field begins.
        offset: usize,
        /// How many bytes it needs.
        need: usize,
    },
    /// Bytes behind the last field. Close the link.
    #[error("a control message has {have} bytes behind its last field: close the link")]
    Trailing {
        /// How many.
        have: usize,
    },
    /// A field has a value it cannot have. Close the link.
    #[error("a control message has a bad value before byte {offset}: close the link")]
    BadValue {
        /// Where the field ends.
        offset: usize,
    },
    /// A kind of a newer version: skip it.
    #[error("control message kind {kind} is not known to this version: it was skipped")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
}

impl ControlError {
    /// Whether the stream behind it can no longer be trusted.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        !matches!(self, Self::UnknownKind { .. })
    }
}

impl From<Short> for ControlError {
    fn from(short: Short) -> Self {
        Self::Truncated { offset: short.offset, need: short.need }
    }
}

impl ControlMsg {
    /// Appends the message, length first.
    ///
    /// # Errors
    /// [`ControlError::TooLarge`], and `out` is as before, if a field or the whole is over its limit.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ControlError> {
        let start = out.len();
        out.extend([0; LENGTH_BYTES]);
        out.extend([VERSION, self.kind()]);
        let written = self.put(out).and_then(|()| {
            let have = out.len().saturating_sub(start + LENGTH_BYTES);
            let within = u32::try_from(have).ok().filter(|_| have <= MAX_CONTROL_BYTES);
            within.ok_or(ControlError::TooLarge { have, limit: MAX_CONTROL_BYTES })
        });
        match written {
            Ok(length) => {
                if let Some(field) = out.get_mut(start..start + LENGTH_BYTES) {
                    field.copy_from_slice(&length.to_le_bytes());
                }
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    /// Decodes one message without its length field.
    ///
    /// # Errors
    /// Says where the bytes break the layout; see [`ControlError::is_fatal`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        // LIMIT: one control message.
        check_limit(bytes.len(), MAX_CONTROL_BYTES)?;
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        let kind = reader.u8()?;
        if version == 0 {
            return Err(ControlError::BadValue { offset: 1 });
        }
        let message = Self::read(kind, &mut reader)?;
        match reader.rest().len() {
            have if have > 0 && version == VERSION => Err(ControlError::Trailing { have }),
            _ => Ok(message),
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Heartbeat { .. } => 1,
            Self::HeartbeatAck { .. } => 2,
            Self::SessionUp { .. } => 3,
            Self::SessionDown { .. } => 4,
            Self::Goodbye { .. } => 5,
            Self::LinkRequest { .. } => 6,
            Self::DiagCall { .. } => 7,
            Self::DiagChunk { .. } => 8,
            Self::DiagError { .. } => 9,
            Self::DiagCancel { .. } => 10,
            Self::NameQuery { .. } => 11,
            Self::NameAnswer { .. } => 12,
            Self::Service { .. } => 13,
            Self::LinkDown { .. } => 14,
            Self::Leaving => 15,
            Self::Settled => 16,
            Self::Types { .. } => 17,
        }
    }

    fn put(&self, out: &mut Vec<u8>) -> Result<(), ControlError> {
        match self {
            Self::Heartbeat { seq, sent_ns, stalls } => {
                out.extend(seq.to_le_bytes());
                out.extend(sent_ns.to_le_bytes());
                put_stalls(out, stalls)?;
            }
            Self::HeartbeatAck { seq, echo_ns } => {
                out.extend(seq.to_le_bytes());
                out.extend(echo_ns.to_le_bytes());
            }
            Self::SessionUp { session } => out.extend(session.to_le_bytes()),
            Self::SessionDown { session, reason } => {
                out.extend(session.to_le_bytes());
                out.push(reason.code());
            }
            Self::Leaving | Self::Settled => {}
            Self::Types { keys, last } => {
                out.push(u8::from(*last));
                check_limit(keys.len(), MAX_TYPES)?;
                let too_large = ControlError::TooLarge { have: keys.len(), limit: MAX_TYPES };
                out.extend(u32::try_from(keys.len()).map_err(|_| too_large)?.to_le_bytes());
                for key in keys {
                    out.extend(key.to_le_bytes());
                }
            }
            Self::Goodbye { reason } => put_bytes(out, reason.as_bytes(), MAX_TEXT_BYTES)?,
            Self::LinkRequest { session, slot } => {
                out.extend(session.to_le_bytes());
                out.extend(slot.to_bits().to_le_bytes());
            }
            Self::DiagCall { req_id, deadline_ms, tool_json } => {
                out.extend(req_id.to_le_bytes());
                out.extend(deadline_ms.to_le_bytes());
                put_bytes(out, tool_json, MAX_CONTROL_BYTES)?;
            }
            Self::DiagChunk { req_id, seq, last, bytes } => {
                out.extend(req_id.to_le_bytes());
                out.extend(seq.to_le_bytes());
                out.push(u8::from(*last));
                put_bytes(out, bytes, MAX_CHUNK_BYTES)?;
            }
            Self::DiagError { req_id, kind, text } => {
                out.extend(req_id.to_le_bytes());
                out.extend(kind.to_le_bytes());
                put_bytes(out, text.as_bytes(), MAX_TEXT_BYTES)?;
            }
            Self::DiagCancel { req_id } => out.extend(req_id.to_le_bytes()),
            Self::NameQuery { req_id, name } => {
                out.extend(req_id.to_le_bytes());
                put_bytes(out, name.as_bytes(), MAX_TEXT_BYTES)?;
            }
            Self::NameAnswer { req_id, local, epoch } => {
                out.extend(req_id.to_le_bytes());
                out.extend(local.unwrap_or(LocalId::NONE).0.to_le_bytes());
                out.extend(epoch.to_le_bytes());
            }
            Self::LinkDown { session, slot, epoch } => {
                out.extend(session.to_le_bytes());
                out.extend(slot.to_bits().to_le_bytes());
                out.extend(epoch.to_le_bytes());
            }
            Self::Service { channel, bytes } => {
                out.extend(channel.to_le_bytes());
                put_bytes(out, bytes, MAX_CONTROL_BYTES)?;
            }
        }
        Ok(())
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, ControlError> {
        Ok(match kind {
            1 => Self::Heartbeat { seq: reader.u64()?, sent_ns: reader.u64()?, stalls: read_stalls(reader)? },
            2 => Self::HeartbeatAck { seq: reader.u64()?, echo_ns: reader.u64()? },
            3 => Self::SessionUp { session: reader.u64()? },
            4 => {
                let session = reader.u64()?;
                let code = reader.u8()?;
                // A reason of a newer version still ends the session.
                Self::SessionDown {
                    session,
                    reason: DownReason::from_code(code).unwrap_or(DownReason::Disconnected),
                }
            }
            5 => Self::Goodbye { reason: read_text(reader)? },
            6 => Self::LinkRequest { session: reader.u64()?, slot: Slot::from_bits(reader.u32()?) },
            7 => Self::DiagCall {
                req_id: reader.u64()?,
                deadline_ms: reader.u32()?,
                tool_json: read_bytes(reader, MAX_CONTROL_BYTES)?,
            },
            8 => Self::DiagChunk {
                req_id: reader.u64()?,
                seq: reader.u32()?,
                last: read_bool(reader)?,
                bytes: read_bytes(reader, MAX_CHUNK_BYTES)?,
            },
            9 => Self::DiagError { req_id: reader.u64()?, kind: reader.u16()?, text: read_text(reader)? },
            10 => Self::DiagCancel { req_id: reader.u64()? },
            11 => Self::NameQuery { req_id: reader.u64()?, name: read_text(reader)? },
            12 => {
                let (req_id, local, epoch) = (reader.u64()?, LocalId(reader.u64()?), reader.u64()?);
                Self::NameAnswer { req_id, local: (local != LocalId::NONE).then_some(local), epoch }
            }
            13 => Self::Service { channel: reader.u16()?, bytes: read_bytes(reader, MAX_CONTROL_BYTES)? },
            14 => Self::LinkDown {
                session: reader.u64()?,
                slot: Slot::from_bits(reader.u32()?),
                epoch: reader.u32()?,
            },
            15 => Self::Leaving,
            16 => Self::Settled,
            17 => Self::Types { last: read_bool(reader)?, keys: read_keys(reader)? },
            kind => return Err(ControlError::UnknownKind { kind }),
        })
    }
}

fn read_keys(reader: &mut Reader<'_>) -> Result<Vec<u64>, ControlError> {
    let count = reader.u32()? as usize;
    check_limit(count, MAX_TYPES)?;
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        keys.push(reader.u64()?);
    }
    Ok(keys)
}

const fn check_limit(have: usize, limit: usize) -> Result<(), ControlError> {
    if have > limit { Err(ControlError::TooLarge { have, limit }) } else { Ok(()) }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8], limit: usize) -> Result<(), ControlError> {
    check_limit(bytes.len(), limit)?;
    let too_large = ControlError::TooLarge { have: bytes.len(), limit };
    out.extend(u32::try_from(bytes.len()).map_err(|_| too_large)?.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn read_bytes(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<u8>, ControlError> {
    let have = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    check_limit(have, limit)?;
    Ok(reader.take(have)?.to_vec())
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, ControlError> {
    let bytes = read_bytes(reader, MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).map_err(|_| ControlError::BadValue { offset: reader.offset() })
}

fn read_bool(reader: &mut Reader<'_>) -> Result<bool, ControlError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(ControlError::BadValue { offset: reader.offset() }),
    }
}

fn put_stalls(out: &mut Vec<u8>, stalls: &[Stall]) -> Result<(), ControlError> {
    check_limit(stalls.len(), MAX_STALLS)?;
    out.extend(u16::try_from(stalls.len()).unwrap_or_default().to_le_bytes());
    for stall in stalls {
        out.extend(stall.shard.to_le_bytes());
        out.extend(stall.stalled_ms.to_le_bytes());
        out.extend(stall.pid.node.0.to_le_bytes());
        out.extend(stall.pid.local.0.to_le_bytes());
    }
    Ok(())
}

fn read_stalls(reader: &mut Reader<'_>) -> Result<Vec<Stall>, ControlError> {
    let count = usize::from(reader.u16()?);
    check_limit(count, MAX_STALLS)?;
    let mut stalls = Vec::new();
    for _ in 0..count {
        stalls.push(Stall {
            shard: reader.u16()?,
            stalled_ms: reader.u32()?,
            pid: Pid { node: IncarnationKey(reader.u64()?), local: LocalId(reader.u64()?) },
        });
    }
    Ok(stalls)
}

/// Cuts the bytes of one control link into messages.
#[derive(Debug, Default)]
pub struct ControlReader {
    pending: Vec<u8>,
    taken: usize,
}

impl ControlReader {
    /// Takes what the socket read. Call [`ControlReader::next_message`] until it returns `None` before pushing more:
    /// then at most one unfinished message is kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.pending.drain(..self.taken.min(self.pending.len()));
            self.taken = 0;
        }
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message; `None` if more bytes are needed.
    ///
    /// # Errors
    /// After a fatal error the link must be closed; after another one, go on.
    pub fn next_message(&mut self) -> Result<Option<ControlMsg>, ControlError> {
        let unread = self.pending.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = unread.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        // LIMIT: checked before the message is collected.
        check_limit(length, MAX_CONTROL_BYTES)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = ControlMsg::decode(body);
        self.taken += LENGTH_BYTES + length;
        message.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> Vec<ControlMsg> {
        let pid = Pid { node: IncarnationKey(9), local: LocalId(77) };
        let stall = Stall { shard: 2, stalled_ms: 12_300, pid };
        vec![
            ControlMsg::Heartbeat { seq: 1, sent_ns: 2, stalls: vec![stall; 3] },
            ControlMsg::HeartbeatAck { seq: 1, echo_ns: 2 },
            ControlMsg::SessionUp { session: 3 },
            ControlMsg::SessionDown { session: 3, reason: DownReason::Heartbeat },
            ControlMsg::Goodbye { reason: "upgrade".to_owned() },
            ControlMsg::LinkRequest { session: 3, slot: Slot { low: 1, high: 2 } },
            ControlMsg::DiagCall { req_id: 4, deadline_ms: 5000, tool_json: b"{}".to_vec() },
            ControlMsg::DiagChunk { req_id: 4, seq: 1, last: true, bytes: vec![1; 100] },
            ControlMsg::DiagError { req_id: 4, kind: 2, text: "no such tool".to_owned() },
            ControlMsg::DiagCancel { req_id: 4 },
            ControlMsg::NameQuery { req_id: 5, name: "counter".to_owned() },
            ControlMsg::NameAnswer { req_id: 5, local: Some(LocalId(6)), epoch: 8 },
            ControlMsg::NameAnswer { req_id: 5, local: None, epoch: 8 },
            ControlMsg::Leaving,
            ControlMsg::Settled,
            ControlMsg::Types { keys: vec![1, u64::MAX], last: true },
            ControlMsg::Types { keys: Vec::new(), last: false },
            ControlMsg::LinkDown { session: 3, slot: Slot { low: 1, high: 2 }, epoch: 4 },
            ControlMsg::Service { channel: 1, bytes: vec![7; 9] },
        ]
    }

    fn encoded(message: &ControlMsg) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn messages_survive_any_cut_of_the_stream() {
        let stream: Vec<u8> = samples().iter().flat_map(encoded).collect();
        for step in [1, 2, 7, 64, stream.len()] {
            let mut reader = ControlReader::default();
            let mut got = Vec::new();
            for chunk in stream.chunks(step) {
                reader.push(chunk);
                while let Some(message) = reader.next_message().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, samples(), "in steps of {step}");
        }
    }

    #[test]
    fn every_prefix_and_every_extra_byte_is_refused() {
        for message in samples() {
            let bytes = encoded(&message);
            let body = &bytes[LENGTH_BYTES..];
            for cut in 0..body.len() {
                assert!(ControlMsg::decode(&body[..cut]).is_err(), "{message:?} cut at {cut}");
            }
            let mut longer = body.to_vec();
            longer.push(0);
            assert_eq!(ControlMsg::decode(&longer), Err(ControlError::Trailing { have: 1 }));
            // A newer layout may add fields.
            longer[0] = VERSION + 1;
            assert_eq!(ControlMsg::decode(&longer), Ok(message));
        }
    }

    #[test]
    fn limits_hold_in_both_directions() {
        let mut out = vec![1, 2];
        let chunk =
            ControlMsg::DiagChunk { req_id: 1, seq: 0, last: false, bytes: vec![0; MAX_CHUNK_BYTES + 1] };
        assert!(matches!(chunk.encode(&mut out), Err(ControlError::TooLarge { .. })));
        let call = ControlMsg::DiagCall { req_id: 1, deadline_ms: 1, tool_json: vec![0; MAX_CONTROL_BYTES] };
        assert!(matches!(call.encode(&mut out), Err(ControlError::TooLarge { .. })));
        assert_eq!(out, [1, 2]);
        let mut reader = ControlReader::default();
        reader.push(&u32::MAX.to_le_bytes());
        assert!(reader.next_message().unwrap_err().is_fatal());
    }

    #[test]
    fn an_unknown_kind_is_skipped() {
        let mut reader = ControlReader::default();
        reader.push(&[2, 0, 0, 0, 1, 200]);
        reader.push(&encoded(&ControlMsg::DiagCancel { req_id: 1 }));
        let error = reader.next_message().unwrap_err();
        assert_eq!((error, error.is_fatal()), (ControlError::UnknownKind { kind: 200 }, false));
        assert_eq!(reader.next_message(), Ok(Some(ControlMsg::DiagCancel { req_id: 1 })));
        assert_eq!(reader.next_message(), Ok(None));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_reads_back_the_same(mut bytes in proptest::collection::vec(any::<u8>(), 2..200), kind in 0u8..16) {
            bytes[0] = VERSION;
            bytes[1] = kind;
            if let Ok(message) = ControlMsg::decode(&bytes)
                && !matches!(message, ControlMsg::SessionDown { .. })
            {
                prop_assert_eq!(&encoded(&message)[LENGTH_BYTES..], &bytes[..]);
            }
        }
    }
}
