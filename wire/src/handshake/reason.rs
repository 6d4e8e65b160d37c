//! Why a handshake ended without a link: stable numbers for the wire, stable names for metrics labels.
//!
//! Owns: [`Reason`] and [`Failure`]. Invariant: R1 a number or name that was once given is never given to another
//! reason. R2 what an unproven peer said can delay a dial, never stop a node.

/// Why a link was refused or a handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, thiserror::Error)]
#[non_exhaustive]
#[repr(u16)]
pub enum Reason {
    /// The other end is no node of this runtime. Retrying does not help: the address is wrong.
    #[error("the other end does not speak this protocol: check the address")]
    BadMagic = 1,
    /// No protocol version in common. Retry after one of the two was upgraded.
    #[error("no protocol version in common: upgrade the older node")]
    Version = 2,
    /// The proof did not match, or no key id in common. Retrying helps only after the cookies were made equal.
    #[error("the cookies differ: give both nodes the same cookie, or the old one as previous")]
    WrongCookie = 3,
    /// The nodes belong to different clusters.
    #[error("the nodes belong to different clusters: check the cluster names")]
    ClusterMismatch = 4,
    /// The node reached itself.
    #[error("the node reached itself: remove its own address from its peers")]
    SelfConnect = 5,
    /// The other node's own dial wins. Nothing to do: its link is used.
    #[error("the other node's dial of the same link wins: use that link")]
    Duplicate = 6,
    /// Another live node holds the name.
    #[error("another live node holds this name: stop one of the two, or rename it")]
    NameInUse = 7,
    /// A message broke its layout or came out of order.
    #[error("a handshake message is malformed: check that both ends run this software")]
    Malformed = 8,
    /// A message or the whole handshake is over its byte budget.
    #[error("the handshake is over its byte budget: check that both ends run this software")]
    TooLarge = 9,
    /// The deadline passed. Retry with back-off.
    #[error("the handshake did not finish in time: check the network and the load of the other node")]
    Timeout = 10,
    /// The other node takes no links now. Retry with back-off.
    #[error("the other node takes no links now: try again later")]
    Refused = 11,
    /// Another node than the dialled one answered.
    #[error("another node answered at this address: refresh the route")]
    WrongPeer = 12,
    /// The data link belongs to a session that is not the current one. The next session dials anew.
    #[error("the session of this link has ended: dial within the current session")]
    StaleSession = 13,
    /// The placement of the session has no such slot.
    #[error("the session has no such link slot: both nodes must compute one placement")]
    BadSlot = 14,
    /// Too many handshakes or peers at once. Retry with back-off.
    #[error("the other node is at its limit of peers or handshakes: try again later")]
    Busy = 15,
    /// The stream ended before the handshake did. Retry with back-off.
    #[error("the connection was closed during the handshake: try again")]
    Closed = 16,
    /// The address could not be reached. Retry with back-off.
    #[error("the address could not be reached: check the route and the network")]
    Unreachable = 17,
    /// The peer announced limits that cannot be used, such as no shards.
    #[error("the other node announced limits that cannot be used: check its configuration")]
    BadLimits = 18,
    /// The other node has put this one in quarantine. Retry with back-off: it may end.
    #[error("the other node has put this one in quarantine: it has to be allowed there")]
    Quarantined = 19,
    /// This node is not on the other node's list of peers.
    #[error("this node is not on the other node's list of peers: add it there")]
    NotListed = 20,
    /// Both ends have the key, but the proof does not fit what was said on this channel: it was replayed, something was
    /// changed on the way, or somebody between the nodes ends their TLS and relays. Retrying does not help while it lasts.
    #[error(
        "the proof does not fit this channel though the key is known: something between the nodes replays, changes or relays what they say"
    )]
    BadProof = 21,
    /// One end speaks plain text and the other must not. Retrying does not help.
    #[error(
        "a link in plain text where TLS is needed: configure TLS for links at both ends, or allow plain text where the network is trusted"
    )]
    Plaintext = 22,
    /// The other end speaks TLS and this one does not. Retrying does not help.
    #[error("the other end speaks TLS and this node does not: configure TLS for its links")]
    TlsUnexpected = 23,
    /// TLS could not be agreed on. Retrying does not help.
    #[error("TLS could not be agreed on: check that both ends run this software with TLS 1.3")]
    Tls = 24,
    /// The dialer showed no certificate where one is demanded.
    #[error("no certificate was shown where one is demanded: give the node an identity")]
    NoCertificate = 25,
    /// A certificate has expired.
    #[error("a certificate has expired: replace it, or set the clock")]
    CertificateExpired = 26,
    /// A certificate is not valid yet.
    #[error("a certificate is not valid yet: check both clocks")]
    CertificateNotYetValid = 27,
    /// A certificate comes from an authority that is not trusted.
    #[error(
        "a certificate comes from an authority that is not trusted: add it, or check which one issued it"
    )]
    UnknownAuthority = 28,
    /// A certificate is good, but not for the node that showed it.
    #[error(
        "a certificate is not for the node that showed it: issue one with the name that the policy asks for"
    )]
    CertificateName = 29,
    /// A certificate cannot be used for another cause.
    #[error("a certificate cannot be used: check its form, its purpose and its key")]
    BadCertificate = 30,
    /// The cookie is too weak for a link off loopback. Retrying does not help.
    #[error("the cookie is too weak for a link off loopback: use at least 32 random bytes")]
    WeakKey = 31,
}

