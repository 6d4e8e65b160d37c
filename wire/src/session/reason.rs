//! Why a session ended: stable numbers for the wire, stable text for logs, exit reasons and metrics labels.

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum DownReason {
    /// The peer said goodbye: a planned stop.
    Goodbye = 1,
    /// The control link stood, but no byte came for the whole limit.
    Heartbeat = 2,
    /// A newer incarnation of the peer took its name.
    Restarted = 3,
    /// The control link was lost and could not be dialled again within the limit.
    Disconnected = 4,
    /// The peer had ended the session before.
    Superseded = 5,
    /// One of the two nodes was told to end it.
    Closed = 6,
    /// This node stops.
    Shutdown = 7,
    /// One of the two nodes has put the other in quarantine.
    Quarantined = 8,
}

impl DownReason {
    /// Every reason, for registering one counter each.
    pub const ALL: [Self; 8] = [
        Self::Goodbye,
        Self::Heartbeat,
        Self::Restarted,
        Self::Disconnected,
        Self::Superseded,
        Self::Closed,
        Self::Shutdown,
        Self::Quarantined,
    ];

    /// The stable number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this number; `None` for one this version does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The stable text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Heartbeat => "heartbeat",
            Self::Restarted => "restarted",
            Self::Disconnected => "disconnected",
            Self::Superseded => "superseded",
            Self::Closed => "closed",
            Self::Shutdown => "shutdown",
            Self::Quarantined => "quarantined",
        }
    }
}
