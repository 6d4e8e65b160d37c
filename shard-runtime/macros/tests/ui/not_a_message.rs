//! A handler of a type that is no message.

use shard_runtime::prelude::*;

struct Add;

struct Counter;

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, _: Add, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
