//! Important messages to other nodes, from their senders' side: sent under an id, acknowledged by the receiving shard, waited
//! for by the process that sent them.
//!
//! ```text
//! attempt ─► post_letter (home shard: pending) ─► name ─► link, or the shard that owns it ─► peer
//!    ▲ answer_own ◄── hear ◄── ack, refusal here, end of the session
//! ```
//!
//! Invariants: L1 an id names the home shard of its sender, where its answer is expected; it is never given to two messages.
//! L2 a letter is pending from its posting until nobody waits for it. L3 all attempts under one id go to one process, once one
//! of them has been sent: only there it is known whether the message was delivered. L4 only the receiver's word, or a first
//! attempt that was not sent, is a refusal: an earlier attempt may still arrive.
//! Cost: the body is encoded into a buffer of its own and copied into the link's batch; one ack frame of 64 bytes.

use crate::actor::{Call, OwnedRoute, Route};
use crate::error::{CallError, DeliveryError, DeliveryId, SendReason, Unconfirmed};
use crate::link::LinkCells;
use crate::link::alias::alias_address;
use crate::link::net::PeerSession;
use crate::link::send::{Way, priority_of};
use crate::link::waiting::Waits;
use crate::mailbox::Meta;
use crate::process::bump;
use crate::shard::Shard;
use crate::trace::TraceContext;
use shard_wire::frame::{BodyWriter, Frame, FrameBuf, FrameHead, Parsed, parse};
use shard_wire::header::{Deadline, FrameFlags, FrameKind};
use shard_wire::limits::CEILING_MAX_FRAME;
use shard_wire::{Ack, LocalId, Message, MessageKey, Older, Pid, WireError, vtable};
use std::time::Duration;

/// Important messages of one shard that may be waited for: as many as there are waiters.
const MAX_PENDING: usize = 1 << 20;
/// How often a name is looked up for one send: the second time if its holder has gone.
const NAME_TRIES: u32 = 2;

/// An important message that is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Who waits, on whatever shard.
    waiter: u64,
    /// Incarnation key of the node that owes the answer.
    peer: u64,
    /// Where it was sent; `None` while its name is being resolved.
    to: Option<Pid>,
}

/// What was heard of an important message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    /// It is in the mailbox.
    Delivered,
    /// It is not, and will not be.
    Refused(SendReason),
    /// This attempt was not sent.
    NotSent(SendReason),
    /// An outcome that this version does not know.
    Unclear,
}

impl From<Option<Ack>> for Heard {
    fn from(ack: Option<Ack>) -> Self {
        Self::Refused(match ack {
            Some(Ack::Delivered) => return Self::Delivered,
            Some(Ack::NoProcess) => SendReason::NoProcess,
            Some(Ack::Terminated) => SendReason::Terminated,
            Some(Ack::MailboxFull) => SendReason::MailboxFull,
            Some(Ack::Expired) => SendReason::Expired,
            Some(Ack::UnknownType) => SendReason::UnknownType,
            Some(Ack::Undecodable) => SendReason::Undecodable,
            Some(Ack::Overloaded) => SendReason::Overloaded,
            Some(Ack::Stopping) => SendReason::NodeStopping,
            Some(Ack::AliasUnknown) => SendReason::AliasUnknown,
            Some(_) | None => return Self::Unclear,
        })
    }
}

/// One attempt to deliver an important message.
struct Letter {
    id: u64,
    from: u64,
    to: OwnedRoute,
    queue: u64,
    /// From which length on its body is compressed; 0: it is not.
    compress_at: u32,
    trace: Option<TraceContext>,
    key: MessageKey,
    /// Tick at which it expires.
    until: u64,
    waiter: u64,
    /// Nothing was sent under its id before.
    is_first: bool,
    /// Incarnation key of the target's node.
    peer: u64,
    body: Box<[u8]>,
}

