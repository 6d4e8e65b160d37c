//! What is asked, and whether it is claimed.

use crate::WireError;
use crate::ask::{MAX_ASK_BYTES, MAX_ENV, MAX_ENV_TEXT, MAX_NAME, VERSION};
use crate::cursor::{Reader, Writer};
use crate::limits::FRAME_ALIGN;

const LINKS_PARENT: u8 = 1;
const KNOWN_FLAGS: u8 = LINKS_PARENT;

/// On which shard of the other node a process is to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// The one with the least to do.
    #[default]
    LeastLoaded,
    /// This one.
    Shard(u16),
    /// The one that a hash leads to.
    Key(u64),
}

/// A value of an environment that can be sent.
#[derive(Clone, PartialEq, Debug)]
pub enum EnvText {
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A signed number.
    I64(i64),
    /// A number without a sign.
    U64(u64),
    /// A number with a fraction.
    F64(f64),
    /// A signed number of 32 bits.
    I32(i32),
    /// A number of 32 bits without a sign.
    U32(u32),
    /// A number of 16 bits without a sign.
    U16(u16),
}

/// A request to start a process.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SpawnAsk<'a> {
    /// Under which name the other node offers it.
    pub offer: &'a str,
    /// The name it is to register; empty: none.
    pub register: &'a str,
    /// The application of its parent; empty: none.
    pub application: &'a str,
    /// Incarnation key and local id of its leader.
    pub leader: (u64, u64),
    /// Where it is to start.
    pub place: Place,
    /// Whether it ends when its parent ends.
    pub links_parent: bool,
    /// Bound of its mailbox; 0: none.
    pub mailbox: u32,
    /// How long its `init` may take, in milliseconds; 0: the default.
    pub init_ms: u32,
    /// The level of its log lines, as the runtime numbers them, from 1; 0: the default.
    pub log_level: u8,
    /// Its environment.
    pub env: Vec<(String, EnvText)>,
    /// The archive of the arguments, as aligned as the body it was read from.
    pub args: &'a [u8],
}

/// Something that a node is asked to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask<'a> {
    /// To start a process.
    Spawn(SpawnAsk<'a>),
    /// To start an application, in this mode as the runtime numbers them, from 1; 0: that of its specification.
    AppStart {
        /// Its name.
        name: &'a str,
        /// The mode.
        mode: u8,
    },
    /// To stop an application.
    AppStop {
        /// Its name.
        name: &'a str,
        /// Its processes are killed.
        force: bool,
    },
    /// To describe an application.
    AppInfo {
        /// Its name.
        name: &'a str,
    },
}

impl<'a> Ask<'a> {
    /// The bytes.
    ///
    /// # Errors
    /// [`WireError::Limit`] if a field is over its limit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Writer::new(MAX_ASK_BYTES);
        out.u8("version of an ask", VERSION)?;
        match self {
            Self::Spawn(spawn) => {
                spawn.write(out.u8("what is asked", 1)?)?;
                let mut bytes = out.into_bytes();
                bytes.resize(bytes.len().next_multiple_of(FRAME_ALIGN), 0);
                bytes.extend_from_slice(spawn.args);
                return Ok(bytes);
            }
            Self::AppStart { name, mode } => {
                let out = out.u8("what is asked", 2)?;
                out.text("name of an application", name, MAX_NAME)?.u8("mode of an application", *mode)?;
            }
            Self::AppStop { name, force } => {
                let out = out.u8("what is asked", 3)?;
                out.text("name of an application", name, MAX_NAME)?.bool("force of a stop", *force)?;
            }
            Self::AppInfo { name } => {
                out.u8("what is asked", 4)?.text("name of an application", name, MAX_NAME)?;
            }
        }
        Ok(out.into_bytes())
    }

    /// Reads a body. What a newer version may ask is not known, and refused.
    ///
    /// # Errors
    /// Any [`WireError`] of a field.
    pub fn from_bytes(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let version = reader.u8("version of an ask")?;
        if version != VERSION {
            let have = u64::from(version);
            return Err(WireError::Invalid { what: "version of an ask", offset: 0, have });
        }
        let what = reader.u8("what is asked")?;
        let ask = match what {
            1 => return SpawnAsk::read(&mut reader, body).map(Self::Spawn),
            2 => {
                let name = reader.text("name of an application", MAX_NAME)?;
                Self::AppStart { name, mode: reader.u8("mode of an application")? }
            }
            3 => {
                let name = reader.text("name of an application", MAX_NAME)?;
                Self::AppStop { name, force: reader.bool("force of a stop")? }
            }
            4 => Self::AppInfo { name: reader.text("name of an application", MAX_NAME)? },
            _ => {
                let have = u64::from(what);
                return Err(WireError::Invalid { what: "what is asked", offset: 1, have });
            }
        };
        reader.finish("ask")?;
        Ok(ask)
    }
}

