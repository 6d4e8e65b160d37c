//! Levels and loggers, set at run time.

use crate::actor::Context;
use crate::error::LogError;
use crate::mailbox::Meta;
use crate::names::MAX_NAME_BYTES;
use crate::node::Node;
use crate::reactor::sim::Simulation;
use crate::shard::{Inbound, LogLevel, Shard};
use crate::shared::NodeShared;
use crate::tap::log::LogTap;
use crate::tap::thread::{Command, Logger, LoggerCell};
use crate::tap::{LogLevels, LogRecord, LogSink, LoggerFacts};
use shard_wire::{NodeName, Pid};
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::{Arc, Weak};

/// Loggers of one node.
const MAX_LOGGERS: usize = 64;

/// A process as a logger: records arrive in its Log queue, or are lost.
struct ProcessSink {
    node: Weak<NodeShared>,
    cell: Arc<LoggerCell>,
    pid: Pid,
}

impl LogSink for ProcessSink {
    fn write(&mut self, _: &NodeName, record: &LogRecord) {
        let Some(node) = self.node.upgrade() else { return };
        if node.post_outside(None, self.pid, record.clone(), Meta::LOG).is_err() {
            self.cell.lost.fetch_add(1, Relaxed);
        }
    }
}

impl LogTap {
    fn add(&self, name: &str, levels: LogLevels, process: Option<Pid>) -> Result<Arc<LoggerCell>, LogError> {
        // LIMIT: length of a name.
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(LogError::BadName);
        }
        let loggers = self.core().loggers.pin();
        // A process that has ended does not keep its name.
        loggers.retain(|_, cell| cell.process.is_none_or(|pid| self.lives(pid)));
        // LIMIT: loggers of a node.
        if loggers.len() >= MAX_LOGGERS {
            return Err(LogError::Limit);
        }
        if process.is_some() && loggers.values().any(|cell| cell.process == process) {
            return Err(LogError::AlreadyLogger);
        }
        let cell = Arc::new(LoggerCell::new(name, levels, process));
        match loggers.try_insert(Arc::clone(&cell.name), Arc::clone(&cell)) {
            Ok(_) => Ok(cell),
            Err(_) => Err(LogError::Taken),
        }
    }

    pub(crate) fn add_logger(
        &self,
        name: &str,
        sink: Box<dyn LogSink>,
        levels: LogLevels,
    ) -> Result<(), LogError> {
        let cell = self.add(name, levels, None)?;
        self.command(Command::Add(Logger { cell, sink }));
        Ok(())
    }

    fn add_process(
        &self,
        node: &Arc<NodeShared>,
        pid: Pid,
        name: &str,
        levels: LogLevels,
    ) -> Result<(), LogError> {
        if !self.lives(pid) {
            return Err(LogError::NoProcess);
        }
        let cell = self.add(name, levels, Some(pid))?;
        // What it logs itself would come back to it.
        if let Err(error) = set_process_level(node, pid, Some(LogLevel::Disabled)) {
            self.core().loggers.pin().remove(name);
            return Err(error);
        }
        let sink = Box::new(ProcessSink { node: Arc::downgrade(node), cell: Arc::clone(&cell), pid });
        self.command(Command::Add(Logger { cell, sink }));
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), LogError> {
        let cell = self.core().loggers.pin().remove(name).cloned().ok_or(LogError::Unknown)?;
        let core = self.core();
        // ORDERING: Release pairs with the load of who queues a record afterwards.
        cell.end.store(core.deletions.fetch_add(1, AcqRel) + 1, Release);
        self.command(Command::Delete(cell));
        Ok(())
    }

    /// All loggers, by name.
    pub(crate) fn facts(&self) -> Vec<LoggerFacts> {
        let loggers = self.core().loggers.pin();
        let cells = loggers.values().filter(|cell| cell.process.is_none_or(|pid| self.lives(pid)));
        let mut facts: Vec<_> = cells
            .map(|cell| LoggerFacts {
                name: Arc::clone(&cell.name),
                levels: cell.levels,
                process: cell.process,
                lost: cell.lost.load(Relaxed),
            })
            .collect();
        facts.sort_by(|left, right| left.name.cmp(&right.name));
        facts
    }

    fn knows(&self, name: &str) -> bool {
        self.core().loggers.pin().contains_key(name)
    }
}

