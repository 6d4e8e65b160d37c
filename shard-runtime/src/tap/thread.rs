//! The log thread: takes records from the queues and gives them to the loggers.
//!
//! Invariants: H1 records of one queue are written in order, errors that took the reserved part after what was queued before.
//! H2 a logger that is added gets what is queued after that; one that is removed gets what was queued before and nothing
//! else; who waits for a flush waits for what was queued before. H3 a sink that panics is removed, and takes nothing with it.

use crate::shard::LogLevel;
use crate::symbol::Symbol;
use crate::tap::entry::{Entry, Writer};
use crate::tap::log::LogCore;
use crate::tap::{LogLevels, LogRecord, LogSink, LogSource};
use shard_wire::{LocalId, Pid};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// The thread looks again after this time, whatever it has heard.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of a logger outside the log thread.
#[derive(Debug)]
pub(crate) struct LoggerCell {
    pub(crate) name: Arc<str>,
    pub(crate) levels: LogLevels,
    pub(crate) process: Option<Pid>,
    pub(crate) lost: AtomicU64,
    /// The count of deletions that this one's made; it gets no record that was queued at or after it.
    pub(crate) end: AtomicU32,
}

impl LoggerCell {
    pub(crate) fn new(name: &str, levels: LogLevels, process: Option<Pid>) -> Self {
        Self { name: name.into(), levels, process, lost: AtomicU64::new(0), end: AtomicU32::new(u32::MAX) }
    }

    /// Whether it was deleted before a record was queued.
    fn had_ended(&self, deletions: u32) -> bool {
        // ORDERING: Acquire pairs with the store of the deletion, which comes before the record.
        deletions >= self.end.load(Acquire)
    }

    /// Gets only what is sent to it by name.
    fn is_hidden(&self) -> bool {
        self.name.starts_with('.')
    }
}

/// A logger.
pub(crate) struct Logger {
    pub(crate) cell: Arc<LoggerCell>,
    pub(crate) sink: Box<dyn LogSink>,
}

/// What the log thread is told.
pub(crate) enum Command {
    Add(Logger),
    Delete(Arc<LoggerCell>),
    Flush(SyncSender<()>),
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Add(_) => "Add",
            Self::Delete(_) => "Delete",
            Self::Flush(_) => "Flush",
        })
    }
}

/// Works until the node's end of the log is gone and everything is written.
pub(crate) fn run(core: &LogCore, mut loggers: Vec<Logger>) {
    let mut is_flushed = true;
    let mut later = Vec::new();
    loop {
        // ORDERING: Acquire pairs with the store in the tap's drop: what was queued before it is seen below.
        let is_closed = core.is_closed.load(Acquire);
        let mut worked = pass(core, &mut loggers, &mut later);
        let commands = std::mem::take(&mut later);
        if !commands.is_empty() {
            // H2: what was queued before them may have come after the look at its queue.
            pass(core, &mut loggers, &mut later);
            worked = true;
        }
        for command in commands {
            obey(core, &mut loggers, command);
        }
        if worked {
            is_flushed = false;
            continue;
        }
        if !is_flushed {
            flush(core, &mut loggers);
            is_flushed = true;
            continue;
        }
        if is_closed {
            return;
        }
        // ORDERING: sequentially consistent with the fence in `LogTap::wake`.
        core.is_asleep.store(true, SeqCst);
        std::sync::atomic::fence(SeqCst);
        if core.lanes.iter().all(|lane| lane.is_empty())
            && core.commands.is_empty()
            && !core.is_closed.load(SeqCst)
        {
            std::thread::park_timeout(LOOK);
        }
        core.is_asleep.store(false, SeqCst);
    }
}

/// Writes what is queued, a full queue at most of each; whether there was something.
fn pass(core: &LogCore, loggers: &mut Vec<Logger>, later: &mut Vec<Command>) -> bool {
    let mut worked = hear(core, loggers, later);
    for lane in &core.lanes {
        for _ in 0..lane.capacity() {
            let Some(entry) = lane.pop() else { break };
            // H2: a logger that was added before this record was queued gets it.
            hear(core, loggers, later);
            write(core, loggers, entry);
            worked = true;
        }
    }
    worked
}

