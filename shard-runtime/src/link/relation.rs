//! Links, monitors and exit signals between processes of two nodes.
//!
//! A relation has its two halves in the two processes, as on one node; what passes between their shards is a frame of the
//! signal lane instead of a task. The target's node looks names and aliases up, for it alone knows what they lead to.
//! Invariants: R1 a relation that was made fires once: by the frame that says why, or by the end of the session, whichever
//! its consumer's shard hears first; the other finds nothing (L1, L2 of `Relations`). R2 a frame speaks of processes of the
//! node that sent it and of this one, and of no other: keys are those of the session, never of the frame; what is
//! not a process of the sender is refused and counted. R3 frames of one consumer about one target are sent in order.
//! R4 a frame that says that something has ended is not lost while the session lives: it waits for room, bounded.

use crate::actor::Target;
use crate::error::{ExitReason, LinkError, RemoteError, SendReason};
use crate::link::Session;
use crate::link::reason::reason_of_wire;
use crate::link::signal::Signal;
use crate::process::{Bond, FIRST_SLOT, Record, Subject, Tie, Watch, bump};
use crate::shard::Shard;
use crate::symbol::Symbol;
use shard_wire::event::RelayId;
use shard_wire::frame::Frame;
use shard_wire::header::FrameKind;
use shard_wire::relation::{Ended, Relation, Subject as WireSubject};
use shard_wire::{Alias, LocalId, Pid};
use std::sync::Arc;

/// A relation that a process of another node makes or undoes.
struct Asked {
    session: Arc<Session>,
    consumer: u64,
    tie: Tie,
    number: u32,
    holder: u64,
}

/// The consumer's side.
impl Shard {
    /// What a target on another node is, and in which session; `None` if it is of this node.
    fn far_subject(&self, target: &Target) -> Option<Result<(Arc<Session>, Subject), LinkError>> {
        match target {
            Target::Pid(pid) if pid.node != self.node().key() => {
                let subject = Subject::FarPid { key: pid.node.0, local: pid.local.0 };
                Some(self.session_by_key(pid.node.0).map(|session| (session, subject)))
            }
            Target::Alias(alias) if alias.node != self.node().key() => {
                let subject = Subject::FarAlias { key: alias.node.0, id: alias.id };
                Some(self.session_by_key(alias.node.0).map(|session| (session, subject)))
            }
            Target::NameAt { name, node } if **node != *self.node().name() => Some(self.far_name(name, node)),
            Target::EventAt { name, node } if **node != *self.node().name() => {
                Some(self.far_event(name, node))
            }
            _ => None,
        }
    }

    pub(super) fn far_name(&self, name: &str, node: &str) -> Result<(Arc<Session>, Subject), LinkError> {
        let found = self.net.find_node(node);
        let found = found
            .and_then(|index| Some(Arc::clone(&self.net.sessions.borrow().get(index as usize)?.session)));
        let Some(session) = found else {
            self.ask_for(node);
            return Err(LinkError::NotConnected);
        };
        if name.is_empty() || name.len() > shard_wire::limits::MAX_NAME_BYTES {
            return Err(LinkError::NameUnknown);
        }
        let symbol = |text: &str| self.node().symbols().intern(text).map_err(|_| LinkError::Limit);
        Ok((session, Subject::FarName { node: symbol(node)?.0, name: symbol(name)?.0 }))
    }

    fn far_event(&self, name: &str, node: &str) -> Result<(Arc<Session>, Subject), LinkError> {
        let (session, subject) = self.far_name(name, node)?;
        match subject {
            Subject::FarName { .. } if !session.has_events => Err(LinkError::Remote),
            Subject::FarName { node, name } => Ok((session, Subject::FarEvent { node, name })),
            _ => Err(LinkError::EventUnknown),
        }
    }