fn set_process_level(node: &NodeShared, pid: Pid, level: Option<LogLevel>) -> Result<(), LogError> {
    let port =
        node.port(pid.local.shard()).filter(|port| pid.node == node.key() && port.table.exists(pid.local.0));
    let port = port.ok_or(LogError::NoProcess)?;
    let task = Box::new(move |shard: &Shard| shard.set_log_level(pid.local.0, level));
    port.post_reserved(Inbound::Task(task)).map_err(|_| LogError::Overloaded)
}

macro_rules! loggers {
    ($owner:ty, $node:ident $(, $lifetime:lifetime)?) => {
        impl $owner {
            /// Adds a logger: it gets the records of these levels from here on. One whose name begins with `.` gets only what
            /// is bound to it by [`Context::set_logger`](crate::Context::set_logger).
            ///
            /// # Errors
            /// The name is taken or not usable.
            pub fn logger_add(
                &self,
                name: &str,
                sink: impl LogSink + 'static,
                levels: LogLevels,
            ) -> Result<(), LogError> {
                self.$node().log().add_logger(name, Box::new(sink), levels)
            }

            /// Adds a process as a logger: it gets [`LogRecord`]s in its Log queue. What its mailbox does not take is lost and
            /// counted. Its own level becomes `Disabled`. It is removed when it ends.
            ///
            /// # Errors
            /// The name is taken or not usable, the process is a logger already, or there is none.
            pub fn logger_add_process(
                &self,
                pid: Pid,
                name: &str,
                levels: LogLevels,
            ) -> Result<(), LogError> {
                let node = self.$node();
                node.log().add_process(node, pid, name, levels)
            }

            /// Removes a logger, once it has written what was logged before.
            ///
            /// # Errors
            /// There is none of this name.
            pub fn logger_delete(&self, name: &str) -> Result<(), LogError> {
                self.$node().log().delete(name)
            }

            /// The loggers, by name.
            #[must_use]
            pub fn loggers(&self) -> Vec<LoggerFacts> {
                self.$node().log().facts()
            }

            /// Sets the node's level: that of its own lines, and of processes that have no other.
            pub fn set_node_log_level(&self, level: LogLevel) {
                self.$node().log().set_level(level);
            }

            /// Sets the level of a process of this node; `None`: that of its application or node. Of a process that has a
            /// thread of its own it is set by itself only.
            ///
            /// # Errors
            /// There is no such process, or its shard takes no more tasks.
            pub fn set_process_log_level(&self, pid: Pid, level: Option<LogLevel>) -> Result<(), LogError> {
                set_process_level(self.$node(), pid, level)
            }

            /// Sets the level of the processes of an application that have none of their own, until it is unloaded; `None`: that
            /// of the node.
            ///
            /// # Errors
            /// The name is too long, or the node holds as many names as it can.
            pub fn set_application_log_level(
                &self,
                application: &str,
                level: Option<LogLevel>,
            ) -> Result<(), LogError> {
                let symbol = self.$node().symbols().intern(application).map_err(|_| LogError::BadName)?;
                self.$node().log().set_application_level(symbol.0, level);
                Ok(())
            }
        }
    };
}

loggers!(Node, shared);
loggers!(Simulation, shared);
loggers!(Context<'_>, node);

impl Context<'_> {
    fn node(&self) -> &Arc<NodeShared> {
        self.shard().node()
    }

    /// Sets the level of this process; `None`: that of its application or node.
    pub fn set_log_level(&self, level: Option<LogLevel>) {
        self.shard().set_log_level(self.shard().current_id(), level);
    }

    /// Sends the lines of this process to one logger only; `None`: to all that are not hidden.
    ///
    /// # Errors
    /// There is no logger of this name.
    pub fn set_logger(&self, name: Option<&str>) -> Result<(), LogError> {
        let symbol = match name {
            None => 0,
            Some(name) if self.node().log().knows(name) => {
                self.node().symbols().intern(name).map_err(|_| LogError::BadName)?.0
            }
            Some(_) => return Err(LogError::Unknown),
        };
        self.shard().set_logger(symbol);
        Ok(())
    }
}
