//! One test, two reactors: a simulated node on a virtual clock, and a real one on io_uring.

use shard_runtime::prelude::*;
use shard_runtime::{
    Addressed, CallError, Down, Event, EventError, EventFacts, EventStart, EventStop, ExitSignal, Fallback,
    LinkError, LogLevel, Message, ProcessFacts, ProcessStats, Response, SendError, ShardCounters, Simulation,
    SpawnError, Topic,
};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long a real node may take to reach a condition.
const DEADLINE: Duration = Duration::from_secs(20);

/// A node under test.
pub(crate) enum World {
    Simulated(Box<Simulation>),
    Real(Node),
}

impl World {
    pub(crate) fn simulated(shards: u16) -> Self {
        Self::Simulated(Box::new(Simulation::new("core@localhost", shards, 11).unwrap()))
    }

    pub(crate) fn real(shards: u16) -> Self {
        let node = Node::builder("core@localhost").shards(shards).log_level(LogLevel::Panic);
        Self::Real(node.start().unwrap())
    }

    /// Starts a process; on the simulation its `init` has run, or waits, when this returns.
    pub(crate) fn spawn<A: shard_runtime::Actor>(
        &mut self,
        shard: u16,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        match self {
            Self::Simulated(sim) => {
                let pid = sim.spawn(shard, factory, &options);
                sim.run();
                pid
            }
            Self::Real(node) => node.spawn(factory, options.on_shard(shard)),
        }
    }

    /// Starts a process and waits until it is up: for those whose factory goes to another thread.
    pub(crate) fn start<A: shard_runtime::Actor>(
        &mut self,
        shard: u16,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        let options = options.on_shard(shard);
        match self {
            Self::Simulated(sim) => sim.spawn_wait(factory, &options),
            Self::Real(node) => node.spawn(factory, options),
        }
    }

    /// Starts a puppet on a thread of its own.
    pub(crate) fn dedicated(&mut self, shard: u16, options: SpawnOptions) -> (Pid, Reports) {
        let (tell, reports) = channel();
        let puppet = move || Puppet { tell, note: String::new() };
        (self.start(shard, puppet, options.dedicated_thread()).unwrap(), Reports(reports))
    }

    /// Starts a puppet that reports to the receiver.
    pub(crate) fn puppet(&mut self, shard: u16, options: SpawnOptions) -> (Pid, Reports) {
        let (tell, reports) = channel();
        let pid = self.spawn(shard, move || Puppet { tell, note: String::new() }, options).unwrap();
        (pid, Reports(reports))
    }

    pub(crate) fn send<M: Message>(
        &mut self,
        to: impl shard_runtime::Address,
        message: M,
    ) -> Result<(), SendError<M>> {
        match self {
            Self::Simulated(sim) => {
                let sent = sim.send(to, message);
                sim.run();
                sent
            }
            Self::Real(node) => node.send(to, message),
        }
    }

    pub(crate) fn call<M: Message>(&mut self, to: Pid, request: M) -> Result<M::Reply, CallError> {
        match self {
            Self::Simulated(sim) => sim.call(to, request),
            Self::Real(node) => node.call_blocking(to, request),
        }
    }

    /// Runs something inside a puppet and returns what it says.
    pub(crate) fn run(
        &mut self,
        puppet: Pid,
        act: impl FnOnce(&mut Context<'_>) -> String + Send + 'static,
    ) -> String {
        self.call(puppet, Act(Box::new(act))).unwrap()
    }

    /// The same with something that awaits.
    pub(crate) fn run_async(
        &mut self,
        puppet: Pid,
        act: impl for<'a> FnOnce(&'a mut Context<'_>) -> Pin<Box<dyn Future<Output = String> + 'a>>
        + Send
        + 'static,
    ) -> Result<String, CallError> {
        self.call(puppet, ActAsync(Box::new(act)))
    }

    pub(crate) fn exit(&mut self, pid: Pid, reason: ExitReason) -> Result<(), LinkError> {
        match self {
            Self::Simulated(sim) => sim.exit(pid, reason),
            Self::Real(node) => node.exit(pid, reason),
        }
    }

    pub(crate) fn kill(&mut self, pid: Pid) {
        match self {
            Self::Simulated(sim) => sim.kill(pid),
            Self::Real(node) => node.kill(pid),
        }
    }

    pub(crate) fn cancel_waits(&mut self, pid: Pid) {
        match self {
            Self::Simulated(sim) => {
                sim.cancel_waits(pid);
            }
            Self::Real(node) => node.cancel_waits(pid),
        }
    }

    /// What a process reports about itself.
    pub(crate) fn inspect(&mut self, pid: Pid) -> Vec<(String, String)> {
        match self {
            Self::Simulated(sim) => sim.inspect(pid).unwrap(),
            Self::Real(node) => node.inspect_blocking(pid, Vec::new(), DEADLINE).unwrap(),
        }
    }

    /// Lets time pass: on the virtual clock at once, on a real node by waiting for what is to come.
    pub(crate) fn pass(&mut self, time: Duration) {
        if let Self::Simulated(sim) = self {
            sim.advance(time);
        }
    }

    /// Waits for a condition.
    #[expect(clippy::disallowed_methods, reason = "a deadline of a test is wall time")]
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_so(self) {
            match self {
                Self::Simulated(sim) => sim.advance(Duration::from_millis(10)),
                Self::Real(_) => std::thread::yield_now(),
            }
            assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        }
    }

