//! How an application starts: `init`, its members one after the other, then it runs.

use crate::actor::{Context, ExitSignal, ReplyTo};
use crate::app::desk::{Asked, Start};
use crate::app::hooks::{Hook, HookEnd};
use crate::app::spec::Birth;
use crate::app::steward::{Begun, Phase, STEWARD, Steward};
use crate::app::{AppMode, AppState, CoreEvent};
use crate::error::{ActorResult, AppError, ExitReason, SpawnError};
use crate::shard::{LogLevel, Shard};

impl Steward {
    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    pub(super) fn start(&mut self, m: Start, reply: ReplyTo<Asked>, cx: &mut Context<'_>) -> ActorResult {
        let title = || Box::<str>::from(&*m.name);
        let refused = match self.find(&m.name) {
            None => AppError::Unknown(title()),
            Some(at) => match self.may_start(at, cx) {
                Err(error) => error,
                Ok(()) => {
                    let app = &mut self.apps[at];
                    app.mode = m.mode.unwrap_or(app.spec.mode);
                    app.attempts = 0;
                    app.starters.push(reply);
                    self.begin(at, cx);
                    return Ok(());
                }
            },
        };
        reply.send(Err(refused));
        Ok(())
    }

    fn may_start(&self, at: usize, cx: &Context<'_>) -> Result<(), AppError> {
        let app = &self.apps[at];
        match app.state() {
            AppState::Loaded => {}
            AppState::Initializing | AppState::Running => return Err(AppError::Running(app.title())),
            AppState::Stopping => return Err(AppError::Stopping(app.title())),
        }
        if cx.shard().node().is_stopping() {
            return Err(AppError::NodeStopping);
        }
        if app.spec.needs_network && !cx.shard().node().is_networked() {
            return Err(AppError::NeedsNetwork(app.title()));
        }
        for on in &app.spec.depends {
            let runs = self.find(on).is_some_and(|at| self.apps[at].phase == Phase::Running);
            if !runs {
                let (application, on) = (app.title(), on.clone());
                return Err(AppError::Depends { application, on, must_be: "running" });
            }
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, at: usize, cx: &mut Context<'_>) {
        self.starts += 1;
        let app = &mut self.apps[at];
        app.run += 1;
        app.started = self.starts;
        app.phase = Phase::Init;
        app.reason = ExitReason::Normal;
        app.has_failed = false;
        app.start_error = None;
        app.members.clear();
        app.told.clear();
        cx.shard().node().apps().set_closed(app.symbol, false);
        self.show(at, cx);
        self.run_hook(at, Hook::Init, cx);
    }

    /// A hook has ended: the next step of a start or a stop.
    pub(super) fn hook_ended(&mut self, at: usize, end: HookEnd, cx: &mut Context<'_>) {
        match self.apps[at].phase {
            Phase::Init => self.init_ended(at, end, cx),
            Phase::Draining => self.end_members(at, cx),
            Phase::Terminating => self.ended(at, cx),
            // `start` is not waited for, and may outlast the run.
            _ => {}
        }
    }

    fn init_ended(&mut self, at: usize, end: HookEnd, cx: &mut Context<'_>) {
        let app = &self.apps[at];
        let (application, limit) = (app.title(), app.spec.init_timeout);
        let error = match end {
            HookEnd::Done => return self.spawn_member(at, 0, cx),
            HookEnd::Failed(reason) => AppError::Init { application, reason },
            HookEnd::Late => AppError::InitTimeout { application, limit },
            HookEnd::Cut => AppError::Interrupted(application),
        };
        // What `init` itself has spawned.
        let app = &mut self.apps[at];
        app.reason = ExitReason::custom(error.clone());
        app.start_error = Some(error);
        let is_empty = cx.shard().node().apps().processes(app.symbol) == 0;
        cx.shard().node().apps().set_closed(app.symbol, true);
        if is_empty {
            return self.ended(at, cx);
        }
        self.kill_all(at, cx);
    }

    fn spawn_member(&mut self, at: usize, member: usize, cx: &mut Context<'_>) {
        let app = &mut self.apps[at];
        let Some(declared) = app.spec.members.get(member).cloned() else { return self.runs(at, cx) };
        app.phase = Phase::Members(member);
        let (symbol, run) = (app.symbol, app.run);
        let shard = cx.shard();
        let env = shard.node().env().overlaid_by(&app.spec.env);
        let told = Box::new(move |home: &Shard, outcome| {
            home.post_steward(Begun { symbol, run, member, outcome });
        });
        (declared.make)(shard, &declared.options, Birth { application: symbol, env, told });
    }

    pub(super) fn begun(&mut self, m: Begun, cx: &mut Context<'_>) -> ActorResult {
        let at = self.find_symbol(m.symbol);
        let current =
            at.filter(|at| self.apps[*at].run == m.run && self.apps[*at].phase == Phase::Members(m.member));
        let Some(at) = current else {
            // Its application is being stopped, or has gone.
            if let Ok(pid) = m.outcome {
                cx.kill(pid);
            }
            return Ok(());
        };
        match m.outcome {
            Ok(pid) => {
                self.apps[at].members.push((m.member, pid));
                self.show(at, cx);
                self.spawn_member(at, m.member + 1, cx);
            }
            Err(error) => {
                let reason = match error {
                    SpawnError::Init { reason } => reason,
                    error => ExitReason::custom(error),
                };
                self.start_failed(at, m.member, reason, cx);
            }
        }
        Ok(())
    }

    /// A member did not start, or ended too early: those that run are killed.
    pub(super) fn start_failed(
        &mut self,
        at: usize,
        member: usize,
        reason: ExitReason,
        cx: &mut Context<'_>,
    ) {
        let app = &mut self.apps[at];
        let named = app.spec.members.get(member).and_then(|member| member.options.name_text());
        let named = named.map_or_else(|| member.to_string().into(), Box::<str>::from);
        let error = AppError::Member { application: app.title(), member: named, reason: reason.clone() };
        app.start_error = Some(error);
        app.has_failed = true;
        self.close(at, reason, cx);
        self.kill_all(at, cx);
    }

    fn runs(&mut self, at: usize, cx: &mut Context<'_>) {
        let app = &mut self.apps[at];
        app.phase = Phase::Running;
        app.starts += 1;
        app.since = cx.shard().clock().ticks();
        let (name, mode) = (app.name.as_ref().to_owned(), app.mode.name().to_owned());
        let starters = std::mem::take(&mut app.starters);
        self.show(at, cx);
        Self::log(cx, &self.apps[at].name, LogLevel::Info, || format!("application {name} runs ({mode})"));
        Self::publish(CoreEvent::AppStarted { name, mode }, cx);
        for starter in starters {
            starter.send(Ok(()));
        }
        self.run_hook(at, Hook::Start, cx);
        if self.apps[at].phase == Phase::Running && self.apps[at].members.is_empty() {
            // All have ended while others were starting.
            self.end_by_itself(at, ExitReason::Normal, cx);
        }
    }

    /// A member has ended: its exit comes after word of its start.
    pub(super) fn exited(&mut self, m: ExitSignal, cx: &mut Context<'_>) -> ActorResult {
        let Some(pid) = m.pid() else { return Ok(()) };
        let holds = |app: &super::steward::App| app.members.iter().position(|(_, member)| *member == pid);
        let found = self.apps.iter().enumerate().find_map(|(at, app)| Some((at, holds(app)?)));
        let Some((at, place)) = found else { return Ok(()) };
        let app = &mut self.apps[at];
        let (member, _) = app.members.remove(place);
        let (phase, mode, is_last) = (app.phase, app.mode, app.members.is_empty());
        self.show(at, cx);
        let is_fatal = match mode {
            AppMode::Temporary => false,
            AppMode::Transient => !m.reason.is_ordinary(),
            AppMode::Permanent => true,
        };
        match phase {
            Phase::Members(_) if is_fatal => self.start_failed(at, member, m.reason, cx),
            Phase::Running if is_fatal => self.end_by_itself(at, m.reason, cx),
            Phase::Running if is_last => self.end_by_itself(at, ExitReason::Normal, cx),
            Phase::Exiting => self.exit_next(at, cx),
            _ => {}
        }
        Ok(())
    }

    fn end_by_itself(&mut self, at: usize, reason: ExitReason, cx: &mut Context<'_>) {
        self.apps[at].has_failed = true;
        self.close(at, reason, cx);
        self.end_members(at, cx);
    }
}

/// Where a member is born.
impl Shard {
    /// Starts a member of an application on the shard that its options say, watched by the steward from its birth.
    pub(crate) fn spawn_member<A: crate::Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: crate::SpawnOptions,
        birth: Birth,
    ) {
        let Birth { application, env, told } = birth;
        let target = match self.place(options.placement()) {
            Ok(target) => target,
            Err(error) => return told(self, Err(error)),
        };
        self.tell(target, move |shard| {
            let origin = crate::shard::Origin::member(application, env);
            shard.spawn_as_told(factory, &options, origin, move |shard, outcome| {
                let born = outcome.as_ref().ok().map(|pid| pid.local.0);
                shard.tell(0, move |home| {
                    if let Some(born) = born {
                        home.adopt_link(STEWARD, born);
                    }
                    told(home, outcome);
                });
                // Word of its start goes first, so that its end cannot come before it.
                if let Some(born) = born {
                    shard.watch_for(STEWARD, born);
                }
            });
        });
    }
}