    /// The session with this incarnation, if it is up.
    pub(super) fn session_by_key(&self, key: u64) -> Result<Arc<Session>, LinkError> {
        let index = self.net.find(key).ok_or(LinkError::NotConnected)?;
        let sessions = self.net.sessions.borrow();
        let peer = sessions.get(index as usize).filter(|peer| peer.is_up).ok_or(LinkError::NotConnected)?;
        Ok(Arc::clone(&peer.session))
    }

    /// Makes a link or monitor of the current process to something on another node; `None` if the target is of this one.
    pub(crate) fn bind_far(
        &self,
        record: &Record,
        bond: Bond,
        target: &Target,
    ) -> Option<Result<(), LinkError>> {
        let found = self.far_subject(target)?;
        Some(found.and_then(|(session, subject)| self.begin_far(record, Tie { subject, bond }, &session)))
    }

    fn begin_far(&self, record: &Record, tie: Tie, session: &Arc<Session>) -> Result<(), LinkError> {
        if !session.has_relations {
            return Err(LinkError::Remote);
        }
        let consumer = self.current_id();
        let id = {
            let mut far = self.net.far.borrow_mut();
            if !far.has_room() {
                return Err(LinkError::Limit);
            }
            far.peer_of(session).ok_or(LinkError::NotConnected)?
        };
        let number = self
            .with_extension(record, |extension| extension.relations.begin(tie, u64::from(id)))
            .ok_or(LinkError::Exists)?;
        let kind = if tie.bond == Bond::Link { FrameKind::Link } else { FrameKind::Monitor };
        let signal = self.request_signal(kind, consumer, tie.subject, number, session);
        if let Err(reason) = self.send_signal(session, signal, false) {
            self.with_extension(record, |extension| extension.relations.undo(tie));
            return Err(refusal_of(reason));
        }
        self.net.far.borrow_mut().note_own(id, consumer, tie);
        self.count_far(session);
        Ok(())
    }

    /// A relation of a process of this shard to something on another node is undone, or its process has ended.
    pub(crate) fn drop_far(&self, id: u32, consumer: u64, tie: Tie) {
        let Some(session) = self.forget_far(id, consumer, tie) else { return };
        let kind = if tie.bond == Bond::Link { FrameKind::Unlink } else { FrameKind::Demonitor };
        let signal = self.request_signal(kind, consumer, tie.subject, 0, &session);
        // If the session has ended, its end has undone it there.
        let _ended = self.send_signal(&session, signal, true);
    }

    /// Takes a relation out of the table of its session.
    pub(crate) fn forget_far(&self, id: u32, consumer: u64, tie: Tie) -> Option<Arc<Session>> {
        let session = self.net.far.borrow_mut().forget_own(id, consumer, tie)?;
        self.count_far(&session);
        Some(session)
    }

    fn request_signal(
        &self,
        kind: FrameKind,
        consumer: u64,
        subject: Subject,
        number: u32,
        session: &Session,
    ) -> Signal {
        let (subject, to, name, via) = match subject {
            Subject::FarAlias { id, .. } => {
                (WireSubject::Alias(id), LocalId::NONE, None, LocalId(id).shard())
            }
            Subject::FarName { name, .. } | Subject::FarEvent { name, .. } => {
                let text = self.node().symbols().text(Symbol(name)).unwrap_or_default();
                // Any shard there can look the name up; always the same one, for order.
                let via = self.index() % session.shards.max(1);
                let is_event = matches!(subject, Subject::FarEvent { .. });
                let what = if is_event { WireSubject::Event } else { WireSubject::Name };
                (what, LocalId::NONE, Some(text.into()), via)
            }
            Subject::FarPid { local, .. } => {
                (WireSubject::Pid(local), LocalId(local), None, LocalId(local).shard())
            }
            // What lives here is not asked for there.
            _ => (WireSubject::Name, LocalId::NONE, None, 0),
        };
        let body = Relation { subject }.to_bytes();
        Signal { kind, to, from: LocalId(consumer), reference: u64::from(number), name, body, via }
    }

