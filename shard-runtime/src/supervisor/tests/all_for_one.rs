//! All for one, row by row.

use super::super::{ChildSpec, Phase, Strategy, SupervisorSpec};
use super::world::{Why, World};

fn all() -> SupervisorSpec {
    SupervisorSpec::all_for_one()
}

#[test]
fn one_crash_stops_all_at_once_then_starts_all_in_order() {
    let mut world = World::abc(all());
    world.crash("b", Why::Boom(1));
    assert_eq!(world.take(), ["exit c boom1", "exit a boom1"]);
    assert_eq!(world.machine.phase(), Phase::Stopping);
    world.obey("a");
    assert_eq!(world.take(), [""; 0], "all must have ended first");
    world.obey("c");
    assert_eq!(world.take(), ["start a"]);
    assert_eq!(world.machine.phase(), Phase::Starting);
    world.start_ok();
    world.start_ok();
    world.start_ok();
    assert_eq!(world.take(), ["start b", "start c"]);
    assert_eq!(world.machine.phase(), Phase::Running);
}

#[test]
fn keep_order_stops_the_last_first_and_one_at_a_time() {
    let mut world = World::abc(all().keep_order());
    world.crash("b", Why::Boom(1));
    assert_eq!(world.take(), ["exit c boom1"]);
    world.obey("c");
    assert_eq!(world.take(), ["exit a boom1"]);
    world.obey("a");
    assert_eq!(world.take(), ["start a"]);
}

#[test]
fn without_others_running_the_start_follows_at_once() {
    let mut world = World::up(all().strategy(Strategy::Permanent), vec![ChildSpec::new("a")]);
    world.crash("a", Why::Normal);
    assert_eq!(world.take(), ["start a"]);
}

#[test]
fn ordinary_ends_restart_nothing() {
    let mut world = World::abc(all());
    world.crash("a", Why::Normal);
    world.crash("b", Why::Shutdown);
    assert_eq!(world.take(), [""; 0]);
    world.crash("c", Why::Normal);
    assert_eq!(world.take(), ["end normal"]);
}

#[test]
fn a_significant_child_that_stays_away_ends_the_group() {
    let mut world = World::up(all(), vec![ChildSpec::new("a").significant(), ChildSpec::new("b")]);
    world.crash("a", Why::Normal);
    world.settle();
    assert_eq!(world.take(), ["exit b normal", "end normal"]);
}

#[test]
fn a_child_s_own_strategy_decides_whether_its_end_restarts_the_group() {
    let children = vec![ChildSpec::new("a").restart(Strategy::Temporary), ChildSpec::new("b")];
    let mut world = World::up(all().strategy(Strategy::Permanent), children);
    world.crash("a", Why::Boom(1));
    assert_eq!(world.take(), [""; 0]);
    world.crash("b", Why::Normal);
    assert_eq!(world.take(), ["start a"], "but with the group it is started again");
}

#[test]
fn children_that_had_ended_earlier_are_started_again_and_disabled_ones_are_not() {
    let mut world = World::abc(all());
    world.crash("a", Why::Normal);
    let disabled = world.disable("b");
    world.obey("b");
    assert!(world.answer(disabled).is_ok());
    world.take();
    world.crash("c", Why::Boom(1));
    world.settle();
    assert_eq!(world.take(), ["start a", "start c"]);
}

#[test]
fn ends_during_a_stop_are_part_of_it_whatever_their_reason() {
    let children = vec![ChildSpec::new("a"), ChildSpec::new("b").significant(), ChildSpec::new("c")];
    let mut world = World::up(all().keep_order(), children);
    world.crash("c", Why::Boom(1));
    world.crash("a", Why::Boom(2));
    world.crash("b", Why::Normal);
    world.settle();
    assert_eq!(world.running(), "a b c");
    assert_eq!(world.snapshot().restarts_count, 1);
}

#[test]
fn a_crash_while_the_group_starts_begins_again() {
    let mut world = World::abc(all());
    world.crash("c", Why::Boom(1));
    world.obey("a");
    world.obey("b");
    world.start_ok();
    world.take();
    world.crash("a", Why::Boom(2));
    assert_eq!(world.take(), [""; 0], "b is being started: it is waited for, then stopped");
    world.start_ok();
    assert_eq!(world.take(), ["exit b boom2"]);
    world.settle();
    assert_eq!(world.take(), ["start a", "start b", "start c"]);
    assert_eq!(world.snapshot().restarts_count, 2);
}

#[test]
fn a_foreign_exit_during_a_group_restart_ends_the_supervisor() {
    for keep_order in [false, true] {
        let spec = if keep_order { all().keep_order() } else { all() };
        let mut world = World::abc(spec);
        world.crash("a", Why::Boom(1));
        world.foreign(Why::Shutdown);
        world.settle();
        assert_eq!(world.ended, Some(Why::Shutdown));
        assert_eq!(world.take().last().map(String::as_str), Some("end shutdown"));
    }
}

#[test]
fn a_group_restart_counts_once() {
    let mut world = World::abc(all().intensity(2, std::time::Duration::from_secs(5)));
    for _ in 0..2 {
        world.crash("a", Why::Boom(1));
        world.settle();
        assert_eq!(world.running(), "a b c");
    }
    world.crash("a", Why::Boom(1));
    world.settle();
    assert!(matches!(world.ended, Some(Why::Exceeded(2, _, _))));
}
