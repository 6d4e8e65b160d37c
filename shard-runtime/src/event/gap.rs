//! What a subscriber to an event of another node is told besides publications.

use crate::actor::local_message;
use crate::event::EventOrigin;
use std::sync::Arc;

/// Publications of an event of another node that this subscriber will not get: the node was cut off for longer than the event
/// keeps publications, or did not keep up. Arrives in the Main queue, where the first of them would have been if they are
/// published in the Main queue, too.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventGap {
    /// The event's name.
    pub name: Arc<str>,
    /// Its node.
    pub node: Arc<str>,
    /// Of which life of the event.
    pub origin: EventOrigin,
    /// Number of the first that is missing.
    pub from: u64,
    /// Number of the last that is missing.
    pub to: u64,
}

/// An event of another node was registered anew, most likely since its node was started anew: its numbers begin anew. What the
/// former one has published after the last number is not known. Arrives in the Main queue, before what the new one publishes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventRestart {
    /// The event's name.
    pub name: Arc<str>,
    /// Its node.
    pub node: Arc<str>,
    /// The life of the event that is over.
    pub before: EventOrigin,
    /// The number of its last publication that reached this node.
    pub last: u64,
    /// The life that has begun.
    pub now: EventOrigin,
}

local_message!(EventGap);
local_message!(EventRestart);
