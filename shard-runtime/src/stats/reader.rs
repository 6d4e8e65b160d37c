//! Reads the shared memory of a node's shards.
//!
//! Invariants: V1 a reader touches atomics only and writes nothing. V2 a process is reported only if its id was the same
//! before and after its fields were read, so a reused slot never mixes two processes. V3 counters may be of slightly
//! different moments; `taken` is read before `pushed`, so a depth is never negative.
//! Cost: two cache lines per slot ever used; a sweep asks no shard anything and works while all of them are stuck.

use crate::app::AppInfo;
use crate::cron::{CronFacts, CronSchedule};
use crate::event::EventFacts;
use crate::mailbox::Meta;
use crate::process::{Env, Flags, Published};
use crate::shard::{LogLevel, Port, ShardCounters};
use crate::shared::NodeShared;
use crate::symbol::Symbol;
use crate::tap::LoggerFacts;
use shard_wire::{IncarnationKey, LocalId, NodeCrc, Pid};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;
use std::time::{Duration, SystemTime};

/// State of a process, as in Ergo.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProcessState {
    /// `init` has not finished.
    Init,
    /// Nothing to do.
    Sleep,
    /// In a handler, or about to be.
    Running,
    /// A handler waits for the reply of a call.
    WaitResponse,
    /// `terminate` runs.
    Terminated,
    /// Killed, but its handler has not returned.
    Zombee,
}

impl ProcessState {
    /// The state's name, as tools show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Sleep => "sleep",
            Self::Running => "running",
            Self::WaitResponse => "wait response",
            Self::Terminated => "terminated",
            Self::Zombee => "zombee",
        }
    }
}

/// One process at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessStats {
    /// Which.
    pub id: LocalId,
    /// Who spawned it.
    pub parent: LocalId,
    /// Its group's leader.
    pub leader: LocalId,
    /// Symbol of its registered name; 0 for none. See [`Reader::symbol`].
    pub name: u32,
    /// Symbol of its application; 0 for none.
    pub application: u32,
    /// Its actor type.
    pub behavior: &'static str,
    /// What kind of behaviour that is: `actor`, `supervisor`, `pool`, `router`.
    pub kind: &'static str,
    /// State.
    pub state: ProcessState,
    /// Nanoseconds in this state.
    pub state_ns: u64,
    /// Messages that entered its mailbox.
    pub messages_in: u64,
    /// Messages it sent.
    pub messages_out: u64,
    /// Messages in its four queues now.
    pub mailbox: u64,
    /// Messages in Main now.
    pub mailbox_main: u64,
    /// Age of its oldest queued message, in nanoseconds; 0 if none.
    pub mailbox_latency_ns: u64,
    /// Nanoseconds in handlers, the one in progress included.
    pub running_ns: u64,
    /// Nanoseconds the handler in progress has been on the stack; 0 if none.
    pub callback_ns: u64,
    /// Activations.
    pub wakeups: u64,
    /// Nanoseconds since its spawn.
    pub uptime_ns: u64,
    /// Nanoseconds from its spawn to the end of `init`; 0 without one.
    pub init_ns: u64,
    /// Sum over handled messages of the nanoseconds they waited.
    pub waited_ns: u64,
    /// The least level of its log lines: its own, or that of its application or node.
    pub log_level: LogLevel,
}

/// One shard at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardStats {
    /// Index.
    pub index: u16,
    /// Counters and gauges.
    pub counters: ShardCounters,
    /// The process whose handler is on the stack.
    pub current: Option<LocalId>,
    /// Nanoseconds that handler has been there.
    pub current_ns: u64,
    /// Nanoseconds since the last turn of the pump; for a parked shard that is how long it sleeps.
    pub turn_age_ns: u64,
    /// Whether it is parked.
    pub is_parked: bool,
    /// Nanoseconds spent on turns with work.
    pub busy_ns: u64,
    /// Items in its inbox.
    pub inbox: u64,
    /// Items its inbox refused because it was full.
    pub inbox_refused: u64,
}

impl ShardStats {
    /// Nanoseconds since the shard last showed a sign of life, a park being one.
    #[must_use]
    pub fn heartbeat_age_ns(&self) -> u64 {
        if self.is_parked && self.current.is_none() { 0 } else { self.turn_age_ns }
    }
}

