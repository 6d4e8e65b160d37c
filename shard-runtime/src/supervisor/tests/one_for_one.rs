//! One for one, row by row.

use super::super::{ChildSpec, Event, Strategy, SupervisorError, SupervisorSpec};
use super::world::{Why, World};

fn one() -> SupervisorSpec {
    SupervisorSpec::one_for_one()
}

fn reasons() -> [Why; 4] {
    [Why::Normal, Why::Shutdown, Why::Kill, Why::Boom(1)]
}

#[test]
fn children_start_one_after_the_other_in_the_order_of_declaration() {
    let mut world = World::new(one(), ["a", "b", "c"].map(ChildSpec::new).to_vec());
    world.feed(Event::Init);
    assert_eq!(world.take(), ["start a"]);
    world.start_ok();
    assert_eq!(world.take(), ["start b"]);
    world.start_ok();
    world.start_ok();
    assert_eq!(world.take(), ["start c", "ready"]);
}

#[test]
fn the_first_child_that_fails_fails_the_supervisor() {
    let mut world = World::new(one(), ["a", "b", "c", "d"].map(ChildSpec::new).to_vec());
    world.feed(Event::Init);
    world.start_ok();
    world.start_ok();
    world.take();
    world.start_fails(Why::Boom(3));
    assert_eq!(world.take(), ["exit b boom3"], "those started before it are stopped in reverse order");
    world.obey("b");
    world.obey("a");
    assert_eq!(world.take(), ["exit a boom3", "end boom3"]);
}

#[test]
fn a_strategy_decides_by_the_reason() {
    for (strategy, restarted) in [
        (Strategy::Transient, [false, false, true, true]),
        (Strategy::Temporary, [false; 4]),
        (Strategy::Permanent, [true; 4]),
    ] {
        for (why, restarted) in reasons().into_iter().zip(restarted) {
            let mut world = World::abc(one().strategy(strategy));
            world.crash("b", why.clone());
            let expected: &[&str] = if restarted { &["start b"] } else { &[] };
            assert_eq!(world.take(), expected, "{strategy:?} {why}");
        }
    }
}

#[test]
fn a_child_s_own_strategy_overrides_the_supervisor_s() {
    let child = ChildSpec::new("b").restart(Strategy::Permanent);
    let mut world = World::up(one().strategy(Strategy::Temporary), vec![ChildSpec::new("a"), child]);
    world.crash("a", Why::Boom(1));
    assert_eq!(world.take(), [""; 0]);
    world.crash("b", Why::Normal);
    assert_eq!(world.take(), ["start b"]);
}

#[test]
fn restarts_of_several_children_take_turns() {
    let mut world = World::abc(one());
    world.crash("c", Why::Boom(1));
    world.crash("a", Why::Boom(2));
    assert_eq!(world.take(), ["start c"], "one start at a time, in the order of the crashes");
    world.start_ok();
    assert_eq!(world.take(), ["start a"]);
    world.start_ok();
    assert_eq!(world.running(), "a b c");
}

#[test]
fn a_significant_child_that_stays_away_ends_the_supervisor() {
    for (strategy, why) in [
        (Strategy::Transient, Why::Normal),
        (Strategy::Temporary, Why::Boom(1)),
        (Strategy::Temporary, Why::Shutdown),
    ] {
        let children = vec![ChildSpec::new("a"), ChildSpec::new("b").significant(), ChildSpec::new("c")];
        let mut world = World::up(one().strategy(strategy), children);
        world.crash("b", why.clone());
        assert_eq!(world.take(), [format!("exit c {why}")]);
        world.settle();
        assert_eq!(world.ended, Some(why));
    }
}

#[test]
fn a_significant_child_that_is_restarted_ends_nothing() {
    for (strategy, why) in [(Strategy::Transient, Why::Boom(1)), (Strategy::Permanent, Why::Normal)] {
        let children = vec![ChildSpec::new("a"), ChildSpec::new("b").significant()];
        let mut world = World::up(one().strategy(strategy), children);
        world.crash("b", why);
        assert_eq!(world.take(), ["start b"]);
    }
}

#[test]
fn auto_shutdown_ends_the_supervisor_with_its_last_child() {
    let mut world = World::abc(one());
    world.crash("a", Why::Shutdown);
    world.crash("b", Why::Shutdown);
    assert_eq!(world.take(), [""; 0]);
    world.crash("c", Why::Normal);
    assert_eq!(world.take(), ["end normal"]);
}

#[test]
fn auto_shutdown_can_be_disabled_and_is_off_under_permanent() {
    let mut world = World::abc(one().strategy(Strategy::Temporary).disable_auto_shutdown());
    for name in ["a", "b", "c"] {
        world.crash(name, Why::Boom(1));
    }
    assert_eq!(world.take(), [""; 0]);

    let leaf = |name| ChildSpec::new(name).restart(Strategy::Temporary);
    let mut world = World::up(one().strategy(Strategy::Permanent), vec![leaf("a"), leaf("b")]);
    world.crash("a", Why::Normal);
    world.crash("b", Why::Normal);
    assert_eq!(world.take(), [""; 0]);
}

