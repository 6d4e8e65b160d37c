//! What a process can ask of another node: to start a process, to start, stop and describe applications.

use crate::actor::{Context, Placement};
use crate::app::{AppMode, AppState};
use crate::error::{AskError, RemoteAppError, RemoteSpawnError, SpawnId};
use crate::shard::LogLevel;
use shard_wire::ask::{Answer, AppFacts, Ask, Place};
use shard_wire::{Message, Pid};
use std::time::Duration;

/// How long an answer is waited for by default.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// Options of a spawn on another node. The default: no name, the shard there with the least to do, no link, 5 seconds for
/// everything.
#[derive(Clone, Debug)]
pub struct RemoteSpawnOptions {
    pub(crate) name: String,
    pub(crate) placement: Placement,
    pub(crate) links: bool,
    pub(crate) monitors: bool,
    pub(crate) links_parent: bool,
    pub(crate) mailbox: u32,
    pub(crate) init: Option<Duration>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) deadline: Duration,
    pub(crate) id: Option<SpawnId>,
}

impl Default for RemoteSpawnOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            placement: Placement::LeastLoaded,
            links: false,
            monitors: false,
            links_parent: false,
            mailbox: 0,
            init: None,
            log_level: None,
            deadline: DEFAULT_DEADLINE,
            id: None,
        }
    }
}

impl RemoteSpawnOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name that the process registers on its node, claimed before it exists.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets where on its node the process starts. [`Placement::Caller`] means the shard with the least to do.
    #[must_use]
    pub fn with_placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Links the asking process to the new one: it gets an exit signal when that ends. Means nothing from outside.
    #[must_use]
    pub fn link_child(mut self) -> Self {
        self.links = true;
        self
    }

    /// Has the asking process watch the new one: it gets a [`Down`](crate::Down) when that ends. Means nothing from outside.
    #[must_use]
    pub fn monitor(mut self) -> Self {
        self.monitors = true;
        self
    }

    /// Links the new process to the asking one: it ends when that ends, or the session. Means nothing from outside.
    #[must_use]
    pub fn link_parent(mut self) -> Self {
        self.links_parent = true;
        self
    }

    /// Bounds each queue of the mailbox to this many messages, at least 1.
    #[must_use]
    pub fn with_mailbox(mut self, messages: u32) -> Self {
        self.mailbox = messages.max(1);
        self
    }

    /// Sets how long `init` may take; the deadline of the request limits it, too.
    #[must_use]
    pub fn with_init_timeout(mut self, limit: Duration) -> Self {
        self.init = Some(limit);
        self
    }

    /// Sets the least level of the process's log lines. Default: that of the asking process, if it has one of its own.
    #[must_use]
    pub fn with_log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Sets how long everything may take, until the answer is here. Default 5 seconds.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Tries an earlier request again, under its id.
    #[must_use]
    pub fn retry_of(mut self, id: SpawnId) -> Self {
        self.id = Some(id);
        self
    }

    pub(crate) fn place(&self) -> Place {
        match self.placement {
            Placement::Caller | Placement::LeastLoaded => Place::LeastLoaded,
            Placement::Shard(shard) => Place::Shard(shard),
            Placement::Key(hash) => Place::Key(hash),
        }
    }
}

/// An application of another node, as that node describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteApp {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its release.
    pub version: String,
    /// What the end of a member means; `None` if this version does not know it.
    pub mode: Option<AppMode>,
    /// State; `None` if this version does not know it.
    pub state: Option<AppState>,
    /// Its share of load.
    pub weight: u32,
    /// Its labels, 64 at most.
    pub tags: Vec<String>,
    /// All processes that belong to it.
    pub processes: u64,
    /// How long it has been running.
    pub uptime: Duration,
    /// How often it was started.
    pub starts: u64,
}

impl From<AppFacts> for RemoteApp {
    fn from(facts: AppFacts) -> Self {
        Self {
            name: facts.name,
            description: facts.description,
            version: facts.version,
            mode: mode_of(facts.mode),
            state: state_of(facts.state),
            weight: facts.weight,
            tags: facts.tags,
            processes: facts.processes,
            uptime: Duration::from_millis(facts.uptime_ms),
            starts: facts.starts,
        }
    }
}

const MODES: [AppMode; 3] = [AppMode::Temporary, AppMode::Transient, AppMode::Permanent];
const STATES: [AppState; 4] =
    [AppState::Loaded, AppState::Initializing, AppState::Running, AppState::Stopping];

