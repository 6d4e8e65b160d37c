//! A shard on a glommio executor: one thread, one pump task.
//!
//! Invariants: G1 the shard lives and dies on its executor's thread. G2 before it parks, the shard stores its waker, sets
//! its sleep flag and looks at every lane again ([`Sleep`](crate::ring::Sleep)). G3 the pump yields only through glommio's
//! own preemption check, with the run mark set, so that the watchdog can tell a wrong park from a busy shard. G4 a second
//! task waits for the watchdog alone: waking it ends a wrong park (glommio 0.9 can park with runnable tasks).
//! Cost: a park is one waker stored and one timer made if a deadline is known; nothing per message.

use crate::clock::Clock;
use crate::error::NodeError;
use crate::shard::{Port, Shard, ShardSettings, Turn};
use crate::shared::NodeShared;
use ::glommio::timer::Timer;
use ::glommio::{LocalExecutorBuilder, Placement, spawn_local};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

/// Registered memory per executor. It serves direct file I/O only, so it is kept at the minimum.
const IO_MEMORY: usize = 64 << 10;
/// glommio 0.9 parks wrongly with shorter ones.
const PREEMPT_TIMER: Duration = Duration::from_millis(10);
/// The first park of a process registers the memory barrier, which takes tens of milliseconds.
const FIRST_PARK: Duration = Duration::from_millis(1);

/// How a shard is placed and driven.
#[derive(Clone, Debug)]
pub(crate) struct DriveSettings {
    /// CPU to pin to; `None` leaves the thread to the scheduler.
    pub(crate) cpu: Option<usize>,
    /// How long an idle shard polls its lanes before it parks.
    pub(crate) idle_spin: Duration,
    pub(crate) shard: ShardSettings,
}

/// A running shard thread.
pub(crate) struct ShardThread {
    pub(crate) thread: JoinHandle<()>,
    /// Answers once: up, or why not.
    pub(crate) ready: Receiver<Result<(), NodeError>>,
}

/// Starts the thread of a shard.
///
/// # Errors
/// The system refused the thread.
pub(crate) fn start(
    node: &Arc<NodeShared>,
    index: u16,
    clock: Clock,
    settings: DriveSettings,
) -> Result<ShardThread, NodeError> {
    let name = format!("shard-{index}");
    let (sender, ready) = sync_channel(1);
    let node = Arc::clone(node);
    let thread = crate::reactor::spawn_thread(&name, move || run(node, index, clock, settings, &sender))
        .map_err(|source| NodeError::Thread { thread: name, source })?;
    Ok(ShardThread { thread, ready })
}

fn run(
    node: Arc<NodeShared>,
    index: u16,
    clock: Clock,
    settings: DriveSettings,
    ready: &SyncSender<Result<(), NodeError>>,
) {
    let placement = settings.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement)
        .name("shard")
        .io_memory(IO_MEMORY)
        .preempt_timer(PREEMPT_TIMER)
        .make();
    let executor = match executor {
        Ok(executor) => executor,
        Err(error) => {
            let failed = NodeError::Shard { shard: index, reason: format!("no executor: {error}") };
            // The builder that waits for the answer may have given up already.
            let _unheard = ready.try_send(Err(failed));
            return;
        }
    };
    executor.run(async move {
        Timer::new(FIRST_PARK).await;
        match Shard::new(node, index, clock, &settings.shard) {
            Ok(shard) => {
                let _unheard = ready.try_send(Ok(()));
                drive(Rc::new(shard), settings.idle_spin).await;
            }
            Err(error) => {
                let _unheard = ready.try_send(Err(error));
            }
        }
    });
}

/// Runs a shard until its node stops.
async fn drive(shard: Rc<Shard>, idle_spin: Duration) {
    let Some(port) = shard.node().port_arc(shard.index()) else { return };
    port.cells.thread.store(crate::reactor::nudge::thread_id(), Relaxed);
    shard.enable_descriptors();
    let guard = spawn_local(wait_for_rescue(Arc::clone(&port)));
    let spin = shard.ticks(idle_spin);
    let mut idle_since = None;
    loop {
        let turn = shard.turn();
        if shard.is_stopping() {
            break;
        }
        if turn == Turn::More {
            idle_since = None;
            yield_if_needed(&port).await;
            continue;
        }
        if spin > 0 {
            let now = shard.clock().ticks();
            if now - *idle_since.get_or_insert(now) < spin {
                std::hint::spin_loop();
                yield_if_needed(&port).await;
                continue;
            }
        }
        if shard.lingers() {
            // Whoever waits for this processor has something to do.
            std::thread::yield_now();
            yield_if_needed(&port).await;
            continue;
        }
        idle_since = None;
        park(&shard, &port).await;
    }
    shard.end_all();
    guard.cancel().await;
}

/// Lets the executor do its own work if it asks for it (G3).
#[inline]
async fn yield_if_needed(port: &Port) {
    if ::glommio::executor().need_preempt() {
        port.sleep().set_wants_run();
        ::glommio::executor().yield_now().await;
        port.sleep().clear_wants_run();
    }
}

/// Sleeps until somebody wakes the shard or its next deadline comes (G2).
async fn park(shard: &Shard, port: &Port) {
    let deadline = shard.next_deadline();
    port.cells.park_until.store(deadline.unwrap_or(0), Relaxed);
    let mut timer = deadline.map(|deadline| {
        let left = deadline.saturating_sub(shard.clock().ticks());
        Timer::new(Duration::from_nanos(shard.clock().span_ns(left)))
    });
    let mut parked = false;
    shard.count(|cells| &cells.parks, 1);
    shard.publish_gauges();
    poll_fn(|task| park_poll(shard, port, &mut timer, &mut parked, task)).await;
    port.sleep().cancel_park();
}

fn park_poll(
    shard: &Shard,
    port: &Port,
    timer: &mut Option<Timer>,
    parked: &mut bool,
    task: &mut Context<'_>,
) -> Poll<()> {
    if *parked && !port.sleep().is_sleeping() {
        return Poll::Ready(());
    }
    if timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(task).is_ready()) {
        return Poll::Ready(());
    }
    if shard.arm_links(task) || shard.arm_descriptors(task) {
        return Poll::Ready(());
    }
    port.waker.register(task.waker());
    *parked = true;
    if port.sleep().prepare_park(|| shard.is_work()) { Poll::Pending } else { Poll::Ready(()) }
}

/// Waits for the watchdog, over and over (G4).
async fn wait_for_rescue(port: Arc<Port>) {
    loop {
        poll_fn(|task| {
            port.rescue.register(task.waker());
            if port.is_rescued() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        port.cells.rescued.fetch_add(1, Relaxed);
    }
}
