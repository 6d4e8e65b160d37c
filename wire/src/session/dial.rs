//! When a control link is dialled, and what a finished or failed dial means.
//!
//! Invariant: D1 a finished dial counts only for the running session or for one this node was never in.

use crate::NodeName;
use crate::handshake::{Established, Intent, LiveSession, Reason, Source};
use crate::placement::Side;
use crate::session::core::{SessionCore, next_random};
use crate::session::peer::{Dialing, Owner, Role};
use crate::session::{Command, DownReason, LinkId};

impl SessionCore {
    /// A dial failed, for `reason`, as `source` said.
    pub fn on_dial_failed(&mut self, now_ns: u64, link: LinkId, reason: Reason, source: Source) {
        let Some(owner) = self.links.remove(&link) else { return };
        self.counters.dial_failures += 1;
        let random = next_random(&mut self.jitter);
        let Some(peer) = self.peers.get_mut(&owner.peer) else { return };
        match owner.role {
            Role::Control => {
                peer.dial = peer.dial.filter(|dial| dial.link != link);
                let max = self.pause_max(&owner.peer);
                if let Some(peer) = self.peers.get_mut(&owner.peer) {
                    peer.retry.fail(now_ns, &self.timing, max, random);
                }
            }
            Role::Data(slot) => {
                let Some(state) = peer.session.as_mut().and_then(|session| session.slots.get_mut(&slot))
                else {
                    return;
                };
                state.dial = state.dial.filter(|dial| dial.link != link);
                state.retry.fail(now_ns, &self.timing, self.timing.backoff_max_ns, random);
            }
            Role::Claim => {}
        }
        if reason == Reason::NameInUse && source == Source::Proven {
            self.commands.push(Command::NameRefused { peer: owner.peer });
        }
    }

    /// A session that waits for its link cannot wait long.
    fn pause_max(&self, name: &NodeName) -> u64 {
        let waits = self.peers.get(name).is_some_and(|peer| peer.session.is_some());
        if waits {
            self.timing.heartbeat_ns.min(self.timing.backoff_max_ns)
        } else {
            self.timing.backoff_max_ns
        }
    }

    pub(super) fn dial_if_due(&mut self, now_ns: u64, name: &NodeName) {
        if self.stopping
            || !self.peers.get(name).is_some_and(|peer| peer.lacks_link() && peer.retry.at_ns <= now_ns)
        {
            return;
        }
        let link = self.new_link();
        let Some(peer) = self.peers.get_mut(name) else { return };
        let live = peer
            .session
            .as_ref()
            .map(|session| LiveSession { number: session.number, with: session.peer.incarnation.key() });
        peer.dial = Some(Dialing { link, since_ns: now_ns });
        let intent = Intent::Control { live, next: peer.next_session };
        self.links.insert(link, Owner { peer: name.clone(), role: Role::Control });
        self.counters.dials += 1;
        self.commands.push(Command::Dial { link, peer: name.clone(), intent });
    }

    pub(super) fn control_dialed(&mut self, now_ns: u64, link: LinkId, established: &Established) {
        let name = &established.peer.name;
        let side = self.own.side_against(&established.peer);
        let Some(peer) = self.peers.get_mut(name) else { return self.close_stale(link) };
        if peer.dial.is_none_or(|dial| dial.link != link) || self.stopping {
            return self.close_stale(link);
        }
        peer.dial = None;
        let number = established.session;
        let usable = match &peer.session {
            Some(session) if session.peer.incarnation == established.peer.incarnation => {
                if session.number == number {
                    // Both dials came through: both ends keep the one of the smaller node.
                    let keep = session.control.is_none() || side == Side::Low;
                    if keep {
                        self.attach_control(now_ns, name, link, true);
                    } else {
                        self.close_stale(link);
                    }
                    return;
                }
                number >= peer.next_session
            }
            // Another incarnation that already has a link keeps it: this answer may be old.
            Some(session) => session.control.is_none() && number >= peer.next_session,
            None => number >= peer.next_session,
        };
        let restarted = peer
            .session
            .as_ref()
            .is_some_and(|session| session.peer.incarnation != established.peer.incarnation);
        if !usable {
            return self.close_stale(link);
        }
        let reason = if restarted { DownReason::Restarted } else { DownReason::Superseded };
        self.end_session(now_ns, name, reason);
        if self.open_session(now_ns, &established.peer, number) {
            self.attach_control(now_ns, name, link, true);
        } else {
            self.close_stale(link);
        }
    }

    pub(super) fn control_lost(&mut self, now_ns: u64, link: LinkId, name: &NodeName) {
        let random = next_random(&mut self.jitter);
        let Some(peer) = self.peers.get_mut(name) else { return };
        if peer.dial.is_some_and(|dial| dial.link == link) {
            return self.on_dial_failed(now_ns, link, Reason::Closed, Source::Local);
        }
        self.links.remove(&link);
        let Some(session) = &mut peer.session else { return };
        if session.control.is_some_and(|control| control.link == link) {
            session.control = None;
            peer.retry.soon(now_ns, &self.timing, random);
            if peer.claim.is_some() {
                // The holder of the name has lost its link: the claimer takes over.
                return self.grant_claim(now_ns, name);
            }
        }
        self.dial_if_due(now_ns, name);
    }
}
