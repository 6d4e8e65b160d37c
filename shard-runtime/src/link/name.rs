//! Names on other nodes, resolved before a link is chosen, so that FIFO holds for every form of address.
//!
//! Invariants: N1 while a name is being resolved, messages to it wait, and so does all that their senders send to that node
//! afterwards, by whatever address: it may be the same process. N2 a resolved name is used until its session ends or the peer
//! says that it moved; then it is resolved again. N3 what has waited and finds a full outbox goes on waiting, in its order.

use crate::error::{CallError, SendError, SendReason};
use crate::link::Request;
use crate::link::net::PeerSession;
use crate::link::room::LinkRoom;
use crate::link::send::{Sent, Way};
use crate::link::waiting::{Names, Waits};
use crate::mailbox::Meta;
use crate::shard::Shard;
use crate::trace::TraceContext;
use shard_wire::{Message, NodeName, Pid};

/// A message that waits, with what it is sent with.
struct Held<M> {
    name: Option<Box<str>>,
    from: u64,
    trace: Option<TraceContext>,
    flags: u64,
    reply: u64,
    message: M,
}

impl<M: Message> Waits for Held<M> {
    fn go(self: Box<Self>, shard: &Shard, to: Result<Pid, SendReason>) -> Option<Box<dyn Waits>> {
        let is_call = self.flags & Meta::CALL != 0;
        if is_call && shard.due_of(self.reply).is_none_or(|due| due <= shard.now_ticks()) {
            // Its caller has been told that the time was up.
            shard.contain(|| drop(self));
            return None;
        }
        let sent = to.and_then(|to| {
            shard.with_trace(self.trace, || {
                shard.speaking_as(self.from, || {
                    shard.check_leaving(to)?;
                    let name = self.name.as_deref();
                    shard.put_remote(to, name, &self.message, self.flags, self.reply).map(|sent| (sent, to))
                })
            })
        });
        let reason = match sent {
            Ok((Sent::Queued, _)) => {
                shard.count_sent();
                shard.contain(|| drop(self));
                return None;
            }
            Ok((Sent::Hop(owner), to)) => {
                (*self).hop(shard, owner, to);
                return None;
            }
            Ok((Sent::Behind(_), _)) => SendReason::NotConnected,
            Err(SendReason::OutboxFull) => return self.stay(shard, to),
            Err(reason) => reason,
        };
        let reply = self.reply;
        shard.contain(|| drop(self));
        if is_call {
            shard.refuse(reply, CallError::Send(reason));
        } else {
            shard.count(|cells| &cells.dead_letters, 1);
        }
        None
    }
}

impl<M: Message> Held<M> {
    fn hop(self, shard: &Shard, owner: u16, to: Pid) {
        let Self { name, from, trace, flags, reply, message } = self;
        shard.with_trace(trace, || {
            shard.speaking_as(from, || {
                // It is sent, or counted and answered there.
                let _done = shard.hop(owner, to, name.as_deref(), message, flags, reply);
            });
        });
    }

    /// There is no room. Where another shard owns the link, messages wait for it there.
    fn stay(self: Box<Self>, shard: &Shard, to: Result<Pid, SendReason>) -> Option<Box<dyn Waits>> {
        if let Ok(to) = to
            && let Ok(Way::Owner(owner)) = shard.route(to)
        {
            (*self).hop(shard, owner, to);
            return None;
        }
        Some(self)
    }
}

impl Shard {
    /// Sends to a name on another node.
    pub(crate) fn deliver_named<M: Message>(
        &self,
        name: &str,
        node: &str,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let flags = self.with_send_queue(flags);
        if self.is_annex() {
            let (name, node, trace) = (name.to_owned(), node.to_owned(), self.trace());
            return self.send_by_home(message, flags, reply, move |home, message, reply| {
                home.with_trace(trace, || home.deliver_named(&name, &node, message, flags, reply))
            });
        }
        let flags = flags | self.trace_flag();
        let Some(session) = self.session_with(node) else {
            self.count_send_error(flags, true);
            return Err(SendError::new(self.why_no_session(node), message));
        };
        match self.known_holder(session, name) {
            Some(pid) => self.deliver_remote_named(pid, Some(name), message, flags, reply),
            None => self.send_to_unresolved(session, name, message, flags, reply),
        }
    }

