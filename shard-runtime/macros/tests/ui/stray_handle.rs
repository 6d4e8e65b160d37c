//! `#[handle]` outside an `#[actor]` block.

use shard_runtime::prelude::*;

struct Counter;

impl Counter {
    #[handle]
    fn add(&mut self) {}
}

#[handle]
fn free() {}

fn main() {}
