//! The machine: its state, its beginning, and the way of each event. The decisions are in the files beside it.
//!
//! Invariants: M1 a child is in `queue` exactly while it is queued, and `outstanding` exactly while it is starting.
//! M2 `by_pid` holds the running and the stopping children. M3 an armed timer is in `timers` until it is due or cancelled.
//! M4 a running supervisor that ends with its last child has a child that is not idle.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::child::{Child, Declared, Origin, SpecId, State, Stop};
use super::error::{InvalidSpec, SupervisorError};
use super::event::{Action, ChildId, Event, Outcome, Phase, RequestId, Token};
use super::intensity::Window;
use super::reason::{Process, Reason};
use super::snapshot::History;
use super::spec::{ChildSpec, SupervisorSpec};

/// The restart algorithm of one supervisor. `P` names a process, `R` is why one ended, `A` is what makes one.
#[derive(Debug)]
pub(crate) struct Machine<P, R, A> {
    pub(super) spec: SupervisorSpec,
    pub(super) specs: BTreeMap<SpecId, Declared<A>>,
    pub(super) children: BTreeMap<ChildId, Child<P, R, A>>,
    pub(super) by_pid: HashMap<P, ChildId>,
    /// Who is started next: by ticket, which is the child's number in a group and the order of asking otherwise.
    pub(super) queue: BTreeMap<u64, ChildId>,
    pub(super) outstanding: Option<ChildId>,
    pub(super) stage: Stage<R>,
    pub(super) timers: HashMap<Token, Timer>,
    pub(super) window: Window,
    pub(super) ready: bool,
    pub(super) restarts: u64,
    pub(super) history: History<R>,
    pub(super) next_number: u64,
}

/// The phase, with what it must remember.
#[derive(Debug)]
pub(super) enum Stage<R> {
    Created,
    /// With a back-off, nothing is started before it is over.
    Starting {
        backoff: Option<Token>,
    },
    Running,
    /// All enabled children from `position` on end with `reason`, then start after `delay`.
    Stopping {
        position: ChildId,
        reason: R,
        delay: Duration,
    },
    ShuttingDown {
        reason: R,
    },
    Ended,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// The child's time to end, or to come up before it ends, is over.
    Stop(ChildId),
    /// The child's back-off is over.
    Restart(ChildId),
    /// The group's back-off is over.
    Group,
}

/// One event's surroundings: when it happens, its randomness, and where its actions go.
#[derive(Debug)]
pub(super) struct Turn<'a, P, R, A> {
    pub(super) now: u64,
    pub(super) random: u64,
    pub(super) out: &'a mut Vec<Action<P, R, A>>,
}

impl<P, R, A> Turn<'_, P, R, A> {
    pub(super) fn act(&mut self, action: Action<P, R, A>) {
        self.out.push(action);
    }

    pub(super) fn reply(&mut self, request: RequestId, answer: Result<Outcome<P>, SupervisorError>) {
        self.out.push(Action::Reply { request, answer });
    }
}

impl<P: Process, R: Reason, A: Clone> Machine<P, R, A> {
    /// A machine that waits for [`Event::Init`].
    ///
    /// # Errors
    /// A specification that contradicts itself, a name that occurs twice, no children.
    pub(crate) fn new(
        spec: SupervisorSpec,
        children: impl IntoIterator<Item = (ChildSpec, A)>,
    ) -> Result<Self, SupervisorError> {
        spec.validate()?;
        let mut machine = Self {
            spec,
            specs: BTreeMap::new(),
            children: BTreeMap::new(),
            by_pid: HashMap::new(),
            queue: BTreeMap::new(),
            outstanding: None,
            stage: Stage::Created,
            timers: HashMap::new(),
            window: Window::default(),
            ready: false,
            restarts: 0,
            history: History::default(),
            next_number: 0,
        };
        for (child, args) in children {
            machine.declare(child, args)?;
        }
        if machine.specs.is_empty() {
            return Err(SupervisorSpec::invalid(InvalidSpec::NoChildren));
        }
        Ok(machine)
    }

