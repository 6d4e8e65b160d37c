//! What the machine must know about exit reasons and process identities, and nothing more.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::time::Duration;

/// The identity of a child's process. Every small key is one.
pub(crate) trait Process: Copy + Eq + Hash + Debug {}

impl<T: Copy + Eq + Hash + Debug> Process for T {}

/// Why a process ended.
pub(crate) trait Reason: Clone + Debug + Display {
    /// Whether it is an ordinary end, after which a transient child stays away: `normal` or `shutdown`.
    fn is_ordinary(&self) -> bool;

    /// What a child is told that is stopped by an operator.
    fn shutdown() -> Self;

    /// More than `limit` restarts within `period`; `cause` is why the child ended whose restart was one too many.
    /// Never ordinary, whatever the cause, or the supervisor's own supervisor would not restart it.
    fn exceeded(limit: u16, period: Duration, cause: Self) -> Self;
}
