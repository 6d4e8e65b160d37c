//! The handle of a node: what a program does with it from outside its shards.

use crate::actor::SpawnOptions;
use crate::actor::{
    Actor, Address, Addressed, DEFAULT_CALL_TIMEOUT, OwnedRoute, Placement, Priority, Route, Target,
};
use crate::control::{ControlThread, DiagPort, NodeEvent, NodeRoute, RouteOptions};
use crate::error::{
    CallError, EventError, ExitReason, LinkError, NodeError, SendError, SendReason, SpawnError,
};
use crate::event::Topic;
use crate::link::{Peer, Request};
use crate::node::NodeBuilder;
use crate::node::stop::{StopPlan, StopReport, Stopping};
use crate::oneshot::{self, RecvError};
use crate::process::Flags;
use crate::shard::{Inbound, LogLevel, Shard, with_current};
use crate::shared::NodeShared;
use crate::stats::{ProcessFacts, Reader};
use crate::trace::TraceContext;
use shard_wire::{Erased, LocalId, Message, NodeName, Pid};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a shard has to end its processes before the stop goes on without it.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How much longer than its call, or its spawn, an outside caller waits for the shard to say that it timed out.
const GRACE: Duration = Duration::from_secs(1);

/// A running node. Clones are the same node; it stops when [`Node::stop`] is called or the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) shared: Arc<NodeShared>,
    pub(super) threads: RwLock<Vec<JoinHandle<()>>>,
    pub(super) control: Arc<ControlThread>,
    next_shard: AtomicU32,
    plan: StopPlan,
    pub(super) stopping: Arc<Stopping>,
}

impl Node {
    /// Settings of a new node. `name` is `name@host`.
    #[must_use]
    pub fn builder(name: &str) -> NodeBuilder {
        NodeBuilder::new(name)
    }

    pub(crate) fn from_parts(
        shared: Arc<NodeShared>,
        threads: Vec<JoinHandle<()>>,
        control: ControlThread,
        plan: StopPlan,
    ) -> Self {
        let (threads, control) = (RwLock::new(threads), Arc::new(control));
        let (next_shard, stopping) = (AtomicU32::new(0), Arc::default());
        let inner = Arc::new(Inner { shared, threads, control, next_shard, plan, stopping });
        let stopper = Arc::downgrade(&inner);
        inner.shared.set_on_app_failed(Box::new(move |name, reason| {
            if let Some(inner) = stopper.upgrade() {
                inner.stopping.fail(name, reason);
                inner.stop_elsewhere(inner.plan);
            }
        }));
        Self { inner }
    }

    pub(crate) fn shared(&self) -> &Arc<NodeShared> {
        &self.inner.shared
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared().name()
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shared().shards()
    }

    /// The address on which the node takes links; `None` for a node without a network.
    #[must_use]
    pub fn listen_address(&self) -> Option<SocketAddr> {
        self.shared().net().address()
    }

    /// Keeps in session with a node that a route or the registrar knows. Nodes of the own cluster that the registrar knows
    /// are connected without it.
    ///
    /// # Errors
    /// The name is none, or this node has no network.
    pub fn connect(&self, node: &str) -> Result<(), NodeError> {
        self.order(node, |peer| Request::Connect { peer })
    }

    /// Has nothing to do with a node from now on: its session ends at once (`DownReason::Quarantined` on both sides), it is not
    /// dialled, and its dials are refused after it has proven itself, for the reason `quarantined`, until it is
    /// [allowed](Self::allow). Lasts until this node ends; what waits for the node fails as when it goes. At most 4096 nodes
    /// are in quarantine at once; what exceeds them is logged as an error and not done.
    ///
    /// # Errors
    /// The name is none, or this node has no network.
    pub fn quarantine(&self, node: &str) -> Result<(), NodeError> {
        self.order(node, |peer| Request::Quarantine { peer })
    }

    /// Ends the quarantine of a node. If this node kept in session with it, it does so again.
    ///
    /// # Errors
    /// The name is none, or this node has no network.
    pub fn allow(&self, node: &str) -> Result<(), NodeError> {
        self.order(node, |peer| Request::Allow { peer })
    }