#[test]
fn a_child_whose_restart_waits_or_is_under_way_counts_for_auto_shutdown() {
    let mut world = World::up(one(), ["a", "b"].map(ChildSpec::new).to_vec());
    world.crash("a", Why::Boom(1));
    world.crash("b", Why::Normal);
    assert_eq!(world.ended, None, "a is coming back");
    world.start_ok();
    world.crash("a", Why::Normal);
    assert_eq!(world.ended, Some(Why::Normal));
}

#[test]
fn a_foreign_exit_stops_all_in_reverse_order_and_ends_with_its_reason() {
    let mut world = World::abc(one());
    world.foreign(Why::Normal);
    assert_eq!(world.take(), ["exit c normal"]);
    world.foreign(Why::Boom(9));
    world.obey("c");
    assert_eq!(world.take(), ["exit b normal"]);
    world.crash("a", Why::Boom(4));
    world.obey("b");
    assert_eq!(world.take(), ["end normal"], "the first reason stands");
}

#[test]
fn a_foreign_exit_without_children_ends_at_once() {
    let mut world = World::up(one().disable_auto_shutdown(), vec![ChildSpec::new("a")]);
    world.crash("a", Why::Normal);
    world.foreign(Why::Boom(2));
    assert_eq!(world.take(), ["end boom2"]);

    let mut world = World::new(one(), vec![ChildSpec::new("a")]);
    world.foreign(Why::Shutdown);
    assert_eq!(world.take(), ["end shutdown"], "also before its start");
}

#[test]
fn a_child_being_started_is_stopped_when_it_is_up() {
    let mut world = World::abc(one());
    world.crash("a", Why::Boom(1));
    world.take();
    world.foreign(Why::Shutdown);
    assert_eq!(world.take(), ["exit c shutdown"]);
    world.obey("c");
    world.start_ok();
    assert_eq!(world.take(), ["exit b shutdown"], "each in its turn, however late it came up");
    world.obey("b");
    assert_eq!(world.take(), ["exit a shutdown"]);
    world.obey("a");
    assert_eq!(world.take(), ["end shutdown"]);
}

#[test]
fn callbacks_are_told_of_children_only_when_asked_for() {
    let mut world = World::abc(one().handle_children());
    world.crash("a", Why::Boom(1));
    world.start_ok();
    assert_eq!(world.take(), ["terminated a boom1", "start a", "started a"]);
}

#[test]
fn a_preserved_mailbox_goes_to_the_next_process_after_an_abnormal_end_only() {
    let child = ChildSpec::new("a").preserve_mailbox();
    let mut world = World::up(one().strategy(Strategy::Permanent), vec![child, ChildSpec::new("b")]);
    let id = world.live[&world.pid("a")].child;
    world.crash("a", Why::Kill);
    assert_eq!(world.take(), ["start a preserve"]);
    assert!(world.machine.keeps_mailbox(id));
    world.start_fails(Why::Boom(1));
    assert_eq!(world.take(), ["start a preserve"], "kept over a failed start");
    world.start_ok();
    assert!(!world.machine.keeps_mailbox(id));
    world.crash("a", Why::Normal);
    assert_eq!(world.take(), ["start a"]);
    world.start_ok();
    world.take();
    world.crash("b", Why::Boom(1));
    assert_eq!(world.take(), ["start b"], "b never asked for it");
}

#[test]
fn one_child_s_restart_does_not_keep_requests_of_others_waiting() {
    let mut world = World::abc(one());
    world.crash("a", Why::Normal);
    world.crash("b", Why::Boom(1));
    let (again, twice) = (world.start("a"), world.start("b"));
    assert!(matches!(world.answer(twice), Err(SupervisorError::ChildRunning { .. })));
    world.start_all();
    assert!(world.answer(again).is_ok());
    assert_eq!(world.running(), "a b c");
}

#[test]
fn what_comes_too_late_or_twice_changes_nothing() {
    let mut world = World::abc(one());
    let child = world.live[&1].child;
    world.feed(Event::Init);
    world.feed(Event::Started { child, pid: 77 });
    world.feed(Event::StartFailed { child, reason: Why::Boom(1) });
    world.feed(Event::Exited { pid: 77, reason: Why::Boom(1) });
    world.foreign(Why::Shutdown);
    let token = *world.timers.first_key_value().expect("c has its time to end").0;
    world.obey("c");
    world.take();
    world.feed(Event::TimerDue { token });
    assert_eq!(world.take(), [""; 0]);
    world.settle();
    world.take();
    world.feed(Event::ForeignExit { reason: Why::Boom(1) });
    world.feed(Event::Init);
    assert_eq!(world.take(), [""; 0]);
}
