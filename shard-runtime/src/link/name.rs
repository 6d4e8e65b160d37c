//! Names on other nodes, resolved before a link is chosen, so that FIFO holds for every form of address.
//!
//! Invariants: A1 while a name is being resolved, messages to it wait, and so does all that their senders send to that node
//! afterwards, by whatever address: it may be the same process. A2 a resolved name is used until its session ends or the peer
//! says that it moved; then it is resolved again. A3 what waits goes in the order in which it was sent.

use crate::error::{CallError, SendError, SendReason};
use crate::link::Request;
use crate::link::net::PeerSession;
use crate::mailbox::Meta;
use crate::shard::Shard;
use shard_wire::{Message, NodeName, Pid};
use std::collections::{HashMap, HashSet, VecDeque};

/// Messages of one shard that may wait for names of one node.
const MAX_WAITING: usize = 1 << 14;

/// Sends a waiting message to the process, or fails it.
type Go = Box<dyn FnOnce(&Shard, Result<Pid, SendReason>)>;

/// What a message waits for.
enum For {
    /// Its name.
    Name(Box<str>),
    /// Messages that were sent before it.
    Turn(Pid),
    /// Nobody has its name, or the node cannot be asked.
    Nobody(SendReason),
}

/// A message that waits.
struct Waiting {
    /// The process that sent it.
    from: u64,
    what: For,
    go: Go,
}

/// What is known of a name.
#[derive(Debug)]
enum NameState {
    /// Being asked for.
    Resolving,
    /// Its holder.
    Known(Pid),
}

/// What one shard knows of the names of a node, and the messages that wait for them.
#[derive(Default)]
pub(crate) struct Names {
    known: HashMap<Box<str>, NameState>,
    waiting: VecDeque<Waiting>,
    /// How many of them are of each sender.
    senders: HashMap<u64, usize>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("known", &self.known).field("waiting", &self.waiting.len()).finish()
    }
}

impl Names {
    fn holder(&self, name: &str) -> Option<Pid> {
        match self.known.get(name) {
            Some(NameState::Known(pid)) => Some(*pid),
            _ => None,
        }
    }

    fn wait(&mut self, message: Waiting) {
        *self.senders.entry(message.from).or_default() += 1;
        self.waiting.push_back(message);
    }

    /// It is known who holds a name, or that nobody does.
    fn answer(&mut self, name: &str, holder: Result<Pid, SendReason>) {
        match holder {
            Ok(pid) => self.known.insert(name.into(), NameState::Known(pid)),
            // Not remembered: the next message asks again.
            Err(_) => self.known.remove(name),
        };
        for message in &mut self.waiting {
            if matches!(&message.what, For::Name(wanted) if **wanted == *name) {
                message.what = holder.map_or_else(For::Nobody, For::Turn);
            }
        }
    }

