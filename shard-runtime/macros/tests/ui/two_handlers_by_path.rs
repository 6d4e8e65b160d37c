//! Two handlers of one message type that is written in two ways.

use shard_runtime::prelude::*;

mod shop {
    #[shard_runtime::prelude::message(local)]
    pub struct Add(pub i64);
}
use shop::Add;

struct Counter;

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, _: Add, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn add_again(&mut self, _: shop::Add, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