impl<'a> SpawnAsk<'a> {
    fn write(&self, out: &mut Writer) -> Result<(), WireError> {
        out.text("name of an offer", self.offer, MAX_NAME)?
            .text("name to register", self.register, MAX_NAME)?
            .text("name of an application", self.application, MAX_NAME)?
            .u64("leader's node", self.leader.0)?
            .u64("leader", self.leader.1)?;
        let (code, value) = match self.place {
            Place::LeastLoaded => (0, 0),
            Place::Shard(shard) => (1, u64::from(shard)),
            Place::Key(hash) => (2, hash),
        };
        out.u8("placement", code)?
            .u64("place", value)?
            .u8("flags of a spawn", if self.links_parent { LINKS_PARENT } else { 0 })?
            .u32("bound of a mailbox", self.mailbox)?
            .u32("time for init", self.init_ms)?
            .u8("level of the log", self.log_level)?;
        let count = u16::try_from(self.env.len()).unwrap_or(u16::MAX);
        if usize::from(count) > MAX_ENV {
            let (have, max) = (self.env.len() as u64, MAX_ENV as u64);
            return Err(WireError::Limit { what: "values of an environment", have, max });
        }
        out.u16("values of an environment", count)?;
        for (key, value) in &self.env {
            value.write(out.text("key of an environment", key, MAX_NAME)?)?;
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'a>, body: &'a [u8]) -> Result<Self, WireError> {
        let offer = reader.text("name of an offer", MAX_NAME)?;
        let register = reader.text("name to register", MAX_NAME)?;
        let application = reader.text("name of an application", MAX_NAME)?;
        let leader = (reader.u64("leader's node")?, reader.u64("leader")?);
        let at = reader.offset();
        let (code, value) = (reader.u8("placement")?, reader.u64("place")?);
        let place = match (code, u16::try_from(value)) {
            (0, _) => Place::LeastLoaded,
            (1, Ok(shard)) => Place::Shard(shard),
            (2, _) => Place::Key(value),
            _ => return Err(WireError::Invalid { what: "placement", offset: at, have: u64::from(code) }),
        };
        let at = reader.offset();
        let flags = reader.u8("flags of a spawn")?;
        if flags & !KNOWN_FLAGS != 0 {
            let have = u64::from(flags);
            return Err(WireError::Invalid { what: "flags of a spawn", offset: at, have });
        }
        let mailbox = reader.u32("bound of a mailbox")?;
        let init_ms = reader.u32("time for init")?;
        let log_level = reader.u8("level of the log")?;
        let count = usize::from(reader.u16("values of an environment")?);
        // LIMIT: values of an environment.
        if count > MAX_ENV {
            let (have, max) = (count as u64, MAX_ENV as u64);
            return Err(WireError::Limit { what: "values of an environment", have, max });
        }
        let mut env = Vec::with_capacity(count);
        for _ in 0..count {
            let key = reader.text("key of an environment", MAX_NAME)?.to_owned();
            env.push((key, EnvText::read(reader)?));
        }
        let start = reader.offset().next_multiple_of(FRAME_ALIGN);
        reader.bytes("zeros in front of the arguments", start - reader.offset())?;
        let args = body.get(start..).unwrap_or_default();
        Ok(Self {
            offer,
            register,
            application,
            leader,
            place,
            links_parent: flags & LINKS_PARENT != 0,
            mailbox,
            init_ms,
            log_level,
            env,
            args,
        })
    }
}

impl EnvText {
    fn write(&self, out: &mut Writer) -> Result<(), WireError> {
        let (code, bits) = match self {
            Self::Text(text) => {
                let out = out.u8("kind of a value", 1)?;
                return out.text("text of an environment", text, MAX_ENV_TEXT).map(|_| ());
            }
            Self::Bool(value) => (2, u64::from(*value)),
            Self::I64(value) => (3, value.cast_unsigned()),
            Self::U64(value) => (4, *value),
            Self::F64(value) => (5, value.to_bits()),
            Self::I32(value) => (6, u64::from(value.cast_unsigned())),
            Self::U32(value) => (7, u64::from(*value)),
            Self::U16(value) => (8, u64::from(*value)),
        };
        out.u8("kind of a value", code)?.u64("value of an environment", bits).map(|_| ())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let offset = reader.offset();
        let code = reader.u8("kind of a value")?;
        if code == 1 {
            let text = reader.text("text of an environment", MAX_ENV_TEXT)?;
            return Ok(Self::Text(text.to_owned()));
        }
        let bits = reader.u64("value of an environment")?;
        let narrow = u32::try_from(bits);
        Ok(match (code, narrow) {
            (2, Ok(0)) => Self::Bool(false),
            (2, Ok(1)) => Self::Bool(true),
            (3, _) => Self::I64(bits.cast_signed()),
            (4, _) => Self::U64(bits),
            (5, _) => Self::F64(f64::from_bits(bits)),
            (6, Ok(value)) => Self::I32(value.cast_signed()),
            (7, Ok(value)) => Self::U32(value),
            (8, Ok(value)) if value <= u32::from(u16::MAX) => {
                Self::U16(u16::try_from(value).unwrap_or_default())
            }
            _ => {
                let have = u64::from(code);
                return Err(WireError::Invalid { what: "kind of a value", offset, have });
            }
        })
    }
}

/// Body of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// The asker has the process.
    Keep,
    /// The asker does not want it: it is to be killed.
    Drop,
}

impl Claim {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        vec![VERSION, if self == Self::Keep { 1 } else { 2 }]
    }

    /// Reads a body, also one of a newer version.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Invalid`].
    pub fn from_bytes(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let (version, whether) = (reader.u8("version of a claim")?, reader.u8("whether it is claimed")?);
        let have = u64::from(whether);
        match whether {
            _ if version < VERSION => {
                Err(WireError::Invalid { what: "version of a claim", offset: 0, have: u64::from(version) })
            }
            1 => Ok(Self::Keep),
            2 => Ok(Self::Drop),
            _ => Err(WireError::Invalid { what: "whether it is claimed", offset: 1, have }),
        }
    }
}
