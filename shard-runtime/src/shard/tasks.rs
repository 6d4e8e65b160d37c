//! Futures that run on a shard beside its processes: what reads and writes for I/O processes.
//!
//! Owns: the futures, which of them are ready, and the descriptors they wait for. Invariants: K1 a task belongs to a process of
//! this shard, speaks for it, and is charged to it. K2 a task is dropped when its handle is, at the latest when the shard stops;
//! one that is running then, when it returns. K3 in one turn each task runs at most twice, so that none keeps the processes
//! from running. K4 a panic ends the task and its process, nothing else.
//! Cost: a task that is not ready costs nothing; a shard without I/O one load per turn.

use crate::error::ExitReason;
use crate::process::bump;
use crate::reactor::poller::Poller;
use crate::shard::pump::panic_message;
use crate::shard::{Home, Shard, with_current};
use atomic_waker::AtomicWaker;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Nanoseconds between two questions for ready descriptors of a busy shard.
const ASK_EVERY_NS: u64 = 20_000;
/// Bytes that one read of a socket or pipe takes at most.
const READ_BYTES: usize = 64 << 10;

type Future = Pin<Box<dyn std::future::Future<Output = ()>>>;

/// The I/O side of one shard.
pub(crate) struct Tasks {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    ready: RefCell<VecDeque<(u32, u32)>>,
    count: Cell<usize>,
    poller: OnceCell<Rc<Poller>>,
    /// Whether the reactor can wait for descriptors: a simulation cannot.
    has_descriptors: Cell<bool>,
    asked: Cell<u64>,
    /// What is read goes here first, so that an idle connection holds no buffer.
    scratch: RefCell<Vec<u8>>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    owner: u64,
    future: Option<Future>,
    waker: Option<Arc<TaskWaker>>,
}

struct TaskWaker {
    home: Home,
    slot: u32,
    generation: u32,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: pairs with the Release store before a poll: what was done before the wake is seen by that poll.
        if self.queued.swap(true, AcqRel) {
            return;
        }
        let key = (self.slot, self.generation);
        with_current(|current| match current {
            Some(shard) if shard.home() == self.home => shard.tasks.ready.borrow_mut().push_back(key),
            _ => self.home.post(move |shard| shard.tasks.ready.borrow_mut().push_back(key)),
        });
    }
}

/// A task that is dropped with this.
#[derive(Debug)]
pub(crate) struct Task {
    home: Home,
    slot: u32,
    generation: u32,
}

impl Task {
    /// Has it polled again. On its shard only.
    #[cfg(feature = "web")]
    pub(crate) fn wake(&self) {
        on_shard(|shard| {
            let waker = shard.tasks.slots.borrow().get(self.slot as usize).and_then(|place| {
                place.waker.as_ref().filter(|_| place.generation == self.generation).cloned()
            });
            if let Some(waker) = waker {
                waker.wake();
            }
        });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let (slot, generation) = (self.slot, self.generation);
        with_current(|current| match current {
            Some(shard) if shard.home() == self.home => shard.drop_task(slot, generation),
            _ => self.home.post(move |shard| shard.drop_task(slot, generation)),
        });
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            slots: RefCell::default(),
            free: RefCell::default(),
            ready: RefCell::default(),
            count: Cell::new(0),
            poller: OnceCell::new(),
            has_descriptors: Cell::new(false),
            asked: Cell::new(0),
            scratch: RefCell::default(),
        }
    }
}

impl Shard {
    /// The reactor can wait for descriptors.
    pub(crate) fn enable_descriptors(&self) {
        self.tasks.has_descriptors.set(true);
    }

    /// The descriptors of this shard.
    ///
    /// # Errors
    /// `Unsupported` in a simulation; or the system has no descriptor left.
    pub(crate) fn poller(&self) -> io::Result<&Rc<Poller>> {
        if !self.tasks.has_descriptors.get() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if let Some(poller) = self.tasks.poller.get() {
            return Ok(poller);
        }
        let new = Rc::new(Poller::new()?);
        Ok(self.tasks.poller.get_or_init(|| new))
    }

