//! Who takes the numbers.

use super::message::{Echo, Number, WhoAreYou};
use super::tally::Tally;
use shard_runtime::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The byte that all of a message consists of.
pub(super) fn filling(n: u64) -> u8 {
    (n % 251) as u8
}

/// Compares the numbers of each source with what it expects.
#[derive(Debug)]
pub(super) struct Sink {
    tally: Arc<Tally>,
    next: BTreeMap<u64, u64>,
}

impl Sink {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self { tally, next: BTreeMap::new() }
    }
}

#[actor]
impl Sink {
    #[handle]
    fn number(&mut self, m: Number, _cx: &mut Context<'_>) -> ActorResult {
        let next = self.next.entry(m.source).or_default();
        if m.n < *next {
            self.tally.add(|tally| &tally.behind, 1);
            return Ok(());
        }
        self.tally.add(|tally| &tally.lost, m.n - *next);
        *next = m.n + 1;
        self.tally.add(|tally| &tally.received, 1);
        if m.rest.iter().any(|byte| *byte != filling(m.n)) {
            self.tally.add(|tally| &tally.garbled, 1);
        }
        Ok(())
    }

    #[handle]
    fn who_are_you(&mut self, _: WhoAreYou, cx: &mut Context<'_>) -> Result<Pid, ActorError> {
        Ok(cx.pid())
    }

    #[handle]
    fn echo(&mut self, m: Echo, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(m.n)
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("sources", self.next.len());
    }
}
