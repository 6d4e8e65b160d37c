//! What a shard keeps of relations with processes of other nodes, by session.
//!
//! Owns: for each session, which processes of this shard watch something there, and which of its processes watch
//! something here; frames about relations that wait for room. The halves themselves are in the
//! [`Relations`](crate::process::Relations) of the two processes, as they are on one node.
//! Invariants: F1 a session has a number of its own on this shard, so what is known of one session is never taken for
//! another's. F2 nothing is added to a session that has ended here: it is taken out by its end, as a whole, once. F3 the
//! tables are bounded by [`MAX_FAR`]. Cost: a scan of the sessions and a hash look-up per step; the end of a session visits its own relations only.

use crate::link::Session;
use crate::link::signal::Signal;
use crate::process::{Tie, Watch};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Most relations with other nodes that a shard keeps, each way, and most frames about them that wait for room.
pub(crate) const MAX_FAR: usize = 1 << 20;

/// The relations of one session.
#[derive(Debug)]
pub(super) struct FarPeer {
    pub(super) session: Arc<Session>,
    /// Consumers of this shard, and what they watch there.
    pub(super) own: IndexSet<(u64, Tie), FxBuildHasher>,
    /// Consumers there, and the process of this shard that each watches.
    pub(super) watchers: IndexMap<Watch, u64, FxBuildHasher>,
    /// Frames that wait for room in their link, or for this shard to hear of the session.
    overdue: VecDeque<Signal>,
}

/// The relations of all sessions.
#[derive(Debug, Default)]
pub(crate) struct FarTies {
    peers: IndexMap<u32, FarPeer, FxBuildHasher>,
    last: u32,
    own: usize,
    watchers: usize,
    overdue: usize,
    /// Whether a timer looks at the frames that wait.
    pub(super) is_timed: bool,
}

impl FarTies {
    /// The number of a session that is known here.
    pub(super) fn known(&self, session: &Session) -> Option<u32> {
        let is_it = |peer: &FarPeer| peer.session.key == session.key && peer.session.number == session.number;
        self.peers.iter().find(|(_, peer)| is_it(peer)).map(|(id, _)| *id)
    }

    /// The number of a session on this shard; `None` if it has ended (F2).
    pub(super) fn peer_of(&mut self, session: &Arc<Session>) -> Option<u32> {
        if session.is_over.load(Relaxed) {
            return None;
        }
        if let Some(id) = self.known(session) {
            return Some(id);
        }
        self.last += 1;
        let peer = FarPeer {
            session: Arc::clone(session),
            own: IndexSet::default(),
            watchers: IndexMap::default(),
            overdue: VecDeque::new(),
        };
        self.peers.insert(self.last, peer);
        Some(self.last)
    }

    /// The session with this number.
    pub(super) fn session(&self, id: u32) -> Option<&Arc<Session>> {
        self.peers.get(&id).map(|peer| &peer.session)
    }

    /// Whether a process of this shard may watch one more.
    pub(super) fn has_room(&self) -> bool {
        // LIMIT: F3.
        self.own < MAX_FAR
    }

    /// Notes what a process of this shard watches.
    pub(super) fn note_own(&mut self, id: u32, consumer: u64, tie: Tie) {
        if let Some(peer) = self.peers.get_mut(&id)
            && peer.own.insert((consumer, tie))
        {
            self.own += 1;
        }
    }

    /// A relation of a process of this shard is over.
    pub(super) fn forget_own(&mut self, id: u32, consumer: u64, tie: Tie) -> Option<Arc<Session>> {
        let peer = self.peers.get_mut(&id)?;
        if peer.own.swap_remove(&(consumer, tie)) {
            self.own -= 1;
        }
        Some(Arc::clone(&peer.session))
    }

    /// Notes who watches a process of this shard. `false`: there are too many.
    pub(super) fn note_watcher(&mut self, watch: Watch, holder: u64) -> bool {
        let Some(peer) = self.peers.get_mut(&watch.peer) else { return false };
        // LIMIT: F3.
        if self.watchers >= MAX_FAR && !peer.watchers.contains_key(&watch) {
            return false;
        }
        if peer.watchers.insert(watch, holder).is_none() {
            self.watchers += 1;
        }
        true
    }

