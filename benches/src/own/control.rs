//! Round trips between the control threads of two nodes of this OS process, while a process of each floods one of the other and
//! calls it, through windows of 4 KiB; and with nothing else to do.
//!
//! Shards and control threads share two processors, so a control thread has to be scheduled against two busy shards: that is
//! the whole difference if data has no way to hold control frames up.

use std::time::Duration;

use shard_runtime::{
    ActorResult, Context, LinkOptions, LogLevel, Node, NodeEvent, Pid, Pinning, SendReason, SpawnOptions,
    actor, handle, message,
};

use crate::error::RunError;
use crate::machine::cpu_count;
use crate::own::actors::{BURST, Tick};
use crate::timing::{micros, quantile};
use crate::workload::Run;

const HERE: &str = "here@localhost";
const THERE: &str = "there@localhost";
/// Round trips of one run.
const TRIPS: u64 = 5_000;
/// Credit of a link, in bytes.
const WINDOW: u64 = 4 << 10;
/// Bytes that may wait for a link.
const OUTBOX: u64 = 64 << 10;
/// Bytes of a message.
const BYTES: usize = 300;
/// How long a refused source waits.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a call, and all round trips together, may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A message of the flood.
#[message]
#[derive(Debug)]
struct Item {
    bytes: Vec<u8>,
}

/// How many items came.
#[message(reply = u64)]
#[derive(Debug)]
struct Came;

#[derive(Debug, Default)]
struct Target {
    came: u64,
}

#[actor]
impl Target {
    #[handle]
    fn item(&mut self, message: Item, _cx: &mut Context<'_>) -> ActorResult {
        self.came += u64::from(message.bytes.len() == BYTES);
        Ok(())
    }
    #[handle]
    fn came(&mut self, _: Came, _cx: &mut Context<'_>) -> Result<u64, shard_runtime::ActorError> {
        Ok(self.came)
    }
}

/// Sends a burst, calls, and so on for good.
#[derive(Debug)]
struct Flooder {
    to: Pid,
}

#[actor]
impl Flooder {
    #[handle]
    async fn tick(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..BURST {
            match cx.send(self.to, Item { bytes: vec![7; BYTES] }) {
                Ok(()) => {}
                Err(error) if matches!(error.reason, SendReason::OutboxFull) => {
                    cx.sleep(PAUSE).await;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        cx.call_timeout(self.to, Came, LIMIT).await?;
        cx.send(cx.pid(), Tick)?;
        Ok(())
    }
}

fn node(name: &str, cpu: usize, route: Option<&str>) -> Result<Node, RunError> {
    let mut builder = Node::builder(name)
        .shards(1)
        .pinning(Pinning::Cpus(vec![cpu % cpu_count()]))
        .links(LinkOptions::new().window(WINDOW).outbox(OUTBOX))
        .listen("127.0.0.1:0")
        .cookie("a secret of the benches")
        .log_level(LogLevel::Error);
    if let Some(address) = route {
        builder = builder.route(HERE, address);
    }
    builder.start().map_err(RunError::work)
}

fn trips(run: Run, is_flooded: bool) -> Result<f64, RunError> {
    let here = node(HERE, 0, None)?;
    let address = here.listen_address().ok_or_else(|| RunError::work("the node has no listener"))?;
    let there = node(THERE, 1, Some(&address.to_string()))?;
    let events = there.subscribe_nodes().map_err(RunError::work)?;
    while !matches!(events.recv().map_err(RunError::work)?, NodeEvent::Up { .. }) {}
    let spawn = |node: &Node| node.spawn(Target::default, SpawnOptions::new()).map_err(RunError::work);
    let (ours, theirs) = (spawn(&here)?, spawn(&there)?);
    if is_flooded {
        for (node, to) in [(&here, theirs), (&there, ours)] {
            let flooder = node.spawn(move || Flooder { to }, SpawnOptions::new()).map_err(RunError::work)?;
            node.send(flooder, Tick).map_err(RunError::work)?;
        }
    }
    let port = here.diag_port().ok_or_else(|| RunError::work("the node has no network"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(RunError::work)?;
    let count = u32::try_from(run.scale.of(TRIPS)).map_err(RunError::work)?;
    let came = |node: &Node, pid| node.call_blocking(pid, Came).map_err(RunError::work);
    let before = (came(&here, ours)?, came(&there, theirs)?);
    let mut times = runtime.block_on(port.ping(THERE, count, LIMIT)).map_err(RunError::work)?;
    let after = (came(&here, ours)?, came(&there, theirs)?);
    there.stop();
    here.stop();
    if is_flooded && (after.0 == before.0 || after.1 == before.1) {
        return Err(RunError::work(format_args!("the flood stood still: {before:?}, then {after:?}")));
    }
    if times.len() < count as usize {
        return Err(RunError::work(format_args!("{} of {count} came back", times.len())));
    }
    micros(quantile(&mut times, run.quantile()))
}

/// Round trips while both nodes flood each other; microseconds.
///
/// # Errors
/// When a node refuses, the flood stands still, or a round trip takes too long.
pub fn flooded(run: Run) -> Result<f64, RunError> {
    trips(run, true)
}

/// Round trips with nothing else to do; microseconds.
///
/// # Errors
/// When a node refuses, or a round trip takes too long.
pub fn idle(run: Run) -> Result<f64, RunError> {
    trips(run, false)
}
