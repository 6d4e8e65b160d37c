//! The lanes into a shard: one-producer rings from peer shards, one inbox for everybody else, and the sleep flag.
//!
//! Messages of one sender arrive in order; nothing here drops a message, blocks, or wakes anybody by itself: the
//! wake-up is an argument.

mod spsc;

pub use spsc::{DEFAULT_CAPACITY, Receiver, SLOT_BYTES, Sender, channel};
