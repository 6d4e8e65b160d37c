//! The places for annexes: small shards of one process each, on threads of their own.
//!
//! Owns: the ports of annexes by index, who is where, and the CPUs their threads may use. An annex has an index above those of
//! the node's shards, so that waiters, wakers and answers find it as they find a shard.
//! Invariants: X1 a place has one occupant from `take` to `give_back`; its port stays for good, closed in between. X2 each
//! occupant's waiters begin above the generations of the former one's, so a late answer finds nothing; a place whose
//! generations are used up is not given out again.
//! Threads: `take` by home shards, `give_back` by the occupant's thread as its last act, everything else by anybody.
//! Cost: a look-up is an index; a place costs three pages once it was used.

use crate::reactor::memory::affinity;
use crate::shard::Port;
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

/// Most annexes of one node.
pub(crate) const MAX_ANNEXES: u16 = 256;
/// Index of the first annex: a node has at most this many shards.
pub(crate) const FIRST_ANNEX: u16 = 1024;
const _: () = assert!(FIRST_ANNEX + MAX_ANNEXES <= shard_wire::ShardId::MAX);

/// `occupant` of a place that nobody has.
const FREE: u64 = 0;
/// `occupant` of a place that is not given out again.
const RETIRED: u64 = u64::MAX;

#[derive(Debug, Default)]
struct Place {
    port: OnceLock<Arc<Port>>,
    /// Local id of the process.
    occupant: AtomicU64,
    /// Where its waiters' generations begin (X2).
    first: AtomicU32,
    /// Somebody waits for room in its mailbox.
    wants_room: AtomicBool,
    facts: AnnexFacts,
}

/// What a thread publishes about its process for those who ask the home shard: as of its last pause.
#[derive(Debug, Default)]
pub(crate) struct AnnexFacts {
    /// Replies it waits for.
    pub(crate) awaited: AtomicU64,
    /// Messages in Urgent, System and Log.
    pub(crate) queues: [AtomicU64; 3],
}

/// All places of a node.
#[derive(Debug)]
pub(crate) struct Annexes {
    places: Box<[Place]>,
    /// CPUs of the thread that started the node: a thread made by a pinned shard would else stay on its CPU.
    cpus: Box<[usize]>,
    /// The first shard's port: ports of annexes are like it.
    model: Option<Arc<Port>>,
}

/// Why there is no place.
#[derive(Debug)]
pub(crate) enum NoAnnex {
    /// All are taken.
    Full,
    /// The system refused memory.
    Memory(io::Error),
}

impl Annexes {
    pub(crate) fn new(ports: &[Arc<Port>]) -> Self {
        Self {
            places: (0..MAX_ANNEXES).map(|_| Place::default()).collect(),
            cpus: affinity().into(),
            model: ports.first().cloned(),
        }
    }

    fn place(&self, index: u16) -> Option<&Place> {
        self.places.get(usize::from(index.checked_sub(FIRST_ANNEX)?))
    }

    /// The port of an annex, if there ever was one at this index.
    #[cold]
    #[inline(never)]
    pub(crate) fn port(&self, index: u16) -> Option<&Arc<Port>> {
        self.place(index)?.port.get()
    }

    /// All ports that were ever used.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &Arc<Port>> {
        self.places.iter().filter_map(|place| place.port.get())
    }

    /// CPUs for the threads of annexes.
    pub(crate) fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// Takes a place for a process and opens its port.
    pub(crate) fn take(&self, occupant: u64) -> Result<u16, NoAnnex> {
        let Some(model) = &self.model else { return Err(NoAnnex::Full) };
        for (index, place) in (FIRST_ANNEX..).zip(&self.places) {
            // ORDERING: pairs with the Release in `give_back`: what the former occupant left in the port is over.
            if place.occupant.compare_exchange(FREE, occupant, Acquire, Relaxed).is_err() {
                continue;
            }
            if place.port.get().is_none() {
                match Port::reserve_annex(model) {
                    // Only who holds the place sets its port.
                    Ok(port) => drop(place.port.set(Arc::new(port))),
                    Err(error) => {
                        place.occupant.store(FREE, Release);
                        return Err(NoAnnex::Memory(error));
                    }
                }
            } else if let Some(port) = place.port.get() {
                port.inbox.reopen();
            }
            place.wants_room.store(false, Relaxed);
            return Ok(index);
        }
        Err(NoAnnex::Full)
    }

    /// Where the generations of the occupant's waiters begin.
    pub(crate) fn first_generation(&self, index: u16) -> u32 {
        self.place(index).map_or(1, |place| place.first.load(Relaxed))
    }

    /// Gives a place back whose port is closed and drained. `next` is where the next occupant's generations begin.
    pub(crate) fn give_back(&self, index: u16, next: Option<u32>) {
        let Some(place) = self.place(index) else { return };
        place.first.store(next.unwrap_or(u32::MAX), Relaxed);
        // ORDERING: pairs with the Acquire in `take`.
        place.occupant.store(if next.is_some() { FREE } else { RETIRED }, Release);
    }

    /// The processes that have a place now.
    pub(crate) fn occupants(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let taken =
            |place: &Place| Some(place.occupant.load(Relaxed)).filter(|id| ![FREE, RETIRED].contains(id));
        (FIRST_ANNEX..).zip(&self.places).filter_map(move |(index, place)| Some((index, taken(place)?)))
    }

    /// What the thread of an annex has published.
    pub(crate) fn facts(&self, index: u16) -> Option<&AnnexFacts> {
        Some(&self.place(index)?.facts)
    }

    /// Whether somebody waits for room in the mailbox of an annex's process.
    pub(crate) fn wants_room(&self, index: u16) -> Option<&AtomicBool> {
        Some(&self.place(index)?.wants_room)
    }
}

#[cfg(test)]
mod tests {
    use super::{Annexes, FIRST_ANNEX, MAX_ANNEXES, NoAnnex};
    use crate::shard::Port;
    use std::sync::Arc;

    #[test]
    fn a_place_is_given_out_once_and_again_when_it_is_free() {
        let annexes = Annexes::new(&[Arc::new(Port::reserve(16, 16).unwrap())]);
        let all: Vec<u16> = (0..MAX_ANNEXES).map(|id| annexes.take(u64::from(id) + 1).unwrap()).collect();
        assert_eq!(all, (FIRST_ANNEX..FIRST_ANNEX + MAX_ANNEXES).collect::<Vec<_>>());
        assert!(matches!(annexes.take(7), Err(NoAnnex::Full)));
        for index in [1030, 1031] {
            let port = annexes.port(index).unwrap();
            port.inbox.close();
            assert!(port.inbox.is_finished());
        }
        annexes.give_back(1030, Some(77));
        annexes.give_back(1031, None);
        assert_eq!(annexes.occupants().count(), 254);
        assert_eq!(annexes.take(9).unwrap(), 1030);
        assert_eq!(annexes.first_generation(1030), 77);
        assert!(!annexes.port(1030).unwrap().inbox.is_closed());
        assert!(matches!(annexes.take(9), Err(NoAnnex::Full)), "a used-up place is retired");
        assert!(annexes.port(3).is_none() && annexes.port(FIRST_ANNEX + MAX_ANNEXES).is_none());
    }
}