    pub(crate) fn process(&self, pid: Pid) -> Option<ProcessStats> {
        match self {
            Self::Simulated(sim) => sim.process(pid),
            Self::Real(node) => node.stats().process(pid.local),
        }
    }

    /// Suspends a puppet's handler in a call that nobody answers, so that its mailbox fills; `cancel_waits` lets it go on.
    pub(crate) fn hold(&mut self, target: Pid) {
        let (gate, _) = self.puppet(0, SpawnOptions::new());
        let wait = ActAsync(Box::new(move |cx| {
            Box::pin(async move {
                format!("{:?}", cx.call_timeout(gate, Never, Duration::from_secs(1_000_000)).await)
            })
        }));
        self.send(target, wait).unwrap();
        self.until("it is held", |world| world.facts(target).awaited == 1);
    }

    pub(crate) fn until_gone(&mut self, pid: Pid) {
        self.until("the process is gone", |world| world.process(pid).is_none());
    }

    pub(crate) fn whereis(&self, name: &str) -> Option<Pid> {
        match self {
            Self::Simulated(sim) => sim.whereis(name),
            Self::Real(node) => node.whereis(name),
        }
    }

    pub(crate) fn facts(&mut self, pid: Pid) -> ProcessFacts {
        match self {
            Self::Simulated(sim) => sim.facts(pid).unwrap(),
            Self::Real(node) => node.facts_blocking(pid, DEADLINE).unwrap(),
        }
    }

    /// The events that processes of the node have registered.
    pub(crate) fn events(&self) -> Vec<EventFacts> {
        let mut events = match self {
            Self::Simulated(sim) => sim.events(),
            Self::Real(node) => node.stats().events(),
        };
        events.retain(|event| &*event.name != "core");
        events
    }

    /// Publishes from outside.
    pub(crate) fn publish(&mut self, topic: &Topic<Note>, note: u32) -> Result<(), EventError> {
        match self {
            Self::Simulated(sim) => {
                let published = sim.publish(topic, Note(note));
                sim.run();
                published
            }
            Self::Real(node) => node.publish(topic, Note(note)),
        }
    }

    /// Counters, summed over the shards.
    pub(crate) fn counters(&self) -> ShardCounters {
        match self {
            Self::Simulated(sim) => sim.counters(),
            Self::Real(node) => node.stats().node().counters,
        }
    }
}

/// What a puppet has reported.
pub(crate) struct Reports(Receiver<String>);

impl Reports {
    pub(crate) fn of(reports: Receiver<String>) -> Self {
        Self(reports)
    }

    /// The next report.
    pub(crate) fn next(&self, world: &mut World) -> String {
        let mut found = None;
        world.until("a report", |_| {
            found = self.0.try_recv().ok();
            found.is_some()
        });
        found.unwrap()
    }

    /// All reports so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.try_iter().collect()
    }
}

