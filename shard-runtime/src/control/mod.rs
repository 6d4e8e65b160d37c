//! The control thread of a node: control links, discovery, diagnostics traffic, and the watchdog of its shards.
//!
//! It owns a tokio current-thread runtime; no tokio type crosses into a shard. All decisions about sessions are made by
//! [`SessionCore`](shard_wire::session::SessionCore); this folder moves its bytes and does what it says.
//!
//! Invariants: C1 nothing here waits for a shard: what a shard must learn goes through its inbox, so a stuck shard
//! neither hides nor downs its node. C2 nothing here waits for a peer: what is written is queued, every queue has a
//! bound, and a peer that does not read loses its link. C3 every task lives on this thread and ends with it.
//! Threads: one per node, named `control`. Cost: nothing per message; an idle node wakes it four times a second for the watchdog,
//! and three times a second per peer for heartbeats (measured: 15 wakes a second with four peers).
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod accept;
mod admission;
mod answer;
mod command;
mod counters;
mod diag;
mod driver;
mod embedded;
mod event;
mod found;
mod input;
mod link;
mod outbox;
mod poster;
mod routes;
mod serve;
mod settings;
mod shake;
mod socket;
mod stream;
#[cfg(feature = "tls")]
mod stream_tls;
mod thread;
mod watchdog;

pub use diag::{DiagPort, DiagRequest};
pub use event::NodeEvent;
pub use routes::{NodeRoute, RouteOptions};

pub(crate) use counters::NetCounters;
pub(crate) use settings::NetworkSettings;
pub(crate) use stream::Handed;
pub(crate) use thread::ControlThread;
