//! Reasons of ends, as other nodes are told them and as they tell them.
//!
//! What only this process can know of an error is its type: of the errors of other nodes there is the text.

use crate::error::{ExitReason, RemoteError};
use crate::shard::Shard;
use shard_wire::relation::Reason;
use std::time::Duration;

impl Shard {
    /// A reason as other nodes are told it. The texts of errors are the user's code.
    pub(super) fn reason_for_wire(&self, reason: &ExitReason) -> Reason {
        let mut told = Reason::Error("an error that does not say what it is".to_owned());
        self.contain(|| told = wire_of_reason(reason));
        told
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn wire_of_reason(reason: &ExitReason) -> Reason {
    match reason {
        ExitReason::Normal => Reason::Normal,
        ExitReason::Shutdown => Reason::Shutdown,
        ExitReason::Kill => Reason::Kill,
        ExitReason::Panic(text) => Reason::Panic(text.as_ref().to_owned()),
        ExitReason::Error(error) => Reason::Error(error.to_string()),
        ExitReason::InitTimeout { limit } => Reason::InitTimeout { limit_ns: nanos(*limit) },
        ExitReason::Exceeded { limit, period, cause } => {
            let cause = Box::new(wire_of_reason(cause));
            Reason::Exceeded { limit: *limit, period_ns: nanos(*period), cause }
        }
        ExitReason::NoProcess => Reason::NoProcess,
        ExitReason::NoConnection { why, session } => Reason::NoConnection { why: *why, session: *session },
        ExitReason::Unregistered => Reason::Unregistered,
    }
}

pub(super) fn reason_of_wire(reason: Reason) -> ExitReason {
    match reason {
        Reason::Normal => ExitReason::Normal,
        Reason::Shutdown => ExitReason::Shutdown,
        Reason::Kill => ExitReason::Kill,
        Reason::Panic(text) => ExitReason::Panic(text.into()),
        Reason::Error(text) => ExitReason::custom(RemoteError::new(&text)),
        Reason::InitTimeout { limit_ns } => ExitReason::InitTimeout { limit: Duration::from_nanos(limit_ns) },
        Reason::Exceeded { limit, period_ns, cause } => ExitReason::Exceeded {
            limit,
            period: Duration::from_nanos(period_ns),
            cause: Box::new(reason_of_wire(*cause)),
        },
        Reason::NoProcess => ExitReason::NoProcess,
        Reason::NoConnection { why, session } => ExitReason::NoConnection { why, session },
        Reason::Unregistered => ExitReason::Unregistered,
    }
}

#[cfg(test)]
mod tests {
    use super::{reason_of_wire, wire_of_reason};
    use crate::error::{ExitReason, RemoteError};
    use shard_wire::session::DownReason;
    use std::time::Duration;

    #[test]
    fn a_reason_comes_back_as_it_was_told() {
        let cause = Box::new(ExitReason::Panic("boom".into()));
        let reasons = [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::Kill,
            ExitReason::Panic("boom".into()),
            ExitReason::custom(std::fmt::Error),
            ExitReason::InitTimeout { limit: Duration::from_secs(5) },
            ExitReason::Exceeded { limit: 5, period: Duration::from_secs(5), cause },
            ExitReason::NoProcess,
            ExitReason::NoConnection { why: DownReason::Goodbye, session: 4 },
            ExitReason::Unregistered,
        ];
        for reason in reasons {
            let back = reason_of_wire(wire_of_reason(&reason));
            assert_eq!(back.to_string(), reason.to_string());
        }
        let back = reason_of_wire(wire_of_reason(&ExitReason::custom(std::fmt::Error)));
        assert!(back.downcast_ref::<RemoteError>().is_some());
    }
}
