//! `counts PATH N`: does the work of one pure path N times, on one thread, without a kernel in the way.
//!
//! Meant to be run under callgrind, twice with different N, by `benches/counts.sh`: the difference of the instructions
//! divided by the difference of N is the price of one message, whatever the set-up costs.
#![expect(clippy::print_stderr, reason = "failures of a command-line program")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::Duration;

use shard_runtime::wire::{IncarnationKey, LocalId};
use shard_runtime::{ActorResult, Context, Message, Pid, Simulation, SpawnOptions, actor, handle};

use shard_benches::error::RunError;
use shard_benches::frames::{Order, Point, decode, encode, receive};
use shard_benches::own::actors::{
    Add, Ball, Burst, Calls, Census, Founder, Join, Player, Sink, Source, Tick,
};
use shard_benches::own::styles::{Awaiting, Count, Seldom};
use shard_benches::own::timers::{Cancel, Clockwork, Fire};
use shard_benches::spsc::{Item, ring};
use shard_wire::frame::{self, Frame, FrameBuf};
use shard_wire::{Body as _, View, WireError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A path that can be counted.
type Path = (&'static str, fn(u64) -> Result<(), RunError>);

static PATHS: &[Path] = &[
    ("bare_ring", bare_ring),
    ("frame_encode", frame_encode),
    ("frame_round_trip", frame_round_trip),
    ("frame_receive", frame_receive),
    ("records_owned", records_owned),
    ("records_viewed", records_viewed),
    ("send", send),
    ("stream", stream),
    ("stream_awaiting", stream_awaiting),
    ("stream_seldom", stream_seldom),
    ("ping_pong_hop", ping_pong),
    ("call_reply", call_reply),
    ("cross_shard_stream", cross_shard_stream),
    ("spawn", spawn),
    ("timer_cancel", timer_cancel),
    ("timer_fire", timer_fire),
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (name, count) = (args.next().unwrap_or_default(), args.next().and_then(|text| text.parse().ok()));
    let path = PATHS.iter().find(|(known, _)| *known == name);
    let (Some((_, work)), Some(count)) = (path, count) else {
        let known = PATHS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(" ");
        eprintln!("usage: counts PATH N, where PATH is one of: {known}");
        return ExitCode::from(2);
    };
    match work(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::from(2)
        }
    }
}

/// The peer of every path across shards: 64-byte items in batches of 32.
fn bare_ring(count: u64) -> Result<(), RunError> {
    const BATCH: u64 = 32;
    let (mut producer, mut consumer) = ring();
    let (mut next, mut seen, mut sum) = (0u64, 0u64, 0u64);
    while next < count {
        for n in next..count.min(next + BATCH) {
            if !producer.push(Item([n; 8])) {
                return Err(RunError::work("the ring is full though it was drained"));
            }
        }
        next = count.min(next + BATCH);
        producer.publish();
        seen += consumer.drain(256, |item| sum = sum.wrapping_add(item.0[0])) as u64;
    }
    black_box(sum);
    if seen == count { Ok(()) } else { Err(RunError::work(format_args!("{seen} of {count} items arrived"))) }
}

/// Frames of a small flat message per batch: 10 KiB.
const FRAMES: u64 = 128;

fn fill(batch: &mut FrameBuf, frames: u64) -> Result<(), RunError> {
    batch.clear();
    for n in 0..frames {
        encode(batch, &Point { x: n, y: 2, z: 3 }).map_err(RunError::work)?;
    }
    Ok(())
}

/// A message of 24 bytes into a batch buffer.
fn frame_encode(count: u64) -> Result<(), RunError> {
    let mut batch = FrameBuf::default();
    for _ in 0..count.div_ceil(FRAMES) {
        fill(&mut batch, FRAMES)?;
        black_box(batch.as_slice());
    }
    Ok(())
}

/// The same, and back: header, validation, message.
fn frame_round_trip(count: u64) -> Result<(), RunError> {
    let mut batch = FrameBuf::default();
    let mut sum = 0;
    for _ in 0..count.div_ceil(FRAMES) {
        fill(&mut batch, FRAMES)?;
        decode::<Point>(black_box(batch.as_slice()), |point| sum += point.x).map_err(RunError::work)?;
    }
    if sum == 0 { Err(RunError::work("no frame was decoded")) } else { Ok(()) }
}

/// Frames through the receive buffer of a link, without their bodies.
fn frame_receive(count: u64) -> Result<(), RunError> {
    let mut batch = FrameBuf::default();
    fill(&mut batch, FRAMES)?;
    let mut bytes = 0;
    receive(black_box(&batch), count, |frame, _| {
        bytes += frame.body.len();
        Ok(())
    })
    .map_err(RunError::work)?;
    if bytes == 0 { Err(RunError::work("no frame was received")) } else { Ok(()) }
}

/// Messages of 64 records received and made values; a few fields read.
fn records_owned(count: u64) -> Result<(), RunError> {
    records(count, |frame, _| Ok(Order::decode(frame.body)?.read()))
}

/// The same as views.
fn records_viewed(count: u64) -> Result<(), RunError> {
    records(count, |frame, source| {
        let lease = source.lend(frame.body).ok_or(WireError::Encode { message: "a lease" })?;
        Ok(Order::read_view(&View::open(lease)?))
    })
}

/// A hundredth of `count`, because each is as long as a hundred of the others.
fn records(
    count: u64,
    read: impl Fn(&Frame<'_>, frame::Source<'_>) -> Result<u64, WireError>,
) -> Result<(), RunError> {
    let mut batch = FrameBuf::default();
    for _ in 0..10 {
        encode(&mut batch, &Order::sample()).map_err(RunError::work)?;
    }
    let mut is_right = true;
    receive(black_box(&batch), count / 100, |frame, source| {
        is_right &= read(frame, source)? == Order::READ;
        Ok(())
    })
    .map_err(RunError::work)?;
    if is_right { Ok(()) } else { Err(RunError::work("a message was read wrong")) }
}

/// Sends one message from outside, lets the shards run dry, and looks whether the work was done.
fn run_dry<M: Message, T>(
    mut simulation: Simulation,
    to: Pid,
    message: M,
    done: &mpsc::Receiver<T>,
) -> Result<(), RunError> {
    simulation.send(to, message).map_err(RunError::work)?;
    simulation.run();
    done.try_recv().map(drop).map_err(|_| RunError::work("the shards ran dry before the work was done"))
}

fn simulation(shards: u16) -> Result<Simulation, RunError> {
    Simulation::new("counts@localhost", shards, 1).map_err(RunError::work)
}

fn stream_to(shards: u16, to_shard: u16, count: u64) -> Result<(), RunError> {
    let mut simulation = simulation(shards)?;
    let options = SpawnOptions::new();
    let (sink, seen) = Sink::expecting(count);
    let to = simulation.spawn(to_shard, move || sink, &options).map_err(RunError::work)?;
    let (source, _calls) = Source::new(to, count);
    let from = simulation.spawn(0, move || source, &options).map_err(RunError::work)?;
    run_dry(simulation, from, Tick, &seen)
}

/// Sends to a process that never gets to run.
struct OneWay {
    to: Pid,
}

#[actor]
impl OneWay {
    #[handle]
    fn burst(&mut self, message: Burst, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..message.count {
            cx.send(self.to, Add { n: 1 })?;
        }
        // Whatever is done with the messages is not the price of sending them.
        std::process::exit(0)
    }
}

/// One handler sends; nothing is received.
fn send(count: u64) -> Result<(), RunError> {
    let mut simulation = simulation(1)?;
    let options = SpawnOptions::new();
    let (sink, _seen) = Sink::expecting(u64::MAX);
    let to = simulation.spawn(0, move || sink, &options).map_err(RunError::work)?;
    let from = simulation.spawn(0, move || OneWay { to }, &options).map_err(RunError::work)?;
    simulation.send(from, Burst { count }).map_err(RunError::work)?;
    simulation.run();
    Err(RunError::work("the sender was refused"))
}

/// One process streams to another on its shard: sender and receiver of one message.
fn stream(count: u64) -> Result<(), RunError> {
    stream_to(1, 0, count)
}

/// The same into a handler that awaits something which is ready.
fn stream_awaiting(count: u64) -> Result<(), RunError> {
    stream_into(count, Awaiting)
}

/// The same into a handler that awaits only at the end.
fn stream_seldom(count: u64) -> Result<(), RunError> {
    stream_into(count, Seldom)
}

fn stream_into<A: shard_runtime::Actor>(
    count: u64,
    make: impl FnOnce(Count) -> A + 'static,
) -> Result<(), RunError> {
    let mut simulation = simulation(1)?;
    let options = SpawnOptions::new();
    let (expected, seen) = Count::to(count);
    let to = simulation.spawn(0, move || make(expected), &options).map_err(RunError::work)?;
    let (source, _calls) = Source::new(to, count);
    let from = simulation.spawn(0, move || source, &options).map_err(RunError::work)?;
    run_dry(simulation, from, Tick, &seen)
}

/// The plain stream to another shard, ring included, on one thread.
fn cross_shard_stream(count: u64) -> Result<(), RunError> {
    stream_to(2, 1, count)
}

/// One message to and fro: the price of a hop, which is an activation of its own.
fn ping_pong(count: u64) -> Result<(), RunError> {
    let mut simulation = simulation(1)?;
    let (done, seen) = mpsc::channel();
    let balls = Arc::new(AtomicU64::new(1));
    let options = SpawnOptions::new();
    let mut player = || {
        let player = Player::new(&balls, &done);
        simulation.spawn(0, move || player, &options).map_err(RunError::work)
    };
    let (one, other) = (player()?, player()?);
    simulation.send(one, Join { next: other }).map_err(RunError::work)?;
    simulation.send(other, Join { next: one }).map_err(RunError::work)?;
    run_dry(simulation, one, Ball { left: count }, &seen)
}

/// One process awaits each reply of another.
fn call_reply(count: u64) -> Result<(), RunError> {
    let mut simulation = simulation(1)?;
    let options = SpawnOptions::new();
    let (sink, _) = Sink::expecting(u64::MAX);
    let to = simulation.spawn(0, move || sink, &options).map_err(RunError::work)?;
    let (source, seen) = Source::new(to, 0);
    let from = simulation.spawn(0, move || source, &options).map_err(RunError::work)?;
    run_dry(simulation, from, Calls { count }, &seen)
}

/// One process and its `init`.
fn spawn(count: u64) -> Result<(), RunError> {
    let mut simulation = simulation(1)?;
    let (done, seen) = mpsc::channel();
    let census = Arc::new(Census { missing: AtomicU64::new(count), done });
    let count = usize::try_from(count).map_err(RunError::work)?;
    let citizens = vec![Pid { node: IncarnationKey(1), local: LocalId::CORE }; count];
    let founder = Founder { census, citizens, count };
    let founder = simulation.spawn(0, move || founder, &SpawnOptions::new()).map_err(RunError::work)?;
    run_dry(simulation, founder, Tick, &seen)
}

/// Timers armed at once by [`timer_cancel`].
const AT_ONCE: u64 = 1000;

/// A timer far off, armed and cancelled.
fn timer_cancel(count: u64) -> Result<(), RunError> {
    let mut simulation = simulation(1)?;
    let (clockwork, seen) = Clockwork::new();
    let to = simulation.spawn(0, move || clockwork, &SpawnOptions::new()).map_err(RunError::work)?;
    run_dry(simulation, to, Cancel { count, at_once: AT_ONCE }, &seen)
}

/// A timer armed, fired, and its message handled.
fn timer_fire(count: u64) -> Result<(), RunError> {
    let mut simulation = simulation(1)?;
    let (clockwork, seen) = Clockwork::new();
    let to = simulation.spawn(0, move || clockwork, &SpawnOptions::new()).map_err(RunError::work)?;
    simulation.send(to, Fire { count }).map_err(RunError::work)?;
    simulation.run();
    simulation.advance(Duration::from_millis(100));
    simulation.run();
    let lost = |_| RunError::work("a timer did not fire");
    seen.try_recv().map_err(lost)?;
    seen.try_recv().map(drop).map_err(lost)
}
