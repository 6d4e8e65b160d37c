//! What can go wrong while benches run.

use std::io;

/// A failure of a bench run. No figure is reported for the run it ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The name given to `--only` or `--child` is not in the registry.
    #[error("no workload is called `{0}`: `runs --list` prints the names")]
    UnknownWorkload(String),
    /// The workload has no such side.
    #[error("workload `{workload}` has no side `{side}`: `runs --list` prints the sides")]
    UnknownSide {
        /// Name of the workload.
        workload: String,
        /// The side that was asked for.
        side: String,
    },
    /// The operating system refused something a side needs.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The program that does the work of a side is not there.
    #[error("side `{side}`: {why}")]
    Missing {
        /// Name of the side.
        side: &'static str,
        /// What to do.
        why: &'static str,
    },
    /// A child process ended without a figure.
    #[error(
        "the child process of `{workload}`, side `{side}`, ended with {status} and no figure: run its program with `--child {workload} {side}` to see why"
    )]
    Child {
        /// Name of the workload.
        workload: String,
        /// The side it ran.
        side: String,
        /// How it ended.
        status: String,
    },
    /// A child's line was not a sample.
    #[error("a child process printed a line that is not a sample: {0}")]
    Sample(#[from] serde_json::Error),
    /// The work that was done is not the work that was asked for, so its time means nothing.
    #[error("the side did not do its work: {0}")]
    Work(String),
}

impl RunError {
    /// Turns an I/O error into a [`RunError`] that says what was being done.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// Reports work that was not done.
    pub fn work(why: impl std::fmt::Display) -> Self {
        Self::Work(why.to_string())
    }
}