    /// The session with a node that is up; if there is none, one is asked for.
    pub(super) fn session_with(&self, node: &str) -> Option<u32> {
        let session = self.net.find_node(node);
        if session.is_none() {
            self.ask_for(node);
        }
        session
    }

    /// Asks for a session with a node that somebody wants something of.
    #[cold]
    pub(super) fn ask_for(&self, node: &str) {
        if self.net.may_ask_for(node, self.now_ticks(), self.nanos_in_ticks(1_000_000_000))
            && let Ok(peer) = NodeName::new(node)
        {
            self.node().request(Request::Connect { peer });
        }
    }

    /// Who holds a name, if that is known.
    pub(super) fn known_holder(&self, session: u32, name: &str) -> Option<Pid> {
        self.net.sessions.borrow().get(session as usize)?.names.holder(name)
    }

    /// Whether a message of the current process may wait; if it waits for a name, that is asked for by the first.
    pub(super) fn prepare_to_wait(&self, session: u32, name: Option<&str>) -> Result<(), SendReason> {
        let mut sessions = self.net.sessions.borrow_mut();
        let peer = sessions.get_mut(session as usize).ok_or(SendReason::NotConnected)?;
        if peer.session.is_leaving() {
            return Err(SendReason::NodeStopping);
        }
        peer.names.admits(self.current_id())?;
        let Some(name) = name.filter(|name| peer.names.is_new(name)) else { return Ok(()) };
        let node = peer.session.peer.name.clone();
        if !self.node().request(Request::ResolveName { peer: node, name: name.into(), shard: self.index() }) {
            return Err(SendReason::Stopping);
        }
        peer.names.ask(name);
        Ok(())
    }

    /// Has a message of the current process wait, after [`Shard::prepare_to_wait`]: for the holder of a name, or for its turn.
    pub(super) fn have_wait(&self, session: u32, what: Result<Pid, &str>, message: Box<dyn Waits>) {
        let from = self.current_id();
        if let Some(peer) = self.net.sessions.borrow_mut().get_mut(session as usize) {
            match what {
                Ok(to) => peer.names.wait_for_turn(from, to, message),
                Err(name) => peer.names.wait_for_name(from, name, message),
            }
        }
        self.net.some_waiting.set(true);
        self.heed_waiting();
    }

    /// The session with the target's node, if messages of the current process wait there.
    #[cold]
    pub(super) fn behind(&self, to: Pid) -> Option<u32> {
        if !self.net.some_waiting.get() {
            return None;
        }
        let session = self.net.find(to.node.0)?;
        let sessions = self.net.sessions.borrow();
        sessions.get(session as usize)?.names.waits(self.current_id()).then_some(session)
    }

    /// Sends to a name that is being resolved.
    #[cold]
    fn send_to_unresolved<M: Message>(
        &self,
        session: u32,
        name: &str,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        if let Err(reason) = self.prepare_to_wait(session, Some(name)) {
            self.count_send_error(flags, true);
            return Err(SendError::new(reason, message));
        }
        self.have_wait(session, Err(name), self.held(Some(name), message, flags, reply));
        Ok(())
    }

    /// Sends to a process of another node after what waits of its sender.
    #[cold]
    pub(super) fn send_in_turn<M: Message>(
        &self,
        session: u32,
        (to, name): (Pid, Option<&str>),
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        if let Err(reason) = self.prepare_to_wait(session, None) {
            self.count_send_error(flags, true);
            return Err(SendError::new(reason, message));
        }
        self.have_wait(session, Ok(to), self.held(name, message, flags, reply));
        Ok(())
    }

