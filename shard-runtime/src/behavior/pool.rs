//! A pool: one address, many workers of one type on the pool's shard.
//!
//! A message or call that the pool gets goes to a worker, with its sender and its caller; the answer goes straight to the
//! caller. Invariants: P1 every worker has a fixed slot; a worker that ends is replaced in its slot. P2 a message is taken from
//! the pool's mailbox only if a worker has room or none is bounded: while all are full the pool waits, its own mailbox fills,
//! and its bound, if it has one, tells the senders.

use crate::actor::{
    Actor, Batch, Call, Closed, Context, Exit, ExitSignal, Inspect, SpawnOptions, local_message,
};
use crate::error::{ActorError, ActorResult, CallError, SendReason, SpawnError};
use crate::mailbox::Meta;
use crate::shard::{Carried, Room, Shard};
use shard_wire::{Pid, Vtable, vtable};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// Workers of a pool that is not told how many.
const DEFAULT_SIZE: usize = 3;
/// A worker that lives shorter than this ended rapidly.
const RAPID: Duration = Duration::from_millis(100);
/// Rapid ends of a slot in a row before its next worker is delayed.
const PATIENCE: u32 = 5;
/// First and longest delay.
const DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// How long the pool waits when its shard has no waits left to give.
const NO_WAIT: Duration = Duration::from_millis(5);
/// How long the pool waits for room before it looks at its workers again.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// How a pool chooses the worker for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Picking {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest messages waiting.
    LeastLoaded,
}

/// Adds workers; answers the new size.
#[derive(Clone, Copy, Debug)]
pub struct AddWorkers(pub usize);
/// Removes workers, at least one stays. They finish what is in their mailboxes first. Answers the new size.
#[derive(Clone, Copy, Debug)]
pub struct RemoveWorkers(pub usize);
/// Asks for the pool's figures.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus;
local_message!(AddWorkers => Result<usize, PoolError>);
local_message!(RemoveWorkers => Result<usize, PoolError>);
local_message!(PoolStatus => PoolStats);

/// A slot's next worker is due.
struct Respawn(usize);
local_message!(Respawn);

/// A worker that gets this ends once it has handled what came before.
pub(crate) struct Retire;
local_message!(Retire);

/// Why a pool refused a change.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// No worker would be left.
    #[error("the pool has {size} workers and keeps at least one; remove fewer, or stop the pool")]
    Empty {
        /// Workers now.
        size: usize,
    },
    /// A worker could not be started.
    #[error("a worker could not be started: {0}")]
    Spawn(Box<str>),
}

/// Figures of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Slots for workers.
    pub size: usize,
    /// Workers that live.
    pub running: usize,
    /// Messages handed to workers.
    pub forwarded: u64,
    /// Messages that no worker took.
    pub unhandled: u64,
    /// Workers that were replaced.
    pub restarts: u64,
}

struct Slot {
    worker: Option<Pid>,
    born: u64,
    rapid_ends: u32,
}