    /// What a target on another node is called in relations, where the target need not live.
    pub(crate) fn known_far(&self, target: &Target) -> Option<Subject> {
        let symbol = |text: &str| self.node().symbols().find(text).map(|symbol| symbol.0);
        match target {
            Target::Pid(pid) => Some(Subject::FarPid { key: pid.node.0, local: pid.local.0 }),
            Target::Alias(alias) => Some(Subject::FarAlias { key: alias.node.0, id: alias.id }),
            Target::NameAt { name, node } => {
                Some(Subject::FarName { node: symbol(node)?, name: symbol(name)? })
            }
            Target::EventAt { name, node } => {
                Some(Subject::FarEvent { node: symbol(node)?, name: symbol(name)? })
            }
            _ => None,
        }
    }

    /// Sends an exit signal to a process of another node.
    pub(crate) fn exit_far(&self, to: Pid, reason: ExitReason) -> Result<(), LinkError> {
        if self.is_annex() {
            let sent = self.at_home(move |home| home.exit_far(to, reason));
            return sent.unwrap_or(Err(LinkError::NoAnswer));
        }
        let session = self.session_by_key(to.node.0)?;
        if !session.has_relations {
            return Err(LinkError::Remote);
        }
        let body = Ended { subject: None, reason: self.reason_for_wire(&reason) }.to_bytes();
        self.contain(|| drop(reason));
        let from = LocalId(self.current_id());
        let via = to.local.shard();
        let signal =
            Signal { kind: FrameKind::Exit, to: to.local, from, reference: 0, name: None, body, via };
        self.send_signal(&session, signal, false).map_err(refusal_of)
    }
}

/// The target's side.
impl Shard {
    /// Tells a consumer on another node that what it watched has ended.
    pub(crate) fn fire_far(&self, watch: Watch, number: u32, reason: &ExitReason) {
        // A session that has ended has fired there.
        let Some(session) = self.net.far.borrow_mut().take_watcher(&watch) else { return };
        self.count_far(&session);
        if let Some(relay) = RelayId::from_bits(watch.consumer) {
            return self.end_outlet(&session, relay, (watch.tie.subject, watch.peer), number, reason);
        }
        self.answer_far(&session, watch.consumer, watch.tie, number, reason);
    }

    fn answer_far(&self, session: &Arc<Session>, consumer: u64, tie: Tie, number: u32, reason: &ExitReason) {
        let name = match tie.subject {
            Subject::Name(symbol) | Subject::Event(symbol) => {
                self.node().symbols().text(Symbol(symbol)).map(Into::into)
            }
            _ => None,
        };
        let subject = match tie.subject {
            Subject::Pid(local) => WireSubject::Pid(local),
            Subject::Alias(id) => WireSubject::Alias(id),
            Subject::Event(_) => WireSubject::Event,
            _ => WireSubject::Name,
        };
        self.answer_end(session, consumer, (tie.bond, subject, name), number, reason);
    }

    fn answer_end(
        &self,
        session: &Arc<Session>,
        consumer: u64,
        (bond, subject, name): (Bond, WireSubject, Option<Box<str>>),
        number: u32,
        reason: &ExitReason,
    ) {
        let kind = if bond == Bond::Link { FrameKind::Exit } else { FrameKind::Down };
        let from = match subject {
            WireSubject::Pid(local) => LocalId(local),
            WireSubject::Alias(_) | WireSubject::Name | WireSubject::Event => LocalId::NONE,
        };
        let body = Ended { subject: Some(subject), reason: self.reason_for_wire(reason) }.to_bytes();
        let (to, via) = (LocalId(consumer), LocalId(consumer).shard());
        let signal = Signal { kind, to, from, reference: u64::from(number), name, body, via };
        // If the session has ended, that fires there.
        if self.send_signal(session, signal, true) == Err(SendReason::Overloaded) {
            // LIMIT: a peer that does not read what it has asked for.
            self.count_refused(session);
        }
    }

