//! Cron jobs as documents, in Ergo's field names.

use schemars::JsonSchema;
use serde::Serialize;

use crate::mcp::time_text::rfc3339;
use crate::source::CronJobRow;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct JobFallback {
    enable: bool,
    name: String,
    tag: String,
}

/// A cron job.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CronJob {
    disabled: bool,
    name: String,
    /// When it runs: five fields, six with seconds, or a macro.
    spec: String,
    /// Time zone.
    location: String,
    /// What it does.
    action_info: String,
    /// RFC 3339; null while it is disabled.
    next: Option<String>,
    /// RFC 3339; null if it never ran.
    last_run: Option<String>,
    /// Why its last run failed; empty if it did not.
    last_err: String,
    /// Who is told of failures.
    fallback: JobFallback,
    /// What happens when the process of its last run still lives: skip, allow or queue.
    overlap: &'static str,
    /// What happens to runs whose time has passed: skip or run once.
    missed: &'static str,
    /// Runs begun since it was added.
    runs: u64,
    failures: u64,
    /// Runs left out because the process of the last one still lived.
    skipped: u64,
    /// Runs whose time had passed, made up for or not.
    missed_runs: u64,
}

impl From<CronJobRow> for CronJob {
    fn from(row: CronJobRow) -> Self {
        let enable = row.fallback.is_some();
        let (name, tag) = row.fallback.unwrap_or_default();
        Self {
            disabled: !row.enabled,
            name: row.name,
            spec: row.spec,
            location: row.zone,
            action_info: row.action,
            next: row.next.map(rfc3339),
            last_run: row.last_run.map(rfc3339),
            last_err: row.last_error,
            fallback: JobFallback { enable, name, tag },
            overlap: row.overlap,
            missed: row.missed,
            runs: row.runs,
            failures: row.failures,
            skipped: row.skipped,
            missed_runs: row.missed_runs,
        }
    }
}
