//! A node that is gone without a word, and comes back.

use crate::nodes::{Cluster, SOON};
use shard_runtime::{CallError, NodeEvent, SendReason};
use shard_scenarios::messaging::{POOL, PoolPid};
use shard_tests::harness::{eventually, poll};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// The third.
const LOST: usize = 2;
/// Within this all others say that it is gone.
const DOWN_LIMIT: Duration = Duration::from_secs(6);
/// Within this all others see it again, from the start of its process.
const UP_LIMIT: Duration = Duration::from_secs(5);
/// A call to nobody may not take its whole time.
const FAST: Duration = Duration::from_secs(1);

fn next_about(events: &Receiver<NodeEvent>, node: &str) -> Option<NodeEvent> {
    events.try_iter().find(|event| match event {
        NodeEvent::Up { name, .. } | NodeEvent::Down { name, .. } => name == node,
        _ => false,
    })
}

#[test]
fn a_killed_node_is_down_once_everywhere_and_back_when_restarted() {
    let mut cluster = Cluster::start(5, &[]);
    let probe = cluster.probe();
    let lost = cluster.places[LOST].name.clone();
    let others: Vec<_> = (0..5).filter(|index| *index != LOST).collect();
    for index in &others {
        let place = &cluster.places[*index];
        eventually(SOON, "traffic before", || place.received_from(&lost) > 0.0 && place.sent_to(&lost) > 0.0);
    }
    let events = probe.subscribe_nodes().expect("a network");
    eventually(SOON, "the probe knows it is up", || next_about(&events, &lost).is_some());
    let old = probe.call_blocking((POOL, lost.as_str()), PoolPid).expect("its pool answers");
    assert_eq!(probe.call_blocking(old, PoolPid), Ok(old));

    cluster.kill(LOST);
    eventually(DOWN_LIMIT, "the other four and the probe say that it is down", || {
        let gone = |index: &usize| !cluster.places[*index].peers().contains(&lost);
        !probe.nodes().contains(&lost) && others.iter().all(gone)
    });
    let event = poll(FAST, || next_about(&events, &lost));
    assert!(matches!(event, Some(NodeEvent::Down { .. })), "{event:?}");
    let refused = probe.call_blocking_timeout(old, PoolPid, FAST);
    assert!(
        matches!(refused, Err(CallError::Send(SendReason::NotConnected | SendReason::NoRoute))),
        "{refused:?}"
    );

    cluster.restart(LOST);
    eventually(UP_LIMIT, "all see it again", || {
        let back = |index: &usize| cluster.places[*index].peers().contains(&lost);
        probe.nodes().contains(&lost) && others.iter().all(back)
    });
    let event = poll(FAST, || next_about(&events, &lost));
    assert!(matches!(event, Some(NodeEvent::Up { .. })), "{event:?}");

    // Its old pids are of a life that has ended; its name leads to the new one.
    let refused = probe.call_blocking_timeout(old, PoolPid, FAST);
    assert!(matches!(refused, Err(CallError::Send(SendReason::NoRoute))), "{refused:?}");
    let new = probe.call_blocking((POOL, lost.as_str()), PoolPid).expect("the new pool answers");
    assert_ne!(new, old);
    assert_eq!(probe.call_blocking(new, PoolPid), Ok(new));

    for index in &others {
        let place = &cluster.places[*index];
        let (from, to) = (place.received_from(&lost), place.sent_to(&lost));
        eventually(SOON, &format!("traffic resumes between {} and {lost}", place.name), || {
            place.received_from(&lost) > from && place.sent_to(&lost) > to
        });
        assert_eq!(place.sum("ergo_connections_lost_total", &[]), 1.0, "{}", place.name);
        let downs = cluster.log_lines(*index, &format!("node {lost} down"));
        assert_eq!(downs.len(), 1, "{}: {downs:#?}", place.name);
    }
    assert!(next_about(&events, &lost).is_none(), "one down and one up, no more");
    probe.stop();
}
