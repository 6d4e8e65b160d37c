//! The schedule of a node as diagnostics sees it.

use std::time::SystemTime;

/// One job.
#[derive(Clone, Debug, Default)]
pub struct CronJobRow {
    /// Its name.
    pub name: String,
    /// When it runs, as it was given.
    pub spec: String,
    /// Name of its time zone.
    pub zone: String,
    /// What it does, in words.
    pub action: String,
    /// It runs.
    pub enabled: bool,
    /// When it runs next; `None` while it is disabled.
    pub next: Option<SystemTime>,
    /// When it ran last.
    pub last_run: Option<SystemTime>,
    /// Why its last run failed; empty if it did not.
    pub last_error: String,
    /// Name and tag of the process that is told of failures.
    pub fallback: Option<(String, String)>,
    /// What happens when the process of its last run still lives: `skip`, `allow` or `queue`.
    pub overlap: &'static str,
    /// What happens to runs whose time has passed: `skip` or `run once`.
    pub missed: &'static str,
    /// Runs begun since it was added.
    pub runs: u64,
    /// Runs that failed since it was added.
    pub failures: u64,
    /// Runs left out because the process of the last one still lived, since it was added.
    pub skipped: u64,
    /// Runs whose time had passed, made up for or not, since it was added.
    pub missed_runs: u64,
}

/// All jobs of a node.
#[derive(Clone, Debug, Default)]
pub struct CronView {
    /// When the next one runs.
    pub next: Option<SystemTime>,
    /// Names of those that run then.
    pub spool: Vec<String>,
    /// All of them, by name.
    pub jobs: Vec<CronJobRow>,
}

/// Jobs that run at one time.
#[derive(Clone, Debug)]
pub struct CronSlotRow {
    /// The time.
    pub time: SystemTime,
    /// Their names.
    pub jobs: Vec<String>,
}

/// What runs in a span of time.
#[derive(Clone, Debug, Default)]
pub struct CronPlan {
    /// In order of time.
    pub slots: Vec<CronSlotRow>,
    /// There is more than was asked for.
    pub truncated: bool,
}
