//! Two handlers of one message type.

#![allow(unused_variables)]

use shard_runtime::prelude::*;

#[message(local)]
struct Add(i64);

struct Counter;

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    async fn add_again(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
