//! Why a supervisor refuses a specification or a request.

use std::sync::Arc;

use super::event::Phase;

/// Why a supervisor refused what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// There is no child with this name. Retrying does not help.
    #[error("the supervisor has no child `{name}`; add it first")]
    ChildUnknown {
        /// The name asked for.
        name: Arc<str>,
    },
    /// The child runs already, or is being started or stopped.
    #[error("the child `{name}` runs already, or is being started or stopped")]
    ChildRunning {
        /// The child.
        name: Arc<str>,
    },
    /// The child is disabled, or was disabled while it was being started.
    #[error("the child `{name}` is disabled; enable it first")]
    ChildDisabled {
        /// The child.
        name: Arc<str>,
    },
    /// The name is taken by another child of this supervisor. Choose another.
    #[error("the supervisor has a child `{name}` already; choose another name")]
    ChildDuplicate {
        /// The name.
        name: Arc<str>,
    },
    /// There is no such instance, or it has ended. Retrying does not help.
    #[error("the supervisor has no such instance; it may have ended")]
    InstanceUnknown,
    /// Only a simple one for one supervisor has instances. Disable or remove the child instead.
    #[error("a {kind} supervisor has no instances; disable or remove the child instead")]
    NoInstances {
        /// The supervisor's type.
        kind: super::SupervisorType,
    },
    /// The supervisor, or this child, is being started, restarted or stopped. Retry when that is over.
    #[error("the supervisor is {phase}; retry when that is over")]
    StrategyActive {
        /// What it is doing; `Running` when only the child in question is busy.
        phase: Phase,
    },
    /// The child's `init` failed. It stays stopped; a child that was to be added is not added.
    #[error("the child `{name}` did not start: {reason}")]
    StartFailed {
        /// The child.
        name: Arc<str>,
        /// Why, as text: the reason itself is the failed process's.
        reason: Box<str>,
    },
    /// The specification contradicts itself. Correct it.
    #[error("invalid specification of `{name}`: {why}")]
    InvalidSpec {
        /// The child, or `supervisor`.
        name: Arc<str>,
        /// What is wrong.
        why: InvalidSpec,
    },
}

/// What is wrong with a specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// A supervisor without children, or a simple one for one supervisor without templates.
    #[error("no children; name at least one")]
    NoChildren,
    /// A child's name is empty.
    #[error("the name is empty; every child needs one")]
    NoName,
    /// A child's own intensity under all for one or rest for one, where a restart is the group's.
    #[error("an intensity of its own is allowed under one for one and simple one for one only")]
    GroupIntensity,
    /// A preserved mailbox under all for one or rest for one.
    #[error("a preserved mailbox is allowed under one for one and simple one for one only")]
    GroupPreserveMailbox,
    /// `OnExceed::Disable` without an intensity of the child's own that could be exceeded.
    #[error("`OnExceed::Disable` needs an intensity of the child's own")]
    DisableWithoutIntensity,
    /// A period without an intensity.
    #[error("a period needs an intensity above 0")]
    PeriodWithoutIntensity,
    /// A back-off whose factor is below 1 or infinite, whose jitter is outside 0 to 1, or whose first wait is longer
    /// than its longest.
    #[error(
        "the back-off needs a finite factor from 1, a jitter from 0 to 1, and a first wait up to its longest"
    )]
    Backoff,
}
