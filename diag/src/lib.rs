//! Diagnostics of a shard-runtime node: Prometheus metrics, health and an MCP server, on one OS thread.
//!
//! Owns: the thread (tokio, single-threaded), its listeners, the snapshots it takes. It reads a node through
//! [`Source`] only. Invariants: X1 only `process_inspect` and `process_info` ask a shard, and neither waits for one that
//! is stuck: what is in memory is answered while every shard is. X2 nothing from a socket panics, hangs or grows
//! without a bound. X3 what others can reach has a token.
//!
//! ```no_run
//! use shard_diag::{Diag, DiagOptions};
//! use shard_runtime::Node;
//!
//! let node = Node::builder("demo@localhost").start()?;
//! let diag = Diag::for_node(&node, DiagOptions::default())?;
//! assert_eq!(diag.mcp_addresses()[0].port(), 9922);
//! node.run_until_signal()?;
//! diag.stop()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![cfg_attr(test, expect(clippy::indexing_slicing, clippy::float_cmp, reason = "tests index what they made"))]

mod error;
mod health;
mod http;
mod mcp;
pub mod metrics;
mod node_rows;
mod node_source;
mod options;
mod pid;
mod snapshot;
pub mod source;
mod tally;
mod thread;
mod top;
mod usage;

pub use error::DiagError;
pub use node_source::NodeSource;
pub use options::{DiagOptions, Endpoint};
pub use source::Source;
pub use thread::Diag;
