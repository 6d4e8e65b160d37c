//! Shard 0's side of cron: when each job is due, and its runs.
//!
//! Invariants: S1 a job has one valid entry in the heap while it is on: that of its version. S2 `high` is the latest wall time
//! seen; a job's next occurrence is after every one that ran (K1). S3 no borrow of the jobs is held while users' code runs.
//! The rule of a turn is: what is due is taken, what is late is judged, what remains decides the timer.

use crate::actor::TimerRef;
use crate::clock::unix_ns;
use crate::cron::job::{CronFallback, CronRun, CronTick, JobId};
use crate::cron::table::second;
use crate::cron::{Action, JobCell, Missed, Overlap};
use crate::error::SpawnError;
use crate::mailbox::Meta;
use crate::process::bump;
use crate::shard::{Inbound, LogLevel, Shard, panic_message};
use shard_wire::{LocalId, Pid};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

const NANOS: i64 = 1_000_000_000;
/// A run that begins later than this after its time, in seconds, has missed it.
const LATE_SECONDS: i64 = 60;
/// A wall clock that is set back by more than this, in seconds, was wrong before: the schedule begins anew.
const BACK_SECONDS: i64 = 24 * 3600;
/// The wall clock is looked at so often at least: it may have been set.
const LOOK: Duration = Duration::from_secs(60);
/// And so often while runs wait for a process to end.
const QUEUE_LOOK: Duration = Duration::from_millis(50);
/// Runs of a job that wait.
const MAX_QUEUE: usize = 16;
/// Missed occurrences that are counted one by one.
const MAX_MISSED: u64 = 10_000;

struct Job {
    cell: Arc<JobCell>,
    /// Taken out while it runs.
    action: Option<Action>,
    version: u32,
    next: Option<i64>,
    /// Processes that it started.
    running: Vec<Pid>,
    /// Starts under way.
    starting: usize,
    queue: VecDeque<i64>,
}

/// The jobs of the node that this shard keeps.
#[derive(Default)]
pub(crate) struct Scheduler {
    jobs: BTreeMap<JobId, Job>,
    heap: BinaryHeap<Reverse<(i64, JobId, u32)>>,
    timer: Option<TimerRef>,
    last_id: JobId,
    high: Option<i64>,
}

impl Scheduler {
    /// Gives a job's next occurrence its place.
    fn plan(&mut self, id: JobId, next: Option<i64>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.version = job.version.wrapping_add(1);
        job.next = next;
        job.cell.set_next(next);
        if let Some(next) = next {
            self.heap.push(Reverse((next, id, job.version)));
        }
    }

    /// Notes the wall time; begins anew if it was set far back.
    fn look(&mut self, now: i64) {
        if self.high.is_some_and(|high| now < high - BACK_SECONDS) {
            let ids: Vec<_> = self.jobs.keys().copied().collect();
            for id in ids {
                let next =
                    self.jobs.get(&id).filter(|job| job.cell.is_on()).and_then(|job| job.cell.spec.next(now));
                self.plan(id, next);
            }
            self.high = Some(now);
        }
        self.high = self.high.max(Some(now));
    }

    /// Takes out what is due: which job, and for which time it runs.
    fn take_due(&mut self, now: i64) -> Vec<(JobId, i64)> {
        let mut due = Vec::new();
        while let Some(Reverse((next, id, version))) = self.heap.peek().copied() {
            if next > now {
                break;
            }
            self.heap.pop();
            let job = self.jobs.get(&id).filter(|job| job.version == version);
            let Some(job) = job else { continue };
            let (run, next) = judge(&job.cell, next, now);
            self.plan(id, next);
            due.extend(run.map(|time| (id, time)));
        }
        due
    }

    /// Whether a job that starts processes has one that lives.
    fn take_queued(&mut self, lives: impl Fn(Pid) -> bool) -> Vec<(JobId, i64)> {
        let mut ready = Vec::new();
        for (id, job) in &mut self.jobs {
            job.running.retain(|pid| lives(*pid));
            if job.running.is_empty() && job.starting == 0 {
                ready.extend(job.queue.pop_front().map(|time| (*id, time)));
            }
        }
        ready
    }

    fn is_waiting(&self) -> bool {
        self.jobs.values().any(|job| !job.queue.is_empty())
    }

    /// The earliest occurrence.
    fn next(&mut self) -> Option<i64> {
        while let Some(Reverse((next, id, version))) = self.heap.peek().copied() {
            if self.jobs.get(&id).is_some_and(|job| job.version == version) {
                return Some(next);
            }
            self.heap.pop();
        }
        None
    }
}

