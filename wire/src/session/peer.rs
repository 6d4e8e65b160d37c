//! What the core knows about one peer.
//!
//! Invariant: P1 at most one dial per link is under way. P2 `next_session` is above every session this node was in.

use std::collections::BTreeMap;

use crate::handshake::{Intent, Introduction};
use crate::placement::{Placement, Side, Slot};
use crate::session::{LinkId, Timing};
use crate::{Incarnation, NodeName};

/// A link that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    pub(super) link: LinkId,
    /// Dialled by this node.
    pub(super) by_us: bool,
}

/// A dial under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialing {
    pub(super) link: LinkId,
    pub(super) since_ns: u64,
}

/// When the next dial may begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    pub(super) attempts: u32,
    pub(super) at_ns: u64,
}

impl Retry {
    /// Doubles the pause, up to `max_ns`; half of it is drawn from `random`.
    pub(super) fn fail(&mut self, now_ns: u64, timing: &Timing, max_ns: u64, random: u64) {
        let pause = timing.backoff_ns.saturating_mul(1 << self.attempts.min(16)).min(max_ns);
        self.attempts = self.attempts.saturating_add(1);
        self.at_ns = now_ns.saturating_add(pause / 2).saturating_add(random % (pause / 2 + 1));
    }

    /// After a link that stood was lost: at once, but not in step with the peer.
    pub(super) fn soon(&mut self, now_ns: u64, timing: &Timing, random: u64) {
        self.attempts = 0;
        self.at_ns = now_ns.saturating_add(random % (timing.backoff_ns / 2 + 1));
    }
}

/// One data link's place in a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotState {
    pub(super) epoch: u32,
    pub(super) live: Option<Attached>,
    /// The live link was handed to its shard.
    pub(super) announced: bool,
    pub(super) dial: Option<Dialing>,
    /// A local shard or the peer asked this node to dial it.
    pub(super) wanted: bool,
    pub(super) retry: Retry,
}

/// A running session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) peer: Introduction,
    pub(super) placement: Placement,
    pub(super) control: Option<Attached>,
    pub(super) heard_ns: u64,
    pub(super) acked_ns: u64,
    pub(super) rtt_ns: Option<u64>,
    pub(super) beat_at_ns: u64,
    pub(super) beat_seq: u64,
    pub(super) suspect: bool,
    pub(super) stalls_shown: bool,
    pub(super) slots: BTreeMap<Slot, SlotState>,
}

/// Another incarnation claims the name of a live peer.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) link: LinkId,
    pub(super) intro: Introduction,
    pub(super) intent: Intent,
    pub(super) until_ns: u64,
}

#[derive(Debug)]
pub(super) struct Peer {
    /// Asked for by the caller: dialled whenever there is no session.
    pub(super) wanted: bool,
    /// The incarnation the registrar has on record.
    pub(super) recorded: Option<Incarnation>,
    pub(super) next_session: u64,
    pub(super) session: Option<Session>,
    pub(super) dial: Option<Dialing>,
    pub(super) retry: Retry,
    pub(super) claim: Option<Claim>,
    /// Last session each local shard has yet to see down.
    pub(super) downs: BTreeMap<u16, u64>,
}

impl Peer {
    pub(super) const fn new(next_session: u64) -> Self {
        Self {
            wanted: false,
            recorded: None,
            next_session,
            session: None,
            dial: None,
            retry: Retry { attempts: 0, at_ns: 0 },
            claim: None,
            downs: BTreeMap::new(),
        }
    }

    pub(super) fn control(&self) -> Option<Attached> {
        self.session.as_ref().and_then(|session| session.control)
    }

    /// Whether a control link must be dialled, once the pause is over.
    pub(super) fn lacks_link(&self) -> bool {
        self.dial.is_none() && self.control().is_none() && (self.wanted || self.session.is_some())
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.wanted
            && self.session.is_none()
            && self.dial.is_none()
            && self.claim.is_none()
            && self.downs.is_empty()
    }
}

/// What a link is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Control,
    Data(Slot),
    /// Authenticated, waiting for the verdict on a claimed name.
    Claim,
}

/// Whose link it is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) peer: NodeName,
    pub(super) role: Role,
}

/// Whether the own dial of a link wins over one that the peer has just proven.
pub(super) const fn own_dial_wins(dial: Option<Dialing>, side: Side, now_ns: u64, timing: &Timing) -> bool {
    match (dial, side) {
        (Some(dial), Side::Low) => now_ns.saturating_sub(dial.since_ns) < timing.dial_wins_ns,
        _ => false,
    }
}
