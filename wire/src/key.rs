//! The 64-bit key of a message type, and the hash it is made with.
//!
//! Owns: the hash over wire name, structural schema and body format. It is part of the protocol: a change of it makes
//! every message unknown to nodes built before.
//! Cost: all of it runs at compile time.

use std::fmt;

/// Names the body format: two nodes that archive differently must not know each other's keys.
pub const BODY_FORMAT: &str = "rkyv 0.8, little endian, aligned, 32-bit pointers";

/// Identifies a message type between nodes. Never 0, which in a header means that the frame carries no message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MessageKey(pub u64);

impl MessageKey {
    /// In a header: the frame carries no message.
    pub const NONE: Self = Self(0);

    /// The key of a type with this wire name and [`Schema::HASH`](crate::Schema::HASH).
    #[must_use]
    pub const fn of(wire_name: &str, schema: u64) -> Self {
        let key = fold(fold(hash_text(BODY_FORMAT), hash_text(wire_name)), schema);
        Self(if key == 0 { 1 } else { key })
    }
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// FNV-1a of a text, finished by [`mix`].
pub(crate) const fn hash_text(text: &str) -> u64 {
    let mut rest = text.as_bytes();
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0100_0000_01B3);
        rest = tail;
    }
    mix(hash)
}

/// Adds `part` to a hash; the order of the parts matters.
pub(crate) const fn fold(hash: u64, part: u64) -> u64 {
    mix(hash.rotate_left(5).wrapping_add(0x9E37_79B9_7F4A_7C15) ^ part)
}

/// Lets every input bit reach every output bit (the finaliser of splitmix64).
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::{MessageKey, fold, hash_text};

    #[test]
    fn name_and_schema_both_decide_the_key() {
        let key = MessageKey::of("app::Add", 1);
        assert_ne!(key, MessageKey::of("app::Add", 2));
        assert_ne!(key, MessageKey::of("app::Sub", 1));
        assert_ne!(fold(fold(0, 1), 2), fold(fold(0, 2), 1));
        assert_ne!(hash_text(""), hash_text("\0"));
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(MessageKey::of("app::Add", 1).to_string(), "877f6a60d9ace9f5");
    }
}
