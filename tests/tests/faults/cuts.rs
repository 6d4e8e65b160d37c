//! Faults that a session outlives.

use crate::pair::{Pair, SOON};
use shard_tests::harness::{End, poll};
use std::time::Duration;

#[test]
fn connections_that_are_reset_are_dialled_again_and_nothing_is_lost() {
    let mut pair = Pair::start("reset", 5000);
    for round in 0..10 {
        let end = if round % 2 == 0 { End::A } else { End::B };
        let before = [End::A, End::B].map(|end| pair.said(end).link("reconnections"));
        pair.wire.reset(end).unwrap();
        for (end, before) in [End::A, End::B].into_iter().zip(before) {
            pair.until(end, "links are dialled again", |said| said.link("reconnections") > before);
        }
        pair.await_traffic();
    }
    pair.settle(true);
    pair.check_calls();
}

fn lossy(percent: u32, seconds: u64) {
    let mut pair = Pair::start("loss", 1000);
    pair.wire.lose(percent).unwrap();
    // The time is the test: nothing is awaited.
    let ended = poll(Duration::from_secs(seconds), || {
        [End::A, End::B].iter().find(|end| percent < 10 && pair.said(**end).link("downs") > 0)
    });
    assert!(ended.is_none(), "a session ended at {ended:?}: {}", pair.log(End::A));
    if percent < 10 {
        pair.await_traffic();
    }
    pair.wire.heal().unwrap();
    pair.await_traffic();
    pair.settle(percent < 10);
}

#[test]
fn a_session_outlives_the_loss_of_5_percent_of_all_packets() {
    lossy(5, 10);
}

#[test]
#[ignore = "takes a minute: make faults"]
fn a_session_outlives_the_loss_of_5_percent_for_a_minute() {
    lossy(5, 60);
}

#[test]
#[ignore = "takes a minute: make faults"]
fn the_loss_of_30_percent_of_all_packets_breaks_no_rule() {
    lossy(30, 60);
}

#[test]
#[ignore = "takes a minute: make faults"]
fn a_slow_wire_refuses_messages_and_loses_none() {
    // 10,000 messages a second and direction are ten times what the wire takes.
    let mut pair = Pair::start("slow", 2500);
    pair.wire.slow_down(End::A, "2mbit").unwrap();
    pair.until(End::A, "messages are refused", |said| said.tally("refused_full") > 0);
    let before = pair.said(End::A).tally("received");
    pair.until(End::A, "the other direction goes on", |said| said.tally("received") > before + 1000);
    pair.wire.heal().unwrap();
    let sent = pair.said(End::A).tally("sent");
    pair.until(End::A, "messages are taken again", |said| said.tally("sent") > sent + 1000);
    assert!(poll(SOON, || (pair.said(End::A).link("outbox_bytes") < 100_000).then_some(())).is_some());
    pair.settle(true);
}
