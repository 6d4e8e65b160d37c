//! Registered names of one node: one map for all shards.
//!
//! Owns: name to local id. Invariants: N1 a name has one holder; the claim is atomic. N2 only its holder gives a name
//! up. N3 the epoch moves after every change and before the change's call returns, so what was looked up at an epoch
//! is right while the epoch stands.
//! Threads: all; nothing here takes a lock. Cost: a lookup is one hash and a lock-free search, a cached one a single
//! load; a registration allocates. Names are as many as processes at most, which have their own limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shard_wire::LocalId;
use thiserror::Error;

/// Longest registered name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a name was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Another process has it; a retry makes sense once that one is gone.
    #[error("the name is taken by process {:x}: choose another name, or stop that process first", .holder.0)]
    NameTaken {
        /// Who has it.
        holder: LocalId,
    },
    /// It has no bytes.
    #[error("a registered name must not be empty: give it at least one byte")]
    Empty,
    /// It has too many bytes.
    #[error("the name has {bytes} bytes, at most {limit} are allowed: shorten it")]
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The registered names of one node.
#[derive(Debug, Default)]
pub struct Names {
    map: papaya::HashMap<Arc<str>, LocalId>,
    epoch: AtomicU64,
}

impl Names {
    /// No names yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Claims a name; claiming a name one has already is fine and changes nothing.
    ///
    /// # Errors
    /// [`NameError`] when another process has it, or it is empty or too long.
    pub fn register(&self, name: &str, holder: LocalId) -> Result<(), NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        // LIMIT: length of a name.
        if name.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong { bytes: name.len(), limit: MAX_NAME_BYTES });
        }
        match self.map.pin().try_insert(Arc::from(name), holder) {
            Ok(_) => {
                self.bump();
                Ok(())
            }
            Err(taken) if *taken.current == holder => Ok(()),
            Err(taken) => Err(NameError::NameTaken { holder: *taken.current }),
        }
    }

    /// Gives a name up; `false` if `holder` does not have it.
    pub fn unregister(&self, name: &str, holder: LocalId) -> bool {
        let removed = matches!(self.map.pin().remove_if(name, |_, current| *current == holder), Ok(Some(_)));
        if removed {
            self.bump();
        }
        removed
    }

    /// Who has the name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<LocalId> {
        self.map.pin().get(name).copied()
    }

    /// The epoch now. A cache takes it **before** the lookup and trusts the result while it stands.
    #[must_use]
    #[inline]
    pub fn epoch(&self) -> u64 {
        // ORDERING: pairs with the Release in `bump`: who sees an epoch sees the change that moved it.
        self.epoch.load(Ordering::Acquire)
    }

    /// Calls `each` with every name and its holder; names that come or go meanwhile may be missed.
    pub fn for_each(&self, mut each: impl FnMut(&str, LocalId)) {
        for (name, &holder) in &self.map.pin() {
            each(name, holder);
        }
    }

    /// Names registered; approximate while others register.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.pin().len()
    }

    /// Whether no name is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn bump(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::sync::Barrier;

    use shard_wire::LocalId;

    use super::{MAX_NAME_BYTES, NameError, Names};

    #[test]
    fn a_name_has_one_holder_and_only_that_one_gives_it_up() {
        let names = Names::new();
        let (first, second) = (LocalId(7), LocalId(9));
        assert_eq!(names.register("a", first), Ok(()));
        assert_eq!(names.register("a", second), Err(NameError::NameTaken { holder: first }));
        assert!(!names.unregister("a", second) && !names.unregister("b", first));
        assert_eq!((names.lookup("a"), names.len()), (Some(first), 1));
        assert!(names.unregister("a", first));
        assert_eq!((names.lookup("a"), names.len(), names.is_empty()), (None, 0, true));
        assert_eq!(names.register("a", second), Ok(()));
    }

    #[test]
    fn the_epoch_moves_with_changes_only() {
        let names = Names::new();
        let mut last = names.epoch();
        let mut moved = |names: &Names| std::mem::replace(&mut last, names.epoch()) != names.epoch();
        names.register("a", LocalId(7)).unwrap();
        assert!(moved(&names));
        names.register("a", LocalId(7)).unwrap();
        assert!(names.register("a", LocalId(8)).is_err() && !names.unregister("a", LocalId(8)));
        assert_eq!(names.lookup("a"), Some(LocalId(7)));
        assert!(!moved(&names));
        assert!(names.unregister("a", LocalId(7)) && moved(&names));
    }

    #[test]
    fn bad_names_are_typed_refusals() {
        let names = Names::new();
        assert_eq!(names.register("", LocalId(7)), Err(NameError::Empty));
        let name = "n".repeat(MAX_NAME_BYTES + 1);
        assert_eq!(names.register(&name, LocalId(7)), Err(NameError::TooLong { bytes: 256, limit: 255 }));
        assert_eq!(names.register(&name[1..], LocalId(7)), Ok(()));
        let text = NameError::NameTaken { holder: LocalId(0x10) }.to_string();
        assert_eq!(text, "the name is taken by process 10: choose another name, or stop that process first");
    }

    #[test]
    fn of_many_that_claim_at_once_one_wins() {
        let names = Names::new();
        let start = Barrier::new(3);
        for round in 0..200 {
            let name = format!("leader {round}");
            let won: Vec<bool> = std::thread::scope(|scope| {
                let claims: Vec<_> = (1..=3)
                    .map(|id| {
                        let (names, name, start) = (&names, &name, &start);
                        scope.spawn(move || {
                            start.wait();
                            names.register(name, LocalId(id)).is_ok()
                        })
                    })
                    .collect();
                claims.into_iter().map(|claim| claim.join().unwrap()).collect()
            });
            assert_eq!(won.iter().filter(|&&won| won).count(), 1);
            assert_eq!(names.lookup(&name).map(|id| won[id.0 as usize - 1]), Some(true));
        }
        let mut seen = 0;
        names.for_each(|name, _| seen += usize::from(name.starts_with("leader ")));
        assert_eq!((seen, names.len()), (200, 200));
    }
}
