//! Who is there: the places of a soak's population, with the pid and alias of whoever has each now.
//!
//! Invariants: H1 a place is vacant, claimed by one spawner, or has one live process; whatever becomes of a claim, its
//! [`Seat`] gives the place back. H2 what a place is (its bound, its policy, its name) is fixed.

use super::ledger::Books;
use shard_runtime::wire::{IncarnationKey, LocalId};
use shard_runtime::{Alias, OnFull, Pid, Priority, SpawnOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

const VACANT: u64 = 0;
const CLAIMED: u64 = 1;

/// Where what full mailboxes refuse goes.
pub(super) const FALLBACK: &str = "soak_fallback";
/// Who floods its own mailbox.
pub(super) const FLOODER: &str = "soak_flooder";

/// The population.
#[derive(Debug)]
pub(super) struct Hall {
    pub(super) books: Books,
    pub(super) shards: u16,
    node: AtomicU64,
    places: Box<[AtomicU64]>,
    aliases: Box<[AtomicU64]>,
    /// The last ones that ended.
    ended: Box<[AtomicU64]>,
    turn: AtomicU64,
    stopping: AtomicBool,
}

impl Hall {
    pub(super) fn new(books: Books, shards: u16, population: usize) -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(VACANT)).collect();
        Self {
            books,
            shards,
            node: AtomicU64::new(0),
            places: zeros(population),
            aliases: zeros(population),
            ended: zeros(16),
            turn: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// Tells which incarnation the processes are of.
    pub(super) fn set_node(&self, pid: Pid) {
        self.node.store(pid.node.0, Relaxed);
    }

    fn key(&self) -> IncarnationKey {
        IncarnationKey(self.node.load(Relaxed))
    }

    pub(super) fn population(&self) -> usize {
        self.places.len()
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Acquire)
    }

    fn at(&self, place: u64) -> usize {
        (place % self.places.len() as u64) as usize
    }

    /// Who has a place now.
    pub(super) fn pid(&self, place: u64) -> Option<Pid> {
        let local = self.places[self.at(place)].load(Acquire);
        (local > CLAIMED).then(|| Pid { node: self.key(), local: LocalId(local) })
    }

    /// A process that has ended.
    pub(super) fn ended(&self, number: u64) -> Option<Pid> {
        let local = self.ended[(number % self.ended.len() as u64) as usize].load(Acquire);
        (local > CLAIMED).then(|| Pid { node: self.key(), local: LocalId(local) })
    }

    /// An alias that whoever has, or had, a place has made.
    pub(super) fn alias(&self, place: u64) -> Option<Alias> {
        let id = self.aliases[self.at(place)].load(Acquire);
        (id != VACANT).then(|| Alias { node: self.key(), id })
    }

    pub(super) fn set_alias(&self, place: usize, alias: Alias) {
        self.aliases[place].store(alias.id, Release);
    }

    /// All aliases that were made last in their places.
    pub(super) fn aliases(&self) -> impl Iterator<Item = Alias> + '_ {
        (0..self.places.len() as u64).filter_map(|place| self.alias(place))
    }

    /// Claims a vacant place.
    pub(super) fn claim(self: &Arc<Self>, place: u64) -> Option<Seat> {
        let place = self.at(place);
        self.places[place].compare_exchange(VACANT, CLAIMED, AcqRel, Acquire).ok()?;
        Some(Seat { hall: Arc::clone(self), place })
    }

    pub(super) fn name_of(place: usize) -> String {
        format!("soak_{place}")
    }

    /// The name that whoever has this place may claim for itself while it runs.
    pub(super) fn second_name_of(place: usize) -> String {
        format!("soak_second_{place}")
    }

    pub(super) fn has_name(place: usize) -> bool {
        place.is_multiple_of(4)
    }

    /// Whether messages to the name of this place arrive as `Addressed`.
    fn is_split(place: usize) -> bool {
        place % 16 == 8
    }

    /// Whether whoever has this place traps exits.
    fn traps(place: usize) -> bool {
        place % 8 == 3
    }

    /// What whoever has this place is spawned with (H2).
    pub(super) fn options(place: usize) -> SpawnOptions {
        const BOUND: u32 = 12;
        let mut options = SpawnOptions::new().with_init_timeout(Duration::from_millis(20));
        if Self::has_name(place) {
            options = options.with_name(Self::name_of(place));
        }
        if Self::is_split(place) {
            options = options.split_handle();
        }
        if Self::traps(place) {
            options = options.trap_exit();
        }
        if place % 16 == 2 {
            options = options.with_send_priority(Priority::High);
        }
        if place % 16 == 9 {
            options = options.with_budget(3);
        }
        match place % 8 {
            4 => options.with_mailbox(BOUND),
            5 => options.with_mailbox(BOUND).with_fallback(FALLBACK, "soak"),
            6 => options.with_mailbox(BOUND).on_full(OnFull::DropNewest),
            7 => options.with_mailbox(BOUND).on_full(OnFull::DropOldest),
            _ => options,
        }
    }
}

/// A claim on a place; whoever sits there holds it.
#[derive(Debug)]
pub(super) struct Seat {
    hall: Arc<Hall>,
    place: usize,
}

impl Seat {
    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn hall(&self) -> &Arc<Hall> {
        &self.hall
    }

    /// The process is up.
    pub(super) fn sit(&self, pid: Pid) {
        self.hall.places[self.place].store(pid.local.0, Release);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let local = self.hall.places[self.place].swap(VACANT, AcqRel);
        if local > CLAIMED {
            let at = self.hall.turn.fetch_add(1, Relaxed) as usize % self.hall.ended.len();
            self.hall.ended[at].store(local, Release);
        }
    }
}
