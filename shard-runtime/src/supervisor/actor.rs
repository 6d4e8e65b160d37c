//! The supervisor as an actor: executes what the state machine decides, and reports to it what came of it.
//!
//! Invariants: E1 everything that happens goes through `turn`, which executes all actions of an event before the next one.
//! E2 a start does not suspend the supervisor: its outcome comes as a message, in order before the child's exit. E3 the
//! supervisor's own start is told when its first children are up, or why it ended before.

use super::error::SupervisorError;
use super::event::{Action, ChildId, Event, Outcome, Request, RequestId, Token};
use super::machine::Machine;
use super::reason::Reason;
use super::snapshot::Snapshot;
use super::spec::{ChildSpec, Shutdown, SupervisorSpec};
use crate::actor::{
    Actor, Batch, Closed, Context, Exit, ExitSignal, Inspect, Priority, ReplyTo, SpawnOptions, TimerRef,
    local_message,
};
use crate::behavior::Retire;
use crate::error::{ActorError, ActorResult, ExitReason, SpawnError};
use crate::process::StartedAnswer;
use crate::shard::Shard;
use rustc_hash::FxHashMap;
use shard_wire::{Pid, Vtable, vtable};
use std::sync::Arc;
use std::time::Duration;

impl Reason for ExitReason {
    fn is_ordinary(&self) -> bool {
        Self::is_ordinary(self)
    }

    fn shutdown() -> Self {
        Self::Shutdown
    }

    fn exceeded(limit: u16, period: Duration, cause: Self) -> Self {
        Self::Exceeded { limit, period, cause: Box::new(cause) }
    }
}

type Make = dyn Fn(&Shard, SpawnOptions, u64) + Send + Sync;

/// What makes a child: the actor, and the options of its process.
#[derive(Clone)]
pub struct Child {
    make: Arc<Make>,
    options: SpawnOptions,
    is_supervisor: bool,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Child {
    /// A child that this function makes, at each start, on the child's shard.
    pub fn new<A: Actor>(factory: impl Fn() -> A + Send + Sync + 'static) -> Self {
        let factory = Arc::new(factory);
        let make = move |shard: &Shard, options: SpawnOptions, waiter: u64| {
            let factory = Arc::clone(&factory);
            shard.spawn_anywhere(move || factory(), options, waiter);
        };
        let is_supervisor = A::KIND == Supervisor::KIND;
        Self { make: Arc::new(make), options: SpawnOptions::new(), is_supervisor }
    }

    /// A supervisor takes as long to end as its children do.
    fn complete(&self, spec: ChildSpec) -> ChildSpec {
        if self.is_supervisor { spec.or_shutdown(Shutdown::Infinity) } else { spec }
    }

    /// Sets the options of its process: mailbox, placement, time for `init`. Its name is the specification's, and both
    /// links are made in any case.
    #[must_use]
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.options = options;
        self
    }
}

/// Starts a stopped child, or an instance of a template; answers who it is.
#[derive(Debug)]
pub struct StartChild {
    /// The child or template.
    pub name: Arc<str>,
    /// Replaces what makes the child, for good; is the instance's own.
    pub child: Option<Child>,
}

impl StartChild {
    /// Starts what the specification says.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), child: None }
    }

    /// Starts what this function makes.
    #[must_use]
    pub fn with<A: Actor>(name: &str, factory: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self { name: name.into(), child: Some(Child::new(factory)) }
    }
}

/// Appends a child and starts it, or a template.
#[derive(Debug)]
pub struct AddChild(pub ChildSpec, pub Child);
/// Stops a child, or all instances of a template, and forgets it.
#[derive(Clone, Debug)]
pub struct RemoveChild(pub Arc<str>);
/// Allows a child again and starts it, or a template.
#[derive(Clone, Debug)]
pub struct EnableChild(pub Arc<str>);
/// Stops a child, or all instances of a template, until it is enabled.
#[derive(Clone, Debug)]
pub struct DisableChild(pub Arc<str>);
/// Stops one instance of a template for good.
#[derive(Clone, Copy, Debug)]
pub struct TerminateInstance(pub ChildId);
/// Asks for everything a supervisor knows of itself and its children.
#[derive(Clone, Copy, Debug)]
pub struct Children;
local_message!(StartChild => Result<(ChildId, Pid), SupervisorError>);
local_message!(AddChild => Result<(), SupervisorError>);
local_message!(RemoveChild => Result<(), SupervisorError>);
local_message!(EnableChild => Result<(), SupervisorError>);
local_message!(DisableChild => Result<(), SupervisorError>);
local_message!(TerminateInstance => Result<(), SupervisorError>);
local_message!(Children => Snapshot<Pid, ExitReason>);

