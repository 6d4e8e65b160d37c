//! The word of a slot that says which process somebody asked to kill.
//!
//! Invariant: S1 ids of one slot ascend, so a mark for a process that has gone never replaces that of its successor.
//! Threads: anybody marks a process that lives, and looks; only the owning shard clears, before it publishes a new process.

use crate::sync::{AtomicU64, Ordering};

/// Which process of a slot was asked to end by a kill; all-zero bytes mean none.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct KillMark(AtomicU64);

impl KillMark {
    /// Marks a process. Relaxed is enough: nothing is read on the strength of the mark, the kill itself goes another way.
    pub(crate) fn set(&self, local: u64) {
        self.0.fetch_max(local, Ordering::Relaxed);
    }

    /// Whether this process is marked.
    pub(crate) fn is_set(&self, local: u64) -> bool {
        self.0.load(Ordering::Relaxed) == local
    }

    /// Forgets the mark of a former process.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::KillMark;
    use crate::sync::AtomicU64;

    #[cfg(not(feature = "loom"))]
    #[test]
    fn a_mark_is_for_one_process() {
        let mark = KillMark(AtomicU64::new(0));
        assert!(!mark.is_set(1));
        mark.set(1 << 32 | 5);
        assert!(mark.is_set(1 << 32 | 5) && !mark.is_set(2 << 32 | 5));
        mark.clear();
        assert!(!mark.is_set(1 << 32 | 5));
    }

    /// A kill of the process before, in flight for long, against one of the process that has the slot now.
    #[cfg(feature = "loom")]
    #[test]
    fn loom_signal_of_the_dead_hides_none_of_the_living() {
        crate::sync::model(|| {
            let mark = loom::sync::Arc::new(KillMark(AtomicU64::new(0)));
            let killers: Vec<_> = [1_u64 << 32, 2 << 32]
                .into_iter()
                .map(|local| {
                    let mark = mark.clone();
                    loom::thread::spawn(move || {
                        mark.set(local);
                        // The owner publishes nobody new meanwhile.
                        assert!(local == 1 << 32 || mark.is_set(local));
                    })
                })
                .collect();
            for killer in killers {
                killer.join().unwrap();
            }
            assert!(mark.is_set(2 << 32) && !mark.is_set(1 << 32));
        });
    }
}