/// Which run, if any, a job that was due at `planned` gets now, and its next occurrence.
fn judge(cell: &JobCell, planned: i64, now: i64) -> (Option<i64>, Option<i64>) {
    if !cell.is_on() {
        return (None, None);
    }
    let (mut newest, mut passed) = (planned, 0);
    let next = loop {
        match cell.spec.next(newest) {
            Some(next) if next <= now && passed < MAX_MISSED => {
                newest = next;
                passed += 1;
            }
            // LIMIT: what is counted of a long time missed.
            Some(next) if next <= now => break cell.spec.next(now),
            next => break next,
        }
    };
    let is_late = now - newest > LATE_SECONDS;
    bump(&cell.missed_runs, passed + u64::from(is_late));
    let run = !is_late || cell.missed == Missed::RunOnce;
    (run.then_some(newest), next)
}

impl Shard {
    fn wall_ns(&self) -> i64 {
        unix_ns(self.clock().wall())
    }

    /// Takes a job that was added to the node.
    pub(crate) fn cron_admit(&self, cell: Arc<JobCell>, next: i64, action: Action) {
        let refused = {
            let mut cron = self.cron().borrow_mut();
            if cell.is_removed.load(Relaxed) {
                Some(action)
            } else {
                cron.last_id += 1;
                let id = cron.last_id;
                let is_on = cell.is_on();
                let job = Job {
                    cell,
                    action: Some(action),
                    version: 0,
                    next: None,
                    running: Vec::new(),
                    starting: 0,
                    queue: VecDeque::new(),
                };
                cron.jobs.insert(id, job);
                if is_on {
                    cron.plan(id, Some(next));
                }
                None
            }
        };
        self.contain(|| drop(refused));
        self.cron_turn();
    }

    /// Drops a job that was removed.
    pub(crate) fn cron_forget(&self, cell: &Arc<JobCell>) {
        let removed = {
            let mut cron = self.cron().borrow_mut();
            let id = cron.jobs.iter().find(|(_, job)| Arc::ptr_eq(&job.cell, cell)).map(|(id, _)| *id);
            id.and_then(|id| cron.jobs.remove(&id))
        };
        // What the action holds is its user's.
        self.contain(|| drop(removed));
        self.cron_turn();
    }

    /// A job was enabled or disabled.
    pub(crate) fn cron_switched(&self, cell: &Arc<JobCell>) {
        let now = self.wall_ns().div_euclid(NANOS);
        {
            let mut cron = self.cron().borrow_mut();
            cron.look(now);
            // What ran before the clock was set back does not run again.
            let after = cron.high.unwrap_or(now);
            let id = cron.jobs.iter().find(|(_, job)| Arc::ptr_eq(&job.cell, cell)).map(|(id, _)| *id);
            if let Some(id) = id {
                let next = if cell.is_on() { cell.spec.next(after) } else { None };
                cron.plan(id, next);
            }
        }
        self.cron_turn();
    }

    /// Runs what is due and sets the timer for what comes next.
    pub(crate) fn cron_turn(&self) {
        if self.node().is_stopping() {
            return;
        }
        let now = self.wall_ns().div_euclid(NANOS);
        let (due, ready) = {
            let mut cron = self.cron().borrow_mut();
            cron.look(now);
            let ready = cron.take_queued(|pid| self.is_alive(pid));
            (cron.take_due(now), ready)
        };
        for (id, time) in ready.into_iter().chain(due) {
            self.cron_run(id, time);
        }
        self.cron_arm();
    }

    fn cron_arm(&self) {
        let before = self.cron().borrow_mut().timer.take();
        if let Some(timer) = before {
            self.cancel_timer(timer);
        }
        let delay = {
            let mut cron = self.cron().borrow_mut();
            let limit = if cron.is_waiting() { QUEUE_LOOK } else { LOOK };
            match cron.next() {
                Some(next) => {
                    let left = next.saturating_mul(NANOS).saturating_sub(self.wall_ns());
                    Some(Duration::from_nanos(u64::try_from(left).unwrap_or(0)).min(limit))
                }
                None if cron.is_waiting() => Some(limit),
                None => None,
            }
        };
        let Some(delay) = delay else { return };
        let timer = self.timer(delay, Self::cron_turn);
        if timer.is_none() {
            // LIMIT: timers of the shard. Cron must not stop for good, so it looks again when the shard turns again.
            let again = Box::new(Self::cron_turn);
            if self.node().port(0).is_none_or(|port| port.post_reserved(Inbound::Task(again)).is_err()) {
                self.log_line(LogLevel::Error, LocalId::CORE.0, || {
                    "cron has no timer: the shard has too many".into()
                });
            }
        }
        self.cron().borrow_mut().timer = timer;
    }