impl Waits for Letter {
    fn go(self: Box<Self>, home: &Shard, to: Result<Pid, SendReason>) -> Option<Box<dyn Waits>> {
        let waiter = self.waiter;
        if let Err(reason) = to.and_then(|to| home.send_letter(to, *self)) {
            home.answer_own(waiter, Heard::NotSent(reason));
        }
        None
    }
}

impl Letter {
    fn is_to_alias(&self) -> bool {
        matches!(self.to, OwnedRoute::Alias(_))
    }
}

/// Takes a letter back from those that are waited for.
struct Awaited<'s> {
    shard: &'s Shard,
    id: u64,
    waiter: u64,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let (id, waiter) = (self.id, self.waiter);
        self.shard.tell(self.shard.home_index(), move |home| home.forget_letter(id, waiter));
    }
}

/// On the shard of the sender.
impl Shard {
    /// Sends a message to a process of another node and learns whether it reached the mailbox.
    pub(crate) async fn send_important_to_node<M: Message>(
        &self,
        to: Route<'_>,
        mut message: M,
        within: Duration,
    ) -> Result<(), DeliveryError<M>> {
        let queue = self.send_queue();
        let until = self.now_ticks().saturating_add(self.ticks(within));
        let mut tries = if matches!(to, Route::Remote { .. }) { NAME_TRIES } else { 1 };
        loop {
            let id = self.at_home(|home| home.net.next_delivery(home.index()));
            let letter = Unconfirmed::new(
                DeliveryId(id.unwrap_or(0)),
                self.current_pid(),
                OwnedRoute::from(to),
                queue,
                message,
            );
            let done = match id {
                Some(_) => self.attempt(letter, until, true).await,
                None => Err(letter.refused(SendReason::Stopping)),
            };
            tries -= 1;
            match done {
                // Its holder has gone, and the peer has said so: the name is looked up again. Refused once, it has to have
                // another id.
                Err(DeliveryError::Refused(error)) if tries > 0 && error.reason == SendReason::NoProcess => {
                    message = error.into_inner();
                }
                done => return self.count_letter(queue, done),
            }
        }
    }

    /// Tries again under the same id.
    pub(crate) async fn retry_important<M: Message>(
        &self,
        letter: Unconfirmed<M>,
        within: Duration,
    ) -> Result<(), DeliveryError<M>> {
        let queue = letter.queue;
        let until = self.now_ticks().saturating_add(self.ticks(within));
        let done = if letter.from == self.current_pid() {
            self.attempt(letter, until, false).await
        } else {
            Err(letter.not_sent(SendReason::Unsupported))
        };
        self.count_letter(queue, done)
    }

    fn count_letter<M>(
        &self,
        queue: u64,
        done: Result<(), DeliveryError<M>>,
    ) -> Result<(), DeliveryError<M>> {
        match &done {
            Ok(()) => self.count_sent(),
            Err(DeliveryError::Refused(_)) => self.count_send_error(queue, true),
            Err(DeliveryError::Unknown(_)) => {}
        }
        done
    }

    async fn attempt<M: Message>(
        &self,
        mut letter: Unconfirmed<M>,
        until: u64,
        is_first: bool,
    ) -> Result<(), DeliveryError<M>> {
        // A later attempt that is not sent says nothing of the first.
        let not_sent = move |letter: Unconfirmed<M>, reason| {
            if is_first { letter.refused(reason) } else { letter.not_sent(reason) }
        };
        let older = match vtable::<M>().wire_ops() {
            Some(ops) => self.older_by_route(&letter.to, ops),
            None => None,
        };
        let (key, body) = match body_of(letter.message_mut(), older) {
            Ok(encoded) => encoded,
            Err(reason) => return Err(not_sent(letter, reason)),
        };
        let Some(waiter) = self.own_waiter(until.saturating_sub(self.now_ticks())) else {
            return Err(not_sent(letter, SendReason::Overloaded));
        };
        let id = letter.id.0;
        let to_send = Letter {
            id,
            from: letter.from.local.0,
            to: letter.to.clone(),
            queue: letter.queue,
            compress_at: self.compresses_from(letter.from.local.0, 0),
            trace: self.trace(),
            key,
            until,
            waiter,
            is_first,
            peer: 0,
            body,
        };
        let call = Call::<Heard>::new(self, waiter);
        let awaited = Awaited { shard: self, id, waiter };
        self.tell(self.home_index(), move |home| home.post_letter(to_send));
        match call.await {
            Ok(Heard::Delivered) => return Ok(()),
            Ok(Heard::Refused(reason)) => return Err(letter.refused(reason)),
            Ok(Heard::NotSent(reason)) => return Err(not_sent(letter, reason)),
            Ok(Heard::Unclear) | Err(_) => {}
        }
        if let Some(pid) = self.at_home(move |home| home.give_letter_up(id)).flatten() {
            // L3.
            letter.to = OwnedRoute::Pid(pid);
        }
        drop(awaited);
        letter.why = None;
        Err(DeliveryError::Unknown(Some(letter)))
    }
}

