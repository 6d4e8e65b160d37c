//! Does what the session core says.
//!
//! Invariants: X1 commands are done in the order they were given. X2 a data link is handed over once, and only by `LinkUp`.
//! X3 every session that was up is told to all shards, down included, in order.

use crate::control::accept;
use crate::control::driver::{Driver, Known, up_event};
use crate::control::event::NodeEvent;
use crate::control::input::{Authenticated, Input};
use crate::control::link::ControlLink;
use crate::control::outbox::Refusal;
use crate::control::routes::Way;
use crate::control::shake::Failed;
use crate::control::stream::Handed;
use crate::link::{LinkGrant, PeerChange, Session};
use crate::shard::LogLevel;
use shard_wire::ask::SERVES;
use shard_wire::compress::COMPRESSES;
use shard_wire::event::EVENTS;
use shard_wire::flow::NUMBERED;
use shard_wire::handshake::{Intent, Introduction, Reason, Source, Verdict};
use shard_wire::header::{ALIASES, TRACES};
use shard_wire::placement::{Placement, Slot};
use shard_wire::relation::RELATIONS;
use shard_wire::session::{Command, ControlMsg, DownReason, LinkId, MAX_TYPES, Stall};
use shard_wire::{NodeName, TYPES};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_local};

/// Dials of data links under way to one peer: fewer than it takes handshakes from one address.
const DIALS_PER_PEER: usize = 4;

/// Names of which something was said that is said once.
const MAX_SAID: usize = 4096;
/// Most keys of messages that are remembered of one peer.
const MAX_PEER_TYPES: usize = 1 << 16;

/// A connection the core knows.
#[derive(Debug)]
pub(super) enum Link {
    /// Being dialled.
    Dialing(AbortHandle),
    /// Authenticated, before the verdict.
    Judging(Box<Authenticated>),
    /// A control link.
    Control(ControlLink),
    /// A data link that its shard may not have yet.
    Held { stream: Handed, unread: Vec<u8> },
    /// A data link that its shard owns.
    Granted,
}

impl Driver {
    /// Does all there is to do.
    pub(super) fn run_commands(&mut self) {
        loop {
            let commands = self.core.take_commands();
            if commands.is_empty() {
                return;
            }
            for command in commands {
                self.run(command);
            }
        }
    }

    fn run(&mut self, command: Command) {
        match command {
            Command::Dial { link, peer, intent } => self.dial(link, peer, intent),
            Command::Judged { link, verdict } => self.judge(link, verdict),
            Command::SendControl { link, peer, msg } => self.send_control(link, &peer, &msg),
            Command::CloseLink { link, flush } => self.close_link(link, flush),
            Command::PeerUp { peer, session, placement } => self.peer_up(&peer, session, placement),
            Command::PeerDown { peer, session, reason } => self.peer_down(&peer, session, reason),
            Command::PeerSuspect { peer, .. } => {
                self.note(&peer, PeerChange::Suspect);
                self.log_of(&peer, LogLevel::Warning, || {
                    format!("node {peer} is suspect: it does not answer heartbeats")
                });
            }
            Command::PeerHealthy { peer, .. } => {
                self.note(&peer, PeerChange::Healthy);
                self.log_of(&peer, LogLevel::Info, || format!("node {peer} answers again"));
            }
            Command::PeerStalls { peer, stalls, .. } => self.peer_stalls(&peer, stalls),
            Command::LinkUp { peer, session, slot, epoch, link, owner } => {
                let known = self.sessions.get_mut(&peer).is_some_and(|known| known.slots.insert(slot));
                if !known && let Some(known) = self.sessions.get(&peer) {
                    known.session.peer.reconnections.fetch_add(1, Relaxed);
                }
                self.note(&peer, PeerChange::LinkUp { epoch, shard: owner.index() });
                self.grant(owner.index(), (peer, session, slot, epoch), link);
            }
            Command::LinkDown { peer, session, slot, epoch, owner, .. } => {
                self.note(&peer, PeerChange::LinkDown { epoch, shard: owner.index() });
                self.poster.post(owner.index(), move |shard| shard.link_down(&peer, session, slot, epoch));
            }
            Command::Control { peer, session, msg } => self.on_control(peer, session, msg),
            Command::NameRefused { peer } => {
                let text =
                    "says that another live node holds this node's name: stop one of the two, or rename it";
                self.say_once(LogLevel::Error, &peer, text);
            }
            Command::TwinRefused { peer } => {
                let text =
                    "lives and keeps its name against another node that claims it: stop one of the two";
                self.say_once(LogLevel::Warning, &peer, text);
            }
            // A command of a newer wire crate; the workspace pins one version.
            _ => {}
        }
    }

