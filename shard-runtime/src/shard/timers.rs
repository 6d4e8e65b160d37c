//! What a shard's timer wheel drives: call time-outs, sleeps, delayed and repeated sends.
//!
//! Invariant: each timer is a waiter, so it has a generation: a reference to one that has fired or was cancelled is stale.
//! Cost: constant time to arm, cancel and fire; a delayed send is one box, an idle timer costs nothing while it waits.

use crate::actor::{Call, OwnedRoute, TimerRef};
use crate::error::{CallError, ExitReason, SendError, SendReason};
use crate::mailbox::Meta;
use crate::process::bump;
use crate::shard::waiter::{Alarm, Sink, State};
use crate::shard::{Outcome, Shard};
use shard_wire::{Message, Pid};
use std::time::Duration;

/// A repeated send: what runs at each tick. `false` ends it.
pub(crate) type Tick = Box<dyn FnMut(&Shard) -> bool>;

/// A timer that comes again.
pub(crate) struct Interval {
    run: Tick,
    /// Ticks of the clock between two runs.
    period: u64,
    /// When the next run is due.
    next: u64,
}

impl Shard {
    /// A timer of the wheel has come due.
    pub(super) fn timer_due(&self, reference: u64) {
        let Some(waiter) = self.waiters.find(reference) else { return };
        waiter.alarm.set(Alarm::None);
        if !waiter.is_timer.get() {
            let remote = waiter.remote().is_some();
            if !waiter.is_own.get() {
                self.count_send_error(Meta::CALL, remote);
            }
            return self.fail(reference, CallError::Timeout);
        }
        match waiter.take_extra().and_then(|extra| extra.sink) {
            Some(Sink::Callback(callback)) => {
                self.waiters.free(reference);
                self.contain(|| callback(self, Outcome::Due));
            }
            Some(Sink::Interval(interval)) => self.run_interval(reference, interval),
            sink => {
                waiter.put(());
                if let Some(Sink::Waker(waker)) = sink {
                    self.contain(|| waker.wake());
                }
                self.resume(self.table.record(waiter.owner.get()));
            }
        }
    }

    fn run_interval(&self, reference: u64, mut interval: Box<Interval>) {
        let mut goes_on = false;
        self.contain(|| goes_on = (interval.run)(self));
        // It may have been cancelled by what it ran.
        let waiter = self.waiters.find(reference);
        let Some(waiter) = waiter.filter(|_| goes_on) else {
            if waiter.is_some() {
                self.waiters.free(reference);
            }
            // The message's own `drop` is the user's code.
            return self.contain(|| drop(interval));
        };
        interval.next = next_due(interval.next, interval.period, self.now.get());
        let armed = self.wheel.borrow_mut().insert(interval.next, reference);
        match armed {
            Ok(timer) => {
                waiter.alarm.set(Alarm::Wheel(timer));
                waiter.set_extra(|extra| extra.sink = Some(Sink::Interval(interval)));
            }
            // LIMIT: timers of the shard. The interval ends, and is counted as what it would have sent.
            Err(_) => {
                self.count(|cells| &cells.dead_letters, 1);
                self.waiters.free(reference);
                self.contain(|| drop(interval));
            }
        }
    }

