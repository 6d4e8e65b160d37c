//! Looks at the shards from outside: ends wrong parks, and says which shards are stuck in a callback.
//!
//! glommio 0.9 can park although a task is runnable: when its preempt timer fires between arming and the first task, as it
//! does on a machine whose CPUs are oversubscribed. Nothing but a foreign wake ends such a park.
//! Invariants: W1 a shard is woken if in two looks it was due to run, did not turn, and had no handler on its stack: a busy
//! shard is left alone. Due is a shard that has not announced that it sleeps, or whose deadline has passed. W2 with no shard
//! due it looks four times a second, else every few milliseconds. W3 a parked shard with data links is woken once a second:
//! whether its sockets are readable cannot be seen from outside. Cost: a few loads per shard and look.

use crate::shard::{LogLevel, Port, STALL_NS};
use crate::shared::NodeShared;
use shard_wire::session::Stall;
use shard_wire::{LocalId, Pid};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Between two looks while no shard waits to run.
const IDLE: Duration = Duration::from_millis(250);
/// Between two looks while one does.
const ALERT: Duration = Duration::from_millis(8);
/// After so many looks in vain, and again after as many, a signal ends the wait of the shard's thread: about 200 ms.
const NUDGE_EVERY: u32 = 25;
/// How late a parked shard's deadline may be served before that is a fault.
const LATE: Duration = Duration::from_millis(50);
/// A callback of this length is a stall.
const STALL: Duration = Duration::from_millis(500);
/// Between two corrections of the clock.
const RESYNC: Duration = Duration::from_secs(1);

/// The watchdog of one node.
#[derive(Debug)]
pub(super) struct Watchdog {
    node: Arc<NodeShared>,
    /// Turns of a shard that was due to run, and looks since it made the last one.
    seen: Vec<Option<(u64, u32)>>,
    stalls: Vec<Stall>,
    next_ns: u64,
    resync_ns: u64,
}

/// The number of turns of a shard that ought to be running now (W1).
fn due_to_run(port: &Port, now: u64, late: u64) -> Option<u64> {
    let cells = &port.cells;
    let until = cells.park_until.load(Relaxed);
    let is_overdue = until != 0 && now.saturating_sub(until) > late && now > until;
    let is_due = !port.sleep().is_sleeping() || is_overdue;
    (is_due && cells.current.load(Relaxed) == 0).then(|| cells.turns.load(Relaxed))
}

/// Waking a task did not help: it is the wait of the executor that does not end.
#[cold]
fn nudge(port: &Port) {
    // A thread that has not begun or has ended needs none; a program that has the signal for itself gets none.
    if crate::reactor::nudge::nudge(port.cells.thread.load(Relaxed)).is_ok() {
        port.cells.nudged.fetch_add(1, Relaxed);
    }
}

impl Watchdog {
    pub(super) fn new(node: Arc<NodeShared>) -> Self {
        let seen = vec![None; usize::from(node.shards())];
        Self { node, seen, stalls: Vec::new(), next_ns: 0, resync_ns: 0 }
    }

    /// When the next look is due.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Looks, if it is time to; whether it was.
    pub(super) fn look(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_ns {
            return false;
        }
        let mut alert = false;
        let clock = self.node.clock();
        let (now_ticks, late) = (clock.ticks(), clock.ticks_in(LATE.as_nanos() as u64));
        for (port, seen) in self.node.ports().iter().zip(&mut self.seen) {
            let Some(turns) = due_to_run(port, now_ticks, late) else {
                *seen = None;
                continue;
            };
            alert = true;
            let looks = match *seen {
                Some((before, looks)) if before == turns => looks + 1,
                _ => 0,
            };
            *seen = Some((turns, looks));
            if looks > 0 {
                port.rescue();
            }
            if looks > 0 && looks % NUDGE_EVERY == 0 {
                nudge(port);
            }
        }
        self.next_ns = now_ns + if alert { ALERT } else { IDLE }.as_nanos() as u64;
        self.find_stalls();
        if now_ns >= self.resync_ns {
            self.node.clock().resync();
            self.wake_readers();
            self.resync_ns = now_ns + RESYNC.as_nanos() as u64;
        }
        true
    }

    /// The shards that were stuck at the last look.
    pub(super) fn stalls(&self) -> &[Stall] {
        &self.stalls
    }

    /// Has shards that are parked look at their sockets (W3).
    fn wake_readers(&self) {
        for port in self.node.ports() {
            if port.cells.links.load(Relaxed) > 0 && port.sleep().is_sleeping() {
                port.rescue();
            }
        }
    }

    fn find_stalls(&mut self) {
        let clock = self.node.clock();
        let now = clock.ticks();
        self.stalls.clear();
        for (shard, port) in (0_u16..).zip(self.node.ports()) {
            let local = port.cells.current.load(Relaxed);
            let since = port.cells.current_since.load(Relaxed);
            // Another process may have begun between the two loads; the next look will tell.
            let stuck = Duration::from_nanos(clock.span_ns(now.saturating_sub(since)));
            if local != 0 && stuck.as_nanos() as u64 > STALL_NS && port.cells.current.load(Relaxed) == local {
                note_stall(&self.node, port, LocalId(local), since, stuck);
            }
            if local != 0 && stuck > STALL && port.cells.current.load(Relaxed) == local {
                let pid = Pid { node: self.node.key(), local: LocalId(local) };
                let stalled_ms = u32::try_from(stuck.as_millis()).unwrap_or(u32::MAX);
                self.stalls.push(Stall { shard, stalled_ms, pid });
            }
        }
    }
}

