//! The pump: takes what came in, runs what is ready, publishes what goes out.
//!
//! Invariants: U1 one activation handles at most min(budget, messages present at its start), so a process that sends to
//! itself starves nobody. U2 a panic in a handler ends its process and nothing else. U3 the clock is read once per
//! activation; the end of one is the start of the next. U4 every turn looks at every lane into the shard, also while it is
//! busy: no message waits for an unrelated event. U5 no queue of a mailbox starves another: see `run_others`.
#![expect(unsafe_code, reason = "calls erased actors; proven by a_panic_ends_its_process_only")]

use crate::actor::{ActorTable, Exit, Live};
use crate::error::{CallError, ExitReason};
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{Extension, Flags, INSTRUMENTS, MAIN_QUEUE, Record, bump};
use crate::shard::cells::STALL_BOUNDS_NS;
use crate::shard::current::{self, Scope};
use crate::shard::deliver::DUE_SHIFT;
use crate::shard::place::take_place;
use crate::shard::{Inbound, LogLevel, Shard};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll};

/// Items taken from the inbox in one turn.
const INBOX_DRAIN: usize = 256;
/// Timers fired in one turn.
const TIMER_DRAIN: usize = 1024;
/// Turns between two looks at the gauges while the shard does not park.
const GAUGES_EVERY: u64 = 4096;
/// Activations of one process that may go to its higher queues alone while lower ones wait.
const FAIR_AFTER: u32 = 16;
/// Ticks after which a shard looks again at a spill that its target did not take: about 100 µs.
const SPILL_RETRY: u64 = 300_000;

/// What a turn left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Nothing is ready: the shard may park.
    Idle,
    /// There is more to do now.
    More,
}

impl Shard {
    /// One round: inbound lanes, timers, up to 64 activations, outbound lanes.
    pub(crate) fn turn(&self) -> Turn {
        let _scope = Scope::enter(self);
        let start = self.clock.ticks();
        self.set_now(start);
        self.count(|cells| &cells.turns, 1);
        self.cells().last_turn.store(start, Relaxed);
        if self.cells().turns.load(Relaxed).is_multiple_of(GAUGES_EVERY) {
            self.publish_gauges();
        }
        let rings = self.mesh.drain(|parcel| self.accept_in_place(parcel));
        let inbox = self.port.inbox.drain(INBOX_DRAIN, |item| self.take_in(item));
        let timers = self.fire_timers();
        let links = self.poll_links();
        let mut io = self.ask_descriptors();
        if self.is_task_ready() {
            self.run_tasks();
            io = true;
        }
        let spreads = self.audiences.is_spreading();
        if spreads {
            self.spread_on();
        }
        // A strain of what came in is nobody's who runs now.
        let _of_others = self.mesh.take_strain();
        if self.mesh.held() > 0 {
            self.mesh.release(start, &self.ready);
        }
        let ran = match catch_unwind(AssertUnwindSafe(|| self.run_ready())) {
            Ok(ran) => ran,
            Err(panic) => {
                self.blame(panic.as_ref());
                let _of_the_dead = self.mesh.take_strain();
                true
            }
        };
        if self.is_task_ready() {
            // What the processes have just sent goes out now, not after a park.
            self.run_tasks();
            io = true;
        }
        self.mesh.publish(self);
        let sent = self.flush_links();
        self.check_memory();
        let cells = self.cells();
        if rings > 0 {
            bump(&cells.ring_in, rings as u64);
        }
        if inbox > 0 {
            bump(&cells.inbox_in, inbox as u64);
        }
        if rings + inbox + timers > 0 || ran || links || sent || spreads || io {
            bump(&cells.busy, self.clock.ticks().saturating_sub(start));
            cells.ready.store(u64::from(self.ready.len()), Relaxed);
        }
        if self.ready.len() > 0 || inbox == INBOX_DRAIN || timers == TIMER_DRAIN || rings > 0 || links {
            return Turn::More;
        }
        if self.audiences.is_spreading() || io || self.is_task_ready() {
            return Turn::More;
        }
        if self.mesh.held() > 0 && self.mesh.is_draining(self.clock.ticks()) {
            return Turn::More;
        }
        Turn::Idle
    }

