//! Compressed messages between nodes: who asks for it, what is counted, and that nothing else changes.

use shard_runtime::prelude::*;
use shard_runtime::{LinkCounters, LogLevel, NodeEvent};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[message]
struct Text {
    n: u64,
    text: String,
}
#[message(reply = Vec<u8>)]
struct Big {
    len: u64,
}
#[message(reply = Vec<u64>)]
struct Take;
#[message(reply = u64)]
struct Ask {
    to: Pid,
    by_name: bool,
    len: u64,
}
#[message(reply = u64)]
struct Write {
    to: Pid,
    count: u64,
    len: u64,
}
#[message(reply = ())]
struct Switch {
    threshold: Option<u32>,
}

#[derive(Default)]
struct Party {
    seen: Vec<u64>,
}

fn text(n: u64, len: u64) -> String {
    let unit = format!("{n} of many ");
    let mut text = unit.repeat(len as usize / unit.len() + 1);
    text.truncate(len as usize);
    text
}

#[actor]
impl Party {
    #[handle]
    fn text(&mut self, m: Text, _cx: &mut Context<'_>) -> ActorResult {
        assert_eq!(m.text, text(m.n, m.text.len() as u64));
        self.seen.push(m.n);
        Ok(())
    }
    #[handle]
    fn big(&mut self, m: Big, _cx: &mut Context<'_>) -> Result<Vec<u8>, ActorError> {
        Ok(vec![7; m.len as usize])
    }
    #[handle]
    fn take(&mut self, _: Take, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(std::mem::take(&mut self.seen))
    }
    #[handle]
    async fn ask(&mut self, m: Ask, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let asked = Big { len: m.len };
        let bytes = if m.by_name {
            cx.call(("party", "one@localhost"), asked).await?
        } else {
            cx.call(m.to, asked).await?
        };
        Ok(bytes.iter().filter(|byte| **byte == 7).count() as u64)
    }
    /// By pid and by name, at two priorities, in turns.
    #[handle]
    async fn write(&mut self, m: Write, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        // Once it is known who holds the name, all ways are one.
        cx.call(("party", "one@localhost"), Big { len: 0 }).await?;
        for n in 0..m.count {
            let message = Text { n, text: text(n, m.len) };
            match n % 3 {
                0 => cx.send(m.to, message).map_err(|error| error.reason)?,
                1 => cx.send(("party", "one@localhost"), message).map_err(|error| error.reason)?,
                _ => cx.send_with(m.to, message, Priority::Normal).map_err(|error| error.reason)?,
            }
            cx.yield_now().await;
        }
        Ok(m.count)
    }
    #[handle]
    fn switch(&mut self, m: Switch, cx: &mut Context<'_>) -> Result<(), ActorError> {
        cx.set_compression(m.threshold);
        Ok(())
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
    Instant::now()
}

struct Pair {
    one: Node,
    two: Node,
    sink: Pid,
}

fn pair(shards: (u16, u16)) -> Pair {
    let builder = |name: &str, shards| {
        Node::builder(name)
            .shards(shards)
            .listen("127.0.0.1:0")
            .cookie("of compression")
            .log_level(LogLevel::Error)
    };
    let one = builder("one@localhost", shards.0).start().unwrap();
    let at = one.listen_address().unwrap().to_string();
    let two = builder("two@localhost", shards.1).route("one@localhost", at).start().unwrap();
    let wait = |events: &Receiver<NodeEvent>| {
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    };
    wait(&two.subscribe_nodes().unwrap());
    wait(&one.subscribe_nodes().unwrap());
    let sink = one.spawn(Party::default, SpawnOptions::named("party").on_shard(0)).unwrap();
    Pair { one, two, sink }
}

fn counters(node: &Node) -> LinkCounters {
    node.stats().peers()[0].counters
}

impl Pair {
    fn write(&self, source: Pid, count: u64, len: u64) {
        let write = Write { to: self.sink, count, len };
        assert_eq!(self.two.call_blocking_timeout(source, write, LIMIT).unwrap(), count);
        let until = now() + LIMIT;
        let mut seen = Vec::new();
        while (seen.len() as u64) < count {
            assert!(now() < until, "only {} of {count} came", seen.len());
            seen.extend(self.one.call_blocking(self.sink, Take).unwrap());
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>(), "in order");
    }
}

#[test]
fn messages_of_a_process_that_asks_for_it_travel_compressed_and_in_order() {
    // Links of the own shard, links of another shard, and a thread of its own.
    for (shards, options) in [
        ((1, 1), SpawnOptions::new()),
        ((9, 8), SpawnOptions::new().on_shard(1)),
        ((1, 1), SpawnOptions::new().dedicated_thread()),
    ] {
        let pair = pair(shards);
        let source = pair.two.spawn(Party::default, options.compression(2000)).unwrap();
        pair.write(source, 30, 1000);
        assert_eq!(counters(&pair.two).compressed_out, 0, "below the threshold");
        pair.write(source, 30, 200_000);
        let (out, got) = (counters(&pair.two), counters(&pair.one));
        assert_eq!((out.compressed_out, got.compressed_in), (30, 30));
        assert!(out.compressed_out_before >= 30 * 200_000);
        assert!(out.compressed_out_after < out.compressed_out_before / 20, "{out:?}");
        assert_eq!(got.compressed_in_before, out.compressed_out_after);
        assert_eq!(got.compressed_in_after, out.compressed_out_before);
        assert!(out.bytes_out < 30 * 200_000 / 4, "{out:?}");
        assert_eq!(got.protocol_errors, 0);
    }
}

#[test]
fn replies_are_compressed_if_the_one_who_answers_asks_for_it() {
    let pair = pair((2, 2));
    let plain = pair.two.spawn(Party::default, SpawnOptions::new()).unwrap();
    for by_name in [false, true] {
        let ask = Ask { to: pair.sink, by_name, len: 100_000 };
        assert_eq!(pair.two.call_blocking(plain, ask).unwrap(), 100_000);
    }
    assert_eq!(counters(&pair.one).compressed_out, 0, "nobody asked for it");
    pair.one.call_blocking(pair.sink, Switch { threshold: Some(0) }).unwrap();
    let ask = Ask { to: pair.sink, by_name: true, len: 100_000 };
    assert_eq!(pair.two.call_blocking(plain, ask).unwrap(), 100_000);
    assert_eq!((counters(&pair.one).compressed_out, counters(&pair.two).compressed_in), (1, 1));
}

#[test]
fn compression_is_switched_while_a_process_runs() {
    let pair = pair((1, 1));
    for options in [SpawnOptions::new(), SpawnOptions::new().dedicated_thread()] {
        let before = counters(&pair.two).compressed_out;
        let source = pair.two.spawn(Party::default, options).unwrap();
        pair.write(source, 3, 5000);
        assert_eq!(counters(&pair.two).compressed_out, before);
        pair.two.call_blocking(source, Switch { threshold: Some(4000) }).unwrap();
        pair.write(source, 3, 5000);
        assert_eq!(counters(&pair.two).compressed_out, before + 3);
        pair.two.call_blocking(source, Switch { threshold: None }).unwrap();
        pair.write(source, 3, 5000);
        assert_eq!(counters(&pair.two).compressed_out, before + 3);
    }
}

#[test]
fn the_largest_message_is_judged_before_it_is_compressed() {
    let pair = pair((1, 1));
    let source = pair.two.spawn(Party::default, SpawnOptions::new().compression(0)).unwrap();
    pair.write(source, 2, 8 << 20);
    let write = Write { to: pair.sink, count: 1, len: 17 << 20 };
    assert_eq!(pair.two.call_blocking_timeout(source, write, LIMIT), Err(CallError::Terminated));
}