    /// Adds a route, as [`NodeBuilder::route`] does. A node that is named is dialled at once; a session that stands is not touched.
    ///
    /// # Errors
    /// The route cannot be used or is there already, or this node has no network.
    pub fn add_route(&self, pattern: &str, to: impl Into<RouteOptions>) -> Result<(), NodeError> {
        let routes = self.inner.control.routes().ok_or(NodeError::NoNetwork)?;
        if let Some(peer) = routes.add(pattern, &to.into())? {
            self.shared().request(Request::Connect { peer });
        }
        Ok(())
    }

    /// Removes all routes of a pattern, given as it was added. A session that stands is not touched, and a node that was named
    /// is still dialled where other routes or the registrar lead to it.
    ///
    /// # Errors
    /// There is no such route, or this node has no network.
    pub fn remove_route(&self, pattern: &str) -> Result<(), NodeError> {
        let routes = self.inner.control.routes().ok_or(NodeError::NoNetwork)?;
        Ok(routes.remove(pattern)?)
    }

    /// All routes, in the order in which they are tried.
    #[must_use]
    pub fn routes(&self) -> Vec<NodeRoute> {
        self.inner.control.routes().map(|routes| routes.list()).unwrap_or_default()
    }

    fn order(&self, node: &str, request: impl FnOnce(NodeName) -> Request) -> Result<(), NodeError> {
        let peer = NodeName::new(node).map_err(|_| NodeError::BadName(node.to_owned()))?;
        if self.shared().request(request(peer)) { Ok(()) } else { Err(NodeError::NoNetwork) }
    }

