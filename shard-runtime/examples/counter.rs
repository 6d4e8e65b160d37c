//! A counter on one shard, asked by a process on another: `call` awaits without holding the shard.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;

#[message]
struct Add {
    n: i64,
}

#[message(reply = i64)]
struct Total;

#[derive(Default)]
struct Counter {
    total: i64,
}

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, m: Add, _cx: &mut Context<'_>) -> ActorResult {
        self.total += m.n;
        Ok(())
    }

    #[handle]
    fn total(&mut self, _: Total, _cx: &mut Context<'_>) -> Result<i64, ActorError> {
        Ok(self.total)
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("total", self.total);
    }
}

#[message(reply = i64)]
struct AddUp {
    upto: i64,
}

struct Clerk {
    counter: Pid,
}

#[actor]
impl Clerk {
    #[handle]
    async fn add_up(&mut self, m: AddUp, cx: &mut Context<'_>) -> Result<i64, ActorError> {
        for n in 1..=m.upto {
            cx.send(self.counter, Add { n })?;
        }
        // Messages from one process to another keep their order, so the call comes last.
        Ok(cx.call(self.counter, Total).await?)
    }
}

fn main() -> Result<(), NodeError> {
    let node = Node::builder("counter@localhost").shards(2).start()?;
    let counter = node.spawn(Counter::default, SpawnOptions::named("counter").on_shard(0))?;
    let clerk = node.spawn(move || Clerk { counter }, SpawnOptions::new().on_shard(1))?;
    let sum = node.call_blocking(clerk, AddUp { upto: 1000 })?;
    println!("1 + 2 + ... + 1000 = {sum}");
    assert_eq!(sum, 500_500);
    node.stop();
    Ok(())
}
