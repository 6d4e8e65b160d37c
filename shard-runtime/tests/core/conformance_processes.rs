//! Rows of the conformance table about a process's life: states, what is allowed when, spawn, options, names, ends, figures.

use crate::world::{Act, ActAsync, Custom, Double, Fail, Never, Note, Panic, Puppet, Stop, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{
    CallError, DeliveryError, LogLevel, LogRecord, LogSink, Priority, ProcessState, SendReason, Simulation,
    SpawnError, Target,
};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

type Begin =
    Box<dyn for<'a> FnOnce(&'a mut Context<'_>) -> Pin<Box<dyn Future<Output = ActorResult> + 'a>> + Send>;
type Last = Box<dyn FnOnce(&mut Context<'_>) -> String + Send>;

/// Does what it is told to when it begins and when it ends.
struct Staged {
    begin: Option<Begin>,
    last: Option<Last>,
    tell: Sender<String>,
}

#[actor]
impl Staged {
    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        match self.begin.take() {
            Some(begin) => begin(cx).await,
            None => Ok(()),
        }
    }
    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        if let Some(last) = self.last.take() {
            let _nobody_listens = self.tell.send(last(cx));
        }
        let _nobody_listens = self.tell.send(format!("terminate {reason}"));
    }
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.tell.send(format!("note {}", m.0))?;
        Ok(())
    }
}

fn beginning(
    begin: impl for<'a> FnOnce(&'a mut Context<'_>) -> Pin<Box<dyn Future<Output = ActorResult> + 'a>>
    + Send
    + 'static,
) -> (impl FnOnce() -> Staged + Send + 'static, Receiver<String>) {
    let (tell, told) = channel();
    (move || Staged { begin: Some(Box::new(begin)), last: None, tell }, told)
}

fn ending(
    last: impl FnOnce(&mut Context<'_>) -> String + Send + 'static,
) -> (impl FnOnce() -> Staged + Send + 'static, Receiver<String>) {
    let (tell, told) = channel();
    (move || Staged { begin: None, last: Some(Box::new(last)), tell }, told)
}

fn silent() -> impl FnOnce() -> Puppet + Send + 'static {
    let (tell, _) = channel();
    move || Puppet { tell, note: String::new() }
}

fn next(world: &mut World, told: &Receiver<String>) -> String {
    let mut found = None;
    world.until("a report", |_| {
        found = told.try_recv().ok();
        found.is_some()
    });
    found.unwrap()
}

