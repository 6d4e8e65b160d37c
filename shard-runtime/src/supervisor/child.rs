//! What the machine remembers of a specification and of a child.

use std::sync::Arc;

use super::event::{ChildId, RequestId, Token};
use super::intensity::Window;
use super::spec::ChildSpec;

/// A specification, numbered in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SpecId(pub(super) u64);

/// A declared child or template.
#[derive(Debug)]
pub(super) struct Declared<A> {
    pub(super) spec: ChildSpec,
    pub(super) args: A,
    pub(super) disabled: bool,
    /// The request that takes its children away; answered when they have ended. The specification is disabled meanwhile.
    pub(super) leaving: Option<Leaving>,
    /// The one child; none under simple one for one.
    pub(super) child: Option<ChildId>,
    /// Its instances; 0 unless simple one for one.
    pub(super) instances: usize,
    pub(super) restarts: u64,
}

/// Why the children of a specification are being taken away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) request: RequestId,
    /// Forget the specification afterwards.
    pub(super) remove: bool,
}

/// One child over all its restarts. An instance is forgotten when it has ended for good, a declared child stays.
#[derive(Debug)]
pub(super) struct Child<P, R, A> {
    pub(super) spec: SpecId,
    pub(super) name: Arc<str>,
    /// An instance's own.
    pub(super) args: Option<A>,
    pub(super) state: State<P, R>,
    /// Its own budget, if its specification has one.
    pub(super) window: Window,
    pub(super) restarts: u64,
    /// Restarts in a row, for the back-off.
    pub(super) attempts: u32,
    /// When it last came up, in nanoseconds.
    pub(super) started_at: u64,
    pub(super) ever_started: bool,
    /// Its last start failed, so `started_at` is of an earlier one.
    pub(super) start_failed: bool,
    /// The next process takes over the mailbox of the one before.
    pub(super) preserve: bool,
    /// Who waits for it to come up.
    pub(super) waiter: Option<Waiter>,
    /// Who waits for this instance to be gone.
    pub(super) terminating: Option<RequestId>,
}

impl<P, R, A> Child<P, R, A> {
    pub(super) fn new(spec: SpecId, name: Arc<str>, args: Option<A>) -> Self {
        Self {
            spec,
            name,
            args,
            state: State::Idle,
            window: Window::default(),
            restarts: 0,
            attempts: 0,
            started_at: 0,
            ever_started: false,
            start_failed: false,
            preserve: false,
            waiter: None,
            terminating: None,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether it is being told to end, or is told as soon as it is up.
    pub(super) const fn is_stopping(&self) -> bool {
        matches!(self.state, State::Stopping { .. } | State::Starting { stop: Some(_) })
    }

    /// Whether it has a process, or is getting one, that nobody has told to end.
    pub(super) const fn can_be_stopped(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Starting { stop: None })
    }
}

/// What a child is doing.
#[derive(Debug)]
pub(super) enum State<P, R> {
    /// It has no process and gets none by itself.
    Idle,
    /// It is started when its turn comes.
    Queued { ticket: u64 },
    /// Its start is the outstanding one; with `stop`, it is to end as soon as it is up.
    Starting { stop: Option<Stop<R>> },
    /// It has a process.
    Running { pid: P },
    /// Its process has been told to end; the timer kills it.
    Stopping { pid: P, timer: Option<Token> },
    /// Its restart waits for the end of the back-off.
    Waiting { timer: Token },
}

/// How a child ends that is not up yet.
#[derive(Debug)]
pub(super) struct Stop<R> {
    pub(super) reason: R,
    /// Aborts the start.
    pub(super) timer: Option<Token>,
}

/// A request that is answered when a child is up, or is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) request: RequestId,
    pub(super) origin: Origin,
}

/// What a failed start means beyond its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The child was stopped, and is so again.
    Stopped,
    /// The child's restart was waiting: the failure is one of the restart.
    Restarting,
    /// The specification came with the request, and goes with it.
    Added,
}
