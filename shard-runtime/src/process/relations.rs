//! Who watches whom: the links and monitors of one process, in both directions.
//!
//! Owns: what this process watches, and who watches it. The two halves of a relation live on two shards and are kept
//! in step by messages. Invariants: L1 a relation is in the consumer's half from its making to its end; what arrives for one
//! that is not there is ignored, so it fires once or, if it was undone, never. L2 a relation has a number of its own, so a late
//! firing of an undone one does not fire its successor. Cost: a few hundred bytes for a process that has any; constant
//! time to make, undo and fire one.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// What the relation is to, as shards know it: local ids and symbols.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Subject {
    /// A process of this node.
    Pid(u64),
    /// A registered name.
    Name(u32),
    /// An alias.
    Alias(u64),
    /// An event.
    Event(u32),
    /// Another node.
    Node(u32),
    /// A process of another node.
    FarPid {
        /// Key of its node's incarnation.
        key: u64,
        /// Its local id there.
        local: u64,
    },
    /// An alias of another node.
    FarAlias {
        /// Key of its node's incarnation.
        key: u64,
        /// Its number there.
        id: u64,
    },
    /// A registered name on another node.
    FarName {
        /// The node.
        node: u32,
        /// The name.
        name: u32,
    },
    /// An event of another node, watched by a process that gets nothing of it.
    FarEvent {
        /// The node.
        node: u32,
        /// The event's name.
        name: u32,
    },
    /// An event of another node, by a subscription.
    FarFeed {
        /// The node.
        node: u32,
        /// The event's name.
        name: u32,
    },
}

impl Subject {
    /// Whether it lives on another node, and a process has a relation of its own to it.
    pub(crate) fn is_far(self) -> bool {
        matches!(
            self,
            Self::FarPid { .. } | Self::FarAlias { .. } | Self::FarName { .. } | Self::FarEvent { .. }
        )
    }
}

/// What happens to the consumer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Bond {
    /// It gets an exit signal.
    Link,
    /// It gets a down message.
    Monitor,
}

/// One relation as its consumer knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tie {
    pub(crate) subject: Subject,
    pub(crate) bond: Bond,
}

/// One relation as its target knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Watch {
    /// The session that it came by, as the holder's shard numbers them; 0: from this node.
    pub(crate) peer: u32,
    /// The consumer's local id on its node.
    pub(crate) consumer: u64,
    pub(crate) tie: Tie,
}

impl Watch {
    /// A relation of a process of this node.
    pub(crate) fn near(consumer: u64, tie: Tie) -> Self {
        Self { peer: 0, consumer, tie }
    }
}

type Map<K, V> = IndexMap<K, V, FxBuildHasher>;

/// The relations of one process.
#[derive(Default)]
pub(crate) struct Relations {
    /// What this process watches: the relation's number, and the local id of the process that holds the other half (0 for
    /// nodes); of what lives on another node, the number of its session on this shard, and of a subscription
    /// there, the number of its branch.
    own: Map<Tie, (u32, u64)>,
    /// Who watches this process, by one of its addresses: the relation's number, and whether it is a subscription.
    watchers: Map<Watch, (u32, bool)>,
    next: u32,
}

