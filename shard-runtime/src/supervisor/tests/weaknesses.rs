//! The known weaknesses of the field, each with the test that shows it is none of ours.

use std::time::Duration;

use super::super::{
    Backoff, ChildSpec, ChildState, OnExceed, Outcome, Phase, Shutdown, Strategy, SupervisorError,
    SupervisorSpec, SupervisorType,
};
use super::world::{Why, World};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn both_groups() -> [SupervisorSpec; 2] {
    [SupervisorSpec::all_for_one(), SupervisorSpec::rest_for_one()]
}

#[test]
fn fast_failures_are_slowed_down_by_a_back_off() {
    let backoff = Backoff::new(100 * MS, SECOND);
    let mut world = World::abc(SupervisorSpec::one_for_one().intensity(9, SECOND).backoff(backoff));
    let mut waits = Vec::new();
    for _ in 0..6 {
        world.crash("a", Why::Boom(1));
        assert_eq!(world.snapshot().children[0].state, ChildState::PendingRestart);
        assert_eq!(world.take(), [""; 0]);
        waits.push(world.next_timer().as_millis());
        assert_eq!(world.take(), ["start a"]);
        world.start_ok();
    }
    assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
    world.pass(SECOND);
    world.crash("a", Why::Boom(1));
    assert_eq!(world.next_timer(), 100 * MS, "it had been up for long enough");
    world.start_fails(Why::Boom(2));
    world.pass(SECOND);
    assert_eq!(world.next_timer(), 200 * MS - 200 * MS, "a failed start is no time spent up");
    assert!(world.snapshot().children[0].restarts == 8);
}

#[test]
fn a_group_waits_its_back_off_before_the_first_start() {
    for spec in both_groups() {
        let mut world = World::abc(spec.backoff(Backoff::new(100 * MS, SECOND)));
        world.crash("a", Why::Boom(1));
        world.settle();
        assert_eq!(world.running(), "");
        assert_eq!(world.machine.phase(), Phase::Starting);
        assert_eq!(world.next_timer(), 100 * MS);
        world.settle();
        assert_eq!(world.running(), "a b c");
    }
}

#[test]
fn a_crash_during_a_group_s_back_off_restarts_that_too() {
    let spec = SupervisorSpec::rest_for_one().backoff(Backoff::new(100 * MS, SECOND));
    let mut world = World::abc(spec);
    world.crash("b", Why::Boom(1));
    world.settle();
    world.crash("a", Why::Boom(2));
    assert_eq!(world.timers.len(), 1);
    world.next_timer();
    world.settle();
    assert_eq!(world.running(), "a b c");
}

#[test]
fn jitter_comes_from_the_caller() {
    let backoff = Backoff::new(100 * MS, SECOND).jitter(0.5);
    let mut world = World::abc(SupervisorSpec::one_for_one().backoff(backoff));
    world.random = 0;
    world.crash("a", Why::Boom(1));
    assert_eq!(world.next_timer(), 50 * MS);
}

#[test]
fn a_child_has_a_budget_and_a_back_off_of_its_own() {
    let child = ChildSpec::new("a").intensity(1, SECOND).on_exceed(OnExceed::Disable);
    let child = child.backoff(Backoff::new(10 * MS, 10 * MS));
    let mut world = World::up(SupervisorSpec::one_for_one(), vec![child, ChildSpec::new("b")]);
    world.crash("a", Why::Boom(1));
    assert_eq!(world.next_timer(), 10 * MS);
    world.start_ok();
    world.crash("a", Why::Boom(1));
    assert_eq!(world.running(), "b");
    world.take();
    world.crash("b", Why::Boom(1));
    assert_eq!(world.take(), ["start b"], "b has no back-off");
}

#[test]
fn a_child_that_ignores_its_exit_is_killed_after_its_time() {
    let child = ChildSpec::new("a").shutdown(Shutdown::Graceful(3 * SECOND));
    let mut world = World::up(SupervisorSpec::one_for_one(), vec![child, ChildSpec::new("b")]);
    world.foreign(Why::Shutdown);
    assert_eq!(world.next_timer(), 5 * SECOND, "the default");
    assert_eq!(world.take(), ["exit b shutdown", "kill b"]);
    world.obey("b");
    assert_eq!(world.next_timer(), 3 * SECOND);
    assert_eq!(world.take(), ["exit a shutdown", "kill a"]);
    world.obey("a");
    assert_eq!(world.take(), ["end shutdown"]);
}

#[test]
fn a_child_can_be_killed_at_once_or_be_waited_for_without_limit() {
    let children =
        vec![ChildSpec::new("a").shutdown(Shutdown::Infinity), ChildSpec::new("b").shutdown(Shutdown::Kill)];
    let mut world = World::up(SupervisorSpec::one_for_one(), children);
    world.foreign(Why::Shutdown);
    world.obey("b");
    assert_eq!(world.take(), ["kill b", "exit a shutdown"]);
    assert!(world.timers.is_empty());
    world.obey("a");
    assert_eq!(world.ended, Some(Why::Shutdown));
}

