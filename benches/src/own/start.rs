//! One node for one run: how many shards, where they are pinned, and errors in the words of the benches.

use std::sync::mpsc;
use std::time::Duration;

use shard_runtime::{Actor, Address, Message, Node, Pid, Pinning, SpawnOptions};

use crate::error::RunError;
use crate::machine::cpu_count;

/// Where the shards of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// One shard on processor 1.
    OneShard,
    /// Shard 0 on processor 0, shard 1 on processor 1; both park when idle.
    TwoShards,
    /// The same, and both poll their rings for a while before they park.
    TwoShardsPatient,
    /// The same, and both poll their rings instead of parking.
    TwoShardsPolling,
    /// A shard on every processor.
    OneShardPerCpu,
}

/// How long a polling shard polls before it would park: longer than any wait of a run.
const POLL: Duration = Duration::from_secs(1);

/// How long a patient shard polls: about what a park and a wake take together.
const PATIENCE: Duration = Duration::from_micros(50);

/// A running node.
#[derive(Debug)]
pub struct World {
    node: Node,
}

impl World {
    /// Starts a node with its shards pinned as `spread` says.
    ///
    /// # Errors
    /// [`RunError::Work`] with the node's own words when it refuses.
    pub fn start(spread: Spread) -> Result<Self, RunError> {
        let cpus: Vec<usize> = match spread {
            Spread::OneShard => vec![1 % cpu_count()],
            Spread::TwoShards | Spread::TwoShardsPatient | Spread::TwoShardsPolling => {
                vec![0, 1 % cpu_count()]
            }
            Spread::OneShardPerCpu => (0..cpu_count()).collect(),
        };
        let shards = u16::try_from(cpus.len()).map_err(RunError::work)?;
        let spin = match spread {
            Spread::OneShard | Spread::TwoShards | Spread::OneShardPerCpu => Duration::ZERO,
            Spread::TwoShardsPatient => PATIENCE,
            Spread::TwoShardsPolling => POLL,
        };
        let builder =
            Node::builder("bench@localhost").shards(shards).pinning(Pinning::Cpus(cpus)).idle_spin(spin);
        let node = builder.start().map_err(RunError::work)?;
        Ok(Self { node })
    }

    /// The node itself.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Spawns an actor on a shard.
    ///
    /// # Errors
    /// [`RunError::Work`] when the node refuses.
    pub fn spawn<A: Actor>(
        &self,
        shard: usize,
        factory: impl FnOnce() -> A + Send + 'static,
    ) -> Result<Pid, RunError> {
        let shard = u16::try_from(shard).map_err(RunError::work)?;
        self.node.spawn(factory, SpawnOptions::new().on_shard(shard)).map_err(RunError::work)
    }

    /// Sends from outside.
    ///
    /// # Errors
    /// [`RunError::Work`] when the node refuses.
    pub fn send<M: Message>(&self, to: impl Address, message: M) -> Result<(), RunError> {
        self.node.send(to, message).map_err(RunError::work)
    }

    /// Waits for what an actor tells; the watchdog of the process ends a run that never tells.
    ///
    /// # Errors
    /// [`RunError::Work`] when the actor is gone.
    pub fn wait<T>(told: &mpsc::Receiver<T>) -> Result<T, RunError> {
        told.recv().map_err(|_| RunError::work("a process of the run ended before it had done its work"))
    }
}
