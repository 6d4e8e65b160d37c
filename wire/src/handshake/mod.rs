//! How two nodes prove to each other that they belong together, before either believes a word of the other.
//!
//! ```text
//! dialer                                       acceptor
//!   Hello     versions, key ids, nonce, introduction, intent  ──►
//!        ◄──  Challenge  version, key id, nonce, introduction
//!   Proof     HMAC(K dialer, transcript)                      ──►   authenticated: the session core judges
//!        ◄──  Welcome    verdict, session, epoch, HMAC(K acceptor, transcript)
//! ```
//!
//! Owns: the bytes and the order of these messages. Not sockets, nonces or clocks: they are arguments.
//! Invariants: H1 the acceptor sends no proof to a dialer that has not proven itself, so a stranger who connects to a
//! node learns nothing to test guesses against. A stranger whom a node dials gets one dialer proof; that cannot be
//! avoided, and is why a cookie needs 256 random bits off loopback. H2 the transcript covers every byte both sides
//! said, so names, limits, versions and intents cannot be changed on the way. H3 each side puts a fresh nonce in, and
//! keys differ by role, so nothing can be replayed or reflected. H4 at most [`MAX_HANDSHAKE_BYTES`] are read, and no
//! message is larger than [`MAX_MESSAGE_BYTES`]; bytes behind the handshake are given back. H5 a refusal without a
//! proof is marked as [`Source::Unproven`].
//! Threads: none of its own. Cost: four small messages and six HMACs, one allocation per message.

mod acceptor;
pub(crate) mod cursor;
mod dialer;
mod inbound;
mod key;
mod message;
mod reason;
#[cfg(test)]
mod tests;

pub use acceptor::Acceptor;
pub use dialer::Dialer;
pub use key::{CookieKey, CookiePolicyError, Keyring, MIN_OPEN_BYTES, PROOF_BYTES, PeerKeys, cookie_policy};
pub(crate) use message::MAX_EPOCH;
pub use message::{
    ClusterName, Intent, Introduction, LiveSession, MAX_CLUSTER_BYTES, MAX_HANDSHAKE_BYTES,
    MAX_MESSAGE_BYTES, PROTOCOL, Verdict, VersionRange, is_plain_hello, is_tls, refusal,
};
pub use reason::{Failure, Reason, Source};

/// Time for a whole handshake unless configured otherwise, in nanoseconds.
pub const DEFAULT_DEADLINE_NS: u64 = 5_000_000_000;

/// What both roles know before the first byte.
#[derive(Clone, Debug)]
pub struct Local {
    /// Who this node is and what it can do.
    pub introduction: Introduction,
    /// Protocol versions spoken here.
    pub versions: VersionRange,
    /// Cookies accepted here.
    pub keys: Keyring,
    /// What the channel below vouches for: the TLS exporter value (RFC 9266), zeros on plain TCP.
    pub channel_binding: [u8; 32],
    /// 32 fresh bytes from the operating system's generator, never used twice.
    pub nonce: [u8; 32],
    /// When the handshake is given up, in nanoseconds of the caller's monotonic clock.
    pub deadline_ns: u64,
}

/// A link both sides have agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Established {
    /// Who the peer is, proven.
    pub peer: Introduction,
    /// What the link is for.
    pub intent: Intent,
    /// The protocol version both speak.
    pub version: u16,
    /// The session the link belongs to, as the acceptor decided.
    pub session: u64,
    /// The epoch of the link within its slot; 0 for a control link.
    pub epoch: u32,
    /// Bytes the peer sent behind the handshake: the first bytes of the link.
    pub unread: Vec<u8>,
}

/// What to do after bytes were fed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Read more.
    Wait,
    /// Write these bytes, then read more.
    Send(Vec<u8>),
    /// Acceptor only: the dialer has proven itself. Ask the session core, then call [`Acceptor::decide`].
    Judge(Box<Introduction>, Intent),
    /// Dialer only: the link stands.
    Done(Box<Established>),
}