/// A start is done, or failed.
pub(crate) struct Begun {
    child: ChildId,
    outcome: Result<Pid, SpawnError>,
}
local_message!(Begun);

/// A timer of the machine is due.
struct Due(Token);
local_message!(Due);

/// A child of a supervisor has started or ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildEvent {
    /// It has started.
    Started {
        /// Which, over all its restarts.
        id: ChildId,
        /// Its specification.
        name: Arc<str>,
        /// Its process.
        pid: Pid,
    },
    /// It has ended; it may be restarted.
    Terminated {
        /// Which, over all its restarts.
        id: ChildId,
        /// Its specification.
        name: Arc<str>,
        /// Its process.
        pid: Pid,
        /// Why.
        reason: ExitReason,
    },
}

type OnChild = Box<dyn FnMut(ChildEvent, &Context<'_>)>;
type Answer<T> = ReplyTo<Result<T, SupervisorError>>;

enum Asked {
    Start(Answer<(ChildId, Pid)>),
    Other(Answer<()>),
}

/// A supervisor: starts children, watches them, and restarts them as its specification says.
///
/// ```
/// use shard_runtime::prelude::*;
/// use shard_runtime::{ChildSpec, Children, Supervisor, SupervisorSpec};
///
/// #[message(local)]
/// struct Crash;
/// #[derive(Default)]
/// struct Store;
/// #[actor]
/// impl Store {
///     #[handle]
///     fn crash(&mut self, _: Crash, _cx: &mut Context<'_>) -> ActorResult { panic!("told to") }
/// }
///
/// let mut node = shard_runtime::Simulation::new("tree@localhost", 1, 1)?;
/// let tree = || Supervisor::new(SupervisorSpec::one_for_one()).child(ChildSpec::new("store"), Store::default);
/// let tree = node.spawn(0, tree, &SpawnOptions::new())?;
/// node.run();
/// let first = node.whereis("store").unwrap();
/// node.send(first, Crash)?;
/// node.run();
/// assert_ne!(node.whereis("store").unwrap(), first);
/// assert_eq!(node.call(tree, Children)?.restarts_count, 1);
/// # Ok::<(), NodeError>(())
/// ```
pub struct Supervisor {
    spec: SupervisorSpec,
    declared: Vec<(ChildSpec, Child)>,
    on_child: Option<OnChild>,
    machine: Option<Machine<Pid, ExitReason, Child>>,
    /// Whoever waits for the supervisor's own start.
    started: Option<StartedAnswer>,
    asked: FxHashMap<RequestId, Asked>,
    timers: FxHashMap<Token, TimerRef>,
    /// The start that is under way: the child, its waiter, and the name it claims.
    starting: Option<(ChildId, u64, Option<Arc<str>>)>,
    /// Processes whose mailboxes are kept for their successors.
    kept: FxHashMap<ChildId, Pid>,
    next_request: u64,
    ending: Option<ExitReason>,
    actions: Vec<Action<Pid, ExitReason, Child>>,
    /// For `inspect`, which has no clock: ticks turned into nanoseconds at the last event.
    now_ns: u64,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Supervisor {
    /// A supervisor without children yet. It needs at least one, else it does not start.
    #[must_use]
    pub fn new(spec: SupervisorSpec) -> Self {
        Self {
            spec,
            declared: Vec::new(),
            on_child: None,
            machine: None,
            started: None,
            asked: FxHashMap::default(),
            timers: FxHashMap::default(),
            starting: None,
            kept: FxHashMap::default(),
            next_request: 0,
            ending: None,
            actions: Vec::new(),
            now_ns: 0,
        }
    }

    /// Declares a child, or a template under simple one for one.
    #[must_use]
    pub fn child<A: Actor>(self, spec: ChildSpec, factory: impl Fn() -> A + Send + Sync + 'static) -> Self {
        self.child_with(spec, Child::new(factory))
    }

    /// Declares a child with options for its process.
    #[must_use]
    pub fn child_with(mut self, spec: ChildSpec, child: Child) -> Self {
        self.declared.push((child.complete(spec), child));
        self
    }

    /// Sets who is told of each start and end of a child. Turns such notices on.
    #[must_use]
    pub fn on_child(mut self, on_child: impl FnMut(ChildEvent, &Context<'_>) + 'static) -> Self {
        self.spec = self.spec.handle_children();
        self.on_child = Some(Box::new(on_child));
        self
    }

    fn begin(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.shard().trap_all_exits();
        let declared = std::mem::take(&mut self.declared);
        self.machine = Some(Machine::new(self.spec.clone(), declared)?);
        self.started = cx.shard().defer_start();
        self.turn(Event::Init, cx)
    }

    /// Gives the machine an event and does what it says (E1).
    fn turn(&mut self, event: Event<Pid, ExitReason, Child>, cx: &Context<'_>) -> ActorResult {
        let shard = cx.shard();
        self.now_ns = shard.now_ns();
        let Some(machine) = &mut self.machine else { return Ok(()) };
        let mut actions = std::mem::take(&mut self.actions);
        machine.on(event, self.now_ns, shard.random(), &mut actions);
        for action in actions.drain(..) {
            self.act(action, cx);
        }
        self.actions = actions;
        self.drop_unwanted_mailboxes(shard);
        match self.ending.take() {
            Some(reason) => Err(ActorError::new(reason)),
            None => Ok(()),
        }
    }

    fn act(&mut self, action: Action<Pid, ExitReason, Child>, cx: &Context<'_>) {
        match action {
            Action::Start { child, name, args, preserve } => self.start(child, &name, &args, preserve, cx),
            Action::AbortStart { child } => self.abort(child, cx),
            Action::Exit { pid, reason } => {
                // A child that has gone has told so, or is about to.
                let _gone = cx.exit(pid, reason);
            }
            Action::Kill { pid } => cx.kill(pid),
            Action::ArmTimer { token, after } => self.arm(token, after, cx),
            Action::CancelTimer { token } => {
                if let Some(timer) = self.timers.remove(&token) {
                    cx.cancel_timer(timer);
                }
            }
            Action::Ready => {
                if let Some(started) = self.started.take() {
                    started(cx.shard(), Ok(()));
                }
            }
            Action::ChildStarted { child: id, name, pid } => {
                self.tell(ChildEvent::Started { id, name, pid }, cx);
            }
            Action::ChildTerminated { child: id, name, pid, reason } => {
                self.tell(ChildEvent::Terminated { id, name, pid, reason }, cx);
            }
            Action::Reply { request, answer } => self.answer(request, answer),
            Action::Terminate { reason } => self.ending = Some(reason),
        }
    }

    fn tell(&mut self, event: ChildEvent, cx: &Context<'_>) {
        if let Some(on_child) = &mut self.on_child {
            on_child(event, cx);
        }
    }

    fn start(&mut self, child: ChildId, name: &Arc<str>, args: &Child, preserve: bool, cx: &Context<'_>) {
        let shard = cx.shard();
        let mut options = args.options.clone().link_parent().link_child();
        let is_named = !self.spec.is_simple();
        if is_named {
            options = options.with_name(&**name);
        }
        if self.machine.as_ref().is_some_and(|machine| machine.may_preserve(child)) {
            options = options.preserve_mailbox();
        }
        // It stays ours to claim until the child is up: a start that fails leaves the mailbox to the next one.
        if preserve && let Some(before) = self.kept.get(&child) {
            options = options.adopt_mailbox(*before);
        }
        let owner = cx.pid().local.0;
        let waiter = shard.spawn_callback(options.init_timeout(), move |shard, outcome| {
            let Some(record) = shard.live_record(owner) else { return };
            shard.post_system(record, Priority::Max.queue(), Begun { child, outcome });
        });
        let Some(waiter) = waiter else {
            let outcome = Err(SpawnError::TooManyWaits);
            if let Some(record) = shard.live_record(owner) {
                shard.post_system(record, Priority::Max.queue(), Begun { child, outcome });
            }
            return;
        };
        self.starting = Some((child, waiter, is_named.then(|| Arc::clone(name))));
        (args.make)(shard, options, waiter);
    }

    /// Gives a start up: the process is killed, now or when it comes up.
    fn abort(&mut self, child: ChildId, cx: &Context<'_>) {
        let Some((starting, waiter, name)) = &self.starting else { return };
        if *starting != child {
            return;
        }
        let holder = name.as_ref().and_then(|name| cx.whereis(name));
        // The name may be a stranger's: then the start is about to fail.
        match holder.filter(|pid| cx.shard().is_child(pid.local, cx.pid().local)) {
            Some(pid) => cx.kill(pid),
            None => cx.shard().give_up_spawn(*waiter),
        }
    }

    fn begun(&mut self, m: Begun, cx: &mut Context<'_>) -> ActorResult {
        if self.starting.as_ref().is_some_and(|(child, ..)| *child == m.child) {
            self.starting = None;
        }
        let child = m.child;
        let event = match m.outcome {
            Ok(pid) => Event::Started { child, pid },
            Err(SpawnError::Init { reason }) => Event::StartFailed { child, reason },
            Err(error) => Event::StartFailed { child, reason: ExitReason::custom(error) },
        };
        self.turn(event, cx)
    }

    fn exited(&mut self, m: ExitSignal, cx: &mut Context<'_>) -> ActorResult {
        let Some(machine) = &self.machine else { return Err(ActorError::new(m.reason)) };
        let child = m.pid().and_then(|pid| Some((pid, machine.child_of(pid)?)));
        match child {
            Some((pid, child)) => {
                if machine.may_preserve(child) && !m.reason.is_ordinary() {
                    self.kept.insert(child, pid);
                }
                self.turn(Event::Exited { pid, reason: m.reason }, cx)
            }
            None => self.turn(Event::ForeignExit { reason: m.reason }, cx),
        }
    }

    fn drop_unwanted_mailboxes(&mut self, shard: &Shard) {
        let Some(machine) = &self.machine else { return };
        self.kept.retain(|child, pid| {
            let is_wanted = machine.keeps_mailbox(*child);
            if !is_wanted {
                shard.drop_kept_mailbox(*pid);
            }
            is_wanted
        });
    }

    fn arm(&mut self, token: Token, after: Duration, cx: &Context<'_>) {
        let shard = cx.shard();
        // Not a send: a bound of our own mailbox must not lose it.
        match shard.post_after(Priority::Max.queue(), Due(token), after) {
            Ok(timer) => {
                self.timers.insert(token, timer);
            }
            // No timer is to be had: better early than never.
            Err(due) => {
                if let Some(record) = shard.live_record(cx.pid().local.0) {
                    shard.post_system(record, Priority::Max.queue(), due);
                }
            }
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    fn due(&mut self, m: Due, cx: &mut Context<'_>) -> ActorResult {
        self.timers.remove(&m.0);
        self.turn(Event::TimerDue { token: m.0 }, cx)
    }

    fn ask(&mut self, asked: Asked, request: Request<Child>, cx: &Context<'_>) -> ActorResult {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(id, asked);
        self.turn(Event::Request { id, request }, cx)
    }

    fn answer(&mut self, request: RequestId, answer: Result<Outcome<Pid>, SupervisorError>) {
        match (self.asked.remove(&request), answer) {
            (Some(Asked::Start(reply)), Ok(Outcome::Started { child, pid })) => reply.send(Ok((child, pid))),
            (Some(Asked::Start(reply)), Err(error)) => reply.send(Err(error)),
            (Some(Asked::Other(reply)), answer) => reply.send(answer.map(|_| ())),
            // A start is answered with what was started; without a request there is nobody to answer.
            (Some(Asked::Start(_)), Ok(Outcome::Done)) | (None, _) => {}
        }
    }

    fn start_child(
        &mut self,
        m: StartChild,
        reply: Answer<(ChildId, Pid)>,
        cx: &mut Context<'_>,
    ) -> ActorResult {
        self.ask(Asked::Start(reply), Request::StartChild { name: m.name, args: m.child }, cx)
    }

    fn add_child(&mut self, m: AddChild, reply: Answer<()>, cx: &mut Context<'_>) -> ActorResult {
        self.ask(Asked::Other(reply), Request::AddChild { spec: m.1.complete(m.0), args: m.1 }, cx)
    }

    fn remove_child(&mut self, m: RemoveChild, reply: Answer<()>, cx: &mut Context<'_>) -> ActorResult {
        self.ask(Asked::Other(reply), Request::RemoveChild { name: m.0 }, cx)
    }

    fn enable_child(&mut self, m: EnableChild, reply: Answer<()>, cx: &mut Context<'_>) -> ActorResult {
        self.ask(Asked::Other(reply), Request::EnableChild { name: m.0 }, cx)
    }

    fn disable_child(&mut self, m: DisableChild, reply: Answer<()>, cx: &mut Context<'_>) -> ActorResult {
        self.ask(Asked::Other(reply), Request::DisableChild { name: m.0 }, cx)
    }

    fn terminate_instance(
        &mut self,
        m: TerminateInstance,
        reply: Answer<()>,
        cx: &mut Context<'_>,
    ) -> ActorResult {
        self.ask(Asked::Other(reply), Request::TerminateInstance { child: m.0 }, cx)
    }

    fn children(
        &mut self,
        _: Children,
        reply: ReplyTo<Snapshot<Pid, ExitReason>>,
        cx: &mut Context<'_>,
    ) -> ActorResult {
        if let Some(machine) = &self.machine {
            reply.send(machine.snapshot(cx.shard().now_ns()));
        }
        Ok(())
    }

    fn retire(&mut self, _: Retire, cx: &mut Context<'_>) -> ActorResult {
        self.turn(Event::ForeignExit { reason: ExitReason::Shutdown }, cx)
    }

    fn end(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        if let Some(started) = self.started.take() {
            started(cx.shard(), Err(reason.clone()));
        }
        for (_, pid) in self.kept.drain() {
            cx.shard().drop_kept_mailbox(pid);
        }
        // Also of children that have ended and whose exits are still in our mailbox.
        if let Some(machine) = &self.machine {
            for (pid, child) in machine.processes() {
                if machine.may_preserve(child) {
                    cx.shard().drop_kept_mailbox(pid);
                }
            }
        }
        for (_, timer) in self.timers.drain() {
            cx.cancel_timer(timer);
        }
    }
}

impl Actor for Supervisor {
    const BEHAVIOR: &'static str = "shard.Supervisor";
    const KIND: &'static str = "supervisor";
    const TYPES: &'static [&'static Vtable] = &[
        vtable::<ExitSignal>(),
        vtable::<Begun>(),
        vtable::<Due>(),
        vtable::<Children>(),
        vtable::<StartChild>(),
        vtable::<AddChild>(),
        vtable::<RemoveChild>(),
        vtable::<EnableChild>(),
        vtable::<DisableChild>(),
        vtable::<TerminateInstance>(),
        vtable::<Retire>(),
    ];
    const HAS_INIT: bool = true;
    const HAS_TERMINATE: bool = true;

    fn dispatch(mut batch: Batch<'_, Self>) -> Closed<'_> {
        while let Some(mut envelope) = batch.next() {
            let exit = loop {
                break if envelope.is::<ExitSignal>() {
                    batch.plain::<ExitSignal>(envelope, Self::exited)
                } else if envelope.is::<Begun>() {
                    batch.plain::<Begun>(envelope, Self::begun)
                } else if envelope.is::<Due>() {
                    batch.plain::<Due>(envelope, Self::due)
                } else if envelope.is::<Children>() {
                    batch.deferred::<Children>(envelope, Self::children)
                } else if envelope.is::<StartChild>() {
                    batch.deferred::<StartChild>(envelope, Self::start_child)
                } else if envelope.is::<AddChild>() {
                    batch.deferred::<AddChild>(envelope, Self::add_child)
                } else if envelope.is::<RemoveChild>() {
                    batch.deferred::<RemoveChild>(envelope, Self::remove_child)
                } else if envelope.is::<EnableChild>() {
                    batch.deferred::<EnableChild>(envelope, Self::enable_child)
                } else if envelope.is::<DisableChild>() {
                    batch.deferred::<DisableChild>(envelope, Self::disable_child)
                } else if envelope.is::<TerminateInstance>() {
                    batch.deferred::<TerminateInstance>(envelope, Self::terminate_instance)
                } else if envelope.is::<Retire>() {
                    batch.plain::<Retire>(envelope, Self::retire)
                } else if let Some(again) = batch.unmatched(envelope, Self::TYPES) {
                    envelope = again;
                    continue;
                } else {
                    None
                };
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
        batch.hook_terminate_plain(Self::end)
    }

    fn inspect(&self, out: &mut Inspect) {
        if let Some(machine) = &self.machine {
            super::inspect::report(&machine.snapshot(self.now_ns), out);
        }
    }
}