    /// Starts a task of a process of this shard. It runs first in this turn or the next.
    pub(crate) fn spawn_task(
        &self,
        owner: u64,
        future: impl std::future::Future<Output = ()> + 'static,
    ) -> Task {
        let free = self.tasks.free.borrow_mut().pop();
        let mut slots = self.tasks.slots.borrow_mut();
        let slot = free.unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() as u32 - 1
        });
        let place = &mut slots[slot as usize];
        let generation = place.generation;
        place.owner = owner;
        place.future = Some(Box::pin(future));
        let waker = TaskWaker { home: self.home(), slot, generation, queued: AtomicBool::new(true) };
        place.waker = Some(Arc::new(waker));
        drop(slots);
        self.tasks.count.set(self.tasks.count.get() + 1);
        self.tasks.ready.borrow_mut().push_back((slot, generation));
        Task { home: self.home(), slot, generation }
    }

    fn drop_task(&self, slot: u32, generation: u32) {
        let gone = {
            let mut slots = self.tasks.slots.borrow_mut();
            match slots.get_mut(slot as usize) {
                Some(place) if place.generation == generation => {
                    place.generation = generation.wrapping_add(1);
                    (place.future.take(), place.waker.take())
                }
                _ => return,
            }
        };
        self.tasks.count.set(self.tasks.count.get().saturating_sub(1));
        self.tasks.free.borrow_mut().push(slot);
        self.contain(|| drop(gone));
    }

    /// Asks for ready descriptors if it is time to. Whether any were.
    #[inline]
    pub(super) fn ask_descriptors(&self) -> bool {
        let Some(poller) = self.tasks.poller.get() else { return false };
        let now = self.now.get();
        let is_idle = self.ready.len() == 0 && self.tasks.ready.borrow().is_empty();
        if !is_idle && now.wrapping_sub(self.tasks.asked.get()) < self.clock.ticks_in(ASK_EVERY_NS) {
            return false;
        }
        self.tasks.asked.set(now);
        poller.len() > 0 && poller.ask() > 0
    }

    /// Whether a task is ready.
    #[inline]
    pub(super) fn is_task_ready(&self) -> bool {
        self.tasks.count.get() > 0 && !self.tasks.ready.borrow().is_empty()
    }

    /// Runs the tasks that are ready now, once each.
    pub(super) fn run_tasks(&self) {
        let ready = self.tasks.ready.borrow().len();
        for _ in 0..ready {
            let Some((slot, generation)) = self.tasks.ready.borrow_mut().pop_front() else { return };
            self.run_task(slot, generation);
        }
    }

    fn run_task(&self, slot: u32, generation: u32) {
        let (mut future, waker, owner) = {
            let mut slots = self.tasks.slots.borrow_mut();
            let Some(place) = slots.get_mut(slot as usize).filter(|place| place.generation == generation)
            else {
                return;
            };
            let (Some(future), Some(waker)) = (place.future.take(), place.waker.clone()) else { return };
            (future, waker, place.owner)
        };
        // ORDERING: pairs with the swap in `wake_by_ref`: a wake from here on queues the task again.
        waker.queued.store(false, Release);
        let waker = Waker::from(waker);
        let (start, cells) = (self.clock.ticks(), self.cells());
        cells.current_since.store(start, Relaxed);
        cells.current.store(owner, Relaxed);
        let sent = self.sent.replace(0);
        let polled = self.speaking_as(owner, || {
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))))
        });
        cells.current.store(0, Relaxed);
        let end = self.clock.ticks();
        if let Some(record) = self.live_record(owner) {
            bump(&record.run, end.saturating_sub(start));
            bump(&record.out, self.sent.get());
        }
        self.sent.set(sent);
        // Whoever runs next begins where this ended.
        self.set_now(end);
        match polled {
            Ok(Poll::Pending) => {
                let mut slots = self.tasks.slots.borrow_mut();
                match slots.get_mut(slot as usize) {
                    Some(place) if place.generation == generation => place.future = Some(future),
                    // Its handle was dropped while it ran.
                    _ => {
                        drop(slots);
                        self.contain(|| drop(future));
                    }
                }
            }
            Ok(Poll::Ready(())) => {
                self.contain(|| drop(future));
                self.drop_task(slot, generation);
            }
            Err(panic) => {
                self.count(|cells| &cells.panics, 1);
                let message = panic_message(panic.as_ref());
                self.log_panic(message);
                self.end_process(owner, ExitReason::Panic(message.into()));
                self.contain(|| drop(future));
                self.drop_task(slot, generation);
            }
        }
    }

    /// Counts the end of what an I/O process had opened.
    pub(crate) fn count_io_end(&self, is_ordinary: bool) {
        self.count(|cells| &cells.io_closed, 1);
        if !is_ordinary {
            self.count(|cells| &cells.io_failed, 1);
        }
    }

    /// Ends a process of this shard from outside its handlers.
    pub(crate) fn end_process(&self, local: u64, reason: ExitReason) {
        if let Some(record) = self.live_record(local) {
            self.end_by_signal(record, reason);
        }
    }

    /// Before a park: has the executor's task woken when a descriptor becomes ready. Whether one is.
    pub(crate) fn arm_descriptors(&self, task: &mut Context<'_>) -> bool {
        self.tasks.poller.get().is_some_and(|poller| poller.arm(task))
    }

    /// Drops all tasks: the shard stops.
    pub(super) fn drop_tasks(&self) {
        let slots = self.tasks.slots.borrow().len();
        for slot in 0..slots {
            let generation = self.tasks.slots.borrow()[slot].generation;
            if self.tasks.slots.borrow()[slot].waker.is_some() {
                self.drop_task(slot as u32, generation);
            }
        }
    }

    /// Tasks and descriptors of this shard.
    pub(super) fn io_gauges(&self) -> (u64, u64) {
        let descriptors = self.tasks.poller.get().map_or(0, |poller| poller.len());
        (self.tasks.count.get() as u64, descriptors as u64)
    }

    /// Lends the buffer into which sockets are read.
    pub(crate) fn with_scratch<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut scratch = self.tasks.scratch.take();
        if scratch.is_empty() {
            scratch.resize(READ_BYTES, 0);
        }
        let result = f(&mut scratch);
        self.tasks.scratch.replace(scratch);
        result
    }
}

