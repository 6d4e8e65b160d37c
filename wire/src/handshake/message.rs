//! Layouts of the handshake messages. All numbers are little-endian.
//!
//! ```text
//! prefix 8        magic "SHRD" · layout u8 · kind u8 · length u16 (prefix included)
//! introduction    start u64 · random u64 · flags u64 · max frame u32 · heartbeat ms u32 · shards u16 · max links u16
//!                 · name (u8 + text) · cluster (u8 + text)
//! intent 25       kind u8 · session u64 · next u64 · slot u32 or with u64 (8 bytes)
//! Hello      1    lowest u16 · highest u16 · key ids 2 x u32 · nonce 32 · introduction · intent
//! Challenge  2    version u16 · lowest u16 · highest u16 · key id u32 · nonce 32 · introduction
//! Proof      3    mac 32
//! Welcome    4    verdict u16 (0 = accepted, else a reason) · session u64 · epoch u32 · mac 32
//! Refuse     5    reason u16, without proof
//! ```
//!
//! Invariants: M1 decoding takes every byte or refuses: there is one encoding of each message. M2 nothing here
//! allocates more than the message it reads.

use std::fmt;

use crate::handshake::Reason;
use crate::handshake::cursor::{Reader, Short, put_short_text};
use crate::placement::{Placement, Side, Slot};
use crate::{Incarnation, IncarnationKey, NodeName};

/// Largest handshake message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024;
/// Most bytes one side reads in a handshake.
pub const MAX_HANDSHAKE_BYTES: usize = 4096;
/// Largest cluster name, in bytes.
pub const MAX_CLUSTER_BYTES: usize = 64;
/// Protocol versions this build speaks: the newest and the one before it, as far as there is one.
pub const PROTOCOL: VersionRange = VersionRange { lowest: 1, highest: 1 };

// LIMIT: an acceptor reads two messages, a dialer two.
const _: () = assert!(2 * MAX_MESSAGE_BYTES <= MAX_HANDSHAKE_BYTES);
const _: () = assert!(
    PREFIX_BYTES + 44 + INTENT_BYTES + INTRODUCTION_FIXED + 1 + NodeName::MAX_BYTES + 1 + MAX_CLUSTER_BYTES
        <= MAX_MESSAGE_BYTES
);
// LIMIT: a session or epoch above this is refused, so that no peer can exhaust the numbers.
pub(crate) const MAX_SESSION: u64 = 1 << 62;
pub(crate) const MAX_EPOCH: u32 = 1 << 30;

pub(super) const PREFIX_BYTES: usize = 8;
pub(super) const WELCOME_BYTES: usize = PREFIX_BYTES + 14 + 32;
const MAGIC: [u8; 4] = *b"SHRD";
const LAYOUT: u8 = 1;
const INTRODUCTION_FIXED: usize = 36;
const INTENT_BYTES: usize = 25;
const MIN_FRAME_BYTES: u32 = 1024;

/// An inclusive range of protocol versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionRange {
    /// Oldest version spoken.
    pub lowest: u16,
    /// Newest version spoken.
    pub highest: u16,
}

impl VersionRange {
    /// The newest version both speak.
    #[must_use]
    pub fn best_with(self, other: Self) -> Option<u16> {
        let version = self.highest.min(other.highest);
        (version >= self.lowest && version >= other.lowest).then_some(version)
    }
}

/// Name of a cluster: at most [`MAX_CLUSTER_BYTES`] bytes without control characters, perhaps empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClusterName(Box<str>);

impl ClusterName {
    /// Checks the text; `None` if it is too long or has control characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= MAX_CLUSTER_BYTES && !text.contains(char::is_control)).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a node says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introduction {
    /// Its name.
    pub name: NodeName,
    /// Its life since the last start.
    pub incarnation: Incarnation,
    /// The cluster it belongs to; both sides must agree.
    pub cluster: ClusterName,
    /// Optional features; one is used only if both sides announce it. Bits are assigned by the runtime.
    pub flags: u64,
    /// Largest frame it accepts, in bytes.
    pub max_frame_bytes: u32,
    /// How often it wants to hear from its peer, in milliseconds.
    pub heartbeat_ms: u32,
    /// Number of its shards.
    pub shards: u16,
    /// Most data links it keeps to one peer.
    pub max_links: u16,
}

impl Introduction {
    /// The order that decides whose dial wins.
    #[must_use]
    pub fn side_against(&self, peer: &Self) -> Side {
        if (&self.name, self.incarnation) < (&peer.name, peer.incarnation) { Side::Low } else { Side::High }
    }

    /// The placement of data links towards `peer`; `None` if a shard count cannot be used.
    #[must_use]
    pub fn placement_with(&self, peer: &Self) -> Option<Placement> {
        Placement::new(self.side_against(peer), self.shards, peer.shards, self.max_links, peer.max_links)
    }

