//! Diagnostics of a shard-runtime node: Prometheus metrics, health and an MCP server, on one OS thread.
//!
//! Owns: the thread (tokio, single-threaded), its listeners, the snapshots it takes. It reads a node through
//! [`Source`] only. Invariants: X1 no shard is asked anything but `process_inspect`, so everything else answers while
//! every shard is stuck. X2 nothing from a socket panics, hangs or grows without a bound. X3 what others can reach has
//! a token.
//!
//! ```no_run
//! # fn source() -> std::sync::Arc<dyn shard_diag::Source> { unimplemented!() }
//! use shard_diag::{Diag, DiagOptions};
//! let diag = Diag::start(source(), DiagOptions::default())?;
//! assert_eq!(diag.mcp_addresses()[0].port(), 9922);
//! diag.stop()?;
//! # Ok::<(), shard_diag::DiagError>(())
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