/// Sums over a node's shards.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NodeStats {
    /// Counters and gauges, summed.
    pub counters: ShardCounters,
    /// Registered names.
    pub names: u64,
    /// Registered events.
    pub events: u64,
    /// Log records by level, those of the node itself included.
    pub log: [u64; 6],
    /// Log records lost because the log queue was full.
    pub log_lost: u64,
    /// Items refused by full inboxes without a sender to tell.
    pub inbox_refused: u64,
}

/// Reads one node.
#[derive(Clone, Debug)]
pub struct Reader {
    node: Arc<NodeShared>,
}

impl Reader {
    pub(crate) fn new(node: Arc<NodeShared>) -> Self {
        Self { node }
    }

    pub(super) fn shared(&self) -> &NodeShared {
        &self.node
    }

    /// One process.
    #[must_use]
    pub fn process(&self, id: LocalId) -> Option<ProcessStats> {
        let shard = id.shard();
        let found = self.read_slot(shard, id.slot(), self.now())?;
        (found.id == id).then_some(found)
    }

    /// Every process of the node, shard by shard in slot order, until `each` answers `false`.
    pub fn processes(&self, mut each: impl FnMut(&ProcessStats) -> bool) {
        for shard in 0..self.node.shards() {
            let Some(port) = self.node.port(shard) else { continue };
            let now = self.now();
            for slot in crate::process::FIRST_SLOT..port.table.high() {
                if let Some(process) = self.read_slot(shard, slot, now)
                    && !each(&process)
                {
                    return;
                }
            }
        }
    }

    fn now(&self) -> u64 {
        self.node.clock().ticks()
    }

    fn ns(&self, ticks: u64) -> u64 {
        self.node.clock().span_ns(ticks)
    }

    fn read_slot(&self, shard: u16, slot: u32, now: u64) -> Option<ProcessStats> {
        let port = self.node.port(shard)?;
        let published = port.table.published(slot);
        let (record, identity) = (published.record, published.identity);
        // ORDERING: pairs with the Release store of the id in `Shard::start`.
        let id = record.id.load(Acquire);
        if id as u32 != slot || slot == 0 {
            return None;
        }
        let behavior = record.behavior()?;
        let flags = record.flags.load(Relaxed);
        let is_killed = identity.signal.is_set(id);
        let is_dedicated = flags & Flags::DEDICATED != 0;
        // Where it runs, its counters are: on its shard, or in the annex of its own thread.
        let annex = if is_dedicated { self.annex_of(id, record.annex()) } else { None };
        let there = annex.unwrap_or(port);
        let (counters, waiting) = match annex {
            Some(annex) => (annex.table.published(slot), annex.inbox.len() as u64),
            None => (published, 0),
        };
        let activity = Activity::read(there, &counters, id, now);
        let state = match (is_dedicated, annex) {
            (false, _) => state_of(flags, is_killed, activity.is_current),
            (true, None) if flags & Flags::TERMINATED != 0 => ProcessState::Terminated,
            (true, None) => ProcessState::Init,
            (true, Some(_)) => activity.state_in_annex(flags, is_killed),
        };
        let main = activity.main + waiting;
        let mailbox = main + activity.other;
        let callback = activity.callback;
        let stats = ProcessStats {
            id: LocalId(id),
            parent: LocalId(identity.parent.load(Relaxed)),
            leader: LocalId(identity.leader.load(Relaxed)),
            name: identity.name.load(Relaxed),
            application: identity.application.load(Relaxed),
            behavior,
            kind: record.kind(),
            state,
            state_ns: self.ns(if callback > 0 { callback } else { now.saturating_sub(activity.last) }),
            messages_in: activity.entered + waiting,
            messages_out: activity.out,
            mailbox,
            mailbox_main: main,
            mailbox_latency_ns: if activity.main + activity.other == 0 {
                0
            } else {
                self.ns(age_of_stamp(now, activity.oldest))
            },
            running_ns: self.ns(activity.run + callback),
            callback_ns: self.ns(callback),
            wakeups: activity.wakeups,
            uptime_ns: self.ns(now.saturating_sub(identity.born.load(Relaxed))),
            init_ns: self.ns(activity.init),
            waited_ns: self.ns(activity.latency),
            log_level: Flags::level_of(activity.flags)
                .unwrap_or_else(|| self.node.log().level_of(|| identity.application.load(Relaxed))),
        };
        // ORDERING: the fields above before the second look at the id (V2).
        fence(Acquire);
        (record.id.load(Relaxed) == id).then_some(stats)
    }

