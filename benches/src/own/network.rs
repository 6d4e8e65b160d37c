//! Work between two nodes, one shard each unless said otherwise, over loopback; in two OS processes, or in one where the name
//! of the workload says so.
//!
//! The measuring end is the node `sink@localhost` on processor 1, its partner `source@localhost` on processor 0. The
//! partner is told the address and the process to talk to; where the measuring side needs a process of the partner, the
//! partner introduces it by a message, whose sender it is. The partner ends when its session with the first node ends.

use std::sync::mpsc;
use std::time::Duration;

use shard_runtime::wire::{IncarnationKey, LocalId};
use shard_runtime::{LinkOptions, LogLevel, Node, NodeEvent, Pid, Pinning, SpawnOptions};

use crate::error::RunError;
use crate::machine::cpu_count;
use crate::own::actors::{Caller, Crowd, Echo, Greet, Porter, Sink, TimedCaller, Total};
use crate::own::remote::{BulkSink, BulkSource, FrameSink, FrameSource};
use crate::peer::raw_socket::{BYTES, LARGE_MESSAGE, LEAST_MESSAGE, SMALL_MESSAGE, calls, frames, trips};
use crate::round::Partnership;
use crate::timing::{Stopwatch, micros, millions_per_second, quantile};
use crate::workload::Run;

use super::actors::Tick;

const SINK: &str = "sink@localhost";
const SOURCE: &str = "source@localhost";

/// How long a polling shard polls before it would park: longer than any wait of a run.
const POLL: Duration = Duration::from_secs(1);

fn node(name: &str, cpus: Vec<usize>, run: Run, route: Option<(&str, &str)>) -> Result<Node, RunError> {
    let shards = u16::try_from(cpus.len()).map_err(RunError::work)?;
    let mut builder = Node::builder(name)
        .shards(shards)
        .pinning(Pinning::Cpus(cpus))
        .idle_spin(spin_of(run))
        .links(links_of(run))
        .listen("127.0.0.1:0")
        .cookie("a secret of the benches")
        .log_level(LogLevel::Error);
    if let Some((node, address)) = route {
        builder = builder.route(node, address);
    }
    builder.start().map_err(RunError::work)
}

fn spin_of(run: Run) -> Duration {
    if run.workload.contains("_polling") { POLL } else { Duration::ZERO }
}

fn links_of(run: Run) -> LinkOptions {
    let links = LinkOptions::new();
    if run.workload.contains("_asleep") { links.linger(Duration::ZERO) } else { links }
}

/// Text that tells the partner whom to talk to.
fn tell(node: &Node, pids: &[Pid]) -> Result<String, RunError> {
    let address = node.listen_address().ok_or_else(|| RunError::work("the node has no listener"))?;
    let mut text = address.to_string();
    for pid in pids {
        text.push_str(&format!(" {}:{}", pid.node.0, pid.local.0));
    }
    Ok(text)
}

fn told(text: &str) -> Result<(&str, Vec<Pid>), RunError> {
    let mut words = text.split(' ');
    let address = words.next().unwrap_or_default();
    let pids = words
        .map(|word| {
            let (node, local) = word.split_once(':').ok_or_else(|| RunError::work("a pid without a node"))?;
            Ok(Pid {
                node: IncarnationKey(node.parse().map_err(RunError::work)?),
                local: LocalId(local.parse().map_err(RunError::work)?),
            })
        })
        .collect::<Result<_, RunError>>()?;
    Ok((address, pids))
}

/// The partner's node, in session with the first.
struct Guest {
    node: Node,
    events: mpsc::Receiver<NodeEvent>,
    pids: Vec<Pid>,
}

impl Guest {
    fn start(run: Run, text: &str, cpus: Vec<usize>) -> Result<Self, RunError> {
        let (address, pids) = told(text)?;
        let node = node(SOURCE, cpus, run, Some((SINK, address)))?;
        let events = node.subscribe_nodes().map_err(RunError::work)?;
        let guest = Self { node, events, pids };
        guest.wait(|event| matches!(event, NodeEvent::Up { .. }))?;
        Ok(guest)
    }

    fn wait(&self, is_it: impl Fn(&NodeEvent) -> bool) -> Result<(), RunError> {
        loop {
            let event = self.events.recv().map_err(|_| RunError::work("the node ended before its peer"))?;
            if is_it(&event) {
                return Ok(());
            }
        }
    }

    fn first(&self) -> Result<Pid, RunError> {
        self.pids.first().copied().ok_or_else(|| RunError::work("was told no process"))
    }

