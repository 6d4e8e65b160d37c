//! What an operator may set.

use std::fmt;
use std::time::Duration;

/// Where a listener binds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Address or name. `localhost` binds 127.0.0.1 and, where there is one, ::1.
    pub host: String,
    /// Port; `0` lets the kernel choose.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint on this machine only.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        Self { host: String::from("localhost"), port }
    }
}

/// Options of the diagnostics thread.
///
/// ```
/// use shard_diag::{DiagOptions, Endpoint};
/// let both_on_one_port = DiagOptions {
///     radar: Some(Endpoint::loopback(9090)),
///     mcp: Some(Endpoint::loopback(9090)),
///     ..DiagOptions::default()
/// };
/// assert_eq!(both_on_one_port.health_path, "/health");
/// ```
#[derive(Clone)]
pub struct DiagOptions {
    /// Metrics and health; default `localhost:9090`. `None`: not served.
    pub radar: Option<Endpoint>,
    /// MCP; default `localhost:9922`. Equal to `radar`: one listener serves both. `None`: agent mode, the node
    /// answers through its peers only.
    pub mcp: Option<Endpoint>,
    /// Bearer token for everything but health; mandatory when a listener is not on loopback.
    pub token: Option<String>,
    /// Host names clients may use besides loopback names and the bound address.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may ask, as `scheme://host[:port]`; a page of the listener itself always may.
    pub allowed_origins: Vec<String>,
    /// Path of the metrics; default `/metrics`.
    pub metrics_path: String,
    /// Prefix of the three health paths; default `/health`.
    pub health_path: String,
    /// Time between two passes; default 10 s.
    pub collect_interval: Duration,
    /// A scrape older than this starts a pass; default 1 s.
    pub collect_min_age: Duration,
    /// Entries per top list; default 50, at most 500.
    pub top_n: usize,
    /// Age of a shard's heartbeat that makes it down; default 10 s.
    pub stall_down_after: Duration,
    /// Connections per listener; default 64.
    pub max_connections: usize,
    /// Limit for the head and the body of a request, and for answering metrics and health; default 5 s.
    pub request_timeout: Duration,
    /// Tool calls in progress, from clients and from peers together; default 64.
    pub max_inflight: usize,
    /// Largest answer of a tool in bytes; default 4 MiB.
    pub result_cap_bytes: usize,
    /// Text added to the server's instructions.
    pub instructions: String,
}

impl Default for DiagOptions {
    fn default() -> Self {
        Self {
            radar: Some(Endpoint::loopback(9090)),
            mcp: Some(Endpoint::loopback(9922)),
            token: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            metrics_path: String::from("/metrics"),
            health_path: String::from("/health"),
            collect_interval: Duration::from_secs(10),
            collect_min_age: Duration::from_secs(1),
            top_n: 50,
            stall_down_after: Duration::from_secs(10),
            max_connections: 64,
            request_timeout: Duration::from_secs(5),
            max_inflight: 64,
            result_cap_bytes: 4 * 1024 * 1024,
            instructions: String::new(),
        }
    }
}

impl fmt::Debug for DiagOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiagOptions")
            .field("radar", &self.radar)
            .field("mcp", &self.mcp)
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_origins", &self.allowed_origins)
            .field("top_n", &self.top_n)
            .finish_non_exhaustive()
    }
}
