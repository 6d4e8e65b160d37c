//! What an operator may ask of a running supervisor.
//!
//! One for one and simple one for one serve requests while single children are restarted; the group types refuse them
//! from the first stop to the last start. A request that starts a child is answered when it is up, one that takes children
//! away when they have ended.

use std::sync::Arc;

use super::child::{Child, Declared, Leaving, Origin, SpecId, State, Waiter};
use super::error::SupervisorError;
use super::event::{ChildId, Outcome, Phase, Request, RequestId};
use super::machine::{Machine, Stage, Turn};
use super::reason::{Process, Reason};
use super::spec::ChildSpec;

type Refused<T> = Result<T, SupervisorError>;

impl<P: Process, R: Reason, A: Clone> Machine<P, R, A> {
    pub(super) fn on_request(&mut self, id: RequestId, request: Request<A>, turn: &mut Turn<'_, P, R, A>) {
        let phase = self.phase();
        let done = if phase == Phase::Running {
            match request {
                Request::StartChild { name, args } => self.start_child(id, &name, args, turn),
                Request::AddChild { spec, args } => self.add_child(id, spec, args, turn),
                Request::RemoveChild { name } => self.take_away(id, &name, true, turn),
                Request::EnableChild { name } => self.enable_child(id, &name, turn),
                Request::DisableChild { name } => self.take_away(id, &name, false, turn),
                Request::TerminateInstance { child } => self.terminate_instance(id, child, turn),
            }
        } else {
            Err(SupervisorError::StrategyActive { phase })
        };
        if let Err(refusal) = done {
            turn.reply(id, Err(refusal));
        }
    }

    /// Adds a specification, and its child unless it is a template.
    pub(super) fn declare(&mut self, spec: ChildSpec, args: A) -> Refused<Option<ChildId>> {
        spec.validate(self.spec.kind)?;
        if self.specs.values().any(|declared| declared.spec.name == spec.name) {
            return Err(SupervisorError::ChildDuplicate { name: spec.name });
        }
        let id = SpecId(self.number());
        let child = (!self.spec.kind.is_simple()).then(|| ChildId(self.number()));
        if let Some(child) = child {
            self.children.insert(child, Child::new(id, Arc::clone(&spec.name), None));
        }
        let declared =
            Declared { spec, args, disabled: false, leaving: None, child, instances: 0, restarts: 0 };
        self.specs.insert(id, declared);
        Ok(child)
    }

    fn start_child(
        &mut self,
        request: RequestId,
        name: &Arc<str>,
        args: Option<A>,
        turn: &mut Turn<'_, P, R, A>,
    ) -> Refused<()> {
        let spec = self.steady(name)?;
        let declared = self.declared_mut(spec);
        if declared.disabled {
            return Err(SupervisorError::ChildDisabled { name: Arc::clone(name) });
        }
        let Some(id) = declared.child else {
            declared.instances += 1;
            let id = ChildId(self.number());
            self.children.insert(id, Child::new(spec, Arc::clone(name), args));
            self.start_for(request, id, Origin::Stopped, turn);
            return Ok(());
        };
        let origin = match self.children[&id].state {
            State::Idle => Origin::Stopped,
            State::Waiting { .. } => Origin::Restarting,
            State::Queued { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. } => {
                return Err(SupervisorError::ChildRunning { name: Arc::clone(name) });
            }
        };
        if let Some(args) = args {
            self.declared_mut(spec).args = args;
        }
        self.call_off(id, turn);
        self.start_for(request, id, origin, turn);
        Ok(())
    }

    fn add_child(
        &mut self,
        request: RequestId,
        spec: ChildSpec,
        args: A,
        turn: &mut Turn<'_, P, R, A>,
    ) -> Refused<()> {
        match self.declare(spec, args)? {
            Some(id) => self.start_for(request, id, Origin::Added, turn),
            None => turn.reply(request, Ok(Outcome::Done)),
        }
        Ok(())
    }

    fn enable_child(
        &mut self,
        request: RequestId,
        name: &Arc<str>,
        turn: &mut Turn<'_, P, R, A>,
    ) -> Refused<()> {
        let spec = self.steady(name)?;
        let declared = self.declared_mut(spec);
        let was_disabled = std::mem::replace(&mut declared.disabled, false);
        match declared.child {
            Some(id) if was_disabled => {
                let child = self.child_mut(id);
                child.window.clear();
                child.attempts = 0;
                self.start_for(request, id, Origin::Stopped, turn);
            }
            Some(_) | None => turn.reply(request, Ok(Outcome::Done)),
        }
        Ok(())
    }

