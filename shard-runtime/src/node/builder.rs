//! How a node is configured and started.

use crate::clock::Clock;
use crate::control::{ControlThread, NetworkSettings, RouteOptions};
use crate::cron::{CronJob, CronTable};
use crate::error::NodeError;
use crate::link::LinkOptions;
use crate::node::{Node, Setup, StopPlan};
use crate::reactor::executor::{DriveSettings, ShardThread};
use crate::reactor::preflight::doctor;
use crate::registrar::RegistrarSpec;
use crate::shard::{LogLevel, MAX_NODES, NodeTable, Port, ShardSettings};
use crate::shared::NodeShared;
use crate::tap::{LogSink, LogTap, StderrSink};
use shard_wire::{Incarnation, NodeName, Registry, ShardId};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the shard threads run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pinning {
    /// Wherever the scheduler puts them: right where several nodes share few CPUs.
    #[default]
    None,
    /// Shard n on the n-th CPU of this process's affinity mask.
    Auto,
    /// Shard n on the n-th of these CPUs.
    Cpus(Vec<usize>),
}

/// Settings of a node. Made by [`Node::builder`].
pub struct NodeBuilder {
    name: String,
    shards: u16,
    pinning: Pinning,
    idle_spin: Duration,
    max_processes: u32,
    prefault_messages: usize,
    shard_memory: u64,
    ring_slots: usize,
    inbox_limit: usize,
    log_level: LogLevel,
    log_sink: Box<dyn LogSink>,
    network: NetworkSettings,
    pub(super) setup: Setup,
    cron: Vec<CronJob>,
    messages: Option<Registry>,
}

impl std::fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

fn collect() -> Result<Registry, NodeError> {
    Registry::collect().map_err(|error| NodeError::Messages(error.to_string()))
}

