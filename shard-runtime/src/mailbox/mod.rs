//! Mailboxes: pooled 64-byte envelopes and the queues they are linked into.

mod envelope;
mod pool;
mod queue;

pub(crate) use envelope::{EnvelopePtr, Meta};
pub(crate) use pool::Pool;
pub(crate) use queue::Queue;