#[test]
fn a_start_that_takes_longer_than_a_stop_may_is_aborted() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    world.crash("c", Why::Boom(1));
    world.take();
    world.foreign(Why::Shutdown);
    world.next_timer();
    assert_eq!(world.take(), ["abort c"]);
    world.start_fails(Why::Kill);
    world.settle();
    assert_eq!(world.take(), ["exit b shutdown", "exit a shutdown", "end shutdown"]);
}

#[test]
fn a_restart_that_fails_counts_as_one_and_is_tried_again() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    world.crash("b", Why::Boom(1));
    for n in 2..6 {
        world.start_fails(Why::Boom(n));
    }
    assert_eq!(world.take(), ["start b"; 5]);
    world.start_fails(Why::Boom(6));
    assert_eq!(world.take(), ["exit c exceeded(5 in 5s: boom6)"], "the sixth");

    for spec in both_groups() {
        let mut world = World::abc(spec);
        world.crash("c", Why::Boom(1));
        world.settle();
        world.crash("b", Why::Boom(1));
        while world.begun.as_ref().is_none_or(|begun| &*begun.name != "b") {
            if world.begun.is_some() {
                world.start_ok();
            } else {
                let told = world.told();
                world.obeys(*told.first().expect("others are stopped first"));
            }
        }
        world.start_fails(Why::Boom(2));
        world.settle();
        assert_eq!(world.running(), "a b c");
        assert_eq!(world.snapshot().restarts_count, 3);
    }
}

#[test]
fn disabled_instances_leave_nothing_to_wait_for() {
    let mut world = World::up(SupervisorSpec::simple_one_for_one(), vec![ChildSpec::new("w")]);
    for _ in 0..3 {
        world.start("w");
    }
    world.start_all();
    world.disable("w");
    world.settle();
    world.foreign(Why::Shutdown);
    assert_eq!(world.ended, Some(Why::Shutdown));

    let mut world = World::up(SupervisorSpec::simple_one_for_one(), vec![ChildSpec::new("w")]);
    world.start("w");
    world.start_all();
    world.disable("w");
    world.foreign(Why::Shutdown);
    assert_eq!(world.ended, None, "it still ends");
    world.settle();
    assert_eq!(world.ended, Some(Why::Shutdown));
}

#[test]
fn a_second_crash_while_an_ordered_stop_is_pending_is_part_of_it() {
    for spec in both_groups() {
        let children = ["a", "b", "c", "d"].map(ChildSpec::new).to_vec();
        let mut world = World::up(spec.keep_order(), children);
        world.crash("a", Why::Boom(1));
        world.crash("b", Why::Boom(2));
        world.crash("d", Why::Boom(3));
        world.settle();
        assert_eq!(world.running(), "a b c d");
        assert_eq!(world.machine.phase(), Phase::Running);
        assert_eq!(world.snapshot().restarts_count, 1);
    }
}

#[test]
fn a_disabled_last_child_leaves_no_phase_stuck() {
    for spec in both_groups() {
        for keep_order in [false, true] {
            let spec = spec.clone();
            let mut world = World::abc(if keep_order { spec.keep_order() } else { spec });
            world.disable("c");
            world.settle();
            world.crash("b", Why::Boom(1));
            world.settle();
            assert_eq!(world.machine.phase(), Phase::Running);
            let enabled = world.enable("c");
            world.settle();
            assert!(world.answer(enabled).is_ok());
            assert_eq!(world.running(), "a b c");
        }
    }
}

#[test]
fn disabling_a_stopped_child_keeps_it_from_coming_back() {
    for spec in both_groups() {
        let mut world = World::abc(spec);
        world.crash("c", Why::Normal);
        let disabled = world.disable("c");
        assert_eq!(world.answer(disabled), &Ok(Outcome::Done));
        world.crash("a", Why::Boom(1));
        world.settle();
        assert_eq!(world.running(), "a b");
        let refused = world.start("c");
        assert!(matches!(world.answer(refused), Err(SupervisorError::ChildDisabled { .. })));
    }
}

#[test]
fn exceeding_is_always_the_reason_with_the_child_s_as_its_cause() {
    for (children, cause) in
        [(vec!["a"], Why::Normal), (vec!["a", "b"], Why::Shutdown), (vec!["a"], Why::Boom(1))]
    {
        for spec in
            [SupervisorSpec::one_for_one(), SupervisorSpec::all_for_one(), SupervisorSpec::rest_for_one()]
        {
            let spec = spec.strategy(Strategy::Permanent).intensity(1, SECOND);
            let mut world = World::up(spec, children.iter().map(|name| ChildSpec::new(name)).collect());
            world.crash("a", Why::Boom(7));
            world.settle();
            world.crash("a", cause.clone());
            world.settle();
            assert_eq!(world.ended, Some(Why::Exceeded(1, SECOND, Box::new(cause.clone()))));
        }
    }
}

