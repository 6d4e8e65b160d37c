//! A tree: a supervisor restarts what crashes, and only that.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use shard_runtime::{Backoff, Children};
use std::time::Duration;

#[message(local)]
struct Crash;

#[message(reply = u64)]
struct Hits;

#[derive(Default)]
struct Store {
    hits: u64,
}

#[actor]
impl Store {
    #[handle]
    fn hits(&mut self, _: Hits, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.hits += 1;
        Ok(self.hits)
    }

    #[handle]
    fn crash(&mut self, _: Crash, _cx: &mut Context<'_>) -> ActorResult {
        Err(std::io::Error::other("the disk is gone").into())
    }
}

fn tree() -> Supervisor {
    let spec = SupervisorSpec::one_for_one()
        .intensity(5, Duration::from_secs(5))
        .backoff(Backoff::new(Duration::from_millis(1), Duration::from_secs(1)));
    Supervisor::new(spec)
        .child(ChildSpec::new("left"), Store::default)
        .child(ChildSpec::new("right"), Store::default)
}

fn main() -> Result<(), NodeError> {
    let node = Node::builder("supervision@localhost").start()?;
    let root = node.spawn(tree, SpawnOptions::named("root"))?;
    for side in ["left", "right"] {
        assert_eq!(node.call_blocking(side, Hits)?, 1);
    }
    let before = node.whereis("left");
    node.send("left", Crash)?;
    // A new process comes up under the same name, with new state. The other one goes on.
    while node.whereis("left") == before || node.whereis("left").is_none() {
        std::thread::yield_now();
    }
    assert_eq!(node.call_blocking("left", Hits)?, 1);
    assert_eq!(node.call_blocking("right", Hits)?, 2);
    println!("restarts: {}", node.call_blocking(root, Children)?.restarts_count);
    node.stop();
    Ok(())
}