    /// The messages whose turn it is, in their order: all but those behind one of the same sender whose name is not known.
    fn take_ready(&mut self) -> Vec<Waiting> {
        let (mut held, mut ready) = (HashSet::new(), Vec::new());
        for message in std::mem::take(&mut self.waiting) {
            let waits = match message.what {
                For::Name(_) => true,
                For::Turn(_) => held.contains(&message.from),
                For::Nobody(_) => false,
            };
            if waits {
                held.insert(message.from);
                self.waiting.push_back(message);
                continue;
            }
            if let Some(count) = self.senders.get_mut(&message.from) {
                *count -= 1;
            }
            ready.push(message);
        }
        self.senders.retain(|_, count| *count > 0);
        ready
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

    /// Whether a message may wait; if it waits for a name, that is asked for by the first.
    pub(super) fn prepare_to_wait(&self, session: u32, name: Option<&str>) -> Result<(), SendReason> {
        let mut sessions = self.net.sessions.borrow_mut();
        let peer = sessions.get_mut(session as usize).ok_or(SendReason::NotConnected)?;
        if peer.session.is_leaving() {
            return Err(SendReason::NodeStopping);
        }
        // LIMIT: messages that wait for names.
        if peer.names.waiting.len() >= MAX_WAITING {
            return Err(SendReason::Overloaded);
        }
        let Some(name) = name.filter(|name| !peer.names.known.contains_key(*name)) else { return Ok(()) };
        let node = peer.session.peer.name.clone();
        if !self.node().request(Request::ResolveName { peer: node, name: name.into(), shard: self.index() }) {
            return Err(SendReason::Stopping);
        }
        peer.names.known.insert(name.into(), NameState::Resolving);
        Ok(())
    }

    /// Has a message of the current process wait for the holder of a name, after [`Shard::prepare_to_wait`].
    pub(super) fn wait_for_name(
        &self,
        session: u32,
        name: &str,
        go: impl FnOnce(&Self, Result<Pid, SendReason>) + 'static,
    ) {
        self.wait_in_order(session, For::Name(name.into()), Box::new(go));
    }

    /// Has a message of the current process wait for those before it, after [`Shard::prepare_to_wait`].
    pub(super) fn wait_for_turn(
        &self,
        session: u32,
        to: Pid,
        go: impl FnOnce(&Self, Result<Pid, SendReason>) + 'static,
    ) {
        self.wait_in_order(session, For::Turn(to), Box::new(go));
    }

    fn wait_in_order(&self, session: u32, what: For, go: Go) {
        let from = self.current_id();
        if let Some(peer) = self.net.sessions.borrow_mut().get_mut(session as usize) {
            peer.names.wait(Waiting { from, what, go });
        }
        self.net.some_waiting.set(true);
        self.heed_waiting();
    }

    /// The session with the target's node, if messages of the current process wait there for names.
    #[cold]
    pub(super) fn behind(&self, to: Pid) -> Option<u32> {
        if !self.net.some_waiting.get() {
            return None;
        }
        let session = self.net.find(to.node.0)?;
        let sessions = self.net.sessions.borrow();
        let senders = &sessions.get(session as usize)?.names.senders;
        senders.contains_key(&self.current_id()).then_some(session)
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
        self.wait_for_name(session, name, self.later(Some(name), message, flags, reply));
        Ok(())
    }

    /// Sends to a process of another node after what waits for names there.
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
        self.wait_for_turn(session, to, self.later(name, message, flags, reply));
        Ok(())
    }

