//! Why diagnostics cannot start or stop.

use std::io;
use std::time::Duration;

/// Why the diagnostics thread could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiagError {
    /// The host of a listener is neither an address nor a name that resolves. Fix the option.
    #[error("cannot resolve the host {host:?} of the {listener} listener; use an address such as 127.0.0.1")]
    Resolve {
        /// `radar` or `mcp`.
        listener: &'static str,
        /// The host as given.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The address is taken or not ours. Choose another port, or stop the program that holds it.
    #[error(
        "cannot listen on {address} for {listener}: {source}; choose another port, or stop the program that holds this one"
    )]
    Bind {
        /// `radar` or `mcp`.
        listener: &'static str,
        /// The address.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A listener that others can reach has no token. Set one, or bind to loopback.
    #[error(
        "the {listener} listener would be reachable on {address} without a token; set `token`, or bind to 127.0.0.1"
    )]
    TokenRequired {
        /// `radar` or `mcp`.
        listener: &'static str,
        /// The address.
        address: String,
    },
    /// The token cannot be sent in a header, or is too short to be one.
    #[error("the token must be 16 to 1024 visible ASCII characters without spaces, not {length}")]
    BadToken {
        /// Length of the token given, in bytes.
        length: usize,
    },
    /// A path option is not a path. Fix the option.
    #[error("`{option}` is {path:?}; it must begin with / and not be /mcp")]
    BadPath {
        /// Name of the option.
        option: &'static str,
        /// The path as given.
        path: String,
    },
    /// The operating system gave no thread or no event loop. Look at the limits on threads and files.
    #[error("cannot start the diagnostics thread: {0}; look at the limits on threads and open files")]
    Thread(#[source] io::Error),
    /// The metric names contradict each other. A defect of this crate.
    #[error("the metric registry refused its own families: {0}")]
    Registry(#[from] prometheus::Error),
    /// The thread did not end in time; it is left behind.
    #[error("the diagnostics thread did not stop within {0:?}")]
    StopTimeout(Duration),
}
