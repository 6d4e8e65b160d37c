//! The filters of each kind of record.

use super::probe::Probe;
use super::query::Query;
use super::records::{CronRan, Ended, ExitSent, Logged, Party, Published, Registered, Sent, Spawned};
use super::stub::Stub;
use crate::LogLevel;
use crate::error::ExitReason;
use shard_wire::{Message, Pid};
use std::fmt;
use std::panic::Location;

/// A process as a filter names it: by its pid, or by the name that it had then. Made of a [`Pid`], a text, a [`Probe`] or a
/// [`Stub`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Who<'a> {
    /// This one.
    Pid(Pid),
    /// Whoever had this name.
    Name(&'a str),
}

impl From<Pid> for Who<'_> {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

impl<'a> From<&'a str> for Who<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl From<&Probe> for Who<'_> {
    fn from(probe: &Probe) -> Self {
        Self::Pid(probe.pid())
    }
}

impl<M: Message> From<&Stub<M>> for Who<'_> {
    fn from(stub: &Stub<M>) -> Self {
        Self::Pid(stub.pid())
    }
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => pid.fmt(f),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

impl Who<'_> {
    fn is(&self, party: &Party) -> bool {
        match self {
            Self::Pid(pid) => party.pid == *pid,
            Self::Name(name) => party.name.as_deref() == Some(*name),
        }
    }
}

/// Filters on the processes of a record.
macro_rules! parties {
    ($($record:ident { $($(#[$doc:meta])* $filter:ident $field:ident $word:literal,)* })*) => {
        $(impl<M> Query<$record, M> {
            $($(#[$doc])*
            pub fn $filter<'a>(self, who: impl Into<Who<'a>>) -> Self {
                let who = who.into();
                self.filter(format_args!(concat!($word, " {}"), who), |record| who.is(&record.$field))
            })*
        })*
    };
}

parties! {
    Sent {
        /// Only what this process sent.
        from from "from",
        /// Only what was sent to this process.
        to to "to",
    }
    ExitSent {
        /// Only what this process sent.
        from from "from",
        /// Only what was sent to this process.
        to to "to",
    }
    Spawned {
        /// Only what this process started.
        by by "by",
        /// Only the process with this pid or name.
        as_child child "as",
    }
    Ended {
        /// Only this process.
        of who "of",
    }
    Logged {
        /// Only what this process wrote.
        by by "by",
    }
    Published {
        /// Only what this process published.
        by by "by",
    }
    Registered {
        /// Only what this process registered.
        by by "by",
    }
}

/// Filters on the message of a record, and what returns it.
macro_rules! messages {
    ($($record:ident)*) => {
        $(impl<M: Message> Query<$record, M> {
            /// Only messages that the predicate holds for. [`Bed::watch`](super::Bed::watch) must have been told to keep
            /// copies of an `M` before.
            ///
            /// # Panics
            /// There is an `M` without a copy.
            #[track_caller]
            pub fn with(self, holds: impl Fn(&M) -> bool) -> Self {
                let place = Location::caller();
                self.need_copies();
                self.filter(format_args!("with a message that passes the predicate at {place}"), |record| {
                    record.message::<M>().is_some_and(&holds)
                })
            }

            /// The message of the only record.
            ///
            /// # Panics
            /// There is not exactly one, or no copy of it.
            #[track_caller]
            pub fn message(self) -> M
            where
                M: Clone,
            {
                self.need_copies();
                match self.once().message::<M>() {
                    Some(message) => message.clone(),
                    None => unreachable!("copies were looked for"),
                }
            }

            /// The messages that were found, in order, however many there are.
            ///
            /// # Panics
            /// There is an `M` without a copy.
            #[track_caller]
            #[must_use]
            pub fn messages(self) -> Vec<M>
            where
                M: Clone,
            {
                self.need_copies();
                self.kept().filter_map(|record| record.message::<M>().cloned()).collect()
            }

            #[track_caller]
            fn need_copies(&self) {
                let lacks = self.kept().any(|record| record.message::<M>().is_none());
                let name = std::any::type_name::<M>();
                assert!(!lacks, "no copy was kept of a {name}: call `bed.watch::<{name}>()` before it is sent");
            }
        })*
    };
}

messages! { Sent Published }

impl<M> Query<Spawned, M> {
    /// Only actors of the type with this [`BEHAVIOR`](crate::Actor::BEHAVIOR).
    pub fn behavior(self, behavior: &str) -> Self {
        self.filter(format_args!("a {behavior}"), |record| record.behavior == behavior)
    }
}

impl<M> Query<Ended, M> {
    /// Only actors of the type with this [`BEHAVIOR`](crate::Actor::BEHAVIOR).
    pub fn behavior(self, behavior: &str) -> Self {
        self.filter(format_args!("a {behavior}"), |record| record.behavior == behavior)
    }

    /// Only those that ended as `Normal` or `Shutdown`.
    pub fn normally(self) -> Self {
        self.filter("normally", |record| record.reason.is_ordinary())
    }

    /// Only those that ended otherwise.
    pub fn abnormally(self) -> Self {
        self.filter("abnormally", |record| !record.reason.is_ordinary())
    }

    /// Only those that ended for such a reason.
    #[track_caller]
    pub fn because(self, holds: impl Fn(&ExitReason) -> bool) -> Self {
        let place = Location::caller();
        self.filter(format_args!("for a reason that passes the predicate at {place}"), |record| {
            holds(&record.reason)
        })
    }
}

impl<M> Query<ExitSent, M> {
    /// Only those with such a reason.
    #[track_caller]
    pub fn because(self, holds: impl Fn(&ExitReason) -> bool) -> Self {
        let place = Location::caller();
        self.filter(format_args!("with a reason that passes the predicate at {place}"), |record| {
            holds(&record.reason)
        })
    }
}

impl<M> Query<Logged, M> {
    /// Only lines of this level.
    pub fn level(self, level: LogLevel) -> Self {
        self.filter(format_args!("at level {level:?}"), |record| record.level == level)
    }

    /// Only lines of this level and above.
    pub fn from_level(self, level: LogLevel) -> Self {
        self.filter(format_args!("at level {level:?} or above"), |record| record.level >= level)
    }

    /// Only lines whose text contains this.
    pub fn containing(self, part: &str) -> Self {
        self.filter(format_args!("containing {part:?}"), |record| record.text.contains(part))
    }

    /// Only lines with this value under this key.
    pub fn field(self, key: &str, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        self.filter(format_args!("with {key}={value}"), |record| {
            record.fields.iter().any(|(own, is)| *own == key && *is == value)
        })
    }
}

impl<M> Query<CronRan, M> {
    /// Only this job.
    pub fn job(self, name: &str) -> Self {
        self.filter(format_args!("the job {name:?}"), |record| &*record.job == name)
    }
}
