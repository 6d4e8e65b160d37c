//! The validated name of a node, and the hash that stands for it in short text forms.
//!
//! Owns: the rule `name@host` and the CRC of a node name.
//! Invariant: N1 a [`NodeName`] has exactly one `@` with text on both sides, no control character, and at most
//! [`NodeName::MAX_BYTES`] bytes.
//! Cost: a clone is one reference count; validation is one pass.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Name of a node: `name@host`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Arc<str>);

/// Why a text is no node name. Retrying with the same text cannot help.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeNameError {
    /// It is longer than [`NodeName::MAX_BYTES`].
    #[error("the node name has {have} bytes, the limit is {max}: shorten it", max = NodeName::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        have: usize,
    },
    /// It has not exactly one `@`.
    #[error("the node name has {have} `@`, it needs exactly one: write it as `name@host`")]
    Separators {
        /// How many it has.
        have: usize,
    },
    /// The part before the `@` is empty.
    #[error("the node name has nothing before the `@`: write it as `name@host`")]
    EmptyName,
    /// The part after the `@` is empty.
    #[error("the node name has nothing after the `@`: write it as `name@host`")]
    EmptyHost,
    /// It has a control character.
    #[error("the node name has a control character at byte {offset}: use printable text")]
    Control {
        /// Where the first one is, in bytes.
        offset: usize,
    },
    /// Its bytes are not UTF-8.
    #[error("the node name is not utf-8 from byte {offset} on: use printable text")]
    Utf8 {
        /// Where the first bad byte is.
        offset: usize,
    },
}

impl NodeName {
    /// Largest length in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks `text` and keeps a copy of it.
    ///
    /// # Errors
    /// Says which part of the rule `text` breaks.
    pub fn new(text: &str) -> Result<Self, NodeNameError> {
        if text.len() > Self::MAX_BYTES {
            return Err(NodeNameError::TooLong { have: text.len() });
        }
        let separators = text.bytes().filter(|byte| *byte == b'@').count();
        let (name, host) = match text.split_once('@') {
            Some(parts) if separators == 1 => parts,
            _ => return Err(NodeNameError::Separators { have: separators }),
        };
        if name.is_empty() {
            return Err(NodeNameError::EmptyName);
        }
        if host.is_empty() {
            return Err(NodeNameError::EmptyHost);
        }
        match text.find(char::is_control) {
            Some(offset) => Err(NodeNameError::Control { offset }),
            None => Ok(Self(text.into())),
        }
    }

    /// As [`NodeName::new`], for bytes from a peer.
    ///
    /// # Errors
    /// Says which part of the rule `bytes` break.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NodeNameError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::new(text),
            Err(error) => Err(NodeNameError::Utf8 { offset: error.valid_up_to() }),
        }
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('@').map_or("", |(name, _)| name)
    }

    /// The part after the `@`.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, host)| host)
    }

    /// The hash that stands for this node in short text forms.
    #[must_use]
    pub fn crc(&self) -> NodeCrc {
        NodeCrc::of(&self.0)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: &str) -> Result<Self, NodeNameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: String) -> Result<Self, NodeNameError> {
        Self::new(&text)
    }
}

/// Reflected CRC-32 (polynomial `0xD5828281`, initial value and final xor all ones) of a node's name, printed as
/// eight upper-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeCrc(pub u32);

impl NodeCrc {
    /// The hash of a name.
    #[must_use]
    pub const fn of(name: &str) -> Self {
        let mut rest = name.as_bytes();
        let mut crc = u32::MAX;
        while let [byte, tail @ ..] = rest {
            crc ^= *byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ (0xD582_8281 & (crc & 1).wrapping_neg());
                bit += 1;
            }
            rest = tail;
        }
        Self(!crc)
    }
}

impl fmt::Display for NodeCrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeName, NodeNameError};

    #[test]
    fn the_rule_is_two_parts_around_one_separator() {
        let name = NodeName::new("demo@cluster-node1").unwrap();
        assert_eq!((name.name(), name.host()), ("demo", "cluster-node1"));
        assert_eq!(NodeName::new("demo"), Err(NodeNameError::Separators { have: 0 }));
        assert_eq!(NodeName::new("a@b@c"), Err(NodeNameError::Separators { have: 2 }));
        assert_eq!(NodeName::new("@c"), Err(NodeNameError::EmptyName));
        assert_eq!(NodeName::new("a@"), Err(NodeNameError::EmptyHost));
        assert_eq!(NodeName::new("a@b\n"), Err(NodeNameError::Control { offset: 3 }));
        let at_limit = format!("a@{}", "h".repeat(253));
        assert!(NodeName::new(&at_limit).is_ok());
        assert_eq!(NodeName::new(&format!("{at_limit}h")), Err(NodeNameError::TooLong { have: 256 }));
        assert_eq!(NodeName::from_bytes(b"a@\xff"), Err(NodeNameError::Utf8 { offset: 2 }));
    }

    #[test]
    fn the_hash_matches_the_known_vectors() {
        for (name, crc) in [
            ("node@localhost", "2C323E75"),
            ("demo@cluster-node1", "574801E2"),
            ("unit@localhost", "746F54BC"),
        ] {
            assert_eq!(NodeName::new(name).unwrap().crc().to_string(), crc);
        }
    }
}
