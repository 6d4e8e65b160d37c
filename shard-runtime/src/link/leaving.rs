//! Nodes that stop as planned: what is not sent to them any more, and what is refused when this one stops.
//!
//! Invariants: V1 what is refused with [`SendReason::NodeStopping`] was not delivered and will not be, so it may be sent to
//! another node. V2 an important message that was delivered before is acknowledged again, not refused. V3 plain messages that
//! are under way when a node begins to stop are delivered: nobody could be told that they were not.

use crate::error::{CallError, SendReason};
use crate::link::important::is_important;
use crate::link::receive::Origin;
use crate::shard::Shard;
use shard_wire::Pid;
use shard_wire::frame::Frame;
use shard_wire::header::FrameKind;

impl Shard {
    /// A peer has said that it is stopping, or sessions have changed: whether sends have to look.
    pub(crate) fn heed_leaving(&self) {
        let sessions = self.net.sessions.borrow();
        let some = sessions.iter().any(|peer| peer.is_up && peer.session.is_leaving());
        self.net.some_leaving.set(some);
        self.heed_waiting();
    }

    /// Whether sends have to look has changed.
    pub(super) fn heed_waiting(&self) {
        self.net.is_careful.set(self.net.some_leaving.get() || self.net.some_waiting.get());
    }

    /// Whether the node of a pid takes messages.
    #[cold]
    pub(super) fn check_leaving(&self, to: Pid) -> Result<(), SendReason> {
        if !self.net.some_leaving.get() {
            return Ok(());
        }
        let Some(session) = self.net.find(to.node.0) else { return Ok(()) };
        let sessions = self.net.sessions.borrow();
        let leaves = sessions.get(session as usize).is_some_and(|peer| peer.session.is_leaving());
        if leaves { Err(SendReason::NodeStopping) } else { Ok(()) }
    }

    /// Why there is no session with a node.
    #[cold]
    pub(super) fn why_no_session(&self, node: &str) -> SendReason {
        if self.net.has_left(node) { SendReason::NodeStopping } else { SendReason::NotConnected }
    }

    /// This node stops: calls and important messages of other nodes are refused from now on.
    pub(crate) fn refuse_others(&self) {
        self.net.refuses.set(true);
    }

    /// Refuses a call or an important message since this node stops. `false`: it is neither, or another shard has to look at
    /// it.
    #[cold]
    pub(super) fn refuse_new(&self, frame: &Frame<'_>, origin: Origin) -> bool {
        let is_call = frame.header.kind == FrameKind::Call;
        if !is_call && !is_important(frame) {
            return false;
        }
        if !is_call && frame.header.to.shard() != self.index() {
            return false;
        }
        // V2.
        if is_call || !self.is_repeated(frame, origin) {
            // A peer of an older version knows the reason under this name.
            let knows = self.session_by_key(origin.key).is_ok_and(|session| session.serves);
            let reason = if knows { SendReason::NodeStopping } else { SendReason::Stopping };
            self.answer_error(frame, origin, CallError::Send(reason));
        }
        true
    }

    /// Whether no call of another node is open here.
    pub(crate) fn has_answered_others(&self) -> bool {
        self.net.callers.borrow().open() == 0
    }
}
