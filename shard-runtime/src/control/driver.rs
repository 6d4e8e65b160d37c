//! The loop of the control thread: takes what happened, feeds the session core, does what it says.
//!
//! Owns: the core, the links, and what is known of each session. Invariants: D1 after each input the commands are done, in
//! order, before the next. D2 nothing in the loop waits for a peer, a shard or a file.

use crate::control::answer::Pending;
use crate::control::command::Link;
use crate::control::diag::{DiagOrder, DiagRequest};
use crate::control::event::NodeEvent;
use crate::control::input::{Input, Inputs, Order};
use crate::control::link::ControlLink;
use crate::control::outbox::Refusal;
use crate::control::poster::Poster;
use crate::control::routes::Routes;
use crate::control::shake::{Failed, Shaker};
use crate::control::stream::LinkStream;
use crate::control::watchdog::Watchdog;
use crate::error::DiagCallError;
use crate::link::{LinkOptions, Request, Session};
use crate::shard::{LogLevel, Shard};
use crate::shared::NodeShared;
use crate::tap::Writer;
use shard_wire::handshake::{Established, Intent, Reason, Source};
use shard_wire::placement::Slot;
use shard_wire::session::{ControlMsg, LinkId, MAX_QUARANTINED, SessionCore};
use shard_wire::{NodeName, ShardId};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle};

/// Tasks refused by full inboxes are tried again after this.
const RETRY_NS: u64 = 10_000_000;

/// A session that stands, as the control thread sees it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) session: Arc<Session>,
    /// Its control link now.
    pub(super) control: Option<LinkId>,
    /// Slots that had a link in this session.
    pub(super) slots: HashSet<Slot>,
    /// Keys of messages that the peer has told so far; `None` once they are all there, or if it tells none.
    pub(super) types: Option<Vec<u64>>,
}

/// The state of the control thread of a node with a network.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) node: Arc<NodeShared>,
    pub(super) core: SessionCore,
    pub(super) shaker: Rc<Shaker>,
    pub(super) inputs: Inputs,
    pub(super) poster: Poster,
    pub(super) watchdog: Watchdog,
    pub(super) pending: Pending,
    pub(super) links: HashMap<LinkId, Link>,
    pub(super) sessions: HashMap<NodeName, Known>,
    /// Bounds the dials of data links under way, per peer.
    pub(super) dials: HashMap<NodeName, Rc<Semaphore>>,
    pub(super) routes: Arc<Routes>,
    /// Addresses of nodes, as the registrar says.
    pub(super) found: HashMap<NodeName, crate::registrar::NodeRecord>,
    pub(super) options: LinkOptions,
    pub(super) subscribers: Vec<SyncSender<NodeEvent>>,
    pub(super) agent: Option<mpsc::Sender<DiagRequest>>,
    /// Questions of peers that are being answered.
    pub(super) served: HashMap<(NodeName, u64), AbortHandle>,
    /// Links that are written out before they are gone.
    pub(super) flushing: Vec<JoinHandle<()>>,
    pub(super) armed_ns: Option<u64>,
    /// All peers know, or are told when they come, that this node takes nothing new.
    pub(super) is_leaving: bool,
    /// Peers of which something was said that is said once.
    pub(super) said: HashSet<NodeName>,
}

impl Driver {
    pub(super) fn now_ns(&self) -> u64 {
        self.shaker.now_ns()
    }

    pub(super) fn log(&self, level: LogLevel, text: impl FnOnce() -> String) {
        self.node.log().of(level, || Writer::Network { peer: None }, text);
    }

    /// A line about a peer.
    pub(super) fn log_of(&self, peer: &NodeName, level: LogLevel, text: impl FnOnce() -> String) {
        self.node.log().of(level, || Writer::Network { peer: Some(peer.clone()) }, text);
    }

    /// When the loop must look again, in nanoseconds of its clock.
    pub(super) fn arm(&mut self) -> u64 {
        self.armed_ns = self.core.next_deadline();
        let behind = self.poster.is_behind().then(|| self.now_ns() + RETRY_NS);
        let due = [self.armed_ns, self.pending.deadline_ns(), behind];
        due.into_iter().flatten().fold(self.watchdog.next_ns(), u64::min)
    }

    /// Does what time alone asks for.
    pub(super) fn tick(&mut self) {
        let now_ns = self.now_ns();
        if self.watchdog.look(now_ns) {
            self.core.set_stalls(self.watchdog.stalls().to_vec());
        }
        if self.poster.is_behind() {
            self.poster.retry();
        }
        if self.pending.deadline_ns().is_some_and(|due| due <= now_ns) {
            self.expire(now_ns);
        }
        if self.armed_ns.is_some_and(|due| due <= now_ns) {
            self.core.on_tick(now_ns);
            self.run_commands();
        }
    }