both! {
    fn init_may_do_what_a_handler_may(world, other) {
        let (target, reports) = world.puppet(0, SpawnOptions::new());
        let (say, said) = channel();
        let (factory, told) = beginning(move |cx| Box::pin(async move {
            let is_known = cx.whereis("staged") == Some(cx.pid());
            cx.create_alias()?;
            cx.register_event::<Note>("staged.news", EventOptions::new()).map(drop)?;
            cx.monitor(target)?;
            cx.send(target, Note(1))?;
            cx.send(cx.pid(), Note(2))?;
            cx.set_env("mode", 3_u8);
            let child = cx.spawn(silent(), SpawnOptions::new())?;
            let second = matches!(cx.register("another"), Err(SpawnError::NameTaken { .. }));
            let doubled = cx.call(target, Double(21)).await?;
            say.send(format!("{is_known} {second} {doubled} {}", cx.pid() != child))?;
            Ok(())
        }));
        let staged = world.spawn(other, factory, SpawnOptions::named("staged")).unwrap();
        assert_eq!(next(world, &said), "true true 42 true");
        assert_eq!(reports.next(world), "note 1");
        // What it sent to itself is its first message.
        assert_eq!(next(world, &told), "note 2");
        let facts = world.facts(staged);
        assert_eq!((facts.aliases.len(), facts.events, facts.env), (1, vec!["staged.news".to_owned()], vec!["MODE".to_owned()]));
        assert_eq!(facts.monitors, [Target::Pid(target)]);
    }

    fn a_failed_start_leaves_nothing_and_is_counted(world, other) {
        let (parent, _reports) = world.puppet(0, SpawnOptions::new());
        let before = world.counters();
        let (factory, told) = beginning(|cx| Box::pin(async move {
            cx.create_alias()?;
            cx.register_event::<Note>("half", EventOptions::new()).map(drop)?;
            cx.spawn(silent(), SpawnOptions::named("orphan").link_parent())?;
            Err(Custom("init").into())
        }));
        let said = world.run_async(parent, move |cx| Box::pin(async move {
            let failed = cx.spawn_wait(factory, SpawnOptions::named("half").on_shard(other)).await;
            format!("{}", failed.unwrap_err())
        }));
        assert_eq!(said.unwrap(), "the process did not start: custom init");
        assert_eq!(next(world, &told), "terminate custom init");
        world.until("its child has ended", |world| world.counters().processes == 1);
        assert_eq!((world.whereis("half"), world.whereis("orphan")), (None, None));
        assert_eq!(world.run(parent, |cx| format!("{:?}", cx.register_event::<Note>("half", EventOptions::new()).map(drop))), "Ok(())");
        // A factory that panics, and a name that is taken, are failed starts, too.
        let said = world.run_async(parent, move |cx| Box::pin(async move {
            let panics = || -> Puppet { panic!("told to") };
            let panicked = cx.spawn_wait(panics, SpawnOptions::new().on_shard(other)).await;
            cx.register("seat").unwrap();
            let taken = cx.spawn(silent(), SpawnOptions::named("seat"));
            format!("{} {}", panicked.unwrap_err(), matches!(taken, Err(SpawnError::NameTaken { holder, .. }) if holder == cx.pid()))
        }));
        let said = said.unwrap();
        assert!(said.contains("told to") && said.ends_with("true"), "{said}");
        world.until("all are counted", |world| world.counters().spawn_failed - before.spawn_failed == 3);
        let after = world.counters();
        assert_eq!((after.spawned - before.spawned, after.terminated - before.terminated, after.panics - before.panics), (2, 2, 1));
    }

    fn terminate_may_send_but_make_no_ties(world, other) {
        let (target, reports) = world.puppet(0, SpawnOptions::new());
        let (factory, told) = ending(move |cx| {
            cx.send(target, Note(5)).unwrap();
            let ties = format!("{:?} {:?} {:?} {:?}", cx.link(target), cx.monitor(target), cx.create_alias().map(|_| ()), cx.register_event::<Note>("late", EventOptions::new()).map(drop));
            // Its name goes after this, and nothing reaches it any more.
            let own = cx.send(cx.pid(), Note(6)).unwrap_err().into_parts();
            format!("{ties} {} {:?} {}", cx.whereis("ending") == Some(cx.pid()), own.0, own.1.0)
        });
        let pid = world.spawn(other, factory, SpawnOptions::named("ending")).unwrap();
        world.kill(pid);
        assert_eq!(next(world, &told), "Err(Terminated) Err(Terminated) Err(Terminated) Err(Link(Terminated)) true Terminated 6");
        assert_eq!(next(world, &told), "terminate kill");
        assert_eq!(reports.next(world), "note 5");
        world.until_gone(pid);
        assert_eq!(world.whereis("ending"), None);
    }

    fn options_are_kept_and_links_to_the_node_mean_nothing(world, other) {
        let options = SpawnOptions::named("optional")
            .with_mailbox(9)
            .with_send_priority(Priority::Max)
            .trap_exit()
            .split_handle()
            .link_parent()
            .link_child();
        let (pid, _reports) = world.puppet(other, options);
        let facts = world.facts(pid);
        assert_eq!((facts.mailbox_limit, facts.send_priority, facts.traps_exits, facts.splits_handles), (Some(9), Priority::Max, true, true));
        assert_eq!((facts.links, facts.linked_by), (vec![], vec![]));
        let (plain, _reports) = world.puppet(other, SpawnOptions::new());
        let facts = world.facts(plain);
        assert_eq!((facts.mailbox_limit, facts.traps_exits, facts.splits_handles, facts.fallback), (None, false, false, None));
        assert_eq!(facts.send_priority, Priority::Normal);
    }

    fn a_process_has_one_name_which_it_may_give_up(world, other) {
        let (one, _one_reports) = world.puppet(0, SpawnOptions::named("one"));
        let (two, _two_reports) = world.puppet(other, SpawnOptions::new());
        let said = world.run(one, |cx| format!("{:?}", cx.register("again").map_err(|error| error.to_string())));
        assert!(said.starts_with("Err"), "{said}");
        let said = world.run(two, move |cx| match cx.register("one") {
            Err(SpawnError::NameTaken { holder, .. }) => format!("{}", holder == one),
            other => format!("{other:?}"),
        });
        assert_eq!(said, "true");
        let said = world.run(two, |cx| {
            let (longest, longer) = ("n".repeat(255), "n".repeat(256));
            let refused = [cx.register(""), cx.register(&longer)].map(|refused| matches!(refused, Err(SpawnError::BadName(_))));
            format!("{refused:?} {:?} {:?}", cx.register(&longest).is_ok(), cx.unregister().is_ok())
        });
        assert_eq!(said, "[true, true] true true");
        assert_eq!(world.run(one, |cx| format!("{:?} {:?}", cx.unregister(), cx.unregister())), "Ok(()) Err(NameUnknown)");
        assert_eq!(world.run(two, |cx| format!("{:?}", cx.register("one").is_ok())), "true");
        assert_eq!(world.whereis("one"), Some(two));
        let (tell, _) = channel();
        let long = world.run(one, move |cx| {
            let puppet = move || Puppet { tell, note: String::new() };
            format!("{}", matches!(cx.spawn(puppet, SpawnOptions::named("n".repeat(256))), Err(SpawnError::BadName(_))))
        });
        assert_eq!(long, "true");
    }

    fn an_environment_is_changed_by_its_owner_only(world, other) {
        let (pid, _reports) = world.puppet(other, SpawnOptions::new().with_env("a", 1_u32));
        let said = world.run(pid, |cx| {
            cx.set_env("b", 2_u32);
            let before = (cx.env::<u32>("a").map(|a| *a), cx.env::<u8>("a").is_none(), cx.env::<u32>("B").map(|b| *b));
            let removed = (cx.remove_env("A"), cx.remove_env("a"), cx.env::<u32>("a").is_none());
            format!("{before:?} {removed:?}")
        });
        assert_eq!(said, "(Some(1), true, Some(2)) (true, false, true)");
        assert_eq!(world.facts(pid).env, ["B"]);
    }

    fn trapping_is_switched_while_it_runs(world, other) {
        let (pid, reports) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let exit = move |world: &mut World| world.run(sender, move |cx| format!("{:?}", cx.exit(pid, ExitReason::Shutdown)));
        world.run(pid, |cx| { cx.trap_exit(true); String::new() });
        assert_eq!(exit(world), "Ok(())");
        assert_eq!(reports.next(world), "exit pid shutdown");
        world.run(pid, |cx| { cx.trap_exit(false); String::new() });
        assert_eq!(exit(world), "Ok(())");
        assert_eq!(reports.next(world), "terminate shutdown");
        world.until_gone(pid);
        assert_eq!(exit(world), "Err(NoProcess)");
    }

    fn a_leader_and_a_parent_get_no_exit_from_their_group(world, other) {
        let (leader, _leader_reports) = world.puppet(0, SpawnOptions::new());
        let (parent, _parent_reports) = world.puppet(other, SpawnOptions::new());
        world.run(parent, move |cx| {
            cx.spawn(silent(), SpawnOptions::named("member").with_leader(leader)).unwrap();
            String::new()
        });
        let member = world.whereis("member").unwrap();
        let said = world.run(member, move |cx| {
            format!("{:?} {:?} {}", cx.exit(leader, ExitReason::Normal), cx.exit(parent, ExitReason::Normal), cx.leader() == leader)
        });
        assert_eq!(said, "Err(NotAllowed) Err(NotAllowed) true");
    }

    fn one_message_at_a_time_also_while_a_handler_waits(world, other) {
        let (pid, reports) = world.puppet(other, SpawnOptions::new());
        world.hold(pid);
        for n in 0..3 {
            world.send(pid, Note(n)).unwrap();
        }
        world.until("all are queued", |world| world.process(pid).is_some_and(|process| process.mailbox == 3));
        assert_eq!(reports.all(), Vec::<String>::new());
        world.cancel_waits(pid);
        for n in 0..3 {
            assert_eq!(reports.next(world), format!("note {n}"));
        }
        // There is nothing left to cancel, and that is no error.
        world.cancel_waits(pid);
        assert_eq!(world.call(pid, Double(4)), Ok(8));
    }

    fn a_burst_is_one_wake_up(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender_reports) = world.puppet(other, SpawnOptions::new());
        world.until("it sleeps", |world| world.process(target).is_some_and(|process| process.state == ProcessState::Sleep));
        let before = (world.process(target).unwrap(), world.process(sender).unwrap());
        world.run(sender, move |cx| {
            for n in 0..10 { cx.send(target, Note(n)).unwrap(); }
            String::new()
        });
        for n in 0..10 {
            assert_eq!(reports.next(world), format!("note {n}"));
        }
        world.until("it is counted", |world| world.process(target).is_some_and(|process| process.wakeups > before.0.wakeups && process.mailbox == 0));
        let after = world.process(target).unwrap();
        assert_eq!((after.wakeups - before.0.wakeups, after.messages_in - before.0.messages_in), (1, 10));
        world.until("the sender is counted", |world| world.process(sender).is_some_and(|process| process.messages_out >= before.1.messages_out + 10));
        assert!(after.running_ns >= before.0.running_ns && after.waited_ns >= before.0.waited_ns);
    }

    fn a_killed_waiting_process_answers_whoever_waits_for_it(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new());
        let (caller, caller_reports) = world.puppet(0, SpawnOptions::new());
        world.send(caller, ActAsync(Box::new(move |cx| Box::pin(async move {
            let said = cx.call_timeout(target, Never, Duration::from_secs(3600)).await;
            cx.send(cx.pid(), Note(u32::from(said == Err(CallError::Killed)))).unwrap();
            String::new()
        })))).unwrap();
        world.until("it is asked", |world| world.process(target).is_some_and(|process| process.messages_in == 1 && process.mailbox == 0));
        world.kill(target);
        assert_eq!((reports.next(world).as_str(), caller_reports.next(world).as_str()), ("terminate kill", "note 1"));
        world.until("nobody waits", |world| world.counters().waiters == 0);
    }

    fn an_old_pid_is_not_its_slots_next_process(world, other) {
        let (old, _reports) = world.puppet(other, SpawnOptions::new());
        world.kill(old);
        world.until_gone(old);
        let (new, _reports) = world.puppet(other, SpawnOptions::new());
        assert_eq!((new.local.slot(), new.local.shard()), (old.local.slot(), old.local.shard()));
        assert!(new.local.generation() > old.local.generation());
        assert_eq!(world.send(old, Note(1)).unwrap_err().reason, SendReason::NoProcess);
        assert_eq!(world.call(old, Double(1)), Err(CallError::Send(SendReason::NoProcess)));
        let (asker, _asker_reports) = world.puppet(0, SpawnOptions::new());
        let said = world.run(asker, move |cx| format!("{:?} {:?}", cx.monitor(old), cx.exit(old, ExitReason::Normal)));
        assert_eq!(said, "Err(NoProcess) Err(NoProcess)");
        world.kill(old);
        assert_eq!(world.call(new, Double(2)), Ok(4));
    }
}

