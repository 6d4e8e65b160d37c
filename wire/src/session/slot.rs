//! Data links of a running session: asked for, dialled, replaced, lost.
//!
//! Invariants: T1 epochs of a slot only grow, and both ends agree on them: links dialled by the low side
//! have even epochs, those of the high side odd ones, so two links never share one and the higher one wins at both ends. T2 the link before is closed before the next
//! is handed over. T3 nothing is handed to a shard that has yet to process the end of an earlier session. T4 the peer
//! learns over the control link when one end is gone.

use crate::handshake::{Established, Intent, Introduction, Reason, Source, Verdict};
use crate::placement::{Side, Slot};
use crate::session::core::{SessionCore, next_random};
use crate::session::peer::{Attached, Dialing, Owner, Role, own_dial_wins};
use crate::session::{Command, ControlMsg, LinkId};
use crate::{NodeName, ShardId};

/// Epochs above this are refused, so that no peer can exhaust them.
const MAX_EPOCH: u32 = crate::handshake::MAX_EPOCH;

/// The lowest epoch above `after` of a link dialled by `dialer`.
const fn next_epoch(after: u32, dialer: Side) -> u32 {
    let next = after.saturating_add(1);
    let wrong = match dialer {
        Side::Low => next % 2 == 1,
        Side::High => next.is_multiple_of(2),
    };
    if wrong { next.saturating_add(1) } else { next }
}

impl SessionCore {
    /// A local shard has something to send through `slot`: dials it, and again whenever it is lost.
    pub fn want_slot(&mut self, now_ns: u64, peer: &NodeName, slot: Slot) {
        let Some(session) = self.peers.get_mut(peer).and_then(|peer| peer.session.as_mut()) else { return };
        if session.placement.contains(slot) {
            session.slots.entry(slot).or_default().wanted = true;
            self.dial_due_slots(now_ns, peer);
        }
    }

    /// Nobody has sent through `slot` for long: closes it until it is wanted again.
    pub fn release_slot(&mut self, peer: &NodeName, slot: Slot) {
        let Some(session) = self.peers.get_mut(peer).and_then(|peer| peer.session.as_mut()) else { return };
        let Some(state) = session.slots.get_mut(&slot) else { return };
        state.wanted = false;
        if let Some(dial) = state.dial.take() {
            self.close(dial.link, false);
        }
        self.drop_live(peer, slot, true);
        self.tell_gone(peer, slot);
    }

    pub(super) fn judge_data(
        &mut self,
        now_ns: u64,
        link: LinkId,
        intro: &Introduction,
        number: u64,
        slot: Slot,
        epoch: u32,
    ) -> Verdict {
        let side = self.own.side_against(intro);
        let session = self.peers.get_mut(&intro.name).and_then(|peer| peer.session.as_mut());
        let running = session
            .filter(|session| session.number == number && session.peer.incarnation == intro.incarnation);
        let Some(session) = running else { return Verdict::Refuse(Reason::StaleSession) };
        if !session.placement.contains(slot) {
            return Verdict::Refuse(Reason::BadSlot);
        }
        let state = session.slots.entry(slot).or_default();
        let known = state.live.is_some_and(|live| live.by_us) && epoch <= state.epoch;
        if known || (state.live.is_none() && own_dial_wins(state.dial, side, now_ns, &self.timing)) {
            return Verdict::Refuse(Reason::Duplicate);
        }
        let dialer = side.other();
        let epoch = epoch.max(next_epoch(state.epoch, dialer));
        if epoch > MAX_EPOCH || epoch != next_epoch(epoch - 1, dialer) {
            return Verdict::Refuse(Reason::BadSlot);
        }
        let verdict = Verdict::Accept { session: number, epoch };
        self.say_verdict(link, verdict);
        self.install(&intro.name, slot, link, false, epoch);
        verdict
    }

