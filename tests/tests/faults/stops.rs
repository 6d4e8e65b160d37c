//! A node that stands still, dies, or loses its power.

use crate::pair::Pair;
use shard_tests::harness::{End, Signal, poll};
use std::time::Duration;

#[test]
fn a_killed_node_is_down_at_once_and_its_successor_is_another_incarnation() {
    let mut pair = Pair::start("kill", 2000);
    pair.kill(End::B);
    pair.until(End::A, "the session ends", |said| said.link("downs") == 1 && said.tally("downs") == 2);
    let failed = pair.said(End::A);
    pair.restart(End::B);
    pair.until(End::A, "there is another session", |said| said.is_connected() && said.link("ups") == 2);
    let answered = failed.tally("answered");
    pair.until(End::A, "calls are answered again", |said| said.tally("answered") > answered + 10);
    pair.until(End::B, "and those of the new one", |said| said.tally("answered") > 10);
    for end in [End::A, End::B] {
        pair.signal(end, Signal::User1);
        pair.until(end, "every call has ended", |said| said.tally("calls") == said.ended_calls());
        pair.check_health(&pair.said(end));
    }
    assert_eq!(pair.said(End::A).link("downs"), 1);
}

/// One node stands still. The other one gives it up, and both find each other when it runs again.
fn stand_still(seconds: u64) {
    let mut pair = Pair::start("still", 2000);
    pair.signal(End::B, Signal::Stop);
    pair.until(End::A, "the session ends", |said| said.link("downs") == 1 && said.tally("downs") == 2);
    // The time is the test: in the meantime nothing changes.
    let changed = poll(Duration::from_secs(seconds), || (pair.said(End::A).link("ups") > 1).then_some(()));
    assert!(changed.is_none(), "in session with a node that stands still");
    pair.signal(End::B, Signal::Continue);
    for end in [End::A, End::B] {
        pair.until(end, "there is another session", |said| said.is_connected() && said.link("ups") == 2);
    }
    pair.await_traffic();
    pair.settle(false);
    for end in [End::A, End::B] {
        let said = pair.said(end);
        assert_eq!((said.link("ups"), said.link("downs"), said.tally("downs")), (2, 1, 2), "{said:?}");
    }
}

#[test]
fn a_node_that_stands_still_is_given_up_and_found_again() {
    stand_still(1);
}

#[test]
#[ignore = "takes half a minute: make faults"]
fn a_node_that_stands_still_for_half_a_minute_is_given_up_and_found_again() {
    stand_still(30);
}

#[test]
#[ignore = "takes a minute: make faults"]
fn two_nodes_that_stand_still_together_stay_in_session() {
    let mut pair = Pair::start("pause", 2000);
    for end in [End::A, End::B] {
        pair.signal(end, Signal::Stop);
    }
    assert!(poll(Duration::from_secs(30), || None::<()>).is_none());
    for end in [End::A, End::B] {
        pair.signal(end, Signal::Continue);
    }
    pair.await_traffic();
    pair.settle(true);
}

/// A node loses its power: nobody resets its connections. Its successor comes before the other node has given it up.
#[test]
#[ignore = "the simulation has it, too: make faults"]
fn the_successor_of_a_node_that_fell_silent_ends_its_session() {
    let mut pair = Pair::start("power", 2000);
    pair.wire.mute(End::B).unwrap();
    pair.kill(End::B);
    pair.wire.reset(End::B).unwrap();
    pair.wire.heal().unwrap();
    pair.restart(End::B);
    pair.until(End::A, "there is another session", |said| said.is_connected() && said.link("ups") == 2);
    pair.await_traffic();
    for end in [End::A, End::B] {
        pair.check_health(&pair.said(end));
    }
    let said = pair.said(End::A);
    assert_eq!((said.link("downs"), said.tally("downs")), (1, 2), "{said:?}");
}
