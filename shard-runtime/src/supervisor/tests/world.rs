//! An executor in which nothing happens by itself: starts, ends and timers happen when a test says so. It checks what must
//! hold of every action, and keeps the facts from which a model can say what should have come of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::super::{
    Action, ChildId, ChildSpec, Event, Machine, Outcome, Phase, Reason, Request, RequestId, Snapshot,
    SupervisorError, SupervisorSpec, SupervisorType, Token,
};

/// Why a process of these tests ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Normal,
    Shutdown,
    Kill,
    Boom(u8),
    Exceeded(u16, Duration, Box<Self>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Kill => f.write_str("kill"),
            Self::Boom(n) => write!(f, "boom{n}"),
            Self::Exceeded(limit, period, cause) => write!(f, "exceeded({limit} in {period:?}: {cause})"),
        }
    }
}

impl Reason for Why {
    fn is_ordinary(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown)
    }

    fn shutdown() -> Self {
        Self::Shutdown
    }

    fn exceeded(limit: u16, period: Duration, cause: Self) -> Self {
        Self::Exceeded(limit, period, Box::new(cause))
    }
}

/// Something that was observed. Enough to judge the machine without looking into it.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Begun { child: u64, name: String },
    Up { child: u64, name: String },
    StartFailed { child: u64, name: String, why: Why },
    Down { child: u64, name: String, why: Why },
    Ready,
    Foreign(Why),
    Asked { id: u64, what: Request<u32>, refused: Option<SupervisorError> },
}

/// A process.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) child: ChildId,
    pub(super) name: Arc<str>,
    pub(super) args: u32,
    pub(super) asked: Option<Why>,
    pub(super) killed: bool,
}

/// The outstanding start.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) child: ChildId,
    pub(super) name: Arc<str>,
    pub(super) args: u32,
    pub(super) aborted: bool,
}

pub(super) type Answer = Result<Outcome<u32>, SupervisorError>;

/// A machine, its processes and its clock.
pub(super) struct World {
    pub(super) machine: Machine<u32, Why, u32>,
    pub(super) simple: bool,
    keeps_order: bool,
    pub(super) now: u64,
    pub(super) random: u64,
    pub(super) live: BTreeMap<u32, Live>,
    pub(super) begun: Option<Begun>,
    pub(super) timers: BTreeMap<Token, u64>,
    pub(super) answers: BTreeMap<u64, Answer>,
    pub(super) open: BTreeSet<u64>,
    pub(super) ended: Option<Why>,
    pub(super) facts: Vec<(u64, Fact)>,
    /// With what each child was first started.
    pub(super) first_args: BTreeMap<ChildId, u32>,
    log: Vec<String>,
    tokens: BTreeSet<Token>,
    next_pid: u32,
    next_request: u64,
}

impl World {
    pub(super) fn new(spec: SupervisorSpec, children: Vec<ChildSpec>) -> Self {
        let simple = spec.kind == SupervisorType::SimpleOneForOne;
        let keeps_order = spec.keep_order;
        let children = children.into_iter().zip(100..);
        Self {
            machine: Machine::new(spec, children).expect("the specification is sound"),
            simple,
            keeps_order,
            now: 0,
            random: 0,
            live: BTreeMap::new(),
            begun: None,
            timers: BTreeMap::new(),
            answers: BTreeMap::new(),
            open: BTreeSet::new(),
            ended: None,
            facts: Vec::new(),
            log: Vec::new(),
            tokens: BTreeSet::new(),
            first_args: BTreeMap::new(),
            next_pid: 0,
            next_request: 0,
        }
    }

    /// A world whose supervisor is up, with an empty log. Child names are one word each.
    pub(super) fn up(spec: SupervisorSpec, children: Vec<ChildSpec>) -> Self {
        let mut world = Self::new(spec, children);
        world.feed(Event::Init);
        world.start_all();
        assert_eq!(world.machine.phase(), Phase::Running);
        world.take();
        world
    }

    /// Three plain children `a`, `b`, `c`.
    pub(super) fn abc(spec: SupervisorSpec) -> Self {
        Self::up(spec, ["a", "b", "c"].map(ChildSpec::new).to_vec())
    }

    // What happens.

    pub(super) fn feed(&mut self, event: Event<u32, Why, u32>) {
        let mut out = Vec::new();
        self.machine.on(event, self.now, self.random, &mut out);
        for action in out {
            self.perform(action);
        }
    }

    pub(super) fn start_ok(&mut self) {
        let Begun { child, name, args, .. } = self.begun.take().expect("a start is outstanding");
        self.next_pid += 1;
        let pid = self.next_pid;
        self.fact(Fact::Up { child: child.number(), name: name.to_string() });
        self.live.insert(pid, Live { child, name, args, asked: None, killed: false });
        self.feed(Event::Started { child, pid });
    }