impl NodeBuilder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            shards: 1,
            pinning: Pinning::None,
            idle_spin: Duration::ZERO,
            max_processes: 4 << 20,
            prefault_messages: 4096,
            shard_memory: 2 << 30,
            ring_slots: crate::ring::DEFAULT_CAPACITY,
            inbox_limit: 1 << 20,
            log_level: LogLevel::Info,
            log_sink: Box::<StderrSink>::default(),
            network: NetworkSettings::default(),
            setup: Setup::default(),
            cron: Vec::new(),
            messages: None,
        }
    }

    /// Sets the number of shards, 1 to 1024. Default 1.
    #[must_use]
    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = shards;
        self
    }

    /// Sets where the shard threads run. Default: not pinned.
    #[must_use]
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.pinning = pinning;
        self
    }

    /// Sets how long an idle shard polls before it parks. Default 0: at once. Polling answers in a fraction of a
    /// microsecond instead of tens, and costs a CPU while it lasts.
    #[must_use]
    pub fn idle_spin(mut self, spin: Duration) -> Self {
        self.idle_spin = spin;
        self
    }

    /// Sets how many processes one shard can hold, up to 2^30. Default 4 Mi. It costs address space, not memory.
    #[must_use]
    pub fn max_processes(mut self, processes: u32) -> Self {
        self.max_processes = processes;
        self
    }

    /// Sets how many message envelopes each shard touches before it is ready. Default 4096, 256 KiB. First use of memory
    /// costs more than messaging, so a shard that expects bursts should hold them.
    #[must_use]
    pub fn prefault_messages(mut self, messages: usize) -> Self {
        self.prefault_messages = messages;
        self
    }

    /// Sets the slots of a ring between two shards. Default 8192. A full ring spills, it does not drop.
    #[must_use]
    pub fn ring_slots(mut self, slots: usize) -> Self {
        self.ring_slots = slots;
        self
    }

    /// Sets how many bytes the messages queued on one shard, and those spilled by it, may take: 64 for each, without what
    /// they point to. Above it senders outside the shards get `Overloaded`, and so do calls of other nodes, until seven
    /// eighths are left. Default 2 GiB, at least 1 MiB.
    #[must_use]
    pub fn shard_memory(mut self, bytes: u64) -> Self {
        self.shard_memory = bytes.max(1 << 20);
        self
    }

    /// Sets how many items a shard's inbox holds before outside senders are refused. Default 1 Mi.
    #[must_use]
    pub fn inbox_limit(mut self, items: usize) -> Self {
        self.inbox_limit = items;
        self
    }

    /// Sets the lowest level that is logged. Default info.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = level;
        self
    }

    /// Sets where the log goes. Default: standard error.
    #[must_use]
    pub fn log_sink(mut self, sink: impl LogSink + 'static) -> Self {
        self.log_sink = Box::new(sink);
        self
    }

    /// Adds a job to the schedule of the node. A job that cannot be added keeps the node from starting.
    #[must_use]
    pub fn cron(mut self, job: CronJob) -> Self {
        self.cron.push(job);
        self
    }

    /// Sets the address on which the node takes links of other nodes, such as `127.0.0.1:0`; port 0 is any free one, see
    /// [`Node::listen_address`]. A node without an address, a registrar or a route has no network; with one of those, the
    /// default is `127.0.0.1:0`.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.network.listen = Some(address.into());
        self
    }

    /// Sets the `host:port` that other nodes dial, where it is not the address the node listens on.
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.network.advertise = Some(address.into());
        self
    }

    /// Sets the secret that all nodes of the cluster share. Required with a network; off loopback it needs at least 32
    /// random bytes.
    #[must_use]
    pub fn cookie(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.network.cookie = secret.as_ref().to_vec();
        self
    }

    /// Also accepts the cookie used until now, while a cluster changes from one to the next.
    #[must_use]
    pub fn previous_cookie(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.network.previous_cookie = Some(secret.as_ref().to_vec());
        self
    }

    /// Sets the name of the cluster, at most 64 bytes. Nodes of different clusters refuse each other. Default: empty.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.network.cluster = name.into();
        self
    }

    /// Sets the registrar through which nodes find each other. Default: none.
    #[must_use]
    pub fn registrar(mut self, spec: RegistrarSpec) -> Self {
        self.network.registrar = Some(spec);
        self
    }

    /// Adds a route: where a node is dialled, as `host:port` or as [`RouteOptions`]. The node keeps in session with a node
    /// that is named. A pattern, with `*` for any characters, is for all nodes whose names match, once they are wanted
    /// ([`Node::connect`], a send to a name there). May be repeated, also for one node with several addresses; the same
    /// address twice is refused. See also [`Node::add_route`].
    #[must_use]
    pub fn route(mut self, pattern: impl Into<String>, to: impl Into<RouteOptions>) -> Self {
        self.network.routes.push((pattern.into(), to.into()));
        self
    }

    /// Sets the only nodes that may be peers, by name. Others are neither dialled nor accepted: they are refused after they
    /// have proven that they know the cookie, for the reason `not_listed`, which is counted
    /// ([`AcceptorStats::errors`](crate::stats::AcceptorStats)) and logged. An empty list admits nobody. Default: every
    /// node that knows the cookie may be a peer.
    #[must_use]
    pub fn allow_peers(mut self, nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.network.allow_peers = Some(nodes.into_iter().map(Into::into).collect());
        self
    }

    /// Speaks TLS on all links of other nodes, on loopback as well, and with the registrar: what is accepted and what is
    /// dialled, control links and data links. A peer in plain text is refused for the reason `plaintext`. Nothing that a peer
    /// or a registrar says switches it off; only a route that is [in plain text](RouteOptions::plaintext) does, for itself.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn link_tls(mut self, tls: crate::LinkTls) -> Self {
        self.network.link_tls = Some(tls);
        self
    }

    /// Accepts and dials links in plain text off loopback, and allows routes in plain text. Default: no; such a node does not
    /// start without [`link_tls`](NodeBuilder::link_tls). Only for networks that are trusted.
    #[must_use]
    pub fn allow_plaintext(mut self, allow: bool) -> Self {
        self.network.allow_plaintext = allow;
        self
    }

    /// Sets how links to other nodes are used: the longest message, credit, what may wait. Defaults as in [`LinkOptions`].
    #[must_use]
    pub fn links(mut self, links: LinkOptions) -> Self {
        self.network.links = links;
        self
    }

    /// Sets the time for a whole handshake. Default 5 s.
    #[must_use]
    pub fn handshake_deadline(mut self, deadline: Duration) -> Self {
        self.network.handshake_deadline = deadline;
        self
    }

    /// Sets the messages that the node reads, instead of all that are linked into the program. For tests of a node of another
    /// version.
    #[doc(hidden)]
    #[must_use]
    pub fn messages(mut self, registry: Registry) -> Self {
        self.messages = Some(registry);
        self
    }

    fn check(&self) -> Result<NodeName, NodeError> {
        let name = NodeName::new(&self.name).map_err(|_| NodeError::BadName(self.name.clone()))?;
        let bad = |setting, value: String, must_be| NodeError::BadSetting { setting, value, must_be };
        if self.shards == 0 || self.shards > ShardId::MAX / 2 + 1 {
            return Err(bad("shards", self.shards.to_string(), "1 to 1024"));
        }
        if self.max_processes == 0 || self.max_processes > 1 << 30 {
            return Err(bad("max_processes", self.max_processes.to_string(), "1 to 1073741824"));
        }
        if let Pinning::Cpus(cpus) = &self.pinning
            && cpus.len() != usize::from(self.shards)
        {
            return Err(bad("pinning", format!("{cpus:?}"), "one CPU for each shard"));
        }
        if cfg!(panic = "abort") {
            return Err(NodeError::PanicAbort);
        }
        if let Some(problem) = doctor(self.shards, self.pinning != Pinning::None).into_problem() {
            return Err(problem.into());
        }
        Ok(name)
    }

    /// Starts the node and returns once all its shards are up.
    ///
    /// # Errors
    /// A setting is out of range, the machine lacks something (see [`doctor`](crate::doctor)), or a thread could not be
    /// started.
    pub fn start(mut self) -> Result<Node, NodeError> {
        let name = self.check()?;
        let apps = self.setup.take_apps()?;
        let incarnation = incarnation();
        let network = self.network.bind(&name, incarnation, self.shards)?;
        let registry = self.messages.take().map_or_else(collect, Ok)?;
        let clock = Clock::system();
        let log = LogTap::start(name.clone(), self.log_level, self.log_sink, clock.clone(), self.shards)
            .map_err(|source| NodeError::Thread { thread: "log".into(), source })?;
        let mut ports = Vec::with_capacity(usize::from(self.shards));
        for _ in 0..self.shards {
            let port = Port::reserve(self.max_processes, self.inbox_limit)
                .map_err(|source| NodeError::Memory { what: "processes", source })?;
            ports.push(Arc::new(port));
        }
        let plan = std::mem::take(&mut self.setup.plan);
        let node = NodeTable::enter(
            |index| {
                let shared = NodeShared::new(
                    index,
                    name,
                    incarnation,
                    ports.into(),
                    log,
                    clock.clone(),
                    registry,
                    plan,
                );
                Ok(Arc::new(shared))
            },
            || NodeError::TooManyNodes(MAX_NODES),
        )?;
        node.log().bind(&node);
        self.setup.offers.drain(..).try_for_each(|enable| enable(node.offers()))?;
        let control = ControlThread::start(&node, network)?;
        let cpus = cpus_of(&self.pinning, self.shards);
        let shard = ShardSettings {
            prefault_messages: self.prefault_messages,
            ring_slots: self.ring_slots,
            budget_bytes: self.shard_memory,
        };
        let mut threads = Vec::new();
        for index in 0..self.shards {
            let cpu = cpus.get(usize::from(index)).copied();
            let settings = DriveSettings { cpu, idle_spin: self.idle_spin, shard: shard.clone() };
            match crate::reactor::executor::start(&node, index, clock.clone(), settings) {
                Ok(thread) => threads.push(thread),
                Err(error) => return Err(abandon(&node, threads, &control, error)),
            }
        }
        if let Some(error) = first_failure(&threads) {
            return Err(abandon(&node, threads, &control, error));
        }
        let added = self.cron.into_iter().try_for_each(|job| CronTable::add(&node, job));
        if let Err(error) = added {
            return Err(abandon(&node, threads, &control, error.into()));
        }
        if let Err(error) = control.open() {
            control.goodbye(false);
            return Err(abandon(&node, threads, &control, error));
        }
        let threads = threads.into_iter().map(|thread| thread.thread).collect();
        let node = Node::from_parts(node, threads, control, self.setup.stop);
        let started = self.setup.register_events(&node).and_then(|()| Setup::start_apps(apps, &node));
        if let Err(error) = started {
            node.stop_with(StopPlan::new().force());
            return Err(error);
        }
        Ok(node)
    }
}

