//! In which version a message goes to a node that may not know the current one, and which versions are read as a type.
//!
//! Cost: messages that have no earlier version pay one test; for the others the peer's keys are searched.

use crate::actor::OwnedRoute;
use crate::error::SendReason;
use crate::shard::Shard;
use shard_wire::frame::FrameHead;
use shard_wire::{Message, MessageKey, Older, WireOps};

/// What reads earlier versions of a type, the newest first. Of views there is none: an earlier version is not read as a view.
pub(crate) fn earlier(ops: &'static WireOps) -> impl Iterator<Item = &'static WireOps> {
    let later = ops.vtable().type_id();
    ops.older().iter().map(Older::upgrading).filter(move |older| older.vtable().type_id() == later)
}

impl Shard {
    /// The earlier version in which a message goes to the node of a session; `None`: the current one. While the peer has
    /// not told what it reads, that is the earliest, which later ones read as well.
    #[cold]
    pub(super) fn older_for(&self, session: Option<u32>, ops: &'static WireOps) -> Option<&'static Older> {
        let sessions = self.net.sessions.borrow();
        let peer = session.and_then(|session| sessions.get(session as usize));
        let Some(types) = peer.and_then(|peer| peer.session.types.get()) else { return ops.older().last() };
        let reads = |key: MessageKey| types.binary_search(&key.0).is_ok();
        if reads(ops.key()) {
            return None;
        }
        // A node that reads none of them says that the type is not known to it.
        ops.older().iter().find(|older| older.key().is_some_and(reads))
    }

    /// The same, for where an important message or an ask goes.
    pub(super) fn older_by_route(&self, to: &OwnedRoute, ops: &'static WireOps) -> Option<&'static Older> {
        if ops.older().is_empty() {
            return None;
        }
        let to = to.clone();
        self.at_home(move |home| {
            let session = match &to {
                OwnedRoute::Pid(pid) => home.net.find(pid.node.0),
                OwnedRoute::Remote(_, node) => home.net.find_node(node),
                OwnedRoute::Alias(alias) => home.net.find(alias.node.0),
                OwnedRoute::Name(_) => None,
            };
            home.older_for(session, ops)
        })
        .flatten()
    }

    /// The same, for arguments of a process on a node.
    pub(super) fn older_at(&self, node: &str, ops: &'static WireOps) -> Option<&'static Older> {
        if ops.older().is_empty() {
            return None;
        }
        let node: Box<str> = node.into();
        self.at_home(move |home| home.older_for(home.net.find_node(&node), ops)).flatten()
    }

    /// Appends a message in an earlier version to a link's batch.
    #[cold]
    pub(super) fn push_older<M: Message>(
        &self,
        link: u32,
        head: &FrameHead<'_>,
        threshold: u32,
        (message, older): (&M, &Older),
    ) -> Result<(), SendReason> {
        let head = FrameHead { key: older.key().ok_or(SendReason::LocalOnly)?, ..*head };
        self.push_compressed(link, &head, threshold, |out| older.encode(message, out))
    }
}
