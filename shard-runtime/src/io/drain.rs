//! Which I/O processes of a node have answers to give before they end: its web servers, which a stop closes first.
//!
//! Invariant: D1 a server is listed from its `init` to its `terminate`, so an empty list says that all have ended.
//! Threads: shards write when a server begins or ends; whoever stops a node or an application reads.

use crate::io::CloseIo;
use crate::shard::Shard;
use rustc_hash::FxHashSet;
use shard_wire::Pid;
use std::sync::PoisonError;
use std::time::Duration;

/// How much longer than it allows itself a server may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// A server that answers what was asked when it is told to close.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draining {
    pub(crate) pid: Pid,
    /// Symbol of its application, or 0.
    pub(crate) application: u32,
    /// How long it takes at most.
    pub(crate) limit: Duration,
}

/// The servers of a node.
#[expect(clippy::disallowed_types, reason = "met when a server begins or ends, never by a shard that works")]
#[derive(Debug, Default)]
pub(crate) struct Drains(std::sync::Mutex<Vec<Draining>>);

impl Drains {
    #[cfg(feature = "web")]
    pub(crate) fn add(&self, server: Draining) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(server);
    }

    #[cfg(feature = "web")]
    pub(crate) fn remove(&self, pid: Pid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|server| server.pid != pid);
    }

    /// Those of one application, or all.
    fn of(&self, application: Option<u32>) -> Vec<Draining> {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |server: &&Draining| application.is_none_or(|symbol| server.application == symbol);
        servers.iter().filter(wanted).copied().collect()
    }
}

/// One go at having servers drained: looks again and again, so that one that begins meanwhile is told, too.
pub(crate) struct Drain {
    application: Option<u32>,
    told: FxHashSet<u64>,
}

impl Drain {
    /// Of one application, or of the whole node.
    pub(crate) fn new(application: Option<u32>) -> Self {
        Self { application, told: FxHashSet::default() }
    }

    /// Has `tell` called for each server that was not told yet. For how long those that are left may be waited for in all; `None`
    /// if all have ended.
    pub(crate) fn look(&mut self, drains: &Drains, mut tell: impl FnMut(Pid)) -> Option<Duration> {
        let servers = drains.of(self.application);
        for server in &servers {
            if self.told.insert(server.pid.local.0) {
                tell(server.pid);
            }
        }
        servers.iter().map(|server| server.limit.saturating_add(GRACE)).max()
    }
}

impl Shard {
    /// Has a server of this shard take nothing more, answer what was asked, and end.
    pub(crate) fn drain_server(&self, pid: Pid) {
        if let Some(record) = self.live_record(pid.local.0) {
            self.post_system(record, crate::Priority::Max.queue(), CloseIo);
        }
    }
}
