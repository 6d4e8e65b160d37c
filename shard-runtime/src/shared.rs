//! What all threads of a node share.
//!
//! Invariant: N1 everything in here is either immutable after the start, atomic, or lock-free to read.

use crate::app::{AppFailure, Apps};
use crate::clock::Clock;
use crate::control::NetCounters;
use crate::cron::CronTable;
use crate::error::{ExitReason, SendError, SendReason};
use crate::event::Events;
use crate::io::Drains;
use crate::link::{ControlSink, Offers, Peer, PeerTable, Request};
use crate::mailbox::Meta;
use crate::names::Names;
use crate::process::Env;
use crate::shard::{Admission, Annexes, Inbound, Parcel, Port};
use crate::symbol::{MAX_SYMBOLS, Symbols};
use crate::tap::LogTap;
use crate::trace::TraceContext;
use shard_wire::{Incarnation, IncarnationKey, LocalId, Message, NodeCrc, NodeName, Pid, Registry};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

/// Nodes that this OS process has started. Process-wide, like the table of nodes.
static NEXT_SERIAL: AtomicU32 = AtomicU32::new(1);

/// What a node is given before its shards start, and never changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodePlan {
    pub(crate) version: String,
    pub(crate) env: Env,
    /// Tools show the values of environments that are not secret.
    pub(crate) expose_env: bool,
    /// Environments go along with processes that are started on other nodes.
    pub(crate) expose_env_remote_spawn: bool,
    pub(crate) app_failure: AppFailure,
}

/// Told when a permanent application has ended and the node is to stop because of it.
type OnAppFailed = Box<dyn Fn(&str, ExitReason) + Send + Sync>;

/// The shared part of a node.
pub(crate) struct NodeShared {
    index: u8,
    serial: u32,
    name: NodeName,
    crc: NodeCrc,
    incarnation: Incarnation,
    key: IncarnationKey,
    ports: Box<[Arc<Port>]>,
    annexes: Annexes,
    names: Names,
    events: Events,
    cron: CronTable,
    drains: Drains,
    symbols: Symbols,
    log: LogTap,
    clock: Clock,
    started: u64,
    stopping: AtomicBool,
    inbox_refused: AtomicU64,
    outside_dropped: AtomicU64,
    outside_refused: AtomicU64,
    registry: Registry,
    peers: PeerTable,
    offers: Offers,
    control: OnceLock<Box<dyn ControlSink>>,
    net: NetCounters,
    apps: Apps,
    plan: NodePlan,
    on_app_failed: OnceLock<OnAppFailed>,
}

impl std::fmt::Debug for NodeShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeShared").field("name", &self.name).finish_non_exhaustive()
    }
}

