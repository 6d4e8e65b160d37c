//! A generic actor.
#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub, elided_lifetimes_in_paths)]

use shard_runtime::prelude::*;
use std::fmt::Debug;

#[message(local, reply = T)]
struct Job<T: Send + 'static>(T);

#[message(local, reply = usize)]
struct Count;

struct Worker<T, const N: usize> {
    done: Vec<T>,
}

#[actor]
impl<T, const N: usize> Worker<T, N>
where
    T: Clone + Debug + Send + 'static,
{
    #[handle]
    async fn job(&mut self, Job(work): Job<T>, _: &mut Context<'_>) -> Result<T, ActorError> {
        self.done.push(work.clone());
        Ok(work)
    }

    #[handle]
    fn count(&mut self, _: Count, _: &mut Context<'_>) -> Result<usize, ActorError> {
        Ok(self.done.len() + N)
    }
}

fn is_actor<A: shard_runtime::Actor>(_: A) {}

#[test]
fn holds() {
    is_actor(Worker::<u8, 2> { done: vec![] });
    is_actor(Worker::<String, 0> { done: vec![] });
    let _ = (Job(1), Count);
}
