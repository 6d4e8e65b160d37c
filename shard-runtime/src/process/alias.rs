//! The aliases of one shard: further addresses of its processes, found without a hash from any shard.
//!
//! Owns: a reserved range of entries; the shard's free list is with its owner. An alias is `shard:12 | generation:32 |
//! index:20`. Invariants: A1 an entry's id is 0 while it is free, and never repeats. A2 only the owning shard writes; a
//! reader that sees the same id before and after the owner has read the owner of that alias.
#![expect(
    unsafe_code,
    reason = "a reserved range; proven by an_alias_is_found_until_it_is_given_up, loom_alias_*"
)]

use crate::reactor::memory::Mapping;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU64, fence};
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

const INDEX_BITS: u32 = 20;
const CAPACITY: u32 = 1 << INDEX_BITS;
const INDEX_MASK: u64 = CAPACITY as u64 - 1;
const SEQUENCE_MASK: u64 = (1 << 52) - 1;

/// One alias; all-zero bytes are a free one.
#[repr(C)]
struct Entry {
    id: AtomicU64,
    /// The process it leads to; the next generation while the entry is free.
    owner: AtomicU64,
}

impl Entry {
    /// The process that this alias leads to, if it is in use. From any thread.
    fn owner_of(&self, id: u64) -> Option<u64> {
        // ORDERING: pairs with the Release in `give`: who sees the id sees its owner.
        if id == 0 || self.id.load(Acquire) != id {
            return None;
        }
        let owner = self.owner.load(Relaxed);
        // ORDERING: the owner before the second look at the id (A2); pairs with the fence in `take_back`.
        fence(Acquire);
        (self.id.load(Relaxed) == id).then_some(owner)
    }

    /// Puts a free entry into use, as the id that this function makes of its generation. Called by the owning shard only.
    fn give(&self, owner: u64, id: impl FnOnce(u64) -> u64) -> u64 {
        // Generations begin at 1, so that no alias is 0.
        let id = id(self.owner.load(Relaxed).max(1));
        self.owner.store(owner, Relaxed);
        // ORDERING: pairs with the Acquire in `owner_of`.
        self.id.store(id, Release);
        id
    }

    /// Frees the entry of an alias; returns its generation, if it was in use. Called by the owning shard only.
    fn take_back(&self, id: u64) -> Option<u64> {
        if self.id.load(Relaxed) != id {
            return None;
        }
        let generation = (id & SEQUENCE_MASK) >> INDEX_BITS;
        self.id.store(0, Relaxed);
        // ORDERING: pairs with the fence in `owner_of`: a reader that sees what follows sees that the id has gone.
        fence(Release);
        self.owner.store(generation + 1, Relaxed);
        Some(generation)
    }
}

/// What anybody may read.
#[derive(Debug)]
pub(crate) struct AliasTable {
    entries: Mapping,
}

impl AliasTable {
    /// Reserves the address space.
    ///
    /// # Errors
    /// The system refused it.
    pub(crate) fn reserve() -> io::Result<Self> {
        Ok(Self { entries: Mapping::reserve(CAPACITY as usize * size_of::<Entry>())? })
    }

    fn entry(&self, id: u64) -> &Entry {
        let index = (id & INDEX_MASK) as usize;
        let address = self.entries.address().cast::<Entry>().wrapping_add(index);
        // SAFETY: masked, so inside the mapping; all-zero bytes are a free entry.
        unsafe { &*address }
    }

    /// The local id of the process an alias leads to. From any thread.
    pub(crate) fn owner(&self, id: u64) -> Option<u64> {
        self.entry(id).owner_of(id)
    }
}

/// The owning shard's side.
pub(crate) struct OwnedAliases {
    table: Arc<AliasTable>,
    shard: u64,
    high: Cell<u32>,
    free: RefCell<Vec<u32>>,
}

impl OwnedAliases {
    pub(crate) fn new(table: Arc<AliasTable>, shard: u16) -> Self {
        Self { table, shard: u64::from(shard) << 52, high: Cell::new(0), free: RefCell::default() }
    }

    /// A new alias of a process; `None` when a million are in use.
    pub(crate) fn give(&self, owner: u64) -> Option<u64> {
        let index = match self.free.borrow_mut().pop() {
            Some(index) => index,
            None if self.high.get() < CAPACITY => {
                self.high.set(self.high.get() + 1);
                self.high.get() - 1
            }
            None => return None,
        };
        let id = |generation| self.shard | generation << INDEX_BITS | u64::from(index);
        Some(self.table.entry(u64::from(index)).give(owner, id))
    }

    /// The process an alias of this shard leads to.
    pub(crate) fn owner(&self, id: u64) -> Option<u64> {
        self.table.owner(id)
    }

    /// Gives an alias up.
    pub(crate) fn take_back(&self, id: u64) {
        let Some(generation) = self.table.entry(id).take_back(id) else { return };
        // An entry whose generation would wrap is retired.
        if generation < u64::from(u32::MAX) {
            self.free.borrow_mut().push((id & INDEX_MASK) as u32);
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::{AliasTable, OwnedAliases};
    use std::sync::Arc;

    #[test]
    fn an_alias_is_found_until_it_is_given_up() {
        let table = Arc::new(AliasTable::reserve().unwrap());
        let owned = OwnedAliases::new(Arc::clone(&table), 3);
        let first = owned.give(77).unwrap();
        let second = owned.give(78).unwrap();
        assert_eq!((first >> 52, table.owner(first), owned.owner(second)), (3, Some(77), Some(78)));
        owned.take_back(first);
        owned.take_back(first);
        assert_eq!((table.owner(first), table.owner(second)), (None, Some(78)));
        let third = owned.give(79).unwrap();
        assert_ne!(first, third);
        assert_eq!((table.owner(first), table.owner(third)), (None, Some(79)));
        for id in [0, u64::MAX, 1 << 52, 12_345] {
            assert_eq!(table.owner(id), None);
        }
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom_tests {
    use super::{Entry, INDEX_BITS};
    use crate::sync::AtomicU64;
    use loom::sync::Arc;
    use loom::thread;

    /// A reader against an owner that gives the entry up and gives it to another process.
    #[test]
    fn loom_alias_leads_to_its_own_process_or_nowhere() {
        crate::sync::model(|| {
            let entry = Arc::new(Entry { id: AtomicU64::new(0), owner: AtomicU64::new(0) });
            let id = |generation: u64| generation << INDEX_BITS | 7;
            let first = entry.give(100, id);
            let seen = Arc::clone(&entry);
            let reader = thread::spawn(move || {
                let (one, two) = (seen.owner_of(id(1)), seen.owner_of(id(2)));
                assert!(matches!(one, None | Some(100)), "{one:?}");
                assert!(matches!(two, None | Some(200)), "{two:?}");
                // What has been reused never comes back.
                assert!(two.is_none() || seen.owner_of(id(1)).is_none());
            });
            assert_eq!(entry.take_back(first), Some(1));
            let second = entry.give(200, id);
            assert_eq!((first, second), (id(1), id(2)));
            reader.join().unwrap();
            assert_eq!((entry.owner_of(first), entry.owner_of(second)), (None, Some(200)));
        });
    }
}
