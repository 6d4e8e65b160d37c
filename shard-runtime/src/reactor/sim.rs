//! The simulation: N logical shards on one thread, a virtual clock, and an order drawn from a seed.
//!
//! For tests, instruction counts and sanitizers. Shards are the real ones; only the reactor differs.
//! Invariants: M1 the clock moves only by [`Simulation::advance`] and, between turns, by one tick, so runs with one seed
//! are equal. M2 shards run one at a time, so rings are exercised without threads.

use crate::LogLevel;
use crate::actor::SpawnOptions;
use crate::actor::{Actor, Address};
use crate::clock::{Clock, VirtualClock};
use crate::cron::{CronJob, CronTable};
use crate::error::{
    CallError, CronError, EventError, ExitReason, LinkError, NodeError, SendError, SpawnError,
};
use crate::event::{EventFacts, Topic};
use crate::mailbox::Meta;
use crate::oneshot;
use crate::process::Bond;
use crate::reactor::annex::Logical;
use crate::reactor::sim_apps::{SimulationOptions, Wanted};
use crate::shard::{Carried, MAX_NODES, NodeTable, Origin, Port, Shard, ShardCounters, ShardSettings, Turn};
use crate::shared::NodeShared;
use crate::stats::{ProcessFacts, ProcessStats, Reader};
use crate::tap::{LogSink, LogTap, StderrSink};
use crate::testing::Journal;
use shard_wire::{Incarnation, LocalId, Message, NodeName, Pid, Registry};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Turns after which [`Simulation::run`] gives up on reaching an idle state.
const MAX_TURNS: u64 = 1 << 32;
/// Rounds of ending dedicated processes when a simulation is dropped.
const MAX_ROUNDS: usize = 16;

