//! The trait [`Source`].

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::{
    AcceptorRow, AppRow, CronPlan, CronView, EventRow, Facts, Identity, InspectError, NetRow, NodeCounters,
    PeerRow, ProcessRow, ProxyError, RegistrarView, RemoteRequest, Reply, ShardRow,
};

/// A node, as diagnostics sees it.
pub trait Source: Send + Sync + 'static {
    /// Who the node is.
    fn identity(&self) -> Identity;

    /// Counters of the whole node.
    fn node_counters(&self) -> NodeCounters;

    /// Visits every live process once, in any order; a row torn by reuse of its slot is left out.
    fn for_each_process(&self, visit: &mut dyn FnMut(&ProcessRow<'_>));

    /// Visits one process; `false` if there is none.
    fn process(&self, local_id: u64, visit: &mut dyn FnMut(&ProcessRow<'_>)) -> bool;

    /// All shards, by index.
    fn shards(&self) -> Vec<ShardRow>;

    /// Registered events, by name.
    fn events(&self) -> Vec<EventRow>;

    /// Loaded applications, by name.
    fn apps(&self) -> Vec<AppRow>;

    /// The cron jobs, by name.
    fn cron(&self) -> CronView;

    /// What cron runs after `since`, within `span`, at most `limit` times; of one job, if it is named.
    fn cron_schedule(&self, since: SystemTime, span: Duration, limit: usize, job: Option<&str>) -> CronPlan;

    /// Log records that found no room in the queues to the log thread since start, by level: trace, debug, info,
    /// warning, error, panic.
    fn log_lost(&self) -> [u64; 6];

    /// All connected peers.
    fn peers(&self) -> Vec<PeerRow>;

    /// What the network counts as a whole.
    fn net(&self) -> NetRow;

    /// All listeners.
    fn acceptors(&self) -> Vec<AcceptorRow>;

    /// Messages dropped by the policy of a full mailbox before they reached its shard: those of threads outside any
    /// shard, since start.
    fn outside_dropped(&self) -> u64;

    /// What the registrar says, from memory.
    fn registrar(&self) -> RegistrarView;

    /// Local id of a registered name.
    fn lookup(&self, name: &str) -> Option<u64>;

    /// Asks a process for its own view of itself.
    ///
    /// # Errors
    /// [`InspectError`] by the deadline at the latest.
    fn inspect(
        &self,
        local_id: u64,
        items: Vec<String>,
        deadline: Instant,
    ) -> Reply<'_, Vec<(String, String)>, InspectError>;

    /// Asks the shard of a process what it knows of it. The process is not disturbed.
    ///
    /// # Errors
    /// [`InspectError`] by the deadline at the latest.
    fn facts(&self, local_id: u64, deadline: Instant) -> Reply<'_, Facts, InspectError>;

    /// Sends a JSON request to the diagnostics thread of a connected node and returns its JSON answer.
    ///
    /// # Errors
    /// [`ProxyError`] by the deadline at the latest.
    fn diag_call(&self, node: &str, request: Vec<u8>, deadline: Instant) -> Reply<'_, Vec<u8>, ProxyError>;

    /// Round trips of the control link to a connected node, in nanoseconds, `count` of them.
    ///
    /// # Errors
    /// [`ProxyError`] by the deadline at the latest.
    fn ping(&self, node: &str, count: u32, deadline: Instant) -> Reply<'_, Vec<u64>, ProxyError>;

    /// Requests from peers. The first call takes the receiver, later ones get `None`. Called from a local task.
    fn take_requests(&self) -> Option<mpsc::Receiver<RemoteRequest>>;
}
