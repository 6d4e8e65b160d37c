//! The state machine of a node's sessions: its inputs, and how sessions begin and end.
//!
//! Owns: [`SessionCore`]. Accepting is in `judge`, dialling in `dial`, timers in `liveness`, data links in `slot`.
//! Rule for callers: after each input take the commands and do them in order; then arm a timer for
//! [`SessionCore::next_deadline`] ([`SessionCore::on_heard`] only ever moves it later, so it may be skipped there).

use std::collections::BTreeMap;

use crate::handshake::{Established, Intent, Introduction, Reason, Source, Verdict};
use crate::placement::Slot;
use crate::session::bar::Bars;
use crate::session::peer::{Attached, Owner, Peer, Role, Session};
use crate::session::{
    Command, ControlMsg, DownReason, LinkId, SessionConfig, SessionCounters, Stall, Timing,
};
use crate::{Incarnation, NodeName, ShardId};

/// The sessions of one node.
#[derive(Debug)]
pub struct SessionCore {
    pub(super) own: Introduction,
    pub(super) timing: Timing,
    pub(super) max_peers: usize,
    pub(super) jitter: u64,
    pub(super) peers: BTreeMap<NodeName, Peer>,
    pub(super) links: BTreeMap<LinkId, Owner>,
    pub(super) next_link: u64,
    /// No session of a peer that was forgotten had this number or a higher one.
    pub(super) floor: u64,
    pub(super) armed_ns: Option<u64>,
    pub(super) judge_after_ns: u64,
    pub(super) stopping: bool,
    pub(super) bars: Bars,
    pub(super) stalls: Vec<Stall>,
    pub(super) commands: Vec<Command>,
    pub(super) counters: SessionCounters,
}

/// One peer as the core sees it, for diagnostics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerState {
    /// Its name.
    pub name: NodeName,
    /// The running session and who the peer is; `None` while it is down.
    pub session: Option<(u64, Incarnation)>,
    /// The control link stands.
    pub linked: bool,
    /// It is suspect.
    pub suspect: bool,
    /// Last round trip of a heartbeat, in nanoseconds.
    pub rtt_ns: Option<u64>,
    /// When a byte was last heard, in nanoseconds of the caller's clock.
    pub heard_ns: Option<u64>,
    /// Data links that stand.
    pub data_links: usize,
}

