//! Rows of the conformance table about pools, routers and supervisors as actors.

use crate::world::{Double, Note, Panic, Puppet, Stop, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{
    AddRoute, CallError, Child, ChildSpec, DisableRoute, EnableRoute, Pool, PoolStatus, Priority,
    RemoveRoute, ReplaceRoute, RespawnRoute, RouteError, RoutePending, RouteSpec, RouteTo, Router, Routes,
    SendReason, SpawnError, StartChild, Supervisor, SupervisorSpec,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

fn maker(tell: &Sender<String>) -> impl Fn() -> Puppet + Clone + Send + Sync + 'static {
    let tell = tell.clone();
    move || Puppet { tell: tell.clone(), note: String::new() }
}

fn next(world: &mut World, told: &Receiver<String>) -> String {
    let mut found = None;
    world.until("a report", |_| {
        found = told.try_recv().ok();
        found.is_some()
    });
    found.unwrap()
}

fn keys(entries: &[(String, String)]) -> Vec<&str> {
    entries.iter().map(|(key, _)| key.as_str()).collect()
}

/// A stranger tells a process to end.
fn exit(world: &mut World, pid: Pid) {
    let (stranger, _) = world.puppet(0, SpawnOptions::new());
    assert_eq!(world.run(stranger, move |cx| format!("{:?}", cx.exit(pid, ExitReason::Shutdown))), "Ok(())");
    world.kill(stranger);
    world.until_gone(stranger);
}

/// A router to routes of these names, by the number of a note: 0 is the first route.
fn router(
    world: &mut World,
    shard: u16,
    names: &'static [&'static str],
    mailbox: u32,
    tell: &Sender<String>,
) -> Result<Pid, SpawnError> {
    let make = maker(tell);
    let failed = tell.clone();
    let factory = move || {
        let choose = move |m: &shard_runtime::Incoming<'_>| {
            let Some(note) = m.get::<Note>() else { return RouteTo::name("a") };
            names.get(note.0 as usize).map_or(RouteTo::Discard, |name| RouteTo::name(name))
        };
        names
            .iter()
            .fold(Router::new(choose), |router, name| {
                router.route(RouteSpec::new(name, make.clone()).mailbox(mailbox))
            })
            .on_failed(move |m, _cx| {
                let note = m.message.get::<Note>().map(|note| note.0);
                failed.send(format!("failed {} {note:?} {:?}", m.name, m.reason)).unwrap();
            })
    };
    world.spawn(shard, factory, SpawnOptions::new())
}

