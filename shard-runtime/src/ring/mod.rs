//! The lanes into a shard: one-producer rings from peer shards, one inbox for everybody else, and the sleep flag.
//!
//! Messages of one sender arrive in order; nothing here drops a message, blocks, or wakes anybody by itself: the
//! wake-up is an argument.

mod inbox;
mod outbox;
mod sleep;
mod spsc;

pub use inbox::{DEFAULT_INBOX_LIMIT, Inbox, InboxError, InboxRefusal};
pub use outbox::{DEFAULT_SPILL_LIMIT, Outbox, SpillFull};
pub use sleep::{RunMark, Sleep};
pub use spsc::{DEFAULT_CAPACITY, Receiver, SLOT_BYTES, Sender, channel};
