//! A router: one address, named workers, and a function that says which of them a message is for.
//!
//! Every message and call but those that manage the router is routed, at its own priority, with its sender and its caller.
//! Invariants: R1 each route has at most one worker; a worker that ends is replaced at once, unless it ends too often: then
//! the route rests until it is respawned. R2 a change of a route waits for its old worker's end; meanwhile the route is pending, and calls to it are answered `Busy`.

use crate::actor::{Actor, Batch, Closed, Context, Exit, ExitSignal, Inspect, SpawnOptions, local_message};
use crate::behavior::Retire;
use crate::error::{ActorError, ActorResult, CallError, SendReason, SpawnError};
use crate::mailbox::Meta;
use crate::shard::Carried;
use shard_wire::{Erased, Message, Pid, Vtable, vtable};
use std::time::Duration;

/// Restarts of one route within the period, beyond which it rests.
const RESTARTS: usize = 5;
const PERIOD: Duration = Duration::from_secs(5);

/// A message to be routed.
#[derive(Debug)]
pub struct Incoming<'m> {
    carried: &'m Carried,
    from: Pid,
}

impl Incoming<'_> {
    /// Who sent it.
    #[must_use]
    pub fn from(&self) -> Pid {
        self.from
    }

    /// The message, if it is an `M`.
    #[must_use]
    pub fn get<M: Message>(&self) -> Option<&M> {
        self.carried.message.get()
    }

    /// Whether somebody waits for an answer.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.carried.flags & Meta::CALL != 0
    }
}

/// Where a message goes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RouteTo {
    /// To the route of this name, or else to the process registered under it.
    Name(Box<str>),
    /// Nowhere: it is dropped and counted; a caller gets `Discarded`.
    Discard,
}

impl RouteTo {
    /// To the route of this name, or else to the process registered under it.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self::Name(name.into())
    }
}

type Start = Box<dyn Fn(&Context<'_>, SpawnOptions) -> Result<Pid, SpawnError> + Send>;

/// A route: its name, and how its worker is made.
pub struct RouteSpec {
    name: Box<str>,
    start: Start,
    mailbox: u32,
}

impl std::fmt::Debug for RouteSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RouteSpec {
    /// A route whose worker this function makes.
    pub fn new<A: Actor>(name: &str, factory: impl Fn() -> A + Send + 'static) -> Self {
        Self {
            name: name.into(),
            start: Box::new(move |cx, options| cx.spawn(&factory, options)),
            mailbox: 0,
        }
    }

    /// Bounds each queue of the worker's mailbox; 0 means that there is no bound.
    #[must_use]
    pub fn mailbox(mut self, messages: u32) -> Self {
        self.mailbox = messages;
        self
    }
}

/// Why a change of a route was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// There is no such route.
    #[error("there is no such route; add it, or check its name")]
    NoRoute,
    /// There is one of that name already.
    #[error("there is a route of that name already; replace it, or choose another name")]
    Duplicate,
    /// Its name is empty.
    #[error("a route needs a name")]
    NoName,
    /// The old worker of the route is still ending.
    #[error("the route is being changed; retry when its old worker has ended")]
    Busy,
    /// Its worker runs.
    #[error("the route's worker runs; there is nothing to respawn")]
    Running,
    /// It is disabled.
    #[error("the route is disabled; enable it first")]
    Disabled,
    /// The worker could not be started.
    #[error("the route's worker could not be started: {0}")]
    Spawn(Box<str>),
}

/// What is to happen once the old worker of a route has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum RoutePending {
    /// Nothing.
    #[default]
    None,
    /// It stays without a worker.
    Disable,
    /// A new one starts.
    Replace,
    /// The route goes.
    Remove,
}

/// A route as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RouteInfo {
    /// Its name.
    pub name: Box<str>,
    /// Its worker.
    pub pid: Option<Pid>,
    /// Whether it is disabled.
    pub disabled: bool,
    /// What waits for its old worker's end.
    pub pending: RoutePending,
}

/// A message that could not be routed. The router's `on_failed` gets it; a call is answered instead.
#[derive(Debug)]
#[non_exhaustive]
pub struct RouteFailed {
    /// The name it was for.
    pub name: Box<str>,
    /// Who sent it.
    pub from: Pid,
    /// The message.
    pub message: Erased,
    /// Why.
    pub reason: CallError,
}