/// Keeps what is logged.
struct Lines(Sender<(LogLevel, String)>);

impl LogSink for Lines {
    fn write(&mut self, _: &shard_runtime::wire::NodeName, record: &LogRecord) {
        let _nobody_listens = self.0.send((record.level, record.text.clone()));
    }
}

#[test]
fn an_end_is_logged_unless_it_is_ordinary() {
    let (lines, logged) = channel();
    let mut sim =
        Simulation::with_log("core@localhost", 1, 3, LogLevel::Warning, Box::new(Lines(lines))).unwrap();
    let spawn = |sim: &mut Simulation| sim.spawn(0, silent(), &SpawnOptions::new()).unwrap();
    let victims: Vec<Pid> = (0..6).map(|_| spawn(&mut sim)).collect();
    let killer = spawn(&mut sim);
    sim.send(victims[0], Stop).unwrap();
    let victim = victims[1];
    let shutdown = Act(Box::new(move |cx| format!("{:?}", cx.exit(victim, ExitReason::Shutdown))));
    assert_eq!(sim.call(killer, shutdown).unwrap(), "Ok(())");
    sim.run();
    sim.kill(victims[2]);
    sim.send(victims[3], Fail("boom")).unwrap();
    sim.run();
    sim.send(victims[4], Panic).unwrap();
    sim.run();
    sim.send(victims[5], Fail("last")).unwrap();
    sim.run();
    assert_eq!(sim.counters().processes, 1);
    let mut seen = Vec::new();
    while !seen.iter().any(|(_, text): &(LogLevel, String)| text.ends_with("custom last")) {
        seen.push(logged.recv_timeout(Duration::from_secs(20)).unwrap());
    }
    let ends = ["kill", "custom boom", "told to", "custom last"];
    let levels = [LogLevel::Error, LogLevel::Error, LogLevel::Panic, LogLevel::Error];
    assert_eq!(seen.len(), 4, "{seen:?}");
    for ((level, text), (end, expected)) in seen.iter().zip(ends.into_iter().zip(levels)) {
        assert!(text.ends_with(end) && *level == expected, "{level:?} {text}");
        // A panic says where.
        assert_eq!(text.contains("core/world.rs:"), end == "told to", "{text}");
    }
}

