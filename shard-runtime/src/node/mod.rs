//! A node: its shards, names and threads, and the handle by which a program uses it.

mod builder;
mod cron;
mod handle;

pub use builder::{NodeBuilder, Pinning};
pub use handle::Node;
