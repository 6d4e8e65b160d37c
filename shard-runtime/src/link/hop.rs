//! Messages whose link another shard owns: they cross to it first, boxed.
//!
//! Invariants: H1 what crossed is not refused for want of room: it waits at the owner, in order, while senders elsewhere are
//! refused because the owner shows a full outbox. H2 so what waits is bounded by what the rings between shards hold, and
//! by [`MAX_LATE`].

use crate::error::{CallError, SendReason};
use crate::link::send::{Sent, Way};
use crate::mailbox::Meta;
use crate::shard::Shard;
use crate::trace::TraceContext;
use shard_wire::{Message, Pid};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

/// Messages that wait at one shard for room on its links.
const MAX_LATE: usize = 1 << 16;

/// A message that has crossed and waits for room.
pub(crate) trait Late: std::fmt::Debug {
    /// Sends it, or gives it back because there still is no room.
    fn try_again(self: Box<Self>, shard: &Shard) -> Option<Box<dyn Late>>;
    /// It will not be sent.
    fn give_up(self: Box<Self>, shard: &Shard, reason: SendReason);
}

/// Messages that wait for room on one link, in their order.
pub(crate) type Queue = VecDeque<Box<dyn Late>>;

/// A message on its way to the shard that owns its link.
pub(super) struct Hop<M> {
    pub(super) to: Pid,
    pub(super) name: Option<Box<str>>,
    pub(super) from: u64,
    /// As in an envelope; above them the sender's threshold of compression.
    pub(super) flags: u64,
    pub(super) reply: u64,
    /// Tick at which a call ends: its waiter is another shard's.
    pub(super) due: Option<u64>,
    /// The trace that it is part of.
    pub(super) trace: Option<TraceContext>,
    pub(super) message: M,
}

impl<M> std::fmt::Debug for Hop<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hop").field("to", &self.to).field("from", &self.from).finish_non_exhaustive()
    }
}

impl<M: Message> Hop<M> {
    pub(super) fn arrive(self: Box<Self>, shard: &Shard) {
        let to = self.to;
        let link = match shard.route(to) {
            Ok(Way::Link(link)) => Some(link),
            _ => None,
        };
        let late = match link {
            Some(link) if shard.has_late(link) => Some(self as Box<dyn Late>),
            _ => self.try_again(shard),
        };
        if let (Some(link), Some(late)) = (link, late) {
            shard.let_hop_wait(link, late);
        }
    }
}

impl<M: Message> Late for Hop<M> {
    fn try_again(self: Box<Self>, shard: &Shard) -> Option<Box<dyn Late>> {
        shard.net.hop_due.set(self.due);
        let sent = shard.with_trace(self.trace, || {
            shard.speaking_as(self.from, || {
                // Its turn was kept where it was sent; its node may have begun to stop since.
                shard.check_leaving(self.to)?;
                shard.put_remote(self.to, self.name.as_deref(), &self.message, self.flags, self.reply)
            })
        });
        shard.net.hop_due.set(None);
        let reason = match sent {
            Ok(Sent::Queued) => {
                shard.contain(|| drop(self));
                return None;
            }
            Err(SendReason::OutboxFull) => return Some(self),
            // Of a session that has begun meanwhile, this shard does not own the link.
            Ok(Sent::Hop(_) | Sent::Behind(_)) => SendReason::NotConnected,
            Err(reason) => reason,
        };
        self.give_up(shard, reason);
        None
    }

    fn give_up(self: Box<Self>, shard: &Shard, reason: SendReason) {
        let (flags, reply) = (self.flags, self.reply);
        shard.contain(|| drop(self));
        if flags & Meta::CALL == 0 {
            shard.count(|cells| &cells.dead_letters, 1);
        } else {
            shard.refuse(reply, CallError::Send(reason));
        }
    }
}

impl Shard {
    /// Whether messages wait for room on a link.
    fn has_late(&self, link: u32) -> bool {
        let links = self.net.links.borrow();
        links.get(link as usize).and_then(Option::as_ref).is_some_and(|owned| !owned.late.is_empty())
    }

    fn let_hop_wait(&self, link: u32, late: Box<dyn Late>) {
        // LIMIT: H2.
        if self.net.late.get() >= MAX_LATE {
            return late.give_up(self, SendReason::OutboxFull);
        }
        self.put_late(link, late, Queue::push_back);
    }

    fn put_late(&self, link: u32, late: Box<dyn Late>, put: fn(&mut Queue, Box<dyn Late>)) {
        let mut late = Some(late);
        if let Some(Some(owned)) = self.net.links.borrow_mut().get_mut(link as usize)
            && let Some(late) = late.take()
        {
            put(&mut owned.late, late);
        }
        match late {
            None => self.count_late(link, 1),
            Some(late) => late.give_up(self, SendReason::NotConnected),
        }
    }

    /// A link has room again: what waits for it goes, as far as there is room.
    pub(super) fn send_late(&self, link: u32) {
        loop {
            let next = match self.net.links.borrow_mut().get_mut(link as usize) {
                Some(Some(owned)) => owned.late.pop_front(),
                _ => None,
            };
            let Some(late) = next else { return };
            self.count_late(link, -1);
            if let Some(late) = late.try_again(self) {
                // There is the place that it has left.
                return self.put_late(link, late, Queue::push_front);
            }
        }
    }

    /// The session of a link has ended: what waited for room there learns why.
    pub(super) fn end_late(&self, late: Queue) {
        self.net.late.set(self.net.late.get().saturating_sub(late.len()));
        for late in late {
            if let Some(late) = late.try_again(self) {
                late.give_up(self, SendReason::NotConnected);
            }
        }
    }

    fn count_late(&self, link: u32, change: i64) {
        self.net.late.set(self.net.late.get().saturating_add_signed(change as isize));
        self.with_link_cells(link, |cells| {
            let late = cells.late.load(Relaxed);
            cells.late.store(late.saturating_add_signed(change), Relaxed);
        });
    }
}