    /// A wait that its timer completes. If no timer can be had, the wait fails at once, which ends a sleep early.
    pub(crate) fn sleep(&self, duration: Duration) -> Call<'_, ()> {
        let waiter = self.wait_for_reply(self.ticks(duration));
        if let Some(waiter) = self.waiters.find(waiter) {
            waiter.is_timer.set(true);
        }
        Call::new(self, waiter)
    }

    /// A timer that runs something on this shard. `None`: there are too many.
    pub(crate) fn timer(&self, delay: Duration, run: impl FnOnce(&Self) + 'static) -> Option<TimerRef> {
        let reference = self.wait_for_reply(self.ticks(delay));
        let waiter = self.waiters.find(reference)?;
        waiter.is_timer.set(true);
        let callback = Box::new(move |shard: &Self, _: Outcome| run(shard));
        waiter.set_extra(|extra| extra.sink = Some(Sink::Callback(callback)));
        Some(TimerRef(reference))
    }

    /// Whether one more timer can be had.
    fn has_timer(&self) -> bool {
        !self.waiters.is_full() && !self.wheel.borrow().is_full()
    }

    /// Sends a message after a delay, on behalf of the current process.
    pub(crate) fn send_after<M: Message>(
        &self,
        to: OwnedRoute,
        message: M,
        queue: u64,
        delay: Duration,
    ) -> Result<TimerRef, SendError<M>> {
        if !self.has_timer() {
            return Err(SendError::new(SendReason::Overloaded, message));
        }
        let sender = self.current_id.get();
        let timer = match to {
            // The common case takes the short way.
            OwnedRoute::Pid(pid) => self.timer(delay, move |shard| {
                shard.send_due(sender, || shard.deliver(pid, message, queue, 0).is_ok());
            }),
            to => self.timer(delay, move |shard| {
                shard.send_due(sender, || shard.deliver_route(to.route(), message, queue, 0).is_ok());
            }),
        };
        Ok(timer.unwrap_or(TimerRef(0)))
    }

    /// Posts a message of the runtime to the current process after a delay: no bound refuses it then. It comes back if no
    /// timer is to be had.
    pub(crate) fn post_after<M: Message>(
        &self,
        queue: u64,
        message: M,
        delay: Duration,
    ) -> Result<TimerRef, M> {
        if !self.has_timer() {
            return Err(message);
        }
        let owner = self.current_id.get();
        let run = move |shard: &Self| {
            if let Some(record) = shard.live_record(owner) {
                shard.post_system(record, queue, message);
            }
        };
        Ok(self.timer(delay, run).unwrap_or(TimerRef(0)))
    }

    /// Sends copies of a message at a fixed rate until it is cancelled or the current process ends.
    pub(crate) fn send_every<M: Message + Clone>(
        &self,
        to: OwnedRoute,
        message: M,
        queue: u64,
        period: Duration,
    ) -> Result<TimerRef, SendError<M>> {
        let reference = self.wait_for_reply(self.ticks(period));
        let Some(waiter) = self.waiters.find(reference) else {
            return Err(SendError::new(SendReason::Overloaded, message));
        };
        waiter.is_timer.set(true);
        let sender = self.current_id.get();
        let run: Tick = Box::new(move |shard: &Self| {
            if shard.live_record(sender).is_none() {
                return false;
            }
            // The clone is the user's code: it may panic, and speaks for nobody.
            let copy = message.clone();
            shard.send_due(sender, || shard.deliver_route(to.route(), copy, queue, 0).is_ok());
            true
        });
        let period = self.ticks(period).max(1);
        let interval = Interval { run, period, next: self.now.get().saturating_add(period) };
        waiter.set_extra(|extra| extra.sink = Some(Sink::Interval(Box::new(interval))));
        Ok(TimerRef(reference))
    }

    /// Sends what a timer held back. Its sender was told `Ok` when it armed the timer: what is refused now is a dead letter,
    /// and what is not counts as sent by it, if it lives.
    fn send_due(&self, sender: u64, send: impl FnOnce() -> bool) {
        if !self.quietly(|| self.speaking_as(sender, send)) {
            self.count(|cells| &cells.dead_letters, 1);
        } else if let Some(record) = self.live_record(sender) {
            bump(&record.out, 1);
        }
    }

    /// Sends an exit signal after a delay, on behalf of the current process.
    pub(crate) fn exit_after(&self, to: Pid, reason: ExitReason, delay: Duration) -> Option<TimerRef> {
        let sender = self.current_id.get();
        self.timer(delay, move |shard| {
            if shard.speaking_as(sender, || shard.send_exit(to, reason)).is_err() {
                shard.count(|cells| &cells.dead_letters, 1);
            }
        })
    }

    /// Disarms a delayed or repeated send; `false` if it has fired or was cancelled before.
    pub(crate) fn cancel_timer(&self, timer: TimerRef) -> bool {
        let Some(waiter) = self.waiters.find(timer.0) else { return false };
        if !waiter.is_timer.get() || waiter.state.get() != State::Waiting {
            return false;
        }
        self.drop_waiter(timer.0);
        true
    }
}

/// When a fixed-rate timer is due again: ticks that are late by more than a period are left out.
fn next_due(due: u64, period: u64, now: u64) -> u64 {
    let next = due.saturating_add(period);
    if next > now { next } else { next + (now - next) / period * period + period }
}

#[cfg(test)]
mod tests {
    use super::next_due;

    #[test]
    fn a_late_interval_keeps_its_rate_and_leaves_ticks_out() {
        assert_eq!(next_due(100, 10, 100), 110);
        assert_eq!(next_due(100, 10, 109), 110);
        assert_eq!(next_due(100, 10, 110), 120);
        assert_eq!(next_due(100, 10, 157), 160);
    }
}