    pub(super) fn start_all(&mut self) {
        while self.begun.is_some() {
            self.start_ok();
        }
    }

    pub(super) fn start_fails(&mut self, why: Why) {
        let Begun { child, name, .. } = self.begun.take().expect("a start is outstanding");
        self.fact(Fact::StartFailed { child: child.number(), name: name.to_string(), why: why.clone() });
        self.feed(Event::StartFailed { child, reason: why });
    }

    pub(super) fn exits(&mut self, pid: u32, why: Why) {
        let live = self.live.remove(&pid).expect("the process lives");
        self.fact(Fact::Down { child: live.child.number(), name: live.name.to_string(), why: why.clone() });
        self.feed(Event::Exited { pid, reason: why });
    }

    /// The process of this name (of several, the oldest) ends.
    pub(super) fn crash(&mut self, name: &str, why: Why) {
        let pid = self.pid(name);
        self.exits(pid, why);
    }

    /// The process of this name does what it was told.
    pub(super) fn obey(&mut self, name: &str) {
        let pid = self.pid(name);
        self.obeys(pid);
    }

    pub(super) fn obeys(&mut self, pid: u32) {
        let live = &self.live[&pid];
        let why = if live.killed { Why::Kill } else { live.asked.clone().expect("it was told to end") };
        self.exits(pid, why);
    }

    /// All processes do what they were told, and all starts succeed, until nothing is left to do but wait for timers.
    pub(super) fn settle(&mut self) {
        loop {
            if self.begun.is_some() {
                self.start_ok();
            } else if let Some(&pid) = self.told().first() {
                self.obeys(pid);
            } else {
                return;
            }
        }
    }

    pub(super) fn foreign(&mut self, why: Why) {
        self.fact(Fact::Foreign(why.clone()));
        self.feed(Event::ForeignExit { reason: why });
    }

    /// Time passes to the next timer, which runs off. Returns how much.
    pub(super) fn next_timer(&mut self) -> Duration {
        let (&token, &due) =
            self.timers.iter().min_by_key(|&(token, due)| (due, token)).expect("a timer is armed");
        let waited = due.saturating_sub(self.now);
        self.now += waited;
        self.timers.remove(&token);
        self.feed(Event::TimerDue { token });
        Duration::from_nanos(waited)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += u64::try_from(time.as_nanos()).expect("a test is short");
    }

    pub(super) fn ask(&mut self, what: Request<u32>) -> u64 {
        self.next_request += 1;
        let id = self.next_request;
        self.open.insert(id);
        let place = self.facts.len();
        self.fact(Fact::Asked { id, what: what.clone(), refused: None });
        self.feed(Event::Request { id: RequestId(id), request: what });
        if let (Some(Err(refusal)), (_, Fact::Asked { refused, .. })) =
            (self.answers.get(&id), &mut self.facts[place])
        {
            *refused = Some(refusal.clone());
        }
        id
    }

    pub(super) fn start(&mut self, name: &str) -> u64 {
        self.ask(Request::StartChild { name: name.into(), args: None })
    }

    pub(super) fn start_with(&mut self, name: &str, args: u32) -> u64 {
        self.ask(Request::StartChild { name: name.into(), args: Some(args) })
    }

    pub(super) fn add(&mut self, spec: ChildSpec) -> u64 {
        self.ask(Request::AddChild { spec, args: 7 })
    }

    pub(super) fn remove(&mut self, name: &str) -> u64 {
        self.ask(Request::RemoveChild { name: name.into() })
    }

    pub(super) fn enable(&mut self, name: &str) -> u64 {
        self.ask(Request::EnableChild { name: name.into() })
    }

    pub(super) fn disable(&mut self, name: &str) -> u64 {
        self.ask(Request::DisableChild { name: name.into() })
    }

    // What is seen.

    pub(super) fn pid(&self, name: &str) -> u32 {
        *self.live.iter().find(|(_, live)| &*live.name == name).expect("the process lives").0
    }

    pub(super) fn told(&self) -> Vec<u32> {
        let told = self.live.iter().filter(|(_, live)| live.killed || live.asked.is_some());
        told.map(|(&pid, _)| pid).collect()
    }

    /// The names of the living, in the order of declaration.
    pub(super) fn running(&self) -> String {
        let ordered: BTreeMap<_, _> = self.live.values().map(|live| (live.child, &*live.name)).collect();
        ordered.into_values().collect::<Vec<_>>().join(" ")
    }

