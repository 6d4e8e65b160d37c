//! All for one and rest for one: several children are stopped, then started again in order.
//!
//! A group restart concerns every enabled child from its position on: the first child, or the failed one. What ends
//! there meanwhile is part of it, whatever its reason. A child before the position is judged as at any time; if it is to
//! be restarted, the position moves down to it. All enabled children from the position on are started, also those that
//! had ended for good earlier.

use std::time::Duration;

use super::event::ChildId;
use super::machine::{Machine, Stage, Timer, Turn};
use super::reason::{Process, Reason};
use super::spec::SupervisorType;

impl<P: Process, R: Reason, A: Clone> Machine<P, R, A> {
    /// Restarts the group because of a child's end; joins a group restart under way.
    pub(super) fn restart_group(
        &mut self,
        failed: ChildId,
        reason: &R,
        delay: Duration,
        turn: &mut Turn<'_, P, R, A>,
    ) {
        let (mut position, mut delay) = (failed, delay);
        if self.spec.kind == SupervisorType::AllForOne {
            position = ChildId(0);
        }
        match self.stage {
            Stage::Stopping { position: before, delay: longer, .. } => {
                position = position.min(before);
                delay = delay.max(longer);
            }
            Stage::Starting { backoff } => self.disarm(backoff, turn),
            Stage::Created | Stage::Running | Stage::ShuttingDown { .. } | Stage::Ended => {}
        }
        self.stage = Stage::Stopping { position, reason: reason.clone(), delay };
        self.continue_stop(turn);
    }

    /// Stops the next child or all of them, or begins to start when all have ended.
    pub(super) fn continue_stop(&mut self, turn: &mut Turn<'_, P, R, A>) {
        let Stage::Stopping { position, reason, delay } = &self.stage else { return };
        let (position, reason, delay) = (*position, reason.clone(), *delay);
        let concerned = self.concerned(position);
        let mut waits = concerned.iter().any(|id| self.children[id].is_stopping());
        let targets = concerned.iter().rev().filter(|id| self.children[id].can_be_stopped());
        let targets: Vec<_> = if self.spec.keep_order {
            targets.take(usize::from(!waits)).copied().collect()
        } else {
            targets.copied().collect()
        };
        for id in targets {
            self.stop_child(id, &reason, turn);
            waits = true;
        }
        if waits {
            return;
        }
        for id in concerned {
            if self.children[&id].is_idle() {
                self.enqueue(id);
            }
        }
        let backoff = (!delay.is_zero()).then(|| self.arm(delay, Timer::Group, turn));
        self.stage = Stage::Starting { backoff };
    }

    /// The enabled children from `position` on, in order.
    fn concerned(&self, position: ChildId) -> Vec<ChildId> {
        let enabled = self.children.range(position..).filter(|(_, child)| !self.specs[&child.spec].disabled);
        enabled.map(|(&id, _)| id).collect()
    }
}
