//! Applications as documents, in Ergo's field names.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::records::seconds;
use crate::pid;
use crate::source::{AppRow, Identity};

/// One row of `app_list`; lower-case keys, as Ergo has them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AppShort {
    name: String,
    /// loaded, initializing, running or stopping.
    state: &'static str,
    mode: &'static str,
    description: String,
    version: String,
    /// Seconds since it runs; 0 if it does not.
    uptime: i64,
    weight: u32,
    tags: Vec<String>,
    /// All its processes, not only its members.
    processes: u64,
    /// Members that live.
    group_size: u64,
    /// How often it was started.
    starts: u64,
    /// Why it ended last; empty if it never did.
    last_reason: String,
}

impl From<&AppRow> for AppShort {
    fn from(row: &AppRow) -> Self {
        Self {
            name: row.name.clone(),
            state: row.state,
            mode: row.mode,
            description: row.description.clone(),
            version: row.version.clone(),
            uptime: seconds(row.uptime_ns),
            weight: row.weight,
            tags: row.tags.clone(),
            processes: row.processes,
            group_size: u64::try_from(row.members.len()).unwrap_or(u64::MAX),
            starts: row.starts,
            last_reason: row.last_reason.clone(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Depends {
    applications: Vec<String>,
    network: bool,
}

/// The whole record of an application.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AppInfo {
    name: String,
    weight: u32,
    tags: Vec<String>,
    /// Which registered name plays which role.
    map: BTreeMap<String, String>,
    description: String,
    version: String,
    /// What it adds to the environment of its members; values only where the node exposes them and they are no secrets.
    env: BTreeMap<String, String>,
    depends: Depends,
    mode: &'static str,
    state: &'static str,
    /// The node that started it.
    parent: String,
    /// Seconds since it runs; 0 if it does not.
    uptime: i64,
    /// Pids of the members that live, in the order of their start.
    group: Vec<String>,
    /// All its processes; 0 when it has ended.
    processes_total: u64,
    /// How often it was started.
    starts: u64,
    /// Why it ended last; empty if it never did.
    last_reason: String,
    /// Seconds that `init` may take.
    init_timeout: f64,
    /// Seconds that the `start` hook may take.
    start_timeout: f64,
    /// Seconds that each part of a stop may take.
    stop_timeout: f64,
}

impl AppInfo {
    pub(super) fn of(row: AppRow, node: &Identity) -> Self {
        let group = row.members.iter().map(|id| pid::full(&node.name, node.creation, *id)).collect();
        let [init_timeout, start_timeout, stop_timeout] = row.timeouts.map(|limit| limit.as_secs_f64());
        Self {
            weight: row.weight,
            tags: row.tags,
            map: row.roles.into_iter().collect(),
            description: row.description,
            version: row.version,
            env: row.env.into_iter().collect(),
            depends: Depends { applications: row.depends, network: row.needs_network },
            mode: row.mode,
            state: row.state,
            parent: node.name.clone(),
            uptime: seconds(row.uptime_ns),
            group,
            processes_total: row.processes,
            starts: row.starts,
            last_reason: row.last_reason,
            init_timeout,
            start_timeout,
            stop_timeout,
            name: row.name,
        }
    }
}
