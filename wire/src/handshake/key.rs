//! Cookies: what proves that a node belongs to the cluster, how keys are derived from it, and how strong it must be.
//!
//! Owns: [`Keyring`], [`CookieKey`], [`cookie_policy`]. Invariants: K1 no key is used for two roles. K2 a cookie
//! shorter than [`MIN_OPEN_BYTES`] leaves no fingerprint, so its id helps nobody to guess it. K3 proofs are compared
//! in constant time. K4 no secret appears in `Debug`.
//! Cost: six SHA-256 compressions per derivation, at node start only.

use std::fmt;

use crate::NodeName;
use crate::handshake::Reason;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Bytes of a proof.
pub const PROOF_BYTES: usize = 32;
/// Shortest cookie that is accepted off loopback: 256 random bits.
pub const MIN_OPEN_BYTES: usize = 32;

/// Fewest different bytes of a cookie off loopback. 32 random bytes have fewer than this in one of 10^30 cases, in hexadecimal
/// digits as well.
const MIN_DISTINCT_BYTES: usize = 8;

const EXTRACT_SALT: &[u8] = b"shard-runtime handshake v1";

type HmacSha256 = Hmac<Sha256>;

/// The role a proof is made in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Dialer,
    Acceptor,
}

/// The keys derived from one cookie.
#[derive(Clone)]
pub struct CookieKey {
    id: u32,
    dialer: [u8; PROOF_BYTES],
    acceptor: [u8; PROOF_BYTES],
}

impl CookieKey {
    /// Derives the keys. The id that tells current from previous is derived from a cookie of at least
    /// [`MIN_OPEN_BYTES`] bytes and is 0 for a shorter one, which therefore cannot be rotated without a pause.
    #[must_use]
    pub fn derive(cookie: &[u8]) -> Self {
        let root = mac(EXTRACT_SALT, &[cookie]);
        let fingerprint = mac(&root, &[b"key id", &[1]]);
        let id = match fingerprint {
            [a, b, c, d, ..] if cookie.len() >= MIN_OPEN_BYTES => u32::from_le_bytes([a, b, c, d]).max(1),
            _ => 0,
        };
        Self {
            id,
            dialer: mac(&root, &[b"dialer proof", &[1]]),
            acceptor: mac(&root, &[b"acceptor proof", &[1]]),
        }
    }

    /// The id both sides know the key by.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What a proof that does not fit means: a cookie that leaves a fingerprint was known to both before it was used.
    pub(super) const fn unproven(&self) -> Reason {
        if self.id == 0 { Reason::WrongCookie } else { Reason::BadProof }
    }

    const fn of(&self, role: Role) -> &[u8; PROOF_BYTES] {
        match role {
            Role::Dialer => &self.dialer,
            Role::Acceptor => &self.acceptor,
        }
    }

    pub(super) fn prove(&self, role: Role, transcript: &[u8; 32]) -> [u8; PROOF_BYTES] {
        mac(self.of(role), &[transcript])
    }

    pub(super) fn verify(&self, role: Role, transcript: &[u8; 32], proof: &[u8; PROOF_BYTES]) -> bool {
        let Ok(mut mac) = HmacSha256::new_from_slice(self.of(role)) else { return false };
        mac.update(transcript);
        mac.verify_slice(proof).is_ok()
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The cookie in use and, during a rotation, the one before it. Proofs are made with `current` where the other side
/// has it, and with `previous` else.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// The cookie in use.
    pub current: CookieKey,
    /// The cookie before it, still accepted.
    pub previous: Option<CookieKey>,
}

impl Keyring {
    /// A keyring of one cookie.
    #[must_use]
    pub fn new(cookie: &[u8]) -> Self {
        Self { current: CookieKey::derive(cookie), previous: None }
    }

    /// Also accepts the cookie used until now.
    #[must_use]
    pub fn with_previous(mut self, cookie: &[u8]) -> Self {
        self.previous = Some(CookieKey::derive(cookie));
        self
    }

    /// Ids in the order of preference; one key is named twice.
    pub(super) fn ids(&self) -> [u32; 2] {
        [self.current.id, self.previous.as_ref().map_or(self.current.id, CookieKey::id)]
    }