/// Runs `f` with the shard whose turn this is. Tasks always have one.
pub(crate) fn on_shard(f: impl FnOnce(&Shard)) {
    with_current(|shard| {
        if let Some(shard) = shard {
            f(shard);
        }
    });
}

/// Waits in a task for some time. Polled on its shard only; it may be kept by what must be `Send`.
pub(crate) struct Pause {
    duration: Duration,
    alarm: Option<(Arc<Alarm>, crate::actor::TimerRef)>,
    has_yielded: bool,
}

#[derive(Default)]
struct Alarm {
    is_over: AtomicBool,
    waker: AtomicWaker,
}

impl Pause {
    /// A pause that begins at its first poll.
    pub(crate) fn new(duration: Duration) -> Self {
        Self { duration, alarm: None, has_yielded: false }
    }
}

impl std::future::Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        if let Some((alarm, _)) = &self.alarm {
            alarm.waker.register(task.waker());
            return if alarm.is_over.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending };
        }
        let alarm = Arc::new(Alarm::default());
        alarm.waker.register(task.waker());
        let (ringing, duration) = (Arc::clone(&alarm), self.duration);
        let timer = with_current(|shard| {
            shard?.timer(duration, move |_| {
                ringing.is_over.store(true, Relaxed);
                ringing.waker.wake();
            })
        });
        let Some(timer) = timer else {
            // LIMIT: timers of the shard. The pause is over at the next turn rather than never, so that others run meanwhile.
            if std::mem::replace(&mut self.has_yielded, true) {
                return Poll::Ready(());
            }
            task.waker().wake_by_ref();
            return Poll::Pending;
        };
        self.alarm = Some((alarm, timer));
        Poll::Pending
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some((_, timer)) = self.alarm.take() {
            with_current(|shard| shard.is_some_and(|shard| shard.cancel_timer(timer)));
        }
    }
}
