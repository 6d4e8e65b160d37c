//! The node's jobs as everybody sees them: names, states, counters; and what is asked of them.
//!
//! Invariants: T1 a name has one job; the claim is atomic. T2 counters and times are written by shard 0 alone.
//! Threads: all; no lock.

use crate::clock::{ClockKind, from_unix_ns, unix_ns};
use crate::cron::{Action, CronJob, CronSpec, Missed, Overlap};
use crate::error::CronError;
use crate::names::MAX_NAME_BYTES;
use crate::shard::{Inbound, Shard};
use crate::shared::NodeShared;
use jiff::tz::TimeZone;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::{Duration, SystemTime};

/// Jobs of one node.
const MAX_JOBS: usize = 4096;
/// "Not yet", for times.
const NONE: i64 = i64::MIN;
/// Runs of one answer to what cron will run.
const MAX_FORETOLD: usize = 20_000;
const NANOS: i64 = 1_000_000_000;

/// One job.
#[derive(Debug)]
pub(crate) struct JobCell {
    pub(crate) name: Arc<str>,
    pub(crate) spec: CronSpec,
    pub(crate) info: String,
    pub(crate) overlap: Overlap,
    pub(crate) missed: Missed,
    pub(crate) fallback: Option<(String, Arc<str>)>,
    pub(crate) is_enabled: AtomicBool,
    pub(crate) is_removed: AtomicBool,
    /// Seconds since the Unix epoch.
    next: AtomicI64,
    /// Nanoseconds since the Unix epoch.
    last_run: AtomicI64,
    pub(crate) runs: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) missed_runs: AtomicU64,
}

/// A job as diagnostics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronJobFacts {
    /// Its name.
    pub name: Arc<str>,
    /// When it runs, as it was given.
    pub spec: String,
    /// The name of its time zone.
    pub zone: String,
    /// What it does, in words.
    pub action: String,
    /// Whether it runs.
    pub enabled: bool,
    /// When it runs next; `None` while it is disabled.
    pub next: Option<SystemTime>,
    /// When it ran last.
    pub last_run: Option<SystemTime>,
    /// Why its last run failed; `None` if it did not.
    pub last_error: Option<Arc<str>>,
    /// Whom it tells of failures, and the tag.
    pub fallback: Option<(String, Arc<str>)>,
    /// What happens when the last run goes on.
    pub overlap: Overlap,
    /// What happens to runs whose time has passed.
    pub missed: Missed,
    /// Runs begun.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Runs left out because the process of the last one still lived.
    pub skipped: u64,
    /// Runs whose time had passed, made up for or not.
    pub missed_runs: u64,
}

/// The node's schedule as diagnostics show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronFacts {
    /// When the next job runs.
    pub next: Option<SystemTime>,
    /// Names of the jobs that run then.
    pub spool: Vec<Arc<str>>,
    /// All jobs, by name.
    pub jobs: Vec<CronJobFacts>,
}

/// Jobs that run at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronSlot {
    /// The time.
    pub time: SystemTime,
    /// Their names.
    pub jobs: Vec<Arc<str>>,
}

/// What runs in a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronSchedule {
    /// In order of time.
    pub slots: Vec<CronSlot>,
    /// Whether there is more than was asked for.
    pub truncated: bool,
}

/// The jobs of one node.
#[derive(Debug, Default)]
pub(crate) struct CronTable {
    jobs: papaya::HashMap<Arc<str>, Arc<JobCell>>,
    errors: papaya::HashMap<Arc<str>, Arc<str>>,
}

impl JobCell {
    pub(crate) fn set_next(&self, next: Option<i64>) {
        self.next.store(next.unwrap_or(NONE), Relaxed);
    }

    pub(crate) fn ran_at(&self, wall_ns: i64) {
        self.last_run.store(wall_ns, Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_enabled.load(Relaxed) && !self.is_removed.load(Relaxed)
    }

    fn facts(&self, last_error: Option<Arc<str>>) -> CronJobFacts {
        let enabled = self.is_enabled.load(Relaxed);
        let next = Some(self.next.load(Relaxed)).filter(|next| enabled && *next != NONE);
        let last_run = Some(self.last_run.load(Relaxed)).filter(|last| *last != NONE);
        CronJobFacts {
            name: Arc::clone(&self.name),
            spec: self.spec.text().to_owned(),
            zone: self.spec.zone_name().to_owned(),
            action: self.info.clone(),
            enabled,
            next: next.map(second),
            last_run: last_run.map(from_unix_ns),
            last_error,
            fallback: self.fallback.clone(),
            overlap: self.overlap,
            missed: self.missed,
            runs: self.runs.load(Relaxed),
            failures: self.failures.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            missed_runs: self.missed_runs.load(Relaxed),
        }
    }
}

/// A second of the Unix epoch as a wall time.
pub(crate) fn second(seconds: i64) -> SystemTime {
    from_unix_ns(seconds.saturating_mul(NANOS))
}

fn unknown(name: &str) -> CronError {
    CronError::Unknown { name: name.to_owned() }
}

impl CronTable {
    /// Adds a job: from here on its name is taken; shard 0 takes its action.
    pub(crate) fn add(node: &NodeShared, job: CronJob) -> Result<(), CronError> {
        // LIMIT: length of a name.
        if job.name.is_empty() || job.name.len() > MAX_NAME_BYTES {
            return Err(CronError::BadName);
        }
        let local = match node.clock().kind() {
            // A simulation must not depend on the machine.
            ClockKind::Virtual => TimeZone::UTC,
            ClockKind::Tsc | ClockKind::Coarse => TimeZone::system(),
        };
        let spec = CronSpec::new(&job.spec, job.zone.as_deref(), local)?;
        let now = unix_ns(node.clock().wall()).div_euclid(NANOS);
        let Some(next) = spec.next(now) else {
            return Err(CronError::Never { spec: job.spec });
        };
        let Some(action) = job.action else { return Err(CronError::NoAction { name: job.name }) };
        let table = node.cron();
        // LIMIT: jobs of a node.
        if table.jobs.pin().len() >= MAX_JOBS {
            return Err(CronError::Limit { limit: MAX_JOBS });
        }
        let cell = Arc::new(JobCell {
            name: job.name.as_str().into(),
            spec,
            info: job.info,
            overlap: job.overlap,
            missed: job.missed,
            fallback: job.fallback,
            is_enabled: AtomicBool::new(job.is_enabled),
            is_removed: AtomicBool::new(false),
            next: AtomicI64::new(next),
            last_run: AtomicI64::new(NONE),
            runs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            missed_runs: AtomicU64::new(0),
        });
        if table.jobs.pin().try_insert(Arc::clone(&cell.name), Arc::clone(&cell)).is_err() {
            return Err(CronError::Taken { name: job.name });
        }
        let admit = {
            let cell = Arc::clone(&cell);
            move |shard: &Shard| shard.cron_admit(cell, next, action)
        };
        if post(node, admit) {
            return Ok(());
        }
        table.jobs.pin().remove(&cell.name);
        Err(CronError::Overloaded)
    }

