//! What an operator may ask, and when.

use std::time::Duration;

use super::super::{
    Backoff, ChildSpec, Outcome, Phase, Request, Strategy, SupervisorError, SupervisorSpec, SupervisorType,
};
use super::world::{Why, World};

fn fixed_types() -> [SupervisorSpec; 3] {
    [SupervisorSpec::one_for_one(), SupervisorSpec::all_for_one(), SupervisorSpec::rest_for_one()]
}

#[test]
fn unknown_names_are_refused_by_every_request() {
    for spec in fixed_types().into_iter().chain([SupervisorSpec::simple_one_for_one()]) {
        let mut world = World::abc(spec);
        for id in [world.start("z"), world.remove("z"), world.enable("z"), world.disable("z")] {
            assert_eq!(world.answer(id), &Err(SupervisorError::ChildUnknown { name: "z".into() }));
        }
    }
}

#[test]
fn a_stopped_child_is_started_with_its_new_arguments_for_good() {
    for spec in fixed_types() {
        let mut world = World::abc(spec.strategy(Strategy::Transient));
        world.crash("b", Why::Normal);
        let started = world.start_with("b", 55);
        world.start_all();
        assert!(matches!(world.answer(started), Ok(Outcome::Started { pid: 4, .. })));
        world.crash("b", Why::Boom(1));
        world.settle();
        assert_eq!(world.live[&world.pid("b")].args, 55);
        let running = world.start("b");
        assert_eq!(world.answer(running), &Err(SupervisorError::ChildRunning { name: "b".into() }));
    }
}

#[test]
fn an_added_child_comes_last_and_is_answered_with_its_pid() {
    for spec in fixed_types() {
        let mut world = World::abc(spec);
        let duplicate = world.add(ChildSpec::new("a"));
        assert_eq!(world.answer(duplicate), &Err(SupervisorError::ChildDuplicate { name: "a".into() }));
        let invalid = world.add(ChildSpec::new(""));
        assert!(matches!(world.answer(invalid), Err(SupervisorError::InvalidSpec { .. })));
        let added = world.add(ChildSpec::new("d"));
        world.start_all();
        assert!(matches!(world.answer(added), Ok(Outcome::Started { pid: 4, .. })));
        world.foreign(Why::Shutdown);
        assert_eq!(world.take(), ["start d", "exit d shutdown"]);
    }
}

#[test]
fn a_child_that_does_not_start_is_not_added_and_its_name_stays_free() {
    for spec in fixed_types() {
        let mut world = World::abc(spec);
        let added = world.add(ChildSpec::new("d"));
        world.start_fails(Why::Boom(1));
        let answer = world.answer(added).clone().expect_err("it did not start");
        assert_eq!(answer.to_string(), "the child `d` did not start: boom1");
        assert_eq!(world.snapshot().specs_total, 3);
        world.add(ChildSpec::new("d"));
        world.start_all();
        assert_eq!(world.running(), "a b c d");
        assert_eq!(world.snapshot().restarts_count, 0, "not a restart");
    }
}

#[test]
fn disabling_stops_the_child_for_good_and_enabling_starts_it() {
    for spec in fixed_types() {
        let mut world = World::abc(spec.strategy(Strategy::Permanent));
        let disabled = world.disable("b");
        assert_eq!(world.take(), ["exit b shutdown"]);
        let busy = [world.enable("b"), world.disable("b"), world.remove("b"), world.start("b")];
        for id in busy {
            let active = SupervisorError::StrategyActive { phase: Phase::Running };
            assert_eq!(world.answer(id), &Err(active), "it is still being stopped");
        }
        world.obey("b");
        assert_eq!(world.answer(disabled), &Ok(Outcome::Done));
        assert_eq!(world.running(), "a c");
        let refused = world.start("b");
        assert_eq!(world.answer(refused), &Err(SupervisorError::ChildDisabled { name: "b".into() }));
        let enabled = world.enable("b");
        world.start_all();
        assert!(matches!(world.answer(enabled), Ok(Outcome::Started { pid: 4, .. })));
        let again = world.enable("b");
        assert_eq!(world.answer(again), &Ok(Outcome::Done), "nothing to do");
    }
}