    /// Gauges that are written before a park, and now and then by a shard that does not park.
    pub(crate) fn publish_gauges(&self) {
        let cells = self.cells();
        let (backlog, spilled, refused) = self.mesh.spill();
        let (io_tasks, io_descriptors) = self.io_gauges();
        for (cell, value) in [
            (&cells.waiters, u64::from(self.waiters.used())),
            (&cells.timers, self.wheel.borrow().len() as u64 + u64::from(self.waiters.listed())),
            (&cells.backlog, backlog),
            (&cells.spilled, spilled),
            (&cells.refused, refused),
            (&cells.links, self.net.link_count()),
            (&cells.envelope_bytes, self.pool.mapped_bytes()),
            (&cells.memory_used, self.memory_used()),
            (&cells.future_bytes, self.futures.bytes()),
            (&cells.io_tasks, io_tasks),
            (&cells.io_descriptors, io_descriptors),
        ] {
            cell.store(value, Relaxed);
        }
    }

    /// Bytes of what is queued on this shard or spilled by it.
    fn memory_used(&self) -> u64 {
        self.pool.used_bytes() + self.mesh.spill_bytes()
    }

    /// Tells outside senders and links whether the shard's memory budget is used up. Let in again below seven eighths.
    #[inline]
    fn check_memory(&self) {
        let is_over = self.port.is_over_budget();
        // Spills are rarely much, and there are none without strained senders; a look at them costs more than this one.
        if !is_over && self.pool.used_bytes() < self.budget_bytes / 2 && self.mesh.held() == 0 {
            return;
        }
        let used = self.memory_used();
        if is_over != (used > if is_over { self.budget_bytes / 8 * 7 } else { self.budget_bytes }) {
            self.port.set_over_budget(!is_over);
        }
    }

    /// Whether anything waits in a lane into this shard: the re-check before a park.
    pub(crate) fn is_work(&self) -> bool {
        self.ready.len() > 0
            || self.audiences.is_spreading()
            || self.is_task_ready()
            || !self.port.inbox.is_empty()
            || self.mesh.is_work()
    }

