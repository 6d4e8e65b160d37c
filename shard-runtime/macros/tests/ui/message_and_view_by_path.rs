//! A message and its view, where the message is written in two ways: only the compiler sees that they are one.

use shard_runtime::prelude::*;

mod shop {
    #[shard_runtime::prelude::message]
    pub struct Add {
        pub by: i64,
    }
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
    fn add_in_place(&mut self, _: View<shop::Add>, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
