//! What a supervisor tells about itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::child::State;
use super::event::{ChildId, Phase};
use super::machine::{Machine, Stage};
use super::reason::{Process, Reason};
use super::spec::{Strategy, SupervisorType};

/// Restarts that are remembered.
const HISTORY_LIMIT: usize = 50;

/// A supervisor at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot<P, R> {
    /// Its type.
    pub kind: SupervisorType,
    /// After which ends it restarts children that do not say themselves.
    pub strategy: Strategy,
    /// Restarts it allows within `period`.
    pub intensity: u16,
    /// The period of `intensity`.
    pub period: Duration,
    /// Whether a group restart stops children one after the other.
    pub keep_order: bool,
    /// Whether it ends with its last child.
    pub auto_shutdown: bool,
    /// What it is doing.
    pub phase: Phase,
    /// Why it is shutting down, while it is.
    pub shutdown_reason: Option<R>,
    /// Restarts of the last `period` that count against `intensity`.
    pub intensity_used: usize,
    /// Declared children or templates.
    pub specs_total: usize,
    /// Those of them that are disabled.
    pub specs_disabled: usize,
    /// Children, running or not; under simple one for one its instances, which are forgotten when they have ended.
    pub children_total: usize,
    /// Those of them that have a process.
    pub children_running: usize,
    /// Restarts since it started.
    pub restarts_count: u64,
    /// Declared children or templates, in the order of declaration.
    pub specs: Vec<SpecSnapshot>,
    /// Children in the order of declaration; instances in the order of their first start.
    pub children: Vec<ChildSnapshot<P>>,
    /// The last 50 restarts, the oldest first.
    pub history: Vec<RestartRecord<R>>,
}

/// A declared child or template.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpecSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Whether its end, when it is not restarted, is the supervisor's.
    pub significant: bool,
    /// Instances; 0 unless simple one for one.
    pub instances: usize,
    /// Restarts of its child, or of all its instances.
    pub restarts: u64,
}

/// A child, or an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildSnapshot<P> {
    /// It, over all its restarts.
    pub id: ChildId,
    /// Its specification.
    pub name: Arc<str>,
    /// Its process, if it has one.
    pub pid: Option<P>,
    /// What it is doing.
    pub state: ChildState,
    /// Its restarts.
    pub restarts: u64,
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildState {
    /// It has no process and gets none by itself.
    Stopped,
    /// Its restart waits for its turn or for the end of the back-off.
    PendingRestart,
    /// Its `init` runs.
    Starting,
    /// It runs.
    Running,
    /// It has been told to end.
    Stopping,
}

/// One restart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartRecord<R> {
    /// When, in nanoseconds of the supervisor's clock.
    pub time_ns: u64,
    /// Whose end it followed.
    pub child: ChildId,
    /// The child's name.
    pub name: Arc<str>,
    /// Why the child had ended.
    pub reason: R,
}

/// The last restarts.
#[derive(Debug)]
pub(super) struct History<R> {
    records: VecDeque<RestartRecord<R>>,
}

impl<R> Default for History<R> {
    fn default() -> Self {
        Self { records: VecDeque::new() }
    }
}

impl<R> History<R> {
    pub(super) fn push(&mut self, time_ns: u64, child: ChildId, name: Arc<str>, reason: R) {
        // LIMIT: the oldest record goes first.
        if self.records.len() == HISTORY_LIMIT {
            self.records.pop_front();
        }
        self.records.push_back(RestartRecord { time_ns, child, name, reason });
    }
}

impl<P: Process, R: Reason, A: Clone> Machine<P, R, A> {
    /// Everything an operator may want to know at `now` (nanoseconds). Walks all children.
    pub(crate) fn snapshot(&self, now: u64) -> Snapshot<P, R> {
        let children = self.children.iter().map(|(&id, child)| {
            let (pid, state) = match child.state {
                State::Idle => (None, ChildState::Stopped),
                State::Queued { .. } | State::Waiting { .. } => (None, ChildState::PendingRestart),
                State::Starting { .. } => (None, ChildState::Starting),
                State::Running { pid } => (Some(pid), ChildState::Running),
                State::Stopping { pid, .. } => (Some(pid), ChildState::Stopping),
            };
            ChildSnapshot { id, name: Arc::clone(&child.name), pid, state, restarts: child.restarts }
        });
        let children: Vec<_> = children.collect();
        let specs = self.specs.values().map(|declared| SpecSnapshot {
            name: Arc::clone(&declared.spec.name),
            disabled: declared.disabled,
            significant: declared.spec.significant,
            instances: declared.instances,
            restarts: declared.restarts,
        });
        let specs: Vec<_> = specs.collect();
        let shutdown_reason = match &self.stage {
            Stage::ShuttingDown { reason } => Some(reason.clone()),
            _ => None,
        };
        Snapshot {
            kind: self.spec.kind,
            strategy: self.spec.strategy,
            intensity: self.spec.intensity,
            period: self.spec.period,
            keep_order: self.spec.keep_order,
            auto_shutdown: self.spec.ends_with_last_child(),
            phase: self.phase(),
            shutdown_reason,
            intensity_used: self.window.used(now, self.spec.period),
            specs_total: specs.len(),
            specs_disabled: specs.iter().filter(|spec| spec.disabled).count(),
            children_total: children.len(),
            children_running: children.iter().filter(|child| child.pid.is_some()).count(),
            restarts_count: self.restarts,
            specs,
            children,
            history: self.history.records.iter().cloned().collect(),
        }
    }
}
