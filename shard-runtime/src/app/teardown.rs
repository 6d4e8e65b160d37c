//! How an application ends: drain, members in reverse order, what they left behind, `terminate`.

use crate::actor::{Context, ReplyTo};
use crate::app::desk::{Asked, Stop};
use crate::app::hooks::Hook;
use crate::app::steward::{Alarm, Due, Emptied, Phase, Steward};
use crate::app::{AppFailure, AppMode, AppState, CoreEvent};
use crate::error::{ActorResult, AppError, ExitReason};
use crate::shard::LogLevel;
use crate::stats::Reader;
use shard_wire::{LocalId, Pid};
use std::sync::Arc;
use std::time::Duration;

/// How long killed processes have before the application is given up as ended without them.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked who is left.
const SWEEP: Duration = Duration::from_millis(100);
/// Processes that are named in one line of the log.
const NAMED: usize = 10;

impl Steward {
    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    pub(super) fn stop(&mut self, m: Stop, reply: ReplyTo<Asked>, cx: &mut Context<'_>) -> ActorResult {
        let title = || Box::<str>::from(&*m.name);
        let Some(at) = self.find(&m.name) else {
            reply.send(Err(AppError::Unknown(title())));
            return Ok(());
        };
        let needed_by = self.apps.iter().find(|other| {
            other.phase == Phase::Running && other.spec.depends.iter().any(|on| **on == *m.name)
        });
        if let Some(by) = needed_by.filter(|_| !m.force && !m.with_all) {
            let by = by.title();
            reply.send(Err(AppError::NeededBy { application: title(), by }));
            return Ok(());
        }
        let app = &mut self.apps[at];
        // No restart by the failure policy from here on.
        app.has_failed = false;
        match app.state() {
            AppState::Loaded => {
                app.run += 1;
                reply.send(Err(AppError::NotRunning(title())));
                return Ok(());
            }
            AppState::Initializing => app.start_error = Some(AppError::Interrupted(title())),
            AppState::Running | AppState::Stopping => {}
        }
        app.stoppers.push(reply);
        match (app.phase, m.force) {
            // Its end is noticed like any other.
            (Phase::Init, _) => app.cut.cut(),
            (Phase::Members(_), _) => {
                self.close(at, ExitReason::Shutdown, cx);
                self.kill_all(at, cx);
            }
            (Phase::Running, false) => {
                self.close(at, ExitReason::Shutdown, cx);
                self.apps[at].phase = Phase::Draining;
                self.run_hook(at, Hook::Stop, cx);
            }
            (Phase::Running, true) => {
                self.close(at, ExitReason::Kill, cx);
                self.kill_all(at, cx);
            }
            (Phase::Draining | Phase::Exiting | Phase::Orphans, true) => self.kill_all(at, cx),
            (Phase::Terminating, true) => app.cut.cut(),
            _ => {}
        }
        Ok(())
    }

    /// No spawns any more, and everybody is told that it stops.
    pub(super) fn close(&mut self, at: usize, reason: ExitReason, cx: &Context<'_>) {
        let app = &mut self.apps[at];
        cx.shard().node().apps().set_closed(app.symbol, true);
        let (name, text) = (app.name.as_ref().to_owned(), reason.to_string());
        app.reason = reason;
        app.phase = Phase::Exiting;
        // A `start` hook that still runs would hold up those that come.
        app.cut.cut();
        self.show(at, cx);
        Self::publish(CoreEvent::AppStopping { name, reason: text }, cx);
    }

    /// Tells the members to end, the last one first; what is left when the time is up is killed.
    pub(super) fn end_members(&mut self, at: usize, cx: &mut Context<'_>) {
        self.apps[at].phase = Phase::Exiting;
        self.alarm(at, Alarm::StopTimeout, self.apps[at].spec.stop_timeout, cx);
        self.exit_next(at, cx);
    }

