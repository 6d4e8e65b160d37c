//! What has changed between this node and a peer: the last sessions and links, with their times.
//!
//! Owns: two short lists per peer, so that links that come and go do not push out why sessions ended. Invariant: Y1 written by
//! the control thread, a few times per session; looked at by tools. Cost: a lock that no shard meets.

use shard_wire::session::DownReason;
use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};
use std::time::SystemTime;

/// Changes of a peer that are remembered, of sessions and of data links each.
pub(crate) const MAX_CHANGES: usize = 64;

/// What has changed between this node and a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerChange {
    /// A session began.
    Up,
    /// The session ended.
    Down(DownReason),
    /// The peer did not answer heartbeats.
    Suspect,
    /// It answered again.
    Healthy,
    /// A data link stood.
    LinkUp {
        /// Which try of its slot it was, from 1.
        epoch: u32,
        /// The shard here that owns it.
        shard: u16,
    },
    /// A data link was lost.
    LinkDown {
        /// Which try of its slot it was.
        epoch: u32,
        /// The shard here that owned it.
        shard: u16,
    },
}

impl PeerChange {
    /// The stable text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down(_) => "down",
            Self::Suspect => "suspect",
            Self::Healthy => "healthy",
            Self::LinkUp { .. } => "link up",
            Self::LinkDown { .. } => "link down",
        }
    }

    fn is_of_a_link(self) -> bool {
        matches!(self, Self::LinkUp { .. } | Self::LinkDown { .. })
    }
}

/// A change, when it was, and of which session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerRecord {
    /// When, by the wall clock.
    pub at: SystemTime,
    /// Number of the session.
    pub session: u64,
    /// What.
    pub change: PeerChange,
}

/// The last changes of a peer.
#[derive(Debug, Default)]
pub(crate) struct History(RwLock<[VecDeque<PeerRecord>; 2]>);

impl History {
    /// Notes a change.
    pub(crate) fn note(&self, at: SystemTime, session: u64, change: PeerChange) {
        let mut lists = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let [sessions, links] = &mut *lists;
        let list = if change.is_of_a_link() { links } else { sessions };
        // LIMIT: changes remembered.
        if list.len() >= MAX_CHANGES {
            list.pop_front();
        }
        list.push_back(PeerRecord { at, session, change });
    }

    /// The changes, oldest first.
    pub(crate) fn records(&self) -> Vec<PeerRecord> {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = lists.iter().flatten().copied().collect();
        drop(lists);
        all.sort_by_key(|record| record.at);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{History, MAX_CHANGES, PeerChange};
    use shard_wire::session::DownReason;
    use std::time::{Duration, SystemTime};

    #[test]
    fn links_that_flap_do_not_push_out_why_sessions_ended() {
        let history = History::default();
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        history.note(at(1), 1, PeerChange::Up);
        for epoch in 1..=100 {
            history.note(at(1 + u64::from(epoch)), 1, PeerChange::LinkUp { epoch, shard: 0 });
        }
        history.note(at(200), 1, PeerChange::Down(DownReason::Heartbeat));
        let records = history.records();
        assert_eq!(records.len(), MAX_CHANGES + 2);
        let names: Vec<_> = records.iter().map(|record| record.change.name()).collect();
        assert_eq!((names[0], names[1], names[MAX_CHANGES + 1]), ("up", "link up", "down"));
        assert_eq!(records[1].change, PeerChange::LinkUp { epoch: 37, shard: 0 });
    }
}