    /// Names of the nodes this one is in session with.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.shared().connected_nodes()
    }

    /// Sessions with other nodes as they begin and end; those that stand come first. A receiver that does not listen
    /// loses what exceeds 4096 events.
    ///
    /// # Errors
    /// This node has no network.
    pub fn subscribe_nodes(&self) -> Result<Receiver<NodeEvent>, NodeError> {
        self.inner.control.subscribe().ok_or(NodeError::NoNetwork)
    }

    /// The way to the diagnostics of other nodes; `None` for a node without a network.
    #[must_use]
    pub fn diag_port(&self) -> Option<DiagPort> {
        self.inner.control.diag_port()
    }

    /// Reads the node's counters and processes without asking a shard.
    #[must_use]
    pub fn stats(&self) -> Reader {
        Reader::new(Arc::clone(self.shared()))
    }

    /// The process that holds a name.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.shared().lookup(name)
    }

    /// Starts a process and waits until its `init` is done. The factory runs on the process's shard, so the actor need
    /// not be `Send`. Without a shard in the options, shards take turns.
    ///
    /// # Errors
    /// The name is taken, `init` failed, there is no such shard, or it was called on a shard thread.
    pub fn spawn<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        if must_not_block() {
            return Err(SpawnError::OnShard);
        }
        if self.shared().is_stopping() {
            return Err(SpawnError::Stopping);
        }
        let shards = self.shards();
        let shard = match options.placement() {
            Placement::Caller => (self.inner.next_shard.fetch_add(1, Relaxed) % u32::from(shards)) as u16,
            Placement::Shard(shard) => shard,
            Placement::LeastLoaded => self.shared().least_loaded(),
            Placement::Key(hash) => (hash % u64::from(shards)) as u16,
        };
        let limit = options.init_timeout() + GRACE;
        let (answer, mut outcome) = oneshot::channel();
        let task = move |shard: &Shard| shard.spawn_and_tell_outside(factory, &options, answer);
        let port = self.shared().ports().get(usize::from(shard));
        let port = port.ok_or(SpawnError::NoShard { shard, shards })?;
        if port.post(Inbound::Task(Box::new(task))).is_err() {
            return Err(SpawnError::Stopping);
        }
        match outcome.recv_timeout(limit) {
            Ok(spawned) => spawned,
            Err(RecvError::Closed) => Err(SpawnError::Stopping),
            Err(RecvError::Timeout) => Err(SpawnError::Timeout { limit }),
        }
    }

    /// Sends a message. On a shard thread it takes the shard's own path, so that order holds.
    ///
    /// # Errors
    /// Gives the message back with the reason.
    pub fn send<M: Message>(&self, to: impl Address, message: M) -> Result<(), SendError<M>> {
        self.send_with(to, message, Priority::Normal)
    }

    /// Sends a message at the given priority.
    ///
    /// # Errors
    /// As for [`Node::send`].
    pub fn send_with<M: Message>(
        &self,
        to: impl Address,
        message: M,
        priority: Priority,
    ) -> Result<(), SendError<M>> {
        self.send_in(None, to.route(), message, priority)
    }

    /// Sends in a trace, if there is one.
    pub(super) fn send_in<M: Message>(
        &self,
        trace: Option<TraceContext>,
        route: Route<'_>,
        message: M,
        priority: Priority,
    ) -> Result<(), SendError<M>> {
        let queue = priority.queue();
        with_current(|current| match current {
            Some(shard) if Arc::ptr_eq(shard.node(), self.shared()) => {
                shard.with_trace(trace, || shard.deliver_route(route, message, queue, 0))
            }
            _ => self.send_outside(trace, route, message, queue),
        })
    }

    fn send_outside<M: Message>(
        &self,
        trace: Option<TraceContext>,
        route: Route<'_>,
        message: M,
        queue: u64,
    ) -> Result<(), SendError<M>> {
        let shared = self.shared();
        if shared.is_stopping() {
            return Err(SendError::new(SendReason::Stopping, message));
        }
        // Whatever it is sent by, it takes the same lane: to the inbox of the target's shard.
        let (pid, by) = match route {
            Route::Pid(pid) if pid.node != shared.key() => {
                return self.send_by_way_of_shard(trace, OwnedRoute::Pid(pid), message, queue);
            }
            Route::Pid(pid) => (pid, None),
            Route::Alias(alias) if alias.node != shared.key() => {
                return self.send_by_way_of_shard(trace, OwnedRoute::from(route), message, queue);
            }
            Route::Alias(alias) => {
                let owner = shared.port(alias.shard()).and_then(|port| port.aliases.owner(alias.id));
                let Some(owner) = owner else {
                    return Err(shared.refused_outside(SendReason::AliasUnknown, message));
                };
                (Pid { node: shared.key(), local: LocalId(owner) }, Some(Target::Alias(alias)))
            }
            Route::Remote { node, .. } if node != shared.name() => {
                return self.send_by_way_of_shard(trace, OwnedRoute::from(route), message, queue);
            }
            Route::Name(name) | Route::Remote { name, .. } => match shared.lookup(name) {
                Some(pid) => (pid, Some(Target::name(name))),
                None => return Err(shared.refused_outside(SendReason::NameUnknown, message)),
            },
        };
        let is_split = || {
            let traits = shared.port(pid.local.shard()).and_then(|port| port.table.traits_of(pid.local.0));
            traits.is_some_and(|traits| traits & Flags::SPLIT != 0)
        };
        match by.filter(|_| is_split()) {
            None => shared.post_outside(trace, pid, message, queue),
            Some(by) => shared
                .post_outside(trace, pid, Addressed { by, message }, queue)
                .map_err(|error| SendError::new(error.reason, error.into_inner().message)),
        }
    }

    /// Messages for other nodes go by a shard; which one does not matter.
    fn send_by_way_of_shard<M: Message>(
        &self,
        trace: Option<TraceContext>,
        to: OwnedRoute,
        message: M,
        queue: u64,
    ) -> Result<(), SendError<M>> {
        self.on_shard(0, message, move |shard, message| {
            shard.with_trace(trace, || shard.deliver_route(to.route(), message, queue, 0))
        })
    }

    fn on_shard<M: Message>(
        &self,
        shard: u16,
        message: M,
        send: impl FnOnce(&Shard, M) -> Result<(), SendError<M>> + Send + 'static,
    ) -> Result<(), SendError<M>> {
        let Some(port) = self.shared().port(shard) else {
            return Err(SendError::new(SendReason::Stopping, message));
        };
        let erased = Erased::new(message);
        let task = move |shard: &Shard| {
            if let Ok(message) = erased.downcast::<M>()
                && shard.quietly(|| send(shard, message)).is_err()
            {
                shard.count(|cells| &cells.dead_letters, 1);
            }
        };
        // LIMIT: a full inbox. The message is inside the refused task, so it is counted here and dropped with it.
        port.post(Inbound::Task(Box::new(task)))
            .map_err(|_| {
                self.shared().count_inbox_refused();
            })
            .ok();
        Ok(())
    }

    /// Makes a call and blocks this thread until it is answered, for 5 seconds at most.
    ///
    /// # Errors
    /// There is no answer; or this is a shard thread, which must not block. A process on a thread of its own may.
    pub fn call_blocking<M: Message>(&self, to: impl Address, request: M) -> Result<M::Reply, CallError> {
        self.call_blocking_timeout(to, request, DEFAULT_CALL_TIMEOUT)
    }

    /// Makes a call and blocks this thread until it is answered or `timeout` has passed.
    ///
    /// # Errors
    /// As for [`Node::call_blocking`].
    pub fn call_blocking_timeout<M: Message>(
        &self,
        to: impl Address,
        request: M,
        timeout: Duration,
    ) -> Result<M::Reply, CallError> {
        self.call_in(None, to.route(), request, timeout)
    }

    /// Makes a call in a trace, if there is one.
    pub(super) fn call_in<M: Message>(
        &self,
        trace: Option<TraceContext>,
        route: Route<'_>,
        request: M,
        timeout: Duration,
    ) -> Result<M::Reply, CallError> {
        if must_not_block() {
            return Err(CallError::OnShard);
        }
        let shared = self.shared();
        let home = match route {
            Route::Pid(pid) if pid.node == shared.key() => pid.local.shard(),
            Route::Alias(alias) if alias.node == shared.key() => alias.shard(),
            Route::Name(name) => match shared.lookup(name) {
                Some(pid) => pid.local.shard(),
                None => return Err(CallError::Send(SendReason::NameUnknown)),
            },
            Route::Pid(_) | Route::Alias(_) | Route::Remote { .. } => 0,
        };
        let target = OwnedRoute::from(route);
        let (answer, mut outcome) = oneshot::channel();
        let task = move |shard: &Shard| {
            let done = move |result| {
                // The caller stops waiting only after the call's own time-out.
                let _unheard = answer.send(result);
            };
            shard.with_trace(trace, || shard.call_with_callback(target.route(), request, timeout, done));
        };
        let port = shared.port(home).ok_or(CallError::Send(SendReason::NoProcess))?;
        if port.is_over_budget() {
            port.count_over_budget();
            return Err(CallError::Send(SendReason::Overloaded));
        }
        if shared.is_stopping() || port.post(Inbound::Task(Box::new(task))).is_err() {
            return Err(CallError::Send(if shared.is_stopping() {
                SendReason::Stopping
            } else {
                SendReason::Overloaded
            }));
        }
        match outcome.recv_timeout(timeout.saturating_add(GRACE)) {
            Ok(result) => result,
            Err(RecvError::Closed) => Err(CallError::Send(SendReason::Stopping)),
            Err(RecvError::Timeout) => Err(CallError::Timeout),
        }
    }

    /// Publishes an event from outside any process.
    ///
    /// # Errors
    /// The event is gone, or the inbox of its producer's shard is full.
    pub fn publish<M: Message + Sync>(&self, topic: &Topic<M>, message: M) -> Result<(), EventError> {
        let shared = self.shared();
        let port =
            shared.port(topic.cell.home()).filter(|_| !topic.cell.is_gone()).ok_or(EventError::Unknown)?;
        if port.is_over_budget() {
            port.count_over_budget();
            return Err(EventError::Overloaded);
        }
        let cell = Arc::clone(&topic.cell);
        let task = Box::new(move |shard: &Shard| {
            if shard.publish(&cell, message).is_err() {
                // Removed while this was on its way.
                shard.count(|cells| &cells.dead_letters, 1);
            }
        });
        port.post(Inbound::Task(task)).map_err(|_full| {
            shared.count_inbox_refused();
            EventError::Overloaded
        })
    }

    /// Kills a process.
    pub fn kill(&self, pid: Pid) {
        if pid.node == self.shared().key() {
            self.inner.kill(pid);
        }
    }

    /// Sends an exit signal, from the node's core process: the process ends with this reason at its next boundary, unless it
    /// traps exits.
    ///
    /// # Errors
    /// There is no such process on this node; or it is of another node, and there is no session with that.
    pub fn exit(&self, pid: Pid, reason: ExitReason) -> Result<(), LinkError> {
        if pid.node != self.shared().key() {
            return self.exit_far(pid, reason);
        }
        let port = self.shared().port(pid.local.shard()).filter(|port| port.table.exists(pid.local.0));
        let port = port.ok_or(LinkError::NoProcess)?;
        let task = Box::new(move |shard: &Shard| {
            // It may have ended meanwhile: then there is nothing to end.
            let _gone = shard.send_exit(pid, reason);
        });
        port.post_reserved(Inbound::Task(task)).map_err(|_| LinkError::NoProcess)
    }

    fn exit_far(&self, pid: Pid, reason: ExitReason) -> Result<(), LinkError> {
        let is_it = |peer: &Arc<Peer>| peer.connected.load(Relaxed) && peer.key.load(Relaxed) == pid.node.0;
        let port = self.shared().port(0).filter(|_| self.shared().peers().all().iter().any(is_it));
        let port = port.ok_or(LinkError::NotConnected)?;
        let task = Box::new(move |shard: &Shard| {
            // The session may have ended meanwhile, and with it whatever was to be ended.
            let _gone = shard.send_exit(pid, reason);
        });
        port.post_reserved(Inbound::Task(task)).map_err(|_| LinkError::NotConnected)
    }

    /// What a process reports about itself, within `timeout`.
    ///
    /// # Errors
    /// There is no such process, or its shard or handler did not get to it in time.
    pub fn inspect_blocking(
        &self,
        pid: Pid,
        items: Vec<String>,
        timeout: Duration,
    ) -> Result<Vec<(String, String)>, CallError> {
        let mut outcome = self.request_inspect(pid, items)?;
        outcome.recv_timeout(timeout).map_err(|error| match error {
            RecvError::Closed => CallError::Terminated,
            RecvError::Timeout => CallError::Timeout,
        })
    }

    /// What a process reports about itself, for callers that await. It ends when the process answers or is gone: the
    /// caller sets the limit, and dropping the future gives up.
    ///
    /// # Errors
    /// There is no such process, it ended before it answered, or its shard's inbox is full.
    pub fn inspect(
        &self,
        pid: Pid,
        items: Vec<String>,
    ) -> impl Future<Output = Result<Vec<(String, String)>, CallError>> + Send + use<> {
        let outcome = self.request_inspect(pid, items);
        async move { outcome?.await.map_err(|_| CallError::Terminated) }
    }

    fn request_inspect(
        &self,
        pid: Pid,
        items: Vec<String>,
    ) -> Result<oneshot::Receiver<Vec<(String, String)>>, CallError> {
        let missing = CallError::Send(SendReason::NoProcess);
        let port = self.shared().port(pid.local.shard()).filter(|port| port.table.exists(pid.local.0));
        let port = port.ok_or(missing)?;
        let (answer, outcome) = oneshot::channel();
        let task = move |shard: &Shard| {
            // A refused request drops the answer, which closes the channel.
            let _gone = shard.inspect(
                pid.local.0,
                items,
                Box::new(move |entries| {
                    let _unheard = answer.send(entries);
                }),
            );
        };
        port.post(Inbound::Task(Box::new(task))).map_err(|_| CallError::Send(SendReason::Overloaded))?;
        Ok(outcome)
    }

    /// What a process's shard knows of it beyond its counters: relations, addresses, options. Needs the shard, not the
    /// process: a process that waits, or has much to do, is told of all the same.
    ///
    /// # Errors
    /// There is no such process, or its shard's inbox is full.
    pub fn facts(&self, pid: Pid) -> impl Future<Output = Result<ProcessFacts, CallError>> + Send + use<> {
        let outcome = self.request_facts(pid);
        async move { outcome?.await.map_err(|_| CallError::Terminated) }
    }

    /// The same for threads that may block, within `timeout`.
    ///
    /// # Errors
    /// As for [`Node::facts`], or the shard did not get to it in time.
    pub fn facts_blocking(&self, pid: Pid, timeout: Duration) -> Result<ProcessFacts, CallError> {
        let mut outcome = self.request_facts(pid)?;
        outcome.recv_timeout(timeout).map_err(|error| match error {
            RecvError::Closed => CallError::Terminated,
            RecvError::Timeout => CallError::Timeout,
        })
    }

    fn request_facts(&self, pid: Pid) -> Result<oneshot::Receiver<ProcessFacts>, CallError> {
        let missing = CallError::Send(SendReason::NoProcess);
        let port = self.shared().port(pid.local.shard()).filter(|port| port.table.exists(pid.local.0));
        let port = port.ok_or(missing)?;
        let (answer, outcome) = oneshot::channel();
        let task = move |shard: &Shard| {
            if let Some(facts) = shard.facts(pid.local.0) {
                let _unheard = answer.send(facts);
            }
        };
        port.post(Inbound::Task(Box::new(task))).map_err(|_| CallError::Send(SendReason::Overloaded))?;
        Ok(outcome)
    }

    /// Ends the waits of a suspended process for replies: its calls return `Canceled`.
    pub fn cancel_waits(&self, pid: Pid) {
        if pid.node == self.shared().key()
            && let Some(port) = self.shared().port(pid.local.shard())
        {
            let task = Box::new(move |shard: &Shard| {
                shard.cancel_waits(pid.local.0);
            });
            if port.post_reserved(Inbound::Task(task)).is_err() {
                self.shared().count_inbox_refused();
            }
        }
    }

    /// Writes a line to the node's log.
    pub fn log(&self, level: LogLevel, text: impl std::fmt::Display) {
        self.shared().log().node_line(level, text);
    }

    /// Waits for SIGINT or SIGTERM, then stops the node by the plan of its builder; a second signal kills what is left. Returns
    /// also when the node is stopped otherwise. For programs that do nothing else on their main thread.
    ///
    /// # Errors
    /// Signals cannot be waited for; a permanent application ended and stopped the node; or processes were left behind.
    pub fn run_until_signal(&self) -> Result<(), NodeError> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let mut signals =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(NodeError::Signals)?;
        let listening = signals.handle();
        let inner = Arc::downgrade(&self.inner);
        let listener = crate::reactor::spawn_thread("signals", move || {
            for (count, signal) in signals.forever().enumerate() {
                let Some(inner) = inner.upgrade() else { return };
                let what = if count == 0 { "stopping" } else { "killing what is left" };
                inner.shared.log().node(LogLevel::Info, || format!("{what} on signal {signal}"));
                if count == 0 {
                    inner.stop_elsewhere(inner.plan);
                } else {
                    inner.stopping.cut();
                }
            }
        });
        listener.map_err(|source| NodeError::Thread { thread: "signals".into(), source })?;
        let report = self.inner.stopping.wait(None).unwrap_or_default();
        listening.close();
        match (report.app_failed, report.left.len()) {
            (Some((application, reason)), _) => Err(NodeError::AppFailed { application, reason }),
            (None, 0) => Ok(()),
            (None, left) => Err(NodeError::LeftBehind(left)),
        }
    }

    /// Stops the node: its web servers answer what was asked, its applications end by their own limits, then all other processes
    /// at once with reason `shutdown`, those on threads of their own first, then the shards. Returns when its threads have ended,
    /// or after 5 seconds for each shard that does not, and for all threads of processes together.
    pub fn stop(&self) {
        self.stop_with(StopPlan { waits_for_all: false, ..self.inner.plan });
    }

    /// Stops the node by a plan: it is no longer ready and refuses new work, web servers answer what was asked, applications end
    /// in reverse order, then all other processes are told to end, then links, shards and the control thread. Every 5 seconds the
    /// log names slow processes; what has not ended at the deadline is killed, has 5 seconds more, and is in the report. The
    /// library never ends the OS process.
    ///
    /// On a shard thread, which cannot wait, another thread does it and the report says so; see [`Node::wait`]. If a stop runs
    /// already, this waits for its report.
    pub fn stop_with(&self, plan: StopPlan) -> StopReport {
        if with_current(|shard| shard.is_some()) {
            // A shard cannot wait for its own end: another thread does.
            self.inner.stop_elsewhere(plan);
            return StopReport { is_elsewhere: true, ..StopReport::default() };
        }
        self.inner.stop_by(plan)
    }

    /// Waits until the node has stopped, whoever stops it. `None` on a shard thread, which must not wait.
    #[must_use]
    pub fn wait(&self) -> Option<StopReport> {
        if must_not_block() { None } else { self.inner.stopping.wait(None) }
    }

    /// The same for `limit` at most; `None` if it had not stopped by then.
    #[must_use]
    pub fn wait_timeout(&self, limit: Duration) -> Option<StopReport> {
        if must_not_block() { None } else { self.inner.stopping.wait(Some(limit)) }
    }

    /// The plan of the node's builder.
    #[must_use]
    pub fn stop_plan(&self) -> StopPlan {
        self.inner.plan
    }
}