    /// What is done with a message of the current process when it has waited.
    fn later<M: Message>(
        &self,
        name: Option<&str>,
        message: M,
        flags: u64,
        reply: u64,
    ) -> impl FnOnce(&Self, Result<Pid, SendReason>) + 'static {
        let (name, from, trace) = (name.map(Box::<str>::from), self.current_id(), self.trace());
        move |shard, holder| {
            let sent = match holder {
                Ok(pid) => shard.with_trace(trace, || {
                    shard.speaking_as(from, || {
                        let sent = shard.deliver_remote_named(pid, name.as_deref(), message, flags, reply);
                        sent.map_err(|error| error.reason)
                    })
                }),
                Err(reason) => {
                    shard.count_send_error(flags, true);
                    Err(reason)
                }
            };
            if let Err(reason) = sent {
                if flags & Meta::CALL == 0 {
                    shard.count(|cells| &cells.dead_letters, 1);
                } else {
                    shard.refuse(reply, CallError::Send(reason));
                }
            }
        }
    }

    /// The control thread knows who holds a name on another node; `None`: nobody, or the node cannot be asked.
    pub(crate) fn name_answer(&self, node: &NodeName, name: &str, holder: Option<Pid>) {
        let Some(session) = self.net.find_node(node.as_str()) else { return };
        let ready = {
            let mut sessions = self.net.sessions.borrow_mut();
            let Some(peer) = sessions.get_mut(session as usize) else { return };
            // A node that stops ends its processes: the name was known there before.
            let is_leaving = peer.session.is_leaving();
            let missing = if is_leaving { SendReason::NodeStopping } else { SendReason::NameUnknown };
            peer.names.answer(name, holder.ok_or(missing));
            peer.names.take_ready()
        };
        // A3: none of these waits again.
        self.net.some_waiting.set(false);
        for Waiting { what, go, .. } in ready {
            let holder = match what {
                For::Turn(pid) => Ok(pid),
                For::Nobody(reason) => Err(reason),
                For::Name(_) => Err(SendReason::NameUnknown),
            };
            self.contain(|| go(self, holder));
        }
        self.look_for_waiting();
    }

    fn look_for_waiting(&self) {
        let waits = |peer: &PeerSession| !peer.names.waiting.is_empty();
        let some = self.net.sessions.borrow().iter().any(waits);
        self.net.some_waiting.set(some);
        self.heed_waiting();
    }

    /// The peer says that a name has another holder than this one.
    pub(super) fn name_moved(&self, key: u64, name: &str) {
        let Some(session) = self.net.find(key) else { return };
        if let Some(peer) = self.net.sessions.borrow_mut().get_mut(session as usize)
            && peer.names.holder(name).is_some()
        {
            peer.names.known.remove(name);
        }
    }

    /// The session of these names has ended: what waits is not sent.
    pub(super) fn end_names(&self, names: Names, reason: SendReason) {
        for message in names.waiting {
            self.contain(|| (message.go)(self, Err(reason)));
        }
        self.look_for_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::{For, Names, Waiting};
    use crate::error::SendReason;
    use shard_wire::{IncarnationKey, LocalId, Pid};

    fn pid(local: u64) -> Pid {
        Pid { node: IncarnationKey(7), local: LocalId(local) }
    }

    fn wait(names: &mut Names, from: u64, what: For) {
        names.wait(Waiting { from, what, go: Box::new(|_, _| {}) });
    }

    /// Senders of what is ready, and where it goes.
    fn ready(names: &mut Names) -> Vec<(u64, Result<Pid, SendReason>)> {
        let outcome = |message: Waiting| match message.what {
            For::Turn(pid) => (message.from, Ok(pid)),
            For::Nobody(reason) => (message.from, Err(reason)),
            For::Name(name) => panic!("{name} is not known"),
        };
        names.take_ready().into_iter().map(outcome).collect()
    }

    #[test]
    fn a_sender_waits_for_its_names_and_others_pass() {
        let mut names = Names::default();
        wait(&mut names, 1, For::Name("a".into()));
        wait(&mut names, 1, For::Turn(pid(10)));
        wait(&mut names, 2, For::Name("b".into()));
        wait(&mut names, 1, For::Name("b".into()));
        wait(&mut names, 2, For::Turn(pid(11)));
        names.answer("b", Ok(pid(20)));
        assert_eq!(ready(&mut names), [(2, Ok(pid(20))), (2, Ok(pid(11)))]);
        assert!(names.senders.contains_key(&1) && !names.senders.contains_key(&2));
        names.answer("a", Ok(pid(30)));
        assert_eq!(ready(&mut names), [(1, Ok(pid(30))), (1, Ok(pid(10))), (1, Ok(pid(20)))]);
        assert!(names.senders.is_empty() && names.waiting.is_empty());
    }

    #[test]
    fn a_name_that_nobody_has_fails_its_messages_alone() {
        let mut names = Names::default();
        wait(&mut names, 1, For::Name("a".into()));
        wait(&mut names, 1, For::Name("b".into()));
        wait(&mut names, 1, For::Turn(pid(10)));
        names.answer("b", Err(SendReason::NameUnknown));
        assert_eq!(ready(&mut names), [(1, Err(SendReason::NameUnknown))]);
        names.answer("a", Err(SendReason::NameUnknown));
        assert_eq!(ready(&mut names), [(1, Err(SendReason::NameUnknown)), (1, Ok(pid(10)))]);
    }
}
