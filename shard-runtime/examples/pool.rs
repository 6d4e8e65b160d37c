//! A pool: one name, many workers, and what it says about itself.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use shard_runtime::{AddWorkers, Pool, PoolStatus};
use std::time::Duration;

#[message(local, reply = u64)]
struct Square(u64);

#[derive(Default)]
struct Worker;

#[actor]
impl Worker {
    #[handle]
    async fn square(&mut self, m: Square, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        // A worker that waits holds neither the shard nor the other workers.
        cx.sleep(Duration::from_millis(1)).await;
        Ok(m.0 * m.0)
    }
}

#[message(local, reply = u64)]
struct SumOfSquares(u64);

#[derive(Default)]
struct Client;

#[actor]
impl Client {
    #[handle]
    async fn sum(&mut self, m: SumOfSquares, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let calls: Vec<_> = (1..=m.0).map(|n| cx.call("squares", Square(n))).collect();
        let mut sum = 0;
        for call in calls {
            sum += call.await?;
        }
        Ok(sum)
    }
}

fn main() -> Result<(), NodeError> {
    let node = Node::builder("pool@localhost").start()?;
    node.spawn(|| Pool::of(Worker::default).size(4), SpawnOptions::named("squares"))?;
    let size = node.call_blocking("squares", AddWorkers(4))?;
    let client = node.spawn(Client::default, SpawnOptions::new())?;
    let sum = node.call_blocking(client, SumOfSquares(100))?;
    assert_eq!(sum, 338_350);
    let status = node.call_blocking("squares", PoolStatus)?;
    println!("sum {sum}, size {size:?}, forwarded {}", status.forwarded);
    node.stop();
    Ok(())
}
