//! Supervisors and their trees, as actors: who is restarted, under which name, with which reasons, how long it takes.

use crate::world::{World, both};
use shard_runtime::prelude::*;
use shard_runtime::{
    AddChild, Backoff, Child, ChildSpec, Children, DisableChild, EnableChild, OnExceed, RemoveChild,
    Shutdown, SpawnError, StartChild, Strategy, Supervisor, SupervisorError, SupervisorSpec,
    TerminateInstance,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

#[message(local)]
struct Crash;
#[message(local)]
struct Work(u32);
#[message(local, reply = u32)]
struct Number;
/// Keeps its process from ending by an exit for a while.
#[message(local)]
struct Dawdle;
#[message(local)]
struct Leave;

#[derive(Clone)]
struct Worker {
    name: &'static str,
    number: u32,
    fails: bool,
    tell: Sender<String>,
}

#[actor]
impl Worker {
    async fn init(&mut self, _cx: &mut Context<'_>) -> ActorResult {
        self.tell.send(format!("{} up", self.name))?;
        if self.fails { Err(ActorError::new(ExitReason::Shutdown)) } else { Ok(()) }
    }
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        let _nobody_listens = self.tell.send(format!("{} {reason}", self.name));
    }
    #[handle]
    fn crash(&mut self, _: Crash, _cx: &mut Context<'_>) -> ActorResult {
        panic!("told to")
    }
    #[handle]
    fn leave(&mut self, _: Leave, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
    #[handle]
    fn work(&mut self, m: Work, _cx: &mut Context<'_>) -> ActorResult {
        self.tell.send(format!("{} {}", self.name, m.0))?;
        Ok(())
    }
    #[handle]
    fn number(&mut self, _: Number, _cx: &mut Context<'_>) -> Result<u32, ActorError> {
        Ok(self.number)
    }
    #[handle]
    fn dawdle(&mut self, _: Dawdle, cx: &mut Context<'_>) -> ActorResult {
        cx.trap_exit(true);
        Ok(())
    }
    #[handle]
    fn exit(&mut self, _: ExitSignal, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn channel_of() -> (Sender<String>, Receiver<String>) {
    channel()
}

fn worker(name: &'static str, tell: &Sender<String>) -> impl Fn() -> Worker + Send + Sync + 'static {
    let worker = Worker { name, number: 0, fails: false, tell: tell.clone() };
    move || worker.clone()
}

fn next(world: &mut World, told: &Receiver<String>) -> String {
    let mut found = None;
    world.until("a report", |_| {
        found = told.try_recv().ok();
        found.is_some()
    });
    found.unwrap()
}

fn heard(world: &mut World, told: &Receiver<String>, count: usize) -> Vec<String> {
    (0..count).map(|_| next(world, told)).collect()
}

/// Three named workers under a supervisor of this kind, children on another shard if there is one.
fn three(world: &mut World, shard: u16, spec: SupervisorSpec) -> (Pid, Receiver<String>) {
    let (tell, told) = channel_of();
    let placed = move |name| Child::new(worker(name, &tell)).options(SpawnOptions::new().on_shard(shard));
    let children = ["a", "b", "c"].map(|name| (ChildSpec::new(name), placed(name)));
    let tree = move || {
        children.into_iter().fold(Supervisor::new(spec), |tree, (spec, child)| tree.child_with(spec, child))
    };
    let tree = world.spawn(0, tree, SpawnOptions::named("tree")).unwrap();
    world.until("all are up", |world| world.whereis("c").is_some());
    assert_eq!(heard(world, &told, 3), ["a up", "b up", "c up"]);
    (tree, told)
}

both! {
    fn one_for_one_restarts_the_failed_child_under_its_name(world, other) {
        let (tree, told) = three(world, other, SupervisorSpec::one_for_one());
        let before = ["a", "b", "c"].map(|name| world.whereis(name).unwrap());
        world.send("b", Crash).unwrap();
        assert_eq!(heard(world, &told, 2), ["b panic: told to", "b up"]);
        world.until("it is back", |world| world.whereis("b").is_some_and(|pid| pid != before[1]));
        assert_eq!(["a", "c"].map(|name| world.whereis(name).unwrap()), [before[0], before[2]]);
        // A normal end is no failure of a transient child.
        world.send("a", Leave).unwrap();
        assert_eq!(next(world, &told), "a normal");
        world.until("the supervisor knows", |world| {
            let snapshot = world.call(tree, Children).unwrap();
            (snapshot.restarts_count, snapshot.children_running) == (1, 2)
        });
        let entries = world.inspect(tree);
        for (key, value) in [("type", "One For One"), ("strategy", "Transient"), ("restarts_count", "1"), ("children_running", "2"), ("ergo:intensity", "5")] {
            assert!(entries.contains(&(key.to_owned(), value.to_owned())), "{key} {value}: {entries:?}");
        }
        assert_eq!(world.process(tree).unwrap().kind, "supervisor");
    }

    fn all_for_one_and_rest_for_one_restart_their_group_in_order(world, other) {
        let (tree, told) = three(world, other, SupervisorSpec::all_for_one().keep_order());
        world.send("b", Crash).unwrap();
        assert_eq!(heard(world, &told, 6), ["b panic: told to", "c panic: told to", "a panic: told to", "a up", "b up", "c up"]);
        world.kill(tree);
        world.until("all are gone", |world| world.counters().processes == 0);
        let mut ends = heard(world, &told, 3);
        ends.sort();
        assert_eq!(ends, ["a kill", "b kill", "c kill"]);

        let (_tree, told) = three(world, other, SupervisorSpec::rest_for_one().keep_order());
        world.send("b", Crash).unwrap();
        assert_eq!(heard(world, &told, 4), ["b panic: told to", "c panic: told to", "b up", "c up"]);
    }

    fn too_many_restarts_end_the_supervisor_with_the_cause_and_all_children(world, other) {
        let (tree, told) = three(world, other, SupervisorSpec::one_for_one().intensity(2, Duration::from_secs(60)));
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        world.run(watcher, move |cx| format!("{:?}", cx.monitor(tree)));
        for _ in 0..2 {
            world.send("b", Crash).unwrap();
            assert_eq!(heard(world, &told, 2), ["b panic: told to", "b up"]);
            world.until("it is back", |world| world.whereis("b").is_some());
        }
        world.send("b", Crash).unwrap();
        let exceeded = "supervisor restart intensity exceeded (max 2 in 60s): panic: told to";
        assert_eq!(heard(world, &told, 3), ["b panic: told to".to_owned(), format!("c {exceeded}"), format!("a {exceeded}")]);
        assert_eq!(reports.next(world), format!("down pid {exceeded}"));
        world.until_gone(tree);
    }

    fn a_child_that_does_not_start_fails_the_supervisor(world, other) {
        let (tell, told) = channel_of();
        let (good, bad) = (worker("good", &tell), Worker { name: "bad", number: 0, fails: true, tell });
        let tree = move || {
            Supervisor::new(SupervisorSpec::one_for_one())
                .child_with(ChildSpec::new("good"), Child::new(good).options(SpawnOptions::new().on_shard(other)))
                .child(ChildSpec::new("bad"), move || bad.clone())
        };
        match world.spawn(0, tree, SpawnOptions::new()) {
            // A real node waits for the start; the simulation returns when the process is there.
            Err(SpawnError::Init { reason }) => assert_eq!(reason.to_string(), "shutdown"),
            Err(error) => panic!("{error}"),
            Ok(_) => {}
        }
        assert_eq!(heard(world, &told, 4), ["good up", "bad up", "bad shutdown", "good shutdown"]);
        world.until("nothing is left", |world| world.counters().processes == 0);
        let empty = world.spawn(0, || Supervisor::new(SupervisorSpec::one_for_one()), SpawnOptions::new());
        if let Err(error) = empty {
            assert!(error.to_string().contains("no children"), "{error}");
        }
    }

    fn instances_of_a_template_keep_their_own_arguments(world, other) {
        let (tell, told) = channel_of();
        let template = worker("template", &tell);
        let tree = move || Supervisor::new(SupervisorSpec::simple_one_for_one()).child(ChildSpec::new("worker"), template);
        let tree = world.spawn(other, tree, SpawnOptions::new()).unwrap();
        let mut started = Vec::new();
        for number in 1..=3 {
            let own = Worker { name: "own", number, fails: false, tell: tell.clone() };
            let (id, pid) = world.call(tree, StartChild::with("worker", move || own.clone())).unwrap().unwrap();
            assert_eq!(world.call(pid, Number).unwrap(), number);
            started.push((id, pid));
        }
        heard(world, &told, 3);
        world.send(started[1].1, Crash).unwrap();
        assert_eq!(heard(world, &told, 2), ["own panic: told to", "own up"]);
        let mut again = None;
        world.until("it is back", |world| {
            let snapshot = world.call(tree, Children).unwrap();
            again = snapshot.children.iter().find(|child| child.id == started[1].0).and_then(|child| child.pid);
            again.is_some_and(|pid| pid != started[1].1)
        });
        assert_eq!(world.call(again.unwrap(), Number).unwrap(), 2);
        assert_eq!(world.call(tree, TerminateInstance(started[0].0)).unwrap(), Ok(()));
        assert_eq!(world.call(tree, TerminateInstance(started[0].0)).unwrap(), Err(SupervisorError::InstanceUnknown));
        assert_eq!(world.call(tree, DisableChild("worker".into())).unwrap(), Ok(()));
        assert_eq!(world.call(tree, Children).unwrap().children_total, 0);
        world.until("only the supervisor is left", |world| world.counters().processes == 1);
    }

    fn children_are_managed_while_the_supervisor_runs(world, other) {
        let (tree, told) = three(world, other, SupervisorSpec::one_for_one());
        assert_eq!(world.call(tree, DisableChild("b".into())).unwrap(), Ok(()));
        assert_eq!((next(world, &told).as_str(), world.whereis("b")), ("b shutdown", None));
        assert!(matches!(world.call(tree, StartChild::new("b")).unwrap(), Err(SupervisorError::ChildDisabled { .. })));
        assert_eq!(world.call(tree, EnableChild("b".into())).unwrap(), Ok(()));
        assert_eq!(next(world, &told), "b up");
        assert!(matches!(world.call(tree, StartChild::new("b")).unwrap(), Err(SupervisorError::ChildRunning { .. })));
        world.send("a", Leave).unwrap();
        assert_eq!(next(world, &told), "a normal");
        world.until("the supervisor knows", |world| world.call(tree, Children).unwrap().children_running == 2);
        let (tell, _kept) = channel_of();
        let (_, pid) = world.call(tree, StartChild::new("a")).unwrap().unwrap();
        assert_eq!(world.whereis("a"), Some(pid));
        assert_eq!(next(world, &told), "a up");
        let d = worker("d", &tell);
        assert_eq!(world.call(tree, AddChild(ChildSpec::new("d"), Child::new(d))).unwrap(), Ok(()));
        assert!(world.whereis("d").is_some());
        assert_eq!(world.call(tree, RemoveChild("a".into())).unwrap(), Ok(()));
        assert!(matches!(world.call(tree, StartChild::new("a")).unwrap(), Err(SupervisorError::ChildUnknown { .. })));
    }

    fn a_child_that_ignores_its_exit_is_killed(world, other) {
        let (tell, told) = channel_of();
        let spec = ChildSpec::new("slow").shutdown(Shutdown::Graceful(Duration::from_millis(50)));
        // Its exit comes from the supervisor, which is its parent, so it ends at once, unless it waits in a handler of its own.
        let child = Child::new(worker("slow", &tell)).options(SpawnOptions::new().on_shard(other));
        let tree = move || Supervisor::new(SupervisorSpec::one_for_one()).child_with(spec, child);
        let tree = world.spawn(0, tree, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("slow").is_some());
        world.send("slow", Dawdle).unwrap();
        assert_eq!(world.call(tree, DisableChild("slow".into())).unwrap(), Ok(()));
        assert_eq!(heard(world, &told, 2), ["slow up", "slow shutdown"]);
    }

    fn a_preserved_mailbox_reaches_the_successor_in_order(world, other) {
        let (tell, told) = channel_of();
        let spec = ChildSpec::new("kept").preserve_mailbox();
        let child = Child::new(worker("kept", &tell)).options(SpawnOptions::new().on_shard(other));
        let tree = move || Supervisor::new(SupervisorSpec::one_for_one()).child_with(spec, child);
        world.spawn(0, tree, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("kept").is_some());
        let (sender, _reports) = world.puppet(other, SpawnOptions::new());
        world.run(sender, |cx| {
            cx.send("kept", Work(1)).unwrap();
            cx.send("kept", Crash).unwrap();
            for n in 2..6 {
                cx.send("kept", Work(n)).unwrap();
            }
            String::new()
        });
        assert_eq!(heard(world, &told, 8), ["kept up", "kept 1", "kept panic: told to", "kept up", "kept 2", "kept 3", "kept 4", "kept 5"]);
        assert_eq!(world.counters().mailbox_lost, 0);
    }

    fn a_tree_recovers_from_below_and_ends_from_above(world, other) {
        let (tell, told) = channel_of();
        let make = worker("leaf", &tell);
        let leaf = Arc::new(make);
        let inner = move || {
            let leaf = Arc::clone(&leaf);
            let spec = SupervisorSpec::one_for_one().intensity(1, Duration::from_secs(60));
            Supervisor::new(spec).child(ChildSpec::new("leaf"), move || leaf())
        };
        let inner = Child::new(inner).options(SpawnOptions::new().on_shard(other));
        let outer = move || Supervisor::new(SupervisorSpec::one_for_one().strategy(Strategy::Permanent)).child_with(ChildSpec::new("inner"), inner);
        let outer = world.spawn(0, outer, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("leaf").is_some());
        let first = world.whereis("inner").unwrap();
        for _ in 0..2 {
            world.until("it is up", |world| world.whereis("leaf").is_some());
            let leaf = world.whereis("leaf").unwrap();
            world.send(leaf, Crash).unwrap();
            world.until_gone(leaf);
        }
        world.until("the inner one was restarted", |world| world.whereis("inner").is_some_and(|pid| pid != first) && world.whereis("leaf").is_some());
        assert_eq!(world.call(outer, Children).unwrap().restarts_count, 1);
        let (killer, _reports) = world.puppet(0, SpawnOptions::new());
        world.run(killer, move |cx| format!("{:?}", cx.exit(outer, ExitReason::Shutdown)));
        world.until("only the killer is left", |world| world.counters().processes == 1);
        assert_eq!(told.try_iter().last().unwrap(), "leaf shutdown");
    }

    fn a_child_of_its_own_budget_is_disabled_and_a_back_off_slows_it_down(world, other) {
        let (tell, told) = channel_of();
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(40));
        let spec = ChildSpec::new("fragile").intensity(1, Duration::from_secs(60)).on_exceed(OnExceed::Disable).backoff(backoff);
        let child = Child::new(worker("fragile", &tell)).options(SpawnOptions::new().on_shard(other));
        let tree = move || Supervisor::new(SupervisorSpec::one_for_one().disable_auto_shutdown()).child_with(spec, child);
        let tree = world.spawn(0, tree, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("fragile").is_some());
        for _ in 0..2 {
            world.until("it is up", |world| world.whereis("fragile").is_some());
            let pid = world.whereis("fragile").unwrap();
            world.send(pid, Crash).unwrap();
            world.until_gone(pid);
        }
        world.until("it is disabled", |world| world.call(tree, Children).unwrap().specs_disabled == 1);
        assert_eq!(told.try_iter().filter(|text| text == "fragile up").count(), 2);
    }

    fn notices_of_children_come_to_the_callback(world, other) {
        let (tell, told) = channel_of();
        let (notices, noticed) = channel_of();
        let child = Child::new(worker("a", &tell)).options(SpawnOptions::new().on_shard(other));
        let tree = move || {
            Supervisor::new(SupervisorSpec::one_for_one()).child_with(ChildSpec::new("a"), child).on_child(move |event, _cx| {
                let text = match event {
                    shard_runtime::ChildEvent::Started { name, .. } => format!("started {name}"),
                    shard_runtime::ChildEvent::Terminated { name, reason, .. } => format!("terminated {name} {reason}"),
                    _ => "?".to_owned(),
                };
                notices.send(text).unwrap();
            })
        };
        world.spawn(0, tree, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("a").is_some());
        world.send("a", Crash).unwrap();
        assert_eq!(heard(world, &told, 3), ["a up", "a panic: told to", "a up"]);
        assert_eq!(heard(world, &noticed, 3), ["started a", "terminated a panic: told to", "started a"]);
    }

    fn a_tree_of_a_thousand_survives_a_storm_without_a_leak(world, other) {
        let crashes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&crashes);
        let (tell, told) = channel_of();
        let template = worker("leaf", &tell);
        let spec = SupervisorSpec::simple_one_for_one().intensity(60_000, Duration::from_secs(600));
        let child = Child::new(template).options(SpawnOptions::new().on_shard(other));
        let tree = world.spawn(0, move || Supervisor::new(spec).child_with(ChildSpec::new("leaf"), child), SpawnOptions::new()).unwrap();
        for _ in 0..1000 {
            world.call(tree, StartChild::new("leaf")).unwrap().unwrap();
        }
        for round in 1..=5_u64 {
            let snapshot = world.call(tree, Children).unwrap();
            for child in &snapshot.children {
                world.send(child.pid.unwrap(), Crash).unwrap();
                counted.fetch_add(1, SeqCst);
            }
            world.until("all are back", |world| {
                let snapshot = world.call(tree, Children).unwrap();
                snapshot.restarts_count == 1000 * round && snapshot.children_running == 1000
            });
        }
        let counters = world.counters();
        assert_eq!((counters.processes, counters.panics, crashes.load(SeqCst)), (1001, 5000, 5000));
        assert!(counters.waiters <= 1 && counters.timers <= 1, "{} {}", counters.waiters, counters.timers);
        let facts = world.facts(tree);
        assert_eq!((facts.links.len(), facts.linked_by.len()), (1000, 1000));
        drop(told);
    }
}
