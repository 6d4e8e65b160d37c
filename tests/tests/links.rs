//! Links between nodes that break under load: two nodes in this process, and a proxy between them that cuts connections.

use shard_runtime::prelude::*;
use shard_runtime::{NodeEvent, SendReason};
use shard_tests::harness::{ChaosProxy, Mode, eventually};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[message]
struct Number {
    from: u64,
    n: u64,
    rest: Vec<u8>,
}
#[message(reply = u64)]
struct Echo {
    n: u64,
}
/// How far each sender has come.
#[message(reply = Vec<u64>)]
struct HowFar;
#[message(reply = Sent)]
struct Flood {
    number: u64,
    to: Pid,
    count: u64,
}
#[data]
#[derive(Debug)]
struct Sent {
    sent: u64,
    failed_calls: u64,
}

/// Takes numbers, and ends with an error if one is missing, doubled or out of order.
#[derive(Default)]
struct Sink {
    next: Vec<u64>,
}

#[actor]
impl Sink {
    #[handle]
    fn number(&mut self, m: Number, _cx: &mut Context<'_>) -> ActorResult {
        let index = m.from as usize;
        if self.next.len() <= index {
            self.next.resize(index + 1, 0);
        }
        assert_eq!(m.n, self.next[index], "from {}", m.from);
        assert!(m.rest.iter().all(|byte| *byte == m.n as u8));
        self.next[index] += 1;
        Ok(())
    }
    #[handle]
    fn echo(&mut self, m: Echo, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(m.n)
    }
    #[handle]
    fn how_far(&mut self, _: HowFar, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(self.next.clone())
    }
}

#[derive(Default)]
struct Source;

#[actor]
impl Source {
    #[handle]
    async fn flood(&mut self, m: Flood, cx: &mut Context<'_>) -> Result<Sent, ActorError> {
        let mut done = Sent { sent: 0, failed_calls: 0 };
        while done.sent < m.count {
            let n = done.sent;
            // Now and then one that is cut into parts, and a call.
            let length = if n.is_multiple_of(997) { 300_000 } else { (n % 200) as usize };
            let message = Number { from: m.number, n, rest: vec![n as u8; length] };
            match cx.send(m.to, message) {
                Ok(()) => done.sent += 1,
                Err(error) if error.reason == SendReason::OutboxFull => {
                    cx.sleep(Duration::from_millis(1)).await
                }
                Err(error) => return Err(error.reason.into()),
            }
            if n.is_multiple_of(500) {
                match cx.call_timeout(m.to, Echo { n }, LIMIT).await {
                    Ok(echo) => assert_eq!(echo, n),
                    Err(_) => done.failed_calls += 1,
                }
            }
            if n % 100 == 99 {
                cx.yield_now().await;
            }
        }
        Ok(done)
    }
}

#[test]
fn links_that_break_under_load_lose_double_and_reorder_nothing() {
    let builder =
        |name: &str| Node::builder(name).shards(2).cookie("of links that break").listen("127.0.0.1:0");
    let one = builder("one@localhost").start().unwrap();
    let proxy = ChaosProxy::start(one.listen_address().unwrap()).unwrap();
    let two = builder("two@localhost").route("one@localhost", proxy.address().to_string()).start().unwrap();
    let events = two.subscribe_nodes().unwrap();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}

    let count = 60_000;
    let sinks: Vec<Pid> =
        (0..2).map(|shard| one.spawn(Sink::default, SpawnOptions::new().on_shard(shard)).unwrap()).collect();
    let done = AtomicBool::new(false);
    let cuts = std::thread::scope(|scope| {
        let cutter = scope.spawn(|| {
            let mut cuts = 0;
            while !done.load(Ordering::Relaxed) {
                let before = proxy.accepted();
                proxy.set(Mode::Cut);
                proxy.set(Mode::Pass);
                cuts += 1;
                // The control link and a data link are there again, and something has gone over them.
                eventually(LIMIT, "links are dialled again", || proxy.accepted() >= before + 2);
            }
            cuts
        });
        let floods: Vec<_> = (0..2u64)
            .map(|number| {
                let (two, to) = (two.clone(), sinks[number as usize]);
                scope.spawn(move || {
                    let options = SpawnOptions::new().on_shard(number as u16);
                    let source = two.spawn(Source::default, options).unwrap();
                    two.call_blocking_timeout(source, Flood { number, to, count }, LIMIT).unwrap()
                })
            })
            .collect();
        for flood in floods {
            let sent = flood.join().unwrap();
            assert_eq!((sent.sent, sent.failed_calls), (count, 0));
        }
        done.store(true, Ordering::Relaxed);
        cutter.join().unwrap()
    });
    assert!(cuts > 3, "{cuts} cuts");
    for (number, sink) in sinks.iter().enumerate() {
        eventually(LIMIT, "all have come", || one.call_blocking(*sink, HowFar).unwrap()[number] == count);
    }
    let counters = |node: &Node| node.stats().peers()[0].counters;
    eventually(LIMIT, "the account closes", || {
        let (sent, got) = (counters(&two), counters(&one));
        sent.messages_out == got.messages_in && got.messages_out == sent.messages_in
    });
    let (a, b) = (counters(&one), counters(&two));
    assert_eq!((a.unknown_out, a.failed_out, b.unknown_out, b.failed_out), (0, 0, 0, 0));
    assert_eq!((a.protocol_errors, b.protocol_errors), (0, 0));
}
