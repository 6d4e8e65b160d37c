//! A message and its view are one message: it has one handler, of either form.

#![allow(unused_variables)]

use shard_runtime::prelude::*;

#[message]
struct Add {
    by: i64,
}

struct Counter;

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    async fn add_in_place(&mut self, m: View<Add>, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
