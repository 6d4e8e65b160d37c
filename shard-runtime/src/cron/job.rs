//! A job as its user describes it, and what its action is told.

use crate::actor::{Actor, Address, OwnedRoute, Priority, SpawnOptions, local_message};
use crate::error::{SendError, SpawnError};
use crate::mailbox::Meta;
use crate::shard::Shard;
use shard_wire::{Message, Pid};
use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

/// A job's time has come. For jobs made with [`CronJob::tick`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronTick {
    /// The node.
    pub node: Arc<str>,
    /// The job's name.
    pub job: Arc<str>,
    /// The time at which it was to run.
    pub time: SystemTime,
}

/// A run of a job failed. Sent to the name that [`CronJob::fallback`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronFallback {
    /// The job's name.
    pub job: Arc<str>,
    /// What the job said in [`CronJob::fallback`].
    pub tag: Arc<str>,
    /// The time at which it was to run.
    pub time: SystemTime,
    /// Why it failed.
    pub error: Arc<str>,
}

local_message!(CronTick);
local_message!(CronFallback);

/// What happens when a job is due and the process it started last still lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// This run is left out, and counted as skipped.
    #[default]
    Skip,
    /// Another process is started.
    Allow,
    /// The run waits until the process has ended; at most 16 wait, what comes beyond is skipped.
    Queue,
}

/// What happens to runs whose time passed while the node, or its wall clock, was elsewhere: more than a minute ago.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Missed {
    /// They are left out, and counted.
    #[default]
    Skip,
    /// One run makes up for all of them.
    RunOnce,
}

/// One run of a job made with [`CronJob::run`]: what it is told, and what it can do.
#[derive(Debug)]
pub struct CronRun<'a> {
    pub(super) shard: &'a Shard,
    pub(super) tick: &'a CronTick,
}

impl CronRun<'_> {
    /// The node, the job and the time at which it was to run.
    #[must_use]
    pub fn tick(&self) -> &CronTick {
        self.tick
    }

    /// Sends a message on behalf of the node.
    ///
    /// # Errors
    /// As for [`Context::send`](crate::Context::send).
    pub fn send<M: Message>(&self, to: impl Address, message: M) -> Result<(), SendError<M>> {
        self.shard.deliver_route(to.route(), message, Meta::MAIN, 0)
    }

    /// The process that holds a name.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.shard.node().lookup(name)
    }
}

/// Whom to tell what became of a process that a job started: the job's number.
pub(crate) type JobId = u64;

type Act = dyn FnMut(&CronRun<'_>) -> Result<(), String> + Send;
type Start = dyn FnMut(&CronRun<'_>, JobId) + Send;

/// What a job does.
pub(crate) enum Action {
    /// Is done when it returns.
    Now(Box<Act>),
    /// Starts a process.
    Spawn(Box<Start>),
}

/// A job for the node's schedule: a name, a specification, and what to do.
///
/// ```
/// use shard_runtime::{CronJob, Missed};
/// let job = CronJob::new("report", "30 6 * * 1-5").zone("Europe/Berlin").tick("reporter").missed(Missed::RunOnce);
/// assert_eq!(job.name(), "report");
/// ```
#[must_use = "a job does nothing until it is added to a node"]
pub struct CronJob {
    pub(super) name: String,
    pub(super) spec: String,
    pub(super) zone: Option<String>,
    pub(super) action: Option<Action>,
    pub(super) info: String,
    pub(super) overlap: Overlap,
    pub(super) missed: Missed,
    pub(super) is_enabled: bool,
    pub(super) fallback: Option<(String, Arc<str>)>,
}

impl std::fmt::Debug for CronJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CronJob")
            .field("name", &self.name)
            .field("spec", &self.spec)
            .field("zone", &self.zone)
            .field("action", &self.info)
            .finish_non_exhaustive()
    }
}