impl SessionCore {
    /// A core without peers.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self {
            own: config.own,
            timing: config.timing,
            max_peers: config.max_peers,
            jitter: config.seed,
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            next_link: 1,
            floor: 1,
            armed_ns: None,
            judge_after_ns: 0,
            stopping: false,
            bars: Bars::new(config.allow_peers),
            stalls: Vec::new(),
            commands: Vec::new(),
            counters: SessionCounters::default(),
        }
    }

    /// Takes what there is to do, in order.
    #[must_use]
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Keeps a session with `peer` from now on, dialling it when there is none. One in quarantine is dialled when that is
    /// over. `false` if there are too many peers, or it is not on the list.
    pub fn connect(&mut self, now_ns: u64, peer: &NodeName) -> bool {
        if self.note_wanted(peer, true) {
            return true;
        }
        if self.barred(peer).is_some() {
            return false;
        }
        if self.stopping || *peer == self.own.name || !self.ensure_peer(peer) {
            return false;
        }
        if let Some(known) = self.peers.get_mut(peer) {
            known.wanted = true;
        }
        self.dial_if_due(now_ns, peer);
        true
    }

    /// Ends the session with `peer`, if there is one, and no longer dials it. The peer may still dial this node.
    pub fn disconnect(&mut self, now_ns: u64, peer: &NodeName) {
        self.note_wanted(peer, false);
        if let Some(known) = self.peers.get_mut(peer) {
            known.wanted = false;
        }
        self.end_session(now_ns, peer, DownReason::Closed);
        self.abort_dial(peer);
    }

    /// The node stops: says goodbye to every peer, ends all sessions and refuses new ones.
    pub fn goodbye(&mut self, now_ns: u64, reason: &str) {
        self.stopping = true;
        let names: Vec<NodeName> = self.peers.keys().cloned().collect();
        for name in names {
            if let Some(control) = self.peers.get(&name).and_then(Peer::control) {
                let msg = ControlMsg::Goodbye { reason: reason.to_owned() };
                self.commands.push(Command::SendControl { link: control.link, peer: name.clone(), msg });
            }
            self.end_session(now_ns, &name, DownReason::Shutdown);
            self.abort_dial(&name);
            if let Some(known) = self.peers.get_mut(&name) {
                known.wanted = false;
            }
            self.settle_claim(&name, Verdict::Refuse(Reason::Refused));
        }
    }

    /// What the registrar has on record for `peer`; it decides between two nodes that claim one name.
    pub fn on_record(&mut self, now_ns: u64, peer: &NodeName, incarnation: Incarnation) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.recorded = Some(incarnation);
        if known.claim.as_ref().is_some_and(|claim| claim.intro.incarnation == incarnation) {
            self.grant_claim(now_ns, peer);
        }
    }

    /// Shards of this node that are stuck now; the next heartbeats say so.
    pub fn set_stalls(&mut self, stalls: Vec<Stall>) {
        self.stalls = stalls;
    }

    /// An acceptor's handshake has authenticated a dialer. The verdict comes as [`Command::Judged`], at once or after
    /// a probe; report the connection's end before that as [`SessionCore::on_link_lost`].
    pub fn on_authenticated(&mut self, now_ns: u64, peer: &Introduction, intent: Intent) -> LinkId {
        let link = self.new_link();
        let verdict = match (self.barred(&peer.name), intent) {
            (Some(reason), _) => Some(Verdict::Refuse(reason)),
            (None, Intent::Control { live, next }) => self.judge_control(now_ns, link, peer, live, next),
            (None, Intent::Data { session, slot, epoch }) => {
                Some(self.judge_data(now_ns, link, peer, session, slot, epoch))
            }
        };
        // An acceptance was said where it was made: before the peer is up.
        if let Some(Verdict::Refuse(reason)) = verdict {
            self.say_verdict(link, Verdict::Refuse(reason));
        }
        link
    }

    /// A dialer's handshake is done.
    pub fn on_dialed(&mut self, now_ns: u64, link: LinkId, established: &Established) {
        let Some(owner) = self.links.get(&link).cloned() else {
            return self.close_stale(link);
        };
        if established.peer.name != owner.peer {
            return self.on_dial_failed(now_ns, link, Reason::WrongPeer, Source::Local);
        }
        match owner.role {
            Role::Control => self.control_dialed(now_ns, link, established),
            Role::Data(slot) => self.data_dialed(now_ns, link, slot, established),
            Role::Claim => self.close_stale(link),
        }
    }

    /// Bytes were read from a link at `now_ns`.
    pub fn on_heard(&mut self, now_ns: u64, link: LinkId) {
        let Some(owner) = self.links.get(&link) else { return };
        if owner.role == Role::Claim {
            return;
        }
        let name = owner.peer.clone();
        let Some(peer) = self.peers.get_mut(&name) else { return };
        if let Some(session) = &mut peer.session {
            session.heard_ns = session.heard_ns.max(now_ns);
        }
        if peer.claim.is_some() {
            // The holder of the name lives.
            self.commands.push(Command::TwinRefused { peer: name.clone() });
            self.settle_claim(&name, Verdict::Refuse(Reason::NameInUse));
        }
    }

    /// A connection ended, in whatever state it was.
    pub fn on_link_lost(&mut self, now_ns: u64, link: LinkId) {
        let Some(owner) = self.links.get(&link).cloned() else { return };
        match owner.role {
            Role::Claim => {
                self.links.remove(&link);
                if let Some(peer) = self.peers.get_mut(&owner.peer) {
                    peer.claim = None;
                }
            }
            Role::Control => self.control_lost(now_ns, link, &owner.peer),
            Role::Data(slot) => self.data_lost(now_ns, link, &owner.peer, slot),
        }
    }

    /// A local shard has handled the end of a session.
    pub fn on_down_processed(&mut self, shard: ShardId, peer: &NodeName, session: u64) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        if known.downs.get(&shard.index()).is_some_and(|due| *due <= session) {
            known.downs.remove(&shard.index());
            self.announce_slots(peer, shard);
        }
    }

    /// Its limits.
    #[must_use]
    pub const fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Counters since the start.
    #[must_use]
    pub const fn counters(&self) -> SessionCounters {
        self.counters
    }

    /// Every known peer.
    pub fn peers(&self) -> impl Iterator<Item = PeerState> + '_ {
        self.peers.iter().map(|(name, peer)| {
            let session = peer.session.as_ref();
            PeerState {
                name: name.clone(),
                session: session.map(|session| (session.number, session.peer.incarnation)),
                linked: peer.control().is_some(),
                suspect: session.is_some_and(|session| session.suspect),
                rtt_ns: session.and_then(|session| session.rtt_ns),
                heard_ns: session.map(|session| session.heard_ns),
                data_links: session
                    .map_or(0, |session| session.slots.values().filter(|slot| slot.live.is_some()).count()),
            }
        })
    }

    /// The slot for a message from a local shard to a shard of the peer; `None` without a session or such shards.
    #[must_use]
    pub fn slot_for(&self, peer: &NodeName, local_shard: u16, peer_shard: u16) -> Option<Slot> {
        self.peers.get(peer)?.session.as_ref()?.placement.slot_for(local_shard, peer_shard)
    }

    pub(super) const fn new_link(&mut self) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        link
    }

    pub(super) fn say_verdict(&mut self, link: LinkId, verdict: Verdict) {
        match verdict {
            Verdict::Accept { .. } => self.counters.accepted += 1,
            Verdict::Refuse(_) => self.counters.refused += 1,
        }
        self.commands.push(Command::Judged { link, verdict });
    }

    /// Makes room for a peer and keeps the numbers of forgotten ones below the floor.
    pub(super) fn ensure_peer(&mut self, name: &NodeName) -> bool {
        if self.peers.contains_key(name) {
            return true;
        }
        // LIMIT: peers known at once.
        if self.peers.len() >= self.max_peers {
            let Some(idle) = self.peers.iter().find(|(_, peer)| peer.is_idle()).map(|(name, _)| name.clone())
            else {
                return false;
            };
            if let Some(forgotten) = self.peers.remove(&idle) {
                self.floor = self.floor.max(forgotten.next_session);
            }
        }
        self.peers.insert(name.clone(), Peer::new(self.floor));
        true
    }

    /// Opens session `number`; the caller has ended the one before.
    pub(super) fn open_session(&mut self, now_ns: u64, intro: &Introduction, number: u64) -> bool {
        let Some(placement) = self.own.placement_with(intro) else { return false };
        let Some(peer) = self.peers.get_mut(&intro.name) else { return false };
        peer.next_session = number.saturating_add(1);
        peer.session = Some(Session {
            number,
            peer: intro.clone(),
            placement,
            control: None,
            heard_ns: now_ns,
            acked_ns: now_ns,
            rtt_ns: None,
            beat_at_ns: now_ns,
            beat_seq: 0,
            suspect: false,
            stalls_shown: false,
            slots: BTreeMap::new(),
        });
        self.counters.ups += 1;
        self.commands.push(Command::PeerUp { peer: Box::new(intro.clone()), session: number, placement });
        true
    }

    /// Makes `link` the control link of the running session.
    pub(super) fn attach_control(&mut self, now_ns: u64, name: &NodeName, link: LinkId, by_us: bool) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let Some(session) = &mut peer.session else { return };
        let before = session.control.replace(Attached { link, by_us });
        session.heard_ns = session.heard_ns.max(now_ns);
        session.acked_ns = session.acked_ns.max(now_ns);
        session.beat_at_ns = now_ns.saturating_add(self.timing.heartbeat_ns);
        peer.retry.attempts = 0;
        let msg = ControlMsg::SessionUp { session: session.number };
        self.links.insert(link, Owner { peer: name.clone(), role: Role::Control });
        if let Some(before) = before {
            self.close(before.link, false);
        }
        self.commands.push(Command::SendControl { link, peer: name.clone(), msg });
        self.tell_all_gone(name);
    }

    /// Ends the running session, if any: the only place where one ends.
    pub(super) fn end_session(&mut self, now_ns: u64, name: &NodeName, reason: DownReason) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let Some(session) = peer.session.take() else { return };
        let random = next_random(&mut self.jitter);
        peer.retry.fail(now_ns, &self.timing, self.timing.backoff_max_ns, random);
        peer.downs = (0..self.own.shards).map(|shard| (shard, session.number)).collect();
        if let Some(control) = session.control {
            if !matches!(reason, DownReason::Goodbye | DownReason::Shutdown | DownReason::Superseded) {
                let msg = ControlMsg::SessionDown { session: session.number, reason };
                self.commands.push(Command::SendControl { link: control.link, peer: name.clone(), msg });
            }
            self.close(control.link, true);
        }
        for slot in session.slots.values() {
            let live = slot.live.map(|live| live.link);
            for link in [live, slot.dial.map(|dial| dial.link)].into_iter().flatten() {
                self.close(link, false);
            }
        }
        // Its Hello offers to resume what has just ended.
        self.abort_dial(name);
        self.counters.downs += 1;
        self.commands.push(Command::PeerDown { peer: name.clone(), session: session.number, reason });
    }

    pub(super) fn abort_dial(&mut self, name: &NodeName) {
        if let Some(dial) = self.peers.get_mut(name).and_then(|peer| peer.dial.take()) {
            self.close(dial.link, false);
        }
    }

    pub(super) fn close(&mut self, link: LinkId, flush: bool) {
        self.links.remove(&link);
        self.commands.push(Command::CloseLink { link, flush });
    }

    pub(super) fn close_stale(&mut self, link: LinkId) {
        self.counters.stale_links += 1;
        self.close(link, false);
    }
}

/// One step of splitmix64: enough to keep the dials of many nodes apart.
pub(super) const fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