/// Adds a route and starts its worker.
#[derive(Debug)]
pub struct AddRoute(pub RouteSpec);
/// Removes a route; its worker handles what it has and ends. One that is not there is no error.
#[derive(Clone, Debug)]
pub struct RemoveRoute(pub Box<str>);
/// Ends a route's worker and starts no other until it is enabled.
#[derive(Clone, Debug)]
pub struct DisableRoute(pub Box<str>);
/// Starts the worker of a disabled route.
#[derive(Clone, Debug)]
pub struct EnableRoute(pub Box<str>);
/// Ends a route's worker and starts one of the new kind.
#[derive(Debug)]
pub struct ReplaceRoute(pub RouteSpec);
/// Starts the worker of a route that has ended too often, or could not be started.
#[derive(Clone, Debug)]
pub struct RespawnRoute(pub Box<str>);
/// Asks for all routes.
#[derive(Clone, Copy, Debug)]
pub struct Routes;
local_message!(AddRoute => Result<(), RouteError>);
local_message!(RemoveRoute => Result<(), RouteError>);
local_message!(DisableRoute => Result<(), RouteError>);
local_message!(EnableRoute => Result<(), RouteError>);
local_message!(ReplaceRoute => Result<(), RouteError>);
local_message!(RespawnRoute => Result<(), RouteError>);
local_message!(Routes => Vec<RouteInfo>);

struct Entry {
    spec: RouteSpec,
    worker: Option<Pid>,
    disabled: bool,
    pending: RoutePending,
    /// Takes the place of `spec` when the old worker has ended.
    successor: Option<RouteSpec>,
    /// When its worker was last replaced, in ticks.
    restarts: Vec<u64>,
}

#[derive(Default)]
struct Figures {
    forwarded: u64,
    discarded: u64,
    failed: u64,
    restarts: u64,
}

