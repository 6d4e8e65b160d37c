//! Links, monitors and exits between processes of two nodes: the bodies of their frames, in fixed, versioned layouts.
//!
//! ```text
//! link, unlink, monitor, demonitor   version u8 · subject u8 · id u64
//! exit, down                         version u8 · subject u8 · id u64 · reason
//! reason                             code u8 · first u64 · second u64 · text (length u16) · cause, if there is one
//! ```
//! The header tells the rest: `from` is the consumer and `to` the target, or the other way round in an answer; `reference`
//! is the consumer's number of the relation, 0 for an exit that somebody sent; a name block is there if the target was
//! named. So a frame can only speak of processes of the node that sends it and of the one that gets it.
//!
//! Invariants: B1 a newer version may append to a body, and an older node takes what it knows. B2 every reason fits the
//! smallest frame that a link may be limited to: texts are cut, causes are counted.

use crate::WireError;
use crate::cursor::Reader;
use crate::limits::{FLOOR_MAX_FRAME, MAX_HEADER_BYTES};
use crate::session::DownReason;

/// Bit of [`Introduction::flags`](crate::handshake::Introduction::flags) of a node that understands these frames.
pub const RELATIONS: u64 = 1 << 1;

/// Longest text of a reason, in bytes; what is longer is cut.
pub const MAX_REASON_TEXT: u16 = 512;
/// Reasons inside each other: supervisors that ended because of supervisors.
const MAX_CAUSES: usize = 4;
const VERSION: u8 = 1;
const SUBJECT_BYTES: usize = 10;
const REASON_BYTES: usize = 19;

const _: () = {
    let longest = SUBJECT_BYTES + (MAX_CAUSES + 1) * REASON_BYTES + MAX_REASON_TEXT as usize;
    assert!(MAX_HEADER_BYTES + longest <= FLOOR_MAX_FRAME, "B2");
};

/// What a relation is to, on the target's node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// A process, by its local id.
    Pid(u64),
    /// An alias, by its number.
    Alias(u64),
    /// A registered name: the one in the header.
    Name,
    /// An event: the one in the header. Only for nodes that announce [`EVENTS`](crate::event::EVENTS).
    Event,
}

impl Subject {
    fn write(this: Option<Self>, out: &mut Vec<u8>) {
        let (code, id) = match this {
            None => (0, 0),
            Some(Self::Pid(local)) => (1, local),
            Some(Self::Alias(id)) => (2, id),
            Some(Self::Name) => (3, 0),
            Some(Self::Event) => (4, 0),
        };
        out.extend_from_slice(&[VERSION, code]);
        out.extend_from_slice(&u64::to_le_bytes(id));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        let version = reader.u8("version of a relation")?;
        if version < VERSION {
            let have = u64::from(version);
            return Err(WireError::Invalid { what: "version of a relation", offset: 0, have });
        }
        let (code, id) = (reader.u8("subject of a relation")?, reader.u64("target of a relation")?);
        Ok(match code {
            0 => None,
            1 => Some(Self::Pid(id)),
            2 => Some(Self::Alias(id)),
            3 => Some(Self::Name),
            4 => Some(Self::Event),
            _ => {
                let have = u64::from(code);
                return Err(WireError::Invalid { what: "subject of a relation", offset: 1, have });
            }
        })
    }
}

/// Body of a frame that makes or undoes a relation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Relation {
    /// What it is to.
    pub subject: Subject,
}

impl Relation {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SUBJECT_BYTES);
        Subject::write(Some(self.subject), &mut out);
        out
    }

    /// Reads a body, also one of a newer version.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Invalid`].
    pub fn from_bytes(body: &[u8]) -> Result<Self, WireError> {
        match Subject::read(&mut Reader::new(body))? {
            Some(subject) => Ok(Self { subject }),
            None => Err(WireError::Invalid { what: "subject of a relation", offset: 1, have: 0 }),
        }
    }
}

/// Body of a frame that says that something has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// What the relation was to; `None` for an exit signal that a process has sent.
    pub subject: Option<Subject>,
    /// Why.
    pub reason: Reason,
}

