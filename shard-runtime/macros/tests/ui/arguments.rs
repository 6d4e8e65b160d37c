//! Handlers with wrong arguments: all of a block are reported at once.

#![allow(unused_variables)]

use shard_runtime::Message;
use shard_runtime::prelude::*;

#[message(local)]
struct Add(i64);

struct Counter;

#[actor]
impl Counter {
    #[handle]
    fn no_receiver(m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn shared(&self, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn nothing(&mut self) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn no_context(&mut self, m: Add) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn no_message(&mut self, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn borrowed(&mut self, m: &Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn unnamed(&mut self, m: (i64, i64), cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn order(&mut self, reply: ReplyTo<()>, m: Add, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn extra(&mut self, m: Add, n: i64, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn generic<M: Message>(&mut self, m: M, cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn no_result(&mut self, m: Add, cx: &mut Context<'_>) {}
}

fn main() {}
