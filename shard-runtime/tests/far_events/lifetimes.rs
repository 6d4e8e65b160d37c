//! Subscriptions that begin, are refused, outlive sessions and restarts, and end.

use crate::support::{
    FEED, Inner, LIMIT, Note, Other, Position, act, address, builder, counters, cut, expect, next, nothing,
    pair, pair_up, publish, puppet, puppet_with, register, sends_to, subscribe, until, up,
};
use shard_runtime::prelude::*;
use shard_runtime::{EventPosition, LinkOptions, NodeEvent, Target};

#[test]
fn the_end_of_an_event_comes_after_its_last_publication() {
    for how in ["unregister", "kill"] {
        let pair = pair((2, 2));
        let (owner, _) = puppet(&pair.feed, 1);
        let topic = register(&pair.feed, owner, EventOptions::new());
        let (reader, reports) = puppet(&pair.reader, 1);
        let (linked, exits) = puppet_with(&pair.reader, SpawnOptions::new().on_shard(0).trap_exit());
        let (watcher, downs) = puppet(&pair.reader, 0);
        subscribe(&pair.reader, reader);
        let linking = |cx: &mut Context<'_>| format!("{:?}", cx.link_event_at::<Note>("news", FEED));
        assert_eq!(act(&pair.reader, linked, linking), "Ok(())");
        let watching = |cx: &mut Context<'_>| format!("{:?}", cx.monitor(Target::event_at("news", FEED)));
        assert_eq!(act(&pair.reader, watcher, watching), "Ok(())");
        sends_to(&pair.feed, 1);
        until("the monitor is known", || counters(&pair.feed).relations_in == 2);
        let reason = if how == "kill" { "kill" } else { "unregistered" };
        publish(&pair.feed, owner, &topic, 1..=99, 20_000);
        if how == "kill" {
            pair.feed.kill(owner);
        } else {
            act(&pair.feed, owner, |cx| format!("{:?}", cx.unregister_event("news")));
        }
        // Down messages and exits come in queues of their own, so they overtake publications in the mailbox; none is lost.
        for (reports, end) in [(&reports, "down"), (&exits, "exit")] {
            let mut heard: Vec<_> = (0..100).map(|_| next(reports)).collect();
            heard.retain(|heard| *heard != format!("{end} {reason}"));
            assert_eq!(heard, (1..=99).map(|n| format!("#{n}")).collect::<Vec<_>>());
        }
        assert_eq!(next(&downs), format!("down {reason}"));
        until("nothing is left", || {
            counters(&pair.feed).relations_in == 0 && counters(&pair.reader).relations_out == 0
        });
        for (pid, reports) in [(reader, &reports), (linked, &exits), (watcher, &downs)] {
            assert_eq!(act(&pair.reader, pid, |_| String::new()), "");
            nothing(reports);
        }
    }
}

#[test]
fn what_cannot_be_subscribed_to_is_told_why() {
    let pair = pair((2, 2));
    let (owner, _) = puppet(&pair.feed, 0);
    let (reader, reports) = puppet(&pair.reader, 1);
    subscribe(&pair.reader, reader);
    assert_eq!(next(&reports), "down no such process");
    let topic = register(&pair.feed, owner, EventOptions::new());
    let other = |cx: &mut Context<'_>| format!("{:?}", cx.subscribe_at::<Other>("news", FEED));
    assert_eq!(act(&pair.reader, reader, other), "Ok(())");
    assert_eq!(next(&reports), "down RemoteType");
    // A process with the right type is not in the way of one with the wrong type.
    subscribe(&pair.reader, reader);
    let (wrong, wrongs) = puppet(&pair.reader, 0);
    assert_eq!(act(&pair.reader, wrong, other), "Ok(())");
    assert_eq!(next(&wrongs), "down RemoteType");
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=1, 0);
    expect(&reports, 1..=1);
    let said = act(&pair.reader, reader, |cx| {
        let again = cx.subscribe_at::<Note>("news", FEED);
        let local = cx.subscribe_at::<Inner>("news", FEED);
        let away = cx.subscribe_at::<Note>("news", "nobody@localhost");
        format!("{again:?} {local:?} {away:?}")
    });
    assert_eq!(said, "Err(Link(Exists)) Err(LocalOnly) Err(Link(NotConnected))");
    let said = act(&pair.feed, owner, |cx| {
        cx.unregister_event("news").unwrap();
        format!("{:?}", cx.register_event::<Inner>("news", EventOptions::new()).map(|_| ()))
    });
    assert_eq!(said, "Ok(())");
    assert_eq!(next(&reports), "down unregistered");
    subscribe(&pair.reader, reader);
    assert_eq!(next(&reports), "down LocalOnly");
    // On the own node it is the event of the node.
    let (near, _) = puppet(&pair.feed, 1);
    let said = act(&pair.feed, near, |cx| {
        let here = cx.subscribe_at::<Note>("news", FEED);
        let inner = cx.monitor_event_at::<Inner>("news", FEED);
        format!("{:?} {inner:?} {:?}", here.is_err(), cx.unsubscribe_at("news", FEED))
    });
    assert_eq!(said, "true Ok(()) Ok(())");
}

