//! Messages with a structure of some depth, streamed to another node of this OS process: read where they lie, or made values.
//!
//! The source sends views of one message, which cost it a copy of the bytes and no encoding, so that the receiver is what is
//! measured. Both receivers read the same few fields.

use std::sync::mpsc;
use std::time::Duration;

use shard_runtime::{
    Actor, ActorError, ActorResult, Context, LogLevel, Node, NodeEvent, Pid, Pinning, SendReason,
    SpawnOptions, View, actor, handle,
};

use crate::error::RunError;
use crate::frames::Order;
use crate::machine::cpu_count;
use crate::own::actors::Tick;
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

const SINK: &str = "sink@localhost";
const SOURCE: &str = "source@localhost";
/// Messages of one run.
const MESSAGES: u64 = 200_000;
/// Messages sent in one go: about one batch of the link.
const BURST: u64 = 16;
/// How long a refused source waits.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Count {
    seen: u64,
    expected: u64,
    first: Option<Stopwatch>,
    done: mpsc::Sender<(Stopwatch, Stopwatch)>,
}

impl Count {
    fn one(&mut self, read: u64) -> Result<(), ActorError> {
        if read != Order::READ {
            return Err(RunError::work(format_args!("read {read} where {} was due", Order::READ)).into());
        }
        let first = *self.first.get_or_insert_with(Stopwatch::start);
        self.seen += 1;
        if self.seen == self.expected {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send((first, Stopwatch::start()));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct ViewSink(Count);

#[actor]
impl ViewSink {
    #[handle]
    fn order(&mut self, m: View<Order>, _cx: &mut Context<'_>) -> ActorResult {
        self.0.one(Order::read_view(&m))
    }
}

#[derive(Debug)]
struct OwnedSink(Count);

#[actor]
impl OwnedSink {
    #[handle]
    fn order(&mut self, m: Order, _cx: &mut Context<'_>) -> ActorResult {
        self.0.one(m.read())
    }
}

struct OrderSource {
    to: Pid,
    left: u64,
    order: View<Order>,
}

#[actor]
impl OrderSource {
    #[handle]
    fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..BURST.min(self.left) {
            match cx.send(self.to, self.order.clone()) {
                Ok(()) => self.left -= 1,
                Err(error) if matches!(error.reason, SendReason::OutboxFull) => {
                    cx.send_after(cx.pid(), Tick, PAUSE)?;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if self.left > 0 {
            cx.send(cx.pid(), Tick)?;
        }
        Ok(())
    }
}

fn node(name: &str, cpu: usize, route: Option<&str>) -> Result<Node, RunError> {
    let mut builder = Node::builder(name)
        .shards(1)
        .pinning(Pinning::Cpus(vec![cpu % cpu_count()]))
        .listen("127.0.0.1:0")
        .cookie("a secret of the benches")
        .log_level(LogLevel::Error);
    if let Some(address) = route {
        builder = builder.route(SINK, address);
    }
    builder.start().map_err(RunError::work)
}

fn stream<A: Actor>(run: Run, sink: impl FnOnce(Count) -> A + Send + 'static) -> Result<f64, RunError> {
    let host = node(SINK, 1, None)?;
    let address = host.listen_address().ok_or_else(|| RunError::work("the node has no listener"))?;
    let guest = node(SOURCE, 0, Some(&address.to_string()))?;
    let events = guest.subscribe_nodes().map_err(RunError::work)?;
    while !matches!(events.recv().map_err(RunError::work)?, NodeEvent::Up { .. }) {}
    let expected = run.scale.of(MESSAGES);
    let (done, seen) = mpsc::channel();
    let count = Count { seen: 0, expected, first: None, done };
    let to = host.spawn(move || sink(count), SpawnOptions::new()).map_err(RunError::work)?;
    let source =
        OrderSource { to, left: expected, order: View::new(&Order::sample()).map_err(RunError::work)? };
    let from = guest.spawn(move || source, SpawnOptions::new()).map_err(RunError::work)?;
    guest.send(from, Tick).map_err(RunError::work)?;
    let (first, last) =
        seen.recv().map_err(|_| RunError::work("a process ended before it had done its work"))?;
    guest.stop();
    host.stop();
    Ok(millions_per_second(expected, last.seconds_since(first)) * 1e3)
}

/// Each message is handled as a view; thousands of messages/s.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub fn viewed(run: Run) -> Result<f64, RunError> {
    stream(run, ViewSink)
}

/// Each message is handled as a value; thousands of messages/s.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub fn owned(run: Run) -> Result<f64, RunError> {
    stream(run, OwnedSink)
}