/// Whether this is a shard's thread. That of a dedicated process may block.
pub(super) fn must_not_block() -> bool {
    with_current(|shard| shard.is_some_and(|shard| !shard.is_annex()))
}

impl Inner {
    /// Stops by a thread that may wait, and goes on.
    pub(super) fn stop_elsewhere(self: &Arc<Self>, plan: StopPlan) {
        // Nothing from outside any more, from this moment on.
        self.shared.begin_stop();
        let inner = Arc::clone(self);
        if let Err(error) = crate::reactor::spawn_thread("stop", move || {
            inner.stop_by(plan);
        }) {
            self.shared.log().node(LogLevel::Error, || format!("could not stop in order: {error}"));
        }
    }

    /// Kills a process.
    pub(super) fn kill(&self, pid: Pid) {
        let Some(port) = self.shared.port(pid.local.shard()) else { return };
        if port.table.exists(pid.local.0) {
            port.table.identity(pid.local.slot()).signal.set(pid.local.0);
        }
        let task = Box::new(move |shard: &Shard| shard.kill_here(pid.local.0));
        if port.post_reserved(Inbound::Task(task)).is_err() {
            self.shared.count_inbox_refused();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let plan = StopPlan { waits_for_all: false, ..self.plan };
        if with_current(|shard| shard.is_none()) {
            self.stop_by(plan);
            return;
        }
        // The last handle went on a shard: what is in it goes to a thread that may wait.
        let successor = Self {
            shared: Arc::clone(&self.shared),
            threads: RwLock::new(std::mem::take(
                &mut *self.threads.write().unwrap_or_else(PoisonError::into_inner),
            )),
            control: Arc::clone(&self.control),
            next_shard: AtomicU32::new(0),
            plan: self.plan,
            stopping: Arc::clone(&self.stopping),
        };
        let stopper = crate::reactor::spawn_thread("stop", move || drop(successor));
        if let Err(error) = stopper {
            self.shared.log().node(LogLevel::Error, || format!("could not stop in order: {error}"));
        }
    }
}

/// Ends the processes that have threads of their own, while their home shards still run. A thread that does not come out of a
/// callback in time is named and left to itself.
fn stop_annexes(shared: &Arc<NodeShared>) {
    if shared.annexes().occupants().next().is_none() {
        return;
    }
    let until = crate::clock::now() + STOP_LIMIT;
    let ended: Vec<_> = shared
        .ports()
        .iter()
        .filter_map(|port| {
            let (done, ended) = oneshot::channel();
            let task = Box::new(move |shard: &Shard| shard.end_annexes(done));
            port.post_reserved(Inbound::Task(task)).is_ok().then_some(ended)
        })
        .collect();
    for mut ended in ended {
        // What did not end is named below.
        let _left = ended.recv_timeout(until.saturating_duration_since(crate::clock::now()));
    }
    for (index, id) in shared.annexes().occupants() {
        let behavior = shared.port(index).and_then(|port| port.table.published(id as u32).record.behavior());
        let pid = Pid { node: shared.key(), local: LocalId(id) };
        shared.log().node(LogLevel::Error, || {
            format!(
                "the thread of {} ({}) is inside a callback that did not return within {STOP_LIMIT:?}; going on without it",
                pid.short(shared.crc()),
                behavior.unwrap_or("-"),
            )
        });
    }
}

/// Tells the shards to stop and waits for their threads, each up to a limit.
pub(crate) fn stop_shards(shared: &Arc<NodeShared>, threads: Vec<JoinHandle<()>>) {
    shared.begin_stop();
    stop_annexes(shared);
    for port in shared.ports() {
        if port.post_reserved(Inbound::Task(Box::new(Shard::begin_stop))).is_err() {
            shared.count_inbox_refused();
        }
    }
    for (index, thread) in threads.into_iter().enumerate() {
        let (done, mut ended) = oneshot::channel();
        let joiner = crate::reactor::spawn_thread("join", move || {
            // A shard thread that panicked has said so; there is nothing left to stop.
            let _panicked = thread.join();
            let _unheard = done.send(());
        });
        let waited = joiner.is_ok() && ended.recv_timeout(STOP_LIMIT).is_ok();
        if !waited {
            let blocked = Reader::new(Arc::clone(shared)).shards().get(index).and_then(|shard| shard.current);
            shared.log().node(LogLevel::Error, || {
                format!("shard {index} did not stop within {STOP_LIMIT:?}; blocked by process {blocked:?}; going on without it")
            });
        }
    }
}
