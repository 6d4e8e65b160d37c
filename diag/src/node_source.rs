//! A node of shard-runtime as a [`Source`].
//!
//! Owns: the translation of the runtime's records into ours, and the floors that keep totals from stepping back.
//! Invariants: J1 only `inspect`, `facts`, `diag_call` and `ping` leave the node's shared memory. J2 what counts "since
//! start" is the larger of what was read now and what was read before: a process that ends during a pass, or a finer
//! clock rate, never makes a total shrink. J3 a question to a stuck shard ends with the name of who holds it, after one second.
//! Threads: the diagnostics thread. Cost: two cache lines per process and pass.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use shard_runtime::wire::LocalId;
use shard_runtime::{
    Alias, CallError, DiagCallError, DiagPort, DiagRequest, Node, NodeRecord, OnFull, Pid, Priority,
    ProcessFacts, ProcessStats, Reader, SendReason, ShardStats, Target,
};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::error::DiagError;
use crate::node_rows::{
    acceptor_row, app_row, cells, cron_plan, cron_view, event_row, level, logger_row, net_row, peer_row,
    shard_counters, state,
};
use crate::options::DiagOptions;
use crate::pid;
use crate::source::{
    AcceptorRow, AppRow, CronPlan, CronView, Current, EventRow, Facts, Identity, InspectError, KnownNode,
    NetRow, NodeCounters, PeerRow, Phase, ProcessRow, ProcessState, ProxyError, Queues, RegistrarView,
    RemoteRequest, Reply, ShardRow, Source, Ties, Version,
};
use crate::thread::Diag;

/// A handler that has held its shard this long blocks it, for whoever inspects a process there.
const BLOCKED_AFTER: Duration = Duration::from_secs(1);
/// First and longest time between two looks at the shard of a process that does not answer.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(100);

/// A running node, as diagnostics sees it. It holds the node: stop the node with [`Node::stop`], not by dropping it.
#[derive(Debug)]
pub struct NodeSource {
    node: Node,
    reader: Reader,
    port: Option<DiagPort>,
    version: Version,
    floors: Floors,
}

/// The largest totals seen so far (J2).
#[derive(Debug)]
struct Floors {
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    running_ns: AtomicU64,
    wakeups: AtomicU64,
    waited_ns: AtomicU64,
    busy_ns: Box<[AtomicU64]>,
    stalled_ns: Box<[AtomicU64]>,
}

fn raise(floor: &AtomicU64, value: u64) -> u64 {
    floor.fetch_max(value, Relaxed).max(value)
}

impl NodeSource {
    /// A source that reads `node`.
    #[must_use]
    pub fn new(node: &Node) -> Self {
        let per_shard = || (0..node.shards()).map(|_| AtomicU64::new(0)).collect();
        let floors = Floors {
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            running_ns: AtomicU64::new(0),
            wakeups: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
            busy_ns: per_shard(),
            stalled_ns: per_shard(),
        };
        Self {
            node: node.clone(),
            reader: node.stats(),
            port: node.diag_port(),
            version: Version::default(),
            floors,
        }
    }

    /// Sets the version of the program, for `node_info`.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Who holds a shard, and since when.
    fn blocker(&self, shard: u16) -> Option<(InspectError, Duration)> {
        let stats = self.reader.shards().into_iter().nth(usize::from(shard))?;
        let by = stats.current?.0;
        let blocked = InspectError::ShardBlocked {
            shard: u32::from(shard),
            by,
            pid: pid::short(self.reader.crc().0, by),
            name: self.name_of(LocalId(by)),
            for_ns: stats.current_ns,
        };
        Some((blocked, Duration::from_nanos(stats.current_ns)))
    }

    fn name_of(&self, id: LocalId) -> String {
        let process = self.reader.process(id);
        process.map_or_else(String::new, |process| String::from(self.reader.symbol(process.name)))
    }

    fn pid(&self, local: LocalId) -> Pid {
        Pid { node: self.reader.key(), local }
    }