impl Reason {
    /// Every reason, for registering one counter each.
    pub const ALL: [Self; 31] = [
        Self::BadMagic,
        Self::Version,
        Self::WrongCookie,
        Self::ClusterMismatch,
        Self::SelfConnect,
        Self::Duplicate,
        Self::NameInUse,
        Self::Malformed,
        Self::TooLarge,
        Self::Timeout,
        Self::Refused,
        Self::WrongPeer,
        Self::StaleSession,
        Self::BadSlot,
        Self::Busy,
        Self::Closed,
        Self::Unreachable,
        Self::BadLimits,
        Self::Quarantined,
        Self::NotListed,
        Self::BadProof,
        Self::Plaintext,
        Self::TlsUnexpected,
        Self::Tls,
        Self::NoCertificate,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::UnknownAuthority,
        Self::CertificateName,
        Self::BadCertificate,
        Self::WeakKey,
    ];

    /// Whether keys or certificates, or the lack of them, are to blame: an operator has to change something.
    #[must_use]
    pub const fn is_credential(self) -> bool {
        matches!(
            self,
            Self::WrongCookie
                | Self::BadProof
                | Self::Plaintext
                | Self::TlsUnexpected
                | Self::Tls
                | Self::NoCertificate
                | Self::CertificateExpired
                | Self::CertificateNotYetValid
                | Self::UnknownAuthority
                | Self::CertificateName
                | Self::BadCertificate
                | Self::WeakKey
        )
    }

    /// The stable number, as on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason with this number; `None` for one this version does not know.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The stable name, as a metrics label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadMagic => "bad_magic",
            Self::Version => "version",
            Self::WrongCookie => "wrong_cookie",
            Self::ClusterMismatch => "cluster_mismatch",
            Self::SelfConnect => "self_connect",
            Self::Duplicate => "duplicate",
            Self::NameInUse => "name_in_use",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::WrongPeer => "wrong_peer",
            Self::StaleSession => "stale_session",
            Self::BadSlot => "bad_slot",
            Self::Busy => "busy",
            Self::Closed => "closed",
            Self::Unreachable => "unreachable",
            Self::BadLimits => "bad_limits",
            Self::Quarantined => "quarantined",
            Self::NotListed => "not_listed",
            Self::BadProof => "bad_proof",
            Self::Plaintext => "plaintext",
            Self::TlsUnexpected => "tls_unexpected",
            Self::Tls => "tls",
            Self::NoCertificate => "no_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::UnknownAuthority => "unknown_authority",
            Self::CertificateName => "certificate_name",
            Self::BadCertificate => "bad_certificate",
            Self::WeakKey => "weak_key",
        }
    }
}

/// Who decided that a handshake fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// This node.
    Local,
    /// The other end said so without having proven that it knows the cookie: a hint for logs and back-off only.
    Unproven,
    /// The other end said so under its proof.
    Proven,
}

/// A handshake that failed: close the connection after writing [`Failure::reply`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// Who decided it.
    pub source_end: Source,
    /// What to write before the connection is closed; often empty.
    pub reply: Vec<u8>,
}

impl Failure {
    pub(super) const fn local(reason: Reason) -> Self {
        Self { reason, source_end: Source::Local, reply: Vec::new() }
    }
}
