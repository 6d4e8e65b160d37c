//! The log: what is kept, who gets it, what is lost and counted.

use crate::world::{Note, Panic, Reports, World, both};
use shard_runtime::prelude::*;
use shard_runtime::wire::NodeName;
use shard_runtime::{
    AppSpec, Application, LogError, LogLevel, LogLevels, LogRecord, LogSink, LogSource, LoggerFacts,
    MemorySink, Simulation,
};
use std::fmt::{Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Both kinds of nodes have these.
trait Logging {
    fn add(&self, name: &str, sink: impl LogSink + 'static, levels: LogLevels) -> Result<(), LogError>;
    fn add_process(&self, pid: Pid, name: &str, levels: LogLevels) -> Result<(), LogError>;
    fn delete(&self, name: &str) -> Result<(), LogError>;
    fn loggers(&self) -> Vec<LoggerFacts>;
    fn node_level(&self, level: LogLevel);
    fn process_level(&self, pid: Pid, level: Option<LogLevel>) -> Result<(), LogError>;
    fn log_counts(&self) -> [u64; 6];
}

macro_rules! forward {
    ($world:ident, $node:ident => $action:expr) => {
        match $world {
            World::Simulated($node) => $action,
            World::Real($node) => $action,
        }
    };
}

impl Logging for World {
    fn add(&self, name: &str, sink: impl LogSink + 'static, levels: LogLevels) -> Result<(), LogError> {
        forward!(self, node => node.logger_add(name, sink, levels))
    }
    fn add_process(&self, pid: Pid, name: &str, levels: LogLevels) -> Result<(), LogError> {
        forward!(self, node => node.logger_add_process(pid, name, levels))
    }
    fn delete(&self, name: &str) -> Result<(), LogError> {
        forward!(self, node => node.logger_delete(name))
    }
    fn loggers(&self) -> Vec<LoggerFacts> {
        forward!(self, node => node.loggers())
    }
    fn node_level(&self, level: LogLevel) {
        forward!(self, node => node.set_node_log_level(level));
    }
    fn process_level(&self, pid: Pid, level: Option<LogLevel>) -> Result<(), LogError> {
        forward!(self, node => node.set_process_log_level(pid, level))
    }
    fn log_counts(&self) -> [u64; 6] {
        self.counters().log
    }
}

/// Adds a logger that keeps what it gets.
fn memory(world: &World, name: &str, levels: LogLevels) -> MemorySink {
    let memory = MemorySink::new(1000);
    world.add(name, memory.clone(), levels).unwrap();
    memory
}

fn texts(memory: &MemorySink) -> Vec<String> {
    memory.records().iter().map(|record| format!("{} {}", record.level.name(), record.text)).collect()
}

/// Waits until a logger has so many records, and returns them.
fn wait(world: &mut World, memory: &MemorySink, count: usize) -> Vec<String> {
    world.until("the lines are written", |_| memory.records().len() >= count);
    texts(memory)
}

fn say_all(world: &mut World, pid: Pid) {
    world.run(pid, |cx| {
        let log = cx.log();
        log.trace("t");
        log.debug("d");
        log.info("i");
        log.warning("w");
        log.error("e");
        String::new()
    });
}

/// Counts how often it is formatted.
struct Costly(Arc<AtomicU32>);

impl Display for Costly {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.fetch_add(1, Ordering::Relaxed);
        f.write_str("costly")
    }
}

/// A logger that is a process.
struct Clerk(Sender<String>);

#[actor]
impl Clerk {
    #[handle]
    fn record(&mut self, m: LogRecord, cx: &mut Context<'_>) -> ActorResult {
        // What it logs would come back without end.
        cx.log().error("a line of the logger");
        self.0.send(format!("{} {}", m.level.name(), m.text)).unwrap();
        Ok(())
    }
    #[handle]
    fn note(&mut self, _: Note, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

fn next(world: &mut World, told: &Receiver<String>) -> String {
    let mut found = None;
    world.until("a record", |_| {
        found = told.try_recv().ok();
        found.is_some()
    });
    found.unwrap()
}

both! {
    fn levels_of_node_application_and_process_decide_before_arguments_are_formatted(world, other) {
        let all = memory(world, "all", LogLevels::ALL);
        let (pid, _) = world.puppet(other, SpawnOptions::new());
        let (own, _) = world.puppet(0, SpawnOptions::new().with_log_level(LogLevel::Trace));
        world.node_level(LogLevel::Warning);
        say_all(world, pid);
        assert_eq!(wait(world, &all, 2), ["warning w", "error e"]);
        say_all(world, own);
        let lines = wait(world, &all, 7);
        assert_eq!(lines[2..], ["trace t", "debug d", "info i", "warning w", "error e"]);
        // From outside, by the process itself, and back to the node's.
        world.process_level(pid, Some(LogLevel::Error)).unwrap();
        say_all(world, pid);
        assert_eq!(wait(world, &all, 8)[7..], ["error e"]);
        let said = world.run(pid, |cx| {
            cx.set_log_level(Some(LogLevel::Disabled));
            cx.log().error("mute");
            format!("{}", cx.log().is_on(LogLevel::Panic))
        });
        assert_eq!(said, "false");
        let counted = Arc::new(AtomicU32::new(0));
        let costly = Arc::clone(&counted);
        world.run(pid, move |cx| {
            cx.log().error(Costly(Arc::clone(&costly)));
            cx.log().with("key", Costly(costly)).error("mute");
            cx.set_log_level(None);
            cx.log().warning("back");
            String::new()
        });
        assert_eq!(wait(world, &all, 9)[8..], ["warning back"]);
        assert_eq!(counted.load(Ordering::Relaxed), 0, "what is not kept is not formatted");
        world.node_level(LogLevel::Disabled);
        say_all(world, pid);
        world.node_level(LogLevel::Error);
        say_all(world, pid);
        assert_eq!(wait(world, &all, 10)[9..], ["error e"]);
        world.until("all are counted", |world| world.log_counts() == [1, 1, 1, 3, 4, 0]);
        let gone = Pid { local: shard_runtime::wire::LocalId(1 << 33 | 5), ..pid };
        assert_eq!(world.process_level(gone, None), Err(LogError::NoProcess));
    }

    fn a_line_names_its_source_and_carries_fields(world, other) {
        let all = memory(world, "all", LogLevels::ALL);
        let (named, _) = world.puppet(other, SpawnOptions::named("shop").with_log_level(LogLevel::Info));
        let long = "x".repeat(5000);
        let text = long.clone();
        world.run(named, move |cx| {
            cx.log().with("order", 7).with("by", "me").info(format_args!("sold {}", 3));
            cx.log().info(text);
            String::new()
        });
        wait(world, &all, 2);
        let records = all.records();
        let LogSource::Process { pid, name, behavior } = &records[0].source else { panic!("{records:?}") };
        assert_eq!((*pid, name.as_deref(), records[0].pid), (named, Some("shop"), Some(named)));
        assert!(behavior.ends_with("Puppet"), "{behavior}");
        assert_eq!(records[0].text, "sold 3");
        assert_eq!(records[0].fields, [("order", "7".to_owned()), ("by", "me".to_owned())]);
        assert_eq!(records[1].text, long);
    }

    fn loggers_come_and_go_by_name_and_get_their_levels(world, other) {
        let (pid, _) = world.puppet(other, SpawnOptions::new().with_log_level(LogLevel::Trace));
        let high = memory(world, "high", LogLevels::from(LogLevel::Warning));
        let some = memory(world, "some", LogLevels::only(&[LogLevel::Debug, LogLevel::Error]));
        let taken = world.add("high", MemorySink::new(1), LogLevels::ALL);
        assert_eq!(taken, Err(LogError::Taken));
        assert_eq!(world.add("", MemorySink::new(1), LogLevels::ALL), Err(LogError::BadName));
        let names: Vec<_> = world.loggers().iter().map(|logger| logger.name.to_string()).collect();
        assert_eq!(names, ["default", "high", "some"]);
        say_all(world, pid);
        assert_eq!(wait(world, &high, 2), ["warning w", "error e"]);
        assert_eq!(wait(world, &some, 2), ["debug d", "error e"]);
        assert_eq!((world.delete("high"), world.delete("high")), (Ok(()), Err(LogError::Unknown)));
        let again = memory(world, "high", LogLevels::ALL);
        say_all(world, pid);
        assert_eq!(wait(world, &again, 5).len(), 5);
        assert_eq!(texts(&high).len(), 2, "a removed logger gets nothing");
    }

    fn a_hidden_logger_gets_what_is_bound_to_it(world, other) {
        let (pid, _) = world.puppet(other, SpawnOptions::new().with_log_level(LogLevel::Info));
        let all = memory(world, "all", LogLevels::ALL);
        let hidden = memory(world, ".audit", LogLevels::ALL);
        let unknown = world.run(pid, |cx| format!("{:?}", cx.set_logger(Some(".other"))));
        assert_eq!(unknown, "Err(Unknown)");
        world.run(pid, |cx| {
            cx.log().info("to all");
            cx.set_logger(Some(".audit")).unwrap();
            cx.log().info("to one");
            cx.set_logger(None).unwrap();
            cx.log().info("to all again");
            String::new()
        });
        assert_eq!(wait(world, &hidden, 1), ["info to one"]);
        assert_eq!(wait(world, &all, 2), ["info to all", "info to all again"]);
    }

    fn a_process_is_a_logger_until_it_ends_and_hears_nothing_of_itself(world, other) {
        let (tell, told) = channel();
        let clerk = world.spawn(other, move || Clerk(tell), SpawnOptions::new()).unwrap();
        let (pid, _) = world.puppet(0, SpawnOptions::new().with_log_level(LogLevel::Info));
        world.add_process(clerk, "clerk", LogLevels::from(LogLevel::Warning)).unwrap();
        assert_eq!(world.add_process(clerk, "again", LogLevels::ALL), Err(LogError::AlreadyLogger));
        assert_eq!(world.add_process(pid, "clerk", LogLevels::ALL), Err(LogError::Taken));
        // Its level is set by a message to its shard, which comes before any record.
        say_all(world, pid);
        assert_eq!((next(world, &told), next(world, &told)), ("warning w".into(), "error e".into()));
        say_all(world, pid);
        assert_eq!((next(world, &told), next(world, &told)), ("warning w".into(), "error e".into()));
        world.send(clerk, Note(0)).unwrap();
        world.until_gone(clerk);
        assert!(world.loggers().iter().all(|logger| &*logger.name != "clerk"));
        say_all(world, pid);
        memory(world, "clerk", LogLevels::ALL);
        assert_eq!(world.add_process(clerk, "late", LogLevels::ALL), Err(LogError::NoProcess));
    }

    fn a_panic_and_an_abnormal_end_are_lines_of_the_node(world, other) {
        let all = memory(world, "all", LogLevels::ALL);
        let (pid, _) = world.puppet(other, SpawnOptions::named("shop").with_log_level(LogLevel::Disabled));
        world.send(pid, Panic).unwrap();
        let lines = wait(world, &all, 1);
        assert!(lines[0].starts_with("panic ") && lines[0].contains("told to"), "{lines:?}");
    }
}

/// Waits in its first record until it is let go.
struct Stuck {
    go: Receiver<()>,
    held: Arc<AtomicBool>,
    #[expect(clippy::disallowed_types, reason = "between the log thread and the test")]
    seen: Arc<std::sync::Mutex<Vec<LogLevel>>>,
}

impl LogSink for Stuck {
    fn write(&mut self, _: &NodeName, record: &LogRecord) {
        self.seen.lock().unwrap().push(record.level);
        if !self.held.swap(true, Ordering::Relaxed) {
            self.go.recv_timeout(LIMIT).unwrap();
        }
    }
}

#[test]
fn a_slow_logger_loses_lines_by_level_and_keeps_room_for_errors() {
    let (let_go, go) = channel();
    let (held, seen) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let sink = Stuck { go, held: Arc::clone(&held), seen: Arc::clone(&seen) };
    let sim = Simulation::with_log("log@localhost", 1, 1, LogLevel::Info, Box::new(sink)).unwrap();
    let mut world = World::Simulated(Box::new(sim));
    let (pid, _): (Pid, Reports) = world.puppet(0, SpawnOptions::new());
    world.run(pid, |cx| {
        cx.log().info("first");
        String::new()
    });
    world.until("the logger is stuck", |_| held.load(Ordering::Relaxed));
    world.run(pid, |cx| {
        for _ in 0..5000 {
            cx.log().info("many");
        }
        for _ in 0..100 {
            cx.log().error("some");
        }
        String::new()
    });
    let World::Simulated(sim) = &world else { unreachable!() };
    let lost = sim.stats().log_lost_by_level();
    assert!(lost[LogLevel::Info as usize] > 2000, "{lost:?}");
    assert_eq!(lost[LogLevel::Error as usize], 0, "errors have a part of their own");
    assert_eq!(sim.counters().log, [0, 0, 5001, 0, 100, 0]);
    let_go.send(()).unwrap();
    assert!(sim.flush_log(LIMIT));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|level| **level == LogLevel::Error).count(), 100);
    assert_eq!(seen.len() as u64, 5101 - lost[LogLevel::Info as usize]);
}

#[test]
fn a_deleted_logger_gets_what_was_said_before_and_nothing_else_however_late_the_log_thread_is() {
    let (let_go, go) = channel();
    let held = Arc::new(AtomicBool::new(false));
    let sink = Stuck { go, held: Arc::clone(&held), seen: Arc::default() };
    let sim = Simulation::with_log("log@localhost", 1, 1, LogLevel::Info, Box::new(sink)).unwrap();
    let mut world = World::Simulated(Box::new(sim));
    let (pid, _) = world.puppet(0, SpawnOptions::new());
    let say = |world: &mut World, line: &'static str| {
        world.run(pid, move |cx| {
            cx.log().info(line);
            String::new()
        });
    };
    say(&mut world, "first");
    world.until("the logger is stuck", |_| held.load(Ordering::Relaxed));
    let old = memory(&world, "same", LogLevels::ALL);
    say(&mut world, "before");
    world.delete("same").unwrap();
    let new = memory(&world, "same", LogLevels::ALL);
    say(&mut world, "after");
    let_go.send(()).unwrap();
    let World::Simulated(sim) = &world else { unreachable!() };
    assert!(sim.flush_log(LIMIT));
    assert_eq!(texts(&old).last().unwrap(), "info before");
    assert_eq!(texts(&new).last().unwrap(), "info after");
}