    /// The first of the offered ids that is known here.
    pub(super) fn choose(&self, offered: [u32; 2]) -> Option<&CookieKey> {
        offered.into_iter().find_map(|id| self.by_id(id))
    }

    pub(super) fn by_id(&self, id: u32) -> Option<&CookieKey> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|key| key.id == id)
    }
}

/// Which keys hold for which peer, where not all peers share one cookie.
pub trait PeerKeys: fmt::Debug {
    /// The keys of this peer alone; `None` if it has those of the node. A peer with keys of its own is not accepted with
    /// any others, and nobody else is accepted with them.
    fn keys_of(&self, peer: &NodeName) -> Option<Keyring>;
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length, so the error arm cannot be reached; a digest of nothing would prove nothing.
    let Ok(mut mac) = HmacSha256::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The hash over everything both sides said, in order.
#[derive(Clone)]
pub(super) struct Transcript(Sha256);

impl Transcript {
    /// Starts with what the channel below vouches for (the exporter value of TLS; zeros without it).
    pub(super) fn new(channel_binding: &[u8; 32]) -> Self {
        Self(Sha256::new_with_prefix(channel_binding))
    }

    /// Adds one whole message; its own header says its length, so no two sequences hash the same bytes.
    pub(super) fn add(&mut self, message: &[u8]) {
        self.0.update(message);
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript")
    }
}

/// Why a node with this cookie must not listen or dial off loopback. Refuse to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookiePolicyError {
    /// No cookie at all.
    #[error("the cookie is empty: set one, such as the output of `head -c 32 /dev/urandom | base64`")]
    Empty,
    /// The cookie before it is too short for a network others can reach.
    #[error(
        "the previous cookie has {have} bytes, off loopback at least {MIN_OPEN_BYTES} random bytes are needed: leave it out"
    )]
    PreviousTooShort {
        /// Its length in bytes.
        have: usize,
    },
    /// Long enough, but not random.
    #[error(
        "the cookie has only {distinct} different bytes, which is not random: use the output of \
         `head -c 32 /dev/urandom | base64`"
    )]
    Regular {
        /// How many different bytes it has.
        distinct: usize,
    },
    /// Too short for a network others can reach.
    #[error(
        "the cookie has {have} bytes, off loopback at least {MIN_OPEN_BYTES} random bytes are needed: use the output \
         of `head -c 32 /dev/urandom | base64`"
    )]
    TooShort {
        /// Its length in bytes.
        have: usize,
    },
    /// Frames would cross a network in plain text.
    #[error(
        "links off loopback need TLS: configure it with `link_tls`, or say `allow_plaintext` if the network is trusted"
    )]
    Plaintext,
}

/// How many different bytes there are.
const fn distinct_bytes(bytes: &[u8]) -> usize {
    let mut seen = [0_u128; 2];
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        let bit = 1 << (*byte & 0x7f);
        if *byte < 0x80 {
            seen[0] |= bit;
        } else {
            seen[1] |= bit;
        }
        rest = tail;
    }
    (seen[0].count_ones() + seen[1].count_ones()) as usize
}

/// Checks the cookie against the exposure of an address. `allow_plaintext` is true where TLS is on or the operator
/// accepted plain text.
///
/// # Errors
/// Says what the operator must change.
pub const fn cookie_policy(
    cookie: &[u8],
    is_loopback: bool,
    allow_plaintext: bool,
) -> Result<(), CookiePolicyError> {
    if cookie.is_empty() {
        return Err(CookiePolicyError::Empty);
    }
    if is_loopback {
        return Ok(());
    }
    if cookie.len() < MIN_OPEN_BYTES {
        return Err(CookiePolicyError::TooShort { have: cookie.len() });
    }
    let distinct = distinct_bytes(cookie);
    if distinct < MIN_DISTINCT_BYTES {
        return Err(CookiePolicyError::Regular { distinct });
    }
    if allow_plaintext { Ok(()) } else { Err(CookiePolicyError::Plaintext) }
}
