//! Identities: what names a shard, a process, an alias, a reference and an incarnation of a node.
//!
//! Owns: the bit layouts. Text forms are in `text`.
//! Invariants: I1 `local = shard:12 | generation:20 | slot:32`, and slot 0 is never given out, so the all-zero id names
//! no process. I2 `alias, reference = shard:12 | sequence:52`, counted per shard, so that no two shards share a counter.

use crate::cursor::low_half;
use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;

/// Index of a shard inside its node, at most [`ShardId::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(u16);

impl ShardId {
    /// Largest index: bit 63 of a local id stays clear.
    pub const MAX: u16 = (1 << 11) - 1;

    /// The shard with this index; `None` above [`ShardId::MAX`].
    #[must_use]
    pub const fn new(index: u16) -> Option<Self> {
        if index <= Self::MAX { Some(Self(index)) } else { None }
    }

    /// The index.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.0
    }
}

/// 64 bits that stand for a node's 128-bit [`Incarnation`]: new at each start of a node, never reused, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Archive, Serialize, Deserialize)]
#[rkyv(derive(Clone, Copy, Debug))]
pub struct IncarnationKey(pub u64);

impl fmt::Display for IncarnationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One life of a node: from a start to the end of that process. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Incarnation {
    /// When the node started, in nanoseconds since the Unix epoch. Orders the incarnations of one node.
    pub start_nanos: u64,
    /// Random bits, so that two starts in one nanosecond differ.
    pub random: u64,
}

impl Incarnation {
    /// The 64 bits that stand for this incarnation inside pids: a mix of both halves, never 0.
    #[must_use]
    pub const fn key(self) -> IncarnationKey {
        // The finaliser of splitmix64 over both halves: every input bit reaches every output bit.
        let mut x = self.start_nanos.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        IncarnationKey(if x == 0 { 1 } else { x })
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.start_nanos, self.random)
    }
}

/// A process inside one incarnation of a node: `shard:12 | generation:20 | slot:32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Archive, Serialize, Deserialize)]
#[rkyv(derive(Clone, Copy, Debug))]
pub struct LocalId(pub u64);

impl LocalId {
    /// Names no process.
    pub const NONE: Self = Self(0);
    /// The node itself: sender of node-level messages, parent of processes spawned by the node.
    pub const CORE: Self = Self(1);
    /// Largest generation of a slot; a slot that reached it is retired.
    pub const MAX_GENERATION: u32 = (1 << 20) - 1;

    /// Packs the three fields. A generation above [`LocalId::MAX_GENERATION`] is cut.
    #[must_use]
    pub const fn new(shard: ShardId, generation: u32, slot: u32) -> Self {
        Self((shard.0 as u64) << 52 | ((generation & Self::MAX_GENERATION) as u64) << 32 | slot as u64)
    }

    /// The shard that owns the process; ids from a peer may name a shard that does not exist.
    #[must_use]
    pub const fn shard(self) -> u16 {
        (self.0 >> 52) as u16
    }

    /// How often the slot had been used before.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & Self::MAX_GENERATION
    }

    /// Index into the shard's process table.
    #[must_use]
    pub const fn slot(self) -> u32 {
        low_half(self.0)
    }
}

/// A process, meaningful on every node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[rkyv(derive(Clone, Copy, Debug))]
#[repr(C)]
pub struct Pid {
    /// The incarnation of the node it lives on.
    pub node: IncarnationKey,
    /// The process inside that incarnation.
    pub local: LocalId,
}

impl Pid {
    /// Names no process.
    pub const NONE: Self = Self { node: IncarnationKey(0), local: LocalId::NONE };
}

impl From<ArchivedPid> for Pid {
    fn from(archived: ArchivedPid) -> Self {
        let ArchivedPid { node: ArchivedIncarnationKey(node), local: ArchivedLocalId(local) } = archived;
        Self { node: IncarnationKey(node.to_native()), local: LocalId(local.to_native()) }
    }
}

/// Packs a sequence number of one shard: `shard:12 | sequence:52`. Higher bits of the sequence are cut.
const fn numbered(shard: ShardId, sequence: u64) -> u64 {
    (shard.0 as u64) << 52 | sequence & MAX_SEQUENCE
}

/// Largest sequence number: at a million a second it lasts 142 years.
const MAX_SEQUENCE: u64 = (1 << 52) - 1;

/// An additional address of a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[rkyv(derive(Clone, Copy, Debug))]
#[repr(C)]
pub struct Alias {
    /// The incarnation of the node that made it.
    pub node: IncarnationKey,
    /// `shard:12 | sequence:52`.
    pub id: u64,
}

/// Names a request, a monitor or a timer, and is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[rkyv(derive(Clone, Copy, Debug))]
#[repr(C)]
pub struct Ref {
    /// The incarnation of the node that made it.
    pub node: IncarnationKey,
    /// `shard:12 | sequence:52`.
    pub id: u64,
}

macro_rules! numbered {
    ($name:ident) => {
        impl $name {
            /// The one with this number on a shard. Sequences above 2^52 - 1 are cut.
            #[must_use]
            pub const fn new(node: IncarnationKey, shard: ShardId, sequence: u64) -> Self {
                Self { node, id: numbered(shard, sequence) }
            }

            /// The shard that made it; from a peer it may name a shard that does not exist.
            #[must_use]
            pub const fn shard(self) -> u16 {
                (self.id >> 52) as u16
            }

            /// Its number among those of the shard.
            #[must_use]
            pub const fn sequence(self) -> u64 {
                self.id & MAX_SEQUENCE
            }
        }
    };
}

numbered!(Alias);
numbered!(Ref);

#[cfg(test)]
mod tests {
    use super::{Incarnation, LocalId, ShardId};

    #[test]
    fn both_halves_of_an_incarnation_reach_its_key() {
        let base = Incarnation { start_nanos: 1, random: 2 };
        assert_ne!(base.key(), Incarnation { start_nanos: 2, random: 2 }.key());
        assert_ne!(base.key(), Incarnation { start_nanos: 1, random: 3 }.key());
        assert_ne!(Incarnation { start_nanos: 0, random: 0 }.key().0, 0);
        assert_eq!(base.to_string(), "0000000000000001-0000000000000002");
    }

    #[test]
    fn the_three_fields_of_a_local_id_do_not_overlap() {
        let shard = ShardId::new(ShardId::MAX).unwrap();
        let local = LocalId::new(shard, LocalId::MAX_GENERATION, u32::MAX);
        assert_eq!((local.shard(), local.generation(), local.slot()), (ShardId::MAX, 0xF_FFFF, u32::MAX));
        let local = LocalId::new(shard, 0, 7);
        assert_eq!((local.shard(), local.generation(), local.slot()), (ShardId::MAX, 0, 7));
    }
}
