//! What a program can do with the schedule of its node.

use crate::cron::{CronFacts, CronJob, CronJobFacts, CronSchedule, CronTable};
use crate::error::CronError;
use crate::node::Node;
use std::time::{Duration, SystemTime};

impl Node {
    /// Adds a job to the schedule.
    ///
    /// # Errors
    /// The name is taken, the specification or the zone cannot be read, or there is nothing to do.
    pub fn cron_add(&self, job: CronJob) -> Result<(), CronError> {
        CronTable::add(self.shared(), job)
    }

    /// Removes a job. Processes that it has started go on.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_remove(&self, name: &str) -> Result<(), CronError> {
        CronTable::remove(self.shared(), name)
    }

    /// Lets a disabled job run again; `false` if it was not disabled.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_enable(&self, name: &str) -> Result<bool, CronError> {
        CronTable::enable(self.shared(), name, true)
    }

    /// Stops a job from running; `false` if it was disabled.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_disable(&self, name: &str) -> Result<bool, CronError> {
        CronTable::enable(self.shared(), name, false)
    }

    /// One job.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_job(&self, name: &str) -> Result<CronJobFacts, CronError> {
        self.shared().cron().job(name)
    }

    /// All jobs.
    #[must_use]
    pub fn cron_info(&self) -> CronFacts {
        self.shared().cron().facts()
    }

    /// What runs after `since`, within `span`, at most `limit` times.
    #[must_use]
    pub fn cron_schedule(&self, since: SystemTime, span: Duration, limit: usize) -> CronSchedule {
        self.shared().cron().schedule(since, span, limit, None)
    }
}