impl Ended {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SUBJECT_BYTES + REASON_BYTES);
        Subject::write(self.subject, &mut out);
        self.reason.write(&mut out, MAX_CAUSES);
        out
    }

    /// Reads a body, also one of a newer version.
    ///
    /// # Errors
    /// [`WireError::Short`], [`WireError::Invalid`], [`WireError::Limit`] or [`WireError::Utf8`].
    pub fn from_bytes(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let subject = Subject::read(&mut reader)?;
        Ok(Self { subject, reason: Reason::read(&mut reader, MAX_CAUSES)? })
    }
}

/// Why a process ended, as another node is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It was done.
    Normal,
    /// It was asked to end.
    Shutdown,
    /// It was killed.
    Kill,
    /// It panicked, with this message.
    Panic(String),
    /// It ended with an error, of which this is the text.
    Error(String),
    /// Its `init` was not done in time.
    InitTimeout {
        /// How long it had.
        limit_ns: u64,
    },
    /// A supervisor restarted too often.
    Exceeded {
        /// Restarts allowed within the period.
        limit: u16,
        /// The period.
        period_ns: u64,
        /// Why the last child ended.
        cause: Box<Self>,
    },
    /// There is no such process, and why it ended is not known.
    NoProcess,
    /// It ended since it was linked to a node, or to a process of one, whose session has ended.
    NoConnection {
        /// Why that ended.
        why: DownReason,
        /// Its number.
        session: u64,
    },
    /// The name or alias was given up.
    Unregistered,
}

const EXCEEDED: u8 = 7;

impl Reason {
    /// Appends the bytes.
    pub(crate) fn to_bytes(&self, out: &mut Vec<u8>) {
        self.write(out, MAX_CAUSES);
    }

    /// Reads what was appended.
    pub(crate) fn from_reader(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::read(reader, MAX_CAUSES)
    }

    fn write(&self, out: &mut Vec<u8>, causes: usize) {
        let (code, first, second, text) = match self {
            Self::Normal => (1, 0, 0, ""),
            Self::Shutdown => (2, 0, 0, ""),
            Self::Kill => (3, 0, 0, ""),
            Self::Panic(text) => (4, 0, 0, text.as_str()),
            Self::Error(text) => (5, 0, 0, text.as_str()),
            Self::InitTimeout { limit_ns } => (6, *limit_ns, 0, ""),
            // LIMIT: B2. The chain ends here; what is left of it is a text.
            Self::Exceeded { .. } if causes == 0 => (5, 0, 0, "supervisor restart intensity exceeded"),
            Self::Exceeded { limit, period_ns, .. } => (EXCEEDED, u64::from(*limit), *period_ns, ""),
            Self::NoProcess => (8, 0, 0, ""),
            Self::NoConnection { why, session } => (9, *session, u64::from(why.code()), why.name()),
            Self::Unregistered => (10, 0, 0, ""),
        };
        let text = cut(text);
        out.push(code);
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
        out.extend_from_slice(&u16::try_from(text.len()).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(text.as_bytes());
        if code == EXCEEDED
            && let Self::Exceeded { cause, .. } = self
        {
            cause.write(out, causes - 1);
        }
    }

    fn read(reader: &mut Reader<'_>, causes: usize) -> Result<Self, WireError> {
        let offset = reader.offset();
        let invalid = |what, have| WireError::Invalid { what, offset, have };
        let code = reader.u8("kind of a reason")?;
        let first = reader.u64("first number of a reason")?;
        let second = reader.u64("second number of a reason")?;
        let text = reader.text("text of a reason", MAX_REASON_TEXT)?;
        Ok(match code {
            0 => return Err(invalid("kind of a reason", 0)),
            1 => Self::Normal,
            2 => Self::Shutdown,
            3 => Self::Kill,
            4 => Self::Panic(text.to_owned()),
            6 => Self::InitTimeout { limit_ns: first },
            EXCEEDED => {
                // LIMIT: B2. Also bounds the depth of this function.
                if causes == 0 {
                    let max = MAX_CAUSES as u64;
                    return Err(WireError::Limit { what: "causes of a reason", have: max + 1, max });
                }
                let limit = u16::try_from(first).map_err(|_| invalid("restarts of a reason", first))?;
                let cause = Box::new(Self::read(reader, causes - 1)?);
                Self::Exceeded { limit, period_ns: second, cause }
            }
            8 => Self::NoProcess,
            9 => match u8::try_from(second).ok().and_then(DownReason::from_code) {
                Some(why) => Self::NoConnection { why, session: first },
                None => Self::Error(text.to_owned()),
            },
            10 => Self::Unregistered,
            // An error, or a reason of a newer version, which has a text.
            _ => Self::Error(text.to_owned()),
        })
    }
}

/// As much of the text as may be sent, in whole characters.
fn cut(text: &str) -> &str {
    let most = text.len().min(usize::from(MAX_REASON_TEXT));
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Ended, MAX_REASON_TEXT, Reason, Relation, Subject};
    use crate::WireError;
    use crate::session::DownReason;

