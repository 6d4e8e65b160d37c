//! Which data link carries what: the map from a pair of shards to a slot, and from a slot to its two owners.
//!
//! Owns: [`Slot`] and [`Placement`]. A slot is named by the two shards that own its ends, seen from the side with the
//! smaller node name, so that both nodes write the same slot the same way.
//! Invariants: P1 both nodes compute the same mode and the same slots from what the handshake told them. P2 a message
//! always arrives at the shard it is for. P3 a placement is made when a session opens and lives as long: a slot never
//! moves. P4 `full` has `S x T` slots; `target` has `max(S, T)`, because the slots that lead into the smaller side
//! are among those that lead into the larger one.
//! Threads: none. Cost: a few integer operations, no allocation.

use crate::ShardId;

/// Most data links to one peer unless configured otherwise.
pub const DEFAULT_MAX_LINKS: u16 = 64;

/// Which of two nodes this one is: the order is by (name, incarnation).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// The node with the smaller (name, incarnation): its dial wins when both dial at once.
    Low,
    /// The other node.
    High,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// One data link's place within a session: the owning shard on the low and on the high side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Slot {
    /// Index of the owning shard on the node with the smaller name.
    pub low: u16,
    /// Index of the owning shard on the node with the larger name.
    pub high: u16,
}

impl Slot {
    /// The slot as one number, for the wire and for metrics.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        (self.low as u32) << 16 | self.high as u32
    }

    /// The slot written by [`Slot::to_bits`]; whether it exists is for [`Placement::contains`] to say.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        let [a, b, c, d] = bits.to_be_bytes();
        Self { low: u16::from_be_bytes([a, b]), high: u16::from_be_bytes([c, d]) }
    }

    const fn new(side: Side, local: u16, peer: u16) -> Self {
        match side {
            Side::Low => Self { low: local, high: peer },
            Side::High => Self { low: peer, high: local },
        }
    }

    /// The owning shard on `side`.
    #[must_use]
    pub const fn end(self, side: Side) -> u16 {
        match side {
            Side::Low => self.low,
            Side::High => self.high,
        }
    }
}

/// How slots are laid out between two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// One slot per pair of shards: no hop between shards on either side.
    Full,
    /// One slot per receiving shard: at most one hop on the sending side, none on the receiving side.
    Target,
}

impl Mode {
    /// Stable name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Target => "target",
        }
    }
}

/// The placement between this node and one peer, for the life of one session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Placement {
    side: Side,
    local: u16,
    peer: u16,
    mode: Mode,
}

impl Placement {
    /// The placement between `local_shards` and `peer_shards`; the smaller of the two caps on links decides the mode.
    ///
    /// `None` if a count is zero or larger than a shard index can be.
    #[must_use]
    pub fn new(
        side: Side,
        local_shards: u16,
        peer_shards: u16,
        local_cap: u16,
        peer_cap: u16,
    ) -> Option<Self> {
        let range = 1..=ShardId::MAX + 1;
        if !range.contains(&local_shards) || !range.contains(&peer_shards) {
            return None;
        }
        let pairs = u32::from(local_shards) * u32::from(peer_shards);
        let mode = if pairs <= u32::from(local_cap.min(peer_cap)) { Mode::Full } else { Mode::Target };
        Some(Self { side, local: local_shards, peer: peer_shards, mode })
    }

    /// The slot for a message from `local_shard` to `peer_shard`; `None` if either does not exist.
    #[must_use]
    pub const fn slot_for(&self, local_shard: u16, peer_shard: u16) -> Option<Slot> {
        if local_shard >= self.local || peer_shard >= self.peer {
            return None;
        }
        let owner = match self.mode {
            Mode::Full => local_shard,
            Mode::Target => peer_shard % self.local,
        };
        Some(Slot::new(self.side, owner, peer_shard))
    }

