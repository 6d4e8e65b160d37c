//! A node: its shards, names and threads, and the handle by which a program uses it.

mod apps;
mod builder;
mod cron;
mod farewell;
mod handle;
mod remote;
mod setup;
mod stop;
mod traced;

pub use builder::{NodeBuilder, Pinning};
pub use handle::Node;
pub use stop::{LateProcess, StopPhase, StopPlan, StopReport};
pub use traced::TracedNode;

pub(crate) use setup::Setup;
