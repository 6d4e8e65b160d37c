//! Processes on other nodes, as the send path sees them.

use crate::error::{CallError, SendError, SendReason};
use crate::shard::{Parcel, Shard};
use shard_wire::{Message, Pid, Vtable};
use std::task::Context as TaskContext;

impl Shard {
    /// Sends to a process of another node.
    pub(super) fn deliver_remote<M: Message>(
        &self,
        _to: Pid,
        message: M,
        flags: u64,
        _reply: u64,
    ) -> Result<(), SendError<M>> {
        self.count_send_error(flags, true);
        Err(SendError::new(SendReason::NoRoute, message))
    }

    /// Sends to a name on another node.
    pub(super) fn deliver_named<M: Message>(
        &self,
        _name: &str,
        _node: &str,
        message: M,
        flags: u64,
        _reply: u64,
    ) -> Result<(), SendError<M>> {
        self.count_send_error(flags, true);
        Err(SendError::new(SendReason::NotConnected, message))
    }

    /// Answers a caller on another node.
    pub(super) fn answer_remote(&self, _reference: u64, _request: &'static Vtable, _reply: Parcel) {}

    /// Refuses a caller on another node.
    pub(super) fn refuse_remote(&self, _reference: u64, _error: CallError) {}

    /// Moves bytes of links; whether there was something.
    pub(super) fn poll_links(&self) -> bool {
        false
    }

    /// Hands batches to the sockets; whether there was something.
    pub(super) fn flush_links(&self) -> bool {
        false
    }

    /// Asks the sockets to wake this task; whether there is something to do now.
    pub(crate) fn arm_links(&self, _task: &mut TaskContext<'_>) -> bool {
        false
    }

    /// Ticks at which a link wants to be looked at.
    pub(super) fn link_deadline(&self) -> Option<u64> {
        None
    }
}