    /// Whether the slot exists in this placement.
    #[must_use]
    pub const fn contains(&self, slot: Slot) -> bool {
        let (local, peer) = (slot.end(self.side), slot.end(self.side.other()));
        if local >= self.local || peer >= self.peer {
            return false;
        }
        match self.mode {
            Mode::Full => true,
            Mode::Target => local == peer % self.local || peer == local % self.peer,
        }
    }

    /// The local shard that owns the slot's end here; `None` if there is no such slot.
    #[must_use]
    pub fn owner_of(&self, slot: Slot) -> Option<ShardId> {
        if self.contains(slot) { ShardId::new(slot.end(self.side)) } else { None }
    }

    /// The peer's shard that owns the slot's other end; `None` if there is no such slot.
    #[must_use]
    pub fn peer_owner_of(&self, slot: Slot) -> Option<ShardId> {
        if self.contains(slot) { ShardId::new(slot.end(self.side.other())) } else { None }
    }

    /// How the slots are laid out.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Which of the two nodes this one is.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// How many slots there are.
    #[must_use]
    pub fn slot_count(&self) -> u32 {
        match self.mode {
            Mode::Full => u32::from(self.local) * u32::from(self.peer),
            Mode::Target => u32::from(self.local.max(self.peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_sides_compute_the_same_slots(s in 1u16..40, t in 1u16..40, cap_a in 1u16..200, cap_b in 1u16..200) {
            let a = Placement::new(Side::Low, s, t, cap_a, cap_b).unwrap();
            let b = Placement::new(Side::High, t, s, cap_b, cap_a).unwrap();
            prop_assert_eq!(a.mode(), b.mode());
            let mut used = BTreeSet::new();
            for i in 0..s {
                for j in 0..t {
                    for (from, to, slot, target) in
                        [(&a, &b, a.slot_for(i, j).unwrap(), j), (&b, &a, b.slot_for(j, i).unwrap(), i)]
                    {
                        prop_assert!(from.contains(slot) && to.contains(slot));
                        // The frame lands at the shard it is for, and both ends agree who owns which end.
                        prop_assert_eq!(to.owner_of(slot).unwrap().index(), target);
                        prop_assert_eq!(from.peer_owner_of(slot), to.owner_of(slot));
                        prop_assert_eq!(from.owner_of(slot), to.peer_owner_of(slot));
                        prop_assert_eq!(Slot::from_bits(slot.to_bits()), slot);
                        used.insert(slot);
                    }
                }
            }
            prop_assert_eq!(used.len(), usize::try_from(a.slot_count()).unwrap());
            for low in 0..s + 2 {
                for high in 0..t + 2 {
                    let slot = Slot { low, high };
                    prop_assert_eq!(a.contains(slot), used.contains(&slot));
                    prop_assert_eq!(b.contains(slot), used.contains(&slot));
                }
            }
        }

        #[test]
        fn target_mode_is_owned_by_the_peer_shard_modulo_the_local_count(s in 1u16..40, t in 1u16..40, i in 0u16..40) {
            prop_assume!(i < s && u32::from(s) * u32::from(t) > 8);
            let p = Placement::new(Side::High, s, t, 8, 64).unwrap();
            prop_assert_eq!(p.mode(), Mode::Target);
            for j in 0..t {
                prop_assert_eq!(p.owner_of(p.slot_for(i, j).unwrap()).unwrap().index(), j % s);
            }
        }
    }

    #[test]
    fn the_smaller_cap_decides_and_bad_counts_are_refused() {
        let mode = |cap| Placement::new(Side::Low, 8, 8, DEFAULT_MAX_LINKS, cap).unwrap().mode();
        assert_eq!((mode(64), mode(63)), (Mode::Full, Mode::Target));
        assert_eq!(Placement::new(Side::Low, 0, 1, 64, 64), None);
        assert_eq!(Placement::new(Side::Low, 1, ShardId::MAX + 2, 64, 64), None);
        assert_eq!(Placement::new(Side::Low, 1, 4, 64, 64).unwrap().slot_for(0, 4), None);
    }
}
