//! A node: its shards, names and threads, and the handle by which a program uses it.

mod builder;
mod handle;
mod options;
mod shared;

pub use builder::{NodeBuilder, Pinning};
pub use handle::Node;
pub use options::SpawnOptions;

pub(crate) use shared::NodeShared;