#[test]
fn a_peer_of_an_older_version_is_not_asked() {
    let old = builder(FEED, 1).links(LinkOptions::new().unnumbered()).start().unwrap();
    let reader = builder("reader@localhost", 1).route(FEED, address(&old)).start().unwrap();
    up(&reader.subscribe_nodes().unwrap());
    let (pid, _) = puppet(&reader, 0);
    let trial = |cx: &mut Context<'_>| {
        let subscribed = cx.subscribe_at::<Note>("news", FEED);
        format!("{subscribed:?} {:?}", cx.monitor(Target::event_at("news", FEED)))
    };
    until("it is refused", || act(&reader, pid, trial) == "Err(Link(Remote)) Err(Remote)");
    reader.stop();
    old.stop();
}

#[test]
fn a_subscription_goes_on_in_the_next_session_and_a_monitor_ends_with_its_own() {
    let pair = pair((2, 2));
    let (owner, told) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(50).notify());
    let readers: Vec<_> = (0..4).map(|n| puppet(&pair.reader, n % 2)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    let (once, downs) = puppet(&pair.reader, 1);
    let watching = |cx: &mut Context<'_>| format!("{:?}", cx.monitor_event_at::<Note>("news", FEED));
    assert_eq!(act(&pair.reader, once, watching), "Ok(())");
    sends_to(&pair.feed, 1);
    assert_eq!(next(&told), "start");
    publish(&pair.feed, owner, &topic, 1..=10, 10);
    expect(&downs, 1..=10);
    // Everything that was published meanwhile is kept.
    cut(&pair, || publish(&pair.feed, owner, &topic, 11..=40, 10));
    assert_eq!((next(&told), next(&told)), ("stop".into(), "start".into()));
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 41..=50, 10);
    for (_, reports) in &readers {
        expect(reports, 1..=50);
    }
    let heard = next(&downs);
    assert!(heard.starts_with("down no connection: session"), "{heard}");
    // Now it is not.
    cut(&pair, || publish(&pair.feed, owner, &topic, 51..=150, 10));
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 151..=160, 10);
    for (_, reports) in &readers {
        assert_eq!(next(reports), "gap 51 to 100");
        expect(reports, 101..=160);
    }
    assert_eq!(counters(&pair.reader).events_missed_in, 50);
    nothing(&downs);
    // The event ends while nobody hears it.
    cut(&pair, || {
        act(&pair.feed, owner, |cx| format!("{:?}", cx.unregister_event("news")));
    });
    for (_, reports) in &readers {
        assert_eq!(next(reports), "down no such process");
    }
    nothing(&downs);
}

#[test]
fn a_producer_that_keeps_nothing_leaves_gaps() {
    let pair = pair((1, 2));
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new());
    let (reader, reports) = puppet(&pair.reader, 1);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=3, 0);
    expect(&reports, 1..=3);
    cut(&pair, || publish(&pair.feed, owner, &topic, 4..=6, 0));
    // Told without anything else being published.
    assert_eq!(next(&reports), "gap 4 to 6");
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 7..=7, 0);
    expect(&reports, 7..=7);
}