    /// Disables a specification and stops its children; with `remove`, forgets it when they have ended.
    fn take_away(
        &mut self,
        request: RequestId,
        name: &Arc<str>,
        remove: bool,
        turn: &mut Turn<'_, P, R, A>,
    ) -> Refused<()> {
        let spec = self.steady(name)?;
        let declared = self.declared_mut(spec);
        declared.disabled = true;
        declared.leaving = Some(Leaving { request, remove });
        let children: Vec<_> = match declared.child {
            Some(child) => vec![child],
            None => self.children.iter().filter(|(_, child)| child.spec == spec).map(|(&id, _)| id).collect(),
        };
        for id in children {
            self.refuse_waiter(id, SupervisorError::ChildDisabled { name: Arc::clone(name) }, turn);
            self.stop_child(id, &R::shutdown(), turn);
            let child = self.child_mut(id);
            child.preserve &= !child.is_idle();
            if child.is_idle() && self.spec.kind.is_simple() {
                self.forget(id, turn);
            }
        }
        self.answer_leaving(spec, turn);
        self.end_with_last_child(&R::shutdown(), turn);
        Ok(())
    }

    fn terminate_instance(
        &mut self,
        request: RequestId,
        id: ChildId,
        turn: &mut Turn<'_, P, R, A>,
    ) -> Refused<()> {
        if !self.spec.kind.is_simple() {
            return Err(SupervisorError::NoInstances { kind: self.spec.kind });
        }
        let child = self.children.get_mut(&id).ok_or(SupervisorError::InstanceUnknown)?;
        if child.terminating.is_some() || self.specs[&child.spec].leaving.is_some() {
            return Err(SupervisorError::StrategyActive { phase: Phase::Running });
        }
        child.terminating = Some(request);
        self.refuse_waiter(id, SupervisorError::InstanceUnknown, turn);
        self.stop_child(id, &R::shutdown(), turn);
        if self.children[&id].is_idle() {
            self.forget(id, turn);
        }
        Ok(())
    }

    /// Starts an idle child for a request.
    fn start_for(&mut self, request: RequestId, id: ChildId, origin: Origin, turn: &mut Turn<'_, P, R, A>) {
        self.child_mut(id).waiter = Some(Waiter { request, origin });
        self.enqueue(id);
        if self.spec.kind.is_group() {
            self.stage = Stage::Starting { backoff: None };
        }
        self.start_next(turn);
    }

    /// Lets go of a child whose start for a request failed.
    pub(super) fn give_up(&mut self, id: ChildId, added: bool) {
        let spec = self.children[&id].spec;
        if self.spec.kind.is_simple() {
            self.children.remove(&id);
            self.declared_mut(spec).instances -= 1;
        } else if added {
            self.children.remove(&id);
            self.specs.remove(&spec);
        }
    }

    /// Answers the request that takes the children of a specification away, if none is left.
    pub(super) fn answer_leaving(&mut self, spec: SpecId, turn: &mut Turn<'_, P, R, A>) {
        let Some(declared) = self.specs.get(&spec) else { return };
        let gone = declared.instances == 0 && declared.child.is_none_or(|id| self.children[&id].is_idle());
        let Some(leaving) = declared.leaving.filter(|_| gone) else { return };
        self.declared_mut(spec).leaving = None;
        if leaving.remove
            && let Some(child) = self.specs.remove(&spec).and_then(|declared| declared.child)
        {
            self.children.remove(&child);
        }
        turn.reply(leaving.request, Ok(Outcome::Done));
    }

    /// The specification of this name, unless its children are being taken away.
    fn steady(&self, name: &Arc<str>) -> Refused<SpecId> {
        let found = self.specs.iter().find(|(_, declared)| declared.spec.name == *name);
        let (&id, declared) =
            found.ok_or_else(|| SupervisorError::ChildUnknown { name: Arc::clone(name) })?;
        if declared.leaving.is_some() {
            return Err(SupervisorError::StrategyActive { phase: Phase::Running });
        }
        Ok(id)
    }
}
