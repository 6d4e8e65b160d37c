//! What travels.

use shard_runtime::prelude::*;

/// The message number `n` of a source.
#[message]
#[derive(Debug)]
pub(super) struct Number {
    pub(super) source: u64,
    pub(super) n: u64,
    pub(super) rest: Vec<u8>,
}

/// Asks a sink for its pid.
#[message(reply = Pid)]
#[derive(Debug)]
pub(super) struct WhoAreYou;

/// Asks a sink for the same number.
#[message(reply = u64)]
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) n: u64,
}
