//! The test bed: a simulated node, the processes under test, and what became of them.

use super::journal::Journal;
use super::probe::{self, Inbox, Probe, Received, Recorder};
use super::stub::{Answering, Plan, Stub};
use crate::LogLevel;
use crate::actor::{Actor, Address, Down, Placement, ReplyTo, SpawnOptions, Target};
use crate::error::{CallError, ExitReason, NodeError, SpawnError};
use crate::reactor::sim::Simulation;
use crate::tap::{LogRecord, LogSink, StderrSink};
use shard_wire::{Message, NodeName, Pid};
use std::rc::Rc;
use std::time::Duration;

/// A simulated node for tests. Its methods panic with what was expected and what was found.
#[derive(Debug)]
pub struct Bed {
    simulation: Simulation,
    /// Gets the down message of each process under test.
    watcher: Pid,
    downs: Inbox,
    ended: Vec<(Pid, ExitReason)>,
    journal: Rc<Journal>,
}

/// Shows panics: all else is in the journal.
struct Panics(StderrSink);

impl LogSink for Panics {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        if record.level == LogLevel::Panic {
            self.0.write(node, record);
        }
    }

    fn flush(&mut self) {
        self.0.flush();
    }
}

impl Bed {
    /// A node with one shard. The seed decides the order in which things happen.
    ///
    /// # Errors
    /// Memory is not to be had.
    pub fn new(seed: u64) -> Result<Self, NodeError> {
        Self::with_shards(1, seed)
    }

    /// A node with several shards.
    ///
    /// # Errors
    /// As for [`Bed::new`].
    pub fn with_shards(shards: u16, seed: u64) -> Result<Self, NodeError> {
        Self::with_level(shards, seed, LogLevel::Debug)
    }

    /// A node with several shards that keeps log lines of this level and above; the others are of level
    /// [`Debug`](LogLevel::Debug).
    ///
    /// # Errors
    /// As for [`Bed::new`].
    pub fn with_level(shards: u16, seed: u64, level: LogLevel) -> Result<Self, NodeError> {
        let sink = Box::new(Panics(StderrSink::default()));
        let mut simulation = Simulation::with_log("bed@localhost", shards, seed, level, sink)?;
        let downs = Inbox::default();
        let recorder = downs.clone();
        let watcher = simulation.spawn(0, move || Recorder(recorder), &SpawnOptions::new())?;
        let journal = Rc::new(Journal::new(simulation.time()));
        simulation.keep_journal(Rc::clone(&journal));
        Ok(Self { simulation, watcher, downs, ended: Vec::new(), journal })
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Starts a process under test; its `init` has run, or waits for something, when this returns.
    ///
    /// # Errors
    /// As for [`Context::spawn`](crate::Context::spawn).
    #[expect(clippy::needless_pass_by_value, reason = "options are made for one spawn")]
    pub fn spawn<A: Actor>(
        &mut self,
        factory: impl FnOnce() -> A,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        let shard = match options.placement() {
            Placement::Shard(shard) => shard,
            _ => 0,
        };
        let pid = self.journal.aside(|| self.simulation.spawn(shard, factory, &options))?;
        // It has just been made, so it can be watched.
        let _watched = self.simulation.monitor(self.watcher, pid);
        self.run();
        Ok(pid)
    }

    /// A process that keeps what it is sent.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn probe(&mut self) -> Probe {
        self.probe_with(SpawnOptions::new())
    }

