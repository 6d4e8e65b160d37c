//! Heartbeats, suspicion, and the end of silent sessions.
//!
//! Invariants: L1 any byte of the peer counts, on any link. L2 a timer that fires late says that this node stood still:
//! sockets are drained first, then peers are judged by what was heard. L3 a control link whose heartbeats are not answered
//! for as long as ends a session is dialled again, even while data links keep the session.

use crate::NodeName;
use crate::handshake::{Reason, Source};
use crate::session::core::SessionCore;
use crate::session::{Command, ControlMsg, DownReason, LinkId};

impl SessionCore {
    /// Time passed. Call it at [`SessionCore::next_deadline`], or later.
    pub fn on_tick(&mut self, now_ns: u64) {
        let late = self.armed_ns.map_or(0, |armed| now_ns.saturating_sub(armed));
        self.armed_ns = None;
        if late > self.timing.stall_ns {
            self.counters.stalls += 1;
            self.judge_after_ns = now_ns.saturating_add(self.timing.drain_ns);
        }
        let names: Vec<NodeName> = self.peers.keys().cloned().collect();
        for name in names {
            self.tick_peer(now_ns, &name);
        }
    }

    /// When [`SessionCore::on_tick`] is due; `None` while there is nothing to wait for.
    pub fn next_deadline(&mut self) -> Option<u64> {
        let timing = self.timing;
        let judged = |at_ns: u64| at_ns.max(self.judge_after_ns);
        let mut due = None;
        let mut at = |at_ns: u64| due = Some(due.map_or(at_ns, |earlier: u64| earlier.min(at_ns)));
        for peer in self.peers.values() {
            if peer.lacks_link() {
                at(peer.retry.at_ns);
            }
            if let Some(dial) = peer.dial {
                at(dial.since_ns.saturating_add(timing.dial_limit_ns));
            }
            if let Some(claim) = &peer.claim {
                at(judged(claim.until_ns));
            }
            let Some(session) = &peer.session else { continue };
            at(judged(session.heard_ns.saturating_add(timing.down_ns)));
            if !session.suspect {
                at(judged(session.heard_ns.min(session.acked_ns).saturating_add(timing.suspect_ns)));
            }
            if session.control.is_some() {
                at(session.beat_at_ns);
                // A peer that is silent on all links is judged by that alone.
                let mute_ns = session.acked_ns.saturating_add(timing.down_ns);
                if mute_ns < session.heard_ns.saturating_add(timing.suspect_ns) {
                    at(judged(mute_ns));
                }
            }
            for slot in session.slots.values() {
                match slot.dial {
                    Some(dial) => at(dial.since_ns.saturating_add(timing.dial_limit_ns)),
                    None if slot.wanted && slot.live.is_none() => at(slot.retry.at_ns),
                    None => {}
                }
            }
        }
        self.armed_ns = due;
        due
    }

    fn tick_peer(&mut self, now_ns: u64, name: &NodeName) {
        self.expire_dials(now_ns, name);
        let may_judge = now_ns >= self.judge_after_ns;
        if may_judge {
            let Some(peer) = self.peers.get(name) else { return };
            if peer.claim.as_ref().is_some_and(|claim| claim.until_ns <= now_ns) {
                self.grant_claim(now_ns, name);
            }
            self.judge_silence(now_ns, name);
        }
        let due = self
            .peers
            .get(name)
            .and_then(|peer| peer.session.as_ref())
            .is_some_and(|session| session.control.is_some() && session.beat_at_ns <= now_ns);
        if due {
            self.send_heartbeat(now_ns, name);
        }
        self.dial_if_due(now_ns, name);
        self.dial_due_slots(now_ns, name);
    }

    fn judge_silence(&mut self, now_ns: u64, name: &NodeName) {
        let timing = self.timing;
        let Some(session) = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut()) else { return };
        let since = |at_ns: u64| now_ns.saturating_sub(at_ns);
        if since(session.heard_ns) >= timing.down_ns {
            let linked = session.control.is_some();
            let reason = if linked { DownReason::Heartbeat } else { DownReason::Disconnected };
            return self.end_session(now_ns, name, reason);
        }
        // As in `next_deadline`: a peer that is silent on all links is judged by that alone.
        let was_heard = session.acked_ns.saturating_add(timing.down_ns)
            < session.heard_ns.saturating_add(timing.suspect_ns);
        let is_mute = was_heard && since(session.acked_ns) >= timing.down_ns;
        if let Some(control) = session.control.filter(|_| is_mute) {
            // Data links keep the session, but this link no longer carries both ways.
            self.counters.mute_links += 1;
            self.close(control.link, false);
            return self.control_lost(now_ns, control.link, name);
        }
        // One-way reachability counts as suspect: heard, but nothing answered.
        let suspect = since(session.heard_ns.min(session.acked_ns)) >= timing.suspect_ns;
        if suspect == session.suspect {
            return;
        }
        session.suspect = suspect;
        let (peer, session) = (name.clone(), session.number);
        self.commands.push(if suspect {
            Command::PeerSuspect { peer, session }
        } else {
            Command::PeerHealthy { peer, session }
        });
    }

    pub(super) fn send_heartbeat(&mut self, now_ns: u64, name: &NodeName) {
        let Some(session) = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut()) else { return };
        let Some(control) = session.control else { return };
        let every_ns = self.timing.heartbeat_to_ns(session.peer.heartbeat_ms);
        session.beat_at_ns = now_ns.saturating_add(every_ns);
        session.beat_seq += 1;
        let msg =
            ControlMsg::Heartbeat { seq: session.beat_seq, sent_ns: now_ns, stalls: self.stalls.clone() };
        self.commands.push(Command::SendControl { link: control.link, peer: name.clone(), msg });
    }

    /// Dials nobody reported on.
    fn expire_dials(&mut self, now_ns: u64, name: &NodeName) {
        let limit = self.timing.dial_limit_ns;
        let Some(peer) = self.peers.get(name) else { return };
        let slots = peer.session.iter().flat_map(|session| session.slots.values());
        let expired: Vec<LinkId> = peer
            .dial
            .into_iter()
            .chain(slots.filter_map(|slot| slot.dial))
            .filter(|dial| now_ns.saturating_sub(dial.since_ns) >= limit)
            .map(|dial| dial.link)
            .collect();
        for link in expired {
            self.on_dial_failed(now_ns, link, Reason::Timeout, Source::Local);
            self.commands.push(Command::CloseLink { link, flush: false });
        }
    }
}