    /// Ticks at which the shard must run again, if nothing wakes it before.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let timer = self.wheel.borrow().next_deadline();
        let spill = (self.mesh.held() > 0 || self.mesh.spill().0 > 0).then(|| self.now.get() + SPILL_RETRY);
        timer.into_iter().chain(spill).chain(self.next_time_out()).min()
    }

    pub(super) fn take_in(&self, item: Inbound) {
        match item {
            Inbound::Parcel(parcel) => self.accept(parcel),
            Inbound::Task(task) => self.contain(|| task(self)),
            Inbound::Wake { slot, generation } => self.wake_slot(slot, generation),
        }
    }

    fn fire_timers(&self) -> usize {
        let timed_out = self.time_out_calls();
        if self.wheel.borrow().is_empty() {
            return timed_out;
        }
        let mut due = self.due.take();
        self.wheel.borrow_mut().advance_up_to(self.now.get(), TIMER_DRAIN, |token| due.push(token));
        let fired = due.len();
        for token in due.drain(..) {
            self.timer_due(token);
        }
        self.due.replace(due);
        fired + timed_out
    }

    /// Ends the waits of the list whose time is over.
    fn time_out_calls(&self) -> usize {
        let now = (self.now.get() >> DUE_SHIFT) as u32;
        let mut ended = 0;
        while ended < TIMER_DRAIN
            && let Some((reference, due)) = self.waiters.first_due()
            && now.wrapping_sub(due).cast_signed() >= 0
        {
            if let Some(waiter) = self.waiters.find(reference) {
                self.disarm(waiter);
            }
            self.timer_due(reference);
            ended += 1;
        }
        ended
    }

    /// Ticks at which the first wait of the list is due.
    fn next_time_out(&self) -> Option<u64> {
        let (_, due) = self.waiters.first_due()?;
        let now = self.now.get() >> DUE_SHIFT;
        let left = due.wrapping_sub(now as u32).cast_signed().max(0);
        Some((now + u64::from(left.unsigned_abs())) << DUE_SHIFT)
    }

    fn run_ready(&self) -> bool {
        let mut done = 0;
        while done < self.activations
            && let Some(slot) = self.ready.pop()
        {
            self.activate(self.table.record(slot));
            done += 1;
        }
        if done > 0 {
            self.idle_current();
        }
        done > 0
    }

    #[inline(always)]
    fn actor_of(record: &Record) -> &'static ActorTable {
        // SAFETY: A1: a used record's `actor` is a `&'static ActorTable`.
        unsafe { &*record.actor.load(Relaxed) }
    }

    #[inline(always)]
    fn activate(&self, record: &Record) {
        let flags = record.flags();
        let id = record.id.load(Relaxed);
        let cells = self.cells();
        self.current.set(record);
        self.current_id.set(id);
        if INSTRUMENTS {
            cells.current_since.store(self.now.get(), Relaxed);
            cells.current.store(id, Relaxed);
            self.sent.set(0);
        }
        let exit = if flags & !Flags::QUIET == Flags::QUEUED {
            record.set_flags(flags | Flags::RUNNING);
            self.dispatch_main(record)
        } else if flags & !(Flags::QUIET | Flags::CALLING) == Flags::QUEUED | Flags::LIVE {
            self.resume_only(record, flags)
        } else {
            self.uncommon(record, flags)
        };
        if INSTRUMENTS {
            let now = self.clock.ticks();
            let took = now.saturating_sub(self.now.get());
            bump(&record.run, took);
            if took > self.stall_ticks {
                self.stalled(record, id, took);
            }
            self.set_now(now);
            bump(&record.out, self.sent.get());
            bump(&record.wakeups, 1);
            bump(&cells.activations, 1);
            record.last.store(now, Relaxed);
        }
        if exit == Exit::Continue {
            let kept = record.flags() & (Flags::KEPT | Flags::TRAITS);
            if record.depth() == 0 && kept & Flags::KEPT == 0 {
                record.set_flags(kept);
            } else {
                if record.depth() > 0 {
                    record.oldest.store(record.head.get().meta() >> Meta::BITS, Relaxed);
                }
                record.set_flags(Flags::QUEUED | kept);
                self.requeue(id as u32);
            }
        } else if exit == Exit::Suspended
            && !self.again.get()
            && record.flags() & (Flags::SIGNAL | Flags::TRACED) == 0
        {
            record.set_flags(Flags::LIVE | record.flags() & Flags::KEPT_SUSPENDED);
        } else {
            self.leave(record, exit);
        }
        // A strain of a process that has nothing more to do is nobody's.
        let _nothing_left = self.mesh.take_strain();
    }

    /// The process that has just run has more to do: behind the others, or once the lane that it made spill has drained.
    #[inline(always)]
    fn requeue(&self, slot: u32) {
        if let Some(target) = self.mesh.take_strain()
            && self.mesh.hold(target, slot, self.now.get())
        {
            return;
        }
        self.ready.push(slot);
    }

    /// No process speaks: what is sent now comes from the node's core process.
    #[inline(always)]
    fn idle_current(&self) {
        self.cells().current.store(0, Relaxed);
        self.current_id.set(shard_wire::LocalId::CORE.0);
        self.in_hand.set(EnvelopePtr::NULL);
    }

    /// Dispatches what Main holds now, up to the budget.
    #[inline(always)]
    fn dispatch_main(&self, record: &Record) -> Exit {
        self.source.set(Self::SOURCE_MAIN);
        self.intake.set(EnvelopePtr::head_of(&record.head));
        self.limit.set(record.depth().min(u64::from(record.budget.get())));
        // SAFETY: A1, and no suspended handler borrows the body: `LIVE` is clear.
        unsafe { Self::actor_of(record).dispatch(self, record) }
    }

    /// Dispatches one of the other queues, up to the budget.
    fn dispatch_other(&self, record: &Record, queue: usize) -> Exit {
        let (head, count) = self.with_extension(record, |extension| {
            (extension.queues[queue].head(), extension.queues[queue].len())
        });
        self.source.set(queue);
        self.other_head.set(head);
        self.intake.set(EnvelopePtr::head_of(&self.other_head));
        self.limit.set(count.min(u64::from(record.budget.get())));
        // SAFETY: A1, and no suspended handler borrows the body: `LIVE` is clear.
        let exit = unsafe { Self::actor_of(record).dispatch(self, record) };
        self.source.set(Self::SOURCE_MAIN);
        exit
    }

    /// Stopped, or suspended with something to do at once.
    #[inline(never)]
    fn leave(&self, record: &Record, exit: Exit) {
        if record.flags() & Flags::TRACED != 0 {
            self.suspend_trace(record);
        }
        if exit == Exit::Stop {
            let reason = self.reason.take().map_or(ExitReason::Normal, |reason| *reason);
            return self.bury(record, reason);
        }
        let kept = record.flags() & Flags::KEPT_SUSPENDED;
        if self.again.replace(false) || kept & Flags::SIGNAL != 0 {
            // A reply that came while it ran, a yield, or a kill: straight back into the queue.
            record.set_flags(Flags::QUEUED | Flags::LIVE | kept);
            self.requeue(record.slot());
        } else {
            record.set_flags(Flags::LIVE | kept);
        }
    }

    /// A suspended handler goes on, and there is nothing else to be looked at: the usual end of a wait.
    #[inline(never)]
    fn resume_only(&self, record: &Record, flags: u32) -> Exit {
        record.set_flags((flags & !Flags::CALLING) | Flags::RUNNING);
        self.in_hand.set(EnvelopePtr::NULL);
        match self.resume_live(record, flags) {
            Exit::Continue => self.run_queued(record),
            exit => exit,
        }
    }

    /// Start, resume, signal, inspect, other queues.
    #[inline(never)]
    fn uncommon(&self, record: &Record, flags: u32) -> Exit {
        if flags & Flags::SENDER != 0 {
            return self.uncommon_sender(record, flags);
        }
        self.uncommon_kinds(record, flags)
    }

    /// The same of a process whose sends have options.
    #[cold]
    #[inline(never)]
    fn uncommon_sender(&self, record: &Record, flags: u32) -> Exit {
        self.shut_gate();
        let exit = self.uncommon_kinds(record, flags);
        self.rest_gate();
        exit
    }

    #[inline(always)]
    fn uncommon_kinds(&self, record: &Record, flags: u32) -> Exit {
        if flags & Flags::SIGNAL != 0 {
            let signal = self.with_extension(record, |extension| extension.signal.take());
            self.reason.set(Some(Box::new(signal.unwrap_or(ExitReason::Kill))));
            return Exit::Stop;
        }
        record.set_flags((flags & !Flags::CALLING) | Flags::QUEUED | Flags::RUNNING);
        self.in_hand.set(EnvelopePtr::NULL);
        if flags & Flags::START != 0 && flags & Flags::LIVE == 0 {
            let exit = self.run_init(record);
            if exit != Exit::Continue {
                return exit;
            }
        }
        if flags & Flags::LIVE != 0 {
            if flags & Flags::TRACED != 0 {
                self.resume_trace(record);
            }
            let exit = self.resume_live(record, flags);
            if exit != Exit::Continue {
                return exit;
            }
        }
        self.run_queued(record)
    }

    /// What has come in meanwhile.
    #[inline(never)]
    fn run_queued(&self, record: &Record) -> Exit {
        if record.flags() & (Flags::INSPECT | Flags::TRACED) != 0 {
            self.between_handlers(record);
        }
        if record.flags() & Flags::OTHER != 0 {
            self.run_others(record)
        } else if record.depth() > 0 {
            self.dispatch_main(record)
        } else {
            Exit::Continue
        }
    }

    #[cold]
    fn between_handlers(&self, record: &Record) {
        self.end_trace(record);
        if record.flags() & Flags::INSPECT != 0 {
            self.answer_inspects(record);
        }
    }

    fn run_init(&self, record: &Record) -> Exit {
        self.live_sender.set(self.pid(self.identity(record).parent.load(Relaxed)));
        self.intake.set(EnvelopePtr::NULL);
        self.limit.set(0);
        // SAFETY: A1; nothing of the actor has run yet.
        let exit = unsafe { Self::actor_of(record).init(self, record) };
        match exit {
            Exit::Continue => self.init_done(record),
            Exit::Suspended => self.limit_init(record),
            Exit::Stop => (),
        }
        exit
    }

    #[inline(always)]
    fn resume_live(&self, record: &Record, flags: u32) -> Exit {
        let live = record.live.get();
        // SAFETY: L2, L3: `LIVE` is set, so `live` is a kept future of this shard.
        self.live_sender.set(unsafe { Live::sender(live) });
        let waker = self.waker_of(record);
        // SAFETY: as above.
        match unsafe { Live::poll(live, &mut TaskContext::from_waker(&waker)) } {
            Poll::Pending => Exit::Suspended,
            Poll::Ready(exit) => self.live_done(record, flags, exit),
        }
    }

    #[inline(never)]
    fn live_done(&self, record: &Record, flags: u32, exit: Exit) -> Exit {
        self.cancel_live(record);
        record.clear_flags(Flags::LIVE);
        if flags & Flags::START != 0 && exit == Exit::Continue {
            self.init_done(record);
        }
        exit
    }

    /// Drops a suspended handler.
    pub(super) fn cancel_live(&self, record: &Record) {
        let live = record.live.replace(std::ptr::null_mut());
        if live.is_null() {
            return;
        }
        // SAFETY: L2: a non-null `live` is a kept future, taken out of the record just now.
        let layout = unsafe { Live::finish(live) };
        self.futures.give(live.cast(), layout);
    }

    fn answer_inspects(&self, record: &Record) {
        record.clear_flags(Flags::INSPECT);
        let pending = self.with_extension(record, |extension| std::mem::take(&mut extension.inspects));
        for request in pending {
            let mut out = crate::actor::Inspect::new(request.items);
            let table = Self::actor_of(record);
            // SAFETY: A1; between handlers nobody borrows the body.
            self.contain(|| unsafe { table.inspect(record, &mut out) });
            (request.answer)(out.into_entries());
        }
    }

    /// Urgent, then System, then Main, then Log; each as far as the budget goes. After [`FAIR_AFTER`] activations that went to
    /// higher queues alone, the lower ones have a turn each (U5).
    fn run_others(&self, record: &Record) -> Exit {
        let length = |queue: usize| self.with_extension(record, |extension| extension.queues[queue].len());
        let passed_over = self.with_extension(record, |extension| std::mem::take(&mut extension.passed_over));
        let is_fair = passed_over >= FAIR_AFTER;
        let higher = [Extension::URGENT, Extension::SYSTEM].into_iter().find(|&queue| length(queue) > 0);
        if let Some(queue) = higher.filter(|_| !is_fair) {
            let is_waited_for =
                record.depth() > 0 || length(Extension::LOG) > 0 || queue == Extension::URGENT;
            if is_waited_for {
                self.with_extension(record, |extension| extension.passed_over = passed_over + 1);
            }
            let exit = self.dispatch_other(record, queue);
            // What came in meanwhile at a higher priority goes first: at the next activation.
            return if exit == Exit::Continue { self.others_left(record) } else { exit };
        }
        if is_fair && length(Extension::SYSTEM) > 0 {
            let exit = self.dispatch_other(record, Extension::SYSTEM);
            if exit != Exit::Continue {
                return exit;
            }
        }
        if record.depth() > 0 {
            let exit = self.dispatch_main(record);
            if exit != Exit::Continue {
                return exit;
            }
        }
        if (record.depth() == 0 || is_fair) && length(Extension::LOG) > 0 {
            let exit = self.dispatch_other(record, Extension::LOG);
            if exit != Exit::Continue {
                return exit;
            }
        }
        self.others_left(record)
    }

    fn others_left(&self, record: &Record) -> Exit {
        if !self.with_extension(record, |extension| extension.is_queue_left()) {
            record.clear_flags(Flags::OTHER);
        }
        Exit::Continue
    }

    /// Settles a batch: counters, latencies, envelopes back to the pool.
    #[inline]
    pub(crate) fn settle(&self, record: &Record, handled: u64, last: EnvelopePtr, stamps: u64) {
        if INSTRUMENTS {
            // Signed: a sender outside, or another shard, may have stamped later than this turn began.
            let waited =
                handled.wrapping_mul(self.stamp.get()).wrapping_sub(stamps).cast_signed() >> Meta::BITS;
            bump(&record.latency, waited.max(0).cast_unsigned());
        }
        self.in_hand.set(EnvelopePtr::NULL);
        if record.flags() & (Flags::BOUNDED | Flags::TRACED) != 0 {
            self.settle_special(record, handled);
        }
        if self.source.get() != Self::SOURCE_MAIN {
            return self.settle_other(record, handled, last);
        }
        let first = record.remove(handled, last);
        self.pool.give_chain(first, last, handled);
    }

    #[inline(never)]
    fn settle_special(&self, record: &Record, handled: u64) {
        if record.flags() & Flags::BOUNDED != 0 {
            let source = self.source.get();
            let queue = if source == Self::SOURCE_MAIN { MAIN_QUEUE } else { source };
            self.release_places(record, queue, handled);
        }
        // One that waits goes on in its trace.
        if record.live.get().is_null() {
            self.end_trace(record);
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_other(&self, record: &Record, handled: u64, last: EnvelopePtr) {
        let queue = self.source.get();
        let first = self.with_extension(record, |extension| {
            let first = extension.queues[queue].head();
            extension.queues[queue].remove(handled, last);
            first
        });
        bump(&self.identity(record).other_taken, handled);
        self.pool.give_chain(first, last, handled);
    }

    /// A handler panicked: settles its batch up to the envelope in hand and ends the process.
    #[cold]
    #[inline(never)]
    fn blame(&self, panic: &(dyn Any + Send)) {
        let current = self.current.get();
        // SAFETY: S2: set by `activate` on this thread; records are never unmapped while the shard lives.
        let record = unsafe { &*current };
        let in_hand = self.in_hand.get();
        let mut waiter = 0;
        if !in_hand.is_null() {
            let (mut at, mut handled, mut stamps) = (self.intake.get(), 0, 0u64);
            while at != in_hand {
                at = at.next();
                handled += 1;
                stamps = stamps.wrapping_add(at.meta());
            }
            if in_hand.meta() & Meta::CALL != 0 {
                waiter = in_hand.reply();
            }
            self.settle(record, handled, in_hand, stamps);
            self.in_hand.set(EnvelopePtr::NULL);
            self.count(|cells| &cells.interrupted, 1);
        }
        self.end_trace(record);
        self.rest_gate();
        self.source.set(Self::SOURCE_MAIN);
        let now = self.clock.ticks();
        bump(&record.run, now.saturating_sub(self.now.get()));
        self.set_now(now);
        bump(&record.out, self.sent.get());
        bump(&record.wakeups, 1);
        self.again.set(false);
        self.refuse(waiter, CallError::Panicked);
        self.count(|cells| &cells.panics, 1);
        if record.flags() & Flags::TERMINATED != 0 || record.id.load(Relaxed) == 0 {
            // It panicked while it was being ended: every step of that contains its own panics, so this is ours.
            self.log_panic(panic_message(panic));
            return self.idle_current();
        }
        self.panic_place.replace(take_place());
        self.bury(record, ExitReason::Panic(panic_message(panic).into()));
        self.panic_place.replace(None);
        self.idle_current();
    }

    /// An activation held the shard for too long.
    #[cold]
    #[inline(never)]
    fn stalled(&self, record: &Record, id: u64, took: u64) {
        let cells = self.cells();
        bump(&cells.stalls, 1);
        bump(&cells.stalled, took);
        let took_ns = self.clock.span_ns(took);
        let bucket = STALL_BOUNDS_NS.partition_point(|bound| *bound < took_ns);
        bump(&cells.stall_times[bucket], 1);
        if cells.stall_noted.load(Relaxed) == self.now.get() {
            // The control thread has said so while it lasted.
            return;
        }
        let behavior = record.behavior().unwrap_or("-");
        self.log_line(LogLevel::Warning, id, || {
            format!(
                "{behavior} held shard {} for {:.1} ms: make it await, split the work, or give it a dedicated thread",
                self.index,
                took_ns as f64 / 1e6
            )
        });
    }

    /// Runs code of the user outside a handler; a panic is counted and goes no further.
    pub(crate) fn contain(&self, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.count(|cells| &cells.panics, 1);
            self.log_panic(panic_message(panic.as_ref()));
        }
    }

    /// Puts a process into the ready queue unless it is there or runs.
    #[inline(always)]
    pub(super) fn make_ready(&self, record: &Record) {
        let flags = record.flags();
        if flags & Flags::QUEUED == 0 {
            record.set_flags(flags | Flags::QUEUED);
            self.ready.push(record.slot());
        }
    }

    /// A suspended handler can go on. If it is running just now, it must be polled again.
    #[inline(always)]
    pub(super) fn resume(&self, record: &Record) {
        let flags = record.flags();
        if flags & (Flags::RUNNING | Flags::LIVE | Flags::QUEUED) == Flags::LIVE {
            record.set_flags(flags | Flags::QUEUED);
            self.ready.push(record.slot());
        } else if flags & Flags::RUNNING != 0 {
            self.again.set(true);
        }
    }

    /// A waker fired.
    pub(crate) fn wake_slot(&self, slot: u32, generation: u64) {
        let record = self.table.record(slot);
        let id = record.id.load(Relaxed);
        if id as u32 == slot && current::waker_generation(id) == generation {
            self.resume(record);
        }
    }

    /// The current handler yields: it is to be polled again after the others.
    #[inline(always)]
    pub(crate) fn run_again(&self, task: &TaskContext<'_>) {
        if current::is_own_waker(task.waker()) {
            self.again.set(true);
        } else {
            task.waker().wake_by_ref();
        }
    }

    /// The current handler waits for a reply.
    #[inline(always)]
    pub(super) fn mark_calling(&self) {
        let current = self.current.get();
        // SAFETY: S2: a call is polled inside a handler, so the current record is its process's.
        let record = unsafe { &*current };
        record.add_flags(Flags::CALLING);
    }
}

/// The text of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}