    pub(super) fn data_dialed(&mut self, now_ns: u64, link: LinkId, slot: Slot, established: &Established) {
        let name = &established.peer.name;
        let session = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut());
        let running = session.filter(|session| {
            session.number == established.session && session.peer.incarnation == established.peer.incarnation
        });
        let Some(session) = running else {
            return self.on_dial_failed(now_ns, link, Reason::StaleSession, Source::Local);
        };
        let Some(state) = session.slots.get_mut(&slot) else { return self.close_stale(link) };
        if state.dial.is_none_or(|dial| dial.link != link) {
            return self.close_stale(link);
        }
        state.dial = None;
        if established.epoch > state.epoch {
            state.retry.attempts = 0;
            self.install(name, slot, link, true, established.epoch);
        } else {
            self.close_stale(link);
        }
    }

    fn install(&mut self, name: &NodeName, slot: Slot, link: LinkId, by_us: bool, epoch: u32) {
        self.drop_live(name, slot, true);
        self.links.insert(link, Owner { peer: name.clone(), role: Role::Data(slot) });
        let session = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut());
        let Some(state) = session.and_then(|session| session.slots.get_mut(&slot)) else { return };
        state.epoch = epoch;
        state.live = Some(Attached { link, by_us });
        state.announced = false;
        self.announce(name, slot);
    }

    /// Takes the live link from its shard and, if `close`, closes it.
    fn drop_live(&mut self, name: &NodeName, slot: Slot, close: bool) {
        let Some(session) = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut()) else { return };
        let owner = session.placement.owner_of(slot);
        let Some(state) = session.slots.get_mut(&slot) else { return };
        let Some(live) = state.live.take() else { return };
        let announced = std::mem::take(&mut state.announced);
        if let Some(owner) = owner.filter(|_| announced) {
            let (peer, session, epoch, link) = (name.clone(), session.number, state.epoch, live.link);
            self.commands.push(Command::LinkDown { peer, session, slot, epoch, link, owner });
        }
        self.links.remove(&live.link);
        if close {
            self.close(live.link, false);
        }
    }

    pub(super) fn data_lost(&mut self, now_ns: u64, link: LinkId, name: &NodeName, slot: Slot) {
        let random = next_random(&mut self.jitter);
        let session = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut());
        let Some(state) = session.and_then(|session| session.slots.get_mut(&slot)) else {
            self.links.remove(&link);
            return;
        };
        if state.live.is_some_and(|live| live.link == link) {
            state.retry.soon(now_ns, &self.timing, random);
            self.drop_live(name, slot, false);
            self.tell_gone(name, slot);
        } else {
            self.on_dial_failed(now_ns, link, Reason::Closed, Source::Local);
        }
        self.dial_due_slots(now_ns, name);
    }

    /// The peer no longer has the link. Its end may never be heard of otherwise: a half-open connection is silent.
    pub(super) fn data_gone(&mut self, now_ns: u64, name: &NodeName, slot: Slot, epoch: u32) {
        let random = next_random(&mut self.jitter);
        let session = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut());
        let Some(state) = session.and_then(|session| session.slots.get_mut(&slot)) else { return };
        if state.live.is_some() && state.epoch <= epoch {
            state.retry.soon(now_ns, &self.timing, random);
            self.drop_live(name, slot, true);
            self.dial_due_slots(now_ns, name);
        }
    }

    /// Tells the peer that this end of the slot is gone.
    fn tell_gone(&mut self, name: &NodeName, slot: Slot) {
        let Some(session) = self.peers.get(name).and_then(|peer| peer.session.as_ref()) else { return };
        let (Some(control), Some(state)) = (session.control, session.slots.get(&slot)) else { return };
        if state.live.is_none() && state.epoch > 0 {
            let msg = ControlMsg::LinkDown { session: session.number, slot, epoch: state.epoch };
            self.commands.push(Command::SendControl { link: control.link, peer: name.clone(), msg });
        }
    }

    /// Says on a new control link what may have been lost with the one before.
    pub(super) fn tell_all_gone(&mut self, name: &NodeName) {
        let Some(session) = self.peers.get(name).and_then(|peer| peer.session.as_ref()) else { return };
        let slots: Vec<Slot> = session.slots.keys().copied().collect();
        for slot in slots {
            self.tell_gone(name, slot);
        }
    }

    pub(super) fn dial_due_slots(&mut self, now_ns: u64, name: &NodeName) {
        let Some(session) = self.peers.get(name).and_then(|peer| peer.session.as_ref()) else { return };
        let (number, side) = (session.number, session.placement.side());
        let due: Vec<Slot> = session
            .slots
            .iter()
            .filter(|(_, slot)| slot.wanted && slot.live.is_none() && slot.dial.is_none())
            .filter(|(_, slot)| slot.retry.at_ns <= now_ns && slot.epoch < MAX_EPOCH - 1)
            .map(|(slot, _)| *slot)
            .collect();
        for slot in due {
            let link = self.new_link();
            let session = self.peers.get_mut(name).and_then(|peer| peer.session.as_mut());
            let Some(state) = session.and_then(|session| session.slots.get_mut(&slot)) else { continue };
            state.dial = Some(Dialing { link, since_ns: now_ns });
            let intent = Intent::Data { session: number, slot, epoch: next_epoch(state.epoch, side) };
            self.links.insert(link, Owner { peer: name.clone(), role: Role::Data(slot) });
            self.counters.dials += 1;
            self.commands.push(Command::Dial { link, peer: name.clone(), intent });
        }
    }

    /// Hands over what `shard` owns and could not have before.
    pub(super) fn announce_slots(&mut self, name: &NodeName, shard: ShardId) {
        let Some(session) = self.peers.get(name).and_then(|peer| peer.session.as_ref()) else { return };
        let placement = session.placement;
        let owned: Vec<Slot> =
            session.slots.keys().copied().filter(|slot| placement.owner_of(*slot) == Some(shard)).collect();
        for slot in owned {
            self.announce(name, slot);
        }
    }

    fn announce(&mut self, name: &NodeName, slot: Slot) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let Some(session) = &mut peer.session else { return };
        let Some(owner) = session.placement.owner_of(slot) else { return };
        let Some(state) = session.slots.get_mut(&slot) else { return };
        let Some(live) = state.live.filter(|_| !state.announced) else { return };
        if peer.downs.contains_key(&owner.index()) {
            return;
        }
        state.announced = true;
        let (peer, session, epoch, link) = (name.clone(), session.number, state.epoch, live.link);
        self.commands.push(Command::LinkUp { peer, session, slot, epoch, link, owner });
    }
}
