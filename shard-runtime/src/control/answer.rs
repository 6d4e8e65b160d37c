//! Questions that wait for an answer of a peer: names, diagnostics calls and pings.
//!
//! Invariants: Q1 every question ends: by its answer, by its deadline, or with the session or link it went over. Q2 all
//! tables are bounded.

use crate::control::driver::Driver;
use crate::control::input::DiagAnswer;
use crate::error::DiagCallError;
use shard_wire::session::ControlMsg;
use shard_wire::{LocalId, NodeName, Pid};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a name query may take.
const NAME_LIMIT: Duration = Duration::from_secs(2);
/// Names asked for at once.
const MAX_NAMES: usize = 65_536;
/// Diagnostics calls and pings under way at once.
const MAX_CALLS: usize = 1024;
/// Set in the number of a heartbeat that is a ping.
const PING: u64 = 1 << 63;

/// A name a shard has asked for.
#[derive(Debug)]
struct NameQuery {
    peer: NodeName,
    name: Box<str>,
    shard: u16,
    deadline_ns: u64,
}

/// A diagnostics call or ping under way.
#[derive(Debug)]
struct Call {
    peer: NodeName,
    answer: DiagAnswer,
    deadline_ns: u64,
    parts: Vec<u8>,
    next_part: u32,
}

/// Everything that waits for an answer.
#[derive(Debug, Default)]
pub(super) struct Pending {
    next: u64,
    /// All have the same limit, so the first is the oldest.
    names: BTreeMap<u64, NameQuery>,
    calls: HashMap<u64, Call>,
}

impl Pending {
    /// When the next question is given up.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        let name = self.names.values().next().map(|query| query.deadline_ns);
        name.into_iter().chain(self.calls.values().map(|call| call.deadline_ns)).min()
    }
}

impl Driver {
    /// A shard asks who holds a name on a peer.
    pub(super) fn ask_name(&mut self, peer: NodeName, name: Box<str>, shard: u16) {
        self.pending.next += 1;
        let id = self.pending.next;
        let msg = ControlMsg::NameQuery { req_id: id, name: name.as_ref().into() };
        // LIMIT: names asked for at once.
        if self.pending.names.len() >= MAX_NAMES || self.send(&peer, &msg).is_err() {
            return self.tell_name(peer, name, shard, None);
        }
        let deadline_ns = self.now_ns() + NAME_LIMIT.as_nanos() as u64;
        self.pending.names.insert(id, NameQuery { peer, name, shard, deadline_ns });
    }

    fn tell_name(&mut self, peer: NodeName, name: Box<str>, shard: u16, holder: Option<Pid>) {
        self.poster.post(shard, move |shard| shard.name_answer(&peer, &name, holder));
    }

    /// A peer asks who holds a name here.
    pub(super) fn answer_name(&mut self, peer: &NodeName, req_id: u64, name: &str) {
        let names = self.node.names();
        let epoch = names.epoch();
        let local = names.lookup(name);
        self.send_counted(peer, &ControlMsg::NameAnswer { req_id, local, epoch });
    }

    /// A peer has answered a name query.
    pub(super) fn on_name_answer(&mut self, peer: &NodeName, req_id: u64, local: Option<LocalId>) {
        let Some(query) = self.pending.names.remove(&req_id) else { return };
        let key = self.sessions.get(peer).filter(|_| query.peer == *peer).map(|known| known.session.key);
        let holder = local.zip(key).map(|(local, key)| Pid { node: shard_wire::IncarnationKey(key), local });
        self.tell_name(query.peer, query.name, query.shard, holder);
    }

    /// Asks a peer's diagnostics.
    pub(super) fn start_call(
        &mut self,
        id: u64,
        node: &str,
        request: Vec<u8>,
        deadline_ns: u64,
        answer: DiagAnswer,
    ) {
        self.node.net().diag_calls.fetch_add(1, Relaxed);
        let left_ms = deadline_ns.saturating_sub(self.now_ns()) / 1_000_000;
        let deadline_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        let msg = ControlMsg::DiagCall { req_id: id, deadline_ms, tool_json: request };
        self.start(id, node, &msg, deadline_ns, answer);
    }

    /// Sends an echo of its own over a peer's control link.
    pub(super) fn start_ping(&mut self, id: u64, node: &str, deadline_ns: u64, answer: DiagAnswer) {
        // The peer takes it for a heartbeat, so it says what heartbeats say.
        let stalls = self.watchdog.stalls().to_vec();
        let msg = ControlMsg::Heartbeat { seq: PING | id, sent_ns: self.now_ns(), stalls };
        self.start(PING | id, node, &msg, deadline_ns, answer);
    }

