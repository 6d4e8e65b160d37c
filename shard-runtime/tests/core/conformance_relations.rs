//! Rows of the conformance table about links and monitors: every kind of target, once each, with no gap for a race.

use crate::world::{Fail, Note, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{Alias, Target};
use std::sync::mpsc::channel;

fn alias_of(world: &mut World, pid: Pid) -> Alias {
    let (say, said) = channel();
    world.run(pid, move |cx| {
        say.send(cx.create_alias().unwrap()).unwrap();
        String::new()
    });
    said.recv().unwrap()
}

/// Waits until both halves of a puppet's relations are made.
fn until_watched(world: &mut World, target: Pid, links: usize, monitors: usize) {
    world.until("it is watched", |world| {
        let facts = world.facts(target);
        (facts.linked_by.len(), facts.monitored_by.len()) == (links, monitors)
    });
}

both! {
    fn trapped_exits_name_what_was_linked(world, other) {
        let (consumer, reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        let (owner, _owner_reports) = world.puppet(other, SpawnOptions::named("owner"));
        let (first, second) = (alias_of(world, owner), alias_of(world, owner));
        world.run(owner, |cx| format!("{:?}{:?}", cx.register_event::<Note>("news", EventOptions::new()).map(drop), cx.register_event::<Note>("sport", EventOptions::new()).map(drop)));
        let said = world.run(consumer, move |cx| {
            let targets = [Target::name("owner"), first.into(), second.into(), Target::event("news"), Target::event("sport"), owner.into()];
            format!("{:?}", targets.map(|target| cx.link(target).is_ok()))
        });
        assert_eq!(said, "[true, true, true, true, true, true]");
        until_watched(world, owner, 6, 0);
        world.run(owner, move |cx| format!("{:?}{:?}{:?}", cx.unregister(), cx.delete_alias(first), cx.unregister_event("news")));
        let mut fired: Vec<_> = (0..3).map(|_| reports.next(world)).collect();
        fired.sort();
        assert_eq!(fired, ["exit alias unregistered", "exit event news unregistered", "exit name owner unregistered"]);
        world.send(owner, Fail("boom")).unwrap();
        let mut fired: Vec<_> = (0..3).map(|_| reports.next(world)).collect();
        fired.sort();
        assert_eq!(fired, ["exit alias custom boom", "exit event sport custom boom", "exit pid custom boom"]);
        world.run(consumer, |_| String::new());
        assert_eq!(reports.all(), Vec::<String>::new());
        assert_eq!(world.facts(consumer).links, []);
    }

    fn a_name_given_up_ends_whoever_was_linked_to_it(world, other) {
        let (consumer, reports) = world.puppet(0, SpawnOptions::new());
        let (owner, _owner_reports) = world.puppet(other, SpawnOptions::named("owner"));
        world.run(consumer, |cx| format!("{:?}", cx.link("owner")));
        until_watched(world, owner, 1, 0);
        world.run(owner, |cx| format!("{:?}", cx.unregister()));
        assert_eq!(reports.next(world), "terminate unregistered");
        world.until_gone(consumer);
        assert!(world.process(owner).is_some());
    }

    fn a_target_may_be_linked_and_monitored_once_each(world, other) {
        let (consumer, reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        let (target, _) = world.puppet(other, SpawnOptions::named("target"));
        let said = world.run(consumer, move |cx| {
            let made = [cx.link(target), cx.monitor(target), cx.link("target"), cx.monitor("target")];
            let again = [cx.link(target), cx.monitor(target), cx.link("target"), cx.monitor("target")];
            format!("{:?} {again:?}", made.map(|made| made.is_ok()))
        });
        assert_eq!(said, "[true, true, true, true] [Err(Exists), Err(Exists), Err(Exists), Err(Exists)]");
        until_watched(world, target, 2, 2);
        world.kill(target);
        let mut fired: Vec<_> = (0..4).map(|_| reports.next(world)).collect();
        fired.sort();
        assert_eq!(fired, ["down name target kill", "down pid kill", "exit name target kill", "exit pid kill"]);
        let said = world.run(consumer, move |cx| {
            format!("{:?}", [cx.unlink(target), cx.demonitor(target), cx.unlink("target"), cx.demonitor("target")])
        });
        assert_eq!(said, "[Err(Missing), Err(Missing), Err(Missing), Err(Missing)]");
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn nobody_is_tied_to_himself(world, other) {
        let (own, _reports) = world.puppet(other, SpawnOptions::named("own"));
        let alias = alias_of(world, own);
        let said = world.run(own, move |cx| {
            cx.register_event::<Note>("own", EventOptions::new()).map(drop).unwrap();
            let ties = [cx.link(cx.pid()), cx.monitor(cx.pid()), cx.link("own"), cx.monitor(alias), cx.link(Target::event("own"))];
            format!("{ties:?}")
        });
        assert_eq!(said, "[Err(NotAllowed), Err(NotAllowed), Err(NotAllowed), Err(NotAllowed), Err(NotAllowed)]");
    }

    fn a_target_that_ends_meanwhile_fires_all_the_same(world, other) {
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        let (say, said) = channel();
        for _ in 0..50 {
            let (target, _) = world.puppet(other, SpawnOptions::new());
            let say = say.clone();
            world.run(watcher, move |cx| {
                cx.kill(target);
                say.send(cx.monitor(target).is_ok()).unwrap();
                String::new()
            });
            world.until_gone(target);
            if said.recv().unwrap() {
                assert_eq!(reports.next(world), "down pid kill");
            }
        }
        world.run(watcher, |_| String::new());
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn a_new_relation_is_not_ended_by_an_old_one(world, other) {
        let (watcher, reports) = world.puppet(0, SpawnOptions::new());
        let (owner, _owner_reports) = world.puppet(other, SpawnOptions::named("owner"));
        let (next, _next_reports) = world.puppet(other, SpawnOptions::new());
        assert_eq!(world.run(watcher, |cx| format!("{:?}", cx.monitor("owner"))), "Ok(())");
        until_watched(world, owner, 0, 1);
        // Undone and made again while the name changes hands: one holder's loss fires once.
        let said = world.run(watcher, |cx| format!("{:?} {:?}", cx.demonitor("owner"), cx.monitor("owner")));
        assert_eq!(said, "Ok(()) Ok(())");
        until_watched(world, owner, 0, 1);
        world.run(owner, |cx| format!("{:?}", cx.unregister()));
        assert_eq!(reports.next(world), "down name owner unregistered");
        world.run(next, |cx| format!("{:?}", cx.register("owner").is_ok()));
        assert_eq!(world.run(watcher, |cx| format!("{:?}", cx.monitor("owner"))), "Ok(())");
        until_watched(world, next, 0, 1);
        world.kill(owner);
        world.until_gone(owner);
        world.run(watcher, |_| String::new());
        assert_eq!(reports.all(), Vec::<String>::new());
        world.kill(next);
        assert_eq!(reports.next(world), "down name owner kill");
    }

    fn two_links_couple_two_processes(world, other) {
        for first in [true, false] {
            let (one, one_reports) = world.puppet(0, SpawnOptions::new());
            let (two, two_reports) = world.puppet(other, SpawnOptions::new());
            world.run(one, move |cx| format!("{:?}", cx.link(two)));
            world.run(two, move |cx| format!("{:?}", cx.link(one)));
            until_watched(world, one, 1, 0);
            until_watched(world, two, 1, 0);
            world.send(if first { one } else { two }, Fail("both")).unwrap();
            assert_eq!((one_reports.next(world).as_str(), two_reports.next(world).as_str()), ("terminate custom both", "terminate custom both"));
        }
    }

    fn a_successor_takes_the_name_in_the_notice_of_the_end(world, other) {
        let (heir, reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        for n in 0..20 {
            let (holder, _) = world.puppet(other, SpawnOptions::named("seat"));
            world.run(heir, move |cx| format!("{:?}", cx.link(holder)));
            until_watched(world, holder, 1, 0);
            world.kill(holder);
            assert_eq!(reports.next(world), "exit pid kill");
            // Told, so the name, the aliases and the pid are free.
            assert_eq!(world.run(heir, |cx| format!("{:?}", cx.register("seat").is_ok())), "true");
            assert!(world.send("seat", Note(n)).is_ok());
            assert_eq!(reports.next(world), format!("note {n}"));
            world.run(heir, |cx| format!("{:?}", cx.unregister()));
        }
    }
}
