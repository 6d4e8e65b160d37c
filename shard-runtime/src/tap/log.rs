//! The node's end of the log: levels, counters, and bounded queues between those who write and the log thread.
//!
//! Invariants: L1 nobody waits for the log: a full queue loses the record and counts it by level; errors and panics have a
//! reserved part. L2 a record is counted by level after the level filter and before the queue. L3 the arguments of a line
//! that is filtered are not looked at.
//! Threads: a queue for each shard, so that shards do not meet, and one for all others; the log thread takes.
//! Cost: a filtered line costs two loads; a kept one is formatted into the record, without an allocation up to 200 bytes and
//! without fields, and wakes the log thread if it sleeps.

use crate::clock::Clock;
use crate::shard::LogLevel;
use crate::shared::NodeShared;
use crate::tap::entry::{Entry, Text, Writer};
use crate::tap::thread::{Command, Logger, LoggerCell};
use crate::tap::{LogLevels, LogSink};
use crossbeam_queue::{ArrayQueue, SegQueue};
use shard_wire::{NodeName, Pid};
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::Duration;

/// Records of one writer's queue.
const QUEUE: usize = 2048;
/// More of them for errors and panics.
const RESERVED: usize = 256;
/// Name of the logger that a node has from its start.
pub(crate) const DEFAULT_LOGGER: &str = "default";

/// The queue of one shard, or of all other threads.
#[derive(Debug)]
pub(super) struct Lane {
    main: ArrayQueue<Entry>,
    reserved: ArrayQueue<Entry>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("text", &self.text.as_str()).finish_non_exhaustive()
    }
}

impl Lane {
    fn new() -> Self {
        Self { main: ArrayQueue::new(QUEUE), reserved: ArrayQueue::new(RESERVED) }
    }

    pub(super) fn pop(&self) -> Option<Entry> {
        self.main.pop().or_else(|| self.reserved.pop())
    }

    /// Records it can hold.
    pub(super) fn capacity(&self) -> usize {
        self.main.capacity() + self.reserved.capacity()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.main.is_empty() && self.reserved.is_empty()
    }
}

/// What writers and the log thread share.
#[derive(Debug)]
pub(crate) struct LogCore {
    pub(super) name: NodeName,
    pub(super) clock: Clock,
    /// The first one is that of all threads that are not shards.
    pub(super) lanes: Box<[Lane]>,
    pub(super) commands: SegQueue<Command>,
    pub(super) is_asleep: AtomicBool,
    pub(super) is_closed: AtomicBool,
    /// Loggers that were deleted.
    pub(super) deletions: AtomicU32,
    pub(super) loggers: papaya::HashMap<Arc<str>, Arc<LoggerCell>>,
    pub(super) node: OnceLock<Weak<NodeShared>>,
    level: AtomicU8,
    /// Levels of applications, by their symbols.
    applications: papaya::HashMap<u32, LogLevel>,
    has_applications: AtomicBool,
    pub(super) lost: [AtomicU64; 6],
    /// Records of the node itself, by level; those of shards are in the shards' cells.
    counts: [AtomicU64; 6],
}

/// The node's end of the log. The log thread ends when it is dropped and what is queued is written.
#[derive(Debug)]
pub(crate) struct LogTap {
    core: Arc<LogCore>,
    thread: Thread,
}

impl LogTap {
    /// Starts the log thread.
    pub(crate) fn start(
        name: NodeName,
        level: LogLevel,
        sink: Box<dyn LogSink>,
        clock: Clock,
        shards: u16,
    ) -> std::io::Result<Self> {
        let core = Arc::new(LogCore {
            name,
            clock,
            lanes: (0..=shards).map(|_| Lane::new()).collect(),
            commands: SegQueue::new(),
            is_asleep: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            deletions: AtomicU32::new(0),
            loggers: papaya::HashMap::new(),
            node: OnceLock::new(),
            level: AtomicU8::new(level as u8),
            applications: papaya::HashMap::new(),
            has_applications: AtomicBool::new(false),
            lost: Default::default(),
            counts: Default::default(),
        });
        let cell = Arc::new(LoggerCell::new(DEFAULT_LOGGER, LogLevels::ALL, None));
        core.loggers.pin().insert(Arc::clone(&cell.name), Arc::clone(&cell));
        let shared = Arc::clone(&core);
        let thread = crate::reactor::spawn_thread("log", move || {
            super::thread::run(&shared, vec![Logger { cell, sink }]);
        })?;
        Ok(Self { core, thread: thread.thread().clone() })
    }

    /// Tells the log whose it is; done once, when the node is made.
    pub(crate) fn bind(&self, node: &Arc<NodeShared>) {
        // A second node with this log would be a mistake of ours; the first one keeps it.
        let _bound = self.core.node.set(Arc::downgrade(node));
    }

    pub(super) fn core(&self) -> &LogCore {
        &self.core
    }

    #[inline]
    pub(crate) fn is_on(&self, level: LogLevel) -> bool {
        level as u8 >= self.core.level.load(Relaxed) && level < LogLevel::Disabled
    }

