//! What the end of a child, or the failure of its start, means.
//!
//! A failed start is an end: it counts as a restart attempt and is decided by the same rules. Only two are different: the
//! first start of a child while the supervisor comes up, which fails the supervisor, and a start that answers a request.
//!
//! Reasons: a supervisor that ends because of a significant or of its last child ends with that child's reason; one that
//! used up a budget with `exceeded(limit, period, the child's reason)`, whatever its strategy and whoever else runs, also
//! when the child was only disabled for it and was the last one. The children it stops get the same reason.

use std::sync::Arc;
use std::time::Duration;

use super::child::State;
use super::event::{ChildId, Outcome};
use super::machine::{Machine, Stage, Timer, Turn};
use super::reason::{Process, Reason};
use super::spec::{OnExceed, Strategy};

impl<P: Process, R: Reason, A: Clone> Machine<P, R, A> {
    /// Whether the end of a child was part of something under way; if so, goes on with that.
    pub(super) fn absorbed(&mut self, id: ChildId, reason: &R, turn: &mut Turn<'_, P, R, A>) -> bool {
        let child = &self.children[&id];
        let leaving = child.terminating.is_some() || self.specs[&child.spec].leaving.is_some();
        match self.stage {
            Stage::ShuttingDown { .. } => {
                if leaving || self.spec.kind.is_simple() {
                    self.forget(id, turn);
                }
                self.continue_shutdown(turn);
                true
            }
            _ if leaving => {
                self.forget(id, turn);
                self.end_with_last_child(reason, turn);
                true
            }
            Stage::Stopping { position, .. } if id >= position => {
                self.continue_stop(turn);
                true
            }
            Stage::Created
            | Stage::Starting { .. }
            | Stage::Running
            | Stage::Stopping { .. }
            | Stage::Ended => false,
        }
    }

    /// Restarts a child, or the group, or not.
    pub(super) fn decide(&mut self, id: ChildId, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        let simple = self.spec.kind.is_simple();
        let spec = &self.specs[&self.children[&id].spec].spec;
        let restart = match spec.strategy.unwrap_or(self.spec.strategy) {
            Strategy::Transient => !reason.is_ordinary(),
            Strategy::Temporary => false,
            Strategy::Permanent => true,
        };
        if restart {
            self.spend(id, reason, turn);
        } else if simple {
            self.forget(id, turn);
        } else if spec.significant {
            self.shut_down(reason, turn);
        } else {
            self.end_with_last_child(reason, turn);
        }
    }

    /// Takes a restart from the budget that pays for it.
    fn spend(&mut self, id: ChildId, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        let spec_id = self.children[&id].spec;
        let spec = &self.specs[&spec_id].spec;
        let (own, on_exceed) = (spec.own_budget(), spec.on_exceed);
        let (limit, period) = own.unwrap_or((self.spec.intensity, self.spec.period));
        let window = if own.is_some() { &mut self.child_mut(id).window } else { &mut self.window };
        if !window.exceeds(turn.now, limit, period) {
            self.restart(id, reason, turn);
            return;
        }
        let exceeded = R::exceeded(limit, period, reason.clone());
        match on_exceed {
            OnExceed::TerminateSupervisor => self.shut_down(&exceeded, turn),
            OnExceed::Disable if self.spec.kind.is_simple() => self.forget(id, turn),
            OnExceed::Disable => {
                self.declared_mut(spec_id).disabled = true;
                self.child_mut(id).preserve = false;
                self.end_with_last_child(&exceeded, turn);
            }
        }
    }

    fn restart(&mut self, id: ChildId, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        let delay = self.delay(id, turn);
        let spec_id = self.children[&id].spec;
        let declared = self.declared_mut(spec_id);
        declared.restarts += 1;
        let preserve = declared.spec.preserve_mailbox && !reason.is_ordinary();
        let child = self.child_mut(id);
        child.restarts += 1;
        child.preserve |= preserve;
        let name = Arc::clone(&child.name);
        self.restarts += 1;
        self.history.push(turn.now, id, name, reason.clone());
        if self.spec.kind.is_group() {
            self.restart_group(id, reason, delay, turn);
        } else if delay.is_zero() {
            self.enqueue(id);
        } else {
            let timer = self.arm(delay, Timer::Restart(id), turn);
            self.set_state(id, State::Waiting { timer });
        }
    }

    /// How long this restart waits: longer with each one in a row.
    fn delay(&mut self, id: ChildId, turn: &Turn<'_, P, R, A>) -> Duration {
        let spec_id = self.children[&id].spec;
        let Some(backoff) = self.specs[&spec_id].spec.backoff.or(self.spec.backoff) else {
            return Duration::ZERO;
        };
        let child = self.child_mut(id);
        let up = Duration::from_nanos(turn.now.saturating_sub(child.started_at));
        if child.ever_started && !child.start_failed && up >= backoff.forgives_after() {
            child.attempts = 0;
        }
        child.attempts = child.attempts.saturating_add(1);
        backoff.delay(child.attempts, turn.random)
    }

    /// Ends the supervisor if it does so with its last child, and that is the one that has just ended.
    pub(super) fn end_with_last_child(&mut self, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        if self.spec.ends_with_last_child() && self.children.values().all(|child| child.is_idle()) {
            self.shut_down(reason, turn);
        }
    }

    /// Lets go of a child that has ended for good: an instance is forgotten, and whoever waited for the end is answered.
    pub(super) fn forget(&mut self, id: ChildId, turn: &mut Turn<'_, P, R, A>) {
        let simple = self.spec.kind.is_simple();
        let child = self.child_mut(id);
        child.preserve = false;
        let (spec, terminating) = (child.spec, child.terminating.take());
        if let Some(request) = terminating {
            turn.reply(request, Ok(Outcome::Done));
        }
        if simple {
            self.children.remove(&id);
            self.declared_mut(spec).instances -= 1;
        }
        self.answer_leaving(spec, turn);
    }
}
