//! What ports tell, and what they are told. These messages stay on their node.

use crate::actor::local_message;
use crate::io::{IoBytes, IoText};
use shard_wire::Alias;
use std::sync::Arc;

/// A program runs. Comes before what it writes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortStart {
    /// The port.
    pub id: Alias,
    /// The tag of the port.
    pub tag: Arc<str>,
    /// The program's number in the system.
    pub pid: u32,
}

/// A line of a program's standard output, without its end. What is no UTF-8 in it is replaced.
#[derive(Debug)]
#[non_exhaustive]
pub struct PortText {
    /// The port.
    pub id: Alias,
    /// The tag of the port.
    pub tag: Arc<str>,
    /// The line.
    pub text: IoText,
    /// It was longer than allowed; this is its begin.
    pub is_cut: bool,
}

/// Bytes of a program's standard output. Sent to a port, they go to the program's standard input.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortData {
    /// The port.
    pub id: Alias,
    /// The tag of the port.
    pub tag: Arc<str>,
    /// The bytes.
    pub data: IoBytes,
}

impl PortData {
    /// Bytes for a program.
    #[must_use]
    pub fn new(port: Alias, data: impl Into<IoBytes>) -> Self {
        Self { id: port, tag: Arc::default(), data: data.into() }
    }
}

/// A line of a program's standard error, without its end. What is no UTF-8 in it is replaced.
#[derive(Debug)]
#[non_exhaustive]
pub struct PortError {
    /// The port.
    pub id: Alias,
    /// The tag of the port.
    pub tag: Arc<str>,
    /// The line.
    pub text: IoText,
    /// It was longer than allowed; this is its begin.
    pub is_cut: bool,
}

/// A program has ended, or could not be started. Comes once for each [`PortStart`].
///
/// After the last of what the program wrote; if the port itself was ended, what it wrote then is thrown away.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortTerminate {
    /// The port.
    pub id: Alias,
    /// The tag of the port.
    pub tag: Arc<str>,
    /// How it ended.
    pub status: PortStatus,
}

/// How a program has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortStatus {
    /// By itself, with this exit status; 0 is success.
    #[error("exited with status {0}")]
    Exited(i32),
    /// By this signal.
    #[error("ended by signal {0}")]
    Signaled(i32),
    /// It was never started.
    #[error("cannot be started: {reason}; is the program installed, and may it be executed?")]
    NotStarted {
        /// What the system says.
        reason: String,
    },
    /// The system does not tell.
    #[error("ended, and the system does not tell how: {reason}")]
    Unknown {
        /// What it says.
        reason: String,
    },
}

impl PortStatus {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

local_message!(PortStart);
local_message!(PortText);
local_message!(PortData);
local_message!(PortError);
local_message!(PortTerminate);
