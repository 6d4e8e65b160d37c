//! Whether an authenticated dialer gets its control link, in which session, and what happens to a claimed name.
//!
//! The rule for one incarnation of the peer, while session `n` runs here: a dialer that is in `n` resumes it; one that
//! may still join `n`, because it was never in it, is told `n`; one that has ended `n` ends it here too. A dialer whose
//! Hello was written before it accepted this node's own link gets `duplicate`.

use crate::NodeName;
use crate::handshake::{Intent, Introduction, LiveSession, Reason, Verdict};
use crate::session::core::SessionCore;
use crate::session::peer::{Claim, Owner, Role, own_dial_wins};
use crate::session::{Command, ControlMsg, DownReason, LinkId};

/// Pauses between dials after a goodbye begin as after this many failures: 400 ms unless configured otherwise.
const AFTER_GOODBYE: u32 = 2;

impl SessionCore {
    /// `None` while the name's holder is probed.
    pub(super) fn judge_control(
        &mut self,
        now_ns: u64,
        link: LinkId,
        intro: &Introduction,
        live: Option<LiveSession>,
        next: u64,
    ) -> Option<Verdict> {
        if self.stopping {
            return Some(Verdict::Refuse(Reason::Refused));
        }
        if intro.name == self.own.name {
            return Some(Verdict::Refuse(Reason::NameInUse));
        }
        if self.own.placement_with(intro).is_none() {
            return Some(Verdict::Refuse(Reason::BadLimits));
        }
        if !self.ensure_peer(&intro.name) {
            return Some(Verdict::Refuse(Reason::Busy));
        }
        let peer = self.peers.get(&intro.name)?;
        let other = peer.session.as_ref().filter(|session| session.peer.incarnation != intro.incarnation);
        if let Some(holder) = other {
            if holder.control.is_some() && peer.recorded != Some(intro.incarnation) {
                return self.claim_name(now_ns, link, intro, Intent::Control { live, next });
            }
            self.end_session(now_ns, &intro.name, DownReason::Restarted);
        }
        Some(self.judge_incarnation(now_ns, link, intro, live, next))
    }

    fn judge_incarnation(
        &mut self,
        now_ns: u64,
        link: LinkId,
        intro: &Introduction,
        live: Option<LiveSession>,
        next: u64,
    ) -> Verdict {
        let name = &intro.name;
        // A session with an earlier incarnation of this node is none with this one.
        let live = live.filter(|live| live.with == self.own.incarnation.key()).map(|live| live.number);
        let Some(peer) = self.peers.get(name) else { return Verdict::Refuse(Reason::Busy) };
        let control = peer.control();
        let side = self.own.side_against(intro);
        if control.is_none() && own_dial_wins(peer.dial, side, now_ns, &self.timing) {
            return Verdict::Refuse(Reason::Duplicate);
        }
        let running = peer.session.as_ref().map(|session| session.number);
        let number = match running {
            Some(number) if live == Some(number) => number,
            Some(number) if next <= number => {
                if control.is_some_and(|control| control.by_us) {
                    return Verdict::Refuse(Reason::Duplicate);
                }
                number
            }
            _ => {
                self.end_session(now_ns, name, DownReason::Superseded);
                let own_next = self.peers.get(name).map_or(self.floor, |peer| peer.next_session);
                // The dialer may be in a session this node chose but never heard confirmed, or that it has yet to join.
                live.filter(|live| *live >= own_next).unwrap_or_else(|| own_next.max(next))
            }
        };
        self.say_verdict(link, Verdict::Accept { session: number, epoch: 0 });
        if running != Some(number) {
            self.open_session(now_ns, intro, number);
        }
        self.attach_control(now_ns, name, link, false);
        Verdict::Accept { session: number, epoch: 0 }
    }

    /// Two nodes claim one name, and the one in session has a link: ask it whether it lives.
    fn claim_name(
        &mut self,
        now_ns: u64,
        link: LinkId,
        intro: &Introduction,
        intent: Intent,
    ) -> Option<Verdict> {
        let until_ns = now_ns.saturating_add(self.timing.probe_ns);
        let peer = self.peers.get_mut(&intro.name)?;
        if peer.claim.is_some() {
            return Some(Verdict::Refuse(Reason::Busy));
        }
        peer.claim = Some(Claim { link, intro: intro.clone(), intent, until_ns });
        self.links.insert(link, Owner { peer: intro.name.clone(), role: Role::Claim });
        self.send_heartbeat(now_ns, &intro.name);
        None
    }