#[test]
fn init_has_five_seconds_by_default() {
    let mut world = World::simulated(1);
    let (factory, told) = beginning(|_| Box::pin(std::future::pending()));
    let pid = world.spawn(0, factory, SpawnOptions::new()).unwrap();
    world.pass(Duration::from_millis(4_990));
    assert_eq!(world.process(pid).map(|process| process.state), Some(ProcessState::Init));
    world.pass(Duration::from_millis(20));
    assert!(world.process(pid).is_none());
    assert_eq!(told.try_recv().unwrap(), "terminate init was not done within 5s");
}

#[test]
fn the_figures_of_a_process_follow_the_clock() {
    let mut world = World::simulated(2);
    let within = |ns: u64, millis: u64| {
        let expected = millis * 1_000_000;
        assert!(ns.abs_diff(expected) < 3_000_000, "{ns} ns are not {millis} ms");
    };
    let (factory, _told) = beginning(|cx| {
        Box::pin(async move {
            cx.sleep(Duration::from_millis(40)).await;
            Ok(())
        })
    });
    let staged = world.spawn(1, factory, SpawnOptions::new()).unwrap();
    world.pass(Duration::from_secs(1));
    within(world.process(staged).unwrap().init_ns, 40);

    let (pid, _reports) = world.puppet(1, SpawnOptions::new());
    world.pass(Duration::from_secs(10));
    let stats = world.process(pid).unwrap();
    assert_eq!(
        (stats.state, stats.kind, stats.parent),
        (ProcessState::Sleep, "actor", shard_runtime::wire::LocalId::CORE)
    );
    assert!(stats.behavior.ends_with("Puppet"), "{}", stats.behavior);
    within(stats.uptime_ns, 10_000);
    within(stats.state_ns, 10_000);
    assert_eq!((stats.mailbox, stats.mailbox_latency_ns, stats.callback_ns), (0, 0, 0));

    world.hold(pid);
    world.send(pid, Note(1)).unwrap();
    world.pass(Duration::from_secs(3));
    world.send(pid, Note(2)).unwrap();
    world.pass(Duration::from_secs(1));
    let stats = world.process(pid).unwrap();
    assert_eq!((stats.state, stats.mailbox, stats.mailbox_main), (ProcessState::WaitResponse, 2, 2));
    within(stats.mailbox_latency_ns, 4_000);
    within(stats.state_ns, 4_000);
    world.cancel_waits(pid);
    let stats = world.process(pid).unwrap();
    assert_eq!((stats.state, stats.mailbox, stats.mailbox_latency_ns), (ProcessState::Sleep, 0, 0));
    within(stats.waited_ns, 5_000);
    // The time that its handler waited for a reply is nobody's running time.
    assert!(stats.running_ns < 1_000_000_000, "{} ns", stats.running_ns);
}