    fn is_alive(&self, pid: Pid) -> bool {
        self.node().port(pid.local.shard()).is_some_and(|port| port.table.exists(pid.local.0))
    }

    fn cron_run(&self, id: JobId, time: i64) {
        let Some((cell, mut action)) = self.cron_begin(id, time) else { return };
        let tick =
            CronTick { node: self.node().name().into(), job: Arc::clone(&cell.name), time: second(time) };
        let run = CronRun { shard: self, tick: &tick };
        let act = || match &mut action {
            Action::Now(act) => act(&run).map(|()| true),
            Action::Spawn(start) => {
                start(&run, id);
                Ok(false)
            }
        };
        self.watch_job(&cell.name);
        bump(&cell.runs, 1);
        cell.ran_at(self.wall_ns());
        let outcome = self.speaking_as(LocalId::CORE.0, || catch_unwind(AssertUnwindSafe(act)));
        let is_spawn = matches!(action, Action::Spawn(_));
        let dropped = {
            let mut cron = self.cron().borrow_mut();
            match cron.jobs.get_mut(&id) {
                Some(job) => {
                    // The start of a process tells its outcome itself, unless it did not get so far.
                    if is_spawn && outcome.is_err() {
                        job.starting = job.starting.saturating_sub(1);
                    }
                    job.action = Some(action);
                    None
                }
                None => Some(action),
            }
        };
        self.contain(|| drop(dropped));
        match outcome {
            Ok(Ok(true)) => self.cron_ended(&cell, tick.time, None),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => self.cron_ended(&cell, tick.time, Some(error)),
            Err(panic) => {
                self.count(|cells| &cells.panics, 1);
                let error = format!("panic: {}", panic_message(panic.as_ref()));
                self.cron_ended(&cell, tick.time, Some(error));
            }
        }
    }

    /// Takes a job's action out for a run; `None` if it does not run now.
    fn cron_begin(&self, id: JobId, time: i64) -> Option<(Arc<JobCell>, Action)> {
        let mut cron = self.cron().borrow_mut();
        let job = cron.jobs.get_mut(&id)?;
        job.running.retain(|pid| self.is_alive(*pid));
        let is_busy = !job.running.is_empty() || job.starting > 0;
        match job.cell.overlap {
            Overlap::Queue if is_busy && job.queue.len() < MAX_QUEUE => {
                job.queue.push_back(time);
                return None;
            }
            Overlap::Skip | Overlap::Queue if is_busy => {
                bump(&job.cell.skipped, 1);
                return None;
            }
            Overlap::Skip | Overlap::Queue | Overlap::Allow => {}
        }
        let action = job.action.take()?;
        if matches!(action, Action::Spawn(_)) {
            job.starting += 1;
        }
        Some((Arc::clone(&job.cell), action))
    }

    /// A process that a job starts has started, or not.
    pub(crate) fn cron_spawned(&self, id: JobId, time: SystemTime, outcome: Result<Pid, SpawnError>) {
        let cell = {
            let mut cron = self.cron().borrow_mut();
            let Some(job) = cron.jobs.get_mut(&id) else { return };
            job.starting = job.starting.saturating_sub(1);
            job.running.extend(outcome.as_ref().ok());
            Arc::clone(&job.cell)
        };
        self.cron_ended(&cell, time, outcome.err().map(|error| error.to_string()));
    }

    /// Notes how a run ended, and tells the fallback of a failure.
    fn cron_ended(&self, cell: &JobCell, time: SystemTime, error: Option<String>) {
        let error: Option<Arc<str>> = error.map(Into::into);
        self.node().cron().note_outcome(cell, error.as_ref());
        let Some(error) = error else { return };
        bump(&cell.failures, 1);
        self.log_line(LogLevel::Warning, LocalId::CORE.0, || format!("cron job {}: {error}", cell.name));
        let Some((name, tag)) = &cell.fallback else { return };
        let told = CronFallback { job: Arc::clone(&cell.name), tag: Arc::clone(tag), time, error };
        let send = || self.deliver_route(crate::actor::Route::Name(name), told, Meta::MAIN, 0);
        if self.speaking_as(LocalId::CORE.0, || self.quietly(send)).is_err() {
            self.count(|cells| &cells.dead_letters, 1);
        }
    }
}
