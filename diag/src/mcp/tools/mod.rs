//! The tools, one per file, in the order clients see them.

mod app_info;
mod app_list;
mod app_processes;
mod cluster_nodes;
mod cron_info;
mod cron_job;
mod cron_schedule;
mod event_info;
mod event_list;
mod log_level_get;
mod loggers_list;
mod network_node_info;
mod network_nodes;
mod network_ping;
mod node_info;
mod process_info;
mod process_inspect;
mod process_list;
mod process_lookup;
mod process_state;
mod runtime_stats;

use super::tool::Tool;

/// All tools: by group, then by name.
pub(crate) static ALL: [Tool; 21] = [
    node_info::TOOL,
    process_info::TOOL,
    process_inspect::TOOL,
    process_list::TOOL,
    process_lookup::TOOL,
    process_state::TOOL,
    app_info::TOOL,
    app_list::TOOL,
    app_processes::TOOL,
    event_info::TOOL,
    event_list::TOOL,
    network_node_info::TOOL,
    network_nodes::TOOL,
    network_ping::TOOL,
    cron_info::TOOL,
    cron_job::TOOL,
    cron_schedule::TOOL,
    cluster_nodes::TOOL,
    runtime_stats::TOOL,
    log_level_get::TOOL,
    loggers_list::TOOL,
];

/// The tool of that name.
pub(crate) fn find(name: &str) -> Option<&'static Tool> {
    ALL.iter().find(|tool| tool.name == name)
}