    fn start(&mut self, id: u64, node: &str, msg: &ControlMsg, deadline_ns: u64, answer: DiagAnswer) {
        let peer = NodeName::new(node).map_err(|_| DiagCallError::NotConnected);
        let sent = peer.and_then(|peer| {
            // LIMIT: calls under way.
            if self.pending.calls.len() >= MAX_CALLS {
                return Err(DiagCallError::Overloaded);
            }
            self.send(&peer, msg).map(|()| peer)
        });
        match sent {
            Ok(peer) => {
                let call = Call { peer, answer, deadline_ns, parts: Vec::new(), next_part: 0 };
                self.pending.calls.insert(id, call);
            }
            // The asker may have gone.
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    /// Nobody waits for a call any more.
    pub(super) fn cancel_call(&mut self, id: u64) {
        self.pending.calls.remove(&(PING | id));
        if let Some(call) = self.pending.calls.remove(&id) {
            self.send_counted(&call.peer, &ControlMsg::DiagCancel { req_id: id });
        }
    }

    /// Ends a call.
    pub(super) fn end_call(&mut self, peer: &NodeName, id: u64, outcome: Result<Vec<u8>, DiagCallError>) {
        if self.pending.calls.get(&id).is_some_and(|call| call.peer == *peer)
            && let Some(call) = self.pending.calls.remove(&id)
        {
            // The asker may have gone.
            drop(call.answer.send(outcome));
        }
    }

    /// Part of an answer.
    pub(super) fn on_chunk(&mut self, peer: &NodeName, id: u64, part: u32, last: bool, bytes: &[u8]) {
        let Some(call) = self.pending.calls.get_mut(&id).filter(|call| call.peer == *peer) else { return };
        // LIMIT: the answer to one call.
        if call.parts.len() + bytes.len() > crate::control::diag::MAX_ANSWER_BYTES {
            self.end_call(peer, id, Err(DiagCallError::TooLarge));
            return self.send_counted(peer, &ControlMsg::DiagCancel { req_id: id });
        }
        if part != call.next_part {
            return self.end_call(peer, id, Err(DiagCallError::Version));
        }
        call.next_part += 1;
        call.parts.extend_from_slice(bytes);
        if last {
            let whole = std::mem::take(&mut call.parts);
            self.end_call(peer, id, Ok(whole));
        }
    }

    /// An echo came back: of a heartbeat, or of a ping.
    pub(super) fn on_echo(&mut self, peer: &NodeName, at_ns: u64, seq: u64, echo_ns: u64) {
        let trip_ns = at_ns.saturating_sub(echo_ns);
        if let Some(known) = self.sessions.get(peer) {
            known.session.peer.rtt_ns.store(trip_ns.max(1), Relaxed);
        }
        if seq & PING != 0 {
            self.end_call(peer, seq, Ok(trip_ns.to_le_bytes().to_vec()));
        }
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, now_ns: u64) {
        while let Some((&id, query)) = self.pending.names.first_key_value()
            && query.deadline_ns <= now_ns
            && let Some(query) = self.pending.names.remove(&id)
        {
            self.node.net().name_timeouts.fetch_add(1, Relaxed);
            self.tell_name(query.peer, query.name, query.shard, None);
        }
        let late = self.pending.calls.iter().filter(|(_, call)| call.deadline_ns <= now_ns);
        let late: Vec<(u64, NodeName)> = late.map(|(id, call)| (*id, call.peer.clone())).collect();
        for (id, peer) in late {
            self.node.net().diag_timeouts.fetch_add(1, Relaxed);
            self.end_call(&peer, id, Err(DiagCallError::Timeout));
            if id & PING == 0 {
                self.send_counted(&peer, &ControlMsg::DiagCancel { req_id: id });
            }
        }
    }

    /// The control link of a peer has gone, and with it the questions and answers on it.
    pub(super) fn fail_pending(&mut self, peer: &NodeName) {
        let lost = self.pending.names.iter().filter(|(_, query)| query.peer == *peer);
        let lost: Vec<u64> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            if let Some(query) = self.pending.names.remove(&id) {
                self.tell_name(query.peer, query.name, query.shard, None);
            }
        }
        let lost = self.pending.calls.iter().filter(|(_, call)| call.peer == *peer);
        let lost: Vec<u64> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            self.end_call(peer, id, Err(DiagCallError::Unreachable));
        }
    }
}