/// Waits until all shards have said whether they are up.
fn first_failure(threads: &[ShardThread]) -> Option<NodeError> {
    threads.iter().enumerate().find_map(|(index, thread)| match thread.ready.recv() {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(NodeError::Shard { shard: index as u16, reason: "its thread ended at start".into() }),
    })
}

/// Stops what has started of a node that will not.
fn abandon(
    node: &Arc<NodeShared>,
    threads: Vec<ShardThread>,
    control: &ControlThread,
    error: NodeError,
) -> NodeError {
    crate::node::handle::stop_shards(node, threads.into_iter().map(|thread| thread.thread).collect());
    control.end();
    error
}

fn incarnation() -> Incarnation {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 8];
    // Without the system's randomness the start time alone tells incarnations apart; nothing secret depends on it.
    let _weaker = getrandom::fill(&mut random);
    Incarnation { start_nanos: since.as_nanos() as u64, random: u64::from_le_bytes(random) }
}

fn cpus_of(pinning: &Pinning, shards: u16) -> Vec<usize> {
    match pinning {
        Pinning::None => Vec::new(),
        Pinning::Cpus(cpus) => cpus.clone(),
        Pinning::Auto => {
            let mut cpus = crate::reactor::memory::affinity();
            cpus.truncate(usize::from(shards));
            cpus
        }
    }
}
