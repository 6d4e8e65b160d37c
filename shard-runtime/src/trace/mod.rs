//! Traces: what belongs together across processes, shards and nodes.
//!
//! Here are a handler's place in a trace and its text form; how it travels with messages is in
//! [`shard::trace`](crate::shard).

mod context;

pub use context::TraceContext;
