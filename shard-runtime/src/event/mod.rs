//! Events: one process publishes, many get the same value.
//!
//! Invariants: E1 publications of one event are numbered 1, 2, 3 ... on the shard of its producer, and every subscriber sees
//! those it gets in this order. E2 subscribers share one value: it is dropped with the last of them. E3 a subscriber misses
//! nothing between what was kept when it came and what is published after: both reach its shard by one lane.
//! E4 of an event of another
//! node, what a subscriber misses is told by an [`EventGap`].
//! Guarantee: at most once. What a subscriber's mailbox refuses is counted as lost, and seen by it as a gap in the numbers.

mod cell;
mod gap;
mod published;
mod topic;

pub use cell::{EventFacts, Utilization};
pub use gap::{EventGap, EventRestart};
pub use published::{Event, EventStart, EventStop};
pub use shard_wire::event::{EventOrigin, EventPosition};
pub use topic::{EventOptions, Topic};

pub(crate) use cell::{EventCell, Events};
pub(crate) use published::{Edition, Imprint, Published, Shared, decode};
pub(crate) use topic::MAX_BUFFER;