/// On the home shard of the sender.
impl Shard {
    fn post_letter(&self, letter: Letter) {
        let waiter = letter.waiter;
        if let Err(reason) = self.try_letter(letter) {
            self.answer_own(waiter, Heard::NotSent(reason));
        }
    }

    fn try_letter(&self, mut letter: Letter) -> Result<(), SendReason> {
        let session = match &letter.to {
            OwnedRoute::Pid(pid) => self.net.find(pid.node.0).ok_or(SendReason::NoRoute)?,
            OwnedRoute::Remote(_, node) => {
                self.session_with(node).ok_or_else(|| self.why_no_session(node))?
            }
            OwnedRoute::Alias(alias) => self.session_for_alias(*alias)?,
            OwnedRoute::Name(_) => return Err(SendReason::NameUnknown),
        };
        letter.peer = match self.net.sessions.borrow().get(session as usize) {
            Some(peer) => takes_important(peer, letter.is_first)?,
            None => return Err(SendReason::NoRoute),
        };
        {
            let mut pending = self.net.pending.borrow_mut();
            // LIMIT: important messages that are waited for.
            if pending.len() >= MAX_PENDING {
                return Err(SendReason::Overloaded);
            }
            pending.insert(letter.id, Pending { waiter: letter.waiter, peer: letter.peer, to: None });
        }
        match letter.to {
            OwnedRoute::Pid(pid) => self.send_letter_in_turn(session, pid, letter),
            // Only its own node knows where an alias leads.
            OwnedRoute::Alias(alias) => self.send_letter_in_turn(session, alias_address(alias), letter),
            _ => self.send_letter_to_name(session, letter),
        }
    }

    fn send_letter_to_name(&self, session: u32, letter: Letter) -> Result<(), SendReason> {
        let OwnedRoute::Remote(name, _) = &letter.to else { return Err(SendReason::NameUnknown) };
        if let Some(pid) = self.known_holder(session, name) {
            return self.send_letter_in_turn(session, pid, letter);
        }
        let name = name.clone();
        self.speaking_as(letter.from, || {
            self.prepare_to_wait(session, Some(&name))?;
            self.have_wait(session, Err(&name), Box::new(letter));
            Ok(())
        })
    }

    /// Sends a letter after what its sender has waiting for names there.
    fn send_letter_in_turn(&self, session: u32, to: Pid, letter: Letter) -> Result<(), SendReason> {
        self.speaking_as(letter.from, || {
            if self.behind(to).is_none() {
                return self.send_letter(to, letter);
            }
            self.prepare_to_wait(session, None)?;
            self.have_wait(session, Ok(to), Box::new(letter));
            Ok(())
        })
    }