    /// A process of another node watches one of this shard.
    fn watch_far(&self, request: &Asked) {
        let Asked { session, consumer, tie, number, holder } = request;
        let noted = {
            let mut far = self.net.far.borrow_mut();
            let Some(peer) = far.peer_of(session) else { return };
            let watch = Watch { peer, consumer: *consumer, tie: *tie };
            far.note_watcher(watch, *holder).then_some(watch)
        };
        if let Some(watch) = noted {
            self.add_watch(*holder, watch, *number, false);
            return self.count_far(session);
        }
        self.count_refused(session);
        let reason = ExitReason::custom(RemoteError::new("the target's shard is watched by too many"));
        self.answer_far(session, *consumer, *tie, *number, &reason);
    }

    /// A process of another node watches one of this shard no more.
    fn unwatch_far(&self, request: &Asked) {
        let Asked { session, consumer, tie, holder, .. } = request;
        let watch = {
            let mut far = self.net.far.borrow_mut();
            let Some(peer) = far.known(session) else { return };
            let watch = Watch { peer, consumer: *consumer, tie: *tie };
            // It may have fired meanwhile.
            if far.take_watcher(&watch).is_none() {
                return;
            }
            watch
        };
        self.count_far(session);
        self.forget_watch(*holder, watch);
    }

    pub(super) fn forget_watch(&self, holder: u64, watch: Watch) {
        if let Some(record) = self.live_record(holder) {
            self.unwatch(record, holder, watch);
        }
    }

    /// The session has ended: what was watched there fires, and who watched from there is forgotten.
    pub(crate) fn end_far(&self, session: &Session, reason: &ExitReason) {
        let Some(ended) = self.net.far.borrow_mut().take(session) else { return };
        for (consumer, tie) in ended.own {
            let Some(record) = self.live_record(consumer) else { continue };
            let undone = self.with_existing_extension(record, |extension| extension.relations.undo(tie));
            if undone.is_some() {
                self.tell_end(record, tie, reason.clone());
            }
        }
        for (watch, holder) in ended.watchers {
            self.forget_watch(holder, watch);
        }
        self.count_far(session);
    }

    /// Who a watcher of a process of this shard is.
    pub(crate) fn consumer_of(&self, watch: &Watch) -> Pid {
        if watch.peer == 0 {
            return self.pid(watch.consumer);
        }
        let key = self.net.far.borrow().session(watch.peer).map_or(0, |session| session.key);
        // A subscription is the node's.
        let is_relay = RelayId::from_bits(watch.consumer).is_some();
        self.pid_of(key, if is_relay { LocalId::CORE.0 } else { watch.consumer })
    }
}

/// Frames that come in.
impl Shard {
    /// A frame about a relation; what is refused is counted.
    #[cold]
    pub(super) fn handle_relation(&self, frame: &Frame<'_>, link: u32, key: u64) {
        let taken = match frame.header.kind {
            FrameKind::Exit | FrameKind::Down => self.on_end(frame, key),
            FrameKind::Subscribe | FrameKind::Unsubscribe => self.on_subscribe(frame, key),
            FrameKind::Unsubscribed => self.on_unsubscribed(frame, key),
            _ => self.on_request(frame, key),
        };
        if taken.is_none() {
            self.with_link_cells(link, |cells| bump(&cells.relations_refused, 1));
        }
    }