/// Takes what the thread was told: loggers at once, the rest for later; whether there was something.
fn hear(core: &LogCore, loggers: &mut Vec<Logger>, later: &mut Vec<Command>) -> bool {
    let mut heard = false;
    while let Some(command) = core.commands.pop() {
        heard = true;
        match command {
            Command::Add(logger) => loggers.push(logger),
            command => later.push(command),
        }
    }
    heard
}

fn write(core: &LogCore, loggers: &mut Vec<Logger>, entry: Entry) {
    let node = core.node.get().and_then(Weak::upgrade);
    let text = |symbol: u32| node.as_ref().and_then(|node| node.symbols().text(Symbol(symbol)));
    let only = if entry.only == 0 { None } else { text(entry.only) };
    let (pid, source) = match entry.writer {
        Writer::Node => (None, LogSource::Node),
        Writer::Network { peer } => (None, LogSource::Network { peer }),
        Writer::Application { name } => (None, LogSource::Application { name }),
        Writer::Process { local, name, behavior } => {
            let key = node.as_ref().map_or(shard_wire::IncarnationKey(0), |node| node.key());
            let pid = Pid { node: key, local: LocalId(local) };
            let name = if name == 0 { None } else { text(name).map(Into::into) };
            (Some(pid), LogSource::Process { pid, name, behavior })
        }
    };
    let record = LogRecord {
        level: entry.level,
        time: core.clock.wall_at(entry.at),
        pid,
        source,
        text: entry.text.as_str().to_owned(),
        fields: entry.fields,
    };
    let deletions = entry.deletions;
    loggers.retain_mut(|logger| {
        let is_meant = !logger.cell.had_ended(deletions)
            && match only {
                Some(only) => *logger.cell.name == *only,
                None => !logger.cell.is_hidden(),
            };
        !is_meant || !logger.cell.levels.has(record.level) || give(core, logger, &record)
    });
}

/// Gives a record to a logger; `false` if the logger is no more.
fn give(core: &LogCore, logger: &mut Logger, record: &LogRecord) -> bool {
    let is_gone = logger.cell.process.is_some_and(|pid| {
        let node = core.node.get().and_then(Weak::upgrade);
        !node.is_some_and(|node| {
            node.port(pid.local.shard()).is_some_and(|port| port.table.exists(pid.local.0))
        })
    });
    if !is_gone && catch_unwind(AssertUnwindSafe(|| logger.sink.write(&core.name, record))).is_ok() {
        return true;
    }
    if !is_gone {
        logger.cell.lost.fetch_add(1, Relaxed);
        core.lost[record.level as usize % LogLevel::ALL.len()].fetch_add(1, Relaxed);
    }
    forget(core, &logger.cell);
    false
}

/// Frees a logger's name.
fn forget(core: &LogCore, cell: &Arc<LoggerCell>) {
    // Its name may have a new holder already.
    let _other = core.loggers.pin().remove_if(&cell.name, |_, current| Arc::ptr_eq(current, cell));
}

fn obey(core: &LogCore, loggers: &mut Vec<Logger>, command: Command) {
    match command {
        Command::Add(logger) => loggers.push(logger),
        Command::Delete(cell) => loggers.retain_mut(|logger| {
            let stays = !Arc::ptr_eq(&logger.cell, &cell);
            if !stays {
                // What it does at its end is its own.
                let _panicked = catch_unwind(AssertUnwindSafe(|| logger.sink.flush()));
            }
            stays
        }),
        Command::Flush(done) => {
            flush(core, loggers);
            // Who asked may have stopped waiting.
            let _unheard = done.try_send(());
        }
    }
}

fn flush(core: &LogCore, loggers: &mut Vec<Logger>) {
    loggers.retain_mut(|logger| {
        let lives = catch_unwind(AssertUnwindSafe(|| logger.sink.flush())).is_ok();
        if !lives {
            forget(core, &logger.cell);
        }
        lives
    });
}
