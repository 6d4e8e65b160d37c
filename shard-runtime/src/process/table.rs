//! The process table of one shard: three reserved ranges that are indexed by slot.
//!
//! Owns: the address ranges; shared with readers, who may look at atomics only.
//! Invariants: T1 all ranges are mapped, and zero until used, while any reference to the table lives. T2 slot 0 is never
//! given out and its id is `u64::MAX`, so no id names it. T3 a slot is found by masking, so an id from anywhere indexes
//! inside the range; the comparison of the whole id decides.
//! Cost: an address computation; no lookup, no lock. A record is committed by its first use.
#![expect(unsafe_code, reason = "reserved ranges; proven by any_id_is_safe_to_look_up")]

use super::bound::Bound;
use super::record::{Flags, Identity, Record};
use crate::reactor::memory::Mapping;
use crate::shard::LogLevel;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// First slot that a process gets. Lower ones are reserved, as in Ergo.
pub(crate) const FIRST_SLOT: u32 = 1001;

/// Slots of a table for one process: a page of each range.
const ONE_SLOTS: u32 = 32;

/// Records and identities of one shard's processes.
#[derive(Debug)]
pub(crate) struct Table {
    records: Mapping,
    identities: Mapping,
    bounds: Mapping,
    mask: u32,
    /// One past the highest slot ever used.
    high: AtomicU32,
}

/// A record as a reader on another thread may see it: identity, counters, flags.
pub(crate) struct Published<'t> {
    pub(crate) record: &'t Record,
    pub(crate) identity: &'t Identity,
}

impl Table {
    /// Reserves room for at least `capacity` processes.
    ///
    /// # Errors
    /// The system refused the address space.
    pub(crate) fn reserve(capacity: u32) -> io::Result<Self> {
        let slots = capacity.saturating_add(FIRST_SLOT).next_power_of_two().max(2048);
        let table = Self {
            records: Mapping::reserve(slots as usize * size_of::<Record>())?,
            identities: Mapping::reserve(slots as usize * size_of::<Identity>())?,
            bounds: Mapping::reserve(slots as usize * size_of::<Bound>())?,
            mask: slots - 1,
            high: AtomicU32::new(FIRST_SLOT),
        };
        table.record(0).id.store(u64::MAX, Relaxed);
        Ok(table)
    }

    /// A table for one process of any slot: for the shard of a process on a thread of its own.
    ///
    /// # Errors
    /// The system refused the address space.
    pub(crate) fn reserve_one() -> io::Result<Self> {
        let table = Self {
            records: Mapping::reserve_small(ONE_SLOTS as usize * size_of::<Record>())?,
            identities: Mapping::reserve_small(ONE_SLOTS as usize * size_of::<Identity>())?,
            bounds: Mapping::reserve_small(ONE_SLOTS as usize * size_of::<Bound>())?,
            mask: ONE_SLOTS - 1,
            high: AtomicU32::new(0),
        };
        table.record(0).id.store(u64::MAX, Relaxed);
        Ok(table)
    }

    /// The record at a slot; any number is safe (T3).
    #[inline(always)]
    pub(crate) fn record(&self, slot: u32) -> &Record {
        let index = (slot & self.mask) as usize;
        let address = self.records.address().cast::<Record>().wrapping_add(index);
        // SAFETY: T1 and T3: inside the range; R1: any content, zero included, is a valid record.
        unsafe { &*address }
    }

    /// The identity at a slot; any number is safe (T3).
    #[inline(always)]
    pub(crate) fn identity(&self, slot: u32) -> &Identity {
        let index = (slot & self.mask) as usize;
        let address = self.identities.address().cast::<Identity>().wrapping_add(index);
        // SAFETY: T1 and T3: inside the range; it consists of atomics only.
        unsafe { &*address }
    }

    /// The bound at a slot; any number is safe (T3). Meaningful for bounded processes only.
    pub(crate) fn bound(&self, slot: u32) -> &Bound {
        let index = (slot & self.mask) as usize;
        let address = self.bounds.address().cast::<Bound>().wrapping_add(index);
        // SAFETY: T1 and T3: inside the range; it consists of atomics only, and all-zero bytes are a closed bound.
        unsafe { &*address }
    }