impl NodeShared {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one of the node's parts, made by the reactor that starts it"
    )]
    pub(crate) fn new(
        index: u8,
        name: NodeName,
        incarnation: Incarnation,
        ports: Box<[Arc<Port>]>,
        log: LogTap,
        clock: Clock,
        registry: Registry,
        plan: NodePlan,
    ) -> Self {
        Self {
            index,
            serial: NEXT_SERIAL.fetch_add(1, Relaxed),
            crc: name.crc(),
            name,
            key: incarnation.key(),
            incarnation,
            annexes: Annexes::new(&ports),
            ports,
            names: Names::new(),
            events: Events::default(),
            cron: CronTable::default(),
            drains: Drains::default(),
            symbols: Symbols::new(MAX_SYMBOLS),
            log,
            started: clock.ticks(),
            clock,
            stopping: AtomicBool::new(false),
            inbox_refused: AtomicU64::new(0),
            outside_dropped: AtomicU64::new(0),
            outside_refused: AtomicU64::new(0),
            registry,
            peers: PeerTable::default(),
            offers: Offers::default(),
            control: OnceLock::new(),
            net: NetCounters::default(),
            apps: Apps::default(),
            plan,
            on_app_failed: OnceLock::new(),
        }
    }

    /// Told apart from every other node of this OS process, also from those whose index it took over.
    #[inline(always)]
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    #[inline(always)]
    pub(crate) fn index(&self) -> u8 {
        self.index
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn crc(&self) -> NodeCrc {
        self.crc
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    #[inline]
    pub(crate) fn key(&self) -> IncarnationKey {
        self.key
    }

    pub(crate) fn shards(&self) -> u16 {
        self.ports.len() as u16
    }

    /// The port of a shard, or of an annex.
    #[inline]
    pub(crate) fn port(&self, shard: u16) -> Option<&Port> {
        match self.ports.get(shard as usize) {
            Some(port) => Some(port),
            None => self.annexes.port(shard).map(|port| &**port),
        }
    }

    pub(crate) fn port_arc(&self, shard: u16) -> Option<Arc<Port>> {
        self.ports.get(shard as usize).or_else(|| self.annexes.port(shard)).cloned()
    }

    /// The places of processes on threads of their own.
    pub(crate) fn annexes(&self) -> &Annexes {
        &self.annexes
    }

    pub(crate) fn ports(&self) -> &[Arc<Port>] {
        &self.ports
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The applications.
    pub(crate) fn apps(&self) -> &Apps {
        &self.apps
    }

    /// The environment that processes inherit which the node itself starts.
    #[inline]
    pub(crate) fn env(&self) -> &Env {
        &self.plan.env
    }

    /// What the node was given at its start.
    pub(crate) fn plan(&self) -> &NodePlan {
        &self.plan
    }

    /// What happens when a permanent application has ended.
    pub(crate) fn app_failure(&self) -> AppFailure {
        self.plan.app_failure
    }

    /// Says who stops the node when a permanent application has ended; once.
    pub(crate) fn set_on_app_failed(&self, told: OnAppFailed) {
        // The first one stays: there is one node handle.
        let _set = self.on_app_failed.set(told);
    }

    /// A permanent application has ended, and the node is to stop.
    pub(crate) fn app_failed(&self, name: &str, reason: ExitReason) {
        if let Some(told) = self.on_app_failed.get() {
            told(name, reason);
        }
    }

    /// Registered events.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Jobs that run at times of the wall clock.
    pub(crate) fn cron(&self) -> &CronTable {
        &self.cron
    }

    /// The shard with the fewest processes, those that are ready counting more than those that sleep.
    /// The servers that have answers to give before the node ends.
    pub(crate) fn drains(&self) -> &Drains {
        &self.drains
    }

    pub(crate) fn least_loaded(&self) -> u16 {
        let load = |port: &Port| {
            let cells = &port.cells;
            // A ready process costs time now; a sleeping one only memory.
            cells.ready.load(Relaxed) * 1024 + port.inbox.len() as u64 + cells.processes.load(Relaxed)
        };
        let least = self.ports.iter().enumerate().min_by_key(|(_, port)| load(port));
        least.map_or(0, |(index, _)| index as u16)
    }

    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    pub(crate) fn log(&self) -> &LogTap {
        &self.log
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    /// The process that holds a name.
    pub(crate) fn lookup(&self, name: &str) -> Option<Pid> {
        self.names.lookup(name).map(|local: LocalId| Pid { node: self.key, local })
    }

    pub(crate) fn connected_nodes(&self) -> Vec<String> {
        let connected = |peer: &Arc<Peer>| peer.connected.load(Relaxed);
        self.peers
            .all()
            .iter()
            .filter(|peer| connected(peer))
            .map(|peer| peer.name.as_str().to_owned())
            .collect()
    }

    /// The name, cheap to clone.
    pub(crate) fn node_name(&self) -> &NodeName {
        &self.name
    }

    /// Message types by key.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All nodes this one has heard of.
    pub(crate) fn offers(&self) -> &Offers {
        &self.offers
    }

    #[inline]
    pub(crate) fn peers(&self) -> &PeerTable {
        &self.peers
    }

    /// Connects the node to its control thread; done once, before the shards start.
    pub(crate) fn set_control(&self, control: Box<dyn ControlSink>) -> bool {
        self.control.set(control).is_ok()
    }

    /// Asks something of the control thread; `false` if there is none.
    pub(crate) fn request(&self, request: Request) -> bool {
        self.control.get().is_some_and(|control| control.request(request))
    }

    /// What happened on the network.
    pub(crate) fn net(&self) -> &NetCounters {
        &self.net
    }

    /// Whether the node has a network.
    pub(crate) fn is_networked(&self) -> bool {
        self.control.get().is_some()
    }

    pub(crate) fn count_inbox_refused(&self) {
        self.inbox_refused.fetch_add(1, Relaxed);
    }

    /// A message from outside was dropped by its target's policy.
    pub(crate) fn count_outside_dropped(&self) {
        self.outside_dropped.fetch_add(1, Relaxed);
    }

    /// Messages from outside that were dropped by their target's policy.
    pub(crate) fn outside_dropped(&self) -> u64 {
        self.outside_dropped.load(Relaxed)
    }

    /// A message from outside goes back to its sender.
    #[cold]
    pub(crate) fn refused_outside<M>(&self, reason: SendReason, message: M) -> SendError<M> {
        self.outside_refused.fetch_add(1, Relaxed);
        SendError::new(reason, message)
    }

    /// Sends a message from outside the shards, to a process of this node.
    pub(crate) fn post_outside<M: Message>(
        &self,
        trace: Option<TraceContext>,
        pid: Pid,
        message: M,
        queue: u64,
    ) -> Result<(), SendError<M>> {
        let Some(port) = self.port(pid.local.shard()) else {
            return Err(self.refused_outside(SendReason::NoProcess, message));
        };
        if port.is_over_budget() {
            port.count_over_budget();
            return Err(SendError::new(SendReason::Overloaded, message));
        }
        match port.admit(pid.local, queue) {
            Admission::Enter => {}
            Admission::Refuse(reason) => return Err(self.refused_outside(reason, message)),
            Admission::Drop => {
                self.count_outside_dropped();
                return Ok(());
            }
        }
        let meta = self.clock().ticks() << Meta::BITS | queue;
        let parcel = Parcel::sent(pid.local.0, LocalId::CORE.0, meta, 0, port.wrapped(trace, message));
        port.post(Inbound::Parcel(parcel)).map_err(|full| match full.into_inner() {
            Inbound::Parcel(parcel) => {
                port.cancel_place(pid.local, queue);
                self.refused_outside(SendReason::Overloaded, parcel.into_sent())
            }
            Inbound::Task(_) | Inbound::Wake { .. } => unreachable!("an inbox gives back what it was given"),
        })
    }

    /// Messages from outside that went back to their senders.
    pub(crate) fn outside_refused(&self) -> u64 {
        self.outside_refused.load(Relaxed)
    }

    pub(crate) fn inbox_refused(&self) -> u64 {
        self.inbox_refused.load(Relaxed)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Marks the node as stopping; returns whether it was not before.
    pub(crate) fn begin_stop(&self) -> bool {
        !self.stopping.swap(true, Relaxed)
    }
}
