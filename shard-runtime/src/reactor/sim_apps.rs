//! Applications and the node's events on the simulation.

use crate::app::{AppInfo, AppMode, Application, Asked, Candidate, Change, Load, Start, Stop, Unload, plan};
use crate::error::{AppError, EventError, ExitReason};
use crate::event::{EventOptions, Topic};
use crate::reactor::sim::Simulation;
use crate::{Env, Message};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Virtual time after which a simulated request about an application is given up.
const LIMIT: Duration = Duration::from_secs(3600);
/// By how much the clock goes on while one waits.
const STEP: Duration = Duration::from_millis(10);

/// What a simulated node is given at its start.
#[derive(Clone, Debug, Default)]
pub struct SimulationOptions {
    pub(crate) plan: crate::shared::NodePlan,
}

impl SimulationOptions {
    /// The defaults of a node.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the environment that processes inherit which the node itself starts.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.plan.env = env;
        self
    }

    /// Sets what happens when a permanent application has ended by itself. Default: nothing.
    #[must_use]
    pub fn on_app_failure(mut self, failure: crate::AppFailure) -> Self {
        self.plan.app_failure = failure;
        self
    }
}

impl Simulation {
    /// Loads an application.
    ///
    /// # Errors
    /// As for [`Node::load_app`](crate::Node::load_app).
    pub fn load_app(&mut self, app: impl Application) -> Result<(), AppError> {
        self.ask_steward(Load(Candidate::new(app)?))
    }

    /// Starts an application, after those it depends on, and runs until it runs.
    ///
    /// # Errors
    /// As for [`Node::start_app`](crate::Node::start_app).
    pub fn start_app(&mut self, name: &str) -> Result<(), AppError> {
        self.start_app_as(name, None)
    }

    /// The same in a mode of its own.
    ///
    /// # Errors
    /// As for [`Node::start_app`](crate::Node::start_app).
    pub fn start_app_as(&mut self, name: &str, mode: Option<AppMode>) -> Result<(), AppError> {
        for name in plan(self.shared().apps(), name)? {
            self.ask_steward(Start { name, mode })?;
        }
        Ok(())
    }

    /// Asks for a start and runs nothing: what comes of it is seen later.
    pub fn begin_start_app(&mut self, name: &str) {
        self.first_shard().ask_steward(Start { name: name.into(), mode: None }, LIMIT, |_| {});
    }

    /// Stops an application and runs until it has ended.
    ///
    /// # Errors
    /// As for [`Node::stop_app`](crate::Node::stop_app).
    pub fn stop_app(&mut self, name: &str) -> Result<(), AppError> {
        self.ask_steward(Stop { name: name.into(), force: false, with_all: false })
    }

    /// Stops an application without draining: its processes are killed.
    ///
    /// # Errors
    /// As for [`Node::stop_app_force`](crate::Node::stop_app_force).
    pub fn stop_app_force(&mut self, name: &str) -> Result<(), AppError> {
        self.ask_steward(Stop { name: name.into(), force: true, with_all: false })
    }

    /// Asks for a stop and runs nothing: what comes of it is seen later.
    pub fn begin_stop_app(&mut self, name: &str) {
        let stop = Stop { name: name.into(), force: false, with_all: false };
        self.first_shard().ask_steward(stop, LIMIT, |_| {});
    }

    /// Unloads an application that does not run.
    ///
    /// # Errors
    /// As for [`Node::unload_app`](crate::Node::unload_app).
    pub fn unload_app(&mut self, name: &str) -> Result<(), AppError> {
        self.ask_steward(Unload(name.into()))
    }

    /// Changes an application's weight.
    ///
    /// # Errors
    /// There is no such application.
    pub fn set_app_weight(&mut self, name: &str, weight: u32) -> Result<(), AppError> {
        self.ask_steward(Change::Weight(name.into(), weight))
    }

    /// Adds a label to an application.
    ///
    /// # Errors
    /// There is no such application.
    pub fn add_app_tag(&mut self, name: &str, tag: &str) -> Result<(), AppError> {
        self.ask_steward(Change::AddTag(name.into(), tag.into()))
    }

    /// Takes a label from an application.
    ///
    /// # Errors
    /// There is no such application.
    pub fn remove_app_tag(&mut self, name: &str, tag: &str) -> Result<(), AppError> {
        self.ask_steward(Change::RemoveTag(name.into(), tag.into()))
    }

    /// The loaded applications, by name.
    #[must_use]
    pub fn apps(&self) -> Vec<AppInfo> {
        self.reader().apps()
    }

    /// One application.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<AppInfo> {
        self.reader().app(name)
    }

    /// Why the node was told to stop by a permanent application that ended, if it was.
    #[must_use]
    pub fn stop_wanted(&self) -> Option<(String, ExitReason)> {
        self.wanted().get().cloned()
    }

    /// Registers an event of the node, as [`NodeBuilder::event`](crate::NodeBuilder::event) does.
    ///
    /// # Errors
    /// As for [`Context::register_event`](crate::Context::register_event).
    pub fn node_event<M: Message + Sync>(
        &mut self,
        name: &str,
        buffer: usize,
    ) -> Result<Topic<M>, EventError> {
        let options = EventOptions::new().buffer(buffer).open();
        let shard = self.first_shard();
        shard.as_steward(|| shard.register_event::<M>(name, options))
    }

    fn ask_steward<M: Message<Reply = Asked>>(&mut self, request: M) -> Asked {
        let answer = Rc::new(RefCell::new(None));
        let put = Rc::clone(&answer);
        self.first_shard().ask_steward(request, LIMIT, move |asked| {
            put.replace(Some(asked));
        });
        self.run();
        let mut waited = Duration::ZERO;
        while answer.borrow().is_none() && waited < LIMIT {
            self.advance(STEP);
            waited += STEP;
        }
        answer.take().unwrap_or(Err(AppError::Timeout { limit: LIMIT }))
    }
}

/// The permanent application that wanted the node to stop, and why it ended.
pub(super) type Wanted = Arc<OnceLock<(String, ExitReason)>>;