#[test]
fn a_publisher_that_is_started_anew_is_told_as_such() {
    let reader = builder("reader@localhost", 2).start().unwrap();
    let start = || builder(FEED, 2).route("reader@localhost", address(&reader)).start().unwrap();
    let mut pair = pair_up(start(), reader.clone());
    let (owner, _) = puppet(&pair.feed, 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(3));
    let (first, reports) = puppet(&reader, 0);
    let (second, others) = puppet(&reader, 1);
    subscribe(&reader, first);
    subscribe(&reader, second);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=5, 0);
    expect(&reports, 1..=5);
    expect(&others, 1..=5);
    let old = reader.call_blocking(first, Position).unwrap();
    assert_eq!(old.sequence, 5);
    pair.feed.stop();
    while !matches!(pair.events[1].recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    pair.feed = start();
    up(&pair.events[1]);
    // It is looked for until it is there.
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(3));
    publish(&pair.feed, owner, &topic, 1..=2, 0);
    for reports in [&reports, &others] {
        assert_eq!(next(reports), "restart after 5, another node: true");
        expect(reports, 1..=2);
    }
    // A position of the former life says where a new one begins.
    let (third, resumed) = puppet(&reader, 1);
    let resume = move |cx: &mut Context<'_>| format!("{:?}", cx.resume_at::<Note>("news", FEED, old));
    assert_eq!(act(&reader, third, resume), "Ok(())");
    assert_eq!(next(&resumed), "restart after 5, another node: true");
    expect(&resumed, 1..=2);
    // Registered anew on the same node.
    act(&pair.feed, owner, |cx| format!("{:?}", cx.unregister_event("news")));
    assert_eq!(next(&resumed), "down unregistered");
    let topic = register(&pair.feed, owner, EventOptions::new());
    let (now, resume) =
        (reader.call_blocking(first, Position).unwrap(), "restart after 2, another node: false");
    let again = move |cx: &mut Context<'_>| format!("{:?}", cx.resume_at::<Note>("news", FEED, now));
    assert_eq!(act(&reader, third, again), "Ok(())");
    assert_eq!(next(&resumed), resume);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=1, 0);
    expect(&resumed, 1..=1);
}

#[test]
fn a_subscriber_goes_on_where_its_predecessor_was() {
    let pair = pair((2, 2));
    let (owner, _) = puppet(&pair.feed, 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(10));
    let (reader, reports) = puppet(&pair.reader, 0);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    publish(&pair.feed, owner, &topic, 1..=5, 0);
    expect(&reports, 1..=5);
    let at = pair.reader.call_blocking(reader, Position).unwrap();
    pair.reader.kill(reader);
    sends_to(&pair.feed, 0);
    let resumed = |shard: u16, at: EventPosition| {
        let (pid, reports) = puppet(&pair.reader, shard);
        let resume = move |cx: &mut Context<'_>| format!("{:?}", cx.resume_at::<Note>("news", FEED, at));
        assert_eq!(act(&pair.reader, pid, resume), "Ok(())");
        reports
    };
    publish(&pair.feed, owner, &topic, 6..=8, 0);
    // The first on its node, the first on its shard, one among others.
    let all = [resumed(0, at), resumed(1, at), resumed(1, at)];
    for reports in &all {
        expect(reports, 6..=8);
    }
    publish(&pair.feed, owner, &topic, 9..=30, 0);
    for reports in &all {
        expect(reports, 9..=30);
    }
    let late = resumed(0, at);
    assert_eq!(next(&late), "gap 6 to 20");
    expect(&late, 21..=30);
    // What has not been published yet is waited for.
    let early = resumed(1, EventPosition { sequence: 32, ..at });
    publish(&pair.feed, owner, &topic, 31..=35, 0);
    expect(&late, 31..=35);
    expect(&early, 33..=35);
}
