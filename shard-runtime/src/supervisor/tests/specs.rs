//! What specifications are refused, and with which words.

use std::time::Duration;

use super::super::{
    Backoff, ChildSpec, InvalidSpec, Machine, OnExceed, Shutdown, Strategy, SupervisorError, SupervisorSpec,
};
use super::world::Why;

const SECOND: Duration = Duration::from_secs(1);

fn made(spec: SupervisorSpec, children: Vec<ChildSpec>) -> Result<(), SupervisorError> {
    Machine::<u32, Why, ()>::new(spec, children.into_iter().map(|child| (child, ()))).map(|_| ())
}

fn flaw(spec: SupervisorSpec, child: ChildSpec) -> Option<InvalidSpec> {
    match made(spec, vec![ChildSpec::new("good"), child]) {
        Ok(()) => None,
        Err(SupervisorError::InvalidSpec { why, .. }) => Some(why),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_row_of_the_validation_table() {
    let (one, simple) = (SupervisorSpec::one_for_one, SupervisorSpec::simple_one_for_one);
    let child = || ChildSpec::new("x");
    for group in [SupervisorSpec::all_for_one(), SupervisorSpec::rest_for_one()] {
        assert_eq!(flaw(group.clone(), child().intensity(1, SECOND)), Some(InvalidSpec::GroupIntensity));
        let preserved = child().preserve_mailbox();
        assert_eq!(flaw(group.clone(), preserved), Some(InvalidSpec::GroupPreserveMailbox));
        assert_eq!(flaw(group, child().significant().restart(Strategy::Permanent)), None);
    }
    for spec in [one(), simple()] {
        let disable = child().on_exceed(OnExceed::Disable);
        assert_eq!(flaw(spec.clone(), disable), Some(InvalidSpec::DisableWithoutIntensity));
        let period = child().intensity(0, SECOND);
        assert_eq!(flaw(spec.clone(), period), Some(InvalidSpec::PeriodWithoutIntensity));
        assert_eq!(flaw(spec.clone(), ChildSpec::new("")), Some(InvalidSpec::NoName));
        let backoff = child().backoff(Backoff::new(2 * SECOND, SECOND));
        assert_eq!(flaw(spec.clone(), backoff), Some(InvalidSpec::Backoff));
        let sound = child().intensity(1, Duration::ZERO).on_exceed(OnExceed::Disable).preserve_mailbox();
        assert_eq!(flaw(spec, sound.shutdown(Shutdown::Infinity)), None);
    }
    let jittery = one().backoff(Backoff::new(SECOND, SECOND).jitter(2.0));
    assert_eq!(flaw(jittery, child()), Some(InvalidSpec::Backoff));
}

#[test]
fn a_name_occurs_once_and_there_is_at_least_one_child() {
    let twice = made(SupervisorSpec::one_for_one(), vec![ChildSpec::new("x"), ChildSpec::new("x")]);
    assert_eq!(twice, Err(SupervisorError::ChildDuplicate { name: "x".into() }));
    for spec in [SupervisorSpec::one_for_one(), SupervisorSpec::simple_one_for_one()] {
        let none = made(spec, Vec::new()).expect_err("no children");
        let text = "invalid specification of `supervisor`: no children; name at least one";
        assert_eq!(none.to_string(), text);
    }
}

#[test]
fn defaults_are_those_that_are_documented() {
    let (spec, child) = (SupervisorSpec::one_for_one(), ChildSpec::new("x"));
    assert_eq!((spec.intensity, spec.period), (5, 5 * SECOND));
    assert_eq!(spec.strategy, Strategy::Transient);
    assert!(spec.auto_shutdown && !spec.keep_order && spec.backoff.is_none());
    assert_eq!(child.shutdown.unwrap_or_default(), Shutdown::Graceful(5 * SECOND));
    assert_eq!(child.on_exceed, OnExceed::TerminateSupervisor);
    assert_eq!(spec.clone().intensity(0, Duration::ZERO), spec, "0 stands for the default");
    assert_eq!(child.intensity(3, Duration::ZERO).own_budget(), Some((3, 5 * SECOND)));
}