    /// Remembers what has changed between this node and a peer.
    fn note(&self, peer: &NodeName, change: PeerChange) {
        if let Some(known) = self.sessions.get(peer) {
            known.session.peer.history.note(self.node.clock().wall(), known.session.number, change);
        }
    }

    /// What a peer that tries again and again would repeat is said once until its next session.
    fn say_once(&mut self, level: LogLevel, peer: &NodeName, text: &str) {
        // LIMIT: names remembered; a stranger cannot get here without the cookie.
        if self.said.len() < MAX_SAID && self.said.insert(peer.clone()) {
            self.log_of(peer, level, || format!("node {peer} {text}"));
        }
    }

    fn on_control(&mut self, peer: NodeName, session: u64, msg: ControlMsg) {
        match msg {
            ControlMsg::NameQuery { req_id, name } => self.answer_name(&peer, req_id, &name),
            ControlMsg::NameAnswer { req_id, local, .. } => self.on_name_answer(&peer, req_id, local),
            ControlMsg::DiagCall { req_id, deadline_ms, tool_json } => {
                self.serve(peer, session, req_id, deadline_ms, tool_json);
            }
            ControlMsg::DiagChunk { req_id, seq, last, bytes } => {
                self.on_chunk(&peer, req_id, seq, last, &bytes)
            }
            ControlMsg::DiagError { req_id, kind, .. } => {
                self.end_call(&peer, req_id, Err(crate::error::DiagCallError::from_code(kind)));
            }
            ControlMsg::Leaving => self.peer_leaves(&peer),
            ControlMsg::Settled => {
                if let Some(known) = self.sessions.get(&peer) {
                    known.session.settled.store(true, Relaxed);
                }
            }
            ControlMsg::Types { keys, last } => self.on_types(&peer, &keys, last),
            ControlMsg::DiagCancel { req_id } => self.stop_serving_one(&peer, req_id),
            // No service runs on the control link yet.
            _ => {
                self.node.net().control_errors.fetch_add(1, Relaxed);
            }
        }
    }

