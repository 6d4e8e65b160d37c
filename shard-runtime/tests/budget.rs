//! The memory budget of a shard: outside senders are refused while it is used up, and let in again when it drains.

use shard_runtime::prelude::*;
use shard_runtime::{CallError, LogLevel, SendReason};
use std::time::{Duration, Instant};

#[message(local)]
struct Note;
#[message(local, reply = u64)]
struct Count;
#[message(local)]
struct Hold;
#[message(local, reply = ())]
struct Never;

#[derive(Default)]
struct Counter {
    count: u64,
}
#[actor]
impl Counter {
    #[handle]
    fn note(&mut self, _: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.count += 1;
        Ok(())
    }
    #[handle]
    fn count(&mut self, _: Count, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(self.count)
    }
    #[handle]
    async fn hold(&mut self, _: Hold, cx: &mut Context<'_>) -> ActorResult {
        let _cancelled = cx.call_timeout("gate", Never, Duration::from_secs(3600)).await;
        Ok(())
    }
}
#[derive(Default)]
struct Gate(Vec<ReplyTo<()>>);
#[actor]
impl Gate {
    #[handle]
    fn never(&mut self, _: Never, reply: ReplyTo<()>, _cx: &mut Context<'_>) -> ActorResult {
        self.0.push(reply);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline of a test is wall time")]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn outside_senders_are_refused_while_the_budget_is_used_up() {
    let node = Node::builder("budget@localhost").shards(1).shard_memory(1 << 20).log_level(LogLevel::Panic);
    let node = node.start().unwrap();
    node.spawn(Gate::default, SpawnOptions::named("gate")).unwrap();
    let counter = node.spawn(Counter::default, SpawnOptions::named("counter")).unwrap();
    node.send(counter, Hold).unwrap();
    until("it is held", || {
        node.facts_blocking(counter, Duration::from_secs(5)).is_ok_and(|facts| facts.awaited == 1)
    });
    let mut sent = 0;
    let mut refused = None;
    until("the budget is used up", || {
        match node.send(counter, Note) {
            Ok(()) => sent += 1,
            Err(error) => refused = Some(error.reason),
        }
        refused.is_some()
    });
    assert_eq!(refused, Some(SendReason::Overloaded));
    assert!(sent > (1 << 20) / 64, "{sent}");
    assert_eq!(node.call_blocking("gate", Never), Err(CallError::Send(SendReason::Overloaded)));
    let counters = node.stats().node().counters;
    assert_eq!(counters.over_budget, 2);
    // What is in stays in; when it drains, senders are let in again.
    node.cancel_waits(counter);
    until("it has drained", || node.call_blocking(counter, Count).is_ok_and(|count| count == sent));
    node.send(counter, Note).unwrap();
    assert_eq!(node.call_blocking(counter, Count), Ok(sent + 1));
}