/// A mode on the wire, from 1.
pub(crate) fn mode_code(mode: AppMode) -> u8 {
    MODES.iter().position(|known| *known == mode).map_or(0, |at| at as u8 + 1)
}

/// The mode of this number.
pub(crate) fn mode_of(code: u8) -> Option<AppMode> {
    MODES.get(usize::from(code.checked_sub(1)?)).copied()
}

/// A state on the wire, from 1.
pub(crate) fn state_code(state: AppState) -> u8 {
    STATES.iter().position(|known| *known == state).map_or(0, |at| at as u8 + 1)
}

fn state_of(code: u8) -> Option<AppState> {
    STATES.get(usize::from(code.checked_sub(1)?)).copied()
}

impl Context<'_> {
    /// Starts a process on another node, which offers it under this name to this node
    /// ([`Node::enable_spawn`](crate::Node::enable_spawn)), and waits until its `init` is done.
    ///
    /// The parent of the new process is this one; so are its leader, log level and, if the node runs one of that name, its
    /// application this one's. The environment goes along only if this node's builder allows it.
    ///
    /// No process is left that nobody has: if this future is dropped, its time is up, or the session ends before the answer
    /// is here, the process is ended there with [`Unclaimed`](crate::Unclaimed). After `Timeout` and `Disconnected` a retry
    /// with the id in the error gives the process that the first attempt started, or starts one if there is none. Once this
    /// has returned the process lives on its own, also when this one ends, unless the options link them.
    ///
    /// # Errors
    /// The node is not connected, is stopping, offers nothing to this node under this name, or takes other arguments; the
    /// process did not start; there was no answer in time.
    pub async fn spawn_on<M: Message>(
        &self,
        node: &str,
        offer: &str,
        args: M,
        options: RemoteSpawnOptions,
    ) -> Result<Pid, RemoteSpawnError> {
        self.shard().spawn_far(node, offer, args, options).await
    }

    /// Starts an application that is loaded on another node, after those it depends on there, in the mode of its specification
    /// unless one is given. The node must allow it ([`Node::enable_app_start`](crate::Node::enable_app_start)). Nothing ties
    /// the application to whoever started it.
    ///
    /// # Errors
    /// The node is not connected, is stopping, or does not allow it; the application is not loaded, runs, or did not start.
    pub async fn start_app_on(
        &self,
        node: &str,
        app: &str,
        mode: impl Into<Option<AppMode>>,
        within: Duration,
    ) -> Result<(), RemoteAppError> {
        let ask = Ask::AppStart { name: app, mode: mode.into().map_or(0, mode_code) };
        done(&self.shard().ask_app(node, &ask, within).await?)
    }

    /// Stops an application of another node; with `force` its processes are killed. The node must allow it
    /// ([`Node::enable_app_stop`](crate::Node::enable_app_stop)).
    ///
    /// # Errors
    /// The node is not connected, is stopping, or does not allow it; the application is not loaded, or does not run; a running
    /// one depends on it; it has not ended in time.
    pub async fn stop_app_on(
        &self,
        node: &str,
        app: &str,
        force: bool,
        within: Duration,
    ) -> Result<(), RemoteAppError> {
        done(&self.shard().ask_app(node, &Ask::AppStop { name: app, force }, within).await?)
    }

    /// What another node says of one of its applications, which this node may start.
    ///
    /// # Errors
    /// The node is not connected, is stopping, or does not allow it; the application is not loaded.
    pub async fn app_info_on(
        &self,
        node: &str,
        app: &str,
        within: Duration,
    ) -> Result<RemoteApp, RemoteAppError> {
        facts(self.shard().ask_app(node, &Ask::AppInfo { name: app }, within).await?)
    }
}

pub(crate) fn done(answer: &Answer) -> Result<(), RemoteAppError> {
    if *answer == Answer::Done { Ok(()) } else { Err(AskError::Malformed.into()) }
}

pub(crate) fn facts(answer: Answer) -> Result<RemoteApp, RemoteAppError> {
    match answer {
        Answer::Facts(facts) => Ok((*facts).into()),
        _ => Err(AskError::Malformed.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{MODES, STATES, mode_code, mode_of, state_code, state_of};

    #[test]
    fn modes_and_states_have_numbers_of_their_own() {
        for mode in MODES {
            assert_eq!(mode_of(mode_code(mode)), Some(mode));
        }
        for state in STATES {
            assert_eq!(state_of(state_code(state)), Some(state));
        }
        assert_eq!((mode_of(0), mode_of(4), state_of(0), state_of(5)), (None, None, None, None));
    }
}
