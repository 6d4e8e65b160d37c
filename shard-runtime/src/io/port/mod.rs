//! Ports: external programs.

mod guard;
mod message;
mod options;
mod process;
mod source;

pub use message::{PortData, PortError, PortStart, PortStatus, PortTerminate, PortText};
pub use options::Port;