    /// Waits for what the shard of a process answers, and looks who is in the way while it does not (J3).
    async fn answer_of<T>(
        &self,
        id: LocalId,
        answer: impl Future<Output = Result<T, CallError>>,
        deadline: Instant,
    ) -> Result<T, InspectError> {
        let mut answer = pin!(answer);
        let mut look = FIRST_LOOK;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(|error| self.inspect_failed(id, &error)),
                () = sleep(left_until(deadline).min(look)) => {}
            }
            look = (look * 2).min(LOOK);
            let is_over = left_until(deadline).is_zero();
            match self.blocker(id.shard()) {
                Some((blocked, held)) if is_over || held >= BLOCKED_AFTER => return Err(blocked),
                _ if is_over => return Err(InspectError::Timeout),
                _ => {}
            }
        }
    }

    /// The full text of a pid; of a node that is unknown by now, the short one.
    fn pid_text(&self, pid: Pid) -> String {
        if pid.node == self.reader.key() {
            return pid::full(self.reader.name(), pid.node.0, pid.local.0);
        }
        let peer = self.reader.peers().into_iter().find(|peer| peer.key == pid.node.0);
        peer.map_or_else(|| pid.to_string(), |peer| pid::full(&peer.name, pid.node.0, pid.local.0))
    }

    fn ties(&self, targets: Vec<Target>) -> Ties {
        let mut ties = Ties::default();
        for target in targets {
            match target {
                Target::Pid(pid) => ties.pids.push(self.pid_text(pid)),
                Target::Name(name) => ties.names.push(String::from(&*name)),
                Target::NameAt { name, node } => ties.names.push(format!("{name} at {node}")),
                Target::Alias(alias) => ties.aliases.push(alias.to_string()),
                Target::Event(event) => ties.events.push(String::from(&*event)),
                Target::EventAt { name, node } => ties.events.push(format!("{name} at {node}")),
                Target::Node(node) => ties.nodes.push(String::from(&*node)),
                // A relation of a newer runtime, which this build has no word for.
                _ => {}
            }
        }
        ties
    }

    fn facts_as_text(&self, facts: ProcessFacts) -> Facts {
        let [main, system, urgent, log] = facts.queues;
        let pids = |pids: Vec<Pid>| pids.into_iter().map(|pid| self.pid_text(pid)).collect();
        Facts {
            queues: Queues { main, system, urgent, log },
            mailbox_limit: facts.mailbox_limit.map(u64::from),
            on_full: match facts.on_full {
                OnFull::Reject => "reject",
                OnFull::DropNewest => "drop newest",
                OnFull::DropOldest => "drop oldest",
            },
            fallback: facts.fallback,
            send_priority: match facts.send_priority {
                Priority::Normal => "normal",
                Priority::High => "high",
                Priority::Max => "max",
            },
            traps_exits: facts.traps_exits,
            splits_handles: facts.splits_handles,
            awaited_calls: u64::try_from(facts.awaited).unwrap_or(u64::MAX),
            aliases: facts.aliases.iter().map(Alias::to_string).collect(),
            events: facts.events,
            env: if self.reader.exposes_env() { facts.env_shown } else { Vec::new() },
            env_keys: facts.env,
            links: self.ties(facts.links),
            linked_by: pids(facts.linked_by),
            monitors: self.ties(facts.monitors),
            monitored_by: pids(facts.monitored_by),
        }
    }

    fn inspect_failed(&self, id: LocalId, error: &CallError) -> InspectError {
        match error {
            CallError::Send(SendReason::NoProcess) => InspectError::UnknownProcess,
            CallError::Terminated if self.reader.process(id).is_none() => InspectError::UnknownProcess,
            // The request was refused: another inspection of the process, or a full inbox, is in the way.
            CallError::Terminated | CallError::Send(_) => InspectError::Overloaded,
            _ => InspectError::Timeout,
        }
    }

    fn visit(&self, process: &ProcessStats, visit: &mut dyn FnMut(&ProcessRow<'_>)) {
        visit(&ProcessRow {
            cells: cells(process),
            name: self.reader.symbol(process.name),
            application: self.reader.symbol(process.application),
            behavior: process.behavior,
            kind: process.kind,
        });
    }

    fn shard_row(&self, stats: &ShardStats) -> ShardRow {
        let counters = &stats.counters;
        let current =
            stats.current.map(|id| Current { id: id.0, name: self.name_of(id), since_ns: stats.current_ns });
        let busy_ns = stats.busy_ns.saturating_add(stats.current_ns);
        let floored = |floors: &[AtomicU64], value| {
            floors.get(usize::from(stats.index)).map_or(value, |floor| raise(floor, value))
        };
        ShardRow {
            id: u32::from(stats.index),
            heartbeat_age_ns: stats.heartbeat_age_ns(),
            parked: stats.is_parked,
            current,
            busy_ns: floored(&self.floors.busy_ns, busy_ns),
            inbox_depth: stats.inbox,
            inbox_refused: stats.inbox_refused,
            stalled_ns: floored(&self.floors.stalled_ns, self.reader.nanos(counters.stalled)),
            ..shard_counters(counters)
        }
    }
}