    /// The annex where a process is now.
    fn annex_of(&self, id: u64, index: u16) -> Option<&Port> {
        let port = self.node.port(index)?;
        // ORDERING: pairs with the Release store of the id in `Shard::move_in`.
        (port.table.published(id as u32).record.id.load(Acquire) == id).then_some(port)
    }

    /// The text of a symbol.
    #[must_use]
    pub fn symbol(&self, symbol: u32) -> &str {
        self.node.symbols().text(Symbol(symbol)).unwrap_or("")
    }

    /// The process that holds a name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Pid> {
        self.node.lookup(name)
    }

    /// Every shard.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardStats> {
        self.node
            .ports()
            .iter()
            .enumerate()
            .map(|(index, port)| {
                let now = self.now();
                let counters = port.counters();
                let current = (counters.current != 0).then_some(LocalId(counters.current));
                ShardStats {
                    index: index as u16,
                    current,
                    current_ns: if current.is_some() {
                        self.ns(now.saturating_sub(counters.current_since))
                    } else {
                        0
                    },
                    turn_age_ns: self.ns(now.saturating_sub(counters.last_turn)),
                    is_parked: port.sleep().is_sleeping(),
                    busy_ns: self.ns(counters.busy),
                    inbox: port.inbox.len() as u64,
                    inbox_refused: port.inbox.refused_total(),
                    counters,
                }
            })
            .collect()
    }

    /// Sums over the shards.
    #[must_use]
    pub fn node(&self) -> NodeStats {
        let mut sum = NodeStats::default();
        for port in self.node.ports().iter().chain(self.node.annexes().ports()) {
            sum.counters.add(&port.counters());
        }
        let log = self.node.log();
        sum.log = std::array::from_fn(|level| sum.counters.log[level] + log.count(LogLevel::ALL[level]));
        sum.log_lost = log.lost();
        sum.names = self.node.names().len() as u64;
        sum.events = self.node.events().len() as u64;
        sum.inbox_refused = self.node.inbox_refused();
        sum.counters.policy_dropped += self.node.outside_dropped();
        sum.counters.send_errors_local += self.node.outside_refused();
        sum
    }

    /// The events of this node, by name.
    #[must_use]
    pub fn events(&self) -> Vec<EventFacts> {
        self.node.events().facts()
    }

    /// The loaded applications, by name.
    #[must_use]
    pub fn apps(&self) -> Vec<AppInfo> {
        self.node.apps().infos(|since| self.ns(self.now().saturating_sub(since)))
    }

    /// One application.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<AppInfo> {
        self.node.apps().info(name, |since| self.ns(self.now().saturating_sub(since)))
    }

    /// How many applications are loaded, and how many of those run.
    #[must_use]
    pub fn app_totals(&self) -> (u64, u64) {
        self.node.apps().totals()
    }

    /// Processes that belong to an application, `limit` at most, shard by shard.
    #[must_use]
    pub fn app_processes(&self, name: &str, limit: usize) -> Vec<ProcessStats> {
        let mut found = Vec::new();
        let Some(symbol) = self.node.symbols().find(name).filter(|symbol| symbol.0 != 0) else {
            return found;
        };
        self.processes(|process| {
            if process.application == symbol.0 && found.len() < limit {
                found.push(process.clone());
            }
            found.len() < limit
        });
        found
    }

    /// The node's version, as its builder was told.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.node.plan().version
    }

    /// Whether tools may show values of environments that are not secret.
    #[must_use]
    pub fn exposes_env(&self) -> bool {
        self.node.plan().expose_env
    }

    /// The node's environment.
    #[must_use]
    pub fn env(&self) -> &Env {
        self.node.env()
    }

    /// The cron jobs of this node.
    #[must_use]
    pub fn cron(&self) -> CronFacts {
        self.node.cron().facts()
    }

    /// What cron runs after `since`, within `span`, at most `limit` times; of one job, if it is named.
    #[must_use]
    pub fn cron_schedule(
        &self,
        since: SystemTime,
        span: Duration,
        limit: usize,
        job: Option<&str>,
    ) -> CronSchedule {
        self.node.cron().schedule(since, span, limit, job)
    }

    /// Messages of threads outside any shard that the policy of a full mailbox dropped. [`NodeStats`] includes them,
    /// [`ShardStats`] does not.
    #[must_use]
    pub fn outside_dropped(&self) -> u64 {
        self.node.outside_dropped()
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.node.name()
    }

    /// The hash of the node's name that short pids begin with.
    #[must_use]
    pub fn crc(&self) -> NodeCrc {
        self.node.crc()
    }

    /// The key of this incarnation of the node.
    #[must_use]
    pub fn key(&self) -> IncarnationKey {
        self.node.key()
    }

    /// The lowest level that the node logs.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        self.node.log().level()
    }

    /// The loggers of this node, by name.
    #[must_use]
    pub fn loggers(&self) -> Vec<LoggerFacts> {
        self.node.log().facts()
    }

    /// Records of the log that found no room, by level.
    #[must_use]
    pub fn log_lost_by_level(&self) -> [u64; 6] {
        LogLevel::ALL.map(|level| self.node.log().lost_of(level))
    }

    /// Whether the node's stop has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.node.is_stopping()
    }

    /// Ticks as nanoseconds.
    #[must_use]
    pub fn nanos(&self, ticks: u64) -> u64 {
        self.ns(ticks)
    }

    /// Nanoseconds since the node started.
    #[must_use]
    pub fn uptime_ns(&self) -> u64 {
        self.ns(self.now().saturating_sub(self.node.started()))
    }
}

