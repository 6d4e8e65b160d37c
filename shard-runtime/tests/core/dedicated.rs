//! Processes on threads of their own: the same promises as for others, and callbacks that block.

use crate::world::{Act, Double, Fail, Never, Note, Panic, Puppet, Reports, Stop, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{
    Alias, CallError, Child, ChildSpec, LogLevel, LogRecord, LogSink, Priority, ProcessState, SendReason,
    SpawnError, Strategy, Supervisor, SupervisorSpec, Target,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// The next reports, in order.
fn expect(reports: &Reports, world: &mut World, expected: &[&str]) {
    for text in expected {
        assert_eq!(&reports.next(world), text);
    }
}

both! {
    fn messages_and_calls_go_both_ways_in_order(world, other) {
        let (puppet, puppet_reports) = world.puppet(0, SpawnOptions::new());
        let (dedicated, reports) = world.dedicated(other, SpawnOptions::named("own thread"));
        let texts: Vec<String> = (0..500).map(|n| format!("note {n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let send_all = move |cx: &mut Context<'_>, to: Pid| {
            for n in 0..500 {
                cx.send(to, Note(n)).unwrap();
            }
            String::new()
        };
        world.run(puppet, move |cx| send_all(cx, dedicated));
        expect(&reports, world, &texts);
        world.run(dedicated, move |cx| send_all(cx, puppet));
        expect(&puppet_reports, world, &texts);
        world.run(dedicated, move |cx| send_all(cx, dedicated));
        expect(&reports, world, &texts);
        for n in 0..500 {
            world.send("own thread", Note(n)).unwrap();
        }
        expect(&reports, world, &texts);
        assert_eq!(world.call(dedicated, Double(4)), Ok(8));
        for (from, to) in [(puppet, dedicated), (dedicated, puppet)] {
            let said = world.run_async(from, move |cx| {
                Box::pin(async move {
                    let (one, two) = (cx.call(to, Double(1)), cx.call(to, Double(2)));
                    format!("{:?} {:?}", two.await, one.await)
                })
            });
            assert_eq!(said.unwrap(), "Ok(4) Ok(2)");
        }
        assert_eq!(world.inspect(dedicated), [("note".to_owned(), puppet.to_string())], "who called last");
    }

    fn two_dedicated_processes_talk(world, other) {
        let (one, one_reports) = world.dedicated(0, SpawnOptions::new());
        let (two, two_reports) = world.dedicated(other, SpawnOptions::new());
        for (from, to, reports) in [(one, two, &two_reports), (two, one, &one_reports)] {
            let said = world.run_async(from, move |cx| {
                Box::pin(async move {
                    cx.send(to, Note(1)).unwrap();
                    format!("{:?}", cx.call(to, Double(3)).await)
                })
            });
            assert_eq!(said.unwrap(), "Ok(6)");
            expect(reports, world, &["note 1"]);
        }
    }

    fn sleeps_timers_and_requests_work_on_the_own_thread(world, other) {
        let (puppet, _puppet_reports) = world.puppet(0, SpawnOptions::new());
        let (dedicated, reports) = world.dedicated(other, SpawnOptions::new());
        let said = world.run_async(dedicated, |cx| {
            Box::pin(async move {
                cx.sleep(Duration::from_millis(20)).await;
                cx.yield_now().await;
                "slept".into()
            })
        });
        assert_eq!(said.unwrap(), "slept");
        world.run(dedicated, move |cx| {
            cx.send_after(cx.pid(), Note(1), Duration::from_millis(5)).unwrap();
            let gone = cx.send_after(cx.pid(), Note(2), Duration::from_secs(600)).unwrap();
            cx.request(puppet, Double(5), 77, Duration::from_secs(5)).unwrap();
            format!("{}", cx.cancel_timer(gone))
        });
        let mut found = [reports.next(world), reports.next(world)];
        found.sort();
        assert_eq!(found, ["note 1", "response 77 Ok(10)"]);
        let said = world.run_async(dedicated, move |cx| {
            let call = cx.call_timeout(puppet, Never, Duration::from_millis(10));
            Box::pin(async move { format!("{:?}", call.await) })
        });
        assert_eq!(said.unwrap(), "Err(Timeout)");
    }

    fn the_end_of_a_dedicated_process_fires_once_and_frees_its_name(world, other) {
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        for (end, text) in [(0, "normal"), (1, "custom boom"), (2, "panic: told to"), (3, "kill")] {
            let (target, target_reports) = world.dedicated(other, SpawnOptions::named("short-lived"));
            world.run(watcher, move |cx| format!("{:?}", cx.monitor(target)));
            world.run(watcher, move |cx| format!("{:?}", cx.monitor("short-lived")));
            match end {
                0 => world.send(target, Stop).unwrap(),
                1 => world.send(target, Fail("boom")).unwrap(),
                2 => world.send(target, Panic).unwrap(),
                _ => world.kill(target),
            }
            let mut downs = [reports.next(world), reports.next(world)];
            downs.sort();
            assert_eq!(downs, [format!("down name short-lived {text}"), format!("down pid {text}")]);
            assert_eq!(world.whereis("short-lived"), None);
            expect(&target_reports, world, &[&format!("terminate {text}")]);
            world.until_gone(target);
            assert_eq!(world.call(target, Double(1)), Err(CallError::Send(SendReason::NoProcess)));
        }
        world.run(watcher, |_| String::new());
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn a_dedicated_process_watches_links_and_traps(world, other) {
        let (dedicated, reports) = world.dedicated(other, SpawnOptions::new());
        let (first, _) = world.puppet(0, SpawnOptions::named("watched"));
        assert_eq!(world.run(dedicated, move |cx| format!("{:?}", cx.monitor(first))), "Ok(())");
        assert_eq!(world.run(dedicated, move |cx| format!("{:?}", cx.monitor(first))), "Err(Exists)");
        assert_eq!(world.run(dedicated, |cx| format!("{:?}", cx.monitor("watched"))), "Ok(())");
        assert_eq!(world.run(dedicated, |cx| format!("{:?}", cx.demonitor("watched"))), "Ok(())");
        world.send(first, Fail("boom")).unwrap();
        expect(&reports, world, &["down pid custom boom"]);
        let (second, _) = world.puppet(0, SpawnOptions::new());
        world.run(dedicated, move |cx| {
            cx.trap_exit(true);
            format!("{:?}", cx.link(second))
        });
        world.send(second, Panic).unwrap();
        expect(&reports, world, &["exit pid panic: told to"]);
        let (third, _) = world.puppet(0, SpawnOptions::new());
        world.run(dedicated, move |cx| {
            cx.trap_exit(false);
            format!("{:?}", cx.link(third))
        });
        assert_eq!(world.facts(dedicated).links, [Target::Pid(third)]);
        world.kill(third);
        expect(&reports, world, &["terminate kill"]);
        world.until_gone(dedicated);
    }

    fn names_aliases_events_and_environment_are_its_home_shards(world, other) {
        let (puppet, puppet_reports) = world.puppet(0, SpawnOptions::new());
        let (dedicated, reports) = world.dedicated(other, SpawnOptions::new().with_env("given", 7_u32));
        assert_eq!(world.run(dedicated, |cx| format!("{:?}", cx.register("late"))), "Ok(())");
        assert_eq!(world.whereis("late"), Some(dedicated));
        let (tell, told) = channel::<Alias>();
        let said = world.run(dedicated, move |cx| {
            tell.send(cx.create_alias().unwrap()).unwrap();
            format!("{:?} {:?}", cx.register_event::<Note>("happens", EventOptions::new()).map(drop), cx.register("twice").is_err())
        });
        assert_eq!(said, "Ok(()) true");
        let alias = told.recv().unwrap();
        let facts = world.facts(dedicated);
        assert_eq!((facts.aliases, facts.events), (vec![alias], vec!["happens".to_owned()]));
        let said = world.run(puppet, move |cx| {
            cx.send(alias, Note(5)).unwrap();
            format!("{:?} {:?}", cx.monitor(alias), cx.link(Target::event("happens")))
        });
        assert_eq!(said, "Ok(()) Ok(())");
        expect(&reports, world, &["note 5"]);
        assert_eq!(world.run(dedicated, move |cx| format!("{:?}", cx.delete_alias(alias))), "Ok(())");
        expect(&puppet_reports, world, &["down alias unregistered"]);
        world.run(dedicated, |cx| {
            cx.split_handle(true);
            String::new()
        });
        world.run(puppet, |cx| format!("{:?}", cx.send("late", Note(6))));
        expect(&reports, world, &["note 6 by name late"]);
        let said = world.run(dedicated, |cx| {
            cx.set_env("own", 8_u32);
            format!("{:?} {:?} {:?}", cx.env::<u32>("given"), cx.env::<u32>("own"), cx.unregister())
        });
        assert_eq!(said, "Some(7) Some(8) Ok(())");
        world.until("the home shard has the environment", |world| world.facts(dedicated).env == ["GIVEN", "OWN"]);
    }

    fn children_of_a_dedicated_process_are_on_its_home_shard(world, other) {
        let (dedicated, reports) = world.dedicated(other, SpawnOptions::new().with_env("given", 7_u32));
        let said = world.run(dedicated, move |cx| {
            assert_eq!(cx.shard_index(), other);
            let puppet = || Puppet { tell: channel().0, note: String::new() };
            let plain = cx.spawn(puppet, SpawnOptions::new()).map(|_| ());
            format!("{plain:?}")
        });
        assert_eq!(said, "Err(OtherShard)");
        let (pid, pids) = channel();
        let said = world.run_async(dedicated, move |cx| {
            Box::pin(async move {
                let puppet = || Puppet { tell: channel().0, note: String::new() };
                let child = cx.spawn_wait(puppet, SpawnOptions::new().link_child()).await.unwrap();
                pid.send(child).unwrap();
                format!("{:?}", cx.call(child, Double(3)).await)
            })
        });
        assert_eq!(said.unwrap(), "Ok(6)");
        let child = pids.recv().unwrap();
        assert_eq!(child.local.shard(), other);
        let facts = world.facts(child);
        assert_eq!((facts.parent, facts.env), (dedicated, vec!["GIVEN".to_owned()]));
        assert_eq!(world.facts(dedicated).links, [Target::Pid(child)]);
        world.send(child, Fail("boom")).unwrap();
        expect(&reports, world, &["terminate custom boom"]);
        world.until_gone(dedicated);
    }

    fn a_process_spawns_a_dedicated_child_and_waits(world, other) {
        let (parent, reports) = world.puppet(other, SpawnOptions::new().trap_exit());
        let said = world.run(parent, |cx| {
            let puppet = || Puppet { tell: channel().0, note: String::new() };
            format!("{:?}", cx.spawn(puppet, SpawnOptions::new().dedicated_thread()).map(|_| ()))
        });
        assert_eq!(said, "Err(Dedicated)");
        let said = world.run_async(parent, |cx| {
            Box::pin(async move {
                let puppet = || Puppet { tell: channel().0, note: String::new() };
                let options = SpawnOptions::named("child").dedicated_thread().link_child().link_parent();
                let child = cx.spawn_wait(puppet, options).await.unwrap();
                format!("{:?}", cx.call(child, Double(3)).await)
            })
        });
        assert_eq!(said.unwrap(), "Ok(6)");
        let child = world.whereis("child").unwrap();
        world.send(child, Panic).unwrap();
        expect(&reports, world, &["exit pid panic: told to"]);
    }

    fn kill_reaches_an_idle_and_a_suspended_dedicated_process(world, other) {
        let (puppet, _puppet_reports) = world.puppet(0, SpawnOptions::new());
        let (idle, reports) = world.dedicated(other, SpawnOptions::new());
        world.until("it sleeps", |world| world.process(idle).unwrap().state == ProcessState::Sleep);
        world.kill(idle);
        world.until_gone(idle);
        expect(&reports, world, &["terminate kill"]);
        let (waiting, reports) = world.dedicated(other, SpawnOptions::new());
        world.send(waiting, ask(puppet)).unwrap();
        world.until("it waits", |world| world.process(waiting).unwrap().state == ProcessState::WaitResponse);
        world.kill(waiting);
        world.until_gone(waiting);
        expect(&reports, world, &["terminate kill"]);
        let (waiting, reports) = world.dedicated(other, SpawnOptions::new());
        world.send(waiting, ask(puppet)).unwrap();
        world.until("it waits", |world| world.process(waiting).unwrap().state == ProcessState::WaitResponse);
        world.cancel_waits(waiting);
        expect(&reports, world, &["terminate panic: asked in vain: Err(Canceled)"]);
    }

    fn counters_and_priorities_are_those_of_a_process(world, other) {
        let (dedicated, reports) = world.dedicated(other, SpawnOptions::named("counted"));
        world.run(dedicated, |cx| format!("{:?}", cx.send(cx.pid(), Note(1))));
        expect(&reports, world, &["note 1"]);
        let (puppet, _puppet_reports) = world.puppet(0, SpawnOptions::new());
        let before = world.process(dedicated).unwrap();
        assert_eq!((before.messages_in, before.messages_out), (2, 1));
        assert!(before.wakeups >= 2 && before.mailbox == 0, "{before:?}");
        assert_eq!(before.behavior, "world.Puppet");
        // Between priorities order holds for what has arrived: on a real node that is after all three are queued.
        world.hold(dedicated);
        world.run(puppet, move |cx| {
            for (n, priority) in [(1, Priority::Normal), (2, Priority::High), (3, Priority::Max)] {
                cx.send_with(dedicated, Note(n), priority).unwrap();
            }
            String::new()
        });
        world.until("all are queued", |world| world.facts(dedicated).queues.iter().sum::<u64>() == 3);
        world.cancel_waits(dedicated);
        expect(&reports, world, &["note 3", "note 2", "note 1"]);
        world.until("all is counted", |world| world.process(dedicated).unwrap().messages_in == 6);
        let spawned = world.counters();
        world.send(dedicated, Stop).unwrap();
        world.until_gone(dedicated);
        let ended = world.counters();
        assert_eq!(ended.terminated, spawned.terminated + 1);
        assert_eq!(ended.retired_in, spawned.retired_in + 7);
        assert_eq!(ended.processes, spawned.processes - 1);
    }

    fn a_bounded_mailbox_refuses_and_a_sender_waits_for_room(world, other) {
        let (dedicated, reports) = world.dedicated(other, SpawnOptions::new().with_mailbox(2));
        let (puppet, _puppet_reports) = world.puppet(0, SpawnOptions::new());
        // The message in hand has its place until it is handled or waits, as on a shard.
        let said = world.run_async(dedicated, move |cx| {
            Box::pin(async move {
                let fill = Act(Box::new(move |cx| {
                    let mut sent = 0;
                    while cx.send(dedicated, Note(sent)).is_ok() {
                        sent += 1;
                    }
                    format!("{sent} {:?}", cx.send(dedicated, Note(99)).unwrap_err().reason)
                }));
                cx.call(puppet, fill).await.unwrap()
            })
        });
        let said = said.unwrap();
        assert!(said == "1 MailboxFull" || said == "2 MailboxFull", "{said}");
        let taken = said.starts_with('2');
        let said = world.run_async(puppet, move |cx| {
            Box::pin(async move {
                for n in 50..60 {
                    cx.send_wait(dedicated, Note(n), Duration::from_secs(5)).await.unwrap();
                }
                "all".into()
            })
        });
        assert_eq!(said.unwrap(), "all");
        let mut expected: Vec<String> = (0..if taken { 2 } else { 1 }).map(|n| format!("note {n}")).collect();
        expected.extend((50..60).map(|n| format!("note {n}")));
        expect(&reports, world, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn what_goes_wrong_at_the_start_is_told(world, other) {
        let name = || SpawnOptions::named("stillborn").dedicated_thread();
        let refused = world.start(other, || -> Puppet { panic!("no actor") }, name()).unwrap_err();
        assert_eq!(refused.to_string(), "the process did not start: panic: the actor's factory panicked: no actor");
        let refused = world.start(other, || Starter(0), name()).unwrap_err();
        assert_eq!(refused.to_string(), "the process did not start: custom no start");
        let refused = world.start(other, || Starter(1), name()).unwrap_err();
        assert_eq!(refused.to_string(), "the process did not start: panic: bad start");
        let limit = Duration::from_millis(30);
        let refused = world.start(other, || Starter(2), name().with_init_timeout(limit)).unwrap_err();
        assert_eq!(refused.to_string(), "the process did not start: init was not done within 30ms");
        let up = world.start(other, || Starter(3), name()).unwrap();
        assert_eq!(world.call(up, Double(2)), Ok(4));
        let taken = world.start(other, || Starter(3), name()).unwrap_err();
        assert!(matches!(taken, SpawnError::NameTaken { holder, .. } if holder == up), "{taken}");
        world.kill(up);
        world.until_gone(up);
    }

    fn a_node_has_256_of_them_and_says_so(world, other) {
        let puppet = || Puppet { tell: channel().0, note: String::new() };
        let options = || SpawnOptions::new().dedicated_thread();
        let all: Vec<Pid> = (0..256).map(|_| world.start(other, puppet, options()).unwrap()).collect();
        let refused = world.start(0, puppet, options().with_name("late")).unwrap_err();
        assert!(matches!(refused, SpawnError::ThreadLimit { limit: 256 }), "{refused}");
        assert_eq!(world.whereis("late"), None);
        for (n, pid) in (0_u32..).zip(&all) {
            assert_eq!(world.call(*pid, Double(n)), Ok(2 * n));
        }
        world.kill(all[0]);
        world.until_gone(all[0]);
        let mut again = None;
        world.until("there is a place again", |world| {
            again = world.start(other, puppet, options()).ok();
            again.is_some()
        });
        assert_eq!(world.call(again.unwrap(), Double(1)), Ok(2));
    }

    fn a_supervisor_keeps_a_dedicated_child_up(world, other) {
        let (tell, reports) = channel();
        let puppet = move || Puppet { tell: tell.clone(), note: String::new() };
        let child = Child::new(puppet).options(SpawnOptions::named("blocking").dedicated_thread());
        let tree = move || {
            Supervisor::new(SupervisorSpec::one_for_one())
                .child_with(ChildSpec::new("blocking").restart(Strategy::Permanent), child)
        };
        world.spawn(other, tree, SpawnOptions::named("tree")).unwrap();
        world.until("the child is up", |world| world.whereis("blocking").is_some());
        let first = world.whereis("blocking").unwrap();
        world.send(first, Panic).unwrap();
        world.until("the child is up again", |world| world.whereis("blocking").is_some_and(|pid| pid != first));
        let second = world.whereis("blocking").unwrap();
        assert_eq!(world.call(second, Double(2)), Ok(4));
        assert_eq!(reports.recv().unwrap(), "terminate panic: told to");
        let refused = world.start(
            other,
            || Supervisor::new(SupervisorSpec::one_for_one()),
            SpawnOptions::new().dedicated_thread(),
        );
        assert!(matches!(refused, Err(SpawnError::NotAlone { kind: "supervisor" })), "{refused:?}");
    }
}

/// Whether a handler of the process is on its stack.
fn is_inside(world: &World, pid: Pid) -> bool {
    world.process(pid).is_some_and(|process| process.callback_ns > 0)
}

/// Waits for an answer that does not come.
fn ask(of: Pid) -> crate::world::ActAsync {
    crate::world::ActAsync(Box::new(move |cx| {
        Box::pin(async move {
            let answer = cx.call(of, Never).await;
            panic!("asked in vain: {answer:?}")
        })
    }))
}

/// Starts as told.
struct Starter(u32);

#[actor]
impl Starter {
    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        match self.0 {
            0 => return Err(crate::world::Custom("no start").into()),
            1 => panic!("bad start"),
            2 => cx.sleep(Duration::from_secs(1000)).await,
            _ => cx.sleep(Duration::from_millis(1)).await,
        }
        Ok(())
    }
    #[handle]
    fn double(&mut self, m: Double, _cx: &mut Context<'_>) -> Result<u32, ActorError> {
        Ok(m.0 * 2)
    }
}

/// Blocks the handler until something comes, or everything else has gone.
fn block_on(gate: Receiver<()>) -> Act {
    Act(Box::new(move |_cx| {
        let _either = gate.recv();
        String::new()
    }))
}

/// A real node, a process that blocks in a handler, and what lets it go.
struct Blocked {
    world: World,
    node: Node,
    pid: Pid,
    reports: Reports,
    gate: Sender<()>,
}

fn blocked(node: Node, name: &str) -> Blocked {
    let mut world = World::Real(node.clone());
    let (pid, reports) = world.dedicated(1, SpawnOptions::named(name));
    let (gate, closed) = channel();
    world.send(pid, block_on(closed)).unwrap();
    world.until("it blocks", |world| is_inside(world, pid));
    Blocked { world, node, pid, reports, gate }
}

fn node() -> Node {
    Node::builder("blocking@localhost").shards(2).log_level(LogLevel::Panic).start().unwrap()
}

#[test]
fn a_process_killed_inside_a_callback_ends_for_everybody_else() {
    let Blocked { mut world, node, pid, reports, gate } = blocked(node(), "busy");
    let (watcher, watcher_reports) = world.puppet(0, SpawnOptions::new());
    world.run(watcher, move |cx| format!("{:?}", cx.monitor(pid)));
    world.run(watcher, |cx| format!("{:?}", cx.monitor("busy")));
    let caller = {
        let node = node.clone();
        std::thread::Builder::new().spawn(move || node.call_blocking(pid, Double(1))).unwrap()
    };
    world.until("the call waits", |world| world.process(pid).unwrap().mailbox >= 2);
    node.kill(pid);
    let mut downs = [watcher_reports.next(&mut world), watcher_reports.next(&mut world)];
    downs.sort();
    assert_eq!(downs, ["down name busy kill", "down pid kill"]);
    assert_eq!(caller.join().unwrap(), Err(CallError::Killed), "what was queued is answered");
    assert_eq!(world.whereis("busy"), None);
    let seen = world.process(pid).unwrap();
    assert_eq!((seen.state, seen.callback_ns > 0), (ProcessState::Zombee, true));
    let said = world.run(watcher, move |cx| {
        format!("{:?} {:?}", cx.send(pid, Note(1)).unwrap_err().reason, cx.monitor(pid).unwrap_err())
    });
    assert_eq!(said, "Terminated Terminated");
    assert_eq!(world.send(pid, Note(1)).unwrap_err().reason, SendReason::Terminated);
    // The successor is there before the zombee has gone, and its shard is not held up.
    let (successor, successor_reports) = world.dedicated(1, SpawnOptions::named("busy"));
    world.send("busy", Note(7)).unwrap();
    assert_eq!(successor_reports.next(&mut world), "note 7");
    assert_eq!(world.process(pid).unwrap().state, ProcessState::Zombee);
    let mut listed = Vec::new();
    node.stats().processes(|process| {
        listed.push(process.id);
        true
    });
    assert!(listed.contains(&pid.local) && listed.contains(&successor.local));
    gate.send(()).unwrap();
    world.until_gone(pid);
    assert_eq!(reports.next(&mut world), "terminate kill");
    assert_eq!(world.call(successor, Double(3)), Ok(6));
    node.stop();
}

#[test]
fn inspect_requests_of_a_stuck_process_are_bounded() {
    let Blocked { mut world, node, pid, gate, .. } = blocked(node(), "busy");
    let ask = || node.inspect_blocking(pid, Vec::new(), Duration::from_millis(1));
    // The first 64 wait for the callback; what comes behind them is answered at once.
    world.until("requests are refused", |_| ask().is_ok_and(|entries| entries[0].0 == "error"));
    gate.send(()).unwrap();
    world.until("it answers again", |_| ask().is_ok_and(|entries| entries[0].0 == "note"));
    assert_eq!(world.call(pid, Double(1)), Ok(2));
    node.stop();
}

#[test]
fn an_exit_signal_waits_for_the_callback() {
    let Blocked { mut world, node, pid, reports, gate } = blocked(node(), "busy");
    let (puppet, _puppet_reports) = world.puppet(1, SpawnOptions::new());
    let said = world.run(puppet, move |cx| format!("{:?}", cx.exit(pid, ExitReason::Shutdown)));
    assert_eq!(said, "Ok(())");
    world.run(puppet, |_| String::new());
    assert_eq!(world.whereis("busy"), Some(pid));
    assert_eq!(world.process(pid).unwrap().state, ProcessState::Running);
    gate.send(()).unwrap();
    world.until_gone(pid);
    assert_eq!(reports.next(&mut world), "terminate shutdown");
    node.stop();
}

#[test]
fn an_init_that_blocks_is_given_up() {
    let node = node();
    let mut world = World::Real(node.clone());
    let (gate, closed) = channel::<()>();
    let options = SpawnOptions::named("slow").dedicated_thread().with_init_timeout(Duration::from_millis(20));
    let factory = move || -> Puppet {
        let _either = closed.recv();
        Puppet { tell: channel().0, note: String::new() }
    };
    let refused = world.start(0, factory, options).unwrap_err();
    assert_eq!(refused.to_string(), "the process did not start: init was not done within 20ms");
    assert_eq!(world.whereis("slow"), None);
    drop(gate);
    world.until("nobody is left", |world| world.counters().processes == 0);
    node.stop();
}

/// Keeps what is logged.
struct Lines(Sender<String>);

impl LogSink for Lines {
    fn write(&mut self, _node: &shard_runtime::wire::NodeName, record: &LogRecord) {
        let _nobody_listens = self.0.send(record.text.clone());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the stop's limit is wall time")]
fn a_callback_that_never_returns_does_not_hold_up_the_stop() {
    let (tell, lines) = channel();
    let node = Node::builder("stuck@localhost").shards(2).log_level(LogLevel::Error).log_sink(Lines(tell));
    let Blocked { mut world, node, pid, gate, .. } = blocked(node.start().unwrap(), "stuck");
    let (well, reports) = world.dedicated(0, SpawnOptions::new());
    let begun = Instant::now();
    node.stop();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(reports.next(&mut world), "terminate shutdown");
    assert_ne!(well, pid);
    let named = loop {
        let line = lines.recv_timeout(Duration::from_secs(10)).expect("the stuck thread is named in the log");
        if line.contains("did not return within") {
            break line;
        }
    };
    assert!(named.contains("world.Puppet"), "{named}");
    drop(gate);
}

#[test]
fn a_dedicated_process_may_make_blocking_calls() {
    let node = node();
    let mut world = World::Real(node.clone());
    let (puppet, _reports) = world.puppet(0, SpawnOptions::new());
    let (dedicated, _dedicated_reports) = world.dedicated(0, SpawnOptions::new());
    let inner = node.clone();
    let said = world.run(dedicated, move |_| {
        let made =
            inner.spawn(|| Puppet { tell: channel().0, note: String::new() }, SpawnOptions::new()).unwrap();
        format!("{:?} {:?}", inner.call_blocking(puppet, Double(2)), inner.call_blocking(made, Double(3)))
    });
    assert_eq!(said, "Ok(4) Ok(6)");
    let inner = node.clone();
    let said = world.run(puppet, move |_| format!("{:?}", inner.call_blocking(dedicated, Double(2))));
    assert_eq!(said, "Err(OnShard)");
    node.stop();
}

/// Threads of dedicated processes in this OS process.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("process-")).count()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn threads_and_memory_come_back() {
    let node = node();
    let mut world = World::Real(node.clone());
    let mut resident = Vec::new();
    for round in 0..8 {
        let all: Vec<_> = (0..50).map(|_| world.dedicated(round % 2, SpawnOptions::new())).collect();
        for (pid, _) in &all {
            assert_eq!(world.call(*pid, Double(2)), Ok(4));
        }
        assert!(threads() >= 50);
        for (n, (pid, _)) in all.iter().enumerate() {
            if n % 2 == 0 { node.kill(*pid) } else { world.send(*pid, Stop).unwrap() }
        }
        world.until("all are gone", |world| world.counters().processes == 0);
        resident.push(resident_kib());
    }
    world.until("no thread is left", |_| threads() == 0);
    let counters = world.counters();
    assert_eq!((counters.spawned, counters.terminated), (400, 400));
    let (early, late) = (resident[3], resident[7]);
    assert!(late < early + 4096, "{resident:?}");
    node.stop();
}
