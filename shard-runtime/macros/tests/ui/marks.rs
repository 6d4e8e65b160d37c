//! `#[handle]` in the block, but not as it is meant.

#![allow(unused_variables)]

use shard_runtime::prelude::*;

#[message(local)]
struct Add(i64);

struct Counter;

#[actor]
impl Counter {
    #[handle]
    const STEP: i64 = 1;

    #[handle(Add)]
    fn add(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn init(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    #[handle]
    fn twice(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