    const fn is_usable(&self) -> bool {
        self.shards > 0
            && self.shards <= crate::ShardId::MAX + 1
            && self.max_links > 0
            && self.heartbeat_ms > 0
            && self.max_frame_bytes >= MIN_FRAME_BYTES
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.incarnation.start_nanos.to_le_bytes());
        out.extend(self.incarnation.random.to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        out.extend(self.max_frame_bytes.to_le_bytes());
        out.extend(self.heartbeat_ms.to_le_bytes());
        out.extend(self.shards.to_le_bytes());
        out.extend(self.max_links.to_le_bytes());
        put_short_text(out, self.name.as_str());
        put_short_text(out, self.cluster.as_str());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Reason> {
        let incarnation = Incarnation { start_nanos: reader.u64()?, random: reader.u64()? };
        let flags = reader.u64()?;
        let max_frame_bytes = reader.u32()?;
        let heartbeat_ms = reader.u32()?;
        let shards = reader.u16()?;
        let max_links = reader.u16()?;
        let name = NodeName::from_bytes(reader.short_text()?).map_err(|_| Reason::Malformed)?;
        let cluster = std::str::from_utf8(reader.short_text()?).ok().and_then(ClusterName::new);
        let cluster = cluster.ok_or(Reason::Malformed)?;
        let read =
            Self { name, incarnation, cluster, flags, max_frame_bytes, heartbeat_ms, shards, max_links };
        if read.is_usable() { Ok(read) } else { Err(Reason::BadLimits) }
    }
}

/// A session that is alive at the dialer while it dials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveSession {
    /// Its number.
    pub number: u64,
    /// The incarnation of the peer it is with.
    pub with: IncarnationKey,
}

/// What a dialer wants a link for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// The control link.
    Control {
        /// The session the dialer is in, to be resumed.
        live: Option<LiveSession>,
        /// The lowest number a new session may have for the dialer.
        next: u64,
    },
    /// A data link of a running session.
    Data {
        /// The session.
        session: u64,
        /// Which link.
        slot: Slot,
        /// The epoch the dialer proposes; the acceptor may raise it.
        epoch: u32,
    },
}

impl Intent {
    fn put(self, out: &mut Vec<u8>) {
        let (kind, session, number, last) = match self {
            Self::Control { live: None, next } => (0_u8, 0, next, 0),
            Self::Control { live: Some(live), next } => (1, live.number, next, live.with.0),
            Self::Data { session, slot, epoch } => (2, session, u64::from(epoch), u64::from(slot.to_bits())),
        };
        out.push(kind);
        out.extend(session.to_le_bytes());
        out.extend(number.to_le_bytes());
        out.extend(last.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Reason> {
        let (kind, session, number, last) = (reader.u8()?, reader.u64()?, reader.u64()?, reader.u64()?);
        if session > MAX_SESSION || number > MAX_SESSION {
            return Err(Reason::Malformed);
        }
        match kind {
            0 if session == 0 && last == 0 => Ok(Self::Control { live: None, next: number }),
            1 if number > session => {
                let live = LiveSession { number: session, with: IncarnationKey(last) };
                Ok(Self::Control { live: Some(live), next: number })
            }
            2 => {
                let slot = u32::try_from(last).map(Slot::from_bits).map_err(|_| Reason::Malformed)?;
                let epoch = u32::try_from(number).ok().filter(|epoch| *epoch <= MAX_EPOCH);
                Ok(Self::Data { session, slot, epoch: epoch.ok_or(Reason::Malformed)? })
            }
            _ => Err(Reason::Malformed),
        }
    }
}

/// What the session core of the acceptor decided about an authenticated dialer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The link is taken.
    Accept {
        /// The session it belongs to.
        session: u64,
        /// Its epoch within the slot; 0 for a control link.
        epoch: u32,
    },
    /// The link is refused; the dialer is told under the acceptor's proof.
    Refuse(Reason),
}

/// First message, of the dialer.
pub(super) struct Hello {
    pub(super) versions: VersionRange,
    pub(super) key_ids: [u32; 2],
    pub(super) nonce: [u8; 32],
    pub(super) introduction: Introduction,
    pub(super) intent: Intent,
}

/// Second message, of the acceptor.
pub(super) struct Challenge {
    pub(super) version: u16,
    pub(super) versions: VersionRange,
    pub(super) key_id: u32,
    pub(super) nonce: [u8; 32],
    pub(super) introduction: Introduction,
}

/// Any message.
pub(super) enum Body {
    Hello(Box<Hello>),
    Challenge(Box<Challenge>),
    Proof([u8; 32]),
    Welcome(Verdict, [u8; 32]),
    Refuse(Reason),
}

/// Starts a message; [`finish`] writes its length.
fn begin(kind: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend(MAGIC);
    out.push(LAYOUT);
    out.push(kind);
    out.extend([0, 0]);
    out
}

fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX).to_le_bytes();
    if let Some(field) = out.get_mut(6..PREFIX_BYTES) {
        field.copy_from_slice(&length);
    }
    out
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = begin(1);
        out.extend(self.versions.lowest.to_le_bytes());
        out.extend(self.versions.highest.to_le_bytes());
        self.key_ids.iter().for_each(|id| out.extend(id.to_le_bytes()));
        out.extend(self.nonce);
        self.introduction.put(&mut out);
        self.intent.put(&mut out);
        finish(out)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Reason> {
        Ok(Self {
            versions: VersionRange { lowest: reader.u16()?, highest: reader.u16()? },
            key_ids: [reader.u32()?, reader.u32()?],
            nonce: reader.array()?,
            introduction: Introduction::read(reader)?,
            intent: Intent::read(reader)?,
        })
    }
}

