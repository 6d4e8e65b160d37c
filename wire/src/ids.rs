//! Identities: what names a shard, a process and an incarnation of a node.
//!
//! Owns: the bit layout of local ids. Invariant: I1 `local = shard:12 | generation:20 | slot:32`, and slot 0 is never
//! given out, so the all-zero id names no process.

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
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
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
        self.0 as u32
    }
}

/// A process, meaningful on every node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct Pid {
    /// The incarnation of the node it lives on.
    pub node: IncarnationKey,
    /// The process inside that incarnation.
    pub local: LocalId,
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({:016x}.{:x}.{})", self.node.0, self.local.0 >> 32, self.local.slot())
    }
}

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
