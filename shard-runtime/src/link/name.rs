//! Names on other nodes, resolved before a link is chosen, so that FIFO holds for every form of address.
//!
//! Invariants: A1 while a name is being resolved, messages to it wait in order. A2 a resolved name is used until its session
//! ends or the peer says that it moved; then it is resolved again.

use crate::error::{CallError, SendError, SendReason};
use crate::link::Request;
use crate::link::net::PeerSession;
use crate::mailbox::Meta;
use crate::shard::Shard;
use shard_wire::{Message, NodeName, Pid};

/// Messages that may wait for one name.
const MAX_WAITING: usize = 4096;

/// Sends a waiting message to the holder of its name, or fails it.
type Go = Box<dyn FnOnce(&Shard, Result<Pid, SendReason>)>;

/// A message that waits for its name.
pub(crate) struct Waiting {
    /// Sends it, or fails it.
    pub(crate) go: Go,
}

/// What is known of a name.
pub(crate) enum NameState {
    /// Being asked for.
    Resolving(Vec<Waiting>),
    /// Its holder.
    Known(Pid),
}

impl std::fmt::Debug for NameState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resolving(waiting) => write!(f, "Resolving({})", waiting.len()),
            Self::Known(pid) => write!(f, "Known({pid:?})"),
        }
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
            None => self.wait_for_name(session, name, message, flags, reply),
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
        match self.net.sessions.borrow().get(session as usize)?.names.get(name) {
            Some(NameState::Known(pid)) => Some(*pid),
            _ => None,
        }
    }

    /// Those who wait for a name that is not known, to be joined; the first has it asked for.
    pub(super) fn waiting_for_name<'p>(
        &self,
        peer: &'p mut PeerSession,
        name: &str,
    ) -> Result<&'p mut Vec<Waiting>, SendReason> {
        if peer.session.is_leaving() {
            return Err(SendReason::NodeStopping);
        }
        if !peer.names.contains_key(name) {
            let node = peer.session.peer.name.clone();
            let request = Request::ResolveName { peer: node, name: name.into(), shard: self.index() };
            if !self.node().request(request) {
                return Err(SendReason::Stopping);
            }
            peer.names.insert(name.into(), NameState::Resolving(Vec::new()));
        }
        match peer.names.get_mut(name) {
            // LIMIT: messages that wait for one name.
            Some(NameState::Resolving(waiting)) if waiting.len() >= MAX_WAITING => {
                Err(SendReason::Overloaded)
            }
            Some(NameState::Resolving(waiting)) => Ok(waiting),
            _ => Err(SendReason::NotConnected),
        }
    }

    fn wait_for_name<M: Message>(
        &self,
        session: u32,
        name: &str,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let mut sessions = self.net.sessions.borrow_mut();
        let peer = sessions.get_mut(session as usize).ok_or(SendReason::NotConnected);
        let waiting = match peer.and_then(|peer| self.waiting_for_name(peer, name)) {
            Ok(waiting) => waiting,
            Err(reason) => {
                self.count_send_error(flags, true);
                return Err(SendError::new(reason, message));
            }
        };
        let (text, from, trace): (Box<str>, u64, _) = (name.into(), self.current_id(), self.trace());
        waiting.push(Waiting {
            go: Box::new(move |shard, holder| {
                let sent = match holder {
                    Ok(pid) => shard.with_trace(trace, || {
                        shard.speaking_as(from, || {
                            shard
                                .deliver_remote_named(pid, Some(&text), message, flags, reply)
                                .map_err(|e| e.reason)
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
            }),
        });
        Ok(())
    }

    /// The control thread knows who holds a name on another node; `None`: nobody, or the node cannot be asked.
    pub(crate) fn name_answer(&self, node: &NodeName, name: &str, holder: Option<Pid>) {
        let Some(session) = self.net.find_node(node.as_str()) else { return };
        let (waiting, is_leaving) = {
            let mut sessions = self.net.sessions.borrow_mut();
            let Some(peer) = sessions.get_mut(session as usize) else { return };
            let is_leaving = peer.session.is_leaving();
            let before = match holder {
                Some(pid) => peer.names.insert(name.into(), NameState::Known(pid)),
                // Not remembered: the next message asks again.
                None => peer.names.remove(name),
            };
            match before {
                Some(NameState::Resolving(waiting)) => (waiting, is_leaving),
                _ => return,
            }
        };
        // A node that stops ends its processes: the name was known there before.
        let missing = if is_leaving { SendReason::NodeStopping } else { SendReason::NameUnknown };
        for message in waiting {
            self.contain(|| (message.go)(self, holder.ok_or(missing)));
        }
    }

    /// The peer says that a name has another holder than this one.
    pub(super) fn name_moved(&self, key: u64, name: &str) {
        let Some(session) = self.net.find(key) else { return };
        if let Some(peer) = self.net.sessions.borrow_mut().get_mut(session as usize)
            && matches!(peer.names.get(name), Some(NameState::Known(_)))
        {
            peer.names.remove(name);
        }
    }

    /// The session ended while a name was being resolved.
    pub(super) fn fail_name(&self, state: NameState, reason: SendReason) {
        if let NameState::Resolving(waiting) = state {
            for message in waiting {
                self.contain(|| (message.go)(self, Err(reason)));
            }
        }
    }
}