    /// Something a task has to say.
    pub(super) fn on_input(&mut self, input: Input) {
        let now_ns = self.now_ns();
        match input {
            Input::Authenticated(authenticated) => {
                let waiting = &authenticated.waiting;
                let link = self.core.on_authenticated(now_ns, &waiting.peer, waiting.intent);
                self.links.insert(link, Link::Judging(authenticated));
            }
            Input::Dialled { link, outcome } => match outcome {
                Ok((stream, established)) => self.on_dialled(now_ns, link, stream, *established),
                Err(failed) => self.on_dial_failed(now_ns, link, failed),
            },
            Input::Heard { link, at_ns, messages } => {
                self.core.on_heard(now_ns, link);
                for message in messages {
                    self.on_message(now_ns, at_ns, link, message);
                }
            }
            Input::Lost { link, why } => self.on_lost(now_ns, link, why),
            Input::Answered { peer, session, request, answer } => {
                self.on_answered(&peer, session, request, answer);
            }
        }
        self.run_commands();
    }

    fn on_message(&mut self, now_ns: u64, at_ns: u64, link: LinkId, message: ControlMsg) {
        if let ControlMsg::HeartbeatAck { seq, echo_ns } = message
            && let Some(peer) = self.peer_on(link)
        {
            self.on_echo(&peer, at_ns, seq, echo_ns);
        }
        self.core.on_control(now_ns, link, message);
        // What one message ends, the next must find ended.
        self.run_commands();
    }

    /// The peer whose control link this is.
    fn peer_on(&self, link: LinkId) -> Option<NodeName> {
        let known = self.sessions.iter().find(|(_, known)| known.control == Some(link));
        known.map(|(peer, _)| peer.clone())
    }

    fn on_dialled(&mut self, now_ns: u64, link: LinkId, stream: LinkStream, mut established: Established) {
        // The core has given this dial up.
        if !matches!(self.links.get(&link), Some(Link::Dialing(_))) {
            return;
        }
        self.node.net().dialled.fetch_add(1, Relaxed);
        let unread = std::mem::take(&mut established.unread);
        let stands = match established.intent {
            Intent::Control { .. } => {
                let started =
                    ControlLink::start(link, stream, true, Vec::new(), unread, &self.shaker, &self.inputs);
                Some(Link::Control(started))
            }
            Intent::Data { .. } => stream.hand_over(&[]).ok().map(|stream| Link::Held { stream, unread }),
        };
        match stands {
            Some(stands) => {
                self.links.insert(link, stands);
                self.core.on_dialed(now_ns, link, &established);
            }
            None => self.on_dial_failed(now_ns, link, Failed::local(Reason::Closed)),
        }
    }

    pub(super) fn on_dial_failed(&mut self, now_ns: u64, link: LinkId, failed: Failed) {
        self.links.remove(&link);
        let times = self.node.net().dial_errors.count(failed.reason);
        if times.is_power_of_two() {
            let by = if failed.source == Source::Local { "here" } else { "by the other end" };
            // What an operator has to change is worth more than what a network does.
            let level = if failed.reason.is_credential() { LogLevel::Warning } else { LogLevel::Debug };
            self.log(level, || {
                format!(
                    "dial failed, decided {by} ({}, {times} so far): {}",
                    failed.reason.name(),
                    failed.reason
                )
            });
        }
        self.core.on_dial_failed(now_ns, link, failed.reason, failed.source);
    }

    fn on_lost(&mut self, now_ns: u64, link: LinkId, why: &'static str) {
        self.links.remove(&link);
        if let Some(peer) = self.peer_on(link) {
            self.log_of(&peer, LogLevel::Debug, || format!("the control link to {peer} was lost: {why}"));
            self.unlink(&peer);
        }
        self.core.on_link_lost(now_ns, link);
    }

    /// The control link of a session is gone; what was asked over it has no answer.
    pub(super) fn unlink(&mut self, peer: &NodeName) {
        if let Some(known) = self.sessions.get_mut(peer) {
            known.control = None;
        }
        self.fail_pending(peer);
        self.stop_serving(peer);
    }

    /// Something a shard wants.
    pub(super) fn on_request(&mut self, request: Request) {
        let now_ns = self.now_ns();
        match request {
            // A node nobody knows is not dialled; once the registrar knows it, it is.
            Request::Connect { peer } if self.ways(&peer).is_empty() => {}
            Request::Connect { peer } => self.connect(&peer),
            Request::Quarantine { peer } => self.quarantine(&peer),
            Request::Allow { peer } => {
                if self.core.barred(&peer) == Some(Reason::Quarantined) {
                    self.log_of(&peer, LogLevel::Warning, || {
                        format!("the quarantine of node {peer} is over")
                    });
                    self.core.allow(now_ns, &peer);
                }
            }
            Request::ReleaseSlot { peer, slot } => self.core.release_slot(&peer, slot),
            Request::WantSlot { peer, slot } => self.core.want_slot(now_ns, &peer, slot),
            Request::LinkLost { link, why } => {
                self.links.remove(&link);
                self.log(LogLevel::Debug, || format!("data link {} was lost: {why}", link.0));
                self.core.on_link_lost(now_ns, link);
            }
            Request::Heard { link } => self.core.on_heard(now_ns, link),
            Request::DownProcessed { shard, peer, session } => {
                if let Some(shard) = ShardId::new(shard) {
                    self.core.on_down_processed(shard, &peer, session);
                }
            }
            Request::ResolveName { peer, name, shard } => self.ask_name(peer, name, shard),
        }
        self.run_commands();
    }

