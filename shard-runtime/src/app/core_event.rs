//! The node's own event: what happens to its applications and to its sessions with other nodes.

use shard_wire::message;

/// Name of the node's own event.
pub(crate) const CORE_EVENT: &str = "core";

/// What the event `core` of a node publishes; the last 1,000 are kept for those who subscribe later.
///
/// Reasons and modes are texts, as tools show them.
#[message(name = "shard.CoreEvent")]
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CoreEvent {
    /// An application was loaded.
    AppLoaded {
        /// Which.
        name: String,
    },
    /// All members of an application run.
    AppStarted {
        /// Which.
        name: String,
        /// Its mode.
        mode: String,
    },
    /// An application is being stopped, or ends by itself.
    AppStopping {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// An application has ended.
    AppStopped {
        /// Which.
        name: String,
        /// Its mode.
        mode: String,
        /// Why.
        reason: String,
    },
    /// An application was unloaded.
    AppUnloaded {
        /// Which.
        name: String,
    },
    /// A session with another node has begun.
    NodeConnected {
        /// Its name.
        name: String,
    },
    /// A session with another node has ended.
    NodeDisconnected {
        /// Its name.
        name: String,
    },
}
