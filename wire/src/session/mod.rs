//! Which peers a node is in session with, over which links, and when that ends.
//!
//! [`SessionCore`] is one state machine for a whole node: the control thread feeds it what happened and when, and does
//! what the commands say. It opens no socket, reads no clock and draws no random number.
//!
//! A **session** is the relation of two incarnations. Both nodes know it by one number, which the acceptor of the
//! first control link chooses above everything either node used before. A **link** belongs to one session; a data link
//! has a slot, and an epoch that grows with each re-dial. Losing a link does not end a session: silence, a goodbye, a
//! new incarnation of the peer, or the peer having ended it does.
//!
//! Invariants: S1 numbers of sessions with one name only grow, and ups and downs alternate. S2 each session that was up
//! is down exactly once, before the next is up. S3 when an epoch of a slot is up, the one before is closed. S4 a data
//! link is handed to its shard only after that shard has processed every down before. S5 when both nodes dial at once,
//! the dial of the node with the smaller (name, incarnation) wins; the other gets `duplicate` after authentication.
//! S6 a node that stood still drains its sockets before it judges anybody.
//! Threads: one, the control thread. Cost: a map look-up per input; a pass over all peers per tick and per
//! [`SessionCore::next_deadline`].

mod bar;
mod command;
mod control;
mod core;
mod dial;
mod judge;
mod liveness;
mod peer;
mod reason;
mod slot;
#[cfg(test)]
mod tests;

pub use bar::MAX_QUARANTINED;
pub use command::{Command, LinkId, SessionConfig, SessionCounters, Timing};
pub use control::{
    ControlError, ControlMsg, ControlReader, MAX_CHUNK_BYTES, MAX_CONTROL_BYTES, MAX_STALLS, MAX_TEXT_BYTES,
    MAX_TYPES, Stall,
};
pub use core::{PeerState, SessionCore};
pub use reason::DownReason;
