//! What a node's builder is told of applications, events, environment and stop, and how the started node carries it out.

use crate::app::{AppFailure, Application, Candidate, Load, ordered};
use crate::error::{AppError, EnableError, EventError, NodeError};
use crate::event::EventOptions;
use crate::link::Offers;
use crate::node::apps::ask;
use crate::node::{Node, NodeBuilder, StopPlan};
use crate::oneshot;
use crate::shard::{Inbound, Shard};
use crate::shared::NodePlan;
use shard_wire::Message;
use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a shard has to register an event at the start.
const LIMIT: Duration = Duration::from_secs(10);

type Enable = Box<dyn FnOnce(&Offers) -> Result<(), EnableError> + Send>;
type Register = Box<dyn FnOnce(&Shard) -> Result<(), EventError> + Send>;

/// The part of a builder that concerns what runs on the node.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) plan: NodePlan,
    pub(crate) stop: StopPlan,
    pub(crate) offers: Vec<Enable>,
    events: Vec<(String, Register)>,
    apps: Vec<Result<Candidate, AppError>>,
}

/// What runs on the node.
impl NodeBuilder {
    /// Adds an application, which is loaded and started with the node. Those that depend on each other start in that order,
    /// others in the order in which they are added. If one does not start, the node does not.
    #[must_use]
    pub fn app(mut self, app: impl Application) -> Self {
        self.setup.apps.push(Candidate::new(app));
        self
    }

    /// Sets what happens when a permanent application has ended by itself. Default: it is logged.
    #[must_use]
    pub fn on_app_failure(mut self, failure: AppFailure) -> Self {
        self.setup.plan.app_failure = failure;
        self
    }

    /// Registers an event of the node itself, before any application starts: it lives until the node stops, any process may
    /// publish it by its name, and the last `buffer` publications are kept.
    #[must_use]
    pub fn event<M: Message + Sync>(mut self, name: &str, buffer: usize) -> Self {
        let text = name.to_owned();
        let register = Box::new(move |shard: &Shard| {
            let options = EventOptions::new().buffer(buffer).open();
            shard.as_steward(|| shard.register_event::<M>(&text, options)).map(|_topic| ())
        });
        self.setup.events.push((name.to_owned(), register));
        self
    }

    /// Sets the version of the program, for operators. Default: empty.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.setup.plan.version = version.into();
        self
    }

    /// Sets a value of the environment that processes inherit which the node and its applications start.
    #[must_use]
    pub fn env<T: Any + Send + Sync>(mut self, key: &str, value: T) -> Self {
        self.setup.plan.env.set(key, value);
        self
    }

    /// The same for a value that is never shown, whatever else is.
    #[must_use]
    pub fn secret_env<T: Any + Send + Sync>(mut self, key: &str, value: T) -> Self {
        self.setup.plan.env.set_secret(key, value);
        self
    }

    /// Lets tools show the values of environments that are not secret. Default: no, keys only.
    #[must_use]
    pub fn expose_env(mut self, expose: bool) -> Self {
        self.setup.plan.expose_env = expose;
        self
    }

    /// Sets how long applications and processes have to end when the node stops, before they are killed. Default 3 minutes.
    #[must_use]
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.setup.stop.deadline = limit;
        self
    }
}

impl Setup {
    /// The applications in the order of their start.
    ///
    /// # Errors
    /// One is not valid, two have one name, or they depend on what is not there or on each other.
    pub(super) fn take_apps(&mut self) -> Result<Vec<Candidate>, NodeError> {
        let mut apps = std::mem::take(&mut self.apps).into_iter().collect::<Result<Vec<_>, _>>()?;
        let names: Vec<_> = apps.iter().map(|app| app.name.clone()).collect();
        let mut edges = BTreeMap::new();
        for app in &apps {
            let on: Vec<&str> = app.spec.depends.iter().map(|on| &**on).collect();
            if edges.insert(&*app.name, on).is_some() {
                return Err(AppError::Taken(app.name.as_ref().into()).into());
            }
        }
        let order = ordered(&names.iter().map(|name| &**name).collect::<Vec<_>>(), &edges)?;
        let order: Vec<_> = order.into_iter().map(str::to_owned).collect();
        apps.sort_by_key(|app| order.iter().position(|name| **name == *app.name));
        Ok(apps)
    }

    /// Registers the node's events.
    pub(super) fn register_events(&mut self, node: &Node) -> Result<(), NodeError> {
        for (name, register) in std::mem::take(&mut self.events) {
            let (answer, mut outcome) = oneshot::channel();
            let task = Box::new(move |shard: &Shard| {
                let _unheard = answer.send(register(shard));
            });
            let posted =
                node.shared().port(0).is_some_and(|port| port.post_reserved(Inbound::Task(task)).is_ok());
            let registered = posted.then(|| outcome.recv_timeout(LIMIT).ok()).flatten();
            match registered {
                Some(Ok(())) => {}
                Some(Err(source)) => return Err(NodeError::Event { name, source }),
                None => return Err(NodeError::Event { name, source: EventError::Overloaded }),
            }
        }
        Ok(())
    }

    /// Loads and starts the applications; one that does not start stops the node.
    pub(super) fn start_apps(apps: Vec<Candidate>, node: &Node) -> Result<(), NodeError> {
        let names: Vec<_> = apps.iter().map(|app| app.name.clone()).collect();
        for app in apps {
            ask(node.shared(), Load(app), LIMIT)?;
        }
        for name in names {
            node.start_app(&name)?;
        }
        Ok(())
    }
}