type Choose = Box<dyn Fn(&Incoming<'_>) -> RouteTo>;
type OnFailed = Box<dyn FnMut(RouteFailed, &Context<'_>)>;
type Answer = Result<Result<(), RouteError>, ActorError>;

/// A router of messages to named workers on its own shard.
///
/// ```
/// use shard_runtime::prelude::*;
/// use shard_runtime::{RouteSpec, RouteTo, Router};
///
/// #[message(local, reply = String)]
/// struct Greet { language: &'static str }
/// struct Greeter(&'static str);
/// #[actor]
/// impl Greeter {
///     #[handle]
///     fn greet(&mut self, _: Greet, _cx: &mut Context<'_>) -> Result<String, ActorError> { Ok(self.0.into()) }
/// }
///
/// let mut node = shard_runtime::Simulation::new("router@localhost", 1, 1)?;
/// let router = || {
///     Router::new(|m| m.get::<Greet>().map_or(RouteTo::Discard, |greet| RouteTo::name(greet.language)))
///         .route(RouteSpec::new("en", || Greeter("hello")))
///         .route(RouteSpec::new("fr", || Greeter("bonjour")))
/// };
/// let router = node.spawn(0, router, &SpawnOptions::new())?;
/// assert_eq!(node.call(router, Greet { language: "fr" })?, "bonjour");
/// # Ok::<(), NodeError>(())
/// ```
pub struct Router {
    choose: Choose,
    on_failed: Option<OnFailed>,
    entries: Vec<Entry>,
    /// Workers that are to end and belong to no route any more.
    leaving: Vec<Pid>,
    figures: Figures,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("routes", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Router {
    /// A router without routes, whose function names the route of each message.
    pub fn new(choose: impl Fn(&Incoming<'_>) -> RouteTo + 'static) -> Self {
        Self {
            choose: Box::new(choose),
            on_failed: None,
            entries: Vec::new(),
            leaving: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Adds a route, whose worker starts with the router. If one cannot be started, the router does not start.
    #[must_use]
    pub fn route(mut self, spec: RouteSpec) -> Self {
        self.entries.push(Entry::new(spec));
        self
    }

    /// Sets what happens with messages that cannot be routed. Default: they are dropped and counted.
    #[must_use]
    pub fn on_failed(mut self, on_failed: impl FnMut(RouteFailed, &Context<'_>) + 'static) -> Self {
        self.on_failed = Some(Box::new(on_failed));
        self
    }

    fn begin(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.shard().trap_all_exits();
        for index in 0..self.entries.len() {
            let is_named = !self.entries[index].spec.name.is_empty();
            let earlier = &self.entries[..index];
            let is_new = !earlier.iter().any(|entry| entry.spec.name == self.entries[index].spec.name);
            if !is_named || !is_new {
                return Err(if is_named { RouteError::Duplicate } else { RouteError::NoName }.into());
            }
            self.entries[index].fill(cx)?;
        }
        Ok(())
    }

    fn find(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| *entry.spec.name == *name)
    }

    fn exited(&mut self, m: ExitSignal, cx: &mut Context<'_>) -> ActorResult {
        let pid = m.pid();
        if let Some(index) = self.entries.iter().position(|entry| pid.is_some() && entry.worker == pid) {
            self.worker_gone(index, cx);
            return Ok(());
        }
        if let Some(index) = self.leaving.iter().position(|left| Some(*left) == pid) {
            self.leaving.swap_remove(index);
            return Ok(());
        }
        Err(ActorError::new(m.reason))
    }

    fn worker_gone(&mut self, index: usize, cx: &Context<'_>) {
        let entry = &mut self.entries[index];
        entry.worker = None;
        match std::mem::take(&mut entry.pending) {
            RoutePending::Remove => {
                self.entries.remove(index);
            }
            RoutePending::Disable => {}
            RoutePending::Replace => {
                if let Some(successor) = entry.successor.take() {
                    entry.spec = successor;
                }
                entry.start_or_log(cx);
            }
            RoutePending::None => self.restart(index, cx),
        }
    }

    /// Replaces a worker that ended on its own, within its budget.
    fn restart(&mut self, index: usize, cx: &Context<'_>) {
        let (now, period) = (cx.shard().now_ticks(), cx.shard().ticks(PERIOD));
        let entry = &mut self.entries[index];
        entry.restarts.retain(|at| now.saturating_sub(*at) <= period);
        if entry.restarts.len() >= RESTARTS {
            let name = &entry.spec.name;
            cx.log()
                .error(format_args!("route {name} rests: its worker ended {RESTARTS} times in {PERIOD:?}"));
            return;
        }
        entry.restarts.push(now);
        self.figures.restarts += 1;
        entry.start_or_log(cx);
    }

    fn add(&mut self, m: AddRoute, cx: &mut Context<'_>) -> Answer {
        if m.0.name.is_empty() {
            return Ok(Err(RouteError::NoName));
        }
        if self.find(&m.0.name).is_some() {
            return Ok(Err(RouteError::Duplicate));
        }
        let mut entry = Entry::new(m.0);
        Ok(match entry.fill(cx) {
            Ok(()) => {
                self.entries.push(entry);
                Ok(())
            }
            Err(error) => Err(RouteError::Spawn(error.to_string().into())),
        })
    }

    /// Has the worker of a route end, for what is pending then.
    fn end_worker(&mut self, name: &str, pending: RoutePending, cx: &Context<'_>) -> Result<(), RouteError> {
        let Some(index) = self.entries.iter().position(|entry| *entry.spec.name == *name) else {
            return Err(RouteError::NoRoute);
        };
        let entry = &mut self.entries[index];
        if entry.pending != RoutePending::None {
            return Err(RouteError::Busy);
        }
        entry.pending = pending;
        match entry.worker {
            Some(worker) => cx.shard().post_retirement(worker.local.0),
            None => self.worker_gone(index, cx),
        }
        Ok(())
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    fn remove(&mut self, m: RemoveRoute, cx: &mut Context<'_>) -> Answer {
        Ok(match self.end_worker(&m.0, RoutePending::Remove, cx) {
            Err(RouteError::NoRoute) => Ok(()),
            done => done,
        })
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    fn disable(&mut self, m: DisableRoute, cx: &mut Context<'_>) -> Answer {
        Ok(match self.find(&m.0) {
            None => Err(RouteError::NoRoute),
            Some(entry) if entry.disabled => Ok(()),
            Some(entry) if entry.pending != RoutePending::None => Err(RouteError::Busy),
            Some(entry) => {
                entry.disabled = true;
                self.end_worker(&m.0, RoutePending::Disable, cx)
            }
        })
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    fn enable(&mut self, m: EnableRoute, cx: &mut Context<'_>) -> Answer {
        Ok(match self.find(&m.0) {
            None => Err(RouteError::NoRoute),
            Some(entry) if entry.pending != RoutePending::None => Err(RouteError::Busy),
            Some(entry) if !entry.disabled => Ok(()),
            Some(entry) => {
                entry.disabled = false;
                entry.restarts.clear();
                entry.fill(cx).map_err(|error| RouteError::Spawn(error.to_string().into()))
            }
        })
    }

    fn replace(&mut self, m: ReplaceRoute, cx: &mut Context<'_>) -> Answer {
        let name = m.0.name.clone();
        Ok(match self.find(&name) {
            None => Err(RouteError::NoRoute),
            Some(entry) if entry.pending != RoutePending::None => Err(RouteError::Busy),
            Some(entry) if entry.disabled => {
                entry.spec = m.0;
                Ok(())
            }
            Some(entry) => {
                entry.successor = Some(m.0);
                self.end_worker(&name, RoutePending::Replace, cx)
            }
        })
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    fn respawn(&mut self, m: RespawnRoute, cx: &mut Context<'_>) -> Answer {
        Ok(match self.find(&m.0) {
            None => Err(RouteError::NoRoute),
            Some(entry) if entry.pending != RoutePending::None => Err(RouteError::Busy),
            Some(entry) if entry.disabled => Err(RouteError::Disabled),
            Some(entry) if entry.worker.is_some() => Err(RouteError::Running),
            Some(entry) => {
                entry.restarts.clear();
                entry.fill(cx).map_err(|error| RouteError::Spawn(error.to_string().into()))
            }
        })
    }

    fn list(&mut self, _: Routes, _cx: &mut Context<'_>) -> Result<Vec<RouteInfo>, ActorError> {
        Ok(self.entries.iter().map(Entry::info).collect())
    }

    fn retire(&mut self, _: Retire, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }

    /// Routes one message.
    fn pass(&mut self, carried: Carried, cx: &Context<'_>) {
        let from = cx.sender();
        match (self.choose)(&Incoming { carried: &carried, from }) {
            RouteTo::Discard => {
                self.figures.discarded += 1;
                let (flags, reply) = (carried.flags, carried.reply);
                cx.shard().contain(|| drop(carried));
                if flags & Meta::CALL != 0 {
                    cx.shard().refuse(reply, CallError::Discarded);
                }
            }
            RouteTo::Name(name) => {
                if let Err((reason, carried)) = self.pass_to(&name, carried, cx) {
                    self.fail(name, carried, reason, from, cx);
                }
            }
        }
    }

    fn pass_to(
        &mut self,
        name: &str,
        carried: Carried,
        cx: &Context<'_>,
    ) -> Result<(), (CallError, Carried)> {
        let index = self.entries.iter().position(|entry| *entry.spec.name == *name);
        let target = match index.map(|index| &self.entries[index]) {
            Some(entry) if entry.disabled => return Err((CallError::Disabled, carried)),
            Some(entry) if entry.pending == RoutePending::Remove => {
                return Err((CallError::Send(SendReason::NoRoute), carried));
            }
            Some(entry) if entry.pending != RoutePending::None => return Err((CallError::Busy, carried)),
            Some(entry) => entry.worker.filter(|worker| cx.shard().exists(worker.local.0)),
            None => cx.whereis(name),
        };
        // A worker that has just ended, or could not be started, gets one more try here.
        let target = match (target, index) {
            (None, Some(index)) => {
                if let Some(gone) = self.entries[index].worker.take() {
                    self.leaving.push(gone);
                    self.restart(index, cx);
                }
                self.entries[index].worker
            }
            (target, _) => target,
        };
        let Some(target) = target else {
            return Err((CallError::Send(SendReason::NoProcess), carried));
        };
        cx.shard()
            .forward(target, carried)
            .map_err(|(reason, carried)| (CallError::Send(reason), carried))?;
        self.figures.forwarded += 1;
        Ok(())
    }

    fn fail(&mut self, name: Box<str>, carried: Carried, reason: CallError, from: Pid, cx: &Context<'_>) {
        self.figures.failed += 1;
        if carried.flags & Meta::CALL != 0 {
            return cx.shard().refuse_carried(carried, reason);
        }
        match &mut self.on_failed {
            Some(on_failed) => on_failed(RouteFailed { name, from, message: carried.message, reason }, cx),
            None => cx.shard().refuse_carried(carried, reason),
        }
    }
}

impl Entry {
    fn new(spec: RouteSpec) -> Self {
        let restarts = Vec::new();
        Self { spec, worker: None, disabled: false, pending: RoutePending::None, successor: None, restarts }
    }

    fn fill(&mut self, cx: &Context<'_>) -> Result<(), SpawnError> {
        let options = SpawnOptions::new().link_parent().link_child();
        let options = match self.spec.mailbox {
            0 => options,
            limit => options.with_mailbox(limit),
        };
        self.worker = Some((self.spec.start)(cx, options)?);
        Ok(())
    }

    fn start_or_log(&mut self, cx: &Context<'_>) {
        if let Err(error) = self.fill(cx) {
            cx.log()
                .error(format_args!("the worker of route {} could not be started: {error}", self.spec.name));
        }
    }

    fn info(&self) -> RouteInfo {
        RouteInfo {
            name: self.spec.name.clone(),
            pid: self.worker,
            disabled: self.disabled,
            pending: self.pending,
        }
    }
}

impl Actor for Router {
    const BEHAVIOR: &'static str = "shard.Router";
    const KIND: &'static str = "router";
    const TYPES: &'static [&'static Vtable] = &[
        vtable::<ExitSignal>(),
        vtable::<AddRoute>(),
        vtable::<RemoveRoute>(),
        vtable::<DisableRoute>(),
        vtable::<EnableRoute>(),
        vtable::<ReplaceRoute>(),
        vtable::<RespawnRoute>(),
        vtable::<Routes>(),
        vtable::<Retire>(),
    ];
    const HAS_INIT: bool = true;
    const HAS_TERMINATE: bool = false;

    fn dispatch(mut batch: Batch<'_, Self>) -> Closed<'_> {
        while let Some(envelope) = batch.next() {
            let envelope = batch.bare(envelope);
            let exit = if envelope.is::<ExitSignal>() {
                batch.plain::<ExitSignal>(envelope, Self::exited)
            } else if envelope.is::<AddRoute>() {
                batch.plain::<AddRoute>(envelope, Self::add)
            } else if envelope.is::<RemoveRoute>() {
                batch.plain::<RemoveRoute>(envelope, Self::remove)
            } else if envelope.is::<DisableRoute>() {
                batch.plain::<DisableRoute>(envelope, Self::disable)
            } else if envelope.is::<EnableRoute>() {
                batch.plain::<EnableRoute>(envelope, Self::enable)
            } else if envelope.is::<ReplaceRoute>() {
                batch.plain::<ReplaceRoute>(envelope, Self::replace)
            } else if envelope.is::<RespawnRoute>() {
                batch.plain::<RespawnRoute>(envelope, Self::respawn)
            } else if envelope.is::<Routes>() {
                batch.plain::<Routes>(envelope, Self::list)
            } else if envelope.is::<Retire>() {
                batch.plain::<Retire>(envelope, Self::retire)
            } else {
                let carried = batch.carry(envelope);
                let cx = Context::new(batch.shard());
                batch.body().pass(carried, &cx);
                None
            };
            if let Some(exit) = exit {
                return batch.close(exit);
            }
        }
        batch.close(Exit::Continue)
    }

    fn init(batch: Batch<'_, Self>) -> Closed<'_> {
        batch.hook_plain(Self::begin)
    }

    fn terminate(batch: Batch<'_, Self>) -> Closed<'_> {
        batch.close(Exit::Continue)
    }

    fn inspect(&self, out: &mut Inspect) {
        let count = |is: fn(&Entry) -> bool| self.entries.iter().filter(|entry| is(entry)).count();
        out.set_base("type", "router");
        out.set_base("routes_total", self.entries.len());
        out.set_base("routes_active", count(|entry| entry.worker.is_some()));
        out.set_base("routes_disabled", count(|entry| entry.disabled));
        out.set_base("routes_pending", count(|entry| entry.pending != RoutePending::None));
        out.set_base("forwarded", self.figures.forwarded);
        out.set_base("discarded", self.figures.discarded);
        out.set_base("failed", self.figures.failed);
        out.set_base("restarts", self.figures.restarts);
        for entry in &self.entries {
            let name = &entry.spec.name;
            let pid = entry.worker.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            out.set(&format!("route:{name}:pid"), pid);
            out.set(&format!("route:{name}:disabled"), entry.disabled);
            out.set(&format!("route:{name}:pending"), format_args!("{:?}", entry.pending));
        }
    }
}
