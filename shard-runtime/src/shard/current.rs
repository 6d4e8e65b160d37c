//! Which shard runs on this thread now, and how a shard is found from anywhere.
//!
//! Owns: the scoped pointer to the running shard, the process-wide table of nodes, and foreign wakers.
//! Invariants: U1 the pointer is set exactly while a shard's turn is on this thread's stack. U2 the index of a node in the
//! table is its own while it lives. U3 a waker packs `node:8 | shard:12 | generation:12 | slot:32` into its data word; a
//! stale one causes a spurious poll at most.
//! Process-wide state: the table of nodes (at most 256). Its lock is taken at start and end of a node and by wakers
//! and replies that come from outside their shard, never by a running shard for its own work.
#![expect(unsafe_code, reason = "scoped pointer and raw wakers; proven by a_foreign_waker_wakes")]

use crate::shard::{Inbound, Shard};
use crate::shared::NodeShared;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::null;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::task::{RawWaker, RawWakerVTable, Waker};

/// Most nodes in one OS process.
pub(crate) const MAX_NODES: usize = 256;

thread_local! {
    static CURRENT: Cell<*const Shard> = const { Cell::new(null()) };
}

static NODES: NodeTable = NodeTable(RwLock::new([const { None }; MAX_NODES]));

/// The nodes of this OS process.
#[derive(Debug)]
pub(crate) struct NodeTable(RwLock<[Option<Weak<NodeShared>>; MAX_NODES]>);

impl NodeTable {
    /// Makes a node with an index of its own.
    pub(crate) fn enter<E>(
        make: impl FnOnce(u8) -> Result<Arc<NodeShared>, E>,
        full: impl FnOnce() -> E,
    ) -> Result<Arc<NodeShared>, E> {
        let mut nodes = NODES.0.write().unwrap_or_else(PoisonError::into_inner);
        let free = nodes
            .iter_mut()
            .enumerate()
            .find(|(_, place)| place.as_ref().is_none_or(|node| node.strong_count() == 0));
        let Some((index, place)) = free else { return Err(full()) };
        let node = make(index as u8)?;
        *place = Some(Arc::downgrade(&node));
        Ok(node)
    }

    fn find(index: u8) -> Option<Arc<NodeShared>> {
        let nodes = NODES.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes[index as usize].as_ref().and_then(Weak::upgrade)
    }
}

/// Runs `f` with the shard whose turn is on this thread's stack, if any.
#[inline(always)]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Shard>) -> R) -> R {
    let shard = CURRENT.get();
    if shard.is_null() {
        f(None)
    } else {
        // SAFETY: U1: it is borrowed by the turn below us on this stack.
        f(Some(unsafe { &*shard }))
    }
}

/// Makes a shard the current one until dropped.
pub(crate) struct Scope(*const Shard);

impl Scope {
    #[inline(always)]
    pub(crate) fn enter(shard: &Shard) -> Self {
        Self(CURRENT.replace(shard))
    }
}

impl Drop for Scope {
    #[inline(always)]
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// A shard's address inside this OS process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Home {
    pub(crate) node: u8,
    pub(crate) shard: u16,
    /// Which of the nodes that had this index: no two nodes of a process have the same serial.
    pub(crate) serial: u32,
}

impl Home {
    /// Runs something on the shard, soon. If its node is gone, so is whoever would care.
    pub(crate) fn post(self, task: impl FnOnce(&Shard) + Send + 'static) {
        if let Some(node) = NodeTable::find(self.node).filter(|node| node.serial() == self.serial) {
            let refused = node
                .port(self.shard)
                .is_some_and(|port| port.post_reserved(Inbound::Task(Box::new(task))).is_err());
            if refused {
                node.count_inbox_refused();
            }
        }
    }
}

const GENERATION_BITS: u64 = (1 << 12) - 1;

/// The waker of a process's suspended handler. Cheap: no allocation, no count, and nothing to be done when it is dropped.
#[inline(always)]
pub(crate) fn waker(home: Home, local: u64) -> ManuallyDrop<Waker> {
    let generation = local >> 32 & GENERATION_BITS;
    let word = u64::from(home.node) << 56
        | u64::from(home.shard & 0xfff) << 44
        | generation << 32
        | local & u64::from(u32::MAX);
    let raw = RawWaker::new(std::ptr::without_provenance(word as usize), &WAKER);
    // SAFETY: the functions of `WAKER` never dereference the data word, hold no resource and may run on any thread.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// Whether a task's waker is one of ours: then a completed call needs no waker to resume its process.
#[inline(always)]
pub(crate) fn is_own_waker(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &raw const WAKER)
}

static WAKER: RawWakerVTable = RawWakerVTable::new(|word| RawWaker::new(word, &WAKER), wake, wake, |_| ());

fn wake(word: *const ()) {
    let word = word.addr() as u64;
    let (node, shard) = ((word >> 56) as u8, (word >> 44) as u16 & 0xfff);
    let (generation, slot) = (word >> 32 & GENERATION_BITS, word as u32);
    with_current(|current| match current {
        Some(current) if current.home().node == node && current.home().shard == shard => {
            current.wake_slot(slot, generation);
        }
        _ => {
            if let Some(node) = NodeTable::find(node)
                && let Some(port) = node.port(shard)
                && port.post_reserved(Inbound::Wake { slot, generation }).is_err()
            {
                node.count_inbox_refused();
            }
        }
    });
}

/// The generation bits that a waker carries.
pub(crate) fn waker_generation(local: u64) -> u64 {
    local >> 32 & GENERATION_BITS
}

#[cfg(test)]
mod tests {
    use super::{Home, is_own_waker, waker};
    use std::task::Waker;

    #[test]
    fn own_wakers_are_told_from_others() {
        let own = waker(Home { node: 255, shard: 7, serial: 1 }, 0x0070_0001_0000_03e9);
        assert!(is_own_waker(&own));
        assert!(is_own_waker(&own.clone()));
        assert!(!is_own_waker(Waker::noop()));
        own.wake_by_ref();
    }
}
