//! The log: how many lines a second one shard gets rid of without losing any, and what a line costs who writes it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use shard_runtime::{ActorResult, Context, JsonSink, LogLevels, actor, handle};

use crate::error::RunError;
use crate::own::actors::Tick;
use crate::own::start::{Spread, World};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// Lines that may be on their way: fewer than the queue of a shard holds (2048).
const OPEN: u64 = 1024;

/// Where formatted lines end: they are counted, and gone.
struct Lines(Arc<AtomicU64>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.0.fetch_add(lines, Ordering::Release);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes lines, each with a number in its text, as fast as they are taken.
struct Writer {
    count: u64,
    written: u64,
    seen: Arc<AtomicU64>,
    done: mpsc::Sender<Stopwatch>,
}

#[actor]
impl Writer {
    #[handle]
    fn write(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        let seen = self.seen.load(Ordering::Acquire);
        let lines = (OPEN - (self.written - seen)).min(self.count - self.written);
        for _ in 0..lines {
            self.written += 1;
            cx.log().info(format_args!("order {} was accepted", self.written));
        }
        if seen < self.count {
            cx.send(cx.pid(), Tick)?;
        } else {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send(Stopwatch::start());
        }
        Ok(())
    }
}

/// Writes bursts that the queue holds, each once the last one is written out, and times the writing alone.
struct Bursts {
    bursts: u64,
    written: u64,
    nanos: u64,
    is_kept: bool,
    seen: Arc<AtomicU64>,
    done: mpsc::Sender<u64>,
}

#[actor]
impl Bursts {
    #[handle]
    fn write(&mut self, _: Tick, cx: &mut Context<'_>) -> ActorResult {
        if self.is_kept && self.seen.load(Ordering::Acquire) < self.written {
            return Ok(cx.send(cx.pid(), Tick)?);
        }
        let watch = Stopwatch::start();
        for line in 0..OPEN {
            if self.is_kept {
                cx.log().info(format_args!("order {line} was accepted"));
            } else {
                cx.log().debug(format_args!("order {line} was accepted"));
            }
        }
        self.nanos += watch.nanos();
        self.written += OPEN;
        self.bursts -= 1;
        if self.bursts > 0 {
            return Ok(cx.send(cx.pid(), Tick)?);
        }
        // As above.
        let _ = self.done.send(self.nanos);
        Ok(())
    }
}

/// A node whose log is formatted and counted, and the count.
fn start() -> Result<(World, Arc<AtomicU64>), RunError> {
    let world = World::start(Spread::OneShard)?;
    let seen = Arc::new(AtomicU64::new(0));
    let node = world.node();
    node.logger_delete("default").map_err(RunError::work)?;
    node.logger_add("lines", JsonSink::new(Lines(Arc::clone(&seen))), LogLevels::ALL)
        .map_err(RunError::work)?;
    Ok((world, seen))
}

fn lost(world: &World) -> Result<(), RunError> {
    match world.node().stats().log_lost_by_level().iter().sum::<u64>() {
        0 => Ok(()),
        lost => Err(RunError::work(format!("{lost} lines were lost"))),
    }
}

/// Lines of one process until the last is formatted, none of them lost; M lines/s.
///
/// # Errors
/// When the node refuses, or a line is lost.
pub fn lines(run: Run) -> Result<f64, RunError> {
    let count = run.scale.of(2_000_000);
    let (world, seen) = start()?;
    let (done, told) = mpsc::channel();
    let writer = world.spawn(0, move || Writer { count, written: 0, seen, done })?;
    let watch = Stopwatch::start();
    world.send(writer, Tick)?;
    let end = World::wait(&told)?;
    lost(&world)?;
    Ok(millions_per_second(count, end.seconds_since(watch)))
}

fn bursts(run: Run, is_kept: bool) -> Result<f64, RunError> {
    let bursts = run.scale.of(1_000_000).div_ceil(OPEN);
    let (world, seen) = start()?;
    let (done, told) = mpsc::channel();
    let writer = world.spawn(0, move || Bursts { bursts, written: 0, nanos: 0, is_kept, seen, done })?;
    world.send(writer, Tick)?;
    let nanos = World::wait(&told)?;
    lost(&world)?;
    Ok(nanos as f64 / (bursts * OPEN) as f64)
}

/// What a line that is kept costs the process that writes it; ns.
///
/// # Errors
/// When the node refuses, or a line is lost.
pub fn kept(run: Run) -> Result<f64, RunError> {
    bursts(run, true)
}

/// What a line below the level costs; ns.
///
/// # Errors
/// When the node refuses.
pub fn filtered(run: Run) -> Result<f64, RunError> {
    bursts(run, false)
}