/// Waits in its end.
struct Lingering;
#[actor]
impl Lingering {
    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<'_>) {
        cx.sleep(Duration::from_secs(1)).await;
        panic!("nobody waits for this");
    }
    #[handle]
    fn note(&mut self, _: Note, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

#[test]
fn an_end_that_waits_is_cut_off_and_counted() {
    let mut world = World::simulated(1);
    let pid = world.spawn(0, || Lingering, SpawnOptions::new()).unwrap();
    let before = world.counters();
    world.kill(pid);
    assert!(world.process(pid).is_none());
    world.pass(Duration::from_secs(2));
    let after = world.counters();
    assert_eq!((after.terminate_cut - before.terminate_cut, after.panics - before.panics), (1, 0));
    assert_eq!((after.waiters, after.timers), (0, 0));
}

#[test]
fn a_blocking_call_on_a_shard_is_refused() {
    let node = Node::builder("core@localhost").log_level(LogLevel::Panic).start().unwrap();
    let one = node.spawn(silent(), SpawnOptions::new()).unwrap();
    let two = node.spawn(silent(), SpawnOptions::new()).unwrap();
    let handle = node.clone();
    let act = Act(Box::new(move |_| format!("{:?}", handle.call_blocking(two, Double(1)))));
    assert_eq!(node.call_blocking(one, act).unwrap(), "Err(OnShard)");
    assert_eq!(node.call_blocking(two, Double(1)), Ok(2));
}

/// Waits for a condition of a real node.
#[expect(clippy::disallowed_methods, reason = "a deadline of a test is wall time")]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        std::thread::yield_now();
    }
}

