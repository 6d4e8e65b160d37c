//! Messages and answers on their way out: encoded straight into a link's batch.
//!
//! Cost of a send to another node: a compare or a scan for the session, two table look-ups, the encoding; a syscall per
//! 64 KiB or per turn.
#![expect(unsafe_code, reason = "encodes an erased reply; proven by errors_name_their_cause")]

use crate::error::{CallError, SendError, SendReason};
use crate::link::LinkCells;
use crate::link::alias::ALIAS_FLAG;
use crate::link::hop::Hop;
use crate::link::net::{NO_LINK, OwnedLink};
use crate::mailbox::Meta;
use crate::process::bump;
use crate::shard::{Parcel, RemoteWait, Shard, TRACE_FLAG};
use shard_wire::flow::Full;
use shard_wire::frame::{BodyWriter, FrameHead};
use shard_wire::header::{Deadline, FrameFlags, FrameKind, Priority};
use shard_wire::{LocalId, Message, Pid, Vtable, WireError, vtable};

/// Body of a `ReplyError` frame: the error's number.
pub(super) const ERROR_BYTES: usize = 16;
/// Number that tells the sender that a name has moved; not an error of a call.
pub(super) const NAME_MOVED: u32 = 1000;

impl Shard {
    /// Sends to a process of another node.
    #[inline]
    pub(crate) fn deliver_remote<M: Message>(
        &self,
        to: Pid,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        self.deliver_remote_named(to, None, message, flags, reply)
    }

    pub(super) fn deliver_remote_named<M: Message>(
        &self,
        to: Pid,
        name: Option<&str>,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        if self.is_annex() {
            return self.by_home(to, name, message, flags, reply);
        }
        match self.try_remote(to, name, &message, flags, reply) {
            Ok(Sent::Queued) => {
                self.count_sent();
                Ok(())
            }
            Ok(Sent::Hop(shard)) => self.hop(shard, to, name, message, flags, reply),
            Ok(Sent::Behind(session)) => self.send_in_turn(session, (to, name), message, flags, reply),
            Err(reason) => {
                self.count_send_error(flags, true);
                Err(SendError::new(reason, message))
            }
        }
    }

    #[inline]
    fn try_remote<M: Message>(
        &self,
        to: Pid,
        name: Option<&str>,
        message: &M,
        flags: u64,
        reply: u64,
    ) -> Result<Sent, SendReason> {
        if self.net.is_careful.get() {
            self.check_leaving(to)?;
            if let Some(session) = self.behind(to) {
                return Ok(Sent::Behind(session));
            }
        }
        self.put_remote(to, name, message, flags, reply)
    }

    /// Sends what has waited for its turn, or need not.
    #[inline]
    pub(super) fn put_remote<M: Message>(
        &self,
        to: Pid,
        name: Option<&str>,
        message: &M,
        flags: u64,
        reply: u64,
    ) -> Result<Sent, SendReason> {
        let ops = vtable::<M>().wire_ops().ok_or(SendReason::LocalOnly)?;
        let link = match self.route(to)? {
            Way::Link(link) => link,
            Way::Owner(shard) if self.is_outbox_full_at(shard, to) => return Err(SendReason::OutboxFull),
            Way::Owner(shard) => return Ok(Sent::Hop(shard)),
        };
        if flags & Meta::CALL != 0 {
            self.expect_remote(reply, RemoteWait { ops, peer: to.node.0 });
        }
        let is_call = flags & Meta::CALL != 0;
        let head = FrameHead {
            flags: FrameFlags::NONE.with_priority(priority_of(flags)),
            key: ops.key(),
            to: to.local,
            from: LocalId(self.current_id()),
            reference: reply,
            deadline: if is_call { self.deadline_on(link, reply) } else { Deadline::NONE },
            name,
            ..FrameHead::new(if is_call { FrameKind::Call } else { FrameKind::Send })
        };
        if !ops.older().is_empty()
            && let Some(older) = self.older_for(self.net.find(to.node.0), ops)
        {
            let head = self.special(head, to.node.0, flags);
            let threshold = self.compresses_from(self.current_id(), flags);
            let sent = self.push_older(link, &head, threshold, (message, older));
            self.note_block(to.node.0, &head, sent)?;
        } else if self.may_be_special(self.current_id(), flags) {
            let head = self.special(head, to.node.0, flags);
            let threshold = self.compresses_from(self.current_id(), flags);
            let sent = self.push_compressed(link, &head, threshold, |out| ops.encode(message, out));
            self.note_block(to.node.0, &head, sent)?;
        } else {
            self.push(link, &head, |out| ops.encode(message, out))?;
        }
        Ok(Sent::Queued)
    }