    /// Stays until the first node has gone.
    fn stay(self) -> Result<(), RunError> {
        self.wait(|event| matches!(event, NodeEvent::Down { .. }))?;
        self.node.stop();
        Ok(())
    }
}

fn on_shard(shard: usize) -> Result<SpawnOptions, RunError> {
    Ok(SpawnOptions::new().on_shard(u16::try_from(shard).map_err(RunError::work)?))
}

fn hear<T>(from: &mpsc::Receiver<T>) -> Result<T, RunError> {
    from.recv().map_err(|_| RunError::work("a process of the run ended before it had done its work"))
}

/// Receives from one source per processor in `cpus`; M frames/s in all.
fn receive(run: Run, cpus: &[usize]) -> Result<f64, RunError> {
    let host = node(SINK, cpus.to_vec(), run, None)?;
    let each = frames(run) / cpus.len() as u64;
    let mut pids = Vec::new();
    let mut ends = Vec::new();
    for shard in 0..cpus.len() {
        let (sink, seen) = FrameSink::expecting(each);
        pids.push(host.spawn(move || sink, on_shard(shard)?).map_err(RunError::work)?);
        ends.push(seen);
    }
    let partner = Partnership::start(run, &tell(&host, &pids)?)?;
    let mut first: Option<Stopwatch> = None;
    let mut last: Option<Stopwatch> = None;
    for seen in &ends {
        let (begun, ended) = hear(seen)?;
        first = Some(first.map_or(begun, |other| other.earlier(begun)));
        last = Some(last.map_or(ended, |other| other.later(ended)));
    }
    let seconds = first.zip(last).map_or(0.0, |(first, last)| last.seconds_since(first));
    host.stop();
    partner.end()?;
    Ok(millions_per_second(each * cpus.len() as u64, seconds))
}

fn send(run: Run, text: &str, cpus: &[usize]) -> Result<(), RunError> {
    let guest = Guest::start(run, text, cpus.to_vec())?;
    let each = frames(run) / cpus.len() as u64;
    for (shard, to) in guest.pids.iter().copied().enumerate() {
        let source = FrameSource { to, next: 0, end: each };
        let from = guest.node.spawn(move || source, on_shard(shard)?).map_err(RunError::work)?;
        guest.node.send(from, Tick).map_err(RunError::work)?;
    }
    guest.stay()
}

/// One process streams 64-byte frames to one of another node; M frames/s.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub fn receive_one(run: Run) -> Result<f64, RunError> {
    receive(run, &[1 % cpu_count()])
}

/// The partner of [`receive_one`].
///
/// # Errors
/// When a node refuses.
pub fn send_one(run: Run, text: &str) -> Result<(), RunError> {
    send(run, text, &[0])
}

/// As many pairs as processors, each pair on shards of its own; M frames/s in all.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub fn receive_many(run: Run) -> Result<f64, RunError> {
    receive(run, &(0..cpu_count()).collect::<Vec<_>>())
}

/// The partner of [`receive_many`].
///
/// # Errors
/// When a node refuses.
pub fn send_many(run: Run, text: &str) -> Result<(), RunError> {
    send(run, text, &(0..cpu_count()).collect::<Vec<_>>())
}

/// Starts the first node with a process that waits to be introduced to one of the partner's.
fn introduced(run: Run) -> Result<(Node, Partnership, Pid), RunError> {
    let host = node(SINK, vec![1 % cpu_count()], run, None)?;
    let (told, seen) = mpsc::channel();
    let porter = host.spawn(move || Porter { told }, SpawnOptions::new()).map_err(RunError::work)?;
    let partner = Partnership::start(run, &tell(&host, &[porter])?)?;
    let guest = hear(&seen)?;
    Ok((host, partner, guest))
}

/// One 64-byte frame to another node and back, in microseconds. The name of the workload says whether both poll, and which
/// quantile it is.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub fn round_trip(run: Run) -> Result<f64, RunError> {
    let (host, partner, echo) = introduced(run)?;
    let count = usize::try_from(trips(run)).map_err(RunError::work)?;
    let (caller, seen) = Caller::new(echo, count, 1);
    let caller = host.spawn(move || caller, SpawnOptions::new()).map_err(RunError::work)?;
    host.send(caller, Tick).map_err(RunError::work)?;
    let mut times = hear(&seen)?;
    host.stop();
    partner.end()?;
    // The first tenth warms both sides up.
    micros(quantile(times.get_mut(count / 10..).unwrap_or_default(), run.quantile()))
}

