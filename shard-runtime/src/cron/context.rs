//! What a handler can do with the node's schedule.

use crate::actor::Context;
use crate::cron::{CronFacts, CronJob, CronJobFacts, CronSchedule, CronTable};
use crate::error::CronError;
use std::time::{Duration, SystemTime};

impl Context<'_> {
    /// Adds a job to the node's schedule. It stays when this process ends.
    ///
    /// # Errors
    /// The name is taken, the specification or the zone cannot be read, or there is nothing to do.
    pub fn cron_add(&self, job: CronJob) -> Result<(), CronError> {
        CronTable::add(self.shard().node(), job)
    }

    /// Removes a job. Processes that it has started go on.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_remove(&self, name: &str) -> Result<(), CronError> {
        CronTable::remove(self.shard().node(), name)
    }

    /// Lets a disabled job run again; `false` if it was not disabled.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_enable(&self, name: &str) -> Result<bool, CronError> {
        CronTable::enable(self.shard().node(), name, true)
    }

    /// Stops a job from running; `false` if it was disabled.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_disable(&self, name: &str) -> Result<bool, CronError> {
        CronTable::enable(self.shard().node(), name, false)
    }

    /// One job.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_job(&self, name: &str) -> Result<CronJobFacts, CronError> {
        self.shard().node().cron().job(name)
    }

    /// All jobs.
    #[must_use]
    pub fn cron_info(&self) -> CronFacts {
        self.shard().node().cron().facts()
    }

    /// What runs after `since`, within `span`, at most `limit` times.
    #[must_use]
    pub fn cron_schedule(&self, since: SystemTime, span: Duration, limit: usize) -> CronSchedule {
        self.shard().node().cron().schedule(since, span, limit, None)
    }
}
