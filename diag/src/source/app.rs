//! Applications as diagnostics sees them.

use std::time::Duration;

/// One loaded application.
#[derive(Clone, Debug, Default)]
pub struct AppRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its release.
    pub version: String,
    /// `loaded`, `initializing`, `running` or `stopping`.
    pub state: &'static str,
    /// `temporary`, `transient` or `permanent`.
    pub mode: &'static str,
    /// Nanoseconds since it runs; 0 if it does not.
    pub uptime_ns: u64,
    /// Its share of load.
    pub weight: u32,
    /// Its labels.
    pub tags: Vec<String>,
    /// Which registered name plays which role.
    pub roles: Vec<(String, String)>,
    /// Applications it depends on.
    pub depends: Vec<String>,
    /// Whether it depends on the network.
    pub needs_network: bool,
    /// What it adds to the environment, as it may be shown.
    pub env: Vec<(String, String)>,
    /// Local ids of the members that live, in the order of their start.
    pub members: Vec<u64>,
    /// All processes that belong to it.
    pub processes: u64,
    /// How often it was started.
    pub starts: u64,
    /// Why it ended last; empty if it never did.
    pub last_reason: String,
    /// Time for `init`, for the `start` hook, and for each part of a stop.
    pub timeouts: [Duration; 3],
}
