//! What came of an ask.

use crate::ask::{MAX_NAME, VERSION};
use crate::cursor::{Reader, Writer};
use crate::relation::{Ended, MAX_REASON_TEXT, Reason};
use crate::{LocalId, WireError};

/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 16 << 10;
/// Most labels of an application that are told.
const MAX_TAGS: usize = 64;
/// Longest description, in bytes; what is longer is cut.
const MAX_TEXT: u16 = 1024;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// Why nothing came of an ask. The numbers are part of the protocol and never used again.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$doc])* $name = $number,)*
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

refusals! {
    /// Nothing is offered under this name.
    NameUnknown = 1,
    /// The asking node may not have it.
    NotAllowed = 2,
    /// The arguments are of another type.
    WrongArguments = 3,
    /// The arguments are none of their type.
    Undecodable = 4,
    /// The process did not start.
    Init = 5,
    /// There is no room.
    Limit = 6,
    /// The name to register is taken.
    Taken = 7,
    /// The name to register is not usable.
    BadName = 8,
    /// The node is stopping.
    Stopping = 9,
    /// The time was up before it began.
    Expired = 10,
    /// Too much is being asked at once.
    Overloaded = 11,
    /// The ask is not understood.
    Malformed = 12,
    /// An ask of the same id asked for something else.
    Mismatch = 13,
    /// What was started was given up: it was not claimed in time, or not wanted.
    Unclaimed = 14,
    /// There is no such shard.
    NoShard = 15,
    /// The factory panicked.
    Panicked = 16,
    /// No application of this name is loaded.
    AppUnknown = 17,
    /// It runs.
    AppRunning = 18,
    /// It does not run.
    AppNotRunning = 19,
    /// It is being stopped.
    AppStopping = 20,
    /// A running application depends on it, or it depends on one that is not there.
    AppDepends = 21,
    /// It did not start.
    AppFailed = 22,
    /// What was asked for goes on.
    Late = 23,
}

impl Refusal {
    /// The refusal with this number; `None` for one that this version does not know.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| *refusal as u16 == code)
    }
}

/// An application of another node, as it describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AppFacts {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its release.
    pub version: String,
    /// Its mode, as the runtime numbers them.
    pub mode: u8,
    /// Its state, as the runtime numbers them.
    pub state: u8,
    /// Its share of load.
    pub weight: u32,
    /// Its labels, 64 at most.
    pub tags: Vec<String>,
    /// All processes that belong to it.
    pub processes: u64,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// How often it was started.
    pub starts: u64,
}

/// What came of an ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// This process runs.
    Started(LocalId),
    /// It is done.
    Done,
    /// What was asked about.
    Facts(Box<AppFacts>),
    /// Nothing came of it.
    Refused {
        /// Why; `None` for a refusal that this version does not know.
        why: Option<Refusal>,
        /// In words, for what has no better.
        text: String,
        /// Why the process did not start.
        reason: Option<Reason>,
    },
}

impl Answer {
    /// A refusal without words.
    #[must_use]
    pub fn refused(why: Refusal) -> Self {
        Self::Refused { why: Some(why), text: String::new(), reason: None }
    }

    /// The bytes; texts that are too long are cut.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(MAX_ANSWER_BYTES);
        // Everything is cut to its limit, and their sum is below that of the whole.
        if self.write(&mut out).is_err() {
            out = Writer::new(MAX_ANSWER_BYTES);
            let _fits = Self::refused(Refusal::Malformed).write(&mut out);
        }
        out.into_bytes()
    }

    fn write(&self, out: &mut Writer) -> Result<(), WireError> {
        let out = out.u8("version of an answer", VERSION)?;
        match self {
            Self::Started(local) => out.u8("what came of it", 1)?.u64("process", local.0)?,
            Self::Done => out.u8("what came of it", 2)?,
            Self::Facts(facts) => return facts.write(out.u8("what came of it", 3)?),
            Self::Refused { why, text, reason } => {
                let code = why.map_or(0, |why| why as u16);
                out.u8("what came of it", 4)?.u16("refusal", code)?.text(
                    "words of a refusal",
                    cut(text, MAX_REASON_TEXT),
                    MAX_REASON_TEXT,
                )?;
                let reason =
                    reason.as_ref().map(|reason| Ended { subject: None, reason: reason.clone() }.to_bytes());
                out.bool("whether there is a reason", reason.is_some())?
                    .bytes("reason", &reason.unwrap_or_default())?
            }
        };
        Ok(())
    }

    /// Reads a body, also one of a newer version.
    ///
    /// # Errors
    /// Any [`WireError`] of a field.
    pub fn from_bytes(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let version = reader.u8("version of an answer")?;
        if version < VERSION {
            let have = u64::from(version);
            return Err(WireError::Invalid { what: "version of an answer", offset: 0, have });
        }
        let what = reader.u8("what came of it")?;
        Ok(match what {
            1 => Self::Started(LocalId(reader.u64("process")?)),
            2 => Self::Done,
            3 => Self::Facts(Box::new(AppFacts::read(&mut reader)?)),
            4 => {
                let why = Refusal::from_code(reader.u16("refusal")?);
                let text = reader.text("words of a refusal", MAX_REASON_TEXT)?.to_owned();
                let reason = match reader.bool("whether there is a reason")? {
                    true => Some(Ended::from_bytes(reader.rest())?.reason),
                    false => None,
                };
                Self::Refused { why, text, reason }
            }
            _ => {
                let have = u64::from(what);
                return Err(WireError::Invalid { what: "what came of it", offset: 1, have });
            }
        })
    }
}

impl AppFacts {
    fn write(&self, out: &mut Writer) -> Result<(), WireError> {
        out.text("name of an application", cut(&self.name, MAX_NAME), MAX_NAME)?
            .text("description", cut(&self.description, MAX_TEXT), MAX_TEXT)?
            .text("release", cut(&self.version, MAX_NAME), MAX_NAME)?
            .u8("mode", self.mode)?
            .u8("state", self.state)?
            .u32("weight", self.weight)?
            .u64("processes", self.processes)?
            .u64("uptime", self.uptime_ms)?
            .u64("starts", self.starts)?;
        let tags = self.tags.len().min(MAX_TAGS);
        out.u16("labels", u16::try_from(tags).unwrap_or_default())?;
        // LIMIT: labels that are told; 128 bytes of each.
        for tag in self.tags.iter().take(tags) {
            out.text("label", cut(tag, 128), 128)?;
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut facts = Self {
            name: reader.text("name of an application", MAX_NAME)?.to_owned(),
            description: reader.text("description", MAX_TEXT)?.to_owned(),
            version: reader.text("release", MAX_NAME)?.to_owned(),
            mode: reader.u8("mode")?,
            state: reader.u8("state")?,
            weight: reader.u32("weight")?,
            processes: reader.u64("processes")?,
            uptime_ms: reader.u64("uptime")?,
            starts: reader.u64("starts")?,
            tags: Vec::new(),
        };
        let tags = usize::from(reader.u16("labels")?);
        if tags > MAX_TAGS {
            return Err(WireError::Limit { what: "labels", have: tags as u64, max: MAX_TAGS as u64 });
        }
        for _ in 0..tags {
            facts.tags.push(reader.text("label", 128)?.to_owned());
        }
        Ok(facts)
    }
}

/// As much of a text as may be sent, in whole characters.
fn cut(text: &str, max: u16) -> &str {
    let most = text.len().min(usize::from(max));
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}
