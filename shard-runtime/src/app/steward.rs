//! The node's steward: the process that owns the states of all applications, and the node's own events.
//!
//! It lives on shard 0 in a place of its own, below the places of processes, and is as old as the shard. It does not wait: hooks
//! run in processes of their own, everything that takes time ends in a message to it.
//! Invariant: S1 a message about an earlier run of an application is told by its number and changes nothing.

use crate::actor::{
    Actor, Batch, Closed, Context, Exit, ExitSignal, ReplyTo, Request, Response, local_message,
};
use crate::app::desk::{Asked, Change, Load, Start, Stop, Unload};
use crate::app::hooks::{Cut, Hook, HookEnd, HookRunner, RunHook};
use crate::app::{AppFailure, AppInfo, AppMode, AppSpec, AppState, CORE_EVENT, CoreEvent};
use crate::error::{ActorResult, AppError, ExitReason, SpawnError};
use crate::event::Topic;
use crate::shard::{LogLevel, Shard};
use crate::tap::Writer;
use rustc_hash::FxHashSet;
use shard_wire::{Pid, Vtable, vtable};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The steward's local id: slot 2 of shard 0.
pub(crate) const STEWARD: u64 = 2;

/// A member's start is done, or failed.
pub(super) struct Begun {
    pub(super) symbol: u32,
    pub(super) run: u64,
    pub(super) member: usize,
    pub(super) outcome: Result<Pid, SpawnError>,
}
/// The last process of an application that is being stopped has gone.
pub(crate) struct Emptied(pub(crate) u32);
/// A session with another node has begun or ended.
pub(crate) struct NodeSession {
    pub(crate) name: String,
    pub(crate) is_up: bool,
}
/// Time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) symbol: u32,
    pub(super) run: u64,
    pub(super) what: Alarm,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The processes had their time to end.
    StopTimeout,
    /// What was killed had its time, too.
    KillTimeout,
    /// Looks again at who is left.
    Sweep,
    /// A failed application is started again.
    Restart,
}
local_message!(Begun);
local_message!(Emptied);
local_message!(NodeSession);
local_message!(Due);

/// What an application is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Loaded,
    /// `init` runs.
    Init,
    /// This member is being started.
    Members(usize),
    Running,
    /// The `stop` hook runs.
    Draining,
    /// Members end one after the other, the last one first.
    Exiting,
    /// Members are gone; what they left behind is told to end.
    Orphans,
    /// Everything is killed.
    Killing,
    /// `terminate` runs.
    Terminating,
}

/// One loaded application.
pub(super) struct App {
    pub(super) name: Arc<str>,
    pub(super) symbol: u32,
    pub(super) spec: AppSpec,
    pub(super) runner: Pid,
    pub(super) cut: Rc<Cut>,
    pub(super) phase: Phase,
    pub(super) mode: AppMode,
    /// Grows at each start and each end, so that what is late is told apart (S1).
    pub(super) run: u64,
    pub(super) starts: u64,
    /// Its place among all starts of the node.
    pub(super) started: u64,
    pub(super) since: u64,
    /// Members that live: their places in the list, and their processes.
    pub(super) members: Vec<(usize, Pid)>,
    /// The hook that runs.
    pub(super) hook: Option<Request>,
    pub(super) reason: ExitReason,
    /// Why the last run ended, as shown.
    pub(super) last_reason: Option<Arc<str>>,
    /// It ended by itself, not because somebody asked.
    pub(super) has_failed: bool,
    /// Why the start that is being undone failed.
    pub(super) start_error: Option<AppError>,
    pub(super) starters: Vec<ReplyTo<Asked>>,
    pub(super) stoppers: Vec<ReplyTo<Asked>>,
    /// Starts in a row that the failure policy made.
    pub(super) attempts: u32,
    /// Processes that were told to end, of those that members left behind.
    pub(super) told: FxHashSet<u64>,
}

impl App {
    pub(super) fn state(&self) -> AppState {
        match self.phase {
            Phase::Loaded => AppState::Loaded,
            Phase::Init | Phase::Members(_) => AppState::Initializing,
            Phase::Running => AppState::Running,
            Phase::Draining | Phase::Exiting | Phase::Orphans | Phase::Killing | Phase::Terminating => {
                AppState::Stopping
            }
        }
    }

    pub(super) fn title(&self) -> Box<str> {
        self.name.as_ref().into()
    }
}

/// The steward.
pub(crate) struct Steward {
    pub(super) apps: Vec<App>,
    pub(super) on_failure: AppFailure,
    pub(super) starts: u64,
}

impl Steward {
    pub(crate) fn new(on_failure: AppFailure) -> Self {
        Self { apps: Vec::new(), on_failure, starts: 0 }
    }