    /// What a process is, besides its state, if it lives here now: [`Flags::TRAITS`] and whether it is ending.
    #[inline(always)]
    pub(crate) fn traits_of(&self, local: u64) -> Option<u32> {
        let record = self.record(local as u32);
        // ORDERING: pairs with the Release of `Shard::start`: the traits seen are not those of the slot's last process.
        (record.id.load(Acquire) == local).then(|| record.flags() & (Flags::TRAITS | Flags::TERMINATED))
    }

    /// The level of a process's log lines, if it has one of its own.
    pub(crate) fn log_level_of(&self, local: u64) -> Option<LogLevel> {
        let record = self.record(local as u32);
        (record.id.load(Relaxed) == local).then(|| Flags::level_of(record.flags())).flatten()
    }

    /// Both parts, for a reader on another thread, which touches the atomics only.
    pub(crate) fn published(&self, slot: u32) -> Published<'_> {
        Published { record: self.record(slot), identity: self.identity(slot) }
    }

    /// Whether a process lives here now. May be asked from any thread: one relaxed load.
    #[inline(always)]
    pub(crate) fn exists(&self, local: u64) -> bool {
        self.record(local as u32).id.load(Relaxed) == local
    }

    /// Number of slots, the reserved ones included.
    pub(crate) fn slots(&self) -> u32 {
        self.mask + 1
    }

    /// One past the highest slot ever used.
    pub(crate) fn high(&self) -> u32 {
        // ORDERING: pairs with the Release in `take_fresh`, so that a sweep sees initialised identities.
        self.high.load(Acquire)
    }

    /// A slot that was never used. Called by the owner only.
    pub(crate) fn take_fresh(&self) -> Option<u32> {
        let slot = self.high.load(Relaxed);
        if slot > self.mask {
            return None;
        }
        // ORDERING: pairs with the Acquire in `high`.
        self.high.store(slot + 1, Release);
        Some(slot)
    }
}

/// The owning shard's handle: the address and the mask at hand, so that a send computes an address and nothing else.
pub(crate) struct OwnedTable {
    records: *const Record,
    mask: u32,
    table: Arc<Table>,
    /// Where the bounds of its processes are: its own table, unless that is the home shard's.
    bounds: Arc<Table>,
}

impl OwnedTable {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        let bounds = Arc::clone(&table);
        Self::with_bounds(table, bounds)
    }

    /// A table whose processes have their bounds in another one.
    pub(crate) fn with_bounds(table: Arc<Table>, bounds: Arc<Table>) -> Self {
        Self { records: table.records.address().cast(), mask: table.mask, table, bounds }
    }

    /// The bound at a slot; any number is safe (T3). Meaningful for bounded processes only.
    pub(crate) fn bound(&self, slot: u32) -> &Bound {
        self.bounds.bound(slot)
    }

    /// The record at a slot; any number is safe (T3).
    #[inline(always)]
    pub(crate) fn record(&self, slot: u32) -> &Record {
        let address = self.records.wrapping_add((slot & self.mask) as usize);
        // SAFETY: T1 (this handle holds the table) and T3; R1: any content is a valid record.
        unsafe { &*address }
    }

    /// The table.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }
}

// SAFETY: shared between the owner and readers; readers touch atomics only (`published`, `exists`), the cells of a record
// are touched by the owning shard's thread alone (record header).
unsafe impl Sync for Table {}

#[cfg(test)]
mod tests {
    use super::{FIRST_SLOT, Table};
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn any_id_is_safe_to_look_up() {
        let table = Table::reserve(10).unwrap();
        for id in [0, 1, u64::MAX, 1 << 32, 0xffff_ffff, 12_345_678_901, u64::from(u32::MAX) << 20] {
            assert!(!table.exists(id), "{id:x} must not exist");
        }
        let slot = table.take_fresh().unwrap();
        assert_eq!(slot, FIRST_SLOT);
        let id = u64::from(slot) | 3 << 32;
        table.record(slot).id.store(id, Relaxed);
        assert!(table.exists(id));
        assert!(!table.exists(u64::from(slot)));
        assert!(!table.exists(id + (u64::from(table.slots()))));
    }

    #[test]
    fn a_full_table_gives_no_slot() {
        let table = Table::reserve(10).unwrap();
        let given = std::iter::from_fn(|| table.take_fresh()).count();
        assert_eq!(given, (table.slots() - FIRST_SLOT) as usize);
    }
}
