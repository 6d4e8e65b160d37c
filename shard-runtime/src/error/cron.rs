//! Why a job of the node's schedule was not added or changed.

/// Why nothing was done with a cron job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// The name is empty or too long.
    #[error("the name of a cron job has 1 to 255 bytes")]
    BadName,
    /// There is a job of this name.
    #[error("there is a cron job named {name}: remove it first, or choose another name")]
    Taken {
        /// The name.
        name: String,
    },
    /// There is no job of this name.
    #[error("there is no cron job named {name}: check its spelling")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The specification cannot be read.
    #[error(
        "cron specification {spec:?}: {problem}; five fields are minute, hour, day of month, month, day of week"
    )]
    BadSpec {
        /// What was given.
        spec: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The specification names a time that never comes.
    #[error("cron specification {spec:?} names a time that never comes, such as the 30th of February")]
    Never {
        /// What was given.
        spec: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone named {zone:?}: use a name such as Europe/Berlin, UTC, or local")]
    BadZone {
        /// What was given.
        zone: String,
    },
    /// The job has nothing to do.
    #[error("cron job {name} has no action: give it one by tick, send, spawn or run")]
    NoAction {
        /// The job's name.
        name: String,
    },
    /// The node has as many jobs as it can hold.
    #[error("the node has as many cron jobs as it can hold, {limit}: remove those that nobody needs")]
    Limit {
        /// Jobs of one node.
        limit: usize,
    },
    /// The node stops, or its first shard takes no more tasks.
    #[error("the node stops, or its first shard takes no more tasks")]
    Overloaded,
}