/// Ticks since a message's stamp, which holds the low 56 bits of the clock: that is a year or so of ticks.
fn age_of_stamp(now: u64, stamp: u64) -> u64 {
    let age = (now.wrapping_sub(stamp) << Meta::BITS).cast_signed() >> Meta::BITS;
    age.max(0).cast_unsigned()
}

/// What a process does, where it runs.
struct Activity {
    main: u64,
    other: u64,
    entered: u64,
    flags: u32,
    is_current: bool,
    callback: u64,
    last: u64,
    out: u64,
    oldest: u64,
    run: u64,
    wakeups: u64,
    latency: u64,
    init: u64,
}

impl Activity {
    fn read(port: &Port, published: &Published<'_>, id: u64, now: u64) -> Self {
        let (record, identity) = (published.record, published.identity);
        let (taken, other_taken) = (record.taken.load(Relaxed), identity.other_taken.load(Relaxed));
        // ORDERING: `taken` before `pushed` (V3).
        fence(Acquire);
        let (pushed, other_in) = (record.pushed.load(Relaxed), identity.other_in.load(Relaxed));
        let (current, since) = (port.cells.current.load(Relaxed), port.cells.current_since.load(Relaxed));
        let is_current = current == id;
        Self {
            main: pushed.saturating_sub(taken),
            other: other_in.saturating_sub(other_taken),
            entered: pushed + other_in,
            flags: record.flags.load(Relaxed),
            is_current,
            callback: if is_current { now.saturating_sub(since) } else { 0 },
            last: record.last.load(Relaxed),
            out: record.out.load(Relaxed),
            oldest: record.oldest.load(Relaxed),
            run: record.run.load(Relaxed),
            wakeups: record.wakeups.load(Relaxed),
            latency: record.latency.load(Relaxed),
            init: identity.init.load(Relaxed),
        }
    }

    /// The state of a process in an annex, with the flags of its record on the home shard.
    fn state_in_annex(&self, at_home: u32, is_killed: bool) -> ProcessState {
        let is_inside = self.is_current && self.flags & Flags::TERMINATED == 0;
        if at_home & Flags::TERMINATED == 0 {
            state_of(self.flags, is_killed, self.is_current)
        } else if is_inside {
            // It has ended for everybody but its thread.
            ProcessState::Zombee
        } else {
            ProcessState::Terminated
        }
    }
}

fn state_of(flags: u32, is_killed: bool, is_current: bool) -> ProcessState {
    let running = flags & Flags::RUNNING != 0;
    if flags & Flags::TERMINATED != 0 {
        ProcessState::Terminated
    } else if is_killed && running {
        ProcessState::Zombee
    } else if flags & Flags::START != 0 {
        ProcessState::Init
    } else if running || is_current {
        ProcessState::Running
    } else if flags & Flags::CALLING != 0 {
        ProcessState::WaitResponse
    } else if flags & Flags::QUEUED != 0 {
        ProcessState::Running
    } else {
        ProcessState::Sleep
    }
}

#[cfg(test)]
mod tests {
    use super::age_of_stamp;

    #[test]
    fn an_age_survives_the_wrap_of_a_stamp() {
        let stamp = |ticks: u64| ticks & (u64::MAX >> 8);
        for now in [1_000, 1 << 52, (1 << 56) + 5, u64::MAX - 1] {
            assert_eq!(age_of_stamp(now, stamp(now - 700)), 700);
            assert_eq!(age_of_stamp(now, stamp(now.wrapping_add(3))), 0, "a later stamp has no age");
        }
    }
}
