//! Who sends the numbers, and who calls.

use super::message::{Echo, Number, WhoAreYou};
use super::sink::filling;
use super::tally::Tally;
use crate::Random;
use shard_runtime::SendReason;
use shard_runtime::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(2);
/// Between two calls of one caller.
const CALL_REST: Duration = Duration::from_millis(5);
/// After which a call ends unanswered.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// One message in so many is big enough to be cut into parts.
const BIG_ONE_IN: u64 = 997;
const BIG_BYTES: usize = 300_000;

/// What a node sends.
#[derive(Clone, Debug)]
pub struct Load {
    /// The node that it sends to.
    pub peer: String,
    /// Messages per second and source; 0: as many as links take.
    pub rate: u64,
    /// Bytes of a message, about.
    pub bytes: u64,
}

#[message(local)]
struct Tick;

/// The pid of a sink, if it answers.
async fn find(sink: &str, peer: &str, cx: &Context<'_>) -> Option<Pid> {
    cx.call_timeout((sink, peer), WhoAreYou, CALL_LIMIT).await.ok()
}

/// Sends numbers to one sink.
#[derive(Debug)]
pub(super) struct Source {
    load: Load,
    sink: String,
    by_pid: bool,
    tally: Arc<Tally>,
    id: u64,
    next: u64,
    /// The sink, once it has answered: a node is in session before its processes have started.
    pid: Option<Pid>,
    /// Thousandths of messages that are due.
    due: u64,
}

impl Source {
    pub(super) fn new(load: Load, sink: String, by_pid: bool, tally: Arc<Tally>) -> Self {
        let id = Random::for_actor(None, &["traffic"]).between(1, u64::MAX - 1);
        Self { load, sink, by_pid, tally, id, next: 0, pid: None, due: 0 }
    }

    /// Sends one; whether another one may follow.
    fn send_one(&mut self, cx: &Context<'_>) -> bool {
        let n = self.next;
        let length = if n.is_multiple_of(BIG_ONE_IN) { BIG_BYTES } else { self.load.bytes as usize };
        let message = Number { source: self.id, n, rest: vec![filling(n); length] };
        let sent = match self.pid {
            Some(pid) if self.by_pid => cx.send(pid, message),
            Some(_) => cx.send((&*self.sink, &*self.load.peer), message),
            None => return false,
        };
        let Err(error) = sent else {
            self.next += 1;
            self.tally.add(|tally| &tally.sent, 1);
            return true;
        };
        match error.reason {
            SendReason::OutboxFull | SendReason::Overloaded => {
                self.tally.add(|tally| &tally.refused_full, 1);
            }
            SendReason::NotConnected | SendReason::NoRoute | SendReason::NoProcess => {
                self.pid = None;
                self.tally.add(|tally| &tally.refused_away, 1);
            }
            _ => self.tally.add(|tally| &tally.refused_else, 1),
        }
        false
    }
}

#[actor]
impl Source {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.send_after(cx.pid(), Tick, TICK).map_err(|refused| refused.reason)?;
        Ok(())
    }

    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        if !self.tally.is_paused() {
            if self.pid.is_none() {
                self.pid = find(&self.sink, &self.load.peer, cx).await;
            }
            self.due += self.load.rate * TICK.as_millis() as u64;
            let mut count = 0;
            while self.load.rate == 0 || self.due >= 1000 {
                self.due = self.due.saturating_sub(1000);
                if !self.send_one(cx) {
                    break;
                }
                count += 1;
                if count % 256 == 0 {
                    cx.yield_now().await;
                    if self.tally.is_paused() {
                        break;
                    }
                }
            }
            self.due = self.due.min(1000 * self.load.rate);
        }
        cx.send_after(cx.pid(), Tick, TICK).map_err(|refused| refused.reason)?;
        Ok(())
    }
}

/// Calls one sink, again and again.
#[derive(Debug)]
pub(super) struct Caller {
    load: Load,
    sink: String,
    tally: Arc<Tally>,
    next: u64,
    /// The sink has answered, and no call has failed since.
    is_there: bool,
}

impl Caller {
    pub(super) fn new(load: Load, sink: String, tally: Arc<Tally>) -> Self {
        Self { load, sink, tally, next: 0, is_there: false }
    }
}

#[actor]
impl Caller {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.send_after(cx.pid(), Tick, CALL_REST).map_err(|refused| refused.reason)?;
        Ok(())
    }

    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        if !self.is_there && !self.tally.is_paused() {
            self.is_there = find(&self.sink, &self.load.peer, cx).await.is_some();
        }
        if self.is_there && !self.tally.is_paused() {
            let n = self.next;
            self.next += 1;
            self.tally.add(|tally| &tally.calls, 1);
            match cx.call_timeout((&*self.sink, &*self.load.peer), Echo { n }, CALL_LIMIT).await {
                Ok(echo) if echo == n => self.tally.add(|tally| &tally.answered, 1),
                Ok(_) => self.tally.add(|tally| &tally.garbled, 1),
                // It was not made, and is in a while.
                Err(CallError::Send(SendReason::OutboxFull)) => {
                    self.tally.add(|tally| &tally.calls_refused, 1);
                }
                Err(error) => {
                    self.is_there = false;
                    self.tally.add(|tally| &tally.call_errors, 1);
                    if error == CallError::Timeout {
                        self.tally.add(|tally| &tally.call_timeouts, 1);
                    }
                }
            }
        }
        cx.send_after(cx.pid(), Tick, CALL_REST).map_err(|refused| refused.reason)?;
        Ok(())
    }
}
