//! The lanes between this shard and the other shards of its node.
//!
//! Invariants: M1 one ring per ordered pair of shards, made by the sender on first use and announced through the target's
//! inbox, so FIFO holds per pair. M2 what was pushed in a turn is published once, at its end, with at most one wake per
//! target.

use crate::ring::{DEFAULT_SPILL_LIMIT, Outbox, Receiver, channel};
use crate::shard::{Inbound, Parcel, Shard};
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

/// Most parcels taken from one ring in one turn.
const DRAIN: usize = 256;
/// Parcels pushed before they are published without waiting for the end of the turn.
const PUBLISH_EVERY: u32 = 64;

/// Parcels behind a full ring above which a shard runs one activation per turn.
const CONGESTED: usize = 2048;

struct Lane {
    target: u16,
    outbox: Outbox<Parcel>,
    dirty: bool,
    unpublished: u32,
}

/// Rings to and from the other shards.
pub(crate) struct Mesh {
    /// By target shard; made on first use.
    lanes: Box<[RefCell<Option<Lane>>]>,
    rings: RefCell<Vec<Receiver<Parcel>>>,
    dirty: Cell<bool>,
    ring_slots: usize,
}

impl Mesh {
    pub(crate) fn new(shards: u16, ring_slots: usize) -> Self {
        Self {
            lanes: (0..shards).map(|_| RefCell::new(None)).collect(),
            rings: RefCell::default(),
            dirty: Cell::new(false),
            ring_slots,
        }
    }

    /// Makes a parcel in the ring to another shard. `false`: there is no ring yet, or it is full, and `make` was not called.
    #[inline]
    pub(crate) fn push_with(&self, shard: &Shard, target: u16, make: impl FnOnce() -> Parcel) -> bool {
        let Some(place) = self.lanes.get(target as usize) else { return false };
        let mut place = place.borrow_mut();
        let Some(lane) = place.as_mut() else { return false };
        if !lane.outbox.push_with(make) {
            return false;
        }
        self.dirty.set(true);
        lane.pushed(shard);
        true
    }

    /// Queues a parcel for another shard, behind the ring if it is full. The parcel comes back if the spill is full too.
    #[inline(never)]
    pub(crate) fn push(&self, shard: &Shard, target: u16, parcel: Parcel) -> Option<Parcel> {
        let Some(place) = self.lanes.get(target as usize) else { return Some(parcel) };
        if place.borrow().is_none() {
            let Some(lane) = self.open(shard, target) else { return Some(parcel) };
            place.replace(Some(lane));
        }
        let mut place = place.borrow_mut();
        let Some(lane) = place.as_mut() else { return Some(parcel) };
        self.dirty.set(true);
        lane.dirty = true;
        if let Err(full) = lane.outbox.push(parcel) {
            return Some(full.into_inner());
        }
        lane.pushed(shard);
        None
    }

    /// Makes the ring to a shard and tells it.
    #[cold]
    fn open(&self, shard: &Shard, target: u16) -> Option<Lane> {
        let port = shard.node().port(target)?;
        let (sender, receiver) = channel(self.ring_slots);
        let announce = move |shard: &Shard| shard.mesh().rings.borrow_mut().push(receiver);
        port.post(Inbound::Task(Box::new(announce))).ok()?;
        let outbox = Outbox::new(sender, DEFAULT_SPILL_LIMIT);
        Some(Lane { target, outbox, dirty: false, unpublished: 0 })
    }

    /// Takes what other shards sent. Returns the number of parcels.
    #[inline]
    pub(crate) fn drain(&self, mut each: impl FnMut(&ManuallyDrop<Parcel>)) -> usize {
        self.rings.borrow_mut().iter_mut().map(|ring| ring.drain_in_place(DRAIN, &mut each)).sum()
    }

    /// Publishes what was pushed and wakes the targets that sleep. Returns whether a spill is left.
    #[inline]
    pub(crate) fn publish(&self, shard: &Shard) -> bool {
        if !self.dirty.get() {
            return false;
        }
        let mut left = false;
        for place in &self.lanes {
            let mut place = place.borrow_mut();
            if let Some(lane) = place.as_mut().filter(|lane| lane.dirty) {
                lane.publish(shard);
                lane.dirty = lane.outbox.backlog() > 0;
                left |= lane.dirty;
            }
        }
        self.dirty.set(left);
        left
    }

    /// Whether something waits in a ring: the re-check before a park.
    pub(crate) fn is_work(&self) -> bool {
        self.rings.borrow().iter().any(|ring| !ring.is_empty())
    }

    /// Whether more waits behind a full ring than a target takes in a few turns: time to send less.
    #[inline]
    pub(crate) fn is_congested(&self) -> bool {
        self.dirty.get() && self.lanes.iter().any(|place| {
            place.borrow().as_ref().is_some_and(|lane| lane.outbox.backlog() > CONGESTED)
        })
    }

    /// Parcels in spills, parcels that ever went through one, parcels refused.
    pub(crate) fn spill(&self) -> (u64, u64, u64) {
        self.lanes.iter().fold((0, 0, 0), |(backlog, spilled, refused), place| match place.borrow().as_ref() {
            None => (backlog, spilled, refused),
            Some(Lane { outbox, .. }) => (
                backlog + outbox.backlog() as u64,
                spilled + outbox.spilled_total(),
                refused + outbox.refused_total(),
            ),
        })
    }
}

impl Lane {
    /// After a push: published early when enough has come together.
    #[inline]
    fn pushed(&mut self, shard: &Shard) {
        self.dirty = true;
        self.unpublished += 1;
        if self.unpublished >= PUBLISH_EVERY {
            self.publish(shard);
        }
    }

    #[inline(never)]
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
