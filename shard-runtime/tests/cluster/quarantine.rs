//! Peers that a node has nothing to do with: in quarantine, or not on its list.

use crate::support::{COOKIE, builder, error_count, eventually, expect_ups, next};
use crate::{Count, Counter, down};
use shard_runtime::NodeEvent;
use shard_runtime::prelude::*;
use shard_runtime::wire::session::DownReason;

fn refused(node: &Node, reason: &str) -> u64 {
    error_count(&node.stats().acceptors()[0].errors, reason)
}

#[test]
fn a_quarantined_peer_is_cut_off_and_refused_until_it_is_allowed() {
    let guard = builder("guard@localhost").start().unwrap();
    let at = guard.listen_address().unwrap().to_string();
    let pid = guard.spawn(Counter::default, SpawnOptions::new()).unwrap();
    let events = guard.subscribe_nodes().unwrap();
    let suspect = builder("suspect@localhost").route("guard@localhost", at.clone()).start().unwrap();
    let session = expect_ups(&events, &["suspect@localhost"])[0];
    let of_suspect = suspect.subscribe_nodes().unwrap();
    assert_eq!(expect_ups(&of_suspect, &["guard@localhost"]), [session]);
    assert_eq!(suspect.call_blocking(pid, Count { by: 1 }).unwrap(), 1);

    guard.quarantine("suspect@localhost").unwrap();
    assert_eq!(next(&events), down("suspect@localhost", session, DownReason::Quarantined));
    assert_eq!(next(&of_suspect), down("guard@localhost", session, DownReason::Quarantined));
    eventually("its dials are refused and counted", || refused(&guard, "quarantined") > 0);
    eventually("it is told why", || error_count(&suspect.stats().net().dial_errors, "quarantined") > 0);
    assert!(suspect.call_blocking(pid, Count { by: 1 }).is_err());
    assert_eq!(guard.nodes(), [] as [&str; 0]);

    // Others are not concerned, and being in quarantine twice is no more than once.
    guard.quarantine("suspect@localhost").unwrap();
    let other = builder("other@localhost").route("guard@localhost", at).start().unwrap();
    expect_ups(&events, &["other@localhost"]);
    expect_ups(&other.subscribe_nodes().unwrap(), &["guard@localhost"]);
    assert_eq!(other.call_blocking(pid, Count { by: 1 }).unwrap(), 2);

    guard.allow("suspect@localhost").unwrap();
    let NodeEvent::Up { name, session: again } = next(&events) else { panic!("no session") };
    assert!(name == "suspect@localhost" && again > session, "{name} {again}");
    expect_ups(&of_suspect, &["guard@localhost"]);
    assert_eq!(suspect.call_blocking(pid, Count { by: 1 }).unwrap(), 3);
}

#[test]
fn a_node_that_dials_goes_on_when_the_quarantine_it_ordered_is_over() {
    let passive = builder("passive@localhost").start().unwrap();
    let at = passive.listen_address().unwrap().to_string();
    let active = builder("active@localhost").route("passive@localhost", at).start().unwrap();
    let events = active.subscribe_nodes().unwrap();
    let session = expect_ups(&events, &["passive@localhost"])[0];
    active.quarantine("passive@localhost").unwrap();
    assert_eq!(next(&events), down("passive@localhost", session, DownReason::Quarantined));
    active.connect("passive@localhost").unwrap();
    active.allow("passive@localhost").unwrap();
    assert!(expect_ups(&events, &["passive@localhost"])[0] > session);
    assert!(matches!(active.quarantine("no name"), Err(NodeError::BadName(_))));
    let alone = Node::builder("alone@localhost").start().unwrap();
    assert!(matches!(alone.quarantine("passive@localhost"), Err(NodeError::NoNetwork)));
    assert!(matches!(alone.allow("passive@localhost"), Err(NodeError::NoNetwork)));
}

#[test]
fn only_peers_on_the_list_are_taken_and_an_empty_list_takes_nobody() {
    let start = |name: &str, allowed: &[&str]| {
        builder(name).cookie(COOKIE).allow_peers(allowed.iter().copied()).start().unwrap()
    };
    let strict = start("strict@localhost", &["friend@localhost"]);
    let closed = start("closed@localhost", &[]);
    let route = |node: &Node| node.listen_address().unwrap().to_string();
    let events = strict.subscribe_nodes().unwrap();
    let dial = |name: &str| {
        builder(name)
            .route("strict@localhost", route(&strict))
            .route("closed@localhost", route(&closed))
            .start()
            .unwrap()
    };
    let stranger = dial("stranger@localhost");
    let _friend = dial("friend@localhost");
    expect_ups(&events, &["friend@localhost"]);
    eventually("the stranger is refused and counted", || refused(&strict, "not_listed") > 0);
    eventually("both are refused", || refused(&closed, "not_listed") > 1);
    eventually("it is told why", || error_count(&stranger.stats().net().dial_errors, "not_listed") > 0);
    assert_eq!(stranger.nodes(), [] as [&str; 0]);
    assert_eq!(closed.nodes(), [] as [&str; 0]);
    let bad = builder("bad@localhost").allow_peers(["no name"]).start();
    assert!(matches!(bad, Err(NodeError::BadName(_))));
}
