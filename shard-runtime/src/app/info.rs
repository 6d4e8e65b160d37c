//! What is shown of an application.

use crate::app::AppMode;
use crate::process::Env;
use shard_wire::LocalId;
use std::sync::Arc;
use std::time::Duration;

/// State of an application.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AppState {
    /// It does not run and can be started.
    Loaded,
    /// Its `init` runs, or its members are being started.
    Initializing,
    /// All its members were started.
    Running,
    /// It is being stopped.
    Stopping,
}

impl AppState {
    /// Its name in tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Initializing => "initializing",
            Self::Running => "running",
            Self::Stopping => "stopping",
        }
    }
}

/// An application at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AppInfo {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for.
    pub description: String,
    /// Its release.
    pub version: String,
    /// Applications that must run before it.
    pub depends: Vec<Box<str>>,
    /// Whether it needs a network.
    pub needs_network: bool,
    /// What the end of a member means in this run, or will mean in the next.
    pub mode: AppMode,
    /// State.
    pub state: AppState,
    /// Its share of load.
    pub weight: u32,
    /// Its labels.
    pub tags: Vec<String>,
    /// Which registered name plays which role.
    pub roles: Vec<(String, String)>,
    /// What it adds to the environment of its members.
    pub env: Env,
    /// The members that live, in the order of their start.
    pub members: Vec<LocalId>,
    /// All processes that belong to it: members, and what was spawned below them.
    pub processes: u64,
    /// How long it has been running; zero unless it runs or is being stopped.
    pub uptime: Duration,
    /// How often it was started.
    pub starts: u64,
    /// Why it ended last.
    pub last_reason: Option<Arc<str>>,
    /// Time for `init`, for the `start` hook, and for each part of a stop.
    pub timeouts: [Duration; 3],
    /// Symbol of its name in the records of processes.
    pub(crate) symbol: u32,
    /// Ticks when it began to run.
    pub(crate) since: u64,
    /// Its place among all starts of the node: a stop goes the other way.
    pub(crate) started: u64,
}
