//! Handing a message on without knowing its type: for pools, routers and `forward`. Sender and caller stay who they were.

use crate::actor::Route;
use crate::error::SendReason;
use crate::mailbox::{EnvelopePtr, Meta};
use crate::shard::bounded::Admission;
use crate::shard::{Parcel, REMOTE_CALLER, Shard};
use shard_wire::{Erased, LocalId, Pid};
use std::sync::atomic::Ordering::Relaxed;

/// A message on its way, with who sent it and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Carried {
    /// The sender's local id.
    pub(crate) from: u64,
    /// Flags of its envelope: call, remote, queue.
    pub(crate) flags: u64,
    /// The waiter of a call; the node of a remote sender.
    pub(crate) reply: u64,
    /// The message.
    pub(crate) message: Erased,
}

impl Carried {
    /// The parcel that carries it on, with the time it is handed on at.
    fn into_parcel(self, to: LocalId, stamp: u64) -> Parcel {
        let (vtable, payload) = self.message.into_parts();
        let meta = stamp | self.flags;
        Parcel { target: to.0, vtable, from: self.from, meta, payload, reply: self.reply }
    }
}

impl Shard {
    /// Hands a message on to a process of this node; it comes back if that one does not take it.
    pub(crate) fn forward(&self, to: Pid, carried: Carried) -> Result<(), (SendReason, Carried)> {
        if to.node.0 != self.key {
            return Err((SendReason::LocalOnly, carried));
        }
        let Some(port) = self.node.port(to.local.shard()) else {
            return Err((SendReason::NoProcess, carried));
        };
        match port.admit(to.local, carried.flags) {
            Admission::Refuse(reason) => return Err((reason, carried)),
            Admission::Drop => {
                self.drop_newest(carried.message, carried.flags, carried.reply);
                return Ok(());
            }
            Admission::Enter => {}
        }
        let carried = self.trace_carried(carried);
        if to.local.shard() != self.index {
            self.forward_across(to.local, carried);
            return Ok(());
        }
        self.arrive(carried.into_parcel(to.local, self.stamp.get()));
        Ok(())
    }

    fn forward_across(&self, to: LocalId, carried: Carried) {
        if carried.flags & Meta::CALL != 0 && carried.reply & REMOTE_CALLER != 0 {
            return self.forward_remote_call(to, carried);
        }
        let parcel = carried.into_parcel(to, self.stamp.get());
        if let Some(refused) = self.mesh.push_reserved(self, to.shard(), parcel) {
            self.forget_place(to, refused.meta & Meta::FLAGS);
            self.dead_letter(refused);
        }
    }

    /// Takes a message handed on by another shard, with a caller of this one.
    pub(crate) fn take_forwarded(&self, to: LocalId, carried: Carried) {
        self.arrive(carried.into_parcel(to, self.stamp.get()));
    }

    /// Puts a parcel that has its place into the mailbox of a process of this shard.
    fn arrive(&self, parcel: Parcel) {
        let record = self.table.record(parcel.target as u32);
        if record.id.load(Relaxed) != parcel.target {
            return self.dead_letter(parcel);
        }
        self.arrive_special(record, parcel);
    }

    /// A message with the sender, and the node, of the message in hand.
    pub(crate) fn carry_on(&self, message: Erased, waiter: u64, queue: u64) -> Carried {
        let sender = self.sender();
        let is_remote = sender.node.0 != self.key;
        let flags =
            queue | if waiter != 0 { Meta::CALL } else { 0 } | if is_remote { Meta::REMOTE } else { 0 };
        let reply = if waiter != 0 { waiter } else { sender.node.0 };
        Carried { from: sender.local.0, flags, reply, message }
    }

    /// The process of this node that an address leads to now.
    pub(crate) fn resolve(&self, route: Route<'_>) -> Option<Pid> {
        match route {
            Route::Pid(pid) => Some(pid),
            Route::Alias(alias) => self.alias_owner(alias).map(|local| self.pid(local)),
            Route::Name(name) => self.node.lookup(name),
            Route::Remote { name, node } if node == self.node.name() => self.node.lookup(name),
            Route::Remote { .. } => None,
        }
    }

    /// Whether an address leads to another node.
    pub(crate) fn is_remote(&self, route: Route<'_>) -> bool {
        match route {
            Route::Pid(pid) => pid.node.0 != self.key,
            Route::Alias(alias) => alias.node.0 != self.key,
            Route::Name(_) => false,
            Route::Remote { node, .. } => node != self.node.name(),
        }
    }

    /// Whether a process is of this node, but not of this shard.
    pub(crate) fn is_other_shard(&self, pid: Pid) -> bool {
        pid.node.0 == self.key && pid.local.shard() != self.index
    }

    /// What is in hand, taken out of its envelope to be handed on.
    pub(crate) fn carry(&self, envelope: EnvelopePtr, message: Erased) -> Carried {
        let meta = envelope.meta();
        let flags = meta & (Meta::CALL | Meta::REMOTE | Meta::QUEUE);
        let has_reply = meta & (Meta::CALL | Meta::REMOTE) != 0;
        Carried { from: envelope.from(), flags, reply: if has_reply { envelope.reply() } else { 0 }, message }
    }
}