/// Says once that a callback holds a shard, while it does.
fn note_stall(node: &NodeShared, port: &Port, local: LocalId, since: u64, stuck: Duration) {
    if port.cells.stall_noted.swap(since, Relaxed) == since {
        return;
    }
    let record = port.table.published(local.slot()).record;
    let behavior = record.behavior().unwrap_or("-");
    let pid = Pid { node: node.key(), local };
    node.log().node(LogLevel::Warning, || {
        format!(
            "shard {} is held by {} ({behavior}) since {stuck:.1?}: nothing else runs there until it returns",
            local.shard(),
            pid.short(node.crc()),
        )
    });
}

#[cfg(test)]
mod tests {
    use super::{ALERT, IDLE, LATE, NUDGE_EVERY, RESYNC, STALL, Watchdog};
    use crate::clock::{Clock, VirtualClock};
    use crate::shard::{LogLevel, Port};
    use crate::shared::NodeShared;
    use crate::tap::{LogTap, StderrSink};
    use shard_wire::{Incarnation, LocalId, NodeName, Registry};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    /// A watchdog over two parked shards that nobody drives.
    fn parked() -> (Watchdog, VirtualClock, Arc<Port>, Arc<Port>) {
        let name = NodeName::new("a@localhost").unwrap();
        let port = || Arc::new(Port::reserve(16, 16).unwrap());
        let ports = vec![port(), port()].into_boxed_slice();
        let incarnation = Incarnation { start_nanos: 1, random: 1 };
        let (clock, hand) = Clock::new_virtual(1);
        let registry = Registry::collect().unwrap();
        let sink = Box::<StderrSink>::default();
        let log = LogTap::start(name.clone(), LogLevel::Error, sink, clock.clone(), 2).unwrap();
        let plan = crate::shared::NodePlan::default();
        let node = Arc::new(NodeShared::new(0, name, incarnation, ports, log, clock, registry, plan));
        for port in node.ports() {
            assert!(port.sleep().prepare_park(|| false));
        }
        let (first, second) = (node.port_arc(0).unwrap(), node.port_arc(1).unwrap());
        let mut watchdog = Watchdog::new(node);
        assert!(watchdog.look(0) && !watchdog.look(1));
        assert_eq!(watchdog.next_ns(), IDLE.as_nanos() as u64, "nobody is due to run");
        (watchdog, hand, first, second)
    }

    fn look(watchdog: &mut Watchdog) {
        assert!(watchdog.look(watchdog.next_ns()));
    }

    #[test]
    fn only_a_shard_that_did_not_turn_in_between_is_woken() {
        let (mut watchdog, _hand, stuck, busy) = parked();
        stuck.sleep().cancel_park();
        busy.sleep().cancel_park();
        let first = watchdog.next_ns();
        look(&mut watchdog);
        assert_eq!(watchdog.next_ns(), first + ALERT.as_nanos() as u64);
        assert!(!stuck.is_rescued() && !busy.is_rescued(), "one look proves nothing");
        busy.cells.turns.store(1, Relaxed);
        look(&mut watchdog);
        assert!(stuck.is_rescued() && !busy.is_rescued());
        stuck.cells.current.store(77, Relaxed);
        look(&mut watchdog);
        assert!(!stuck.is_rescued(), "a handler is on its stack");
    }

    #[test]
    fn a_shard_that_does_not_turn_for_long_gets_a_signal_and_a_busy_one_none() {
        let (mut watchdog, _hand, stuck, busy) = parked();
        for port in [&stuck, &busy] {
            port.sleep().cancel_park();
            // The handler does nothing, so this thread may get it.
            port.cells.thread.store(crate::reactor::nudge::thread_id(), Relaxed);
        }
        for look_at in 0..=2 * u64::from(NUDGE_EVERY) {
            busy.cells.turns.store(look_at + 1, Relaxed);
            look(&mut watchdog);
        }
        assert_eq!((stuck.cells.nudged.load(Relaxed), busy.cells.nudged.load(Relaxed)), (2, 0));
    }

    #[test]
    fn a_parked_shard_is_woken_when_its_deadline_has_passed_and_once_a_second_for_its_sockets() {
        let (mut watchdog, hand, late, linked) = parked();
        late.cells.park_until.store(1000, Relaxed);
        hand.advance(LATE.as_nanos() as u64);
        look(&mut watchdog);
        look(&mut watchdog);
        assert!(!late.is_rescued(), "it may be a little late");
        hand.advance(2000);
        look(&mut watchdog);
        look(&mut watchdog);
        assert!(late.is_rescued() && !linked.is_rescued());
        linked.cells.links.store(1, Relaxed);
        assert!(watchdog.look(RESYNC.as_nanos() as u64 + 1));
        assert!(linked.is_rescued());
        look(&mut watchdog);
        assert!(!linked.is_rescued(), "once a second");
    }

    #[test]
    fn only_a_long_callback_is_a_stall() {
        let (mut watchdog, hand, _, busy) = parked();
        busy.cells.current.store(77, Relaxed);
        busy.cells.current_since.store(1, Relaxed);
        hand.advance(STALL.as_nanos() as u64);
        look(&mut watchdog);
        assert_eq!(watchdog.stalls(), []);
        hand.advance(Duration::from_millis(1).as_nanos() as u64);
        look(&mut watchdog);
        let [stall] = watchdog.stalls() else { panic!("{:?}", watchdog.stalls()) };
        assert_eq!((stall.shard, stall.stalled_ms, stall.pid.local), (1, 501, LocalId(77)));
        busy.cells.current.store(0, Relaxed);
        look(&mut watchdog);
        assert_eq!(watchdog.stalls(), []);
    }
}
