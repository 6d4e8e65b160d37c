//! What is asked of the steward from outside: its messages, and who asks them.

use crate::actor::{Route, local_message};
use crate::app::{AppMode, AppState, Apps, Candidate, STEWARD, ordered};
use crate::error::{AppError, CallError};
use crate::shard::Shard;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What the steward answers.
pub(crate) type Asked = Result<(), AppError>;

/// Loads an application.
pub(crate) struct Load(pub(crate) Candidate);
/// Starts one; answered when it runs, or why it does not.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) name: Arc<str>,
    pub(crate) mode: Option<AppMode>,
}
/// Stops one; answered when it is loaded again.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) name: Arc<str>,
    /// Kill, do not drain.
    pub(crate) force: bool,
    /// Whoever depends on it is being stopped, too.
    pub(crate) with_all: bool,
}
/// Unloads one that does not run.
#[derive(Clone, Debug)]
pub(crate) struct Unload(pub(crate) Arc<str>);
/// Changes what is shown of one.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Weight(Arc<str>, u32),
    AddTag(Arc<str>, String),
    RemoveTag(Arc<str>, String),
}

local_message!(Load => Asked);
local_message!(Start => Asked);
local_message!(Stop => Asked);
local_message!(Unload => Asked);
local_message!(Change => Asked);

impl Shard {
    /// Asks the steward, from the first shard, on behalf of somebody who is not a process.
    pub(crate) fn ask_steward<M: crate::Message<Reply = Asked>>(
        &self,
        request: M,
        limit: Duration,
        done: impl FnOnce(Asked) + 'static,
    ) {
        let steward = self.pid(STEWARD);
        self.call_with_callback(Route::Pid(steward), request, limit, move |answer| {
            done(match answer {
                Ok(answer) => answer,
                Err(CallError::Timeout) => Err(AppError::Timeout { limit }),
                Err(_) => Err(AppError::NodeStopping),
            });
        });
    }
}

/// What must be started so that an application can be: those it depends on that do not run, then itself.
pub(crate) fn plan(apps: &Apps, name: &str) -> Result<Vec<Arc<str>>, AppError> {
    let infos = apps.infos(|_| 0);
    let edges: BTreeMap<&str, Vec<&str>> =
        infos.iter().map(|info| (&*info.name, info.depends.iter().map(|on| &**on).collect())).collect();
    if !edges.contains_key(name) {
        return Err(AppError::Unknown(name.into()));
    }
    let runs =
        |wanted: &str| infos.iter().any(|info| *info.name == *wanted && info.state == AppState::Running);
    let order = ordered(&[name], &edges)?;
    Ok(order.into_iter().filter(|other| *other == name || !runs(other)).map(Arc::from).collect())
}