#[test]
fn the_phase_is_explicit_until_the_last_start_has_been_answered() {
    for spec in both_groups() {
        let mut world = World::abc(spec);
        world.crash("b", Why::Boom(1));
        let mut seen = vec![world.machine.phase()];
        for pid in world.told() {
            world.obeys(pid);
        }
        while world.begun.is_some() {
            seen.push(world.machine.phase());
            world.start_ok();
        }
        seen.push(world.machine.phase());
        seen.dedup();
        assert_eq!(seen, [Phase::Stopping, Phase::Starting, Phase::Running]);
    }
}

#[test]
fn an_instance_is_restarted_with_its_own_arguments() {
    let mut world = World::up(SupervisorSpec::simple_one_for_one(), vec![ChildSpec::new("w")]);
    world.start_with("w", 41);
    world.start_with("w", 42);
    world.start_all();
    for _ in 0..2 {
        world.crash("w", Why::Boom(1));
        world.start_ok();
    }
    let args: Vec<_> = world.live.values().map(|live| live.args).collect();
    assert_eq!(args, [41, 42]);
}

#[test]
fn a_start_is_answered_with_the_pid() {
    let mut world = World::abc(SupervisorSpec::one_for_one());
    world.crash("b", Why::Normal);
    let started = world.start("b");
    assert!(!world.answers.contains_key(&started));
    world.start_ok();
    let (pid, child) = (world.pid("b"), world.live[&world.pid("b")].child);
    assert_eq!(world.answer(started), &Ok(Outcome::Started { child, pid }));
    assert_eq!(world.machine.child_of(pid), Some(child));
}

#[test]
fn a_child_can_be_removed() {
    for spec in [SupervisorSpec::one_for_one(), SupervisorSpec::all_for_one(), SupervisorSpec::rest_for_one()]
    {
        let mut world = World::abc(spec.strategy(Strategy::Permanent));
        let removed = world.remove("b");
        assert_eq!(world.take(), ["exit b shutdown"]);
        assert!(!world.answers.contains_key(&removed), "answered when it has ended");
        world.obey("b");
        assert_eq!(world.answer(removed), &Ok(Outcome::Done));
        let unknown = world.start("b");
        assert!(matches!(world.answer(unknown), Err(SupervisorError::ChildUnknown { .. })));
        world.crash("a", Why::Boom(1));
        world.settle();
        assert_eq!(world.running(), "a c");
    }
    let mut world =
        World::up(SupervisorSpec::simple_one_for_one(), vec![ChildSpec::new("w"), ChildSpec::new("x")]);
    world.start("w");
    world.start("w");
    world.start_ok();
    let removed = world.remove("w");
    world.settle();
    assert_eq!(world.answer(removed), &Ok(Outcome::Done));
    assert_eq!(world.snapshot().specs_total, 1);
}

#[test]
fn a_snapshot_is_typed_and_remembers_the_last_fifty_restarts() {
    let mut world = World::abc(SupervisorSpec::rest_for_one().keep_order());
    for n in 0..60 {
        world.crash("c", Why::Boom(n));
        world.settle();
        world.pass(2 * SECOND);
    }
    world.disable("b");
    let snapshot = world.snapshot();
    assert_eq!(snapshot.kind, SupervisorType::RestForOne);
    assert_eq!(
        (snapshot.intensity, snapshot.period, snapshot.strategy),
        (5, 5 * SECOND, Strategy::Transient)
    );
    assert!(snapshot.keep_order && snapshot.auto_shutdown);
    assert_eq!((snapshot.specs_total, snapshot.specs_disabled), (3, 1));
    assert_eq!((snapshot.children_total, snapshot.children_running), (3, 3));
    assert_eq!(snapshot.phase, Phase::Running);
    assert_eq!(snapshot.restarts_count, 60);
    let restarts: Vec<_> = snapshot.children.iter().map(|child| child.restarts).collect();
    assert_eq!(restarts, [0, 0, 60]);
    assert_eq!(snapshot.children[1].state, ChildState::Stopping);
    assert_eq!(snapshot.specs[2].restarts, 60);
    assert_eq!((snapshot.intensity_used, snapshot.shutdown_reason), (2, None), "4 s and 2 s ago");
    let (first, last) = (&snapshot.history[0], &snapshot.history[49]);
    assert_eq!(snapshot.history.len(), 50);
    assert_eq!((&*first.name, &first.reason, first.time_ns), ("c", &Why::Boom(10), 20_000_000_000));
    assert_eq!((last.child, &last.reason), (snapshot.children[2].id, &Why::Boom(59)));
    assert_eq!(world.machine.args_of(last.child), Some(&102));
    world.foreign(Why::Boom(1));
    assert_eq!(world.snapshot().shutdown_reason, Some(Why::Boom(1)));
}