impl CronJob {
    /// A job that runs at these times: minute, hour, day of month, month and day of week, or six fields that begin with the
    /// second; or `@hourly` (minute 1), `@daily` (03:10), `@weekly` (Monday 05:30), `@monthly` (the 1st, 04:20).
    ///
    /// Fields take `*`, `n`, `a-b`, `*/s`, `a-b/s` and lists; days of month `L`, the last; days of week 0 or 7 for Sunday to 6,
    /// `nL`, the last one of the month, and `n#k`, the k-th. If both day fields are restricted, either will do. What the text
    /// says is looked at when the job is added.
    pub fn new(name: impl Into<String>, spec: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            spec: spec.into(),
            zone: None,
            action: None,
            info: String::new(),
            overlap: Overlap::default(),
            missed: Missed::default(),
            is_enabled: true,
            fallback: None,
        }
    }

    /// Sets the time zone, such as `Europe/Berlin`. Default `local`: that of the machine; on a simulation it is UTC.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sends a [`CronTick`] to a process or a name.
    pub fn tick(self, to: impl Address) -> Self {
        self.tick_with(to, Priority::Normal)
    }

    /// The same at the given priority.
    pub fn tick_with(self, to: impl Address, priority: Priority) -> Self {
        let target = OwnedRoute::from(to.route());
        let info = format!("tick to {}", shown(&target));
        self.acts(info, move |run| deliver(run, &target, run.tick.clone(), priority))
    }

    /// Sends copies of a message to a process or a name.
    pub fn send<M: Message + Clone>(self, to: impl Address, message: M) -> Self {
        self.send_with(to, message, Priority::Normal)
    }

    /// The same at the given priority.
    pub fn send_with<M: Message + Clone>(self, to: impl Address, message: M, priority: Priority) -> Self {
        let target = OwnedRoute::from(to.route());
        let info = format!("{} to {}", short_type::<M>(), shown(&target));
        self.acts(info, move |run| deliver(run, &target, message.clone(), priority))
    }

    /// Starts a process. Its environment says which job it was: `CRON_NODE_NAME` and `CRON_JOB_NAME`, texts, and
    /// `CRON_JOB_ACTION_TIME`, a [`SystemTime`]. Without a shard in the options it starts on the first one.
    pub fn spawn<A: Actor>(
        mut self,
        factory: impl FnOnce() -> A + Clone + Send + 'static,
        options: SpawnOptions,
    ) -> Self {
        self.info = format!("spawn {}", short_type::<A>());
        self.action = Some(Action::Spawn(Box::new(move |run, job| {
            let tick = run.tick;
            let options = options
                .clone()
                .with_env("CRON_NODE_NAME", tick.node.to_string())
                .with_env("CRON_JOB_NAME", tick.job.to_string())
                .with_env("CRON_JOB_ACTION_TIME", tick.time);
            let time = tick.time;
            let told = move |shard: &Shard, outcome: Result<Pid, SpawnError>| {
                shard.cron_spawned(job, time, outcome);
            };
            let waiter = run.shard.spawn_callback(options.init_timeout(), told);
            match waiter {
                Some(waiter) => run.shard.spawn_anywhere(factory.clone(), options, waiter),
                None => run.shard.cron_spawned(job, time, Err(SpawnError::TooManyWaits)),
            }
        })));
        self
    }

    /// Runs a function on the node's first shard: it must be short, since it holds up that shard. An error it returns, or its
    /// panic, is noted as the job's last error.
    pub fn run<E: Display>(
        self,
        mut action: impl FnMut(&CronRun<'_>) -> Result<(), E> + Send + 'static,
    ) -> Self {
        self.acts("run a function".into(), move |run| action(run).map_err(|error| error.to_string()))
    }

    fn acts(
        mut self,
        info: String,
        action: impl FnMut(&CronRun<'_>) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.info = info;
        self.action = Some(Action::Now(Box::new(action)));
        self
    }

    /// Sets what happens when the process of the last run still lives. Default [`Overlap::Skip`]. Messages and functions
    /// are done at once: for them it means nothing.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets what happens to runs whose time has passed. Default [`Missed::Skip`].
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// Adds the job without letting it run, until it is enabled.
    pub fn disabled(mut self) -> Self {
        self.is_enabled = false;
        self
    }

    /// Sends a [`CronFallback`] with this tag to a local name when a run fails.
    pub fn fallback(mut self, name: impl Into<String>, tag: impl Into<Arc<str>>) -> Self {
        self.fallback = Some((name.into(), tag.into()));
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Sends on behalf of the node; a failed send is the job's failure, no process's.
fn deliver<M: Message>(
    run: &CronRun<'_>,
    to: &OwnedRoute,
    message: M,
    priority: Priority,
) -> Result<(), String> {
    run.shard
        .quietly(|| run.shard.deliver_route(to.route(), message, priority.queue(), 0))
        .map_err(|error| error.reason.to_string())
}

fn shown(target: &OwnedRoute) -> String {
    match target {
        OwnedRoute::Pid(pid) => pid.to_string(),
        OwnedRoute::Alias(alias) => alias.to_string(),
        OwnedRoute::Name(name) => name.to_string(),
        OwnedRoute::Remote(name, node) => format!("{name} at {node}"),
    }
}

/// A type's name without its path.
fn short_type<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    let end = name.find('<').unwrap_or(name.len());
    name[..end].rfind("::").map_or(name, |at| &name[at + 2..])
}