both! {
    fn a_pool_has_three_workers_unless_told(world, other) {
        let (tell, _told) = channel();
        for size in [None, Some(0), Some(5)] {
            let make = maker(&tell);
            let factory = move || size.map_or_else(|| Pool::of(make.clone()), |size| Pool::of(make.clone()).size(size));
            let pool = world.spawn(other, factory, SpawnOptions::new()).unwrap();
            let stats = world.call(pool, PoolStatus).unwrap();
            let expected = if size == Some(5) { 5 } else { 3 };
            assert_eq!((stats.size, stats.running), (expected, expected));
            let facts = world.facts(pool);
            assert_eq!((facts.links.len(), facts.linked_by.len()), (expected, expected));
            let entries = world.inspect(pool);
            for key in ["pool_size", "worker_behavior", "worker_mailbox_size", "worker_restarts", "messages_forwarded", "messages_unhandled"] {
                assert!(keys(&entries).contains(&key) && keys(&entries).contains(&format!("ergo:{key}").as_str()), "{key}: {entries:?}");
            }
            assert!(entries.iter().any(|(key, value)| key == "worker_behavior" && value.ends_with("Puppet")), "{entries:?}");
            // It does not trap: an exit from anybody ends it, and its workers with it.
            exit(world, pool);
            world.until("the workers end with it", |world| world.counters().processes == 0);
        }
    }

    fn a_pool_hands_on_at_the_priority_of_the_sender(world, other) {
        let (tell, told) = channel();
        let make = maker(&tell);
        let pool = world.spawn(other, move || Pool::of(make).size(1), SpawnOptions::new()).unwrap();
        let worker = match &world.facts(pool).links[..] {
            [shard_runtime::Target::Pid(worker)] => *worker,
            links => panic!("{links:?}"),
        };
        world.hold(worker);
        let (sender, _reports) = world.puppet(0, SpawnOptions::new());
        world.run(sender, move |cx| {
            for (n, priority) in [Priority::Normal, Priority::High, Priority::Max].into_iter().enumerate() {
                cx.send_with(pool, Note(n as u32), priority).unwrap();
            }
            String::new()
        });
        world.until("all have come", |world| world.facts(worker).queues == [1, 1, 1, 0]);
        world.cancel_waits(worker);
        let heard: Vec<_> = (0..3).map(|_| next(world, &told)).collect();
        assert_eq!(heard, ["note 2", "note 1", "note 0"]);
    }

    fn a_full_worker_is_passed_over(world, other) {
        let (tell, told) = channel();
        let make = maker(&tell);
        let pool = world.spawn(other, move || Pool::of(make).size(2).worker_mailbox(1), SpawnOptions::new()).unwrap();
        let workers: Vec<Pid> = world.facts(pool).links.iter().map(|link| match link {
            shard_runtime::Target::Pid(worker) => *worker,
            link => panic!("{link:?}"),
        }).collect();
        world.hold(workers[0]);
        assert!(world.send(workers[0], Note(99)).is_ok());
        for n in 0..6 {
            world.send(pool, Note(n)).unwrap();
            assert_eq!(next(world, &told), format!("note {n}"));
        }
        let stats = world.call(pool, PoolStatus).unwrap();
        assert_eq!((stats.forwarded, stats.unhandled), (6, 0));
        world.cancel_waits(workers[0]);
        assert_eq!(next(world, &told), "note 99");
    }

    fn a_router_starts_with_all_its_routes_or_not_at_all(world, other) {
        let (tell, _told) = channel();
        for (names, why) in [(&["a", "a"][..], "there is a route of that name already"), (&["a", ""][..], "a route needs a name")] {
            let names: &'static [&'static str] = names;
            match router(world, other, names, 0, &tell) {
                // A real node waits for the start; the simulation returns when the process is there.
                Err(SpawnError::Init { reason }) => assert!(reason.to_string().starts_with(why), "{reason}"),
                Err(error) => panic!("{error}"),
                Ok(pid) => world.until_gone(pid),
            }
            world.until("its workers have ended", |world| world.counters().processes == 0);
        }
    }

    fn every_change_of_a_route_has_its_refusals(world, other) {
        let (tell, told) = channel();
        let pid = router(world, other, &["a", "b"], 0, &tell).unwrap();
        let spec = |name: &str| RouteSpec::new(name, maker(&tell));
        let none = || "none".into();
        assert_eq!(world.call(pid, AddRoute(spec(""))).unwrap(), Err(RouteError::NoName));
        assert_eq!(world.call(pid, AddRoute(spec("a"))).unwrap(), Err(RouteError::Duplicate));
        assert_eq!(world.call(pid, DisableRoute(none())).unwrap(), Err(RouteError::NoRoute));
        assert_eq!(world.call(pid, EnableRoute(none())).unwrap(), Err(RouteError::NoRoute));
        assert_eq!(world.call(pid, ReplaceRoute(spec("none"))).unwrap(), Err(RouteError::NoRoute));
        assert_eq!(world.call(pid, RespawnRoute(none())).unwrap(), Err(RouteError::NoRoute));
        assert_eq!(world.call(pid, EnableRoute("a".into())).unwrap(), Ok(()));
        // A route whose old worker has still something to do is pending: it is busy for changes and for messages.
        let worker = world.call(pid, Routes).unwrap()[0].pid.unwrap();
        world.hold(worker);
        assert_eq!(world.call(pid, ReplaceRoute(spec("a"))).unwrap(), Ok(()));
        assert_eq!(world.call(pid, Routes).unwrap()[0].pending, RoutePending::Replace);
        assert_eq!(world.call(pid, ReplaceRoute(spec("a"))).unwrap(), Err(RouteError::Busy));
        assert_eq!(world.call(pid, DisableRoute("a".into())).unwrap(), Err(RouteError::Busy));
        assert_eq!(world.call(pid, EnableRoute("a".into())).unwrap(), Err(RouteError::Busy));
        assert_eq!(world.call(pid, RespawnRoute("a".into())).unwrap(), Err(RouteError::Busy));
        assert_eq!(world.call(pid, RemoveRoute("a".into())).unwrap(), Err(RouteError::Busy));
        assert_eq!(world.call(pid, Double(1)), Err(CallError::Busy));
        world.send(pid, Note(0)).unwrap();
        assert_eq!(next(world, &told), "failed a Some(0) Busy");
        world.cancel_waits(worker);
        world.until("it is replaced", |world| {
            let routes = world.call(pid, Routes).unwrap();
            routes[0].pending == RoutePending::None && routes[0].pid.is_some_and(|pid| pid != worker)
        });
        assert_eq!(next(world, &told), "terminate normal");
        assert_eq!(world.call(pid, Double(2)), Ok(4));
        // One that is being removed takes nothing more, what it had is handled first.
        let worker = world.call(pid, Routes).unwrap()[0].pid.unwrap();
        world.hold(worker);
        world.send(pid, Note(0)).unwrap();
        world.until("it is queued", |world| world.facts(worker).queues[0] == 1);
        assert_eq!(world.call(pid, RemoveRoute("a".into())).unwrap(), Ok(()));
        assert_eq!(world.call(pid, Double(1)), Err(CallError::Send(SendReason::NoRoute)));
        world.cancel_waits(worker);
        assert_eq!((next(world, &told).as_str(), next(world, &told).as_str()), ("note 0", "terminate normal"));
        world.until("it is gone", |world| world.call(pid, Routes).unwrap().len() == 1);
        assert_eq!(world.call(pid, DisableRoute("b".into())).unwrap(), Ok(()));
        assert_eq!(next(world, &told), "terminate normal");
        assert_eq!(world.call(pid, DisableRoute("b".into())).unwrap(), Ok(()));
        assert_eq!(world.call(pid, ReplaceRoute(spec("b"))).unwrap(), Ok(()));
        assert!(world.call(pid, Routes).unwrap()[0].disabled);
        let entries = world.inspect(pid);
        for key in ["ergo:type", "routes_total", "routes_active", "routes_disabled", "routes_pending", "forwarded", "discarded", "failed", "restarts", "route:b:pid", "route:b:disabled", "route:b:pending"] {
            assert!(keys(&entries).contains(&key), "{key}: {entries:?}");
        }
        exit(world, pid);
        world.until("only the two gates are left", |world| world.counters().processes == 2);
    }

    fn a_full_route_fails_the_message_and_answers_the_call(world, other) {
        let (tell, told) = channel();
        let pid = router(world, other, &["a"], 1, &tell).unwrap();
        let worker = world.call(pid, Routes).unwrap()[0].pid.unwrap();
        world.hold(worker);
        world.send(pid, Note(0)).unwrap();
        world.send(pid, Note(0)).unwrap();
        assert_eq!(next(world, &told), "failed a Some(0) Send(MailboxFull)");
        assert_eq!(world.call(pid, Double(1)), Err(CallError::Send(SendReason::MailboxFull)));
        let (asker, reports) = world.puppet(0, SpawnOptions::new());
        world.run(asker, move |cx| format!("{:?}", cx.request_with(pid, Double(4), 1, Priority::High, Duration::from_secs(9)).is_ok()));
        // Its System queue has a place left.
        world.until("it is queued", |world| world.facts(worker).queues == [1, 1, 0, 0]);
        world.cancel_waits(worker);
        assert_eq!((reports.next(world).as_str(), next(world, &told).as_str()), ("response 1 Ok(8)", "note 0"));
    }

    fn a_preserved_mailbox_is_kept_after_abnormal_ends_only_with_its_queues(world, other) {
        let (tell, told) = channel();
        let spec = ChildSpec::new("kept").preserve_mailbox();
        let child = Child::new(maker(&tell)).options(SpawnOptions::new().on_shard(other).with_mailbox(4));
        let tree = move || Supervisor::new(SupervisorSpec::one_for_one().disable_auto_shutdown()).child_with(spec, child);
        let tree = world.spawn(0, tree, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("kept").is_some());
        let (sender, _reports) = world.puppet(0, SpawnOptions::new());
        let fill = move |world: &mut World| {
            let pid = world.whereis("kept").unwrap();
            world.hold(pid);
            let said = world.run(sender, move |cx| {
                let sent = [(1, Priority::Normal), (2, Priority::Normal), (3, Priority::High), (4, Priority::Max)];
                format!("{:?}", sent.map(|(n, priority)| cx.send_with(pid, Note(n), priority).is_ok()))
            });
            assert_eq!(said, "[true, true, true, true]");
            world.until("all are queued", |world| world.facts(pid).queues == [2, 1, 1, 0]);
            pid
        };
        let first = fill(world);
        let before = world.counters().mailbox_lost;
        world.kill(first);
        assert_eq!(next(world, &told), "terminate kill");
        let heard: Vec<_> = (0..4).map(|_| next(world, &told)).collect();
        assert_eq!(heard, ["note 4", "note 3", "note 1", "note 2"]);
        assert_eq!(world.counters().mailbox_lost, before);
        // The places of the successor are its own: four in Main, once it is idle.
        world.until("it is idle", |world| world.whereis("kept").is_some_and(|pid| world.facts(pid).queues == [0; 4]));
        let second = fill(world);
        assert_ne!(first, second);
        let (asker, _asker_reports) = world.puppet(0, SpawnOptions::new());
        let said = world.run(asker, move |cx| format!("{:?}", [0, 1, 2].map(|n| cx.send(second, Note(n)).is_ok())));
        assert_eq!(said, "[true, true, false]");
        // An ordinary end keeps nothing.
        let said = world.run(asker, move |cx| format!("{:?}", cx.exit(second, ExitReason::Shutdown)));
        assert_eq!(said, "Ok(())");
        assert_eq!(next(world, &told), "terminate shutdown");
        world.until("the rest is lost", |world| world.counters().mailbox_lost == before + 6);
        let (_, third) = world.call(tree, StartChild::new("kept")).unwrap().unwrap();
        assert_eq!(world.call(third, Double(3)), Ok(6));
        assert_eq!(told.try_iter().count(), 0);
    }

    fn the_message_that_ended_a_process_is_not_replayed(world, other) {
        let (tell, told) = channel();
        let spec = ChildSpec::new("kept").preserve_mailbox();
        let child = Child::new(maker(&tell)).options(SpawnOptions::new().on_shard(other));
        let tree = move || Supervisor::new(SupervisorSpec::one_for_one()).child_with(spec, child);
        world.spawn(0, tree, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("kept").is_some());
        let (sender, _reports) = world.puppet(other, SpawnOptions::new());
        let before = world.counters();
        world.run(sender, |cx| {
            cx.send("kept", Panic).unwrap();
            cx.send("kept", Note(1)).unwrap();
            String::new()
        });
        assert_eq!((next(world, &told).as_str(), next(world, &told).as_str()), ("terminate panic: told to", "note 1"));
        let after = world.counters();
        assert_eq!((after.interrupted - before.interrupted, after.mailbox_lost - before.mailbox_lost, after.panics - before.panics), (1, 0, 1));
    }

    fn a_supervisor_tells_its_keys_and_ends_with_its_last_child(world, other) {
        let (tell, told) = channel();
        let child = Child::new(maker(&tell)).options(SpawnOptions::new().on_shard(other));
        let tree = move || Supervisor::new(SupervisorSpec::one_for_one()).child_with(ChildSpec::new("only"), child);
        let tree = world.spawn(0, tree, SpawnOptions::new()).unwrap();
        world.until("it is up", |world| world.whereis("only").is_some());
        let first = world.whereis("only");
        world.send("only", Panic).unwrap();
        assert_eq!(next(world, &told), "terminate panic: told to");
        // The name is the first one's until its end is complete.
        world.until("it is back", |world| world.whereis("only").is_some_and(|now| Some(now) != first));
        let entries = world.inspect(tree);
        for key in ["type", "strategy", "intensity", "period", "keep_order", "auto_shutdown", "restarts_count", "children_total", "children_running", "children_disabled"] {
            assert!(keys(&entries).contains(&key) && keys(&entries).contains(&format!("ergo:{key}").as_str()), "{key}: {entries:?}");
        }
        assert!(entries.contains(&("child:only:restarts".to_owned(), "1".to_owned())), "{entries:?}");
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        world.run(watcher, move |cx| format!("{:?}", cx.monitor(tree)));
        world.send("only", Stop).unwrap();
        assert_eq!(reports.next(world), "down pid normal");
    }
}