fn state_of(world: &World, pid: Pid) -> Option<ProcessState> {
    world.process(pid).map(|process| process.state)
}

/// A shard that is stuck in a callback needs a thread of its own, so this one is for real nodes.
#[test]
fn a_kill_inside_a_callback_makes_a_zombee_until_it_returns() {
    let mut world = World::real(2);
    let world = &mut world;
    let (victim, reports) = world.puppet(1, SpawnOptions::named("stuck"));
    let (watcher, watched) = world.puppet(0, SpawnOptions::new());
    assert_eq!(world.run(watcher, move |cx| format!("{:?}", cx.monitor(victim))), "Ok(())");
    eventually("it is known", || world.facts(victim).monitored_by.len() == 1);
    let (entered, is_in) = channel();
    let (leave, may_leave) = channel::<()>();
    let stuck = Act(Box::new(move |_| {
        entered.send(()).unwrap();
        may_leave.recv().unwrap();
        String::new()
    }));
    world.send(victim, stuck).unwrap();
    is_in.recv_timeout(Duration::from_secs(20)).unwrap();
    eventually("it runs", || state_of(world, victim) == Some(ProcessState::Running));
    eventually("its time is told", || world.process(victim).is_some_and(|process| process.callback_ns > 0));
    world.kill(victim);
    eventually("it is a zombee", || state_of(world, victim) == Some(ProcessState::Zombee));
    // It keeps its name, and what is sent to it is accepted, to be lost with its mailbox.
    let lost = world.counters().mailbox_lost;
    assert_eq!(world.whereis("stuck"), Some(victim));
    assert!(world.send(victim, Note(1)).is_ok());
    world.run(watcher, |_| String::new());
    assert_eq!(watched.all(), Vec::<String>::new());
    leave.send(()).unwrap();
    assert_eq!(watched.next(world), "down pid kill");
    assert_eq!((reports.next(world).as_str(), world.whereis("stuck")), ("terminate kill", None));
    eventually("the message is counted", || world.counters().mailbox_lost == lost + 1);
    assert_eq!(reports.all(), Vec::<String>::new());
}

