//! What an application is: the trait that a program implements, and the specification it gives.

use crate::actor::{Actor, SpawnOptions};
use crate::app::AppContext;
use crate::error::{ActorResult, ExitReason};
use crate::process::Env;
use crate::shard::{LogLevel, Shard};
use crate::supervisor::Backoff;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long each hook may take by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// Members of one application.
pub(super) const MAX_MEMBERS: usize = 65_536;

/// A named group of processes: what it consists of, and what happens when it starts and stops.
///
/// The value is made once and lives as long as the application is loaded; its hooks run in a process of their own, on shard 0,
/// and may await. A hook that panics or takes too long is cut off.
///
/// ```
/// use shard_runtime::prelude::*;
/// use shard_runtime::{AppContext, AppSpec, Application, Simulation};
///
/// #[derive(Default)]
/// struct Desk;
/// #[actor]
/// impl Desk {}
///
/// struct Orders;
/// impl Application for Orders {
///     fn name(&self) -> &str { "orders" }
///     fn spec(&self) -> AppSpec {
///         AppSpec::new().description("takes orders").member(Desk::default, SpawnOptions::named("desk"))
///     }
///     async fn stop(&mut self, cx: &AppContext<'_>) { cx.log().info("draining"); }
/// }
///
/// let mut node = Simulation::new("shop@localhost", 1, 1)?;
/// node.load_app(Orders)?;
/// node.start_app("orders")?;
/// assert!(node.whereis("desk").is_some());
/// node.stop_app("orders")?;
/// assert!(node.whereis("desk").is_none());
/// # Ok::<(), NodeError>(())
/// ```
pub trait Application: Send + 'static {
    /// Its name, unique among the applications of a node.
    fn name(&self) -> &str;

    /// What it consists of. Asked for once, when it is loaded.
    fn spec(&self) -> AppSpec;

    /// Runs before any member is started. If it fails or is late, nothing is started and `terminate` is not called.
    fn init(&mut self, _cx: &AppContext<'_>) -> impl Future<Output = ActorResult> {
        std::future::ready(Ok(()))
    }

    /// Runs when all members run and everybody has been told so.
    fn start(&mut self, _cx: &AppContext<'_>) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Runs when a stop was asked for, before members are told to end: the time to drain. Its web servers have answered what was
    /// asked by then, which takes some of the hook's time. No process can be spawned in the application any more. Not called
    /// when the application ends by itself or is stopped by force.
    fn stop(&mut self, _cx: &AppContext<'_>) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Runs when no process of the application is left: the time to release what `init` took.
    fn terminate(&mut self, _reason: &ExitReason, _cx: &AppContext<'_>) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// What the end of a member means to its application.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AppMode {
    /// Nothing, until the last member is gone: then the application ends as `normal`.
    #[default]
    Temporary,
    /// An abnormal end, which is neither `normal` nor `shutdown`, stops the application with that reason.
    Transient,
    /// Any end stops the application with that reason.
    Permanent,
}

impl AppMode {
    /// Its name in tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

/// What a node does when a permanent application has ended by itself.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum AppFailure {
    /// It logs an error and goes on.
    #[default]
    Ignore,
    /// It stops; [`Node::run_until_signal`](crate::Node::run_until_signal) then returns an error.
    StopNode,
    /// It starts the application again, after the waits of this back-off, without limit.
    Restart(Backoff),
}

type Make = dyn Fn(&Shard, &SpawnOptions, Birth) + Send + Sync;

/// Hears, on the steward's shard, what came of a member's spawn.
type Told = Box<dyn FnOnce(&Shard, Result<shard_wire::Pid, crate::error::SpawnError>) + Send>;

/// What a member's spawn needs beside its factory and options.
pub(crate) struct Birth {
    pub(crate) application: u32,
    pub(crate) env: Env,
    pub(crate) told: Told,
}

/// One member.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) make: Arc<Make>,
    pub(crate) options: SpawnOptions,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Member").field(&self.options).finish()
    }
}

