//! `target` placement (more than 64 pairs of shards), where a send may hop to the link's owner.

use shard_runtime::prelude::*;
use shard_runtime::{LogLevel, NodeEvent};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "tests outside any shard")]
fn now() -> Instant {
    Instant::now()
}

#[message(reply = u64)]
struct First;
#[message(reply = Wide)]
struct Second;
#[data]
#[derive(Debug, PartialEq, Eq)]
struct Wide {
    a: u64,
    b: u64,
}
#[message]
struct Quit;

#[derive(Default)]
struct Target {
    first: Vec<ReplyTo<u64>>,
    second: Vec<ReplyTo<Wide>>,
}
#[actor]
impl Target {
    #[handle]
    fn first(&mut self, _m: First, reply: ReplyTo<u64>, _cx: &mut Context<'_>) -> ActorResult {
        // Both calls are open now: the second one is answered, as a node that behaves well does.
        for held in self.second.drain(..) {
            held.send(Wide { a: 7, b: 9 });
        }
        self.first.push(reply);
        Ok(())
    }
    #[handle]
    fn second(&mut self, _m: Second, reply: ReplyTo<Wide>, _cx: &mut Context<'_>) -> ActorResult {
        self.second.push(reply);
        Ok(())
    }
    #[handle]
    fn quit(&mut self, _m: Quit, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

#[message(local)]
struct GoSecond {
    of: Pid,
    out: std::sync::mpsc::Sender<String>,
}
#[message(local)]
struct GoFirst {
    of: Pid,
}
#[message(local)]
struct GoNamed {
    out: std::sync::mpsc::Sender<String>,
}

#[derive(Default)]
struct Asker;
#[actor]
impl Asker {
    #[handle]
    async fn second(&mut self, m: GoSecond, cx: &mut Context<'_>) -> ActorResult {
        let result = cx.call(m.of, Second).await;
        let _gone = m.out.send(format!("{result:?}"));
        Ok(())
    }
    #[handle]
    async fn first(&mut self, m: GoFirst, cx: &mut Context<'_>) -> ActorResult {
        let _timeout = cx.call(m.of, First).await;
        Ok(())
    }
    #[handle]
    async fn named(&mut self, m: GoNamed, cx: &mut Context<'_>) -> ActorResult {
        let result = cx.call_timeout(("target", "two@localhost"), Plain, Duration::from_secs(3)).await;
        let _gone = m.out.send(format!("{result:?}"));
        Ok(())
    }
}
#[message(reply = u64)]
struct Plain;
#[derive(Default)]
struct Named;
#[actor]
impl Named {
    #[handle]
    fn plain(&mut self, _m: Plain, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(1)
    }
}

fn pair(shards: (u16, u16)) -> (Node, Node, Receiver<NodeEvent>) {
    let builder = |name: &str, shards| {
        Node::builder(name).shards(shards).listen("127.0.0.1:0").cookie("unit test cookie").log_level(LogLevel::Error)
    };
    let two = builder("two@localhost", shards.1).start().unwrap();
    let address = two.listen_address().unwrap().to_string();
    let one = builder("one@localhost", shards.0).route("two@localhost", address).start().unwrap();
    let events = one.subscribe_nodes().unwrap();
    let up = events.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(matches!(up, NodeEvent::Up { .. }));
    (one, two, events)
}

/// A call that hops marks a waiter of the owner shard that has the same index and generation.
#[test]
fn a_call_that_hops_leaves_the_calls_of_the_owner_alone() {
    open_calls((9, 8));
}

/// The same with `full` placement, where nothing hops: the control.
#[test]
fn without_a_hop_the_calls_of_both_shards_are_answered() {
    open_calls((2, 2));
}

fn open_calls(shards: (u16, u16)) {
    let (one, two, _events) = pair(shards);
    let target = two.spawn(Target::default, SpawnOptions::new().on_shard(0)).unwrap();
    // Links to shard 0 of the peer are owned by shard 0 here.
    let owner = one.spawn(Asker::default, SpawnOptions::new().on_shard(0)).unwrap();
    let other = one.spawn(Asker::default, SpawnOptions::new().on_shard(1)).unwrap();
    let (out, answers) = std::sync::mpsc::channel();
    one.send(owner, GoSecond { of: target, out }).unwrap();
    let deadline = now() + Duration::from_secs(5);
    while two.stats().process(target.local).unwrap().messages_in == 0 && now() < deadline {
        std::thread::yield_now();
    }
    one.send(other, GoFirst { of: target }).unwrap();
    let answer = answers.recv_timeout(Duration::from_secs(10)).unwrap();
    one.stop();
    two.stop();
    assert_eq!(answer, "Ok(Wide { a: 7, b: 9 })");
}

/// A message to a name that hops loses its name, so its sender is never told that the name has moved.
#[test]
fn a_name_that_moved_is_resolved_again_on_every_shard() {
    moved(1);
}

/// The same from the shard that owns the link.
#[test]
fn a_name_that_moved_is_resolved_again_on_the_owner() {
    moved(0);
}

fn moved(from: u16) {
    let (one, two, _events) = pair((9, 8));
    let named = || SpawnOptions::named("target").on_shard(0);
    let first = two.spawn(Named::default, named()).unwrap();
    let asker = one.spawn(Asker::default, SpawnOptions::new().on_shard(from)).unwrap();
    let (out, answers) = std::sync::mpsc::channel();
    let ask = || {
        one.send(asker, GoNamed { out: out.clone() }).unwrap();
        answers.recv_timeout(Duration::from_secs(10)).unwrap()
    };
    assert_eq!(ask(), "Ok(1)");
    two.kill(first);
    while two.whereis("target").is_some() {
        std::thread::yield_now();
    }
    two.spawn(Named::default, named()).unwrap();
    let mut last = String::new();
    let until = now() + Duration::from_secs(10);
    while now() < until {
        last = ask();
        if last == "Ok(1)" {
            break;
        }
        std::thread::yield_now();
    }
    one.stop();
    two.stop();
    assert_eq!(last, "Ok(1)", "the old holder is called for ever");
}
