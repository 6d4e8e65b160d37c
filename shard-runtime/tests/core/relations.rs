//! Links and monitors: exit or down, exactly once, names free before anybody is told.

use crate::world::{Custom, Fail, Note, Panic, Stop, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{LinkError, Target};
use std::time::Duration;

both! {
    fn a_monitor_tells_why_a_process_ended_once(world, other) {
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        for (end, text) in [(0, "normal"), (1, "custom boom"), (2, "panic: told to"), (3, "kill")] {
            let (target, _) = world.puppet(other, SpawnOptions::new());
            assert_eq!(world.run(watcher, move |cx| format!("{:?}", cx.monitor(target))), "Ok(())");
            assert_eq!(
                world.run(watcher, move |cx| format!("{:?}", cx.monitor(target))),
                format!("{:?}", Err::<(), _>(LinkError::Exists))
            );
            match end {
                0 => world.send(target, Stop).unwrap(),
                1 => world.send(target, Fail("boom")).unwrap(),
                2 => world.send(target, Panic).unwrap(),
                _ => world.kill(target),
            }
            assert_eq!(reports.next(world), format!("down pid {text}"));
        }
        world.run(watcher, |_| String::new());
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn a_link_ends_its_consumer_with_the_same_reason_one_way(world, other) {
        let (consumer, reports) = world.puppet(0, SpawnOptions::new());
        let (target, _target_reports) = world.puppet(other, SpawnOptions::new());
        assert_eq!(world.run(consumer, move |cx| format!("{:?}", cx.link(target))), "Ok(())");
        // The consumer's end does not end the target.
        let (other_consumer, _) = world.puppet(0, SpawnOptions::new());
        world.run(other_consumer, move |cx| format!("{:?}", cx.link(target)));
        world.kill(other_consumer);
        world.until_gone(other_consumer);
        assert!(world.process(target).is_some());
        world.send(target, Fail("boom")).unwrap();
        assert_eq!(reports.next(world), "terminate custom boom");
        world.until_gone(consumer);
    }

    fn a_trapped_exit_is_a_message_but_not_the_parents(world, other) {
        let (consumer, reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        let (target, _target_reports) = world.puppet(other, SpawnOptions::new());
        world.run(consumer, move |cx| format!("{:?}", cx.link(target)));
        world.send(target, Panic).unwrap();
        assert_eq!(reports.next(world), "exit pid panic: told to");
        let (sender, _) = world.puppet(other, SpawnOptions::new());
        let said = world.run(sender, move |cx| format!("{:?}", cx.exit(consumer, ExitReason::custom(Custom("x")))));
        assert_eq!(said, "Ok(())");
        assert_eq!(reports.next(world), "exit pid custom x");
        assert!(world.process(consumer).is_some());
        // A child that traps exits ends with its parent all the same.
        let (tell, child_reports) = std::sync::mpsc::channel();
        let said = world.run(consumer, move |cx| {
            let puppet = move || crate::world::Puppet { tell, note: String::new() };
            cx.spawn(puppet, SpawnOptions::named("child").trap_exit().link_parent()).map(|_| ()).map_or_else(|e| e.to_string(), |()| "up".into())
        });
        assert_eq!(said, "up");
        let child = world.whereis("child").unwrap();
        world.kill(consumer);
        world.until_gone(child);
        assert_eq!(child_reports.try_iter().collect::<Vec<_>>(), ["terminate kill"]);
    }

    fn names_aliases_and_events_fire_when_given_up_and_when_their_owner_ends(world, other) {
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        let (owner, _owner_reports) = world.puppet(other, SpawnOptions::named("owner"));
        let watch = |world: &mut World, target: Target| {
            world.run(watcher, move |cx| format!("{:?}", cx.monitor(target)))
        };
        assert_eq!(watch(world, Target::event("news")), "Err(EventUnknown)");
        assert_eq!(watch(world, Target::name("nobody")), "Err(NameUnknown)");
        let alias = |world: &mut World| {
            let (tell, told) = std::sync::mpsc::channel();
            world.run(owner, move |cx| { tell.send(cx.create_alias().unwrap()).unwrap(); String::new() });
            told.recv().unwrap()
        };
        let (first, second) = (alias(world), alias(world));
        for name in ["news", "sport"] {
            assert_eq!(world.run(owner, move |cx| format!("{:?}", cx.register_event::<Note>(name, EventOptions::new()).map(drop))), "Ok(())");
        }
        assert_eq!(world.run(watcher, |cx| format!("{:?}", cx.register_event::<Note>("news", EventOptions::new()).map(drop))), "Err(Taken)");
        assert_eq!(world.run(watcher, |cx| format!("{:?}", cx.unregister_event("news"))), "Err(NotOwner)");
        assert_eq!(world.run(watcher, move |cx| format!("{:?}", cx.delete_alias(first))), "Err(NotOwner)");
        for target in [Target::name("owner"), first.into(), second.into(), Target::event("news"), Target::event("sport")] {
            assert_eq!(watch(world, target), "Ok(())");
        }
        world.run(owner, move |cx| format!("{:?}{:?}{:?}", cx.unregister(), cx.delete_alias(first), cx.unregister_event("news")));
        let mut fired: Vec<_> = (0..3).map(|_| reports.next(world)).collect();
        fired.sort();
        assert_eq!(fired, ["down alias unregistered", "down event news unregistered", "down name owner unregistered"]);
        assert_eq!(world.run(owner, move |cx| format!("{:?}", cx.delete_alias(first))), "Err(AliasUnknown)");
        assert_eq!(world.whereis("owner"), None);
        world.kill(owner);
        let mut fired: Vec<_> = (0..2).map(|_| reports.next(world)).collect();
        fired.sort();
        assert_eq!(fired, ["down alias kill", "down event sport kill"]);
        world.run(watcher, |_| String::new());
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn the_name_is_free_before_anybody_is_told(world, other) {
        // The watcher takes the name in the handler of the down message: it must be free by then, every time.
        let (watcher, reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        for _ in 0..50 {
            let (holder, _) = world.puppet(other, SpawnOptions::named("seat"));
            world.run(watcher, move |cx| format!("{:?}", cx.link(holder)));
            world.send(holder, Fail("gone")).unwrap();
            assert_eq!(reports.next(world), "exit pid custom gone");
            assert_eq!(world.whereis("seat"), None);
        }
    }

    fn an_undone_relation_does_not_fire_and_a_dead_target_is_refused(world, other) {
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        let (target, _) = world.puppet(other, SpawnOptions::new());
        let said = world.run(watcher, move |cx| {
            format!("{:?} {:?} {:?} {:?}", cx.monitor(target), cx.demonitor(target), cx.demonitor(target), cx.unlink(target))
        });
        assert_eq!(said, "Ok(()) Ok(()) Err(Missing) Err(Missing)");
        world.kill(target);
        world.until_gone(target);
        let said = world.run(watcher, move |cx| format!("{:?} {:?}", cx.monitor(target), cx.link(target)));
        assert_eq!(said, "Err(NoProcess) Err(NoProcess)");
        let said = world.run(watcher, |cx| {
            let own = cx.pid();
            let parent = cx.parent();
            format!("{:?} {:?} {:?} {:?}", cx.link(own), cx.exit(own, ExitReason::Normal), cx.exit(parent, ExitReason::Normal), cx.monitor(Target::node("core@localhost")))
        });
        assert_eq!(said, "Err(NotAllowed) Err(NotAllowed) Err(NotAllowed) Err(NotAllowed)");
        let said = world.run(watcher, |cx| format!("{:?}", cx.monitor(Target::node("other@localhost"))));
        assert_eq!(said, "Err(NotConnected)");
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn relations_of_a_dead_consumer_are_forgotten(world, other) {
        let (target, _reports) = world.puppet(other, SpawnOptions::new());
        for _ in 0..200 {
            let (consumer, _) = world.puppet(0, SpawnOptions::new());
            world.run(consumer, move |cx| format!("{:?}{:?}", cx.monitor(target), cx.link(target)));
            world.kill(consumer);
            world.until_gone(consumer);
        }
        world.until("the dead are forgotten", |world| {
            let facts = world.facts(target);
            (facts.monitored_by.len(), facts.linked_by.len()) == (0, 0)
        });
        let (consumer, _consumer_reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        world.run(consumer, move |cx| format!("{:?}{:?}", cx.monitor(target), cx.link(target)));
        world.until("the living are known", |world| {
            let facts = world.facts(target);
            (facts.monitored_by.as_slice(), facts.linked_by.as_slice()) == (&[consumer][..], &[consumer][..])
        });
        let facts = world.facts(consumer);
        assert_eq!((facts.monitors, facts.links), (vec![Target::Pid(target)], vec![Target::Pid(target)]));
    }

    fn what_the_dead_sent_arrives_before_its_end(world, other) {
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        let (target, _) = world.puppet(other, SpawnOptions::new());
        world.run(watcher, move |cx| format!("{:?}", cx.monitor(target)));
        world.run(target, move |cx| {
            for n in 0..100 {
                cx.send_with(watcher, Note(n), Priority::High).unwrap();
            }
            cx.send(cx.pid(), Stop).unwrap();
            String::new()
        });
        for n in 0..100 {
            assert_eq!(reports.next(world), format!("note {n}"));
        }
        assert_eq!(reports.next(world), "down pid normal");
    }

    fn a_child_and_its_parent_are_linked_as_the_options_say(world, other) {
        let (parent, reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        let spawn = move |world: &mut World, options: SpawnOptions| {
            world
                .run_async(parent, move |cx| {
                    Box::pin(async move {
                        let (tell, _) = std::sync::mpsc::channel();
                        let puppet = move || crate::world::Puppet { tell, note: String::new() };
                        cx.spawn_wait(puppet, options).await.unwrap().to_string()
                    })
                })
                .unwrap()
                .parse::<Pid>()
                .unwrap()
        };
        let child = spawn(world, SpawnOptions::new().link_child().on_shard(other));
        world.send(child, Fail("boom")).unwrap();
        assert_eq!(reports.next(world), "exit pid custom boom");
        let child = spawn(world, SpawnOptions::new().link_parent().on_shard(other));
        let loose = spawn(world, SpawnOptions::new().on_shard(other));
        let facts = world.facts(child);
        assert_eq!((facts.parent, facts.links), (parent, vec![Target::Pid(parent)]));
        world.kill(parent);
        world.until_gone(child);
        assert!(world.process(loose).is_some());
        world.pass(Duration::from_secs(1));
    }
}
