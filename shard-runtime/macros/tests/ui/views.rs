//! A message has one handler, of itself or of its view, and only what may leave its node has views.

use shard_runtime::prelude::*;

#[message]
pub struct Add {
    n: i64,
}

#[message(local)]
pub struct Local(Box<dyn Fn() + Send>);

mod elsewhere {
    pub use super::Add;
}

struct Both;

#[actor]
impl Both {
    #[handle]
    fn one(&mut self, _m: Add, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
    #[handle]
    fn two(&mut self, _m: View<Add>, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

struct ByPath;

#[actor]
impl ByPath {
    #[handle]
    fn one(&mut self, _m: Add, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
    #[handle]
    fn two(&mut self, _m: View<elsewhere::Add>, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

struct OfLocal;

#[actor]
impl OfLocal {
    #[handle]
    fn one(&mut self, _m: View<Local>, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn main() {}