#[test]
fn disabling_the_last_running_child_ends_the_supervisor() {
    for spec in fixed_types() {
        let mut world = World::up(spec, vec![ChildSpec::new("a")]);
        let disabled = world.disable("a");
        world.obey("a");
        assert_eq!(world.answer(disabled), &Ok(Outcome::Done));
        assert_eq!(world.ended, Some(Why::Shutdown));
    }
}

#[test]
fn disabling_a_child_whose_restart_waits_calls_it_off() {
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    let mut world = World::abc(SupervisorSpec::one_for_one().backoff(backoff));
    world.crash("a", Why::Boom(1));
    let disabled = world.disable("a");
    assert_eq!(world.answer(disabled), &Ok(Outcome::Done));
    assert!(world.timers.is_empty());
    assert_eq!(world.running(), "b c");
}

#[test]
fn disabling_a_child_that_is_being_started_for_somebody_refuses_him() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    world.crash("a", Why::Normal);
    let (started, disabled) = (world.start("a"), world.disable("a"));
    assert_eq!(world.answer(started), &Err(SupervisorError::ChildDisabled { name: "a".into() }));
    world.settle();
    assert_eq!(world.answer(disabled), &Ok(Outcome::Done));
    assert_eq!(world.running(), "b c");
}

#[test]
fn starting_a_child_whose_restart_waits_starts_it_now() {
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    let mut world = World::abc(SupervisorSpec::one_for_one().backoff(backoff));
    world.crash("a", Why::Boom(1));
    let started = world.start("a");
    world.start_fails(Why::Boom(2));
    assert!(matches!(world.answer(started), Err(SupervisorError::StartFailed { .. })));
    assert_eq!(world.timers.len(), 1, "the restart goes on, in vain though the request was");
    world.next_timer();
    world.start_ok();
    assert_eq!(world.running(), "a b c");
}

#[test]
fn the_group_types_refuse_requests_from_the_first_stop_to_the_last_start() {
    for spec in [SupervisorSpec::all_for_one(), SupervisorSpec::rest_for_one()] {
        let mut world = World::abc(spec);
        world.crash("b", Why::Boom(1));
        let stopping = world.disable("a");
        let active = |phase| Err(SupervisorError::StrategyActive { phase });
        assert_eq!(world.answer(stopping), &active(Phase::Stopping));
        for pid in world.told() {
            world.obeys(pid);
        }
        let starting = world.add(ChildSpec::new("d"));
        assert_eq!(world.answer(starting), &active(Phase::Starting));
        world.start_all();
        let running = world.disable("a");
        world.settle();
        assert_eq!(world.answer(running), &Ok(Outcome::Done));
        world.foreign(Why::Shutdown);
        let ending = world.enable("a");
        assert_eq!(world.answer(ending), &active(Phase::ShuttingDown));
        world.settle();
        let ended = world.enable("a");
        assert_eq!(world.answer(ended), &active(Phase::Ended));
    }
}

#[test]
fn a_shutdown_refuses_who_waits_for_a_start_and_answers_who_waits_for_an_end() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    world.crash("a", Why::Normal);
    let (started, removed) = (world.start("a"), world.remove("b"));
    world.foreign(Why::Shutdown);
    let active = SupervisorError::StrategyActive { phase: Phase::ShuttingDown };
    assert_eq!(world.answer(started), &Err(active));
    world.settle();
    assert_eq!(world.answer(removed), &Ok(Outcome::Done));
    assert_eq!(world.ended, Some(Why::Shutdown));
}

#[test]
fn instances_are_terminated_under_simple_one_for_one_only() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    let child = world.live[&1].child;
    let refused = world.ask(Request::TerminateInstance { child });
    let kind = SupervisorType::OneForOne;
    assert_eq!(world.answer(refused), &Err(SupervisorError::NoInstances { kind }));
}

#[test]
fn a_start_for_a_request_joins_a_group_restart_and_is_answered_after_it() {
    for spec in [SupervisorSpec::all_for_one(), SupervisorSpec::all_for_one().keep_order()] {
        let mut world = World::abc(spec);
        world.crash("b", Why::Normal);
        let started = world.start("b");
        world.crash("a", Why::Boom(1));
        world.start_ok();
        assert!(!world.answers.contains_key(&started), "this process is stopped again, now or in its turn");
        world.settle();
        let pid = world.pid("b");
        assert!(matches!(world.answer(started), Ok(Outcome::Started { pid: told, .. }) if *told == pid));
    }
}
