//! The lanes between this shard and the other shards of its node.
//!
//! Invariants: M1 one ring per ordered pair of shards, made by the sender on first use and announced through the target's
//! inbox, so FIFO holds per pair. M2 what was pushed in a turn is published once, at its end, with at most one wake per
//! target.

use crate::ring::{DEFAULT_SPILL_LIMIT, Outbox, Receiver, channel};
use crate::shard::{Inbound, Parcel, Shard};
use std::cell::{Cell, RefCell};

/// Most parcels taken from one ring in one turn.
const DRAIN: usize = 256;
/// Parcels pushed before they are published without waiting for the end of the turn.
const PUBLISH_EVERY: u32 = 64;

struct Lane {
    target: u16,
    outbox: Outbox<Parcel>,
    dirty: bool,
    unpublished: u32,
}

/// Rings to and from the other shards.
pub(crate) struct Mesh {
    /// Index into `lanes` by target shard, `u16::MAX` for none.
    by_target: RefCell<Vec<u16>>,
    lanes: RefCell<Vec<Lane>>,
    rings: RefCell<Vec<Receiver<Parcel>>>,
    dirty: Cell<bool>,
    ring_slots: usize,
}

impl Mesh {
    pub(crate) fn new(shards: u16, ring_slots: usize) -> Self {
        Self {
            by_target: RefCell::new(vec![u16::MAX; shards as usize]),
            lanes: RefCell::default(),
            rings: RefCell::default(),
            dirty: Cell::new(false),
            ring_slots,
        }
    }

    /// Queues a parcel for another shard. `None`: accepted. The parcel comes back if ring and spill are full.
    #[inline]
    pub(crate) fn push(&self, shard: &Shard, target: u16, parcel: Parcel) -> Option<Parcel> {
        let lane = self.by_target.borrow().get(target as usize).copied().unwrap_or(u16::MAX);
        if lane == u16::MAX {
            return self.push_first(shard, target, parcel);
        }
        self.push_lane(shard, lane, parcel)
    }

    #[inline]
    fn push_lane(&self, shard: &Shard, lane: u16, parcel: Parcel) -> Option<Parcel> {
        let mut lanes = self.lanes.borrow_mut();
        let Some(lane) = lanes.get_mut(lane as usize) else { return Some(parcel) };
        self.dirty.set(true);
        lane.dirty = true;
        if let Err(full) = lane.outbox.push(parcel) {
            return Some(full.into_inner());
        }
        lane.unpublished += 1;
        if lane.unpublished >= PUBLISH_EVERY {
            lane.publish(shard);
        }
        None
    }

    #[cold]
    #[inline(never)]
    fn push_first(&self, shard: &Shard, target: u16, parcel: Parcel) -> Option<Parcel> {
        let Some(port) = shard.node().port(target) else { return Some(parcel) };
        let (sender, receiver) = channel(self.ring_slots);
        let announce = move |shard: &Shard| shard.mesh().rings.borrow_mut().push(receiver);
        if port.post(Inbound::Task(Box::new(announce))).is_err() {
            return Some(parcel);
        }
        let lane = self.lanes.borrow().len() as u16;
        let outbox = Outbox::new(sender, DEFAULT_SPILL_LIMIT);
        self.lanes.borrow_mut().push(Lane { target, outbox, dirty: false, unpublished: 0 });
        if let Some(place) = self.by_target.borrow_mut().get_mut(target as usize) {
            *place = lane;
        }
        self.push_lane(shard, lane, parcel)
    }

    /// Takes what other shards sent. Returns the number of parcels.
    #[inline]
    pub(crate) fn drain(&self, mut each: impl FnMut(Parcel)) -> usize {
        self.rings.borrow_mut().iter_mut().map(|ring| ring.drain(DRAIN, &mut each)).sum()
    }

    /// Publishes what was pushed and wakes the targets that sleep. Returns whether a spill is left.
    #[inline]
    pub(crate) fn publish(&self, shard: &Shard) -> bool {
        if !self.dirty.get() {
            return false;
        }
        let mut left = false;
        for lane in self.lanes.borrow_mut().iter_mut().filter(|lane| lane.dirty) {
            lane.publish(shard);
            lane.dirty = lane.outbox.backlog() > 0;
            left |= lane.dirty;
        }
        self.dirty.set(left);
        left
    }

    /// Whether something waits in a ring: the re-check before a park.
    pub(crate) fn is_work(&self) -> bool {
        self.rings.borrow().iter().any(|ring| !ring.is_empty())
    }

    /// Parcels in spills, parcels that ever went through one, parcels refused.
    pub(crate) fn spill(&self) -> (u64, u64, u64) {
        self.lanes.borrow().iter().fold((0, 0, 0), |(backlog, spilled, refused), lane| {
            let outbox = &lane.outbox;
            (
                backlog + outbox.backlog() as u64,
                spilled + outbox.spilled_total(),
                refused + outbox.refused_total(),
            )
        })
    }
}

impl Lane {
    #[inline]
    fn publish(&mut self, shard: &Shard) {
        self.unpublished = 0;
        let fresh = self.outbox.publish();
        if fresh == 0 {
            return;
        }
        if let Some(port) = shard.node().port(self.target)
            && port.wake()
        {
            shard.count(|cells| &cells.wakes_sent, 1);
        }
    }
}
