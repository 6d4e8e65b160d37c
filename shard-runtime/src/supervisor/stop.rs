//! How children are made to end, and how the supervisor does.
//!
//! Order: a supervisor that ends stops its children one after the other, the last declared first, each after the one
//! before it has ended. Instances have no order: they are all stopped at once.

use super::child::{State, Stop};
use super::error::SupervisorError;
use super::event::{Action, ChildId, Token};
use super::machine::{Machine, Stage, Timer, Turn};
use super::reason::{Process, Reason};
use super::spec::Shutdown;

impl<P: Process, R: Reason, A: Clone> Machine<P, R, A> {
    /// Makes a child end by its own rule. One that has no process yet loses its turn; one that is being started is
    /// stopped as soon as it is up, and its start is aborted when that takes longer than a stop may.
    pub(super) fn stop_child(&mut self, id: ChildId, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        match self.children[&id].state {
            State::Idle | State::Stopping { .. } | State::Starting { stop: Some(_) } => {}
            State::Queued { .. } | State::Waiting { .. } => self.call_off(id, turn),
            State::Starting { stop: None } => {
                let timer = self.begin_stop(id, Action::AbortStart { child: id }, None, turn);
                self.set_state(id, State::Starting { stop: Some(Stop { reason: reason.clone(), timer }) });
            }
            State::Running { pid } => {
                let exit = Action::Exit { pid, reason: reason.clone() };
                let timer = self.begin_stop(id, Action::Kill { pid }, Some(exit), turn);
                self.set_state(id, State::Stopping { pid, timer });
            }
        }
    }

    /// Sends what a child's shutdown rule says, and arms the timer after which it is forced.
    fn begin_stop(
        &mut self,
        id: ChildId,
        force: Action<P, R, A>,
        ask: Option<Action<P, R, A>>,
        turn: &mut Turn<'_, P, R, A>,
    ) -> Option<Token> {
        let shutdown = self.specs[&self.children[&id].spec].spec.shutdown.unwrap_or_default();
        if shutdown == Shutdown::Kill {
            turn.act(force);
            return None;
        }
        turn.out.extend(ask);
        match shutdown {
            Shutdown::Graceful(after) => Some(self.arm(after, Timer::Stop(id), turn)),
            Shutdown::Kill | Shutdown::Infinity => None,
        }
    }

    /// A child had its time to end.
    pub(super) fn on_stop_timer(&mut self, id: ChildId, turn: &mut Turn<'_, P, R, A>) {
        match &mut self.child_mut(id).state {
            State::Stopping { pid, timer } => {
                *timer = None;
                turn.act(Action::Kill { pid: *pid });
            }
            State::Starting { stop: Some(stop) } => {
                stop.timer = None;
                turn.act(Action::AbortStart { child: id });
            }
            State::Idle
            | State::Queued { .. }
            | State::Starting { stop: None }
            | State::Running { .. }
            | State::Waiting { .. } => {}
        }
    }

    /// Takes a start back that has not begun.
    pub(super) fn call_off(&mut self, id: ChildId, turn: &mut Turn<'_, P, R, A>) {
        match self.set_state(id, State::Idle) {
            State::Queued { ticket } => {
                self.queue.remove(&ticket);
            }
            State::Waiting { timer } => self.disarm(Some(timer), turn),
            other => {
                self.set_state(id, other);
            }
        }
    }

    /// Refuses whoever waits for a child to come up that is not going to.
    pub(super) fn refuse_waiter(&mut self, id: ChildId, why: SupervisorError, turn: &mut Turn<'_, P, R, A>) {
        if let Some(waiter) = self.child_mut(id).waiter.take() {
            turn.reply(waiter.request, Err(why));
        }
    }

    /// Begins to end: no start begins any more, whoever waits for one is refused, all children are stopped. The first
    /// reason stands.
    pub(super) fn shut_down(&mut self, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        match self.stage {
            Stage::ShuttingDown { .. } | Stage::Ended => return,
            Stage::Starting { backoff } => self.disarm(backoff, turn),
            Stage::Created | Stage::Running | Stage::Stopping { .. } => {}
        }
        self.stage = Stage::ShuttingDown { reason: reason.clone() };
        let phase = self.phase();
        let all: Vec<_> = self.children.keys().copied().collect();
        for &id in &all {
            self.refuse_waiter(id, SupervisorError::StrategyActive { phase }, turn);
            self.call_off(id, turn);
            if self.spec.kind.is_simple() && self.children[&id].is_idle() {
                self.forget(id, turn);
            } else if self.spec.kind.is_simple() {
                self.stop_child(id, reason, turn);
            }
        }
        self.continue_shutdown(turn);
    }

    /// Stops the next child, or ends when none is left.
    pub(super) fn continue_shutdown(&mut self, turn: &mut Turn<'_, P, R, A>) {
        let Stage::ShuttingDown { reason } = &self.stage else { return };
        let reason = reason.clone();
        if self.spec.kind.is_simple() {
            if self.children.is_empty() {
                self.end(reason, turn);
            }
            return;
        }
        if self.children.values().any(|child| child.is_stopping()) {
            return;
        }
        let last = self.children.iter().rev().find(|(_, child)| child.can_be_stopped()).map(|(&id, _)| id);
        match last {
            Some(id) => self.stop_child(id, &reason, turn),
            None => self.end(reason, turn),
        }
    }

    fn end(&mut self, reason: R, turn: &mut Turn<'_, P, R, A>) {
        debug_assert!(self.by_pid.is_empty() && self.outstanding.is_none() && self.queue.is_empty());
        debug_assert!(self.timers.is_empty());
        self.stage = Stage::Ended;
        turn.act(Action::Terminate { reason });
    }
}
