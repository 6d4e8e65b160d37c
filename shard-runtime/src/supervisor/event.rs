//! What the machine is told and what it wants done.
//!
//! The executor owes the machine: one [`Event::Started`] or [`Event::StartFailed`] for each [`Action::Start`], within a
//! limit of its own, as a start that never ends keeps all others waiting, and soon after an [`Action::AbortStart`]; one [`Event::Exited`] for each started process, after its `Started`; one
//! [`Event::TimerDue`] for each [`Action::ArmTimer`] that was not cancelled (one that was cancelled is ignored).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::SupervisorError;
use super::spec::ChildSpec;

/// One child, over all its restarts: a declared child, or an instance of a template. Never reused by a supervisor;
/// ascends in the order of declaration or of the instances' first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub(super) u64);

impl ChildId {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A request, as the executor numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(pub(crate) u64);

/// A timer, as the machine numbers it. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(super) u64);

/// What a supervisor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Not started yet.
    Created,
    /// Starting children: its first ones, or those of a group restart, whose back-off may still run.
    Starting,
    /// Nothing that concerns more than single children.
    Running,
    /// Stopping children in order to start them again.
    Stopping,
    /// Stopping all children in order to end.
    ShuttingDown,
    /// Ended.
    Ended,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "not started yet",
            Self::Starting => "starting children",
            Self::Running => "busy with this child",
            Self::Stopping => "stopping children for a restart",
            Self::ShuttingDown => "shutting down",
            Self::Ended => "gone",
        })
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event<P, R, A> {
    /// The supervisor starts. Once, first.
    Init,
    /// The outstanding start is done.
    Started {
        /// The child of the start.
        child: ChildId,
        /// Its process.
        pid: P,
    },
    /// The outstanding start failed, or was aborted; nothing of it is left.
    StartFailed {
        /// The child of the start.
        child: ChildId,
        /// Why.
        reason: R,
    },
    /// A child's process has ended. One that is no child's is ignored: see [`Machine::child_of`](super::Machine::child_of).
    Exited {
        /// The process.
        pid: P,
        /// Why.
        reason: R,
    },
    /// The supervisor must end: its parent or a linked process did, its node stops, one of its own callbacks failed.
    ForeignExit {
        /// Why.
        reason: R,
    },
    /// A timer ran off.
    TimerDue {
        /// Which.
        token: Token,
    },
    /// Somebody asks for something.
    Request {
        /// Answered under this number.
        id: RequestId,
        /// What.
        request: Request<A>,
    },
}

/// What may be asked of a running supervisor.
#[derive(Clone, Debug)]
pub(crate) enum Request<A> {
    /// Start a stopped child, or one whose restart waits; simple one for one: start an instance.
    StartChild {
        /// The child or template.
        name: Arc<str>,
        /// Replace the child's own for good; are the instance's own.
        args: Option<A>,
    },
    /// Append a child and start it; simple one for one: append a template.
    AddChild {
        /// What it is.
        spec: ChildSpec,
        /// What makes it.
        args: A,
    },
    /// Stop a child, or all instances of a template, and forget it. As the end of the last child is the supervisor's, so
    /// is its removal, unless auto-shutdown is off.
    RemoveChild {
        /// The child or template.
        name: Arc<str>,
    },
    /// Allow and start a child again; simple one for one: allow a template again.
    EnableChild {
        /// The child or template.
        name: Arc<str>,
    },
    /// Stop a child, or all instances of a template, and do not start it until it is enabled. As with a removal, the
    /// last one may be the supervisor's end.
    DisableChild {
        /// The child or template.
        name: Arc<str>,
    },
    /// Stop one instance of a template for good.
    TerminateInstance {
        /// Which; from the answer to its start, a snapshot, or [`Machine::child_of`](super::Machine::child_of).
        child: ChildId,
    },
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<P> {
    /// The child runs.
    Started {
        /// The child.
        child: ChildId,
        /// Its process.
        pid: P,
    },
    /// It is done, and what had to end has ended.
    Done,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub(crate) enum Action<P, R, A> {
    /// Start a child.
    Start {
        /// Named in the answer.
        child: ChildId,
        /// Its specification.
        name: Arc<str>,
        /// What makes it: the instance's own, or else the specification's.
        args: A,
        /// Give it the mailbox that the previous process left behind.
        preserve: bool,
    },
    /// Give up the outstanding start; it is answered all the same.
    AbortStart {
        /// The child of the start.
        child: ChildId,
    },
    /// Send an exit.
    Exit {
        /// To whom.
        pid: P,
        /// With this reason.
        reason: R,
    },
    /// Kill a process.
    Kill {
        /// Whom.
        pid: P,
    },
    /// Report [`Event::TimerDue`] after this time.
    ArmTimer {
        /// Named in the report.
        token: Token,
        /// From now.
        after: Duration,
    },
    /// Do not.
    CancelTimer {
        /// Which.
        token: Token,
    },
    /// The supervisor is up: all its children have been started. Once, unless it ends before.
    Ready,
    /// For the supervisor's own callback: a child has been started.
    ChildStarted {
        /// Which.
        child: ChildId,
        /// Its specification.
        name: Arc<str>,
        /// Its process.
        pid: P,
    },
    /// For the supervisor's own callback: a child has ended.
    ChildTerminated {
        /// Which.
        child: ChildId,
        /// Its specification.
        name: Arc<str>,
        /// Its process.
        pid: P,
        /// Why.
        reason: R,
    },
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        answer: Result<Outcome<P>, SupervisorError>,
    },
    /// End the supervisor. Last; no child is left.
    Terminate {
        /// Why.
        reason: R,
    },
}