type Action = Box<dyn FnOnce(&mut Context<'_>) -> String + Send>;
type AsyncAction =
    Box<dyn for<'a> FnOnce(&'a mut Context<'_>) -> Pin<Box<dyn Future<Output = String> + 'a>> + Send>;

#[message(local, reply = String)]
pub(crate) struct Act(pub(crate) Action);
#[message(local, reply = String)]
pub(crate) struct ActAsync(pub(crate) AsyncAction);
/// Reported as it comes.
#[message(local)]
#[derive(Clone)]
pub(crate) struct Note(pub(crate) u32);
/// Larger than what an envelope holds.
#[message(local)]
pub(crate) struct Large(pub(crate) [u64; 9]);
#[message(local, reply = u32)]
pub(crate) struct Double(pub(crate) u32);
/// Never answered while the puppet lives.
#[message(local, reply = u32)]
pub(crate) struct Never;
#[message(local)]
pub(crate) struct Fail(pub(crate) &'static str);
#[message(local)]
pub(crate) struct Panic;
#[message(local)]
pub(crate) struct Stop;

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("custom {0}")]
pub(crate) struct Custom(pub(crate) &'static str);

/// Does what it is told and reports what it gets.
pub(crate) struct Puppet {
    pub(crate) tell: Sender<String>,
    pub(crate) note: String,
}

#[actor]
impl Puppet {
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        self.report(format!("terminate {reason}"));
    }
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    async fn act_async(&mut self, m: ActAsync, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx).await)
    }
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("note {}", m.0));
        Ok(())
    }
    #[handle]
    fn event(&mut self, m: Event<Note>, cx: &mut Context<'_>) -> ActorResult {
        assert_eq!(m.publisher(), cx.sender(), "who publishes is the sender");
        self.report(format!("{} #{} note {}", m.name(), m.sequence(), m.0));
        Ok(())
    }
    #[handle]
    fn event_start(&mut self, m: EventStart, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("start {}", m.name));
        Ok(())
    }
    #[handle]
    fn event_stop(&mut self, m: EventStop, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("stop {}", m.name));
        Ok(())
    }
    #[handle]
    fn large(&mut self, m: Large, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("large {}", m.0[8]));
        Ok(())
    }
    #[handle]
    fn addressed(&mut self, m: Addressed<Note>, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("note {} by {}", m.message.0, short(&m.by)));
        Ok(())
    }
    #[handle]
    fn addressed_call(&mut self, m: Addressed<Double>, _cx: &mut Context<'_>) -> Result<u32, ActorError> {
        self.report(format!("double {} by {}", m.message.0, short(&m.by)));
        Ok(m.message.0 * 2)
    }
    #[handle]
    fn double(&mut self, m: Double, cx: &mut Context<'_>) -> Result<u32, ActorError> {
        self.note = cx.sender().to_string();
        Ok(m.0 * 2)
    }
    #[handle]
    async fn never(&mut self, _: Never, cx: &mut Context<'_>) -> Result<u32, ActorError> {
        cx.sleep(Duration::from_secs(1_000_000)).await;
        Ok(0)
    }
    #[handle]
    fn fail(&mut self, m: Fail, _cx: &mut Context<'_>) -> ActorResult {
        Err(Custom(m.0).into())
    }
    #[handle]
    fn panic(&mut self, _: Panic, _cx: &mut Context<'_>) -> ActorResult {
        panic!("told to")
    }
    #[handle]
    fn stop(&mut self, _: Stop, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
    #[handle]
    fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("down {} {}", short(&m.target), m.reason));
        Ok(())
    }
    #[handle]
    fn exit_signal(&mut self, m: ExitSignal, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("exit {} {}", short(&m.source), m.reason));
        Ok(())
    }
    #[handle]
    fn fallback(&mut self, m: Fallback, cx: &mut Context<'_>) -> ActorResult {
        let note = m.message.downcast::<Note>().map(|note| note.0).ok();
        self.report(format!("fallback {} {note:?} from {}", m.tag, cx.sender() == cx.core()));
        Ok(())
    }
    #[handle]
    fn response(&mut self, m: Response<Double>, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("response {} {:?}", m.label, m.result));
        Ok(())
    }
    #[handle]
    fn no_response(&mut self, m: Response<Never>, _cx: &mut Context<'_>) -> ActorResult {
        self.report(format!("response {} {:?}", m.label, m.result));
        Ok(())
    }
    fn inspect(&self, out: &mut Inspect) {
        out.set("note", &self.note);
    }
}

impl Puppet {
    fn report(&self, text: String) {
        let _nobody_listens = self.tell.send(text);
    }
}

/// A target without what differs between runs.
pub(crate) fn short(target: &shard_runtime::Target) -> String {
    use shard_runtime::Target;
    match target {
        Target::Pid(_) => "pid".into(),
        Target::Alias(_) => "alias".into(),
        Target::Name(name) => format!("name {name}"),
        Target::Event(name) => format!("event {name}"),
        Target::Node(name) => format!("node {name}"),
        _ => "?".into(),
    }
}

/// Writes each test twice: on the simulation with one shard and with two, and on a real node with two.
macro_rules! both {
    ($($(#[$meta:meta])* fn $name:ident($world:ident, $other:ident) $body:block)*) => {
        $(mod $name {
            use super::*;

            fn body(mut world: World, other_shard: u16) {
                let ($world, $other) = (&mut world, other_shard);
                $body
            }

            #[test]
            fn on_one_simulated_shard() {
                body(World::simulated(1), 0);
            }

            #[test]
            fn on_two_simulated_shards() {
                body(World::simulated(2), 1);
            }

            #[test]
            fn on_a_real_node() {
                body(World::real(2), 1);
            }
        })*
    };
}
pub(crate) use both;