    /// Removes a job. What it has started goes on.
    pub(crate) fn remove(node: &NodeShared, name: &str) -> Result<(), CronError> {
        let table = node.cron();
        let cell = table.jobs.pin().remove(name).cloned().ok_or_else(|| unknown(name))?;
        cell.is_removed.store(true, Relaxed);
        table.errors.pin().remove(name);
        // Should it be refused, the job is dropped when it is due next.
        post(node, move |shard: &Shard| shard.cron_forget(&cell));
        Ok(())
    }

    /// Lets a job run, or stops it from running. Whether that changed something.
    pub(crate) fn enable(node: &NodeShared, name: &str, is_enabled: bool) -> Result<bool, CronError> {
        let cell = node.cron().jobs.pin().get(name).cloned().ok_or_else(|| unknown(name))?;
        if cell.is_enabled.swap(is_enabled, Relaxed) == is_enabled {
            return Ok(false);
        }
        if post(node, move |shard: &Shard| shard.cron_switched(&cell)) {
            Ok(true)
        } else {
            Err(CronError::Overloaded)
        }
    }

    pub(crate) fn job(&self, name: &str) -> Result<CronJobFacts, CronError> {
        let cell = self.jobs.pin().get(name).cloned().ok_or_else(|| unknown(name))?;
        Ok(cell.facts(self.errors.pin().get(name).cloned()))
    }

    pub(crate) fn facts(&self) -> CronFacts {
        let errors = self.errors.pin();
        let mut jobs: Vec<_> =
            self.jobs.pin().values().map(|cell| cell.facts(errors.get(&cell.name).cloned())).collect();
        jobs.sort_by(|left, right| left.name.cmp(&right.name));
        let next = jobs.iter().filter_map(|job| job.next).min();
        let due = jobs.iter().filter(|job| next.is_some() && job.next == next);
        let spool = due.map(|job| Arc::clone(&job.name)).collect();
        CronFacts { next, spool, jobs }
    }

    /// What runs after `since` and not after `since + span`, at most `limit` times, and not more than 20000 runs.
    pub(crate) fn schedule(
        &self,
        since: SystemTime,
        span: Duration,
        limit: usize,
        only: Option<&str>,
    ) -> CronSchedule {
        let from = unix_ns(since).div_euclid(NANOS);
        let end = from.saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
        let jobs: Vec<_> = self.jobs.pin().values().filter(|cell| cell.is_on()).cloned().collect();
        let mut heap = BinaryHeap::new();
        for (index, cell) in jobs.iter().enumerate() {
            if only.is_none_or(|only| *cell.name == *only)
                && let Some(next) = cell.spec.next(from)
            {
                heap.push(Reverse((next, Arc::clone(&cell.name), index)));
            }
        }
        let mut found = CronSchedule::default();
        let mut runs = 0;
        while let Some(Reverse((time, name, index))) = heap.pop() {
            if time > end {
                break;
            }
            // LIMIT: runs of one answer, since each slot may hold every job.
            if runs >= MAX_FORETOLD {
                found.truncated = true;
                break;
            }
            runs += 1;
            let wall = second(time);
            let is_full = found.slots.len() >= limit;
            match found.slots.last_mut() {
                Some(slot) if slot.time == wall => slot.jobs.push(Arc::clone(&name)),
                _ if is_full => {
                    found.truncated = true;
                    break;
                }
                _ => found.slots.push(CronSlot { time: wall, jobs: vec![Arc::clone(&name)] }),
            }
            if let Some(next) = jobs.get(index).and_then(|cell| cell.spec.next(time)) {
                heap.push(Reverse((next, name, index)));
            }
        }
        found
    }

    /// Notes how the last run of a job ended.
    pub(crate) fn note_outcome(&self, cell: &JobCell, error: Option<&Arc<str>>) {
        match error {
            Some(error) => {
                self.errors.pin().insert(Arc::clone(&cell.name), Arc::clone(error));
            }
            None => {
                self.errors.pin().remove(&cell.name);
            }
        }
    }
}

/// Has shard 0 do something; `false` if it takes no more tasks.
fn post(node: &NodeShared, task: impl FnOnce(&Shard) + Send + 'static) -> bool {
    let port = node.port(0).filter(|_| !node.is_stopping());
    port.is_some_and(|port| port.post_reserved(Inbound::Task(Box::new(task))).is_ok())
}

/// The action of a job is its user's; it is moved to shard 0 with the task.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Action>();
};