/// Panics at its first record.
struct Fragile;

impl LogSink for Fragile {
    fn write(&mut self, _: &NodeName, _: &LogRecord) {
        panic!("told to");
    }
}

#[test]
fn a_logger_that_panics_is_removed_and_the_others_go_on() {
    let memory = MemorySink::new(10);
    let sim = Simulation::with_log("log@localhost", 1, 1, LogLevel::Info, Box::new(Fragile)).unwrap();
    sim.logger_add("memory", memory.clone(), LogLevels::ALL).unwrap();
    let mut world = World::Simulated(Box::new(sim));
    let (pid, _) = world.puppet(0, SpawnOptions::new());
    say_all(&mut world, pid);
    assert_eq!(wait(&mut world, &memory, 3), ["info i", "warning w", "error e"]);
    let names: Vec<_> = world.loggers().iter().map(|logger| logger.name.to_string()).collect();
    assert_eq!(names, ["memory"]);
}

#[test]
fn a_stop_waits_for_the_last_lines() {
    let memory = MemorySink::new(5000);
    let node = Node::builder("log@localhost").shards(2).log_sink(memory.clone()).start().unwrap();
    for line in 0..1000 {
        node.log(LogLevel::Info, format_args!("line {line}"));
    }
    node.log(LogLevel::Disabled, "no such level");
    node.stop();
    let lines: Vec<_> =
        memory.records().into_iter().filter(|record| record.text.starts_with("line")).collect();
    assert_eq!(lines.len(), 1000);
    assert!(lines.iter().enumerate().all(|(index, record)| record.text == format!("line {index}")));
}

