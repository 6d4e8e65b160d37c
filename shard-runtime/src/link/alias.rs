//! Messages to aliases of processes of other nodes.
//!
//! Invariants: B1 an alias is looked up by its own node, which alone knows where it leads, by the shard that reads the frame.
//! B2 an alias names the shard of its process, so what is sent to it takes the link of that process, and FIFO holds between both
//! addresses.

use crate::error::{CallError, SendError, SendReason};
use crate::link::important::is_important;
use crate::link::net::PeerSession;
use crate::link::receive::Origin;
use crate::process::bump;
use crate::shard::Shard;
use shard_wire::frame::Frame;
use shard_wire::header::FrameKind;
use shard_wire::{Alias, IncarnationKey, LocalId, Message, Pid};

/// Among the flags of a message for another node: its target is the number of an alias. As
/// [`TRACE_FLAG`](crate::shard::TRACE_FLAG), it lies where a send looks anyway.
pub(super) const ALIAS_FLAG: u64 = 1 << 62;

/// What stands for an alias of another node where a process is expected: it has the same shard.
pub(super) fn alias_address(alias: Alias) -> Pid {
    Pid { node: alias.node, local: LocalId(alias.id) }
}

impl Shard {
    /// Sends to an alias of another node.
    #[cold]
    pub(crate) fn deliver_far_alias<M: Message>(
        &self,
        alias: Alias,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let flags = self.with_send_queue(flags);
        if self.is_annex() {
            let trace = self.trace();
            return self.send_by_home(message, flags, reply, move |home, message, reply| {
                home.with_trace(trace, || home.deliver_far_alias(alias, message, flags, reply))
            });
        }
        if let Err(reason) = self.session_for_alias(alias) {
            self.count_send_error(flags, true);
            return Err(SendError::new(reason, message));
        }
        let flags = flags | self.trace_flag() | ALIAS_FLAG;
        self.deliver_remote_named(alias_address(alias), None, message, flags, reply)
    }

    /// The session with the node of an alias, if that takes messages to aliases.
    pub(super) fn session_for_alias(&self, alias: Alias) -> Result<u32, SendReason> {
        let IncarnationKey(key) = alias.node;
        let session = self.net.find(key).ok_or(SendReason::NoRoute)?;
        let sessions = self.net.sessions.borrow();
        // Why one that has ended takes nothing is for the send to say.
        let takes = |peer: &PeerSession| peer.session.takes_aliases || !peer.is_up;
        if sessions.get(session as usize).is_some_and(takes) {
            Ok(session)
        } else {
            Err(SendReason::Unsupported)
        }
    }

    /// The process that a frame is for, by its alias. If there is none, whoever waits for an answer is told.
    #[cold]
    pub(super) fn aliased(&self, frame: &Frame<'_>, origin: Origin) -> Option<LocalId> {
        if !matches!(frame.header.kind, FrameKind::Send | FrameKind::Call) {
            self.with_link_cells(origin.link, |cells| bump(&cells.unknown_types, 1));
            return None;
        }
        let alias = Alias { node: self.node().key(), id: frame.header.to.0 };
        let owner = self.alias_owner(alias).map(LocalId);
        if owner.is_none() && !(is_important(frame) && self.is_repeated(frame, origin)) {
            self.undeliverable(frame, origin, CallError::Send(SendReason::AliasUnknown));
        }
        owner
    }
}