impl Challenge {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = begin(2);
        out.extend(self.version.to_le_bytes());
        out.extend(self.versions.lowest.to_le_bytes());
        out.extend(self.versions.highest.to_le_bytes());
        out.extend(self.key_id.to_le_bytes());
        out.extend(self.nonce);
        self.introduction.put(&mut out);
        finish(out)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Reason> {
        Ok(Self {
            version: reader.u16()?,
            versions: VersionRange { lowest: reader.u16()?, highest: reader.u16()? },
            key_id: reader.u32()?,
            nonce: reader.array()?,
            introduction: Introduction::read(reader)?,
        })
    }
}

pub(super) fn encode_proof(mac: &[u8; 32]) -> Vec<u8> {
    let mut out = begin(3);
    out.extend(mac);
    finish(out)
}

/// The part of a Welcome that its proof covers, with the final length already in the prefix.
pub(super) fn welcome_before_proof(verdict: Verdict) -> Vec<u8> {
    let (code, session, epoch) = match verdict {
        Verdict::Accept { session, epoch } => (0, session, epoch),
        Verdict::Refuse(reason) => (reason.code(), 0, 0),
    };
    let mut out = begin(4);
    out.extend(code.to_le_bytes());
    out.extend(session.to_le_bytes());
    out.extend(epoch.to_le_bytes());
    out.extend([0; 32]);
    let mut out = finish(out);
    out.truncate(WELCOME_BYTES - 32);
    out
}

pub(super) fn encode_refuse(reason: Reason) -> Vec<u8> {
    let mut out = begin(5);
    out.extend(reason.code().to_le_bytes());
    finish(out)
}

/// The refusal of a connection before any handshake, such as that of a peer who speaks plain text where TLS is needed.
#[must_use]
pub fn refusal(reason: Reason) -> Vec<u8> {
    encode_refuse(reason)
}

/// Whether these first bytes of a connection begin a handshake of this protocol, in plain text.
#[must_use]
pub fn is_plain_hello(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic)
}

/// Whether these first bytes of a connection begin a handshake of TLS.
#[must_use]
pub fn is_tls(bytes: &[u8]) -> bool {
    // A record of the type handshake, of whatever version 3.x.
    matches!(bytes, [0x16] | [0x16, 3, ..])
}

/// Checks a prefix and says how long the whole message is.
pub(super) fn message_length(prefix: [u8; PREFIX_BYTES]) -> Result<usize, Reason> {
    let [a, b, c, d, layout, _kind, low, high] = prefix;
    if [a, b, c, d] != MAGIC {
        return Err(if is_tls(&prefix) { Reason::TlsUnexpected } else { Reason::BadMagic });
    }
    if layout != LAYOUT {
        return Err(Reason::Version);
    }
    let length = usize::from(u16::from_le_bytes([low, high]));
    match length {
        0..PREFIX_BYTES => Err(Reason::Malformed),
        PREFIX_BYTES..=MAX_MESSAGE_BYTES => Ok(length),
        _ => Err(Reason::TooLarge),
    }
}

/// Decodes one whole message whose prefix was checked.
pub(super) fn decode(message: &[u8]) -> Result<Body, Reason> {
    let mut reader = Reader::new(message);
    reader.take(5)?;
    let kind = reader.u8()?;
    reader.take(2)?;
    let body = match kind {
        1 => Body::Hello(Box::new(Hello::read(&mut reader)?)),
        2 => Body::Challenge(Box::new(Challenge::read(&mut reader)?)),
        3 => Body::Proof(reader.array()?),
        4 => {
            let (code, session, epoch) = (reader.u16()?, reader.u64()?, reader.u32()?);
            let verdict = match code {
                0 if session <= MAX_SESSION && epoch <= MAX_EPOCH => Verdict::Accept { session, epoch },
                0 => return Err(Reason::Malformed),
                // A reason of a newer version is still a refusal.
                code => Verdict::Refuse(Reason::from_code(code).unwrap_or(Reason::Refused)),
            };
            Body::Welcome(verdict, reader.array()?)
        }
        5 => Body::Refuse(Reason::from_code(reader.u16()?).unwrap_or(Reason::Refused)),
        _ => return Err(Reason::Malformed),
    };
    if reader.rest().is_empty() { Ok(body) } else { Err(Reason::Malformed) }
}

impl From<Short> for Reason {
    fn from(_: Short) -> Self {
        Self::Malformed
    }
}
