//! Rest for one, row by row.

use super::super::{ChildSpec, SupervisorSpec};
use super::world::{Why, World};

fn rest() -> SupervisorSpec {
    SupervisorSpec::rest_for_one()
}

#[test]
fn the_failed_child_and_all_after_it_are_restarted() {
    let mut world = World::abc(rest());
    world.crash("b", Why::Boom(1));
    assert_eq!(world.take(), ["exit c boom1"]);
    world.obey("c");
    world.start_ok();
    world.start_ok();
    assert_eq!(world.take(), ["start b", "start c"]);
    world.crash("c", Why::Boom(1));
    assert_eq!(world.take(), ["start c"], "nothing is declared after it");
}

#[test]
fn keep_order_stops_from_the_end_to_the_position() {
    let children = ["a", "b", "c", "d"].map(ChildSpec::new).to_vec();
    let mut world = World::up(rest().keep_order(), children);
    world.crash("b", Why::Boom(1));
    world.obey("d");
    world.obey("c");
    assert_eq!(world.take(), ["exit d boom1", "exit c boom1", "start b"]);
}

#[test]
fn a_crash_before_the_position_moves_it_down() {
    for keep_order in [false, true] {
        let children = ["a", "b", "c", "d"].map(ChildSpec::new).to_vec();
        let spec = if keep_order { rest().keep_order() } else { rest() };
        let mut world = World::up(spec, children);
        world.crash("c", Why::Boom(1));
        assert_eq!(world.take(), ["exit d boom1"]);
        world.crash("a", Why::Boom(2));
        if keep_order {
            assert_eq!(world.take(), [""; 0], "d first");
        } else {
            assert_eq!(world.take(), ["exit b boom2"]);
        }
        world.settle();
        let starts: Vec<_> = world.take().into_iter().filter(|line| line.starts_with("start")).collect();
        assert_eq!(starts, ["start a", "start b", "start c", "start d"]);
        assert_eq!(world.snapshot().restarts_count, 2);
    }
}

#[test]
fn an_ordinary_end_before_the_position_leaves_it() {
    let mut world = World::abc(rest());
    world.crash("b", Why::Boom(1));
    world.crash("a", Why::Normal);
    world.settle();
    assert_eq!(world.take(), ["exit c boom1", "start b", "start c"]);
    assert_eq!(world.running(), "b c");
}

#[test]
fn only_children_from_the_position_on_are_started_again() {
    let mut world = World::abc(rest());
    world.crash("a", Why::Normal);
    world.crash("c", Why::Normal);
    world.crash("b", Why::Boom(1));
    world.settle();
    assert_eq!(world.take(), ["start b", "start c"], "c had ended normally, and lies after b; a lies before");
}
