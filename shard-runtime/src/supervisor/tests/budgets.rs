//! Budgets of a child's own, and what happens when one is used up.

use std::time::Duration;

use super::super::{ChildSpec, OnExceed, Strategy, SupervisorSpec};
use super::world::{Why, World};

const SECOND: Duration = Duration::from_secs(1);

fn exceeded(limit: u16, seconds: u32, cause: Why) -> Why {
    Why::Exceeded(limit, seconds * SECOND, Box::new(cause))
}

#[test]
fn the_sixth_restart_in_five_seconds_ends_the_supervisor() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    for name in ["a", "b", "c", "a", "b"] {
        world.crash(name, Why::Boom(1));
        world.start_ok();
        world.pass(SECOND);
    }
    world.take();
    world.crash("c", Why::Boom(6));
    assert_eq!(world.take(), ["exit b exceeded(5 in 5s: boom6)"]);
    world.settle();
    assert_eq!(world.ended, Some(exceeded(5, 5, Why::Boom(6))));
}

#[test]
fn restarts_further_apart_go_on_for_ever() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    for _ in 0..100 {
        world.crash("a", Why::Boom(1));
        world.start_ok();
        world.pass(SECOND + Duration::from_nanos(1));
    }
    assert_eq!(world.snapshot().restarts_count, 100);
}

#[test]
fn a_budget_of_its_own_is_not_the_shared_one() {
    let own = ChildSpec::new("a").intensity(1, SECOND);
    let mut world = World::up(SupervisorSpec::one_for_one(), vec![own, ChildSpec::new("b")]);
    for _ in 0..5 {
        world.crash("b", Why::Boom(1));
        world.start_ok();
    }
    world.crash("a", Why::Boom(1));
    world.start_ok();
    assert_eq!(world.running(), "a b", "six restarts, but one of them was not of the shared budget");
    world.crash("a", Why::Boom(2));
    world.settle();
    assert_eq!(world.ended, Some(exceeded(1, 1, Why::Boom(2))));
}

#[test]
fn a_shared_overflow_tears_down_children_with_their_own_budget_too() {
    let own = ChildSpec::new("a").intensity(9, SECOND).on_exceed(OnExceed::Disable);
    let spec = SupervisorSpec::one_for_one().intensity(1, SECOND);
    let mut world = World::up(spec, vec![own, ChildSpec::new("b")]);
    world.crash("b", Why::Boom(1));
    world.start_ok();
    world.crash("b", Why::Boom(2));
    assert_eq!(world.take(), ["start b", "exit a exceeded(1 in 1s: boom2)"]);
}

#[test]
fn on_exceed_disable_disables_the_child_and_enabling_clears_its_budget() {
    let own = ChildSpec::new("a").intensity(2, Duration::ZERO).on_exceed(OnExceed::Disable);
    let mut world = World::up(SupervisorSpec::one_for_one(), vec![own, ChildSpec::new("b")]);
    for round in 0..3 {
        for _ in 0..2 {
            world.crash("a", Why::Boom(1));
            world.start_ok();
        }
        world.crash("a", Why::Boom(1));
        assert!(world.begun.is_none(), "round {round}");
        assert_eq!(world.snapshot().specs_disabled, 1);
        world.enable("a");
        world.start_ok();
        assert_eq!(world.snapshot().specs_disabled, 0);
    }
}

#[test]
fn disabling_the_last_child_for_its_budget_ends_the_supervisor_as_exceeded() {
    let own = || ChildSpec::new("a").intensity(1, SECOND).on_exceed(OnExceed::Disable);
    let mut world = World::up(SupervisorSpec::one_for_one(), vec![own()]);
    world.crash("a", Why::Boom(1));
    world.start_ok();
    world.crash("a", Why::Boom(2));
    assert_eq!(world.ended, Some(exceeded(1, 1, Why::Boom(2))));

    let mut world = World::up(SupervisorSpec::one_for_one().strategy(Strategy::Permanent), vec![own()]);
    world.crash("a", Why::Boom(1));
    world.start_ok();
    world.crash("a", Why::Boom(2));
    assert_eq!(world.ended, None, "a permanent supervisor stays");
}

#[test]
fn an_instance_s_budget_survives_its_restarts_and_is_no_other_instance_s() {
    let own = ChildSpec::new("w").intensity(1, SECOND).on_exceed(OnExceed::Disable);
    let mut world = World::up(SupervisorSpec::simple_one_for_one(), vec![own]);
    world.start_with("w", 1);
    world.start_with("w", 2);
    world.start_all();
    world.exits(1, Why::Boom(1));
    world.start_ok();
    world.exits(2, Why::Boom(1));
    world.start_ok();
    world.exits(3, Why::Boom(1));
    assert!(world.begun.is_none());
    let left: Vec<_> = world.live.values().map(|live| live.args).collect();
    assert_eq!(left, [2], "the first instance is dropped, the template is not disabled");
    assert_eq!(world.snapshot().specs_disabled, 0);

    let own = ChildSpec::new("w").intensity(1, SECOND);
    let mut world = World::up(SupervisorSpec::simple_one_for_one(), vec![own]);
    world.start("w");
    world.start_all();
    world.crash("w", Why::Boom(1));
    world.start_ok();
    world.crash("w", Why::Boom(1));
    assert_eq!(world.ended, Some(exceeded(1, 1, Why::Boom(1))));
}