type Start = Box<dyn Fn(&Context<'_>, SpawnOptions) -> Result<Pid, SpawnError>>;

/// A pool of workers. It is an actor: spawn it, then send to it or call it what its workers handle.
///
/// ```
/// use shard_runtime::prelude::*;
/// use shard_runtime::{AddWorkers, Pool};
///
/// #[message(local, reply = u32)]
/// struct Square(u32);
/// #[derive(Default)]
/// struct Worker;
/// #[actor]
/// impl Worker {
///     #[handle]
///     fn square(&mut self, m: Square, _cx: &mut Context<'_>) -> Result<u32, ActorError> { Ok(m.0 * m.0) }
/// }
///
/// let mut node = shard_runtime::Simulation::new("pool@localhost", 1, 1)?;
/// let pool = node.spawn(0, || Pool::of(Worker::default).size(4), &SpawnOptions::named("squares"))?;
/// assert_eq!(node.call(pool, Square(7))?, 49);
/// assert_eq!(node.call(pool, AddWorkers(2))?.unwrap(), 6);
/// # Ok::<(), NodeError>(())
/// ```
pub struct Pool {
    start: Start,
    worker: &'static str,
    size: usize,
    worker_mailbox: u32,
    picking: Picking,
    slots: Vec<Slot>,
    /// Workers that are to end, or have ended, and whose exit has not come yet.
    leaving: Vec<Pid>,
    next: usize,
    stats: PoolStats,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("worker", &self.worker).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool whose workers this function makes: 3 of them, with unbounded mailboxes, picked one after the other.
    pub fn of<A: Actor>(factory: impl Fn() -> A + 'static) -> Self {
        Self {
            start: Box::new(move |cx, options| cx.spawn(&factory, options)),
            worker: A::BEHAVIOR,
            size: DEFAULT_SIZE,
            worker_mailbox: 0,
            picking: Picking::default(),
            slots: Vec::new(),
            leaving: Vec::new(),
            next: 0,
            stats: PoolStats::default(),
        }
    }

    /// Sets the number of workers; 0 means the default, 3.
    #[must_use]
    pub fn size(mut self, workers: usize) -> Self {
        self.size = if workers == 0 { DEFAULT_SIZE } else { workers };
        self
    }

    /// Bounds each queue of a worker's mailbox; 0 means that there is no bound.
    #[must_use]
    pub fn worker_mailbox(mut self, messages: u32) -> Self {
        self.worker_mailbox = messages;
        self
    }

    /// Sets how a worker is chosen.
    #[must_use]
    pub fn picking(mut self, picking: Picking) -> Self {
        self.picking = picking;
        self
    }

    fn begin(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.shard().trap_all_exits();
        for _ in 0..self.size {
            let slot = self.fill(cx)?;
            self.slots.push(slot);
        }
        Ok(())
    }

    fn fill(&self, cx: &Context<'_>) -> Result<Slot, SpawnError> {
        let options = SpawnOptions::new().link_parent().link_child();
        let options = match self.worker_mailbox {
            0 => options,
            limit => options.with_mailbox(limit),
        };
        let worker = Some((self.start)(cx, options)?);
        Ok(Slot { worker, born: cx.shard().now_ticks(), rapid_ends: 0 })
    }

    /// Puts a new worker into a slot whose worker has ended.
    fn replace(&mut self, index: usize, cx: &Context<'_>) -> bool {
        let Some(old) = self.slots.get(index) else { return false };
        let shard = cx.shard();
        let is_rapid = shard.now_ticks().saturating_sub(old.born) < shard.ticks(RAPID);
        let rapid_ends = if is_rapid { old.rapid_ends.saturating_add(1) } else { 0 };
        if rapid_ends > PATIENCE && old.worker.is_some() {
            let doublings = (rapid_ends - PATIENCE - 1).min(16);
            let delay = (DELAY * 2_u32.pow(doublings)).min(LONGEST_DELAY);
            self.slots[index] = Slot { worker: None, born: old.born, rapid_ends };
            // Without a timer the worker starts at once.
            return shard.post_after(Meta::SYSTEM, Respawn(index), delay).is_err() && self.respawn(index, cx);
        }
        self.slots[index].rapid_ends = rapid_ends;
        self.respawn(index, cx)
    }

    fn respawn(&mut self, index: usize, cx: &Context<'_>) -> bool {
        let rapid_ends = self.slots[index].rapid_ends;
        match self.fill(cx) {
            Ok(slot) => {
                self.slots[index] = Slot { rapid_ends, ..slot };
                self.stats.restarts += 1;
                true
            }
            Err(error) => {
                cx.log().error(format_args!("a worker could not be started: {error}"));
                self.slots[index].worker = None;
                // LIMIT: timers of the shard. Without one the slot stays empty.
                let _later = cx.shard().post_after(Meta::SYSTEM, Respawn(index), LONGEST_DELAY);
                false
            }
        }
    }

    fn exited(&mut self, m: ExitSignal, cx: &mut Context<'_>) -> ActorResult {
        let index = m.pid().and_then(|pid| self.slots.iter().position(|slot| slot.worker == Some(pid)));
        if let Some(index) = index {
            self.replace(index, cx);
            return Ok(());
        }
        let leaving = m.pid().and_then(|pid| self.leaving.iter().position(|left| *left == pid));
        match leaving {
            Some(index) => {
                self.leaving.swap_remove(index);
                Ok(())
            }
            // Its parent ended, or somebody wants it to.
            None => Err(ActorError::new(m.reason)),
        }
    }

    fn retire(&mut self, _: Retire, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }

    #[expect(clippy::needless_pass_by_value, reason = "a handler takes its message")]
    fn due(&mut self, m: Respawn, cx: &mut Context<'_>) -> ActorResult {
        if self.slots.get(m.0).is_some_and(|slot| slot.worker.is_none()) {
            self.respawn(m.0, cx);
        }
        Ok(())
    }

    fn add(&mut self, m: AddWorkers, cx: &mut Context<'_>) -> Result<Result<usize, PoolError>, ActorError> {
        for _ in 0..m.0 {
            match self.fill(cx) {
                Ok(slot) => self.slots.push(slot),
                Err(error) => return Ok(Err(PoolError::Spawn(error.to_string().into()))),
            }
        }
        Ok(Ok(self.slots.len()))
    }

    fn remove(
        &mut self,
        m: RemoveWorkers,
        cx: &mut Context<'_>,
    ) -> Result<Result<usize, PoolError>, ActorError> {
        let size = self.slots.len();
        if m.0 >= size {
            return Ok(Err(PoolError::Empty { size }));
        }
        for slot in self.slots.drain(size - m.0..) {
            if let Some(worker) = slot.worker {
                self.leaving.push(worker);
                cx.shard().post_retirement(worker.local.0);
            }
        }
        Ok(Ok(self.slots.len()))
    }

    fn status(&mut self, _: PoolStatus, _cx: &mut Context<'_>) -> Result<PoolStats, ActorError> {
        Ok(self.figures())
    }

    fn figures(&self) -> PoolStats {
        let running = self.slots.iter().filter(|slot| slot.worker.is_some()).count();
        PoolStats { size: self.slots.len(), running, ..self.stats }
    }

    /// Index of the worker to try first.
    fn pick(&mut self, shard: &Shard) -> usize {
        let count = self.slots.len().max(1);
        match self.picking {
            Picking::RoundRobin => {
                self.next = (self.next + 1) % count;
                self.next
            }
            Picking::LeastLoaded => {
                let load =
                    |slot: &Slot| slot.worker.map_or(u64::MAX, |worker| shard.backlog_of(worker.local.0));
                let least = (0..self.slots.len()).min_by_key(|&index| load(&self.slots[index]));
                least.unwrap_or(0)
            }
        }
    }

    /// Hands a message to a worker. It comes back if all are full.
    fn pass(&mut self, mut carried: Carried, cx: &Context<'_>) -> Option<Carried> {
        let first = self.pick(cx.shard());
        let mut is_full = false;
        for step in 0..self.slots.len() {
            let index = (first + step) % self.slots.len();
            let Some(mut worker) = self.slots[index].worker else { continue };
            if !cx.shard().exists(worker.local.0) {
                // Its end is on the way to us: its successor takes the message.
                self.leaving.push(worker);
                if !self.replace(index, cx) {
                    continue;
                }
                let Some(successor) = self.slots[index].worker else { continue };
                worker = successor;
            }
            match cx.shard().forward(worker, carried) {
                Ok(()) => {
                    self.stats.forwarded += 1;
                    return None;
                }
                Err((reason, back)) => {
                    is_full |= reason == SendReason::MailboxFull;
                    carried = back;
                }
            }
        }
        if is_full {
            return Some(carried);
        }
        self.stats.unhandled += 1;
        cx.log().error("no worker took a message: none is running");
        cx.shard().refuse_carried(carried, CallError::Busy);
        None
    }

    /// Waits until a worker has room, then hands the message on.
    async fn wait_and_pass(&mut self, mut carried: Carried, cx: &mut Context<'_>) -> ActorResult {
        // If the pool ends meanwhile, the message is dropped with this future, and its caller is told.
        let mut owed = Owed::new(cx.shard(), &carried);
        loop {
            let ticks = cx.shard().ticks(ROOM_WAIT);
            let workers = self.slots.iter().filter_map(|slot| slot.worker);
            let waits =
                workers.map(|worker| cx.shard().wait_for_room(worker, carried.flags, ticks)).collect();
            if !FirstRoom(waits).await {
                cx.sleep(NO_WAIT).await;
            }
            match self.pass(carried, cx) {
                None => {
                    owed.waiter = 0;
                    return Ok(());
                }
                Some(back) => carried = back,
            }
            // Somebody was quicker, or no wait could be had: whatever it was, the others have a turn first.
            cx.yield_now().await;
        }
    }
}

/// The answer that is owed to the caller of a message in hand: dropped, it tells why there will be none.
struct Owed<'s> {
    shard: &'s Shard,
    waiter: u64,
}

