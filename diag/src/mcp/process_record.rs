//! The full record of one process: what its counters say, and what its shard knows of it.
//!
//! Invariant: R1 a record without the shard's facts has no key of theirs, and a note that says why: an empty list
//! always means that there is nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::records::{ProcessShort, Tracing, signed};
use crate::pid;
use crate::source::{Facts, Identity, InspectError, ProcessRow, Ties};

/// Messages waiting by queue.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MailboxQueues {
    main: i64,
    system: i64,
    urgent: i64,
    log: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Compression {
    enable: bool,
    r#type: &'static str,
    level: &'static str,
    threshold: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Fallback {
    enable: bool,
    name: String,
    tag: String,
}

/// Who holds the shard.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Blocker {
    #[serde(rename = "PID")]
    pid: String,
    #[serde(rename = "ShortPID")]
    short_pid: String,
    name: String,
    /// Nanoseconds its handler has held the shard.
    for_ns: u64,
}

/// Why the facts are missing.
#[derive(Debug, Serialize, JsonSchema)]
struct Missing {
    /// Why what only the shard knows (queues, relations, options, environment) is not here.
    #[serde(rename = "Note")]
    note: String,
    /// The process in whose handler the shard is; null if no single handler holds it.
    #[serde(rename = "BlockedBy")]
    blocked_by: Option<Blocker>,
    /// Shards that did not answer in time.
    stalled_shards: Vec<u16>,
}

/// What only the shard knows; all of it is missing where the shard did not answer, and `Note` says why.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Known {
    /// Bound of each queue in messages; -1 is unlimited.
    mailbox_size: i64,
    mailbox_queues: MailboxQueues,
    /// What happens to a message that finds its queue full: reject, drop newest or drop oldest.
    mailbox_policy: &'static str,
    message_priority: &'static str,
    fallback: Fallback,
    /// Keys of the environment.
    env_keys: Vec<String>,
    aliases: Vec<String>,
    events: Vec<String>,
    /// Exit signals arrive as messages.
    trap_exit: bool,
    /// Messages by name or alias arrive with that address.
    split_handle: bool,
    /// Calls it waits for.
    awaited_calls: u64,
    #[serde(rename = "MonitorsPID")]
    monitors_pid: Vec<String>,
    #[serde(rename = "MonitorsProcessID")]
    monitors_process_id: Vec<String>,
    monitors_alias: Vec<String>,
    monitors_event: Vec<String>,
    monitors_node: Vec<String>,
    /// Processes that monitor it.
    monitored_by: Vec<String>,
    #[serde(rename = "LinksPID")]
    links_pid: Vec<String>,
    #[serde(rename = "LinksProcessID")]
    links_process_id: Vec<String>,
    links_alias: Vec<String>,
    links_event: Vec<String>,
    links_node: Vec<String>,
    /// Processes that are linked to it.
    linked_by: Vec<String>,
}

impl From<Facts> for Known {
    fn from(facts: Facts) -> Self {
        let queues = facts.queues;
        let enable = facts.fallback.is_some();
        let (name, tag) = facts.fallback.unwrap_or_default();
        let (links, monitors): (Ties, Ties) = (facts.links, facts.monitors);
        Self {
            mailbox_size: facts.mailbox_limit.map_or(-1, signed),
            mailbox_queues: MailboxQueues {
                main: signed(queues.main),
                system: signed(queues.system),
                urgent: signed(queues.urgent),
                log: signed(queues.log),
            },
            mailbox_policy: facts.on_full,
            message_priority: facts.send_priority,
            fallback: Fallback { enable, name, tag },
            env_keys: facts.env_keys,
            aliases: facts.aliases,
            events: facts.events,
            trap_exit: facts.traps_exits,
            split_handle: facts.splits_handles,
            awaited_calls: facts.awaited_calls,
            monitors_pid: monitors.pids,
            monitors_process_id: monitors.names,
            monitors_alias: monitors.aliases,
            monitors_event: monitors.events,
            monitors_node: monitors.nodes,
            monitored_by: facts.monitored_by,
            links_pid: links.pids,
            links_process_id: links.names,
            links_alias: links.aliases,
            links_event: links.events,
            links_node: links.nodes,
            linked_by: facts.linked_by,
        }
    }
}

/// The full record of a process. Lists are never null.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProcessInfo {
    #[serde(flatten)]
    short: ProcessShort,
    compression: Compression,
    tracing: Tracing,
    /// Values of the environment, without secrets; empty unless the node exposes them.
    env: BTreeMap<String, String>,
    metas: Vec<String>,
    keep_network_order: bool,
    important_delivery: bool,
    #[serde(flatten)]
    known: Option<Known>,
    #[serde(flatten)]
    missing: Option<Missing>,
}

impl ProcessInfo {
    /// What the counters say, and what the shard answered.
    pub(super) fn new(row: &ProcessRow<'_>, node: &Identity, answer: Result<Facts, InspectError>) -> Self {
        let (mut env, mut env_known) = (BTreeMap::new(), Vec::new());
        let answer = answer.map(|mut facts| {
            env_known = std::mem::take(&mut facts.env);
            facts
        });
        env.extend(env_known);
        let (known, missing) = match answer {
            Ok(facts) => (Some(Known::from(facts)), None),
            Err(error) => (None, Some(missing(&error, row.cells.shard, node))),
        };
        Self {
            short: ProcessShort::new(row, node),
            compression: Compression { enable: false, r#type: "gzip", level: "default", threshold: 1024 },
            tracing: Tracing::off(),
            env,
            metas: Vec::new(),
            keep_network_order: true,
            important_delivery: false,
            known,
            missing,
        }
    }
}

fn missing(error: &InspectError, shard: u16, node: &Identity) -> Missing {
    let what = "queues, relations, options and environment are missing";
    let note = match error {
        InspectError::ShardBlocked { .. } => format!("{what}: {error}; the counters are current"),
        InspectError::UnknownProcess => format!("{what}: the process has just ended"),
        InspectError::Timeout => format!("{what}: shard {shard} did not answer in time; see runtime_stats"),
        InspectError::Overloaded => format!("{what}: {error}"),
    };
    let blocked_by = match error {
        InspectError::ShardBlocked { by, name, for_ns, .. } => Some(Blocker {
            pid: pid::full(&node.name, node.creation, *by),
            short_pid: pid::short(node.crc, *by),
            name: name.clone(),
            for_ns: *for_ns,
        }),
        _ => None,
    };
    let is_stalled = matches!(error, InspectError::ShardBlocked { .. } | InspectError::Timeout);
    Missing { note, blocked_by, stalled_shards: if is_stalled { vec![shard] } else { Vec::new() } }
}