/// A node whose shards all run on this thread.
pub struct Simulation {
    node: Arc<NodeShared>,
    shards: Vec<Rc<Shard>>,
    /// Ties them to each other and to the annexes of dedicated processes.
    logical: Rc<Logical>,
    clock: Clock,
    hand: VirtualClock,
    random: u64,
    wanted: Wanted,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl Simulation {
    /// A simulated node.
    ///
    /// # Errors
    /// The name is not usable, or memory is not to be had.
    pub fn new(name: &str, shards: u16, seed: u64) -> Result<Self, NodeError> {
        Self::with_log(name, shards, seed, LogLevel::Panic, Box::<StderrSink>::default())
    }

    /// A simulated node with a log sink.
    ///
    /// # Errors
    /// As for [`Simulation::new`].
    pub fn with_log(
        name: &str,
        shards: u16,
        seed: u64,
        level: LogLevel,
        sink: Box<dyn LogSink>,
    ) -> Result<Self, NodeError> {
        Self::with_options(name, shards, seed, level, sink, SimulationOptions::default())
    }

    /// A simulated node with a log sink, an environment, and a policy for its applications.
    ///
    /// # Errors
    /// As for [`Simulation::new`].
    pub fn with_options(
        name: &str,
        shards: u16,
        seed: u64,
        level: LogLevel,
        sink: Box<dyn LogSink>,
        options: SimulationOptions,
    ) -> Result<Self, NodeError> {
        let settings = ShardSettings { prefault_messages: 1024, ring_slots: 64, budget_bytes: u64::MAX };
        let name = NodeName::new(name).map_err(|_| NodeError::BadName(name.to_owned()))?;
        let registry = Registry::collect().map_err(|error| NodeError::Messages(error.to_string()))?;
        let (clock, hand) = Clock::new_virtual(1_000_000);
        let memory = |source| NodeError::Memory { what: "processes", source };
        let ports: Result<Vec<_>, _> =
            (0..shards.max(1)).map(|_| Port::reserve(1 << 21, 1 << 16).map(Arc::new)).collect();
        let ports = ports.map_err(memory)?;
        let log = LogTap::start(name.clone(), level, sink, clock.clone(), shards.max(1))
            .map_err(|source| NodeError::Thread { thread: "log".into(), source })?;
        let incarnation = Incarnation { start_nanos: seed | 1, random: seed };
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
                    options.plan,
                );
                Ok(Arc::new(shared))
            },
            || NodeError::TooManyNodes(MAX_NODES),
        )?;
        let wanted = Wanted::default();
        let wants = Arc::clone(&wanted);
        node.set_on_app_failed(Box::new(move |name, reason| {
            // The first one counts.
            let _set = wants.set((name.to_owned(), reason));
        }));
        node.log().bind(&node);
        let shards: Result<Vec<_>, _> = (0..node.shards())
            .map(|index| Shard::new(Arc::clone(&node), index, clock.clone(), &settings).map(Rc::new))
            .collect();
        let shards = shards?;
        Ok(Self {
            logical: Logical::of(&shards),
            shards,
            node,
            clock,
            hand,
            random: seed.wrapping_mul(2).wrapping_add(1),
            wanted,
        })
    }

    pub(super) fn first_shard(&self) -> Rc<Shard> {
        Rc::clone(&self.shards[0])
    }

    pub(super) fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.node))
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Runs turns in an order drawn from the seed until no shard has work. Returns the number of turns.
    ///
    /// # Panics
    /// The shards are not idle after four billion turns.
    pub fn run(&mut self) -> u64 {
        let mut turns = 0;
        loop {
            let count = self.shards.len();
            let offset = if count > 1 { self.next_random() as usize % count } else { 0 };
            let mut idle = true;
            for step in 0..count {
                let shard = &self.shards[(step + offset) % count];
                self.hand.advance(1);
                idle &= shard.turn() == Turn::Idle;
                turns += 1;
                assert!(turns < MAX_TURNS, "the shards do not become idle");
            }
            let annexes = self.logical.annexes();
            for annex in &annexes {
                self.hand.advance(1);
                idle &= annex.turn() == Turn::Idle;
                annex.publish_facts();
                turns += 1;
            }
            idle &= !self.logical.sweep();
            if idle && !self.shards.iter().chain(&annexes).any(|shard| shard.is_work()) {
                return turns;
            }
        }
    }

    /// Moves the clock and runs what comes due, in order.
    pub fn advance(&mut self, by: Duration) {
        let end = self.clock.ticks() + u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.run();
        while let Some(next) = self.next_deadline() {
            if next > end {
                break;
            }
            let now = self.clock.ticks();
            self.hand.advance(next.saturating_sub(now).max(1));
            self.run();
        }
        let now = self.clock.ticks();
        self.hand.advance(end.saturating_sub(now));
        self.run();
    }

    /// Sets the wall clock, forward or back. It goes on with the virtual clock; before, it begins at the Unix epoch.
    pub fn set_wall(&mut self, wall: SystemTime) {
        self.hand.set_wall(wall);
    }

    /// Now, by the simulation's wall clock.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// What the node publishes of itself.
    #[must_use]
    pub fn stats(&self) -> Reader {
        Reader::new(Arc::clone(&self.node))
    }

    pub(crate) fn shared(&self) -> &Arc<NodeShared> {
        &self.node
    }

    /// Has all that processes do from now on written into a journal. Once; dedicated processes are not there yet.
    pub(crate) fn keep_journal(&self, journal: Rc<Journal>) {
        self.logical.keep_journal(journal);
    }

    /// The time on the clock of the shards.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_nanos(self.clock.span_ns(self.clock.ticks()))
    }

    /// Waits until all that was logged is written, for `within` of real time at most; whether it was.
    pub fn flush_log(&self, within: Duration) -> bool {
        self.node.log().flush(within)
    }

    fn next_deadline(&self) -> Option<u64> {
        let annexes = self.logical.annexes();
        self.shards.iter().chain(&annexes).filter_map(|shard| shard.next_deadline()).min()
    }

    fn next_random(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    /// Starts a process on a shard.
    ///
    /// # Errors
    /// As for [`Context::spawn`](crate::Context::spawn), or there is no such shard.
    pub fn spawn<A: Actor>(
        &mut self,
        shard: u16,
        factory: impl FnOnce() -> A,
        options: &SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        let missing = SpawnError::NoShard { shard, shards: self.node.shards() };
        self.shards.get(shard as usize).ok_or(missing)?.spawn(factory, options, Origin::CORE)
    }

    /// Starts a process where the options say and runs until its `init` is done, 5 seconds at most: what
    /// [`Node::spawn`](crate::Node::spawn) does. Without a shard in the options it is the first one.
    ///
    /// # Errors
    /// As for [`Node::spawn`](crate::Node::spawn).
    pub fn spawn_wait<A: Actor>(
        &mut self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: &SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        let shard = self.shards[0].place(options.placement())?;
        let limit = options.init_timeout() + Duration::from_millis(10);
        let answer = Rc::new(RefCell::new(None));
        let put = Rc::clone(&answer);
        self.shards[usize::from(shard)].spawn_as_told(factory, options, Origin::CORE, move |_, outcome| {
            put.replace(Some(outcome));
        });
        self.run();
        if answer.borrow().is_none() {
            self.advance(limit);
        }
        answer.take().unwrap_or(Err(SpawnError::Timeout { limit }))
    }

    /// Sends a message from outside, by way of the target's shard.
    ///
    /// # Errors
    /// As for [`Context::send`](crate::Context::send).
    pub fn send<M: Message>(&mut self, to: impl Address, message: M) -> Result<(), SendError<M>> {
        self.shards[0].deliver_route(to.route(), message, Meta::MAIN, 0)
    }

    /// Sends a message on behalf of a process.
    ///
    /// # Errors
    /// As for [`Context::send`](crate::Context::send).
    pub fn send_as<M: Message>(
        &mut self,
        from: Pid,
        to: impl Address,
        message: M,
    ) -> Result<(), SendError<M>> {
        let shard = self.shard_of(from);
        shard.speaking_as(from.local.0, || shard.deliver_route(to.route(), message, Meta::MAIN, 0))
    }

    /// Publishes an event from outside any process.
    ///
    /// # Errors
    /// As for [`Context::publish`](crate::Context::publish).
    pub fn publish<M: Message + Sync>(&mut self, topic: &Topic<M>, message: M) -> Result<(), EventError> {
        self.shards[0].publish(&topic.cell, message)
    }

    /// Adds a job to the schedule.
    ///
    /// # Errors
    /// As for [`Node::cron_add`](crate::Node::cron_add).
    pub fn cron_add(&mut self, job: CronJob) -> Result<(), CronError> {
        CronTable::add(&self.node, job)
    }

    /// Removes a job.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_remove(&mut self, name: &str) -> Result<(), CronError> {
        CronTable::remove(&self.node, name)
    }

    /// Lets a disabled job run again; `false` if it was not disabled.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_enable(&mut self, name: &str) -> Result<bool, CronError> {
        CronTable::enable(&self.node, name, true)
    }

    /// Stops a job from running; `false` if it was disabled.
    ///
    /// # Errors
    /// There is no such job.
    pub fn cron_disable(&mut self, name: &str) -> Result<bool, CronError> {
        CronTable::enable(&self.node, name, false)
    }

    /// The events of the node, by name.
    #[must_use]
    pub fn events(&self) -> Vec<EventFacts> {
        self.node.events().facts()
    }

    /// Has a process watch another one.
    pub(crate) fn monitor(&mut self, watcher: Pid, target: Pid) -> Result<(), LinkError> {
        let shard = self.shard_of(watcher);
        shard.speaking_as(watcher.local.0, || shard.bind(Bond::Monitor, &target.into()))
    }

    /// The shard of a process of this node; the first one for all others.
    pub(crate) fn shard_of(&self, pid: Pid) -> &Shard {
        self.shards.get(usize::from(pid.local.shard())).unwrap_or(&self.shards[0])
    }

    /// Who sent what a probe holds.
    pub(crate) fn pid_of(&self, carried: &Carried) -> Pid {
        Pid { node: self.node.key(), local: LocalId(carried.from) }
    }

    /// Makes a call from outside and runs until it is answered or its 5 seconds have passed.
    ///
    /// # Errors
    /// As for a call.
    pub fn call<M: Message>(&mut self, to: impl Address, request: M) -> Result<M::Reply, CallError> {
        let answer = Rc::new(RefCell::new(None));
        let put = Rc::clone(&answer);
        let timeout = crate::actor::DEFAULT_CALL_TIMEOUT;
        self.shards[0].call_with_callback(to.route(), request, timeout, move |result| {
            put.replace(Some(result));
        });
        self.run();
        if answer.borrow().is_none() {
            self.advance(timeout + Duration::from_millis(10));
        }
        answer.take().unwrap_or(Err(CallError::Timeout))
    }

    /// Sends an exit signal from the node's core process.
    ///
    /// # Errors
    /// There is no such process.
    pub fn exit(&mut self, pid: Pid, reason: ExitReason) -> Result<(), LinkError> {
        let sent = self.shard_of(pid).send_exit(pid, reason);
        self.run();
        sent
    }

    /// Kills a process.
    pub fn kill(&mut self, pid: Pid) {
        self.shards[0].kill(pid);
        self.run();
    }

    /// What a process reports about itself; `None` if there is none, or if its handler is suspended.
    pub fn inspect(&mut self, pid: Pid) -> Option<Vec<(String, String)>> {
        let answer = Rc::new(RefCell::new(None));
        let put = Rc::clone(&answer);
        let put: crate::process::InspectAnswer = Box::new(move |entries| {
            put.replace(Some(entries));
        });
        self.shards.get(pid.local.shard() as usize)?.inspect(pid.local.0, Vec::new(), put).ok()?;
        self.run();
        answer.take()
    }

    /// Published counters of a process.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<ProcessStats> {
        Reader::new(Arc::clone(&self.node)).process(pid.local)
    }

    /// What a process's shard knows of it beyond its counters.
    #[must_use]
    pub fn facts(&self, pid: Pid) -> Option<ProcessFacts> {
        self.shard_of(pid).facts(pid.local.0)
    }

    /// Ends the waits of a suspended process for replies; returns how many there were.
    pub fn cancel_waits(&mut self, pid: Pid) -> usize {
        let ended = self.shard_of(pid).cancel_waits(pid.local.0);
        self.run();
        ended
    }

    /// Counters, summed over the shards.
    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        let mut sum = ShardCounters::default();
        for shard in &self.shards {
            shard.publish_gauges();
            sum.add(&shard.counters());
        }
        for port in self.node.annexes().ports() {
            sum.add(&port.counters());
        }
        sum
    }

    /// Published counters of a shard.
    ///
    /// # Panics
    /// There is no such shard.
    #[must_use]
    pub fn shard(&self, shard: u16) -> ShardCounters {
        self.shards[shard as usize].publish_gauges();
        self.shards[shard as usize].counters()
    }

    /// The holder of a name.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.node.lookup(name)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // A supervisor restarts what ends here, until it has done so too often.
        for _ in 0..MAX_ROUNDS {
            if self.logical.annexes().is_empty() {
                break;
            }
            for shard in &self.shards {
                // Whether all have ended is seen below; nobody waits for the answer.
                shard.end_annexes(oneshot::channel().0);
            }
            self.run();
        }
        for shard in &self.shards {
            shard.end_all();
        }
        self.logical.dissolve();
    }
}