/// What an application consists of. The default: no members, temporary, weight 1, 15 seconds for each hook.
#[derive(Clone, Debug)]
pub struct AppSpec {
    pub(crate) description: String,
    pub(crate) version: String,
    pub(crate) depends: Vec<Box<str>>,
    pub(crate) needs_network: bool,
    pub(crate) env: Env,
    pub(crate) members: Vec<Member>,
    pub(crate) mode: AppMode,
    pub(crate) weight: u32,
    pub(crate) tags: Vec<String>,
    pub(crate) roles: Vec<(String, String)>,
    pub(crate) init_timeout: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) log_level: Option<LogLevel>,
}

impl Default for AppSpec {
    fn default() -> Self {
        Self {
            description: String::new(),
            version: String::new(),
            depends: Vec::new(),
            needs_network: false,
            env: Env::default(),
            members: Vec::new(),
            mode: AppMode::default(),
            weight: 1,
            tags: Vec::new(),
            roles: Vec::new(),
            init_timeout: DEFAULT_TIMEOUT,
            start_timeout: DEFAULT_TIMEOUT,
            stop_timeout: DEFAULT_TIMEOUT,
            log_level: None,
        }
    }
}

impl AppSpec {
    /// The defaults. It needs at least one member.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says in words what it is for.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Sets its release.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Names an application that must run before this one starts.
    #[must_use]
    pub fn depends_on(mut self, application: &str) -> Self {
        self.depends.push(application.into());
        self
    }

    /// It starts only on a node with a network.
    #[must_use]
    pub fn needs_network(mut self) -> Self {
        self.needs_network = true;
        self
    }

    /// Sets a value of the members' environment, over the node's.
    #[must_use]
    pub fn env<T: Any + Send + Sync>(mut self, key: &str, value: T) -> Self {
        self.env.set(key, value);
        self
    }

    /// Sets a value of the members' environment that is never shown.
    #[must_use]
    pub fn secret_env<T: Any + Send + Sync>(mut self, key: &str, value: T) -> Self {
        self.env.set_secret(key, value);
        self
    }

    /// Adds a member; members start in the order in which they are added and end in the opposite one. The factory makes it
    /// anew at each start of the application, on the member's shard: without a placement that is shard 0. 65,536 at most.
    #[must_use]
    pub fn member<A: Actor>(
        mut self,
        factory: impl Fn() -> A + Send + Sync + 'static,
        options: SpawnOptions,
    ) -> Self {
        // LIMIT: members of an application.
        if self.members.len() >= MAX_MEMBERS {
            return self;
        }
        let factory = Arc::new(factory);
        let make = move |shard: &Shard, options: &SpawnOptions, birth: Birth| {
            let factory = Arc::clone(&factory);
            shard.spawn_member(move || factory(), options.clone(), birth);
        };
        self.members.push(Member { make: Arc::new(make), options });
        self
    }

    /// Sets what the end of a member means. Default: temporary.
    #[must_use]
    pub fn mode(mut self, mode: AppMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets its share of load among the nodes that run it, at least 1. Default 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight.max(1);
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        let tag = tag.into();
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        self
    }

    /// Says which registered name plays a role in it, so that others need not know the names.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>, name: impl Into<String>) -> Self {
        self.roles.push((role.into(), name.into()));
        self
    }

    /// Sets how long `init` may take. Default 15 seconds.
    #[must_use]
    pub fn init_timeout(mut self, limit: Duration) -> Self {
        self.init_timeout = limit;
        self
    }

    /// Sets how long the `start` hook may take before it is cut off. Default 15 seconds.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// Sets how long each part of a stop may take: the `stop` hook, then the end of all processes, which are killed after
    /// it, then `terminate`. Default 15 seconds.
    #[must_use]
    pub fn stop_timeout(mut self, limit: Duration) -> Self {
        self.stop_timeout = limit;
        self
    }

    /// Sets the level of its processes' lines from its loading on, for those that have no level of their own. Default: that of
    /// the node. [`Node::set_application_log_level`](crate::Node::set_application_log_level) changes it while it runs.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }
}
