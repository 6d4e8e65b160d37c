//! Simple one for one, row by row.

use super::super::{ChildSpec, Outcome, Request, Strategy, SupervisorError, SupervisorSpec};
use super::world::{Why, World};

fn templates(spec: SupervisorSpec) -> World {
    World::up(spec, vec![ChildSpec::new("w"), ChildSpec::new("x")])
}

fn simple() -> SupervisorSpec {
    SupervisorSpec::simple_one_for_one()
}

fn with_instances(spec: SupervisorSpec, count: u32) -> World {
    let mut world = templates(spec);
    for args in 0..count {
        world.start_with("w", args);
    }
    world.start_all();
    world.take();
    world
}

#[test]
fn a_template_starts_nothing_and_instances_are_started_on_demand() {
    let mut world = World::new(simple(), vec![ChildSpec::new("w")]);
    world.feed(super::super::Event::Init);
    assert_eq!(world.take(), ["ready"]);
    let (first, second) = (world.start("w"), world.start_with("w", 7));
    world.start_all();
    let args: Vec<_> = world.live.values().map(|live| live.args).collect();
    assert_eq!(args, [100, 7], "the template's, or the instance's own");
    assert!(matches!(world.answer(first), Ok(Outcome::Started { pid: 1, .. })));
    assert!(matches!(world.answer(second), Ok(Outcome::Started { pid: 2, .. })));
}

#[test]
fn a_strategy_decides_by_the_reason() {
    for (strategy, why, restarted) in [
        (Strategy::Transient, Why::Normal, false),
        (Strategy::Transient, Why::Shutdown, false),
        (Strategy::Transient, Why::Boom(1), true),
        (Strategy::Temporary, Why::Boom(1), false),
        (Strategy::Permanent, Why::Normal, true),
    ] {
        let mut world = with_instances(simple().strategy(strategy), 2);
        world.crash("w", why.clone());
        assert_eq!(world.take().len(), usize::from(restarted), "{strategy:?} {why}");
        world.settle();
        assert_eq!(world.snapshot().children_total, 1 + usize::from(restarted), "forgotten if not restarted");
    }
}

#[test]
fn there_is_no_auto_shutdown_and_no_significance() {
    let mut world = World::up(simple(), vec![ChildSpec::new("w").significant()]);
    world.start("w");
    world.start_all();
    world.take();
    world.crash("w", Why::Normal);
    assert_eq!(world.take(), [""; 0]);
}

#[test]
fn too_many_restarts_stop_all_instances_at_once() {
    let mut world = with_instances(simple(), 3);
    for _ in 0..5 {
        world.crash("w", Why::Boom(1));
        world.settle();
    }
    world.take();
    world.crash("w", Why::Boom(8));
    let exit = "exit w exceeded(5 in 5s: boom8)";
    assert_eq!(world.take(), [exit, exit]);
    world.settle();
    assert_eq!(world.take(), ["end exceeded(5 in 5s: boom8)"]);
}

#[test]
fn a_foreign_exit_stops_all_instances() {
    let mut world = with_instances(simple(), 2);
    world.crash("w", Why::Boom(1));
    world.foreign(Why::Boom(2));
    assert_eq!(world.take(), ["start w", "exit w boom2"]);
    world.settle();
    assert_eq!(world.ended, Some(Why::Boom(2)));
}

#[test]
fn disabling_a_template_stops_its_instances_and_enabling_starts_none() {
    let mut world = with_instances(simple(), 2);
    world.start("x");
    world.start_all();
    world.take();
    let disabled = world.disable("w");
    assert_eq!(world.take(), ["exit w shutdown", "exit w shutdown"]);
    assert!(!world.answers.contains_key(&disabled), "answered when they have ended");
    world.settle();
    assert_eq!(world.answer(disabled), &Ok(Outcome::Done));
    assert_eq!(world.running(), "x");
    let refused = world.start("w");
    assert!(matches!(world.answer(refused), Err(SupervisorError::ChildDisabled { .. })));
    let enabled = world.enable("w");
    assert_eq!(world.answer(enabled), &Ok(Outcome::Done));
    assert_eq!(world.take(), [""; 0]);
    world.start("w");
    assert_eq!(world.take(), ["start w"]);
}

#[test]
fn adding_a_template_only_registers_it() {
    let mut world = templates(simple());
    let added = world.add(ChildSpec::new("y"));
    assert_eq!(world.answer(added), &Ok(Outcome::Done));
    assert_eq!(world.take(), [""; 0]);
    world.start("y");
    assert_eq!(world.begun.as_ref().map(|begun| begun.args), Some(7));
}

#[test]
fn one_instance_can_be_terminated_for_good() {
    let mut world = with_instances(simple().strategy(Strategy::Permanent), 2);
    let child = world.live[&1].child;
    let gone = world.ask(Request::TerminateInstance { child });
    assert_eq!(world.take(), ["exit w shutdown"]);
    let twice = world.ask(Request::TerminateInstance { child });
    assert!(matches!(world.answer(twice), Err(SupervisorError::StrategyActive { .. })));
    world.exits(1, Why::Boom(1));
    assert_eq!(world.answer(gone), &Ok(Outcome::Done));
    assert_eq!(world.take(), [""; 0], "not restarted, whatever the strategy and the reason");
    let unknown = world.ask(Request::TerminateInstance { child });
    assert_eq!(world.answer(unknown), &Err(SupervisorError::InstanceUnknown));
}

#[test]
fn an_instance_whose_first_start_fails_is_forgotten() {
    let mut world = templates(simple().strategy(Strategy::Permanent));
    let failed = world.start("w");
    world.start_fails(Why::Boom(1));
    assert!(matches!(world.answer(failed), Err(SupervisorError::StartFailed { .. })));
    assert_eq!(world.snapshot().children_total, 0);
}