/// Says one line of each kind at its start.
#[derive(Default)]
struct Clark;

#[actor]
impl Clark {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.log().info("too quiet for its application");
        cx.log().warning("open");
        Ok(())
    }
}

struct Desk;

impl Application for Desk {
    fn name(&self) -> &'static str {
        "desk"
    }

    fn spec(&self) -> AppSpec {
        AppSpec::new().member(Clark::default, SpawnOptions::new()).log_level(LogLevel::Warning)
    }
}

#[test]
fn the_specification_of_an_application_has_a_level_and_its_course_is_a_source() {
    let memory = MemorySink::new(100);
    let log = Box::new(memory.clone());
    let mut sim = Simulation::with_log("log@localhost", 1, 1, LogLevel::Info, log).unwrap();
    sim.load_app(Desk).unwrap();
    sim.start_app("desk").unwrap();
    assert!(sim.flush_log(LIMIT));
    // The process and the application write on queues of their own, which have no order.
    let mut records = memory.records();
    records.sort_by(|left, right| left.text.cmp(&right.text));
    let said: Vec<_> = records.iter().map(|record| &*record.text).collect();
    assert_eq!(said, ["application desk runs (temporary)", "open"]);
    assert_eq!(records[0].source, LogSource::Application { name: "desk".into() });
    sim.set_application_log_level("desk", Some(LogLevel::Info)).unwrap();
    sim.stop_app("desk").unwrap();
    sim.start_app("desk").unwrap();
    assert!(sim.flush_log(LIMIT));
    assert!(texts(&memory).contains(&"info too quiet for its application".to_owned()));
}

#[test]
fn an_application_has_a_level_for_its_processes() {
    let sim = Simulation::new("log@localhost", 1, 1).unwrap();
    let name = "x".repeat(5000);
    assert_eq!(sim.set_application_log_level(&name, None), Err(LogError::BadName));
    assert_eq!(sim.set_application_log_level("shop", Some(LogLevel::Debug)), Ok(()));
    assert_eq!(sim.set_application_log_level("shop", None), Ok(()));
}