    /// What the machine wanted since the last call.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(super) fn answer(&self, id: u64) -> &Answer {
        self.answers.get(&id).expect("the request has been answered")
    }

    pub(super) fn snapshot(&self) -> Snapshot<u32, Why> {
        self.machine.snapshot(self.now)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.begun.is_none() && self.timers.is_empty() && self.told().is_empty()
    }

    fn fact(&mut self, fact: Fact) {
        self.facts.push((self.now, fact));
    }

    // What is wanted.

    fn perform(&mut self, action: Action<u32, Why, u32>) {
        let line = match action {
            Action::Reply { request, answer } => {
                assert!(self.open.remove(&request.0), "request {request:?} is answered twice");
                self.answers.insert(request.0, answer);
                return;
            }
            _ if self.ended.is_some() => panic!("{action:?} after the end"),
            Action::Start { child, name, args, preserve } => self.begin(child, name, args, preserve),
            Action::AbortStart { child } => {
                let begun = self.begun.as_mut().expect("what is aborted is outstanding");
                assert!(begun.child == child && !std::mem::replace(&mut begun.aborted, true));
                format!("abort {}", begun.name)
            }
            Action::Exit { pid, reason } => {
                self.check_order(pid);
                let live = self.live.get_mut(&pid).expect("an exit goes to a living child");
                assert!(live.asked.is_none() && !live.killed, "{} is told twice", live.name);
                live.asked = Some(reason.clone());
                format!("exit {} {reason}", live.name)
            }
            Action::Kill { pid } => {
                if self.live.get(&pid).is_some_and(|live| live.asked.is_none()) {
                    self.check_order(pid);
                }
                let live = self.live.get_mut(&pid).expect("a kill goes to a living child");
                assert!(!std::mem::replace(&mut live.killed, true), "{} is killed twice", live.name);
                format!("kill {}", live.name)
            }
            Action::ArmTimer { token, after } => {
                assert!(self.tokens.insert(token), "{token:?} is used again");
                self.timers.insert(token, self.now + u64::try_from(after.as_nanos()).expect("short"));
                return;
            }
            Action::CancelTimer { token } => {
                assert!(self.timers.remove(&token).is_some(), "{token:?} is not armed");
                return;
            }
            Action::Ready => {
                self.fact(Fact::Ready);
                String::from("ready")
            }
            Action::ChildStarted { child, name, pid } => {
                assert_eq!(self.live.get(&pid).map(|live| live.child), Some(child));
                format!("started {name}")
            }
            Action::ChildTerminated { child, name, pid, reason } => {
                assert!(!self.live.contains_key(&pid) && self.first_args.contains_key(&child));
                format!("terminated {name} {reason}")
            }
            Action::Terminate { reason } => {
                assert!(self.live.is_empty() && self.begun.is_none(), "children outlive their supervisor");
                assert!(self.timers.is_empty(), "timers outlive their supervisor");
                assert!(self.open.is_empty(), "requests {:?} were never answered", self.open);
                self.ended = Some(reason.clone());
                format!("end {reason}")
            }
        };
        self.log.push(line);
    }

    /// Where there is an order, the last child that is concerned is told, and only when nobody else is about to end: at
    /// the end of a supervisor, and in a group restart that keeps order. One that came up late is told at once.
    fn check_order(&self, pid: u32) {
        let ending = self.machine.phase() == Phase::ShuttingDown;
        let ordered = self.keeps_order && self.machine.phase() == Phase::Stopping;
        if self.simple || pid == self.next_pid || !(ending || ordered) {
            return;
        }
        let snapshot = self.snapshot();
        let off = |name: &str| snapshot.specs.iter().any(|spec| *spec.name == *name && spec.disabled);
        let concerned = self.live.values().filter(|live| ending || !off(&live.name));
        let (told, untold): (Vec<_>, _) =
            concerned.partition::<Vec<_>, _>(|live| live.asked.is_some() || live.killed);
        assert!(told.is_empty(), "told while {told:?} is about to end");
        let last = untold.iter().map(|live| live.child).max();
        assert_eq!(last, self.live.get(&pid).map(|live| live.child), "stopped out of order");
    }

    fn begin(&mut self, child: ChildId, name: Arc<str>, args: u32, preserve: bool) -> String {
        assert!(self.begun.is_none(), "two starts are outstanding");
        let twin = self.live.values().find(|live| live.child == child || (!self.simple && live.name == name));
        assert!(twin.is_none(), "{name} lives already");
        let first = *self.first_args.entry(child).or_insert(args);
        assert!(!self.simple || first == args, "{name} is not started with its own arguments");
        let line = format!("start {name}{}", if preserve { " preserve" } else { "" });
        self.fact(Fact::Begun { child: child.number(), name: name.to_string() });
        self.begun = Some(Begun { child, name, args, aborted: false });
        line
    }
}