    fn held<M: Message>(&self, name: Option<&str>, message: M, flags: u64, reply: u64) -> Box<dyn Waits> {
        let (name, from, trace) = (name.map(Into::into), self.current_id(), self.trace());
        Box::new(Held { name, from, trace, flags, reply, message })
    }

    /// The control thread knows who holds a name on another node; `None`: nobody, or the node cannot be asked.
    pub(crate) fn name_answer(&self, node: &NodeName, name: &str, holder: Option<Pid>) {
        let Some(session) = self.net.find_node(node.as_str()) else { return };
        let (missing, senders, failed) = {
            let mut sessions = self.net.sessions.borrow_mut();
            let Some(peer) = sessions.get_mut(session as usize) else { return };
            // A node that stops ends its processes: the name was known there before.
            let is_leaving = peer.session.is_leaving();
            let missing = if is_leaving { SendReason::NodeStopping } else { SendReason::NameUnknown };
            let (senders, failed) = peer.names.answer(name, holder);
            (missing, senders, failed)
        };
        self.fail_waiting(failed, missing);
        for sender in senders {
            self.send_waiting(session, sender);
        }
        self.after_waiting(session);
    }

    /// A link has room again: what has waited goes on.
    #[cold]
    pub(super) fn send_all_waiting(&self) {
        let all: Vec<(u32, Vec<u64>)> = {
            let sessions = self.net.sessions.borrow();
            let some = sessions.iter().zip(0..).filter(|(peer, _)| peer.names.has_waiting());
            some.map(|(peer, session)| (session, peer.names.senders())).collect()
        };
        for (session, senders) in all {
            for sender in senders {
                self.send_waiting(session, sender);
            }
            self.after_waiting(session);
        }
    }

    /// Sends what a sender has waiting, up to a name that is not known or a message that finds no room.
    fn send_waiting(&self, session: u32, sender: u64) {
        loop {
            let next = self.with_names(session, |names| names.next_of(sender)).flatten();
            let Some((to, message)) = next else { break };
            let mut back = None;
            self.contain(|| back = message.go(self, Ok(to)));
            if let Some(message) = back {
                self.with_names(session, |names| names.put_back(sender, to, message));
                break;
            }
        }
        self.with_names(session, |names| names.drop_empty(sender));
    }

    fn with_names<R>(&self, session: u32, f: impl FnOnce(&mut Names) -> R) -> Option<R> {
        let mut sessions = self.net.sessions.borrow_mut();
        sessions.get_mut(session as usize).map(|peer| f(&mut peer.names))
    }

    fn fail_waiting(&self, failed: impl IntoIterator<Item = Box<dyn Waits>>, reason: SendReason) {
        for message in failed {
            self.contain(|| drop(message.go(self, Err(reason))));
        }
    }

    /// Something that waited has gone: there is room, and perhaps nothing waits.
    fn after_waiting(&self, session: u32) {
        for waiter in self.with_names(session, Names::take_room_waits).unwrap_or_default() {
            self.answer_own(waiter, LinkRoom);
        }
        let waits = |peer: &PeerSession| peer.names.has_waiting();
        let some = self.net.sessions.borrow().iter().any(waits);
        self.net.some_waiting.set(some);
        self.heed_waiting();
    }

    /// Whether nothing waits to be sent to nodes that are up.
    pub(super) fn has_sent_waiting(&self) -> bool {
        !self.net.sessions.borrow().iter().any(|peer| peer.is_up && peer.names.has_waiting())
    }

    /// The peer says that a name has another holder than this one.
    pub(super) fn name_moved(&self, key: u64, name: &str) {
        if let Some(session) = self.net.find(key) {
            self.with_names(session, |names| names.forget(name));
        }
    }

    /// The session of these names has ended: what waits is not sent.
    pub(super) fn end_names(&self, session: u32, mut names: Names, reason: SendReason) {
        for waiter in names.take_room_waits() {
            self.answer_own(waiter, LinkRoom);
        }
        self.fail_waiting(names.into_waiting(), reason);
        self.after_waiting(session);
    }
}