    /// Takes one event at `now` (nanoseconds, never falling) and appends what is to be done to `out`. `random` spreads
    /// the back-off. After [`Action::Terminate`] only requests are answered, with a refusal.
    pub(crate) fn on(
        &mut self,
        event: Event<P, R, A>,
        now: u64,
        random: u64,
        out: &mut Vec<Action<P, R, A>>,
    ) {
        let turn = &mut Turn { now, random, out };
        match event {
            Event::Init => self.on_init(turn),
            Event::Started { child, pid } => self.on_started(child, pid, turn),
            Event::StartFailed { child, reason } => self.on_start_failed(child, &reason, turn),
            Event::Exited { pid, reason } => self.on_exited(pid, &reason, turn),
            Event::ForeignExit { reason } => self.shut_down(&reason, turn),
            Event::TimerDue { token } => self.on_timer(token, turn),
            Event::Request { id, request } => self.on_request(id, request, turn),
        }
    }

    /// The child whose process this is.
    pub(crate) fn child_of(&self, pid: P) -> Option<ChildId> {
        self.by_pid.get(&pid).copied()
    }

    /// Whether the mailbox that the child's last process left behind is still wanted. Otherwise it may be dropped.
    pub(crate) fn keeps_mailbox(&self, child: ChildId) -> bool {
        self.children.get(&child).is_some_and(|child| child.preserve)
    }

