//! Where a soak runs: on a real node, with real threads, or on the simulation, where one seed gives one run.

use super::ledger::{Books, Class, Tally, Token, Tokened, number_of, sending};
use super::message::{Ask, Manner};
use shard_runtime::prelude::*;
use shard_runtime::wire::NodeName;
use shard_runtime::{Actor, Address, LogLevel, LogRecord, LogSink, Message, SendReason};
use shard_runtime::{ShardCounters, Simulation};
use std::time::Duration;

/// Time between two looks at what goes on.
pub(super) const STEP: Duration = Duration::from_millis(1);

pub(super) enum World {
    Real(Node),
    Simulated(Box<Simulation>),
}

/// What is logged, panics on purpose left out.
#[derive(Debug)]
struct Log;

impl LogSink for Log {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        if !record.text.contains("on purpose") {
            let line = format!("{} {}: {}\n", node.as_str(), record.level.name(), record.text);
            // Nothing can be done where even this cannot be written.
            drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
        }
    }
}

impl World {
    pub(super) fn real(shards: u16) -> Result<Self, NodeError> {
        let node = Node::builder("soak@localhost").shards(shards).ring_slots(256);
        Ok(Self::Real(node.log_level(LogLevel::Panic).log_sink(Log).start()?))
    }

    pub(super) fn simulated(shards: u16, seed: u64) -> Result<Self, NodeError> {
        let sim = Simulation::with_log("soak@localhost", shards, seed, LogLevel::Panic, Box::new(Log))?;
        Ok(Self::Simulated(Box::new(sim)))
    }

    pub(super) fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }

    pub(super) fn spawn<A: Actor>(
        &mut self,
        shard: u16,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        match self {
            Self::Real(node) => node.spawn(factory, options.on_shard(shard)),
            Self::Simulated(sim) => sim.spawn(shard, factory, &options),
        }
    }

    /// Sends from outside, and books what came back.
    pub(super) fn send<M: Message + Tokened>(
        &mut self,
        to: impl Address,
        message: M,
    ) -> Result<(), SendReason> {
        let number = number_of(&message);
        let (sent, _) = sending(number, || match self {
            Self::Real(node) => node.send(to, message),
            Self::Simulated(sim) => sim.send(to, message),
        });
        sent.map_err(|refused| {
            let reason = refused.reason;
            refused.into_inner().into_token().returned();
            reason
        })
    }

    /// A call from outside, on a real node: on the simulation it would wait out its time-out.
    pub(super) fn call(&mut self, to: Pid, books: &Books) {
        let Self::Real(node) = self else { return };
        let ask = Ask {
            token: Token::new(books, Class::Outside),
            manner: Manner::AfterSleep,
            reply: Class::AskReply,
        };
        let timeout = Duration::from_millis(12);
        let (outcome, dropped) = sending(number_of(&ask), || node.call_blocking_timeout(to, ask, timeout));
        match outcome {
            Ok(reply) => {
                reply.token.done();
                books.note(Tally::CallsAnswered);
            }
            Err(CallError::Send(_)) if dropped => books.note(Tally::CallsRefusedAtDoor),
            Err(CallError::Send(_)) => books.note(Tally::CallsRefusedOutside),
            Err(CallError::Timeout) => books.note(Tally::CallsTimedOut),
            Err(_) => books.note(Tally::CallsFailed),
        }
    }

    pub(super) fn kill(&mut self, pid: Pid) {
        match self {
            Self::Real(node) => node.kill(pid),
            Self::Simulated(sim) => sim.kill(pid),
        }
    }

    /// Lets a moment go by.
    pub(super) fn step(&mut self) {
        match self {
            Self::Real(_) => std::thread::park_timeout(STEP),
            Self::Simulated(sim) => sim.advance(STEP),
        }
    }

    pub(super) fn counters(&self) -> ShardCounters {
        match self {
            Self::Real(node) => node.stats().node().counters,
            Self::Simulated(sim) => sim.counters(),
        }
    }

    /// Registered names; the simulation does not say.
    pub(super) fn names(&self) -> u64 {
        match self {
            Self::Real(node) => node.stats().node().names,
            Self::Simulated(_) => 0,
        }
    }

    pub(super) fn whereis(&self, name: &str) -> Option<Pid> {
        match self {
            Self::Real(node) => node.whereis(name),
            Self::Simulated(sim) => sim.whereis(name),
        }
    }

    pub(super) fn stop(&self) {
        if let Self::Real(node) = self {
            node.stop();
        }
    }
}