    pub(super) fn exit_next(&mut self, at: usize, cx: &mut Context<'_>) {
        let Some((_, last)) = self.apps[at].members.last().copied() else {
            self.apps[at].phase = Phase::Orphans;
            return self.sweep(at, cx);
        };
        let shard = cx.shard();
        // From its parent, the node's core process, so that it is not trapped. One that has gone has told so, or is about to.
        let _gone = shard.speaking_as(LocalId::CORE.0, || shard.send_exit(last, ExitReason::Shutdown));
    }

    pub(super) fn kill_all(&mut self, at: usize, cx: &mut Context<'_>) {
        let app = &mut self.apps[at];
        app.phase = Phase::Killing;
        app.cut.cut();
        for (_, pid) in &app.members {
            cx.kill(*pid);
        }
        self.alarm(at, Alarm::KillTimeout, KILL_LIMIT, cx);
        self.sweep(at, cx);
    }

    /// Deals with what is left, or goes on if nothing is.
    fn sweep(&mut self, at: usize, cx: &mut Context<'_>) {
        let app = &mut self.apps[at];
        let (symbol, kills) = (app.symbol, app.phase == Phase::Killing);
        let shard = cx.shard();
        if shard.node().apps().processes(symbol) == 0 {
            return self.terminate_app(at, cx);
        }
        let mut left = left_of(cx, symbol);
        if kills {
            for (pid, _) in &left {
                shard.kill(*pid);
            }
        } else {
            left.retain(|(pid, _)| app.told.insert(pid.local.0));
            for (pid, _) in &left {
                let _gone =
                    shard.speaking_as(LocalId::CORE.0, || shard.send_exit(*pid, ExitReason::Shutdown));
            }
        }
        if !kills && !left.is_empty() {
            let name = Arc::clone(&app.name);
            Self::log(cx, &name, LogLevel::Warning, || {
                format!(
                    "application {name}: its members have ended and left processes behind, which are told to end: {}",
                    named(&left)
                )
            });
        }
        self.alarm(at, Alarm::Sweep, SWEEP, cx);
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    pub(super) fn emptied(&mut self, m: Emptied, cx: &mut Context<'_>) -> ActorResult {
        if let Some(at) = self.find_symbol(m.0)
            && matches!(self.apps[at].phase, Phase::Orphans | Phase::Killing)
        {
            self.sweep(at, cx);
        }
        Ok(())
    }

    pub(super) fn due(&mut self, m: Due, cx: &mut Context<'_>) -> ActorResult {
        let at = self.find_symbol(m.symbol).filter(|at| self.apps[*at].run == m.run);
        let Some(at) = at else { return Ok(()) };
        let app = &self.apps[at];
        match (m.what, app.phase) {
            (Alarm::StopTimeout, Phase::Exiting | Phase::Orphans) => {
                let (name, limit, symbol) = (Arc::clone(&app.name), app.spec.stop_timeout, app.symbol);
                Self::log(cx, &name, LogLevel::Error, || {
                    let left = left_of(cx, symbol);
                    format!(
                        "application {name}: {} did not end within {limit:?} and are killed: {}",
                        left.len(),
                        named(&left)
                    )
                });
                self.kill_all(at, cx);
            }
            (Alarm::KillTimeout, Phase::Killing) => {
                let (name, symbol) = (Arc::clone(&app.name), app.symbol);
                Self::log(cx, &name, LogLevel::Error, || {
                    let left = left_of(cx, symbol);
                    format!(
                        "application {name}: {} were killed and have not returned; going on without them: {}",
                        left.len(),
                        named(&left)
                    )
                });
                self.terminate_app(at, cx);
            }
            (Alarm::Sweep, Phase::Orphans | Phase::Killing) => self.sweep(at, cx),
            (Alarm::Restart, Phase::Loaded) if !cx.shard().node().is_stopping() => self.begin(at, cx),
            _ => {}
        }
        Ok(())
    }

    fn terminate_app(&mut self, at: usize, cx: &mut Context<'_>) {
        let app = &mut self.apps[at];
        app.members.clear();
        if matches!(app.start_error, Some(AppError::Init { .. } | AppError::InitTimeout { .. })) {
            // `init` failed: there is nothing to release.
            return self.ended(at, cx);
        }
        app.phase = Phase::Terminating;
        let reason = app.reason.clone();
        self.show(at, cx);
        self.run_hook(at, Hook::Terminate(reason), cx);
    }

    /// Nothing of it is left: it is loaded again.
    pub(super) fn ended(&mut self, at: usize, cx: &mut Context<'_>) {
        let app = &mut self.apps[at];
        app.phase = Phase::Loaded;
        app.run += 1;
        let ran = app.since > 0;
        let ran_for = cx.shard().clock().ticks().saturating_sub(app.since);
        app.since = 0;
        app.last_reason = Some(app.reason.to_string().into());
        let (name, mode) = (app.name.as_ref().to_owned(), app.mode.name().to_owned());
        let reason = app.reason.to_string();
        let (starters, stoppers) = (std::mem::take(&mut app.starters), std::mem::take(&mut app.stoppers));
        let error = app.start_error.take();
        let failed = (app.has_failed && app.mode == AppMode::Permanent).then(|| app.reason.clone());
        // Who waits for the first start decides what comes of its failure.
        let is_told = !starters.is_empty();
        self.show(at, cx);
        Self::log(cx, &self.apps[at].name, LogLevel::Info, || {
            format!("application {name} has ended: {reason}")
        });
        Self::publish(CoreEvent::AppStopped { name, mode, reason }, cx);
        for starter in starters {
            starter.send(Err(error.clone().unwrap_or_else(|| AppError::Interrupted(self.apps[at].title()))));
        }
        for stopper in stoppers {
            stopper.send(Ok(()));
        }
        if !is_told && (failed.is_some() || error.is_some() && self.apps[at].attempts > 0) {
            let reason = failed.unwrap_or_else(|| self.apps[at].reason.clone());
            self.apply_policy(at, reason, ran.then_some(ran_for), cx);
        }
    }

    fn apply_policy(&mut self, at: usize, reason: ExitReason, ran_for: Option<u64>, cx: &Context<'_>) {
        let name = Arc::clone(&self.apps[at].name);
        let shard = cx.shard();
        match self.on_failure {
            _ if shard.node().is_stopping() => {}
            AppFailure::Ignore => Self::log(cx, &name, LogLevel::Error, || {
                format!("the permanent application {name} ended: {reason}; the node goes on without it")
            }),
            AppFailure::StopNode => {
                Self::log(cx, &name, LogLevel::Error, || {
                    format!("the permanent application {name} ended: {reason}; the node stops")
                });
                shard.node().app_failed(&name, reason);
            }
            AppFailure::Restart(backoff) => {
                let app = &mut self.apps[at];
                let forgiven = shard.ticks(backoff.forgives_after());
                let is_fresh = ran_for.is_some_and(|ran_for| ran_for >= forgiven);
                app.attempts = if is_fresh { 1 } else { app.attempts.saturating_add(1) };
                let wait = backoff.delay(app.attempts, shard.random());
                Self::log(cx, &name, LogLevel::Error, || {
                    format!(
                        "the permanent application {name} ended: {reason}; it is started again in {wait:?}"
                    )
                });
                self.alarm(at, Alarm::Restart, wait, cx);
            }
        }
    }
}

/// Processes of an application, with their behaviours.
fn left_of(cx: &Context<'_>, symbol: u32) -> Vec<(Pid, &'static str)> {
    let shard = cx.shard();
    let mut left = Vec::new();
    Reader::new(Arc::clone(shard.node())).processes(|process| {
        if process.application == symbol {
            left.push((shard.pid(process.id.0), process.behavior));
        }
        true
    });
    left
}

fn named(left: &[(Pid, &'static str)]) -> String {
    let mut text: Vec<_> =
        left.iter().take(NAMED).map(|(pid, behavior)| format!("{} ({behavior})", pid.local.0)).collect();
    if left.len() > NAMED {
        text.push(format!("and {} more", left.len() - NAMED));
    }
    text.join(", ")
}