impl Relations {
    /// Notes a relation of this process. `None`: there is one already.
    pub(crate) fn begin(&mut self, tie: Tie, holder: u64) -> Option<u32> {
        if self.own.contains_key(&tie) {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        self.own.insert(tie, (self.next, holder));
        Some(self.next)
    }

    /// Notes a relation that was made on the holder's side first: by a spawn.
    pub(crate) fn adopt(&mut self, tie: Tie, holder: u64, number: u32) {
        self.own.insert(tie, (number, holder));
    }

    /// Undoes a relation of this process; returns the local id of who holds the other half.
    pub(crate) fn undo(&mut self, tie: Tie) -> Option<u64> {
        self.own.swap_remove(&tie).map(|(_, holder)| holder)
    }

    /// Undoes a relation of this process, if its other half is held by `holder`. Whether it was.
    pub(crate) fn undo_with(&mut self, tie: Tie, holder: u64) -> bool {
        let is_held = self.own.get(&tie).is_some_and(|&(_, current)| current == holder);
        is_held && self.undo(tie).is_some()
    }

    /// Whether there is this relation of this process, with this number.
    pub(crate) fn has(&self, tie: Tie, number: u32) -> bool {
        self.own.get(&tie).is_some_and(|&(current, _)| current == number)
    }

    /// Takes a firing: who holds the other half, if the relation was there with this number.
    pub(crate) fn fire(&mut self, tie: Tie, number: u32) -> Option<u64> {
        if !self.has(tie, number) {
            return None;
        }
        self.undo(tie)
    }

    /// Notes that somebody watches this process.
    pub(crate) fn watched_by(&mut self, watch: Watch, number: u32, subscribes: bool) {
        self.watchers.insert(watch, (number, subscribes));
    }

    /// Forgets that somebody watches this process. Whether it was a subscription; `None` if it was not there.
    pub(crate) fn unwatched_by(&mut self, watch: Watch) -> Option<bool> {
        self.watchers.swap_remove(&watch).map(|(_, subscribes)| subscribes)
    }

    /// Takes the watchers of one subject out.
    pub(crate) fn take_watchers_of(&mut self, subject: Subject) -> Vec<(Watch, u32)> {
        let mut taken = Vec::new();
        self.watchers.retain(|watch, (number, _)| {
            let stays = watch.tie.subject != subject;
            if !stays {
                taken.push((*watch, *number));
            }
            stays
        });
        taken
    }

    /// Takes all watchers out, oldest first.
    pub(crate) fn take_watchers(&mut self) -> impl Iterator<Item = (Watch, u32)> + use<> {
        std::mem::take(&mut self.watchers).into_iter().map(|(watch, (number, _))| (watch, number))
    }

    /// Takes all own relations out: what is watched, and who holds the other half.
    pub(crate) fn take_own(&mut self) -> impl Iterator<Item = (Tie, u64)> + use<> {
        std::mem::take(&mut self.own).into_iter().map(|(tie, (_, holder))| (tie, holder))
    }

    /// What this process watches.
    pub(crate) fn own(&self) -> impl Iterator<Item = Tie> + '_ {
        self.own.keys().copied()
    }

    /// Who watches this process.
    pub(crate) fn watchers(&self) -> impl Iterator<Item = Watch> + '_ {
        self.watchers.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bond, Relations, Subject, Tie, Watch};

    const TIE: Tie = Tie { subject: Subject::Pid(9), bond: Bond::Monitor };

    #[test]
    fn a_relation_fires_once_and_never_for_its_successor() {
        let mut relations = Relations::default();
        let first = relations.begin(TIE, 9).unwrap();
        assert_eq!(relations.begin(TIE, 9), None);
        assert!(relations.begin(Tie { bond: Bond::Link, ..TIE }, 9).is_some());
        assert_eq!(relations.undo(TIE), Some(9));
        let second = relations.begin(TIE, 9).unwrap();
        assert_eq!(relations.fire(TIE, first), None, "the first was undone");
        assert_eq!(relations.fire(TIE, second), Some(9));
        assert!(relations.fire(TIE, second).is_none() && relations.undo(TIE).is_none());
        assert_eq!(relations.own().count(), 1);
    }

    #[test]
    fn watchers_go_by_subject_or_all_at_once() {
        let mut relations = Relations::default();
        for consumer in 0..4 {
            for subject in [Subject::Pid(9), Subject::Name(3)] {
                let tie = Tie { subject, bond: Bond::Link };
                relations.watched_by(Watch::near(consumer, tie), 1, consumer == 2);
            }
        }
        let named = relations.take_watchers_of(Subject::Name(3));
        assert_eq!(named.iter().map(|(watch, _)| watch.consumer).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let subscriber = Watch::near(2, Tie { subject: Subject::Pid(9), bond: Bond::Link });
        assert_eq!(relations.unwatched_by(subscriber), Some(true));
        assert_eq!(relations.unwatched_by(subscriber), None);
        let rest: Vec<_> = relations.take_watchers().map(|(watch, _)| watch.consumer).collect();
        assert_eq!(rest.len(), 3);
        assert!(!rest.contains(&2));
        assert_eq!(relations.watchers().count(), 0);
    }
}
