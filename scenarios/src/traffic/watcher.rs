//! Who watches a sink of the other node.

use super::tally::Tally;
use shard_runtime::Target;
use shard_runtime::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries to watch it.
const AGAIN: Duration = Duration::from_millis(50);

#[message(local)]
struct Look;

/// Monitors a sink whenever it can.
#[derive(Debug)]
pub(super) struct Watcher {
    sink: String,
    peer: String,
    tally: Arc<Tally>,
    is_watching: bool,
    /// The session whose end was told last.
    last: Option<u64>,
}

impl Watcher {
    pub(super) fn new(sink: String, peer: String, tally: Arc<Tally>) -> Self {
        Self { sink, peer, tally, is_watching: false, last: None }
    }
}

#[actor]
impl Watcher {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.send_after(cx.pid(), Look, AGAIN).map_err(|refused| refused.reason)?;
        Ok(())
    }

    #[handle]
    fn look(&mut self, _: Look, cx: &mut Context<'_>) -> ActorResult {
        if !self.is_watching {
            let target = Target::NameAt { name: (&*self.sink).into(), node: (&*self.peer).into() };
            self.is_watching = cx.monitor(target).is_ok();
            self.tally.add(|tally| &tally.watched, u64::from(self.is_watching));
        }
        cx.send_after(cx.pid(), Look, AGAIN).map_err(|refused| refused.reason)?;
        Ok(())
    }

    #[handle]
    fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
        self.is_watching = false;
        let ExitReason::NoConnection { session, .. } = m.reason else {
            // A node that has just begun has not started it yet.
            self.tally.add(|tally| &tally.absent, 1);
            return Ok(());
        };
        self.tally.add(|tally| &tally.downs, 1);
        if self.last.replace(session) == Some(session) {
            self.tally.add(|tally| &tally.downs_again, 1);
        }
        Ok(())
    }
}
