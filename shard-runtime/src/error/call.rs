//! Why a call has no answer.

use crate::error::SendReason;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request was not accepted; it was not handled. Whether to retry is up to the reason.
    #[error("the request was not accepted: {0}")]
    Send(#[from] SendReason),
    /// No answer within the time-out. It does not say whether the request was handled.
    #[error("no answer in time; the request may or may not have been handled")]
    Timeout,
    /// The target ended before it answered.
    #[error("the target ended before it answered")]
    Terminated,
    /// The target was killed before it answered.
    #[error("the target was killed before it answered")]
    Killed,
    /// The handler panicked.
    #[error("the target's handler panicked")]
    Panicked,
    /// The handler dropped its `ReplyTo` without an answer.
    #[error("the target dropped the request without an answer")]
    NoReply,
    /// The target has no handler for this message type.
    #[error("the target has no handler for this message type")]
    Unhandled,
    /// The target's node does not know this message type or version.
    #[error("the target's node does not know this message type; deploy the version that declares it")]
    UnknownType,
    /// The connection to the target's node was lost while waiting. The request may or may not have been handled.
    #[error("the connection to the target's node was lost; the request may or may not have been handled")]
    Disconnected,
    /// The answer could not be decoded.
    #[error("the answer could not be decoded; the two nodes disagree about the reply type")]
    Decode,
    /// A process called itself: it would wait for itself.
    #[error("a process cannot call itself")]
    SelfCall,
    /// A blocking call was made on a shard's thread, which it would block.
    #[error("a blocking call is not allowed on a shard thread; use `cx.call(..).await`")]
    OnShard,
    /// Somebody cancelled the wait. The request may still be handled.
    #[error("the wait was cancelled; the request may still be handled")]
    Canceled,
    /// The target's mailbox was full, and its policy dropped the request unhandled.
    #[error("the request was dropped from a full mailbox; retry later, or raise the mailbox's limit")]
    Dropped,
    /// A router's decision: the request goes nowhere.
    #[error("the router discarded the request")]
    Discarded,
    /// The route or child is disabled. Retrying helps once it is enabled.
    #[error("the target is disabled; enable it first")]
    Disabled,
    /// The target is being replaced or restarted. Retry in a moment.
    #[error("the target is being replaced or restarted; retry in a moment")]
    Busy,
}

impl CallError {
    /// Stable number for the wire. Never reused.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Timeout => 1,
            Self::Terminated => 2,
            Self::Killed => 3,
            Self::Panicked => 4,
            Self::NoReply => 5,
            Self::Unhandled => 6,
            Self::UnknownType => 7,
            Self::Disconnected => 8,
            Self::Decode => 9,
            Self::SelfCall => 10,
            Self::OnShard => 11,
            Self::Canceled => 12,
            Self::Dropped => 13,
            Self::Discarded => 14,
            Self::Disabled => 15,
            Self::Busy => 16,
            Self::Send(reason) => match reason {
                SendReason::NoProcess => 100,
                SendReason::NameUnknown => 101,
                SendReason::NoRoute => 102,
                SendReason::NotConnected => 103,
                SendReason::OutboxFull => 104,
                SendReason::Overloaded => 105,
                SendReason::LocalOnly => 106,
                SendReason::TooLarge => 107,
                SendReason::Encode => 108,
                SendReason::Stopping => 109,
                SendReason::Terminated => 110,
                SendReason::MailboxFull => 111,
                SendReason::AliasUnknown => 112,
                SendReason::Expired => 113,
                SendReason::Unsupported => 114,
                SendReason::UnknownType => 115,
                SendReason::Undecodable => 116,
                SendReason::NodeStopping => 117,
            },
        }
    }

    /// The error with this number. A number of a newer peer reads as `NoReply`.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Timeout,
            2 => Self::Terminated,
            3 => Self::Killed,
            4 => Self::Panicked,
            6 => Self::Unhandled,
            7 => Self::UnknownType,
            8 => Self::Disconnected,
            9 => Self::Decode,
            10 => Self::SelfCall,
            11 => Self::OnShard,
            12 => Self::Canceled,
            13 => Self::Dropped,
            14 => Self::Discarded,
            15 => Self::Disabled,
            16 => Self::Busy,
            100 => Self::Send(SendReason::NoProcess),
            101 => Self::Send(SendReason::NameUnknown),
            102 => Self::Send(SendReason::NoRoute),
            103 => Self::Send(SendReason::NotConnected),
            104 => Self::Send(SendReason::OutboxFull),
            105 => Self::Send(SendReason::Overloaded),
            106 => Self::Send(SendReason::LocalOnly),
            107 => Self::Send(SendReason::TooLarge),
            108 => Self::Send(SendReason::Encode),
            109 => Self::Send(SendReason::Stopping),
            110 => Self::Send(SendReason::Terminated),
            111 => Self::Send(SendReason::MailboxFull),
            112 => Self::Send(SendReason::AliasUnknown),
            113 => Self::Send(SendReason::Expired),
            114 => Self::Send(SendReason::Unsupported),
            115 => Self::Send(SendReason::UnknownType),
            116 => Self::Send(SendReason::Undecodable),
            117 => Self::Send(SendReason::NodeStopping),
            _ => Self::NoReply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CallError;
    use crate::error::SendReason;

    #[test]
    fn codes_round_trip() {
        let mut known = 0;
        for code in 0..200 {
            let error = CallError::from_code(code);
            if error.code() == code {
                known += 1;
            }
        }
        assert_eq!(known, 34);
        assert_eq!(
            CallError::from_code(CallError::Send(SendReason::TooLarge).code()),
            CallError::Send(SendReason::TooLarge)
        );
    }
}