/// The same for `terminate`: nothing reaches a process that is ending, by whatever way.
#[test]
fn a_process_that_is_ending_refuses_everything_as_terminated() {
    let mut world = World::real(2);
    let world = &mut world;
    let (asker, _reports) = world.puppet(0, SpawnOptions::new());
    let (entered, is_in) = channel();
    let (leave, may_leave) = channel::<()>();
    let (factory, told) = ending(move |_| {
        entered.send(()).unwrap();
        may_leave.recv().unwrap();
        String::new()
    });
    let victim = world.spawn(1, factory, SpawnOptions::named("ending")).unwrap();
    world.kill(victim);
    is_in.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(state_of(world, victim), Some(ProcessState::Terminated));
    assert_eq!(world.send(victim, Note(1)).unwrap_err().reason, SendReason::Terminated);
    let said = world.run_async(asker, move |cx| {
        Box::pin(async move {
            let reasons = [
                cx.send(victim, Note(2)),
                cx.send("ending", Note(3)),
                cx.send_with(victim, Note(4), Priority::Max),
                cx.forward(victim, Note(5)),
            ]
            .map(|sent| sent.unwrap_err().reason);
            assert_eq!(reasons, [SendReason::Terminated; 4]);
            let asked = cx.request(victim, Double(1), 1, Duration::from_secs(1)).unwrap_err().reason;
            assert_eq!(asked, SendReason::Terminated);
            assert_eq!(cx.call(victim, Double(1)).await, Err(CallError::Send(SendReason::Terminated)));
            format!(
                "{:?} {:?} {:?}",
                cx.link(victim),
                cx.monitor(victim),
                cx.exit(victim, ExitReason::Normal)
            )
        })
    });
    assert_eq!(said.unwrap(), "Err(Terminated) Err(Terminated) Err(Terminated)");
    // An important send asks the shard itself, which is stuck in the callback: nothing is known in time.
    let said = world.run_async(asker, move |cx| {
        Box::pin(async move {
            let sent = cx.send_important(victim, Note(6), Duration::from_millis(20)).await;
            matches!(sent, Err(DeliveryError::Unknown(None))).to_string()
        })
    });
    assert_eq!(said.unwrap(), "true");
    leave.send(()).unwrap();
    world.until_gone(victim);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["", "terminate kill"]);
}

/// Never rests: each message is followed by another one.
struct Restless;
#[message(local)]
struct Again;

#[actor]
impl Restless {
    #[handle]
    fn again(&mut self, _: Again, cx: &mut Context<'_>) -> ActorResult {
        cx.send(cx.pid(), Again)?;
        Ok(())
    }
}

/// The simulation would never be idle again, so this one is for real nodes.
#[test]
fn a_process_that_never_rests_lets_its_neighbours_run() {
    let mut world = World::real(1);
    let world = &mut world;
    let (neighbour, _reports) = world.puppet(0, SpawnOptions::new());
    let restless: Vec<Pid> =
        (0..3).map(|_| world.spawn(0, || Restless, SpawnOptions::new().with_budget(16)).unwrap()).collect();
    for pid in &restless {
        for _ in 0..100 {
            world.send(*pid, Again).unwrap();
        }
    }
    for n in 0..100 {
        assert_eq!(world.call(neighbour, Double(n)), Ok(2 * n));
    }
    for pid in restless {
        let stats = world.process(pid).unwrap();
        assert!(stats.messages_in > 100 && stats.wakeups > stats.messages_in / 32, "{stats:?}");
        world.kill(pid);
        world.until_gone(pid);
    }
}

/// Answers at compile time whether a type is `Send`: an inherent constant goes before one of a trait.
struct IsSend<T>(std::marker::PhantomData<T>);
trait NotSend {
    const ANSWER: bool = false;
}
impl<T> NotSend for IsSend<T> {}
impl<T: Send> IsSend<T> {
    const ANSWER: bool = true;
}

#[test]
fn a_context_cannot_leave_its_shard() {
    const { assert!(!IsSend::<Context<'static>>::ANSWER) };
    const { assert!(!IsSend::<shard_runtime::Call<'static, u32>>::ANSWER) };
    const { assert!(IsSend::<ReplyTo<u32>>::ANSWER && IsSend::<Pid>::ANSWER) };
}