    /// Somebody there watches no more, or is told of the end.
    pub(super) fn take_watcher(&mut self, watch: &Watch) -> Option<Arc<Session>> {
        let peer = self.peers.get_mut(&watch.peer)?;
        peer.watchers.swap_remove(watch)?;
        self.watchers -= 1;
        Some(Arc::clone(&peer.session))
    }

    /// Takes everything of a session out: it has ended.
    pub(super) fn take(&mut self, session: &Session) -> Option<FarPeer> {
        let id = self.known(session)?;
        let peer = self.peers.swap_remove(&id)?;
        self.own -= peer.own.len();
        self.watchers -= peer.watchers.len();
        self.overdue -= peer.overdue.len();
        Some(peer)
    }

    /// How many there are of a session: what is watched there, and who watches from there.
    pub(super) fn counts(&self, session: &Session) -> (u64, u64) {
        let peer = self.known(session).and_then(|id| self.peers.get(&id));
        peer.map_or((0, 0), |peer| (peer.own.len() as u64, peer.watchers.len() as u64))
    }

    /// Whether frames of a session wait: what comes later must wait behind them.
    pub(super) fn is_overdue(&self, session: &Session) -> bool {
        let peer = self.known(session).and_then(|id| self.peers.get(&id));
        peer.is_some_and(|peer| !peer.overdue.is_empty())
    }

    /// Lets a frame wait. `false`: its session has ended, or too many wait.
    pub(super) fn wait(&mut self, session: &Arc<Session>, signal: Signal, goes_first: bool) -> bool {
        // LIMIT: F3.
        if self.overdue >= MAX_FAR {
            return false;
        }
        let Some(peer) = self.peer_of(session).and_then(|id| self.peers.get_mut(&id)) else { return false };
        if goes_first {
            peer.overdue.push_front(signal);
        } else {
            peer.overdue.push_back(signal);
        }
        self.overdue += 1;
        true
    }

    /// The sessions that have frames that wait.
    pub(super) fn overdue_sessions(&self) -> Vec<Arc<Session>> {
        let waits = |peer: &&FarPeer| !peer.overdue.is_empty();
        self.peers.values().filter(waits).map(|peer| Arc::clone(&peer.session)).collect()
    }

    /// The oldest frame of a session that waits.
    pub(super) fn next_overdue(&mut self, session: &Session) -> Option<Signal> {
        let id = self.known(session)?;
        let signal = self.peers.get_mut(&id)?.overdue.pop_front()?;
        self.overdue -= 1;
        Some(signal)
    }
}

#[cfg(test)]
pub(super) use tests::session as session_for_tests;

#[cfg(test)]
mod tests {
    use super::FarTies;
    use crate::link::Session;
    use crate::process::{Bond, Subject, Tie, Watch};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    pub(crate) fn session(number: u64) -> Arc<Session> {
        Arc::new(Session::sample("two@localhost", number, 7))
    }

    #[test]
    fn sessions_of_one_incarnation_are_kept_apart_and_end_as_a_whole() {
        let (first, second) = (session(1), session(2));
        let mut ties = FarTies::default();
        let (one, two) = (ties.peer_of(&first).unwrap(), ties.peer_of(&second).unwrap());
        assert_ne!(one, two);
        assert_eq!(ties.peer_of(&first), Some(one));
        let tie = Tie { subject: Subject::FarPid { key: 7, local: 3 }, bond: Bond::Link };
        let watch = |peer| Watch { peer, consumer: 5, tie: Tie { subject: Subject::Pid(9), ..tie } };
        for id in [one, two] {
            ties.note_own(id, 1, tie);
            ties.note_own(id, 1, tie);
            assert!(ties.note_watcher(watch(id), 9));
            assert!(ties.note_watcher(watch(id), 9));
        }
        assert_eq!((ties.counts(&first), ties.own, ties.watchers), ((1, 1), 2, 2));
        let taken = ties.take(&first).unwrap();
        assert_eq!((taken.own.len(), taken.watchers.len(), ties.own, ties.watchers), (1, 1, 1, 1));
        assert!(ties.take(&first).is_none() && ties.take_watcher(&watch(one)).is_none());
        assert!(ties.take_watcher(&watch(two)).is_some() && ties.forget_own(two, 1, tie).is_some());
        assert_eq!((ties.counts(&second), ties.own, ties.watchers), ((0, 0), 0, 0));
        first.is_over.store(true, Relaxed);
        assert_eq!(ties.peer_of(&first), None);
    }
}