    /// A process that keeps what it is sent, started with options: a name, a trap for exits, another shard.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn probe_with(&mut self, options: SpawnOptions) -> Probe {
        let received = Inbox::default();
        let recorder = received.clone();
        match self.spawn(move || Recorder(recorder), options) {
            Ok(pid) => Probe { pid, received },
            Err(error) => panic!("a probe could not be started: {error}"),
        }
    }

    /// A process that answers each `M` it is sent or called with: a service that the processes under test need.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn stub<M: Message>(&mut self, answer: impl FnMut(M) -> M::Reply + 'static) -> Stub<M> {
        self.stub_with(SpawnOptions::new(), answer)
    }

    /// The same, started with options: a name, another shard.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn stub_with<M: Message>(
        &mut self,
        options: SpawnOptions,
        answer: impl FnMut(M) -> M::Reply + 'static,
    ) -> Stub<M> {
        let plan = Rc::new(Plan::default());
        let shared = Rc::clone(&plan);
        match self.spawn(move || Answering { plan: shared, answer }, options) {
            Ok(pid) => Stub { pid, plan },
            Err(error) => panic!("a stub could not be started: {error}"),
        }
    }

    /// Sends a message and runs what follows from it.
    ///
    /// # Panics
    /// It is refused.
    pub fn send<M: Message>(&mut self, to: impl Address, message: M) {
        if let Err(error) = self.journal.aside(|| self.simulation.send(to, message)) {
            panic!("a send was refused: {error}");
        }
        self.run();
    }

    /// Sends a message on behalf of a process, a probe for instance, and runs what follows from it.
    ///
    /// # Panics
    /// It is refused.
    pub fn send_as<M: Message>(&mut self, from: Pid, to: impl Address, message: M) {
        if let Err(error) = self.journal.aside(|| self.simulation.send_as(from, to, message)) {
            panic!("a send was refused: {error}");
        }
        self.run();
    }

    /// Makes a call and runs, for 5 seconds of virtual time at most, until it is answered.
    ///
    /// # Errors
    /// As for a call.
    pub fn call<M: Message>(&mut self, to: impl Address, request: M) -> Result<M::Reply, CallError> {
        self.simulation.call(to, request)
    }

    /// Runs until nothing has anything to do at this moment of virtual time.
    pub fn run(&mut self) {
        self.simulation.run();
        for carried in self.downs.borrow_mut().drain(..) {
            if let Ok(Down { target: Target::Pid(pid), reason }) = carried.message.downcast::<Down>() {
                self.ended.push((pid, reason));
            }
        }
    }

    /// Lets virtual time pass, and runs what comes due, in order.
    pub fn advance(&mut self, by: Duration) {
        self.simulation.advance(by);
        self.run();
    }

    /// Kills a process.
    pub fn kill(&mut self, pid: Pid) {
        self.simulation.kill(pid);
        self.run();
    }

    /// Whether a process lives.
    #[must_use]
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.simulation.process(pid).is_some()
    }

    /// Why a process under test ended; `None` while it lives.
    #[must_use]
    pub fn exit_of(&self, pid: Pid) -> Option<&ExitReason> {
        self.ended.iter().find(|(ended, _)| *ended == pid).map(|(_, reason)| reason)
    }

    /// The next message of a probe, which must be an `M`.
    ///
    /// # Panics
    /// There is none, or it is of another type.
    pub fn expect<M: Message>(&mut self, probe: &Probe) -> Received<M> {
        self.run();
        match probe::take::<M>(probe) {
            Ok((message, carried)) => Received { message, from: self.simulation.pid_of(&carried) },
            Err(text) => panic!("{text}"),
        }
    }

    /// The next message of a probe, which must be a call with an `M`, and the right to answer it.
    ///
    /// # Panics
    /// There is none, it is of another type, or nobody waits for an answer.
    pub fn expect_call<M: Message>(&mut self, probe: &Probe) -> (M, ReplyTo<M::Reply>) {
        self.run();
        match probe::take::<M>(probe) {
            Ok((message, carried)) => {
                let reply = probe::reply_of::<M>(self.simulation.shard_of(probe.pid), &carried);
                assert!(reply.is_awaited(), "a {} was sent, not called", std::any::type_name::<M>());
                (message, reply)
            }
            Err(text) => panic!("{text}"),
        }
    }

    /// Nothing waits at a probe.
    ///
    /// # Panics
    /// Something does.
    pub fn expect_nothing(&mut self, probe: &Probe) {
        self.run();
        assert!(probe.is_empty(), "expected nothing, but received {:?}", probe.waiting());
    }

    /// The simulated node.
    pub fn simulation(&mut self) -> &mut Simulation {
        &mut self.simulation
    }
}
