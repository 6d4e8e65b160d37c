//! The messages of this process, gathered at link time.
//!
//! Owns: the table from key and name to message. Invariant: T1 one key and one name belong to one type; a violation is
//! an error at node start that names both places.
//! Cost: a lookup is one hash table probe with the key's own bits as its hash.

use crate::key::MessageKey;
use crate::message::Vtable;
use crate::wire_ops::{Older, WireOps};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Bit of [`Introduction::flags`](crate::handshake::Introduction::flags) of a node that tells, and wants to be told, the keys of all
/// messages that it reads.
pub const TYPES: u64 = 1 << 5;

/// A message type, and where it is declared. Written by `#[message]`.
#[derive(Clone, Copy, Debug)]
pub struct MessageEntry {
    vtable: &'static Vtable,
    ops: &'static WireOps,
    file: &'static str,
    line: u32,
}

impl MessageEntry {
    /// The entry of a type declared at `file`:`line`.
    #[must_use]
    pub const fn new(vtable: &'static Vtable, ops: &'static WireOps, file: &'static str, line: u32) -> Self {
        Self { vtable, ops, file, line }
    }

    /// The type's table.
    #[must_use]
    pub fn vtable(&self) -> &'static Vtable {
        self.vtable
    }

    /// The type's operations for the wire.
    #[must_use]
    pub fn ops(&self) -> &'static WireOps {
        self.ops
    }

    /// Where the type is declared.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { file: self.file, line: self.line }
    }
}

/// A line of source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Path as the compiler was given it.
    pub file: &'static str,
    /// Counted from 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// All messages linked into this process. Extended by `#[message]` in any crate.
#[linkme::distributed_slice]
#[doc(hidden)]
pub static MESSAGES: [MessageEntry];

/// Why the messages of this process cannot be told apart. The program has to be changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two types have one wire name.
    #[error(
        "two messages are named `{name}`: at {first} and at {second}; give one another name with `#[message(name = \"..\")]`"
    )]
    Name {
        /// The wire name.
        name: &'static str,
        /// The place of one of them.
        first: Place,
        /// The place of the other.
        second: Place,
    },
    /// Two types with different names have one key.
    #[error(
        "messages `{first_name}` at {first} and `{second_name}` at {second} have the same key {key}; give one another name with `#[message(name = \"..\")]`"
    )]
    Key {
        /// The key.
        key: MessageKey,
        /// Wire name of one of them.
        first_name: &'static str,
        /// Its place.
        first: Place,
        /// Wire name of the other.
        second_name: &'static str,
        /// Its place.
        second: Place,
    },
    /// An earlier version has another wire name than the later one.
    #[error(
        "a version that `{name}` at {place} replaces has another wire name: give both the same with `#[message(name = \"..\")]`"
    )]
    Version {
        /// Wire name of the later one.
        name: &'static str,
        /// Its place.
        place: Place,
    },
}

/// Passes a key through: it is a hash already.
#[derive(Clone, Copy, Default, Debug)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// The messages of this process by key and by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    by_key: HashMap<MessageKey, MessageEntry, BuildHasherDefault<KeyHasher>>,
    by_name: HashMap<&'static str, MessageKey>,
}

impl Registry {
    /// Gathers what is linked into this process.
    ///
    /// # Errors
    /// [`RegistryError`] if two types have one name or one key.
    pub fn collect() -> Result<Self, RegistryError> {
        Self::from_entries(MESSAGES.iter().copied())
    }

    /// Gathers the given entries.
    ///
    /// # Errors
    /// [`RegistryError`] if two types have one name or one key.
    pub fn from_entries(entries: impl IntoIterator<Item = MessageEntry>) -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        for entry in entries {
            registry.add(entry)?;
        }
        Ok(registry)
    }

    fn add(&mut self, entry: MessageEntry) -> Result<(), RegistryError> {
        let (key, name) = (entry.ops.key(), entry.ops.name());
        let namesake = self.by_name.get(name).and_then(|key| self.by_key.get(key));
        if let Some(other) = namesake {
            return Err(RegistryError::Name { name, first: other.place(), second: entry.place() });
        }
        if let Some(other) = self.by_key.get(&key) {
            return Err(RegistryError::Key {
                key,
                first_name: other.ops.name(),
                first: other.place(),
                second_name: name,
                second: entry.place(),
            });
        }
        self.by_name.insert(name, key);
        self.by_key.insert(key, entry);
        for older in entry.ops.older() {
            self.add_older(&entry, older)?;
        }
        Ok(())
    }

    /// What comes in an earlier version is read as the later one.
    fn add_older(&mut self, entry: &MessageEntry, older: &'static Older) -> Result<(), RegistryError> {
        let (name, place, ops) = (entry.ops.name(), entry.place(), older.upgrading());
        if older.key() != Some(ops.key()) {
            return Err(RegistryError::Version { name, place });
        }
        if let Some(other) = self.by_key.get(&ops.key()) {
            return Err(RegistryError::Key {
                key: ops.key(),
                first_name: other.ops.name(),
                first: other.place(),
                second_name: name,
                second: place,
            });
        }
        self.by_key.insert(ops.key(), MessageEntry { ops, ..*entry });
        Ok(())
    }

    /// The message with this key; `None` if this process was built without it.
    #[must_use]
    #[inline]
    pub fn get(&self, key: MessageKey) -> Option<&MessageEntry> {
        self.by_key.get(&key)
    }

    /// As [`Registry::get`], for a key from a peer.
    ///
    /// # Errors
    /// [`WireError::UnknownKey`](crate::WireError::UnknownKey).
    #[inline]
    pub fn resolve(&self, key: MessageKey) -> Result<&MessageEntry, crate::WireError> {
        self.get(key).ok_or(crate::WireError::UnknownKey { key })
    }

    /// The message with this wire name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&MessageEntry> {
        self.by_name.get(name).and_then(|key| self.get(*key))
    }

    /// The keys of all that is read, earlier versions included, ascending.
    #[must_use]
    pub fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.by_key.keys().map(|key| key.0).collect();
        keys.sort_unstable();
        keys
    }

    /// All messages, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &MessageEntry> {
        self.by_key.values()
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