impl Diag {
    /// Starts diagnostics of a node; the same as [`Diag::start`] with a [`NodeSource`].
    ///
    /// # Errors
    /// As for [`Diag::start`].
    pub fn for_node(node: &Node, options: DiagOptions) -> Result<Self, DiagError> {
        Self::start(Arc::new(NodeSource::new(node)), options)
    }
}

impl Source for NodeSource {
    fn identity(&self) -> Identity {
        let log_level = level(self.reader.log_level());
        Identity {
            name: String::from(self.reader.name()),
            crc: self.reader.crc().0,
            creation: self.reader.key().0,
            uptime_ns: self.reader.uptime_ns(),
            version: self.version.clone(),
            framework: Version {
                name: String::from("shard-runtime"),
                release: String::from(env!("CARGO_PKG_VERSION")),
                commit: String::new(),
                license: String::from(env!("CARGO_PKG_LICENSE")),
            },
            shards: u32::from(self.node.shards()),
            env: self.reader.env().shown(self.reader.exposes_env()),
            log_level,
            loggers: self.reader.loggers().iter().map(|logger| logger_row(logger, log_level)).collect(),
            phase: if self.reader.is_stopping() { Phase::Stopping } else { Phase::Running },
        }
    }

    fn node_counters(&self) -> NodeCounters {
        // Totals of ended processes before the sweep: one that ends in between is missed for once, not counted twice.
        let node = self.reader.node();
        let counters = &node.counters;
        let net = self.reader.net();
        let (applications_total, applications_running) = self.reader.app_totals();
        let mut sums = NodeCounters {
            messages_in: counters.retired_in,
            messages_out: counters.retired_out,
            running_ns: self.reader.nanos(counters.retired_run),
            wakeups: counters.retired_wakeups,
            waited_ns: self.reader.nanos(counters.retired_latency),
            ..NodeCounters::default()
        };
        self.reader.processes(|process| {
            sums.processes_total += 1;
            match state(process.state) {
                ProcessState::Running => sums.processes_running += 1,
                ProcessState::WaitResponse => sums.processes_wait_response += 1,
                ProcessState::Zombee => sums.processes_zombee += 1,
                ProcessState::Init | ProcessState::Sleep | ProcessState::Terminated => {}
            }
            sums.messages_in += process.messages_in;
            sums.messages_out += process.messages_out;
            sums.running_ns += process.running_ns;
            sums.wakeups += process.wakeups;
            sums.waited_ns += process.waited_ns;
            true
        });
        NodeCounters {
            messages_in: raise(&self.floors.messages_in, sums.messages_in),
            messages_out: raise(&self.floors.messages_out, sums.messages_out),
            running_ns: raise(&self.floors.running_ns, sums.running_ns),
            wakeups: raise(&self.floors.wakeups, sums.wakeups),
            waited_ns: raise(&self.floors.waited_ns, sums.waited_ns),
            inbox_lost: node.inbox_refused,
            processes_spawned: counters.spawned,
            processes_spawn_failed: counters.spawn_failed,
            processes_terminated: counters.terminated,
            registered_names: node.names,
            registered_events: node.events,
            applications_total,
            applications_running,
            events_published: counters.events_published,
            events_received: counters.events_received,
            events_remote_sent: counters.events_sent_to_nodes,
            events_local_sent: counters.events_delivered,
            send_errors_local: counters.send_errors_local,
            send_errors_remote: counters.send_errors_remote,
            call_errors_local: counters.call_errors_local,
            call_errors_remote: counters.call_errors_remote,
            log_messages: node.log,
            connections_established: net.connections_established,
            connections_lost: net.connections_lost,
            ..sums
        }
    }

