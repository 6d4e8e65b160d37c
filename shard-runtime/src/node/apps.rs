//! Applications of a running node: loading, starting, stopping, and what is shown of them.

use crate::app::{
    AppInfo, AppMode, AppState, Application, Asked, Candidate, Change, Load, Start, Stop, Unload, plan,
};
use crate::error::AppError;
use crate::node::Node;
use crate::node::handle::must_not_block;
use crate::oneshot::{self, RecvError};
use crate::shard::{Inbound, Shard};
use crate::shared::NodeShared;
use crate::stats::{ProcessStats, Reader};
use shard_wire::Message;
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits that needs no hook and no member.
const LIMIT: Duration = Duration::from_secs(5);
/// How much longer than all its parts a start is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// Applications.
impl Node {
    /// Loads an application: asks it for its specification and gives it a process that runs its hooks. It does not run yet.
    ///
    /// # Errors
    /// Its name is taken or none, it has no members, or the node has 256 applications.
    pub fn load_app(&self, app: impl Application) -> Result<(), AppError> {
        ask(self.shared(), Load(Candidate::new(app)?), LIMIT)
    }

    /// Starts an application, after those it depends on that do not run yet. Returns when its members run.
    ///
    /// # Errors
    /// It is not loaded, runs, or is being stopped; what it depends on is not there; its `init` failed or was late; a member
    /// did not start, then those that had are ended.
    pub fn start_app(&self, name: &str) -> Result<(), AppError> {
        self.start_app_as(name, None)
    }

    /// The same with a mode for this run, which holds for what it depends on, too.
    ///
    /// # Errors
    /// As for [`Node::start_app`].
    pub fn start_app_as(&self, name: &str, mode: impl Into<Option<AppMode>>) -> Result<(), AppError> {
        if must_not_block() {
            return Err(AppError::OnShard);
        }
        let (mode, shared) = (mode.into(), self.shared());
        for name in plan(shared.apps(), name)? {
            let limit = start_limit(shared, &name);
            ask(shared, Start { name, mode }, limit)?;
        }
        Ok(())
    }

    /// Stops an application: its `stop` hook runs, its members end in reverse order, then what they left behind, then its
    /// `terminate` hook runs. Waits for 5 seconds; what takes longer goes on.
    ///
    /// # Errors
    /// It is not loaded or does not run; a running application depends on it; or it has not ended in time (`Stopping`).
    pub fn stop_app(&self, name: &str) -> Result<(), AppError> {
        self.stop_app_with_timeout(name, LIMIT)
    }

    /// The same with another time to wait. How long the application itself has is in its specification.
    ///
    /// # Errors
    /// As for [`Node::stop_app`].
    pub fn stop_app_with_timeout(&self, name: &str, limit: Duration) -> Result<(), AppError> {
        self.stop_one(Stop { name: name.into(), force: false, with_all: false }, limit)
    }

    /// Stops an application without draining: its processes are killed, also if others depend on it. Its `terminate` hook
    /// runs all the same.
    ///
    /// # Errors
    /// It is not loaded or does not run; or it has not ended within 5 seconds (`Stopping`).
    pub fn stop_app_force(&self, name: &str) -> Result<(), AppError> {
        self.stop_one(Stop { name: name.into(), force: true, with_all: false }, LIMIT)
    }

    fn stop_one(&self, stop: Stop, limit: Duration) -> Result<(), AppError> {
        let name = Arc::clone(&stop.name);
        ask(self.shared(), stop, limit).map_err(|error| match error {
            AppError::Timeout { .. } => AppError::Stopping(name.as_ref().into()),
            error => error,
        })
    }

    /// Forgets an application that does not run.
    ///
    /// # Errors
    /// It is not loaded, runs, or is being stopped.
    pub fn unload_app(&self, name: &str) -> Result<(), AppError> {
        ask(self.shared(), Unload(name.into()), LIMIT)
    }

    /// Changes an application's share of load, at least 1.
    ///
    /// # Errors
    /// It is not loaded.
    pub fn set_app_weight(&self, name: &str, weight: u32) -> Result<(), AppError> {
        ask(self.shared(), Change::Weight(name.into(), weight), LIMIT)
    }

    /// Adds a label to an application.
    ///
    /// # Errors
    /// It is not loaded.
    pub fn add_app_tag(&self, name: &str, tag: &str) -> Result<(), AppError> {
        ask(self.shared(), Change::AddTag(name.into(), tag.into()), LIMIT)
    }

    /// Takes a label from an application.
    ///
    /// # Errors
    /// It is not loaded.
    pub fn remove_app_tag(&self, name: &str, tag: &str) -> Result<(), AppError> {
        ask(self.shared(), Change::RemoveTag(name.into(), tag.into()), LIMIT)
    }

    /// The loaded applications, by name.
    #[must_use]
    pub fn apps(&self) -> Vec<AppInfo> {
        self.stats().apps()
    }

    /// One application.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<AppInfo> {
        self.stats().app(name)
    }

    /// Processes that belong to an application, `limit` at most: members, and all that was spawned below them.
    #[must_use]
    pub fn app_processes(&self, name: &str, limit: usize) -> Vec<ProcessStats> {
        self.stats().app_processes(name, limit)
    }
}

/// How long a start may take at most, by its specification.
fn start_limit(shared: &Arc<NodeShared>, name: &str) -> Duration {
    let info = shared.apps().info(name, |_| 0);
    info.map_or(LIMIT, |info| {
        // Whatever its members take is in their own limits; those are not known here, so there is room for an hour of them.
        info.timeouts[0].saturating_add(GRACE).saturating_add(Duration::from_secs(3600))
    })
}

/// Asks the steward, from a thread that may wait.
pub(super) fn ask<M: Message<Reply = Asked>>(shared: &Arc<NodeShared>, request: M, limit: Duration) -> Asked {
    if must_not_block() {
        return Err(AppError::OnShard);
    }
    let port = shared.port(0).ok_or(AppError::NodeStopping)?;
    let (answer, mut outcome) = oneshot::channel();
    let task = move |shard: &Shard| {
        shard.ask_steward(request, limit, move |asked| {
            let _unheard = answer.send(asked);
        });
    };
    if port.post_reserved(Inbound::Task(Box::new(task))).is_err() {
        return Err(AppError::NodeStopping);
    }
    match outcome.recv_timeout(limit) {
        Ok(asked) => asked,
        Err(RecvError::Closed) => Err(AppError::NodeStopping),
        Err(RecvError::Timeout) => Err(AppError::Timeout { limit }),
    }
}

/// Applications that run or start, in the order in which a stop takes them.
pub(super) fn to_stop(shared: &Arc<NodeShared>) -> Vec<AppInfo> {
    let mut apps = Reader::new(Arc::clone(shared)).apps();
    apps.retain(|app| app.state != AppState::Loaded);
    apps.sort_unstable_by_key(|app| std::cmp::Reverse(app.started));
    apps
}