    /// Ends a probe with `verdict`, which is a refusal.
    pub(super) fn settle_claim(&mut self, name: &NodeName, verdict: Verdict) {
        if let Some(claim) = self.peers.get_mut(name).and_then(|peer| peer.claim.take()) {
            self.links.remove(&claim.link);
            self.say_verdict(claim.link, verdict);
        }
    }

    /// The holder of the name is gone, or the registrar says the claimer is newer.
    pub(super) fn grant_claim(&mut self, now_ns: u64, name: &NodeName) {
        let Some(claim) = self.peers.get_mut(name).and_then(|peer| peer.claim.take()) else { return };
        self.links.remove(&claim.link);
        self.end_session(now_ns, name, DownReason::Restarted);
        let Intent::Control { live, next } = claim.intent else { return };
        if let Verdict::Refuse(reason) = self.judge_incarnation(now_ns, claim.link, &claim.intro, live, next)
        {
            self.say_verdict(claim.link, Verdict::Refuse(reason));
        }
    }

    /// A message from a control link; the bytes that carried it were reported as heard.
    pub fn on_control(&mut self, now_ns: u64, link: LinkId, msg: ControlMsg) {
        self.on_heard(now_ns, link);
        let name = match self.links.get(&link) {
            Some(owner) if owner.role == Role::Control => owner.peer.clone(),
            _ => return self.counters.stale_messages += 1,
        };
        let Some(session) = self.peers.get_mut(&name).and_then(|peer| peer.session.as_mut()) else {
            return self.counters.stale_messages += 1;
        };
        if session.control.is_none_or(|control| control.link != link) {
            return self.counters.stale_messages += 1;
        }
        let number = session.number;
        match msg {
            ControlMsg::Heartbeat { seq, sent_ns, stalls } => {
                if !stalls.is_empty() || session.stalls_shown {
                    session.stalls_shown = !stalls.is_empty();
                    self.commands.push(Command::PeerStalls { peer: name.clone(), session: number, stalls });
                }
                let msg = ControlMsg::HeartbeatAck { seq, echo_ns: sent_ns };
                self.commands.push(Command::SendControl { link, peer: name, msg });
            }
            ControlMsg::HeartbeatAck { echo_ns, .. } => {
                session.acked_ns = session.acked_ns.max(now_ns);
                session.rtt_ns = Some(now_ns.saturating_sub(echo_ns));
            }
            ControlMsg::SessionUp { session } if session == number => {}
            ControlMsg::SessionUp { .. } => {
                // The two ends disagree: this link is not worth keeping, its successor settles it.
                self.close_stale(link);
                self.control_lost(now_ns, link, &name);
            }
            ControlMsg::SessionDown { session, reason } if session == number => {
                let is_order = matches!(reason, DownReason::Closed | DownReason::Quarantined);
                let reason = if is_order { reason } else { DownReason::Superseded };
                self.end_session(now_ns, &name, reason);
            }
            ControlMsg::SessionDown { .. } => self.counters.stale_messages += 1,
            ControlMsg::Goodbye { .. } => {
                // It is still dialled if it was asked for: the next node of that name may not know of this one. In its own
                // time, for it will be away for a while.
                if let Some(peer) = self.peers.get_mut(&name) {
                    peer.retry.attempts = AFTER_GOODBYE;
                }
                self.end_session(now_ns, &name, DownReason::Goodbye);
            }
            ControlMsg::LinkRequest { session, slot } if session == number => {
                self.want_slot(now_ns, &name, slot)
            }
            ControlMsg::LinkDown { session, slot, epoch } if session == number => {
                self.data_gone(now_ns, &name, slot, epoch);
            }
            ControlMsg::LinkRequest { .. } | ControlMsg::LinkDown { .. } => self.counters.stale_messages += 1,
            msg => self.commands.push(Command::Control { peer: name, session: number, msg }),
        }
    }
}
