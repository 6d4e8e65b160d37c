//! Starts node processes, watches them from outside and disturbs them.
//!
//! Owns: child processes and their logs ([`NodeProcess`]), free ports, temporary folders, network namespaces ([`Wire`]), a proxy that misbehaves on
//! demand ([`ChaosProxy`]), a blocking HTTP client and a reader of Prometheus text for what nodes serve, and the one
//! way to wait ([`eventually`]).
//! Threads: the proxy runs its own; everything else runs on the caller's. No async runtime.
//! Shutdown: each value undoes itself when dropped: children are killed and reaped, threads joined, folders removed
//! (kept when the test panics, so that logs can be read).

mod binary;
mod eventually;
mod http;
mod metrics;
mod netns;
mod node;
mod port;
mod proxy;
mod sys;
mod temp;

pub use binary::{binary, node_binary, venv_python};
pub use eventually::{eventually, eventually_some, poll};
pub use http::{Response, get, request};
pub use metrics::{Metrics, MetricsError};
pub use netns::{End, Wire};
pub use node::{NodeProcess, NodeSpec};
pub use port::{free_port, free_ports};
pub use proxy::{ChaosProxy, Mode};
pub use sys::{Restriction, Signal};
pub use temp::TempDir;