    fn send_letter(&self, to: Pid, letter: Letter) -> Result<(), SendReason> {
        match self.net.pending.borrow_mut().get_mut(&letter.id) {
            // An alias leads to its own process or to none: it goes on to be the address.
            Some(pending) if pending.waiter == letter.waiter => {
                pending.to = (!letter.is_to_alias()).then_some(to);
            }
            // Nobody waits for this attempt any more.
            _ => return Ok(()),
        }
        match self.route(to)? {
            Way::Link(link) => self.write_letter(link, to, &letter),
            Way::Owner(owner) => {
                self.tell(owner, move |owner| owner.write_letter_for(to, &letter));
                Ok(())
            }
        }
    }

    /// Something was heard of a letter.
    fn hear(&self, id: u64, peer: u64, heard: Heard) {
        let pending = self.net.pending.borrow().get(&id).copied();
        match pending.filter(|pending| pending.peer == peer) {
            Some(pending) => self.answer_own(pending.waiter, heard),
            None => self.with_peer_cells(peer, |cells| bump(&cells.late_acks, 1)),
        }
    }

    /// Nothing was heard of a letter in time: where it was sent.
    fn give_letter_up(&self, id: u64) -> Option<Pid> {
        let pending = self.net.pending.borrow_mut().remove(&id)?;
        self.with_peer_cells(pending.peer, |cells| bump(&cells.unconfirmed, 1));
        pending.to
    }

    fn forget_letter(&self, id: u64, waiter: u64) {
        let mut pending = self.net.pending.borrow_mut();
        // A later attempt has the same id.
        if pending.get(&id).is_some_and(|pending| pending.waiter == waiter) {
            pending.remove(&id);
        }
    }

    /// The session with this incarnation has ended: no answer comes any more. If the peer has answered all that it had
    /// accepted, the attempts that have no answer are as if they had not been sent.
    pub(super) fn fail_letters(&self, peer: u64, is_settled: bool) {
        let waiting: Vec<u64> = {
            let pending = self.net.pending.borrow();
            pending.values().filter(|pending| pending.peer == peer).map(|pending| pending.waiter).collect()
        };
        for waiter in waiting {
            if is_settled {
                self.answer_own(waiter, Heard::NotSent(SendReason::NodeStopping));
                continue;
            }
            self.refuse(waiter, CallError::Disconnected);
        }
    }

    /// Runs `f` with this shard's counters for the node with this key.
    pub(super) fn with_peer_cells(&self, key: u64, f: impl FnOnce(&LinkCells)) {
        let Some(session) = self.net.find(key) else { return };
        let sessions = self.net.sessions.borrow();
        if let Some(cells) = sessions.get(session as usize).and_then(|peer| peer.cells(self.index())) {
            f(cells);
        }
    }
}

