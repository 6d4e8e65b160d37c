//! Faults that end a session at both nodes.

use crate::pair::Pair;
use shard_tests::harness::{End, Wire};

/// Both nodes give each other up, and find each other again.
fn partition(label: &str, cut: impl FnOnce(&Wire)) {
    let mut pair = Pair::start(label, 2000);
    let incarnation = [End::A, End::B].map(|end| pair.said(end).link("session"));
    cut(&pair.wire);
    for end in [End::A, End::B] {
        pair.until(end, "the session ends", |said| said.link("downs") == 1);
        pair.until(end, "whoever watches is told", |said| said.tally("downs") == 2);
    }
    pair.wire.heal().unwrap();
    for (end, before) in [End::A, End::B].into_iter().zip(incarnation) {
        pair.until(end, "there is another session", |said| {
            said.is_connected() && said.link("session") > before
        });
    }
    pair.await_traffic();
    pair.settle(false);
    for end in [End::A, End::B] {
        let said = pair.said(end);
        assert_eq!((said.link("ups"), said.link("downs"), said.tally("downs")), (2, 1, 2), "{said:?}");
        assert_eq!(said.reasons().len(), 1, "{said:?}");
    }
}

#[test]
fn a_partition_ends_the_session_at_both_and_a_new_one_begins_when_it_is_over() {
    partition("both", |wire| {
        wire.mute(End::A).unwrap();
        wire.deafen(End::A).unwrap();
    });
}

#[test]
#[ignore = "as long as the one above: make faults"]
fn so_does_one_that_lets_one_direction_pass() {
    partition("one", |wire| wire.mute(End::A).unwrap());
}