impl<'s> Owed<'s> {
    fn new(shard: &'s Shard, carried: &Carried) -> Self {
        Self { shard, waiter: if carried.flags & Meta::CALL == 0 { 0 } else { carried.reply } }
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        self.shard.refuse(self.waiter, self.shard.refusal());
    }
}

/// Resolves when one of several mailboxes may have room, has gone, or has waited long enough; with `false` if no wait could
/// be had.
struct FirstRoom<'c>(Vec<Call<'c, Room>>);

impl Future for FirstRoom<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<bool> {
        let (mut is_done, had_waits) = (self.0.is_empty(), !self.0.is_empty());
        self.0.retain_mut(|wait| match Pin::new(wait).poll(task) {
            Poll::Pending => true,
            Poll::Ready(Err(CallError::Send(SendReason::Overloaded))) => false,
            Poll::Ready(room) => {
                // One offer is used; what else comes is dropped, which passes it on.
                if let (Ok(room), false) = (room, std::mem::replace(&mut is_done, true)) {
                    room.take();
                }
                false
            }
        });
        if is_done || had_waits && self.0.is_empty() { Poll::Ready(is_done) } else { Poll::Pending }
    }
}

impl Actor for Pool {
    const BEHAVIOR: &'static str = "shard.Pool";
    const KIND: &'static str = "pool";
    const TYPES: &'static [&'static Vtable] = &[
        vtable::<ExitSignal>(),
        vtable::<Respawn>(),
        vtable::<AddWorkers>(),
        vtable::<RemoveWorkers>(),
        vtable::<PoolStatus>(),
        vtable::<Retire>(),
    ];
    const HAS_INIT: bool = true;
    const HAS_TERMINATE: bool = false;

    fn dispatch(mut batch: Batch<'_, Self>) -> Closed<'_> {
        while let Some(envelope) = batch.next() {
            let envelope = batch.bare(envelope);
            let exit = if envelope.is::<ExitSignal>() {
                batch.plain::<ExitSignal>(envelope, Self::exited)
            } else if envelope.is::<Respawn>() {
                batch.plain::<Respawn>(envelope, Self::due)
            } else if envelope.is::<AddWorkers>() {
                batch.plain::<AddWorkers>(envelope, Self::add)
            } else if envelope.is::<RemoveWorkers>() {
                batch.plain::<RemoveWorkers>(envelope, Self::remove)
            } else if envelope.is::<PoolStatus>() {
                batch.plain::<PoolStatus>(envelope, Self::status)
            } else if envelope.is::<Retire>() {
                batch.plain::<Retire>(envelope, Self::retire)
            } else {
                let carried = batch.carry(envelope);
                let cx = Context::new(batch.shard());
                match batch.body().pass(carried, &cx) {
                    None => None,
                    Some(back) => batch.suspend(async move |pool: &mut Self, cx: &mut Context<'_>| {
                        pool.wait_and_pass(back, cx).await
                    }),
                }
            };
            if let Some(exit) = exit {
                return batch.close(exit);
            }
        }
        batch.close(Exit::Continue)
    }

    fn init(batch: Batch<'_, Self>) -> Closed<'_> {
        batch.hook_plain(Self::begin)
    }

    fn terminate(batch: Batch<'_, Self>) -> Closed<'_> {
        batch.close(Exit::Continue)
    }

    fn inspect(&self, out: &mut Inspect) {
        let figures = self.figures();
        out.set_base("pool_size", figures.size);
        out.set_base("pool_running", figures.running);
        out.set_base("worker_behavior", self.worker);
        out.set_base("worker_mailbox_size", self.worker_mailbox);
        out.set_base("worker_restarts", figures.restarts);
        out.set_base("messages_forwarded", figures.forwarded);
        out.set_base("messages_unhandled", figures.unhandled);
    }
}

impl Shard {
    /// Tells a process of this shard to end once it has handled what it has.
    pub(crate) fn post_retirement(&self, local: u64) {
        if let Some(record) = self.live_record(local) {
            self.post_system(record, Meta::MAIN, Retire);
        }
    }

    /// A carried message comes to nothing: it is dropped, and its caller told.
    pub(crate) fn refuse_carried(&self, carried: Carried, why: CallError) {
        let (flags, reply) = (carried.flags, carried.reply);
        self.contain(|| drop(carried));
        if flags & Meta::CALL != 0 {
            self.refuse(reply, why);
        } else {
            self.count(|cells| &cells.dead_letters, 1);
        }
    }
}
