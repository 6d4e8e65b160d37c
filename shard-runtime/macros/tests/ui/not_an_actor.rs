//! `#[actor]` where no actor can be made.

use shard_runtime::prelude::*;

#[actor]
struct Counter;

#[actor]
impl Default for Counter {
    fn default() -> Self {
        Self
    }
}

struct Borrower<'a>(&'a str);

#[actor]
impl<'a> Borrower<'a> {}

#[actor(name = "counter")]
impl Counter {}

fn main() {}
