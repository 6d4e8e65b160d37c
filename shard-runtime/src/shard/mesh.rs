//! The lanes between this shard and the other shards of its node.
//!
//! Invariants: M1 one ring per ordered pair of shards, made by the sender on first use and announced through the target's
//! inbox, so FIFO holds per pair. M2 what was pushed in a turn is published once, at its end, with at most one wake per
//! target. M3 a process that spilled is held back until its lane has drained, [`HOLD`] at most: the target sets the pace, and
//! a spill stays as short as what one activation of each sender adds. Rings are drained whatever is held, so two shards
//! that hold senders of each other go on.

use crate::ring::{DEFAULT_SPILL_LIMIT, InboxError, Outbox, Receiver, channel};
use crate::shard::ready::Ready;
use crate::shard::{Inbound, Parcel, Port, Shard};
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

/// Most parcels taken from one ring in one turn.
const DRAIN: usize = 256;
/// Parcels pushed before they are published without waiting for the end of the turn.
const PUBLISH_EVERY: u32 = 64;

/// Ticks for which a process that spilled is held back at most: about 1 ms. A target that is stuck must not delay the kill
/// of a sender for longer.
const HOLD: u64 = 3_000_000;
/// Ticks without progress of a lane after which a shard that only holds senders parks: about 20 µs. A target that runs
/// takes something every microsecond; one that does not run may need this very processor.
const PATIENCE: u64 = 60_000;
/// [`Mesh::strained`] when nothing has spilled.
const NONE: u16 = u16::MAX;

struct Lane {
    target: u16,
    outbox: Outbox<Parcel>,
    dirty: bool,
    unpublished: u32,
    /// Processes that spilled here.
    held: Ready,
    /// Ticks at which the first of them was held.
    held_since: u64,
}

/// Rings to and from the other shards.
pub(crate) struct Mesh {
    /// By target shard; made on first use.
    lanes: Box<[RefCell<Option<Lane>>]>,
    rings: RefCell<Vec<Receiver<Parcel>>>,
    dirty: Cell<bool>,
    ring_slots: usize,
    /// The lane that the current process made spill.
    strained: Cell<u16>,
    /// Processes held back, over all lanes.
    held: Cell<u32>,
    /// What lanes with held processes had to carry at the last look, and when that last changed.
    waiting: Cell<(usize, u64)>,
}

