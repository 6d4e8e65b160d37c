//! Why an I/O process could not be started, and why it ended.

use crate::error::{ExitReason, SpawnError};
use crate::io::PortStatus;
use std::io;

/// Why an I/O process could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IoError {
    /// The address to listen on is none.
    #[error(
        "`{address}` is no address to listen on; write an IP address and a port, such as `127.0.0.1:8080`"
    )]
    BadAddress {
        /// What was given.
        address: String,
    },
    /// The system refused to listen there.
    #[error("cannot listen on {address}: {source}; is another program there, or is the port below 1024?")]
    Listen {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// An option makes no sense.
    #[error("the option {option} is {value}; it must be {must_be}")]
    BadOption {
        /// Which.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        must_be: &'static str,
    },
    /// A certificate, a key or a client's trust anchors cannot be used.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// There are no descriptors here: this is a simulation.
    #[error(
        "this node has no I/O: a simulation has no sockets, pipes or programs; use a node, or send the process its messages"
    )]
    NoReactor,
    /// The system refused something else.
    #[error("the system refused: {0}")]
    System(#[source] io::Error),
    /// The process itself could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The process has a thread of its own, and its home shard did not answer.
    #[error("the home shard of this process did not answer in time")]
    NoAnswer,
    /// There is no connection to write to now.
    #[error("there is no connection now; wait for the message that says that there is one")]
    NotConnected,
    /// The connection ended before everything was written.
    #[error("the connection ended before everything was written: {0}")]
    Ended(IoEnd),
}

impl From<io::Error> for IoError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::Unsupported { Self::NoReactor } else { Self::System(error) }
    }
}

/// Why a connection, a socket or a program of an I/O process has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IoEnd {
    /// The peer has closed its side.
    #[error("closed by the peer")]
    Closed,
    /// This side has closed it: on request, or because its owner has ended.
    #[error("closed by this side")]
    Local,
    /// The peer has reset the connection.
    #[error("reset by the peer")]
    Reset,
    /// A frame, a line or an event is longer than allowed.
    #[error("a frame of {length} bytes exceeds the limit of {limit}; raise the limit if the peer is right")]
    TooLarge {
        /// What its header says, or what of it had come.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// A frame's header is wrong.
    #[error("a frame whose header says {length} bytes is shorter than its header of {header}")]
    BadFrame {
        /// What the header says.
        length: u64,
        /// How long the header itself is.
        header: u64,
    },
    /// The peer did not read what was sent to it, or too slowly.
    #[error("{pending} bytes wait to be written, more than the limit of {limit}: the peer reads too slowly")]
    SlowPeer {
        /// Bytes that waited.
        pending: usize,
        /// The limit.
        limit: usize,
    },
    /// The process that the messages are for does not exist.
    #[error("the process that gets the messages does not exist")]
    NoTarget,
    /// Nothing came in time.
    #[error("{what} took longer than allowed")]
    TimedOut {
        /// What.
        what: &'static str,
    },
    /// The TLS handshake or a TLS record failed.
    #[error("TLS: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// To whom.
        address: String,
        /// Why.
        reason: String,
    },
    /// A web server has refused what a client asked for.
    #[error("the server refuses with status {status}")]
    Refused {
        /// The status of its response.
        status: u16,
    },
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {reason}")]
    Protocol {
        /// How.
        reason: String,
    },
    /// The program of a port has ended without success, or could not be started.
    #[error("the program {0}")]
    Program(PortStatus),
    /// The system refused a read or a write.
    #[error("the system says: {reason}")]
    System {
        /// What it says.
        reason: String,
    },
    /// The I/O process was ended from outside: by its parent's end, an exit signal or a kill.
    #[error("the I/O process was ended: {reason}")]
    Ended {
        /// Its exit reason.
        reason: String,
    },
}

impl IoEnd {
    /// Whether it is an ordinary end: one of the two sides closed it.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        matches!(self, Self::Closed | Self::Local)
    }

    /// The end of a connection whose process ended by itself or by somebody else.
    pub(crate) fn by(reason: &ExitReason) -> Self {
        match reason {
            ExitReason::Normal | ExitReason::Shutdown => Self::Local,
            other => Self::Ended { reason: other.to_string() },
        }
    }

    /// The exit reason of the process whose connection has ended so.
    pub(crate) fn exit_reason(&self) -> ExitReason {
        if self.is_ordinary() { ExitReason::Normal } else { ExitReason::custom(self.clone()) }
    }
}

impl From<io::Error> for IoEnd {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Self::Reset
            }
            io::ErrorKind::TimedOut => Self::TimedOut { what: "the connection" },
            _ => Self::System { reason: error.to_string() },
        }
    }
}