/// On the shard that owns the link.
impl Shard {
    fn write_letter_for(&self, to: Pid, letter: &Letter) {
        let sent = match self.route(to) {
            Ok(Way::Link(link)) => self.write_letter(link, to, letter),
            Ok(Way::Owner(_)) => Err(SendReason::NotConnected),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = sent {
            self.answer_own(letter.waiter, Heard::NotSent(reason));
        }
    }

    fn write_letter(&self, link: u32, to: Pid, letter: &Letter) -> Result<(), SendReason> {
        let left = letter.until.saturating_sub(self.now_ticks());
        if left == 0 {
            return Err(SendReason::Expired);
        }
        let clock = {
            let links = self.net.links.borrow();
            let owned = links.get(link as usize).and_then(Option::as_ref);
            owned.ok_or(SendReason::NotConnected)?.data.clock
        };
        let left_ms = self.clock().span_ns(left).div_ceil(1_000_000);
        let name = match &letter.to {
            OwnedRoute::Remote(name, _) => Some(&**name),
            _ => None,
        };
        let alias = if letter.is_to_alias() { FrameFlags::ALIAS } else { FrameFlags::NONE };
        let priority = priority_of(letter.queue & Meta::QUEUE);
        let head = FrameHead {
            flags: FrameFlags::IMPORTANT.with(alias).with_priority(priority),
            key: letter.key,
            to: to.local,
            from: LocalId(letter.from),
            reference: letter.id,
            deadline: Deadline::after(self.link_ms(clock), left_ms),
            name,
            trace: self.block_of(letter.peer, letter.trace),
            ..FrameHead::new(FrameKind::Send)
        };
        let sent = if letter.compress_at == 0 {
            self.push(link, &head, |out| out.put(&letter.body))
        } else {
            self.push_compressed(link, &head, letter.compress_at, |out| out.put(&letter.body))
        };
        self.note_block(letter.peer, &head, sent)
    }

    /// An ack: it goes to the shard that waits for it.
    #[cold]
    pub(super) fn handle_ack(&self, frame: &Frame<'_>, link: u32, key: u64) {
        let id = frame.header.reference;
        let heard = match Ack::from_bytes(frame.body) {
            Ok(ack) => Heard::from(ack),
            Err(_) => return self.with_link_cells(link, |cells| bump(&cells.decode_errors, 1)),
        };
        let home = LocalId(id).shard();
        if home == self.index() {
            return self.hear(id, key, heard);
        }
        self.run_on(home, move |home| home.hear(id, key, heard));
    }
}

/// The key of a peer that acknowledges messages.
fn takes_important(peer: &PeerSession, is_first: bool) -> Result<u64, SendReason> {
    let is_leaving = peer.session.is_leaving();
    // One that was sent before is sent again: the peer knows what became of it.
    if is_leaving && (is_first || !peer.is_up) {
        return Err(SendReason::NodeStopping);
    }
    if !peer.is_up {
        return Err(SendReason::NotConnected);
    }
    if !peer.session.is_numbered {
        return Err(SendReason::Unsupported);
    }
    Ok(peer.session.key)
}

/// A message as the body of a frame.
pub(super) fn body_of<M: Message>(
    message: &M,
    older: Option<&Older>,
) -> Result<(MessageKey, Box<[u8]>), SendReason> {
    let ops = vtable::<M>().wire_ops().ok_or(SendReason::LocalOnly)?;
    let mut frame = FrameBuf::with_max_frame(CEILING_MAX_FRAME).map_err(|_| SendReason::Encode)?;
    let head = FrameHead::new(FrameKind::Send);
    let key = older.map_or_else(|| Some(ops.key()), Older::key).ok_or(SendReason::LocalOnly)?;
    let write = |out: &mut BodyWriter<'_>| match older {
        Some(older) => older.encode(message, out),
        None => ops.encode(message, out),
    };
    frame.push_frame(&head, write).map_err(|error| match error {
        WireError::FrameTooLarge { .. } => SendReason::TooLarge,
        _ => SendReason::Encode,
    })?;
    match parse(frame.as_slice(), frame.max_frame()) {
        Ok(Parsed::Frame(frame)) => Ok((key, frame.body.into())),
        _ => Err(SendReason::Encode),
    }
}

#[cfg(test)]
mod tests {
    use super::takes_important;
    use crate::error::SendReason;
    use crate::link::Session;
    use crate::link::net::PeerSession;
    use std::sync::Arc;

    fn peer(is_numbered: bool, is_up: bool) -> PeerSession {
        let session = Session { is_numbered, ..Session::sample("old@localhost", 1, 7) };
        PeerSession {
            session: Arc::new(session),
            is_up,
            by_shard: Vec::new(),
            names: crate::link::waiting::Names::default(),
        }
    }

    #[test]
    fn a_peer_without_numbered_links_is_not_asked_for_acknowledgements() {
        assert_eq!(takes_important(&peer(true, true), true), Ok(7));
        assert_eq!(takes_important(&peer(false, true), true), Err(SendReason::Unsupported));
        assert_eq!(takes_important(&peer(true, false), true), Err(SendReason::NotConnected));
        for is_up in [true, false] {
            let leaving = peer(true, is_up);
            leaving.session.leaving.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(takes_important(&leaving, true), Err(SendReason::NodeStopping));
            let again = if is_up { Ok(7) } else { Err(SendReason::NodeStopping) };
            assert_eq!(takes_important(&leaving, false), again);
        }
    }
}
