//! Events as diagnostics sees them.

use std::sync::Arc;
use std::time::SystemTime;

/// One event that a process of this node has registered.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Its name.
    pub name: Arc<str>,
    /// Rust type of its messages.
    pub message_type: &'static str,
    /// Local id of its producer.
    pub producer: u64,
    /// Publications it keeps for later subscribers at most.
    pub buffer: u64,
    /// Publications it keeps now.
    pub kept: u64,
    /// Its producer is told when subscribers come and go.
    pub notify: bool,
    /// Anybody may publish it by its name.
    pub open: bool,
    /// Links and monitors of subscribers, now.
    pub subscribers: u64,
    /// Publications since it was registered.
    pub published: u64,
    /// Messages into mailboxes of this node since it was registered.
    pub local_sent: u64,
    /// Messages to peers since it was registered.
    pub remote_sent: u64,
    /// Messages that a full mailbox or lane refused since it was registered.
    pub lost: u64,
    /// When it was registered.
    pub created: SystemTime,
    /// When it was last published.
    pub last_published: Option<SystemTime>,
    /// `active`, `on_demand`, `idle`, `no_subscribers` or `no_publishing`.
    pub utilization: &'static str,
}