    fn reasons() -> Vec<Reason> {
        let exceeded = |cause| Reason::Exceeded { limit: 5, period_ns: 7, cause: Box::new(cause) };
        vec![
            Reason::Normal,
            Reason::Shutdown,
            Reason::Kill,
            Reason::Panic("böse".to_owned()),
            Reason::Error(String::new()),
            Reason::InitTimeout { limit_ns: u64::MAX },
            exceeded(exceeded(exceeded(exceeded(Reason::Kill)))),
            Reason::NoProcess,
            Reason::NoConnection { why: DownReason::Heartbeat, session: 9 },
            Reason::Unregistered,
        ]
    }

    #[test]
    fn relations_round_trip_and_every_prefix_is_refused() {
        for subject in [Subject::Pid(u64::MAX), Subject::Alias(3), Subject::Name, Subject::Event] {
            let relation = Relation { subject };
            let mut bytes = relation.to_bytes();
            for end in 0..bytes.len() {
                assert!(matches!(Relation::from_bytes(&bytes[..end]), Err(WireError::Short { .. })), "{end}");
            }
            bytes.push(77);
            assert_eq!(Relation::from_bytes(&bytes), Ok(relation), "a newer version is longer");
        }
        for bytes in
            [[0, 1, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 5, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert!(matches!(Relation::from_bytes(&bytes), Err(WireError::Invalid { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn ends_round_trip_and_every_prefix_is_refused() {
        for reason in reasons() {
            for subject in [None, Some(Subject::Pid(1)), Some(Subject::Name)] {
                let ended = Ended { subject, reason: reason.clone() };
                let mut bytes = ended.to_bytes();
                for end in 0..bytes.len() {
                    let read = Ended::from_bytes(&bytes[..end]);
                    assert!(matches!(read, Err(WireError::Short { .. })), "{ended:?} at {end}: {read:?}");
                }
                bytes.push(77);
                assert_eq!(Ended::from_bytes(&bytes), Ok(ended));
            }
        }
    }

    #[test]
    fn long_texts_and_long_chains_are_cut_and_unknown_reasons_are_their_text() {
        let round =
            |reason| Ended::from_bytes(&Ended { subject: None, reason }.to_bytes()).map(|ended| ended.reason);
        let Ok(Reason::Panic(text)) = round(Reason::Panic("ö".repeat(1000))) else { panic!("not a panic") };
        assert_eq!(text, "ö".repeat(usize::from(MAX_REASON_TEXT) / 2));
        let mut chain = Reason::Normal;
        for _ in 0..9 {
            chain = Reason::Exceeded { limit: 1, period_ns: 1, cause: Box::new(chain) };
        }
        let mut read = round(chain).unwrap();
        let mut depth = 0;
        while let Reason::Exceeded { cause, .. } = read {
            read = *cause;
            depth += 1;
        }
        assert_eq!((depth, read), (4, Reason::Error("supervisor restart intensity exceeded".to_owned())));
        let mut newer = Ended { subject: None, reason: Reason::Error("tired".to_owned()) }.to_bytes();
        newer[10] = 200;
        assert_eq!(Ended::from_bytes(&newer).unwrap().reason, Reason::Error("tired".to_owned()));
        newer[10] = 0;
        assert!(matches!(Ended::from_bytes(&newer), Err(WireError::Invalid { .. })));
    }
}
