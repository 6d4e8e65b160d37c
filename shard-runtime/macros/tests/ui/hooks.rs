//! Reserved names with other signatures.

#![allow(unused_variables)]

use shard_runtime::prelude::*;

struct Counter;

#[actor]
impl Counter {
    fn init(total: i64) -> Self {
        Self
    }

    fn terminate(&mut self, cx: &mut Context<'_>) {}

    async fn inspect(&self, out: &mut Inspect) {}
}

fn main() {}