    /// Keeps a session with a node from now on.
    pub(super) fn connect(&mut self, peer: &NodeName) {
        let connecting = self.core.connect(self.now_ns(), peer);
        if !connecting && peer != self.node.node_name() && !self.node.is_stopping() {
            let why =
                if self.core.barred(peer).is_some() { "it is not on the list" } else { "too many peers" };
            self.log_of(peer, LogLevel::Warning, || format!("not connecting to {peer}: {why}"));
        }
    }

    /// Has nothing to do with a node from now on.
    fn quarantine(&mut self, peer: &NodeName) {
        if self.core.barred(peer) == Some(Reason::Quarantined) {
            return;
        }
        if self.core.quarantine(self.now_ns(), peer) {
            self.log_of(peer, LogLevel::Warning, || format!("node {peer} is in quarantine"));
        } else {
            self.log_of(peer, LogLevel::Error, || {
                format!("node {peer} is not in quarantine: it is this node, or {MAX_QUARANTINED} nodes are")
            });
        }
    }

    /// Something a thread outside wants.
    pub(super) fn on_order(&mut self, order: Order) {
        match order {
            Order::Subscribe(subscriber) => {
                let standing = self.sessions.iter().map(|(peer, known)| up_event(peer, known.session.number));
                let told =
                    standing.collect::<Vec<_>>().into_iter().all(|event| subscriber.try_send(event).is_ok());
                if told {
                    self.subscribers.push(subscriber);
                }
            }
            Order::Diag(DiagOrder::Call { id, node, request, deadline, answer }) => {
                self.start_call(id, &node, request, self.ns_of(deadline), answer);
            }
            Order::Diag(DiagOrder::Ping { id, node, deadline, answer }) => {
                self.start_ping(id, &node, self.ns_of(deadline), answer);
            }
            Order::Diag(DiagOrder::Cancel { id }) => self.cancel_call(id),
            Order::Diag(DiagOrder::Agent(agent)) => self.agent = Some(agent),
        }
        self.run_commands();
    }

    fn ns_of(&self, at: std::time::Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.shaker.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Tells programs; those that do not listen miss it, which is counted.
    pub(super) fn publish(&mut self, event: &NodeEvent) {
        let net = self.node.net();
        self.subscribers.retain(|subscriber| match subscriber.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                net.events_lost.fetch_add(1, Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }

    /// This node takes nothing new.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.tell_all(&ControlMsg::Leaving);
    }

    /// Tells all peers that understand it.
    pub(super) fn tell_all(&mut self, msg: &ControlMsg) {
        let serving = self.sessions.iter().filter(|(_, known)| known.session.serves);
        let peers: Vec<NodeName> = serving.map(|(peer, _)| peer.clone()).collect();
        for peer in peers {
            self.send_counted(&peer, msg);
        }
    }

    /// A peer takes nothing new.
    pub(super) fn peer_leaves(&mut self, peer: &NodeName) {
        let Some(known) = self.sessions.get(peer) else { return };
        known.session.leaving.store(true, Relaxed);
        self.log_of(peer, LogLevel::Info, || format!("node {peer} is stopping and takes nothing new"));
        self.poster.post_all(Shard::heed_leaving);
    }

    /// Queues a message on the control link of a peer.
    pub(super) fn send(&mut self, peer: &NodeName, msg: &ControlMsg) -> Result<(), DiagCallError> {
        let known = self.sessions.get(peer).ok_or(DiagCallError::NotConnected)?;
        let link = known.control.and_then(|link| self.links.get(&link));
        let Some(Link::Control(link)) = link else { return Err(DiagCallError::Unreachable) };
        link.outbox.push(msg).map_err(|refusal| {
            self.node.net().control_refused.fetch_add(1, Relaxed);
            match refusal {
                Refusal::Full => DiagCallError::Overloaded,
                Refusal::Unfit(_) => DiagCallError::TooLarge,
            }
        })
    }

    /// The same, where the peer learns of a loss by its own deadline.
    pub(super) fn send_counted(&mut self, peer: &NodeName, msg: &ControlMsg) {
        let _counted = self.send(peer, msg);
    }
}

pub(super) fn up_event(peer: &NodeName, session: u64) -> NodeEvent {
    NodeEvent::Up { name: peer.as_str().to_owned(), session }
}
