//! The sleep flag of one shard: how a sender knows that a wake-up is due, and that it is the one to pay for it.
//!
//! Owns: the `sleeping` flag and the run mark. Not the wake-up itself, which is an argument, nor the thing that is
//! woken. Invariants: Z1 no lost wake-up: if a message is visible and the shard parks, somebody wakes it. Z2 one wake per
//! park: only who turns `sleeping` from true to false wakes.
//! Protocol: the sender publishes, fences, reads the flag; the shard sets the flag, fences, re-checks every lane. Of two
//! sequentially consistent fences one is first, so either the sender sees the flag or the shard sees the message.
//! Threads: `prepare_park`, `cancel_park` and the run mark are the owning shard's; `wake` is anybody's.
//! Cost: awake, a fence and one load per wake attempt (do it once per turn and destination); asleep, one exchange and the
//! wake-up. A shared line that only changes when the shard parks.

use crate::sync::{AtomicBool, AtomicU32, Ordering, fence};

/// One shard's sleep flag; shared by all that may send to it.
#[derive(Debug)]
#[repr(align(128))]
pub struct Sleep {
    sleeping: AtomicBool,
    /// Odd while the pump has yielded with work left.
    mark: AtomicU32,
}

/// What a look at a shard's run mark saw.
///
/// The same mark in two looks, and [`wants_run`](Self::wants_run): the pump had work and did not run in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunMark(u32);

