//! What the control thread tells a shard: sessions and data links that begin and end.
//!
//! Invariants: J1 a session's end closes its links, fails what waits for it, fires what is watched there, and is reported
//! back before a link of the next session is granted (the control thread waits for the report). J2 a grant for a session
//! that is not up is closed.

use crate::app::NodeSession;
use crate::error::{AskError, CallError, ExitReason, SendReason};
use crate::link::data::Socket;
use crate::link::net::{NO_LINK, PeerSession};
use crate::link::transport::Transport;
use crate::link::waiting::Names;
use crate::link::{LinkGrant, Request, Session};
use crate::process::bump;
use crate::shard::Shard;
use shard_wire::NodeName;
use shard_wire::flow::Loss;
use shard_wire::placement::Slot;
use shard_wire::session::DownReason;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Shard {
    /// A session has begun: its incarnation's pids have a route.
    pub(crate) fn session_up(&self, session: Arc<Session>) {
        self.post_steward(NodeSession { name: session.peer.name.as_str().to_owned(), is_up: true });
        let mut sessions = self.net.sessions.borrow_mut();
        let by_shard = vec![NO_LINK; usize::from(session.shards)];
        let fresh = PeerSession { session, is_up: true, by_shard, names: Names::default() };
        let joined = Arc::clone(&fresh.session);
        let name = &joined.peer.name;
        // An ended session of the same node makes room: its pids have no route from now on, unless it is the same
        // incarnation that came back.
        match sessions.iter_mut().find(|peer| !peer.is_up && peer.session.peer.name == *name) {
            Some(place) => *place = fresh,
            None => sessions.push(fresh),
        }
        self.net.forget_last();
        drop(sessions);
        self.relays_up(&joined);
    }

    /// A session has ended: its links are closed, what waits for it is failed.
    pub(crate) fn session_down(&self, peer: &NodeName, session: u64, why: DownReason) {
        if let Some(index) = self.net.find_session(peer, session) {
            self.end_session(index, why);
        }
        self.node().request(Request::DownProcessed { shard: self.index(), peer: peer.clone(), session });
    }

    fn end_session(&self, index: u32, why: DownReason) {
        let ended = self.net.sessions.borrow_mut().get_mut(index as usize).map(|peer| {
            peer.is_up = false;
            peer.by_shard.fill(NO_LINK);
            (Arc::clone(&peer.session), std::mem::take(&mut peer.names))
        });
        let Some((session, names)) = ended else { return };
        self.net.forget_last();
        session.is_over.store(true, Relaxed);
        let mut loss = Loss::default();
        let mut ended = Vec::new();
        for (at, place) in self.net.links.borrow_mut().iter_mut().enumerate() {
            if place.as_ref().is_some_and(|link| link.session == index)
                && let Some(mut link) = place.take()
            {
                ended.push((at as u32, std::mem::take(&mut link.late)));
                loss.unknown += link.data.close();
                let rest = link.data.loss();
                loss.failed += rest.failed;
                loss.unknown += rest.unknown;
            }
        }
        if let Some(cells) = session.peer.shards.get(usize::from(self.index())) {
            bump(&cells.unknown_out, loss.unknown);
            bump(&cells.failed_out, loss.failed);
            cells.outbox_bytes.store(0, Relaxed);
            cells.links.store(0, Relaxed);
            cells.outboxes_full.store(0, Relaxed);
            cells.links_held.store(0, Relaxed);
            cells.late.store(0, Relaxed);
        }
        for (link, late) in ended {
            self.end_late(late);
            self.end_link_waits(link);
        }
        let is_settled = why == DownReason::Goodbye && session.settled.load(Relaxed);
        let lost =
            if is_settled { CallError::Send(SendReason::NodeStopping) } else { CallError::Disconnected };
        self.net.callers.borrow_mut().forget(session.key);
        for waiter in self.waiting_for(session.key) {
            self.fail(waiter, lost);
        }
        // They were not sent.
        let unsent = if session.is_leaving() { SendReason::NodeStopping } else { SendReason::NotConnected };
        self.end_names(index, names, unsent);
        self.heed_leaving();
        let reason = ExitReason::NoConnection { why, session: session.number };
        // After those that were never sent: they are known not to have arrived.
        self.fail_letters(session.key, is_settled);
        self.fail_asks(&session, if is_settled { AskError::NodeStopping } else { AskError::Disconnected });
        self.end_guests(&session);
        self.end_far(&session, &reason);
        self.forget_hops(&session);
        self.relays_down(&session);
        self.branches_down(&session, &reason);
        self.node_down(session.peer.name.as_str(), &reason);
        self.post_steward(NodeSession { name: session.peer.name.as_str().to_owned(), is_up: false });
    }

    /// Whether the peers of all links have confirmed what was sent to them, and nothing waits to be sent.
    pub(crate) fn are_links_settled(&self) -> bool {
        self.has_sent_waiting()
            && self.net.links.borrow().iter().flatten().all(|owned| owned.data.out.is_settled())
    }

    /// Whether this shard is in session with a node.
    pub(crate) fn is_in_session(&self, node: &str) -> bool {
        let sessions = self.net.sessions.borrow();
        sessions.iter().any(|peer| peer.is_up && peer.session.peer.name.as_str() == node)
    }

    /// A data link stands, and this shard owns it.
    pub(crate) fn link_up(&self, grant: LinkGrant) {
        let found = self.net.find_session(&grant.peer, grant.session);
        let is_up =
            |index: &u32| self.net.sessions.borrow().get(*index as usize).is_some_and(|peer| peer.is_up);
        let session = found.filter(is_up);
        let link =
            session.and_then(|session| self.net.link_of(session, grant.slot, self.index(), self.now_ticks()));
        let (Some(session), Some(link)) = (session, link) else {
            self.node().request(Request::LinkLost { link: grant.link, why: "its session is not up here" });
            return;
        };
        let Ok(transport) = Transport::adopt(grant.stream) else {
            self.node()
                .request(Request::LinkLost { link: grant.link, why: "its socket could not be taken over" });
            return;
        };
        self.close_link(link, false);
        let now = self.now_ticks();
        let socket = Socket::new(transport, grant.link, grant.epoch, now, now + self.hot_ticks());
        if let Some(Some(owned)) = self.net.links.borrow_mut().get_mut(link as usize) {
            let clock_ms = self.link_ms(owned.data.clock);
            // The control lane of a link without a socket is empty, so its first frame has room.
            let _has_room = owned.data.adopt(socket, clock_ms);
            owned.data.preload(&grant.unread);
        }
        self.net.dirty.set(true);
        self.with_link_cells(link, |cells| bump(&cells.links, 1));
        let options = self.net.sessions.borrow().get(session as usize).map(|peer| peer.session.links);
        if let Some(options) = options {
            self.net.linger.set(self.ticks(options.linger));
            self.watch_idle(options.idle_after);
        }
    }

    /// A data link that was handed over is to be read no further.
    pub(crate) fn link_down(&self, peer: &NodeName, session: u64, slot: Slot, epoch: u32) {
        let Some(session) = self.net.find_session(peer, session) else { return };
        let found = self.net.links.borrow().iter().position(|place| {
            place.as_ref().is_some_and(|link| {
                let is_epoch = link.data.socket.as_ref().is_some_and(|socket| socket.epoch <= epoch);
                link.session == session && link.data.slot == slot && is_epoch
            })
        });
        if let Some(index) = found {
            self.close_link(index as u32, true);
        }
    }

    /// Closes a link's socket; what it had in hand is counted. With `again`, a new socket is asked for if frames wait.
    pub(super) fn close_link(&self, link: u32, again: bool) {
        let closed =
            self.net.links.borrow_mut().get_mut(link as usize).and_then(Option::as_mut).map(|owned| {
                let had_socket = owned.data.socket.is_some();
                (had_socket, owned.data.close(), owned.data.out.kept() > 0)
            });
        let Some((had_socket, unknown, frames_wait)) = closed else { return };
        self.with_link_cells(link, |cells| {
            bump(&cells.unknown_out, unknown);
            if had_socket {
                cells.links.store(cells.links.load(Relaxed).saturating_sub(1), Relaxed);
            }
        });
        if again && frames_wait {
            self.want_link(link);
        }
    }

    /// Asks for a socket, unless one is there or was asked for.
    pub(super) fn want_link(&self, link: u32) {
        let wanted = {
            let mut links = self.net.links.borrow_mut();
            let Some(Some(owned)) = links.get_mut(link as usize) else { return };
            if owned.data.wanted {
                return;
            }
            owned.data.wanted = true;
            (owned.session, owned.data.slot)
        };
        let peer =
            self.net.sessions.borrow().get(wanted.0 as usize).map(|peer| peer.session.peer.name.clone());
        if let Some(peer) = peer {
            self.node().request(Request::WantSlot { peer, slot: wanted.1 });
        }
    }

    /// Runs `f` with this shard's counters for the peer of a link.
    pub(super) fn with_link_cells(&self, link: u32, f: impl FnOnce(&crate::link::LinkCells)) {
        if let Some(Some(owned)) = self.net.links.borrow().get(link as usize) {
            f(&owned.cells);
        }
    }
}