    fn for_each_process(&self, visit: &mut dyn FnMut(&ProcessRow<'_>)) {
        self.reader.processes(|process| {
            self.visit(process, visit);
            true
        });
    }

    fn process(&self, local_id: u64, visit: &mut dyn FnMut(&ProcessRow<'_>)) -> bool {
        self.reader.process(LocalId(local_id)).map(|process| self.visit(&process, visit)).is_some()
    }

    fn shards(&self) -> Vec<ShardRow> {
        self.reader.shards().iter().map(|stats| self.shard_row(stats)).collect()
    }

    fn peers(&self) -> Vec<PeerRow> {
        self.reader.peers().into_iter().filter(|peer| peer.connected).map(peer_row).collect()
    }

    fn apps(&self) -> Vec<AppRow> {
        let exposed = self.reader.exposes_env();
        self.reader.apps().into_iter().map(|app| app_row(app, exposed)).collect()
    }

    fn events(&self) -> Vec<EventRow> {
        self.reader.events().into_iter().map(event_row).collect()
    }

    fn cron(&self) -> CronView {
        cron_view(self.reader.cron())
    }

    fn cron_schedule(&self, since: SystemTime, span: Duration, limit: usize, job: Option<&str>) -> CronPlan {
        cron_plan(self.reader.cron_schedule(since, span, limit, job))
    }

    fn log_lost(&self) -> [u64; 6] {
        self.reader.log_lost_by_level()
    }

    fn net(&self) -> NetRow {
        net_row(self.reader.net())
    }

    fn acceptors(&self) -> Vec<AcceptorRow> {
        self.reader.acceptors().into_iter().map(acceptor_row).collect()
    }

    fn outside_dropped(&self) -> u64 {
        self.reader.outside_dropped()
    }

    fn registrar(&self) -> RegistrarView {
        let state = self.reader.registrar();
        let known = |record: &NodeRecord| KnownNode {
            name: String::from(record.name.as_str()),
            creation: record.incarnation.key().0,
        };
        RegistrarView { down: state.down, nodes: state.nodes.iter().map(known).collect() }
    }

    fn lookup(&self, name: &str) -> Option<u64> {
        self.reader.lookup(name).map(|pid| pid.local.0)
    }

    fn inspect(
        &self,
        local_id: u64,
        items: Vec<String>,
        deadline: Instant,
    ) -> Reply<'_, Vec<(String, String)>, InspectError> {
        let id = LocalId(local_id);
        let answer = self.node.inspect(self.pid(id), items);
        Box::pin(self.answer_of(id, answer, deadline))
    }

    fn facts(&self, local_id: u64, deadline: Instant) -> Reply<'_, Facts, InspectError> {
        let id = LocalId(local_id);
        let answer = self.node.facts(self.pid(id));
        Box::pin(async move {
            let facts = self.answer_of(id, answer, deadline).await?;
            Ok(self.facts_as_text(facts))
        })
    }

    fn diag_call(&self, node: &str, request: Vec<u8>, deadline: Instant) -> Reply<'_, Vec<u8>, ProxyError> {
        let node = String::from(node);
        Box::pin(async move {
            let port = self.port.as_ref().ok_or(ProxyError::NotConnected)?;
            let answer = port.call(&node, request, left_until(deadline));
            answer.await.map_err(proxy_error)
        })
    }

    fn ping(&self, node: &str, count: u32, deadline: Instant) -> Reply<'_, Vec<u64>, ProxyError> {
        let node = String::from(node);
        Box::pin(async move {
            let port = self.port.as_ref().ok_or(ProxyError::NotConnected)?;
            let trips = port.ping(&node, count, left_until(deadline));
            trips.await.map_err(proxy_error)
        })
    }

    fn take_requests(&self) -> Option<mpsc::Receiver<RemoteRequest>> {
        let mut theirs = self.port.as_ref()?.take_requests()?;
        let (forward, ours) = mpsc::channel(1);
        tokio::task::spawn_local(async move {
            while let Some(DiagRequest { from, bytes, deadline, reply, .. }) = theirs.recv().await {
                // Refused once nobody takes them: dropping the reply tells the asker.
                if forward.send(RemoteRequest { from, request: bytes, deadline, reply }).await.is_err() {
                    break;
                }
            }
        });
        Some(ours)
    }
}

fn left_until(deadline: Instant) -> Duration {
    tokio::time::Instant::from_std(deadline).saturating_duration_since(tokio::time::Instant::now())
}

fn proxy_error(error: DiagCallError) -> ProxyError {
    match error {
        DiagCallError::NotConnected => ProxyError::NotConnected,
        DiagCallError::Unreachable => ProxyError::Unreachable,
        DiagCallError::AgentUnavailable => ProxyError::AgentUnavailable,
        DiagCallError::Timeout => ProxyError::Timeout,
        DiagCallError::Overloaded => ProxyError::Overloaded,
        DiagCallError::Refused => ProxyError::Refused,
        DiagCallError::TooLarge => ProxyError::TooLarge,
        _ => ProxyError::Version,
    }
}