impl Mesh {
    pub(crate) fn new(shards: u16, ring_slots: usize) -> Self {
        Self {
            lanes: (0..shards).map(|_| RefCell::new(None)).collect(),
            rings: RefCell::default(),
            dirty: Cell::new(false),
            ring_slots,
            strained: Cell::new(NONE),
            held: Cell::new(0),
            waiting: Cell::new((0, 0)),
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
        let Some(place) = self.lanes.get(target as usize) else {
            return by_inbox(shard, target, parcel, Port::post);
        };
        if place.borrow().is_none() {
            let Some(lane) = self.open(shard, target) else { return Some(parcel) };
            place.replace(Some(lane));
        }
        let mut place = place.borrow_mut();
        let Some(lane) = place.as_mut() else { return Some(parcel) };
        self.dirty.set(true);
        lane.dirty = true;
        if let Err(full) = lane.outbox.push(parcel) {
            self.strained.set(target);
            return Some(full.into_inner());
        }
        if lane.outbox.backlog() > 0 {
            self.strained.set(target);
            return None;
        }
        lane.pushed(shard);
        None
    }

    /// Queues a parcel that must not be refused: an exit signal, an answer of the runtime. It comes back only if there is no
    /// such shard, or it has stopped.
    #[inline(never)]
    pub(crate) fn push_reserved(&self, shard: &Shard, target: u16, parcel: Parcel) -> Option<Parcel> {
        let Some(place) = self.lanes.get(target as usize) else {
            return by_inbox(shard, target, parcel, Port::post_reserved);
        };
        if place.borrow().is_none() {
            let Some(lane) = self.open(shard, target) else { return Some(parcel) };
            place.replace(Some(lane));
        }
        let mut place = place.borrow_mut();
        let Some(lane) = place.as_mut() else { return Some(parcel) };
        self.dirty.set(true);
        lane.dirty = true;
        lane.outbox.push_reserved(parcel);
        if lane.outbox.backlog() == 0 {
            lane.pushed(shard);
        }
        None
    }

    /// Makes the ring to a shard and tells it.
    #[cold]
    fn open(&self, shard: &Shard, target: u16) -> Option<Lane> {
        let port = shard.node().port(target)?;
        let (sender, receiver) = channel(self.ring_slots);
        let announce = move |shard: &Shard| shard.mesh().rings.borrow_mut().push(receiver);
        port.post_reserved(Inbound::Task(Box::new(announce))).ok()?;
        let outbox = Outbox::new(sender, DEFAULT_SPILL_LIMIT);
        Some(Lane { target, outbox, dirty: false, unpublished: 0, held: Ready::new(), held_since: 0 })
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

    /// The lane that the process that has just run made spill, if it did.
    #[inline(always)]
    pub(crate) fn take_strain(&self) -> Option<u16> {
        let target = self.strained.get();
        if target == NONE {
            return None;
        }
        self.strained.set(NONE);
        Some(target)
    }

    /// Holds back a process that has more to do and made a lane spill (M3). `false`: there is no such lane.
    #[cold]
    pub(crate) fn hold(&self, target: u16, slot: u32, now: u64) -> bool {
        let Some(place) = self.lanes.get(target as usize) else { return false };
        let mut place = place.borrow_mut();
        let Some(lane) = place.as_mut() else { return false };
        if lane.held.len() == 0 {
            lane.held_since = now;
        }
        lane.held.push(slot);
        self.held.set(self.held.get() + 1);
        true
    }

    /// Processes held back.
    #[inline(always)]
    pub(crate) fn held(&self) -> u32 {
        self.held.get()
    }

    /// Lets the processes go on whose lane has room for a while, or that have waited long enough.
    #[cold]
    pub(crate) fn release(&self, now: u64, ready: &Ready) {
        for place in &self.lanes {
            let mut place = place.borrow_mut();
            let Some(lane) = place.as_mut().filter(|lane| lane.held.len() > 0) else { continue };
            if lane.outbox.is_roomy() || now.saturating_sub(lane.held_since) > HOLD {
                while let Some(slot) = lane.held.pop() {
                    ready.push(slot);
                    self.held.set(self.held.get() - 1);
                }
            }
        }
    }

    /// Whether a lane with held processes moves: worth another look instead of a park.
    #[cold]
    pub(crate) fn is_draining(&self, now: u64) -> bool {
        let waiting = self.lanes.iter().fold(0, |sum, place| match place.borrow().as_ref() {
            Some(lane) if lane.held.len() > 0 => sum + lane.outbox.len(),
            _ => sum,
        });
        let (before, since) = self.waiting.get();
        if waiting != before {
            self.waiting.set((waiting, now));
            return true;
        }
        now.saturating_sub(since) < PATIENCE
    }

    /// Bytes of the spills.
    pub(crate) fn spill_bytes(&self) -> u64 {
        let bytes = |place: &RefCell<Option<Lane>>| {
            place.borrow().as_ref().map_or(0, |lane| lane.outbox.spill_bytes() as u64)
        };
        self.lanes.iter().map(bytes).sum()
    }

    /// Parcels in spills, parcels that ever went through one, parcels refused.
    pub(crate) fn spill(&self) -> (u64, u64, u64) {
        self.lanes.iter().fold((0, 0, 0), |(backlog, spilled, refused), place| {
            match place.borrow().as_ref() {
                None => (backlog, spilled, refused),
                Some(Lane { outbox, .. }) => (
                    backlog + outbox.backlog() as u64,
                    spilled + outbox.spilled_total(),
                    refused + outbox.refused_total(),
                ),
            }
        })
    }
}

type Post = fn(&Port, Inbound) -> Result<(), InboxError<Inbound>>;

/// There is no ring to or from an annex: everything goes by the inbox, which keeps each sender's order as a ring does.
#[cold]
fn by_inbox(shard: &Shard, target: u16, parcel: Parcel, post: Post) -> Option<Parcel> {
    let Some(port) = shard.node().port(target) else { return Some(parcel) };
    match post(port, Inbound::Parcel(parcel)).err()?.into_inner() {
        Inbound::Parcel(parcel) => Some(parcel),
        Inbound::Task(_) | Inbound::Wake { .. } => unreachable!("an inbox gives back what it was given"),
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