/// The partner of [`round_trip`].
///
/// # Errors
/// When a node refuses.
pub fn echo(run: Run, text: &str) -> Result<(), RunError> {
    let guest = Guest::start(run, text, vec![0])?;
    let echo = guest.node.spawn(Echo::default, SpawnOptions::new()).map_err(RunError::work)?;
    guest.node.send(echo, Greet { whom: guest.first()? }).map_err(RunError::work)?;
    guest.stay()
}

/// One process awaits each reply of another node's; p50 in microseconds.
///
/// # Errors
/// When a node refuses, or a call is not answered.
pub fn call(run: Run) -> Result<f64, RunError> {
    let (host, partner, callee) = introduced(run)?;
    let count = usize::try_from(trips(run)).map_err(RunError::work)?;
    let (caller, seen) = TimedCaller::new(callee, count);
    let caller = host.spawn(move || caller, SpawnOptions::new()).map_err(RunError::work)?;
    host.send(caller, Tick).map_err(RunError::work)?;
    let mut times = hear(&seen)?;
    host.stop();
    partner.end()?;
    micros(quantile(times.get_mut(count / 10..).unwrap_or_default(), 0.5))
}

/// As many processes as the workload's name says, each awaiting each reply of one of another node; thousands of calls per
/// second.
///
/// # Errors
/// When a node refuses, or a call is not answered.
pub fn many_calls(run: Run) -> Result<f64, RunError> {
    let (host, partner, callee) = introduced(run)?;
    let callers = run.depth();
    let each = calls(run) / callers;
    let (crowd, seen) = Crowd::new(callers);
    let watch = Stopwatch::start();
    for _ in 0..callers {
        let caller = crowd.member(callee, each);
        let caller = host.spawn(move || caller, SpawnOptions::new()).map_err(RunError::work)?;
        host.send(caller, Tick).map_err(RunError::work)?;
    }
    let seconds = hear(&seen)?.seconds_since(watch);
    let served = host.call_blocking(callee, Total).map_err(RunError::work)?;
    host.stop();
    partner.end()?;
    let made = each * callers;
    if served <= made {
        return Err(RunError::work(format_args!("{served} of {made} calls were served")));
    }
    Ok(millions_per_second(made, seconds) * 1e3)
}

/// The partner of [`call`] and [`many_calls`].
///
/// # Errors
/// When a node refuses.
pub fn answer(run: Run, text: &str) -> Result<(), RunError> {
    let guest = Guest::start(run, text, vec![0])?;
    let (sink, _) = Sink::expecting(u64::MAX);
    let callee = guest.node.spawn(move || sink, SpawnOptions::new()).map_err(RunError::work)?;
    guest.node.send(callee, Greet { whom: guest.first()? }).map_err(RunError::work)?;
    guest.stay()
}

fn message_bytes(run: Run) -> usize {
    match run.workload {
        "network_bytes_10k" => LEAST_MESSAGE,
        "network_bytes_1m" => LARGE_MESSAGE,
        _ => SMALL_MESSAGE,
    }
}

fn messages(run: Run) -> u64 {
    run.scale.of(BYTES).div_ceil(message_bytes(run) as u64)
}

/// One process streams large messages to one of another node, which sees each as an owned value; GB/s of payload.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub fn receive_bytes(run: Run) -> Result<f64, RunError> {
    let host = node(SINK, vec![1 % cpu_count()], run, None)?;
    let (count, size) = (messages(run), message_bytes(run));
    let (sink, seen) = BulkSink::expecting(count, size);
    let to = host.spawn(move || sink, SpawnOptions::new()).map_err(RunError::work)?;
    let partner = Partnership::start(run, &tell(&host, &[to])?)?;
    let (begun, ended) = hear(&seen)?;
    host.stop();
    partner.end()?;
    Ok(millions_per_second(count * size as u64, ended.seconds_since(begun)) / 1e3)
}

/// The partner of [`receive_bytes`].
///
/// # Errors
/// When a node refuses.
pub fn send_bytes(run: Run, text: &str) -> Result<(), RunError> {
    let guest = Guest::start(run, text, vec![0])?;
    let source = BulkSource::new(guest.first()?, messages(run), message_bytes(run));
    let from = guest.node.spawn(move || source, SpawnOptions::new()).map_err(RunError::work)?;
    guest.node.send(from, Tick).map_err(RunError::work)?;
    guest.stay()
}