    /// What the flags above those of an envelope add to a head.
    fn special<'h>(&self, head: FrameHead<'h>, key: u64, flags: u64) -> FrameHead<'h> {
        let alias = if flags & ALIAS_FLAG == 0 { FrameFlags::NONE } else { FrameFlags::ALIAS };
        FrameHead { flags: head.flags.with(alias), trace: self.block_for(key, flags), ..head }
    }

    /// Which link leads to a pid, or which shard owns it.
    #[inline]
    pub(super) fn route(&self, to: Pid) -> Result<Way, SendReason> {
        match self.net.last_way(to.node.0, to.local.shard()) {
            Some(link) => Ok(Way::Link(link)),
            None => self.route_anew(to),
        }
    }

    #[inline(never)]
    fn route_anew(&self, to: Pid) -> Result<Way, SendReason> {
        let session = self.net.find(to.node.0).ok_or(SendReason::NoRoute)?;
        let slot = {
            let sessions = self.net.sessions.borrow();
            let peer = sessions.get(session as usize).ok_or(SendReason::NoRoute)?;
            if !peer.is_up {
                let has_left = peer.session.is_leaving();
                return Err(if has_left { SendReason::NodeStopping } else { SendReason::NotConnected });
            }
            let shard = to.local.shard();
            let link = peer.by_shard.get(usize::from(shard)).copied().ok_or(SendReason::NoProcess)?;
            if link != NO_LINK {
                self.net.set_last_way(to.node.0, shard, link);
                return Ok(Way::Link(link));
            }
            let placement = peer.session.placement;
            let slot = placement.slot_for(self.index(), shard).ok_or(SendReason::NoProcess)?;
            let owner = placement.owner_of(slot).ok_or(SendReason::NoProcess)?;
            if owner.index() != self.index() {
                return Ok(Way::Owner(owner.index()));
            }
            slot
        };
        let link =
            self.net.link_of(session, slot, self.index(), self.now_ticks()).ok_or(SendReason::NoRoute)?;
        Ok(Way::Link(link))
    }

    /// Appends a frame to a link's batch, and hands the batch over when it is full.
    pub(super) fn push(
        &self,
        link: u32,
        head: &FrameHead<'_>,
        write: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    ) -> Result<(), SendReason> {
        let mut links = self.net.links.borrow_mut();
        let owned = links.get_mut(link as usize).and_then(Option::as_mut).ok_or(SendReason::NotConnected)?;
        let cells = &*owned.cells;
        // LIMIT: bytes queued on one link.
        if let Err(full) = owned.data.out.push(head, write) {
            if full == Full::Bytes && !std::mem::replace(&mut owned.data.is_full, true) {
                self.net.some_full.set(true);
                bump(&cells.outboxes_full, 1);
            }
            return Err(refused(full, cells));
        }
        bump(&cells.messages_out, 1);
        owned.data.dirty = true;
        self.net.dirty.set(true);
        if owned.data.is_batch_full() {
            // A socket that fails is noticed by the flush at the end of the turn.
            owned.data.write_full(cells);
        }
        let want = !owned.data.wanted;
        drop(links);
        if want {
            self.want_link(link);
        }
        Ok(())
    }

    /// The link's owner is another shard: the message goes there first, boxed.
    #[cold]
    pub(super) fn hop<M: Message>(
        &self,
        shard: u16,
        to: Pid,
        name: Option<&str>,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        if flags & Meta::CALL != 0
            && let Some(ops) = vtable::<M>().wire_ops()
        {
            self.expect_remote(reply, RemoteWait { ops, peer: to.node.0 });
        }
        let due = if flags & Meta::CALL == 0 { None } else { self.due_of(reply) };
        let from = self.current_id();
        // The shard that owns the link does not know this process.
        let flags = flags | u64::from(self.compresses_from(from, flags)) << Meta::BITS;
        let trace = self.trace().filter(|_| flags & TRACE_FLAG != 0);
        let hop = Box::new(Hop { to, name: name.map(Into::into), from, flags, reply, due, trace, message });
        match self.push_parcel(shard, Parcel::task(Box::new(move |shard| hop.arrive(shard)))) {
            None => {
                self.count_sent();
                Ok(())
            }
            // LIMIT: a full ring and spill; the message is inside the refused task and dropped with it, so it is counted
            // as lost and the call, if it is one, is answered.
            Some(refused) => {
                self.contain(|| drop(refused));
                self.count(|cells| &cells.dead_letters, 1);
                self.refuse(reply, CallError::Send(SendReason::Overloaded));
                Ok(())
            }
        }
    }

    /// An annex has no links: its home shard sends for it.
    #[cold]
    fn by_home<M: Message>(
        &self,
        to: Pid,
        name: Option<&str>,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let (name, trace) = (name.map(ToOwned::to_owned), self.trace());
        self.send_by_home(message, flags, reply, move |home, message, reply| {
            home.with_trace(trace, || home.deliver_remote_named(to, name.as_deref(), message, flags, reply))
        })
    }

    /// Answers a caller on another node.
    pub(crate) fn answer_remote(&self, reference: u64, request: &'static Vtable, reply: Parcel) {
        if self.is_annex() {
            return self.tell(self.home_index(), move |home| home.answer_remote(reference, request, reply));
        }
        let Some((caller, trace)) = self.net.callers.borrow_mut().take(reference) else {
            self.count(|cells| &cells.late_replies, 1);
            return self.contain(|| drop(reply));
        };
        let Some(ops) = request.asked().wire_ops() else { return };
        let head = FrameHead {
            key: ops.key(),
            to: LocalId(caller.reference),
            from: LocalId(caller.callee),
            reference: caller.reference,
            trace: trace.and_then(|asked| self.block_of_answer(caller.key, asked)),
            ..FrameHead::new(FrameKind::Reply)
        };
        let target = self.pid_of(caller.key, caller.reference);
        let sent = self.route_frame(target, &head, caller.callee, |out| {
            // SAFETY: the parcel holds a live value of the type its table describes.
            unsafe { ops.encode_reply(reply.vtable, &raw const reply.payload, out) }
        });
        self.contain(|| drop(reply));
        if let Err(reason) = self.note_block(caller.key, &head, sent)
            && !matches!(reason, SendReason::NotConnected | SendReason::NoRoute)
        {
            self.send_error(caller.key, caller.reference, CallError::Send(reason).code(), None);
        }
    }

    /// Refuses a caller on another node.
    pub(crate) fn refuse_remote(&self, reference: u64, error: CallError) {
        if self.is_annex() {
            return self.tell(self.home_index(), move |home| home.refuse_remote(reference, error));
        }
        let Some((caller, trace)) = self.net.callers.borrow_mut().take(reference) else {
            return self.count(|cells| &cells.late_replies, 1);
        };
        let head = FrameHead {
            to: LocalId(caller.reference),
            reference: caller.reference,
            trace: trace.and_then(|asked| self.block_of_answer(caller.key, asked)),
            ..FrameHead::new(FrameKind::ReplyError)
        };
        self.push_error(caller.key, &head, error.code());
    }

    /// Tells another node why its call, or its message to a name, came to nothing.
    pub(super) fn send_error(&self, key: u64, reference: u64, code: u32, name: Option<&str>) {
        let head =
            FrameHead { to: LocalId(reference), reference, name, ..FrameHead::new(FrameKind::ReplyError) };
        self.push_error(key, &head, code);
    }

    fn push_error(&self, key: u64, head: &FrameHead<'_>, code: u32) {
        let mut body = [0; ERROR_BYTES];
        body[..4].copy_from_slice(&code.to_le_bytes());
        // If it cannot be sent, the session is gone or its outbox full: the caller's time-out tells it.
        let nobody = LocalId::CORE.0;
        let sent = self.route_frame(self.pid_of(key, head.reference), head, nobody, |out| out.put(&body));
        if self.note_block(key, head, sent).is_err() {
            self.count(|cells| &cells.dead_letters, 1);
        }
    }

    /// Sends a frame that is not a message to where a waiter lives. Where another shard owns the link it goes by way of it.
    pub(super) fn route_frame(
        &self,
        to: Pid,
        head: &FrameHead<'_>,
        from: u64,
        write: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    ) -> Result<(), SendReason> {
        let link = match self.route(to)? {
            Way::Link(link) => link,
            // Replies leave by the link their call came in by, whose owner handled the frame; with `target` placement that
            // may be another slot than a message to the caller's shard would take, and any slot to the peer will do.
            Way::Owner(_) => self.any_link(to.node.0).ok_or(SendReason::NotConnected)?,
        };
        if self.may_be_special(from, 0) {
            return self.push_compressed(link, head, self.compresses_from(from, 0), write);
        }
        self.push(link, head, write)
    }

    /// Any link of this shard to the node with this key.
    fn any_link(&self, key: u64) -> Option<u32> {
        let session = self.net.find(key)?;
        let links = self.net.links.borrow();
        let of_session =
            |place: &Option<OwnedLink>| place.as_ref().is_some_and(|link| link.session == session);
        let is_live = |place: &Option<OwnedLink>| {
            place.as_ref().is_some_and(|link| link.session == session && link.data.socket.is_some())
        };
        let live = links.iter().position(is_live).or_else(|| links.iter().position(of_session));
        live.map(|found| found as u32)
    }
}

/// How a frame reaches a pid of another node.
pub(super) enum Way {
    /// By this link.
    Link(u32),
    /// By a link that this shard owns.
    Owner(u16),
}

pub(super) enum Sent {
    Queued,
    /// Another shard owns the link.
    Hop(u16),
    /// Messages of its sender to this session's node wait for names.
    Behind(u32),
}

#[cold]
pub(super) fn refused(full: Full, cells: &LinkCells) -> SendReason {
    match full {
        Full::Bytes => {
            bump(&cells.outbox_refused, 1);
            SendReason::OutboxFull
        }
        Full::Frame(error) => {
            bump(&cells.encode_errors, 1);
            match error {
                WireError::FrameTooLarge { .. } => SendReason::TooLarge,
                _ => SendReason::Encode,
            }
        }
    }
}

pub(super) fn priority_of(flags: u64) -> Priority {
    match flags & Meta::QUEUE {
        Meta::URGENT => Priority::Max,
        Meta::SYSTEM => Priority::High,
        _ => Priority::Normal,
    }
}