    pub(super) fn publish(event: CoreEvent, cx: &Context<'_>) {
        if let Some(core) = cx.shard().node().events().get(CORE_EVENT) {
            // This is its producer's shard, so no lane can refuse it.
            let _gone = cx.publish(&Topic::new(core), event);
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.apps.iter().position(|app| *app.name == *name)
    }

    pub(super) fn find_symbol(&self, symbol: u32) -> Option<usize> {
        self.apps.iter().position(|app| app.symbol == symbol)
    }

    /// Shows readers what has become of an application.
    pub(super) fn show(&self, at: usize, cx: &Context<'_>) {
        let Some(app) = self.apps.get(at) else { return };
        let info = AppInfo {
            name: Arc::clone(&app.name),
            description: app.spec.description.clone(),
            version: app.spec.version.clone(),
            depends: app.spec.depends.clone(),
            needs_network: app.spec.needs_network,
            mode: app.mode,
            state: app.state(),
            weight: app.spec.weight,
            tags: app.spec.tags.clone(),
            roles: app.spec.roles.clone(),
            env: app.spec.env.clone(),
            members: app.members.iter().map(|(_, pid)| pid.local).collect(),
            processes: 0,
            uptime: Duration::ZERO,
            starts: app.starts,
            last_reason: app.last_reason.clone(),
            timeouts: [app.spec.init_timeout, app.spec.start_timeout, app.spec.stop_timeout],
            symbol: app.symbol,
            since: app.since,
            started: app.started,
        };
        cx.shard().node().apps().show(info);
    }

    /// Runs a hook; its end comes as a [`Response`].
    pub(super) fn run_hook(&mut self, at: usize, hook: Hook, cx: &mut Context<'_>) {
        let Some(app) = self.apps.get_mut(at) else { return };
        let limit = match hook {
            Hook::Init => app.spec.init_timeout,
            Hook::Start => app.spec.start_timeout,
            Hook::Stop | Hook::Terminate(_) => app.spec.stop_timeout,
        };
        let request = RunHook { hook, mode: app.mode, limit, number: app.cut.issue() };
        // Its own limit ends it; this one is for a process that does not come to it.
        let patience = limit.saturating_add(Duration::from_secs(1));
        match cx.request(app.runner, request, 0, patience) {
            Ok(request) => app.hook = Some(request),
            Err(error) => {
                app.hook = None;
                let reason = ExitReason::custom(error.reason);
                self.hook_ended(at, HookEnd::Failed(reason), cx);
            }
        }
    }

    fn hook_answered(&mut self, m: Response<RunHook>, cx: &mut Context<'_>) -> ActorResult {
        let Some(at) = self.apps.iter().position(|app| app.hook == Some(m.request)) else { return Ok(()) };
        self.apps[at].hook = None;
        let end = match m.result {
            Ok(end) => end,
            Err(error) => HookEnd::Failed(ExitReason::custom(error)),
        };
        self.hook_ended(at, end, cx);
        Ok(())
    }

    pub(super) fn alarm(&self, at: usize, what: Alarm, after: Duration, cx: &Context<'_>) {
        let Some(app) = self.apps.get(at) else { return };
        let due = Due { symbol: app.symbol, run: app.run, what };
        let shard = cx.shard();
        // No timer is to be had: better early than never.
        if let Err(due) = shard.post_after(crate::Priority::Max.queue(), due, after)
            && let Some(record) = shard.live_record(STEWARD)
        {
            shard.post_system(record, crate::Priority::Max.queue(), due);
        }
    }

    fn load(&mut self, m: Load, cx: &mut Context<'_>) -> Result<Asked, crate::ActorError> {
        Ok(self.load_app(m.0, cx))
    }

    fn load_app(&mut self, candidate: crate::app::Candidate, cx: &mut Context<'_>) -> Asked {
        let crate::app::Candidate { name, spec, hooks } = candidate;
        let title = || Box::<str>::from(&*name);
        if self.find(&name).is_some() {
            return Err(AppError::Taken(title()));
        }
        let shard = cx.shard();
        let limit = AppError::Limit { limit: super::table::MAX_APPS };
        let Ok(symbol) = shard.node().symbols().intern(&name) else { return Err(limit) };
        // LIMIT: applications of a node.
        if !shard.node().apps().claim(symbol.0) {
            return Err(limit);
        }
        if spec.log_level.is_some() {
            shard.node().log().set_application_level(symbol.0, spec.log_level);
        }
        let cut = Rc::new(Cut::default());
        let runner = HookRunner {
            name: Arc::clone(&name),
            symbol: symbol.0,
            env: shard.node().env().overlaid_by(&spec.env),
            hooks,
            cut: Rc::clone(&cut),
        };
        let runner = shard.spawn(move || runner, &crate::SpawnOptions::new(), crate::shard::Origin::CORE);
        let Ok(runner) = runner else {
            shard.node().apps().release(symbol.0);
            return Err(AppError::NodeStopping);
        };
        let mode = spec.mode;
        self.apps.push(App {
            name: Arc::clone(&name),
            symbol: symbol.0,
            spec,
            runner,
            cut,
            phase: Phase::Loaded,
            mode,
            run: 0,
            starts: 0,
            started: 0,
            since: 0,
            members: Vec::new(),
            hook: None,
            reason: ExitReason::Normal,
            last_reason: None,
            has_failed: false,
            start_error: None,
            starters: Vec::new(),
            stoppers: Vec::new(),
            attempts: 0,
            told: FxHashSet::default(),
        });
        self.show(self.apps.len() - 1, cx);
        Self::publish(CoreEvent::AppLoaded { name: name.as_ref().into() }, cx);
        Ok(())
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    fn unload(&mut self, m: Unload, cx: &mut Context<'_>) -> Result<Asked, crate::ActorError> {
        let title = || Box::<str>::from(&*m.0);
        let Some(at) = self.find(&m.0) else { return Ok(Err(AppError::Unknown(title()))) };
        match self.apps[at].state() {
            AppState::Loaded => {}
            AppState::Stopping => return Ok(Err(AppError::Stopping(title()))),
            AppState::Initializing | AppState::Running => return Ok(Err(AppError::Running(title()))),
        }
        let app = self.apps.remove(at);
        let shard = cx.shard();
        shard.node().apps().hide(&app.name);
        shard.node().apps().release(app.symbol);
        shard.node().log().set_application_level(app.symbol, None);
        shard.kill(app.runner);
        Self::publish(CoreEvent::AppUnloaded { name: app.name.as_ref().into() }, cx);
        Ok(Ok(()))
    }

    fn change(&mut self, m: Change, cx: &mut Context<'_>) -> Result<Asked, crate::ActorError> {
        let (Change::Weight(name, _) | Change::AddTag(name, _) | Change::RemoveTag(name, _)) = &m;
        let Some(at) = self.find(name) else { return Ok(Err(AppError::Unknown(name.as_ref().into()))) };
        let spec = &mut self.apps[at].spec;
        match m {
            Change::Weight(_, weight) => spec.weight = weight.max(1),
            Change::AddTag(_, tag) => {
                if !spec.tags.contains(&tag) {
                    spec.tags.push(tag);
                }
            }
            Change::RemoveTag(_, tag) => spec.tags.retain(|own| *own != tag),
        }
        self.show(at, cx);
        Ok(Ok(()))
    }

    fn session(&mut self, m: NodeSession, cx: &mut Context<'_>) -> ActorResult {
        let name = m.name;
        let event =
            if m.is_up { CoreEvent::NodeConnected { name } } else { CoreEvent::NodeDisconnected { name } };
        Self::publish(event, cx);
        Ok(())
    }

    pub(super) fn log(cx: &Context<'_>, name: &Arc<str>, level: LogLevel, text: impl FnOnce() -> String) {
        let writer = || Writer::Application { name: Arc::clone(name) };
        cx.shard().node().log().of(level, writer, text);
    }
}

/// On the steward's shard.
impl Shard {
    /// Posts a message to the steward, if this is its shard.
    pub(crate) fn post_steward<M: crate::Message>(&self, message: M) {
        if let Some(record) = self.live_record(STEWARD).filter(|_| self.index() == 0) {
            self.post_system(record, crate::Priority::Max.queue(), message);
        }
    }
}

impl Actor for Steward {
    const BEHAVIOR: &'static str = "shard.Steward";
    const KIND: &'static str = "system";
    const TYPES: &'static [&'static Vtable] = &[
        vtable::<ExitSignal>(),
        vtable::<Begun>(),
        vtable::<Emptied>(),
        vtable::<Due>(),
        vtable::<Response<RunHook>>(),
        vtable::<Load>(),
        vtable::<Start>(),
        vtable::<Stop>(),
        vtable::<Unload>(),
        vtable::<Change>(),
        vtable::<NodeSession>(),
    ];
    const HAS_INIT: bool = false;
    const HAS_TERMINATE: bool = false;

    fn dispatch(mut batch: Batch<'_, Self>) -> Closed<'_> {
        while let Some(mut envelope) = batch.next() {
            let exit = loop {
                break if envelope.is::<ExitSignal>() {
                    batch.plain::<ExitSignal>(envelope, Self::exited)
                } else if envelope.is::<Begun>() {
                    batch.plain::<Begun>(envelope, Self::begun)
                } else if envelope.is::<Emptied>() {
                    batch.plain::<Emptied>(envelope, Self::emptied)
                } else if envelope.is::<Due>() {
                    batch.plain::<Due>(envelope, Self::due)
                } else if envelope.is::<Response<RunHook>>() {
                    batch.plain::<Response<RunHook>>(envelope, Self::hook_answered)
                } else if envelope.is::<Load>() {
                    batch.plain::<Load>(envelope, Self::load)
                } else if envelope.is::<Start>() {
                    batch.deferred::<Start>(envelope, Self::start)
                } else if envelope.is::<Stop>() {
                    batch.deferred::<Stop>(envelope, Self::stop)
                } else if envelope.is::<Unload>() {
                    batch.plain::<Unload>(envelope, Self::unload)
                } else if envelope.is::<Change>() {
                    batch.plain::<Change>(envelope, Self::change)
                } else if envelope.is::<NodeSession>() {
                    batch.plain::<NodeSession>(envelope, Self::session)
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
        batch.close(Exit::Continue)
    }

    fn terminate(batch: Batch<'_, Self>) -> Closed<'_> {
        batch.close(Exit::Continue)
    }
}