    /// Tells a peer what this node reads.
    fn tell_types(&mut self, peer: &NodeName) {
        if self.sessions.get(peer).is_none_or(|known| known.types.is_none()) {
            return;
        }
        let keys = self.node.registry().keys();
        let mut chunks = keys.chunks(MAX_TYPES).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            self.send_counted(peer, &ControlMsg::Types { keys: chunk.to_vec(), last });
        }
    }

    /// A peer says what it reads.
    fn on_types(&mut self, peer: &NodeName, keys: &[u64], last: bool) {
        let Some(known) = self.sessions.get_mut(peer) else { return };
        let Some(mut types) = known.types.take() else {
            self.node.net().control_errors.fetch_add(1, Relaxed);
            return;
        };
        // LIMIT: keys of one peer; of what exceeds it, the earliest version is sent.
        let room = MAX_PEER_TYPES - types.len();
        types.extend(keys.iter().take(room));
        if last {
            types.sort_unstable();
            // Nobody has told them before: `types` was there.
            let _first = known.session.types.set(types.into());
        } else {
            known.types = Some(types);
        }
    }

    /// Where a node may be reached, and with what: routes first.
    pub(super) fn ways(&self, peer: &NodeName) -> Vec<Way> {
        let found = self.found.get(peer).map(|record| record.addresses.as_slice());
        self.routes.ways(peer, found.unwrap_or_default())
    }

    fn dial(&mut self, link: LinkId, peer: NodeName, intent: Intent) {
        let ways = self.ways(&peer);
        if ways.is_empty() {
            // Only the peer can dial this one; it is told which link is wanted.
            if let Intent::Data { session, slot, .. } = intent {
                self.send_counted(&peer, &ControlMsg::LinkRequest { session, slot });
            }
            return self.core.on_dial_failed(self.now_ns(), link, Reason::Unreachable, Source::Local);
        }
        let gate = match intent {
            Intent::Control { .. } => None,
            Intent::Data { .. } => {
                let gate =
                    self.dials.entry(peer.clone()).or_insert_with(|| Rc::new(Semaphore::new(DIALS_PER_PEER)));
                Some(Rc::clone(gate))
            }
        };
        let (shaker, inputs) = (Rc::clone(&self.shaker), self.inputs.clone());
        let task = spawn_local(async move {
            let _turn = match &gate {
                Some(gate) => gate.acquire().await.ok(),
                None => None,
            };
            let mut outcome = Err(Failed::local(Reason::Unreachable));
            'all: for Way { address, how } in ways {
                // A name that does not resolve is an address that cannot be reached.
                let Ok(found) = tokio::net::lookup_host(address).await else { continue };
                for address in found {
                    match shaker.dial(address, Some(peer.clone()), intent, &how).await {
                        // That another address leads nowhere says less than why this one was refused.
                        Err(failed) if failed.reason == Reason::Unreachable && outcome.is_err() => {}
                        told => outcome = told,
                    }
                    if outcome.is_ok() {
                        break 'all;
                    }
                }
            }
            // The loop ends with its tasks.
            let _ended = inputs.send(Input::Dialled { link, outcome }).await;
        });
        self.links.insert(link, Link::Dialing(task.abort_handle()));
    }

    fn judge(&mut self, link: LinkId, verdict: Verdict) {
        let Some(Link::Judging(authenticated)) = self.links.remove(&link) else { return };
        let Authenticated { waiting, _place } = *authenticated;
        let mut acceptor = waiting.acceptor;
        let Ok((bytes, accepted)) = acceptor.decide(verdict) else { return self.lose_later(link) };
        match (accepted, waiting.intent) {
            (None, _) => {
                if let Verdict::Refuse(reason) = verdict
                    && let Ok(source) = waiting.stream.peer_addr()
                {
                    accept::count(&self.node, reason, source);
                }
                spawn_local(waiting.stream.finish_with(bytes));
            }
            (Some(_), Intent::Control { .. }) => {
                self.node.net().accepted.fetch_add(1, Relaxed);
                let started = ControlLink::start(
                    link,
                    waiting.stream,
                    false,
                    bytes,
                    Vec::new(),
                    &self.shaker,
                    &self.inputs,
                );
                self.links.insert(link, Link::Control(started));
            }
            (Some(_), Intent::Data { .. }) => {
                self.node.net().accepted.fetch_add(1, Relaxed);
                // If the welcome falls short, the dialer hears nothing, closes, and the shard sees the end.
                match waiting.stream.hand_over(&bytes) {
                    Ok(stream) => {
                        self.links.insert(link, Link::Held { stream, unread: Vec::new() });
                    }
                    Err(_) => self.lose_later(link),
                }
            }
        }
    }

    /// Reports a link as lost, behind the commands that are being done.
    fn lose_later(&self, link: LinkId) {
        let inputs = self.inputs.clone();
        spawn_local(async move {
            let _ended = inputs.send(Input::Lost { link, why: "the connection failed" }).await;
        });
    }

    fn send_control(&mut self, link: LinkId, peer: &NodeName, msg: &ControlMsg) {
        let Some(Link::Control(control)) = self.links.get(&link) else { return };
        if let (ControlMsg::SessionUp { .. }, Some(known)) = (msg, self.sessions.get_mut(peer)) {
            known.control = Some(link);
            known.session.peer.dialled.store(control.by_us, Relaxed);
            known.session.peer.tls.store(control.is_tls, Relaxed);
        }
        let leaves = matches!(msg, ControlMsg::SessionUp { .. }) && self.is_leaving;
        let is_first = matches!(msg, ControlMsg::SessionUp { .. });
        match control.outbox.push(msg) {
            Ok(()) if is_first => {
                self.tell_types(peer);
                if !leaves {
                    return;
                }
                let serves = self.sessions.get(peer).is_some_and(|known| known.session.serves);
                if serves {
                    self.send_counted(peer, &ControlMsg::Leaving);
                }
            }
            Ok(()) => {}
            Err(Refusal::Full) => {
                // A peer that does not read its control link has lost it.
                self.node.net().control_refused.fetch_add(1, Relaxed);
                self.lose_later(link);
            }
            Err(Refusal::Unfit(error)) => {
                self.node.net().control_errors.fetch_add(1, Relaxed);
                self.log_of(peer, LogLevel::Error, || {
                    format!("a control message to {peer} was not sent: {error}")
                });
            }
        }
    }

    fn close_link(&mut self, link: LinkId, flush: bool) {
        match self.links.remove(&link) {
            Some(Link::Dialing(task)) => task.abort(),
            Some(Link::Control(control)) => {
                self.flushing.retain(|task| !task.is_finished());
                self.flushing.extend(control.close(flush));
                let of = self.sessions.iter().find(|(_, known)| known.control == Some(link));
                if let Some(peer) = of.map(|(peer, _)| peer.clone()) {
                    self.unlink(&peer);
                }
            }
            // The shard closes what it owns: it was told so.
            Some(Link::Granted | Link::Judging(_) | Link::Held { .. }) | None => {}
        }
    }

    fn peer_up(&mut self, intro: &Introduction, number: u64, placement: Placement) {
        let Some(peer) = self.node.peers().entry(&intro.name, self.node.shards()) else {
            self.log_of(&intro.name, LogLevel::Error, || format!("no room to remember node {}", intro.name));
            return self.core.disconnect(self.now_ns(), &intro.name);
        };
        let clock = self.node.clock();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let max_frame = intro.max_frame_bytes.min(self.shaker.own.max_frame_bytes);
        let common = intro.flags & self.shaker.own.flags;
        peer.since.store(clock.ticks(), Relaxed);
        peer.start_nanos.store(wall.saturating_sub(intro.incarnation.start_nanos), Relaxed);
        peer.key.store(intro.incarnation.key().0, Relaxed);
        peer.rtt_ns.store(0, Relaxed);
        peer.peer_shards.store(u64::from(intro.shards), Relaxed);
        peer.slots.store(u64::from(placement.slot_count()), Relaxed);
        peer.max_frame.store(u64::from(max_frame), Relaxed);
        peer.features.store(common, Relaxed);
        let heartbeat_ms = self.core.timing().heartbeat_to_ns(intro.heartbeat_ms) / 1_000_000;
        peer.heartbeat_ms.store(heartbeat_ms, Relaxed);
        peer.session.store(number, Relaxed);
        peer.ups.fetch_add(1, Relaxed);
        peer.connected.store(true, Relaxed);
        self.node.net().established.fetch_add(1, Relaxed);
        let session = Arc::new(Session {
            peer,
            number,
            key: intro.incarnation.key().0,
            shards: intro.shards,
            placement,
            max_frame: max_frame as usize,
            links: self.options,
            is_numbered: common & NUMBERED != 0,
            has_relations: common & RELATIONS != 0,
            has_events: common & EVENTS != 0,
            is_over: AtomicBool::new(false),
            is_compressing: common & COMPRESSES != 0,
            serves: common & SERVES != 0,
            traces: common & TRACES != 0,
            takes_aliases: common & ALIASES != 0,
            leaving: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            types: OnceLock::new(),
        });
        let known = Known {
            session: Arc::clone(&session),
            control: None,
            slots: HashSet::new(),
            types: (common & TYPES != 0).then(Vec::new),
        };
        self.sessions.insert(intro.name.clone(), known);
        self.note(&intro.name, PeerChange::Up);
        self.said.remove(&intro.name);
        self.log_of(&intro.name, LogLevel::Info, || format!("node {} up (session {number})", intro.name));
        self.poster.post_all(move |shard| shard.session_up(Arc::clone(&session)));
        self.publish(&up_event(&intro.name, number));
    }

    fn peer_down(&mut self, peer: &NodeName, session: u64, reason: DownReason) {
        self.fail_pending(peer);
        self.stop_serving(peer);
        self.dials.remove(peer);
        self.note(peer, PeerChange::Down(reason));
        // Without it the session was never told to anybody.
        let Some(known) = self.sessions.remove(peer) else { return };
        if reason == DownReason::Goodbye && !self.routes.is_kept(peer) && !self.found.contains_key(peer) {
            // It has left the registrar, too: nobody says that it comes back.
            self.core.disconnect(self.now_ns(), peer);
        }
        known.session.peer.connected.store(false, Relaxed);
        known.session.peer.downs.fetch_add(1, Relaxed);
        let net = self.node.net();
        net.count_down(reason);
        net.set_stalls(peer, Vec::new());
        self.log_of(peer, LogLevel::Info, || format!("node {peer} down: {}", reason.name()));
        let name = peer.clone();
        self.poster.post_all(move |shard| shard.session_down(&name, session, reason));
        self.publish(&NodeEvent::Down { name: peer.as_str().to_owned(), session, reason });
    }

    fn peer_stalls(&self, peer: &NodeName, stalls: Vec<Stall>) {
        let first = stalls.first().copied();
        let changed = self.node.net().set_stalls(peer, stalls);
        match first {
            Some(stall) if changed => self.log_of(peer, LogLevel::Warning, || {
                let (shard, pid, ms) = (stall.shard, stall.pid, stall.stalled_ms);
                format!("node {peer}: shard {shard} is stalled by {pid} for {ms} ms; the node lives")
            }),
            None if changed => {
                self.log_of(peer, LogLevel::Info, || format!("node {peer}: no shard is stalled any more"))
            }
            _ => {}
        }
    }

    fn grant(&mut self, owner: u16, (peer, session, slot, epoch): (NodeName, u64, Slot, u32), link: LinkId) {
        // A link whose socket failed before the grant is reported by its own input.
        let Some(Link::Held { stream, unread }) = self.links.remove(&link) else { return };
        self.links.insert(link, Link::Granted);
        let grant = LinkGrant { peer, session, slot, epoch, link, stream, unread };
        self.poster.post(owner, move |shard| shard.link_up(grant));
    }
}