    /// The children's processes, also those that are to end.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (P, ChildId)> + '_ {
        self.by_pid.iter().map(|(pid, child)| (*pid, *child))
    }

    /// Whether the mailbox of a process of this child is worth keeping when it ends abnormally.
    pub(crate) fn may_preserve(&self, child: ChildId) -> bool {
        self.children.get(&child).is_some_and(|child| self.specs[&child.spec].spec.preserve_mailbox)
    }

    /// What makes this child: its own, or else its specification's.
    #[cfg(test)]
    pub(crate) fn args_of(&self, child: ChildId) -> Option<&A> {
        let child = self.children.get(&child)?;
        Some(child.args.as_ref().unwrap_or_else(|| &self.specs[&child.spec].args))
    }

    /// What the supervisor is doing.
    pub(crate) fn phase(&self) -> Phase {
        match self.stage {
            Stage::Created => Phase::Created,
            Stage::Starting { .. } => Phase::Starting,
            Stage::Running => Phase::Running,
            Stage::Stopping { .. } => Phase::Stopping,
            Stage::ShuttingDown { .. } => Phase::ShuttingDown,
            Stage::Ended => Phase::Ended,
        }
    }

    fn on_init(&mut self, turn: &mut Turn<'_, P, R, A>) {
        if !matches!(self.stage, Stage::Created) {
            return;
        }
        self.stage = Stage::Starting { backoff: None };
        let declared: Vec<_> = self.children.keys().copied().collect();
        for child in declared {
            self.enqueue(child);
        }
        self.start_next(turn);
    }

    fn on_started(&mut self, id: ChildId, pid: P, turn: &mut Turn<'_, P, R, A>) {
        if self.outstanding != Some(id) {
            return;
        }
        self.outstanding = None;
        self.by_pid.insert(pid, id);
        let notify = self.spec.handle_children;
        // A group restart will stop this process and start another: whoever waits is told of that one.
        let doomed = matches!(self.stage, Stage::Stopping { position, .. } if id >= position);
        let child = self.child_mut(id);
        child.started_at = turn.now;
        child.ever_started = true;
        child.start_failed = false;
        child.preserve = false;
        if notify {
            turn.act(Action::ChildStarted { child: id, name: Arc::clone(&child.name), pid });
        }
        let before = std::mem::replace(&mut child.state, State::Running { pid });
        match before {
            State::Starting { stop: Some(Stop { reason, timer }) } => {
                self.disarm(timer, turn);
                self.stop_child(id, &reason, turn);
            }
            _ if doomed => {}
            _ => {
                if let Some(waiter) = child.waiter.take() {
                    turn.reply(waiter.request, Ok(Outcome::Started { child: id, pid }));
                }
            }
        }
        self.start_next(turn);
    }

    fn on_start_failed(&mut self, id: ChildId, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        if self.outstanding != Some(id) {
            return;
        }
        self.outstanding = None;
        if let State::Starting { stop: Some(stop) } = self.set_state(id, State::Idle) {
            self.disarm(stop.timer, turn);
        }
        self.child_mut(id).start_failed = true;
        if !self.absorbed(id, reason, turn) {
            match self.child_mut(id).waiter.take() {
                Some(waiter) => {
                    let name = Arc::clone(&self.children[&id].name);
                    let failed = SupervisorError::StartFailed { name, reason: reason.to_string().into() };
                    turn.reply(waiter.request, Err(failed));
                    if waiter.origin == Origin::Restarting {
                        self.decide(id, reason, turn);
                    } else {
                        self.give_up(id, waiter.origin == Origin::Added);
                        self.end_with_last_child(reason, turn);
                    }
                }
                None if !self.ready && !self.children[&id].ever_started => self.shut_down(reason, turn),
                None => self.decide(id, reason, turn),
            }
        }
        self.start_next(turn);
    }

    fn on_exited(&mut self, pid: P, reason: &R, turn: &mut Turn<'_, P, R, A>) {
        let Some(id) = self.by_pid.remove(&pid) else { return };
        if let State::Stopping { timer, .. } = self.set_state(id, State::Idle) {
            self.disarm(timer, turn);
        }
        if self.spec.handle_children {
            let name = Arc::clone(&self.children[&id].name);
            turn.act(Action::ChildTerminated { child: id, name, pid, reason: reason.clone() });
        }
        if !self.absorbed(id, reason, turn) {
            self.decide(id, reason, turn);
        }
        self.start_next(turn);
    }

    fn on_timer(&mut self, token: Token, turn: &mut Turn<'_, P, R, A>) {
        match self.timers.remove(&token) {
            None => {}
            Some(Timer::Stop(id)) => self.on_stop_timer(id, turn),
            Some(Timer::Restart(id)) => {
                self.set_state(id, State::Idle);
                self.enqueue(id);
                self.start_next(turn);
            }
            Some(Timer::Group) => {
                self.stage = Stage::Starting { backoff: None };
                self.start_next(turn);
            }
        }
    }

    /// Puts an idle child where its start has its turn.
    pub(super) fn enqueue(&mut self, id: ChildId) {
        let ticket = if self.spec.kind.is_group() { id.0 } else { self.number() };
        self.queue.insert(ticket, id);
        self.set_state(id, State::Queued { ticket });
    }

    /// Starts the next child if none is being started, and declares the start done when none is left.
    pub(super) fn start_next(&mut self, turn: &mut Turn<'_, P, R, A>) {
        let may_start = matches!(self.stage, Stage::Starting { backoff: None } | Stage::Running);
        if self.outstanding.is_some() || !may_start {
            return;
        }
        let Some((_, id)) = self.queue.pop_first() else {
            self.stage = Stage::Running;
            if !self.ready {
                self.ready = true;
                turn.act(Action::Ready);
            }
            return;
        };
        self.outstanding = Some(id);
        self.set_state(id, State::Starting { stop: None });
        let child = &self.children[&id];
        turn.act(Action::Start {
            child: id,
            name: Arc::clone(&child.name),
            args: child.args.as_ref().unwrap_or_else(|| &self.specs[&child.spec].args).clone(),
            preserve: child.preserve,
        });
    }

    pub(super) fn set_state(&mut self, id: ChildId, state: State<P, R>) -> State<P, R> {
        std::mem::replace(&mut self.child_mut(id).state, state)
    }

    pub(super) fn child_mut(&mut self, id: ChildId) -> &mut Child<P, R, A> {
        self.children.get_mut(&id).expect("a child that is queued, timed or has a process is known")
    }

    pub(super) fn declared_mut(&mut self, id: SpecId) -> &mut Declared<A> {
        self.specs.get_mut(&id).expect("a specification outlives its children")
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn arm(&mut self, after: Duration, timer: Timer, turn: &mut Turn<'_, P, R, A>) -> Token {
        let token = Token(self.number());
        self.timers.insert(token, timer);
        turn.act(Action::ArmTimer { token, after });
        token
    }

    pub(super) fn disarm(&mut self, token: Option<Token>, turn: &mut Turn<'_, P, R, A>) {
        if let Some(token) = token.filter(|token| self.timers.remove(token).is_some()) {
            turn.act(Action::CancelTimer { token });
        }
    }
}
