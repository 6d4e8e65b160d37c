//! One shard: its processes, mailboxes, timers and lanes to the other shards, and the pump that runs them.
//!
//! A shard is driven by a reactor that calls [`Shard::turn`] and parks it. Nothing in here knows which reactor.

mod annex;
mod annexes;
mod audience;
mod bounded;
mod cells;
mod core;
mod current;
mod deliver;
mod ending;
mod facts;
mod forward;
mod futures;
mod gate;
mod inbound;
mod kept;
mod lifecycle;
mod mesh;
mod place;
mod proxy;
mod pump;
mod ready;
mod requests;
mod signals;
mod split;
mod steward;
mod tasks;
mod timers;
mod topics;
mod trace;
mod views;
mod waiter;
mod watch;
mod watched;

pub use core::Shard;

pub use cells::{LogLevel, STALL_BOUNDS_NS, ShardCounters};

pub(crate) use annex::{Annex, Lease};
pub(crate) use annexes::{Annexes, MAX_ANNEXES};
pub(crate) use audience::{DeliverKept, EventKey, Kept, SpreadKept, deliver_kept, spread_kept};
pub(crate) use bounded::{Admission, Room};
pub(crate) use cells::ShardCells;
pub(crate) use core::{STALL_NS, ShardSettings};
pub(crate) use current::{Home, MAX_NODES, NodeTable, Scope, with_current};
pub(crate) use deliver::REMOTE_CALLER;
pub(crate) use forward::Carried;
pub(crate) use futures::FuturePool;
pub(crate) use inbound::{Inbound, Parcel, Port};
pub(crate) use lifecycle::Origin;
pub(crate) use place::take_place;
pub(crate) use pump::{Turn, panic_message};
pub(crate) use split::{Reached, told_by};
pub(crate) use tasks::{Pause, Task, on_shard};
pub(crate) use topics::Step;
pub(crate) use trace::{TRACE_FLAG, Traced};
pub(crate) use waiter::{Outcome, RemoteWait};