    pub(crate) fn level(&self) -> LogLevel {
        LogLevel::from_u8(self.core.level.load(Relaxed))
    }

    pub(crate) fn set_level(&self, level: LogLevel) {
        self.core.level.store(level as u8, Relaxed);
    }

    /// Sets the level of an application's processes; `None` for the node's.
    pub(crate) fn set_application_level(&self, symbol: u32, level: Option<LogLevel>) {
        let applications = self.core.applications.pin();
        if let Some(level) = level {
            applications.insert(symbol, level);
        } else {
            applications.remove(&symbol);
        }
        self.core.has_applications.store(!applications.is_empty(), Relaxed);
    }

    /// The level of the processes of an application that have none of their own.
    #[inline]
    pub(crate) fn level_of(&self, application: impl FnOnce() -> u32) -> LogLevel {
        if self.core.has_applications.load(Relaxed)
            && let Some(level) = self.core.applications.pin().get(&application())
        {
            return *level;
        }
        self.level()
    }

    /// Records of all levels that found no room.
    pub(crate) fn lost(&self) -> u64 {
        self.core.lost.iter().map(|lost| lost.load(Relaxed)).sum()
    }

    pub(crate) fn lost_of(&self, level: LogLevel) -> u64 {
        self.core.lost.get(level as usize).map_or(0, |lost| lost.load(Relaxed))
    }

    pub(crate) fn count(&self, level: LogLevel) -> u64 {
        self.core.counts.get(level as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Queues a record of a shard, or of another thread; `at` in ticks.
    pub(crate) fn put(&self, shard: Option<u16>, mut entry: Entry) {
        let lane = shard.map_or(0, |shard| usize::from(shard) + 1);
        let Some(lane) = self.core.lanes.get(lane).or_else(|| self.core.lanes.first()) else { return };
        // ORDERING: Acquire pairs with the deletion: a logger that this count knows as deleted gets nothing of this.
        entry.deletions = self.core.deletions.load(Acquire);
        let level = entry.level;
        let refused = match lane.main.push(entry) {
            Err(entry) if level >= LogLevel::Error => lane.reserved.push(entry).err(),
            pushed => pushed.err(),
        };
        if refused.is_some() {
            // LIMIT: records of a queue.
            if let Some(lost) = self.core.lost.get(level as usize) {
                lost.fetch_add(1, Relaxed);
            }
        }
        self.wake();
    }

    fn wake(&self) {
        // ORDERING: sequentially consistent with the log thread's store and look: one of the two sees the other.
        std::sync::atomic::fence(SeqCst);
        if self.core.is_asleep.load(Relaxed) && self.core.is_asleep.swap(false, SeqCst) {
            self.thread.unpark();
        }
    }

    pub(super) fn command(&self, command: Command) {
        self.core.commands.push(command);
        self.wake();
    }

    /// A record of the node itself, from any thread.
    pub(crate) fn node(&self, level: LogLevel, text: impl FnOnce() -> String) {
        self.of(level, || Writer::Node, text);
    }

    /// A record of a part of the node, from any thread.
    pub(crate) fn of(&self, level: LogLevel, writer: impl FnOnce() -> Writer, text: impl FnOnce() -> String) {
        if self.is_on(level) {
            self.outside(level, writer(), text(), Vec::new());
        }
    }

    /// The same with a text that is formatted here.
    pub(crate) fn node_line(&self, level: LogLevel, text: impl Display) {
        self.outside(level, Writer::Node, text, Vec::new());
    }

    /// A record of no shard.
    pub(super) fn outside(
        &self,
        level: LogLevel,
        writer: Writer,
        text: impl Display,
        fields: Vec<(&'static str, String)>,
    ) {
        if let Some(count) = self.core.counts.get(level as usize).filter(|_| self.is_on(level)) {
            count.fetch_add(1, Relaxed);
            let mut line = entry(level, self.core.clock.ticks(), writer, text);
            line.fields = fields;
            self.put(None, line);
        }
    }

    /// Waits until all that was logged before is written and passed on, `within` at most; whether it was. Not on a shard.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        let (done, heard) = sync_channel(1);
        self.command(Command::Flush(done));
        heard.recv_timeout(within).is_ok()
    }

    /// Whether a process of this node lives.
    pub(crate) fn lives(&self, pid: Pid) -> bool {
        let node = self.core.node.get().and_then(Weak::upgrade);
        node.is_some_and(|node| {
            let port = node.port(pid.local.shard()).filter(|_| pid.node == node.key());
            port.is_some_and(|port| port.table.exists(pid.local.0))
        })
    }
}

impl Drop for LogTap {
    fn drop(&mut self) {
        self.core.is_closed.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// A record with its text.
pub(crate) fn entry(level: LogLevel, at: u64, writer: Writer, text: impl Display) -> Entry {
    let mut line = Text::default();
    // A `Display` that fails leaves what it has written.
    let _partly = write!(line, "{text}");
    Entry { level, at, writer, only: 0, deletions: 0, text: line, fields: Vec::new() }
}
