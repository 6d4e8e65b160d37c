//! Whom this node has nothing to do with: peers in quarantine, and peers that are not on its list.
//!
//! Invariants: B1 there is no session with a barred peer, no dial of it and no claim to its name. B2 whoever dials under its
//! name is refused after it has proven itself, with the reason. B3 an empty list admits nobody.

use crate::NodeName;
use crate::handshake::{Reason, Verdict};
use crate::session::DownReason;
use crate::session::core::SessionCore;
use std::collections::{BTreeMap, BTreeSet};

/// Most peers in quarantine at once.
pub const MAX_QUARANTINED: usize = 4096;

/// Who is barred.
#[derive(Debug, Default)]
pub(super) struct Bars {
    /// Peers in quarantine, and whether a session with them is wanted once they are not.
    quarantined: BTreeMap<NodeName, bool>,
    /// The only peers there may be.
    allowed: Option<BTreeSet<NodeName>>,
}

impl Bars {
    pub(super) fn new(allowed: Option<BTreeSet<NodeName>>) -> Self {
        Self { quarantined: BTreeMap::new(), allowed }
    }
}

impl SessionCore {
    /// Why there is nothing to do with a peer; `None` if it is not barred.
    #[must_use]
    pub fn barred(&self, peer: &NodeName) -> Option<Reason> {
        if self.bars.quarantined.contains_key(peer) {
            return Some(Reason::Quarantined);
        }
        let is_listed = self.bars.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer));
        if is_listed { None } else { Some(Reason::NotListed) }
    }

    /// Ends the session with `peer`, if there is one, refuses its dials and does not dial it, until
    /// [`SessionCore::allow`]. `false` if it is this node itself, or too many peers are in quarantine.
    pub fn quarantine(&mut self, now_ns: u64, peer: &NodeName) -> bool {
        let quarantined = &mut self.bars.quarantined;
        // LIMIT: peers in quarantine.
        let is_full = quarantined.len() >= MAX_QUARANTINED && !quarantined.contains_key(peer);
        if *peer == self.own.name || is_full {
            return false;
        }
        let was_wanted = self.peers.get_mut(peer).is_some_and(|known| std::mem::take(&mut known.wanted));
        *quarantined.entry(peer.clone()).or_default() |= was_wanted;
        self.end_session(now_ns, peer, DownReason::Quarantined);
        self.abort_dial(peer);
        self.settle_claim(peer, Verdict::Refuse(Reason::Quarantined));
        true
    }

    /// Ends the quarantine of `peer`, and dials it again if a session with it is wanted.
    pub fn allow(&mut self, now_ns: u64, peer: &NodeName) {
        if self.bars.quarantined.remove(peer) == Some(true) {
            self.connect(now_ns, peer);
        }
    }

    /// Notes whether a session is wanted with a peer in quarantine; `false` if it is in none.
    pub(super) fn note_wanted(&mut self, peer: &NodeName, wanted: bool) -> bool {
        self.bars.quarantined.get_mut(peer).is_some_and(|noted| {
            *noted = wanted;
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::handshake::{ClusterName, Intent, Introduction, Reason, Source, Verdict};
    use crate::session::{Command, DownReason, LinkId, SessionConfig, SessionCore};
    use crate::{Incarnation, NodeName};
    use std::collections::BTreeSet;

    const FRESH: Intent = Intent::Control { live: None, next: 1 };
    const SECOND: u64 = 1_000_000_000;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn intro(node: &str) -> Introduction {
        Introduction {
            name: name(node),
            incarnation: Incarnation { start_nanos: 1, random: 1 },
            cluster: ClusterName::new("c").unwrap(),
            flags: 0,
            max_frame_bytes: 1 << 20,
            heartbeat_ms: 1000,
            shards: 1,
            max_links: 64,
        }
    }

    fn verdicts(core: &mut SessionCore) -> Vec<Verdict> {
        let judged = |command| match command {
            Command::Judged { verdict, .. } => Some(verdict),
            _ => None,
        };
        core.take_commands().into_iter().filter_map(judged).collect()
    }

    fn dials(core: &mut SessionCore) -> Vec<LinkId> {
        let dialled = |command| match command {
            Command::Dial { link, .. } => Some(link),
            _ => None,
        };
        core.take_commands().into_iter().filter_map(dialled).collect()
    }

    #[test]
    fn a_peer_in_quarantine_is_cut_off_and_refused_until_it_is_allowed() {
        let mut core = SessionCore::new(SessionConfig::new(intro("b@h"), 9));
        core.on_authenticated(0, &intro("a@h"), FRESH);
        assert!(matches!(verdicts(&mut core)[..], [Verdict::Accept { session: 1, .. }]));
        assert!(core.quarantine(1, &name("a@h")));
        let commands = core.take_commands();
        let reason = DownReason::Quarantined;
        assert!(
            commands.contains(&Command::PeerDown { peer: name("a@h"), session: 1, reason }),
            "{commands:?}"
        );
        for intent in [FRESH, Intent::Control { live: None, next: 7 }] {
            core.on_authenticated(2, &intro("a@h"), intent);
            assert_eq!(verdicts(&mut core), [Verdict::Refuse(Reason::Quarantined)]);
        }
        core.on_authenticated(2, &intro("other@h"), FRESH);
        assert!(matches!(verdicts(&mut core)[..], [Verdict::Accept { .. }]), "others are not concerned");
        core.allow(3, &name("a@h"));
        core.on_authenticated(4, &intro("a@h"), Intent::Control { live: None, next: 2 });
        assert!(matches!(verdicts(&mut core)[..], [Verdict::Accept { session: 2, .. }]));
        assert!(!core.quarantine(5, &name("b@h")), "not itself");
    }

    #[test]
    fn a_wanted_peer_is_not_dialled_in_quarantine_and_is_again_afterwards() {
        let mut core = SessionCore::new(SessionConfig::new(intro("a@h"), 9));
        let peer = name("b@h");
        assert!(core.connect(0, &peer));
        let first = dials(&mut core);
        assert_eq!(first.len(), 1);
        assert!(core.quarantine(1, &peer));
        assert!(core.take_commands().contains(&Command::CloseLink { link: first[0], flush: false }));
        assert!(core.connect(2, &peer), "noted");
        core.on_tick(60 * SECOND);
        assert_eq!(dials(&mut core), []);
        core.allow(61 * SECOND, &peer);
        let again = dials(&mut core);
        assert_eq!(again.len(), 1);
        core.on_dial_failed(62 * SECOND, again[0], Reason::Quarantined, Source::Proven);
        core.quarantine(63 * SECOND, &peer);
        core.disconnect(63 * SECOND, &peer);
        core.allow(64 * SECOND, &peer);
        core.on_tick(200 * SECOND);
        assert_eq!(dials(&mut core), [], "no longer wanted");
    }

    #[test]
    fn only_who_is_listed_may_be_a_peer() {
        let config = |allowed: &[&str]| {
            let allow_peers: BTreeSet<NodeName> = allowed.iter().map(|text| name(text)).collect();
            SessionConfig { allow_peers: Some(allow_peers), ..SessionConfig::new(intro("b@h"), 9) }
        };
        let mut core = SessionCore::new(config(&["a@h"]));
        core.on_authenticated(0, &intro("c@h"), FRESH);
        assert_eq!(verdicts(&mut core), [Verdict::Refuse(Reason::NotListed)]);
        assert!(!core.connect(0, &name("c@h")));
        core.on_authenticated(0, &intro("a@h"), FRESH);
        assert!(matches!(verdicts(&mut core)[..], [Verdict::Accept { .. }]));
        let mut nobody = SessionCore::new(config(&[]));
        nobody.on_authenticated(0, &intro("a@h"), FRESH);
        assert_eq!(verdicts(&mut nobody), [Verdict::Refuse(Reason::NotListed)]);
    }
}
