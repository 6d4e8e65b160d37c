//! Cron: jobs that run at times of the wall clock.
//!
//! Invariants: K1 an occurrence of a job is an instant; each runs at most once, also if the wall clock is set back by up to a
//! day. K2 a local time that a change of the clocks leaves out is no occurrence; one that comes twice is one, unless the job
//! runs in every hour: such a job goes on through both. K3 an action that panics ends nothing but itself.
//! Threads: the list of jobs is read by all without a lock; times, heap and actions live on shard 0.
//! Cost: one timer of shard 0 while there are jobs, at least once a minute, so that a clock that was set is noticed.

mod context;
mod job;
mod scheduler;
mod spec;
mod table;

pub use job::{CronFallback, CronJob, CronRun, CronTick, Missed, Overlap};
pub use table::{CronFacts, CronJobFacts, CronSchedule, CronSlot};

pub(crate) use job::Action;
pub(crate) use scheduler::Scheduler;
pub(crate) use spec::CronSpec;
pub(crate) use table::{CronTable, JobCell};
