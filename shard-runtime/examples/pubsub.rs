//! An event: one process publishes prices, others subscribe; late ones get what was kept.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;

#[message(local)]
#[derive(Debug)]
struct Price {
    cents: u64,
}

#[message(local, reply = ())]
struct Publish(u64);

struct Market {
    prices: Option<Topic<Price>>,
}

#[actor]
impl Market {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        self.prices = Some(cx.register_event("prices", EventOptions::new().buffer(3))?);
        Ok(())
    }

    #[handle]
    fn publish(&mut self, m: Publish, cx: &mut Context<'_>) -> Result<(), ActorError> {
        if let Some(prices) = &self.prices {
            cx.publish(prices, Price { cents: m.0 })?;
        }
        Ok(())
    }
}

#[message(local, reply = Vec<u64>)]
struct Seen;

#[derive(Default)]
struct Trader {
    seen: Vec<u64>,
}

#[actor]
impl Trader {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.subscribe::<Price>("prices")?;
        Ok(())
    }

    #[handle]
    fn price(&mut self, event: Event<Price>, _cx: &mut Context<'_>) -> ActorResult {
        self.seen.push(event.message().cents);
        Ok(())
    }

    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(self.seen.clone())
    }
}

fn main() -> Result<(), NodeError> {
    let node = Node::builder("pubsub@localhost").shards(2).start()?;
    let market = node.spawn(|| Market { prices: None }, SpawnOptions::named("market").on_shard(0))?;
    let early = node.spawn(Trader::default, SpawnOptions::new().on_shard(1))?;
    // The word of a subscriber travels to the shard of the event.
    while node.stats().events().iter().all(|event| event.subscribers == 0) {
        std::thread::yield_now();
    }
    for cents in 1..=5 {
        node.call_blocking(market, Publish(cents))?;
    }
    let late = node.spawn(Trader::default, SpawnOptions::new().on_shard(0))?;
    while node.call_blocking(early, Seen)?.len() < 5 || node.call_blocking(late, Seen)?.len() < 3 {
        std::thread::yield_now();
    }
    assert_eq!(node.call_blocking(early, Seen)?, [1, 2, 3, 4, 5]);
    assert_eq!(node.call_blocking(late, Seen)?, [3, 4, 5]);
    println!("the late one got the last three");
    node.stop();
    Ok(())
}