    fn on_request(&self, frame: &Frame<'_>, key: u64) -> Option<()> {
        let header = &frame.header;
        let asked = Relation::from_bytes(frame.body).ok()?.subject;
        let number = u32::try_from(header.reference).ok()?;
        let session = self.session_by_key(key).ok()?;
        if !is_process_of(header.from, session.shards) {
            return None;
        }
        let is_link = matches!(header.kind, FrameKind::Link | FrameKind::Unlink);
        let bond = if is_link { Bond::Link } else { Bond::Monitor };
        let found = match asked {
            WireSubject::Pid(local) if header.to.0 != local => return None,
            WireSubject::Pid(local) => Some((Subject::Pid(local), local)),
            WireSubject::Alias(id) => {
                let owner = self.alias_owner(Alias { node: self.node().key(), id });
                owner.map(|owner| (Subject::Alias(id), owner))
            }
            WireSubject::Name => {
                let name = frame.name()?;
                let symbol = self.node().symbols().find(name);
                let holder = self.node().lookup(name);
                symbol.zip(holder).map(|(symbol, holder)| (Subject::Name(symbol.0), holder.local.0))
            }
            WireSubject::Event => {
                let cell = self.node().events().get(frame.name()?);
                cell.map(|cell| (Subject::Event(cell.symbol), cell.owner.0))
            }
        };
        let found = found.filter(|(_, holder)| is_process_of(LocalId(*holder), self.node().shards()));
        let consumer = header.from.0;
        let is_undone = matches!(header.kind, FrameKind::Unlink | FrameKind::Demonitor);
        match found {
            Some((subject, holder)) => {
                let request = Asked { session, consumer, tie: Tie { subject, bond }, number, holder };
                self.tell(LocalId(holder).shard(), move |shard| {
                    if is_undone { shard.unwatch_far(&request) } else { shard.watch_far(&request) }
                });
            }
            // What is not there watches nobody, and what is to be watched has ended.
            None if is_undone => {}
            None => {
                let name = frame.name().map(Into::into);
                self.answer_end(&session, consumer, (bond, asked, name), number, &ExitReason::NoProcess);
            }
        }
        Some(())
    }

    fn on_end(&self, frame: &Frame<'_>, key: u64) -> Option<()> {
        let header = &frame.header;
        let Ended { subject, reason } = Ended::from_bytes(frame.body).ok()?;
        let session = self.session_by_key(key).ok()?;
        let to = header.to;
        if !is_process_of(to, self.node().shards()) {
            return None;
        }
        let reason = reason_of_wire(reason);
        let Some(subject) = subject else {
            let is_sender = is_process_of(header.from, session.shards) || header.from == LocalId::CORE;
            if header.kind != FrameKind::Exit || !is_sender {
                return None;
            }
            let source = Target::Pid(self.pid_of(key, header.from.0));
            self.tell(to.shard(), move |shard| match shard.live_record(to.0) {
                Some(record) => shard.exit_signal(record, source, reason),
                None => shard.count(|cells| &cells.dead_letters, 1),
            });
            return Some(());
        };
        let symbol = |text: &str| self.node().symbols().find(text).map(|symbol| symbol.0);
        let subject = match subject {
            WireSubject::Pid(local) => Subject::FarPid { key, local },
            WireSubject::Alias(id) => Subject::FarAlias { key, id },
            WireSubject::Name => {
                // Names that nobody here has ever watched have no symbols.
                let node = symbol(session.peer.name.as_str())?;
                Subject::FarName { node, name: symbol(frame.name()?)? }
            }
            WireSubject::Event => {
                let node = symbol(session.peer.name.as_str())?;
                Subject::FarEvent { node, name: symbol(frame.name()?)? }
            }
        };
        let bond = if header.kind == FrameKind::Exit { Bond::Link } else { Bond::Monitor };
        let number = u32::try_from(header.reference).ok()?;
        let watch = Watch::near(to.0, Tie { subject, bond });
        self.tell(to.shard(), move |shard| shard.fired(watch, number, reason));
        Some(())
    }
}

/// Whether a node with so many shards may have such a process.
fn is_process_of(id: LocalId, shards: u16) -> bool {
    id.shard() < shards && id.slot() >= FIRST_SLOT
}

pub(super) fn refusal_of(reason: SendReason) -> LinkError {
    match reason {
        SendReason::NoProcess => LinkError::NoProcess,
        SendReason::NotConnected | SendReason::NoRoute => LinkError::NotConnected,
        _ => LinkError::Overloaded,
    }
}
