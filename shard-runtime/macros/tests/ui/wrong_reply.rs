//! Handlers that answer with another type than their message's reply.

use shard_runtime::prelude::*;

#[message(local, reply = i64)]
struct Total;

struct Plain;

#[actor]
impl Plain {
    #[handle]
    fn total(&mut self, _: Total, _: &mut Context<'_>) -> Result<i32, ActorError> {
        Ok(0)
    }
}

struct Async;

#[actor]
impl Async {
    #[handle]
    async fn total(&mut self, _: Total, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