impl RunMark {
    /// Whether the pump had work when it last yielded.
    #[must_use]
    pub fn wants_run(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Default for Sleep {
    fn default() -> Self {
        Self::new()
    }
}

impl Sleep {
    /// The flag of a shard that is awake.
    #[must_use]
    pub fn new() -> Self {
        Self { sleeping: AtomicBool::new(false), mark: AtomicU32::new(0) }
    }

    /// Sender, after it has published: runs `wake` if the shard sleeps and nobody else has woken it; returns whether.
    #[inline]
    pub fn wake(&self, wake: impl FnOnce()) -> bool {
        // ORDERING: pairs with the fence in `prepare_park`: the message is published before the flag is read.
        fence(Ordering::SeqCst);
        // Relaxed is enough behind the fence; a plain load first, because a swap would take the line from its owner.
        if !self.sleeping.load(Ordering::Relaxed) {
            return false;
        }
        self.wake_sleeper(wake)
    }

    #[cold]
    fn wake_sleeper(&self, wake: impl FnOnce()) -> bool {
        // ORDERING: Acquire pairs with the Release store in `prepare_park`: what the shard stored to be woken by is
        // there. Release pairs with the swap in `cancel_park`. A loser writes nothing: a late "awake" of its own could
        // otherwise stand after the next announcement.
        let won = self.sleeping.compare_exchange(true, false, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if won {
            wake();
        }
        won
    }

    /// Shard, about to park: announces the sleep, then re-checks; `true` means park now.
    ///
    /// What `wake` will need (a stored waker) must be in place before. `any_work` must look at every lane into this
    /// shard: all rings and the inbox.
    #[inline]
    pub fn prepare_park(&self, any_work: impl FnOnce() -> bool) -> bool {
        // ORDERING: pairs with the exchange in `wake`.
        self.sleeping.store(true, Ordering::Release);
        // ORDERING: pairs with the fence in `wake`: the flag is set before the lanes are read.
        fence(Ordering::SeqCst);
        if any_work() {
            self.cancel_park();
            return false;
        }
        true
    }

    /// Shard, awake for whatever reason: takes the announcement back; `true` if no sender had taken it.
    ///
    /// After `false` a wake-up is on its way or has come; the shard sees one too many, never one too few.
    #[inline]
    pub fn cancel_park(&self) -> bool {
        // ORDERING: pairs with the exchange in `wake`. An exchange here too, so that announcements and wakes stand in
        // one line: with a plain store a sender's wake and this could be ordered either way.
        self.sleeping.swap(false, Ordering::AcqRel)
    }

    /// Whether the shard has announced that it sleeps; a hint for metrics.
    #[must_use]
    pub fn is_sleeping(&self) -> bool {
        self.sleeping.load(Ordering::Relaxed)
    }

    /// Pump, before it yields with work left: from now on, not running is a fault that a watcher may see.
    #[inline]
    pub fn set_wants_run(&self) {
        self.set_mark(1);
    }

    /// Pump, when it runs again.
    #[inline]
    pub fn clear_wants_run(&self) {
        self.set_mark(0);
    }

    #[inline]
    fn set_mark(&self, parity: u32) {
        // Only the owner writes, so no read-modify-write; nothing is read on the strength of the mark, so relaxed.
        let mark = self.mark.load(Ordering::Relaxed);
        if mark & 1 != parity {
            self.mark.store(mark.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Any thread: the mark now.
    #[must_use]
    pub fn run_mark(&self) -> RunMark {
        RunMark(self.mark.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::Sleep;

    #[test]
    fn one_wake_per_park() {
        let sleep = Sleep::new();
        let mut wakes = 0;
        assert!(!sleep.wake(|| wakes += 1), "awake");
        assert!(!sleep.prepare_park(|| true), "work came in");
        assert!(!sleep.is_sleeping() && !sleep.wake(|| wakes += 1));
        assert!(sleep.prepare_park(|| false));
        assert!(sleep.wake(|| wakes += 1));
        assert!(!sleep.wake(|| wakes += 1), "the second sender pays nothing");
        assert_eq!(wakes, 1);
        assert!(sleep.prepare_park(|| false));
        assert!(sleep.cancel_park() && !sleep.cancel_park());
        assert!(!sleep.wake(|| wakes += 1));
    }

    #[test]
    fn the_run_mark_tells_a_stuck_pump_from_a_busy_one() {
        let sleep = Sleep::new();
        assert!(!sleep.run_mark().wants_run());
        sleep.set_wants_run();
        let seen = sleep.run_mark();
        sleep.set_wants_run();
        assert!(seen.wants_run() && sleep.run_mark() == seen, "did not run in between");
        sleep.clear_wants_run();
        sleep.clear_wants_run();
        assert!(!sleep.run_mark().wants_run());
        sleep.set_wants_run();
        assert!(sleep.run_mark().wants_run() && sleep.run_mark() != seen, "ran in between");
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom_tests {
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::Sleep;
    use crate::ring::spsc::channel;

    /// A lost wake-up is a deadlock, which loom reports.
    #[test]
    fn loom_wake_is_never_lost_behind_a_ring() {
        crate::sync::model(|| {
            let (mut tx, mut rx) = channel::<u32>(2);
            let sleep = Arc::new(Sleep::new());
            let parker = Arc::new(Notify::new());
            let (their_sleep, unparker) = (Arc::clone(&sleep), Arc::clone(&parker));
            let producer = thread::spawn(move || {
                for value in 0..2 {
                    tx.push(value).unwrap();
                    tx.publish();
                    their_sleep.wake(|| unparker.notify());
                }
            });
            let mut taken = 0;
            while taken < 2 {
                let fresh = rx.drain(8, |value| assert!(value < 2));
                taken += fresh as u32;
                if fresh == 0 && sleep.prepare_park(|| !rx.is_empty()) {
                    parker.wait();
                    sleep.cancel_park();
                }
            }
            producer.join().unwrap();
        });
    }

    #[test]
    fn loom_wake_is_paid_by_one_of_two_senders() {
        crate::sync::model(|| {
            let (mut tx, mut rx) = channel::<u32>(2);
            let (mut other_tx, mut other_rx) = channel::<u32>(2);
            let sleep = Arc::new(Sleep::new());
            let parker = Arc::new(Notify::new());
            let spawn = |sleep: &Arc<Sleep>, parker: &Arc<Notify>, send: Box<dyn FnOnce() + Send>| {
                let (sleep, parker) = (Arc::clone(sleep), Arc::clone(parker));
                thread::spawn(move || {
                    send();
                    u32::from(sleep.wake(|| parker.notify()))
                })
            };
            let first = spawn(
                &sleep,
                &parker,
                Box::new(move || {
                    tx.push(1).unwrap();
                    tx.publish();
                }),
            );
            let second = spawn(
                &sleep,
                &parker,
                Box::new(move || {
                    other_tx.push(1).unwrap();
                    other_tx.publish();
                }),
            );
            let (mut taken, mut announced) = (0, 0);
            while taken < 2 {
                let fresh = rx.drain(8, |_| ()) + other_rx.drain(8, |_| ());
                taken += fresh;
                if fresh == 0 {
                    announced += 1;
                    if sleep.prepare_park(|| !(rx.is_empty() && other_rx.is_empty())) {
                        parker.wait();
                        sleep.cancel_park();
                    }
                }
            }
            let wakes = first.join().unwrap() + second.join().unwrap();
            assert!(wakes <= announced, "no announcement is answered twice");
        });
    }
}
