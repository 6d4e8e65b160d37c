//! What reaches whom, by how many frames, and what a node that does not keep up misses.

use crate::support::{
    Act, FEED, Hold, Note, Relay, act, address, builder, counters, expect, facts, next, nothing, pair,
    pair_of, pair_up, publish, puppet, puppet_with, register, sends_to, subscribe, until,
};
use shard_runtime::prelude::*;
use shard_runtime::{CoreEvent, EventError, LinkError, LinkOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

fn one_frame_per_publication(shards: (u16, u16)) {
    let pair = pair(shards);
    let (owner, told) = puppet(&pair.feed, shards.0 - 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(5).notify());
    publish(&pair.feed, owner, &topic, 1..=10, 8);
    let readers: Vec<_> = (0..6).map(|n| puppet(&pair.reader, n % shards.1)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    sends_to(&pair.feed, 1);
    for (_, reports) in &readers {
        expect(reports, 6..=10);
    }
    publish(&pair.feed, owner, &topic, 11..=500, 100);
    for (_, reports) in &readers {
        expect(reports, 11..=500);
    }
    // Who comes later has what was kept, at no cost for the producer's node.
    let (late, reports) = puppet(&pair.reader, 0);
    subscribe(&pair.reader, late);
    expect(&reports, 496..=500);
    publish(&pair.feed, owner, &topic, 501..=501, 0);
    for (_, reports) in &readers {
        expect(reports, 501..=501);
    }
    expect(&reports, 501..=501);
    let (sent, came) = (counters(&pair.feed), counters(&pair.reader));
    // Five that were kept, and 491 that were published then.
    assert_eq!((sent.events_out, came.events_in), (496, 496));
    assert_eq!((sent.events_missed_out, came.events_missed_in, came.undeliverable), (0, 0, 0));
    let facts = facts(&pair.feed).unwrap();
    assert_eq!((facts.subscribers, facts.nodes, facts.sent_to_nodes, facts.published), (1, 1, 496, 501));
    assert_eq!(next(&told), "start");
    for (reader, _) in &readers {
        pair.reader.kill(*reader);
    }
    assert_eq!(act(&pair.reader, late, |cx| format!("{:?}", cx.unsubscribe_at("news", FEED))), "Ok(())");
    assert_eq!(next(&told), "stop");
    sends_to(&pair.feed, 0);
    assert_eq!(
        act(&pair.reader, late, |cx| format!("{:?}", cx.unsubscribe_at("news", FEED))),
        format!("{:?}", Err::<(), _>(EventError::Link(LinkError::Missing)))
    );
    publish(&pair.feed, owner, &topic, 502..=502, 0);
    nothing(&reports);
    nothing(&told);
    assert_eq!(counters(&pair.feed).relations_in, 0);
}

#[test]
fn a_node_gets_one_frame_per_publication_for_all_its_subscribers() {
    one_frame_per_publication((1, 1));
    one_frame_per_publication((2, 3));
}

#[test]
fn links_of_another_shard_carry_events_in_order() {
    // More than 64 pairs of shards: `target` placement. The producer's shard owns no link to most of the relays.
    one_frame_per_publication((9, 8));
}

#[test]
fn publications_of_several_publishers_and_priorities_keep_their_numbers() {
    let pair = pair((2, 2));
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new());
    let (reader, reports) = puppet(&pair.reader, 1);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    let (other, _) = puppet(&pair.feed, 0);
    // Big ones travel in parts, and small ones of other publishers do not pass them.
    for n in (1..=40).step_by(4) {
        publish(&pair.feed, owner, &topic, n..=n, 300_000);
        publish(&pair.feed, other, &topic, n + 1..=n + 2, 10);
        pair.feed.publish(&topic, Note { n: n + 3, bytes: vec![(n + 3) as u8; 3] }).unwrap();
        until("it is numbered", || facts(&pair.feed).unwrap().published == n + 3);
    }
    expect(&reports, 1..=40);
}

/// What a reader has heard until `last` came: how many publications, and how many are missing.
fn account(reports: &Receiver<String>, last: u64) -> (u64, u64) {
    let (mut at, mut came, mut missed) = (0, 0, 0);
    while at < last {
        let heard = next(reports);
        if let Some(n) = heard.strip_prefix('#') {
            let n: u64 = n.parse().unwrap();
            assert_eq!(n, at + 1, "in order, and nothing left out without a word");
            (at, came) = (n, came + 1);
        } else {
            let mut gap =
                heard.strip_prefix("gap ").expect(&heard).split(" to ").map(|n| n.parse::<u64>().unwrap());
            let (from, to) = (gap.next().unwrap(), gap.next().unwrap());
            assert_eq!(from, at + 1);
            missed += to - at;
            at = to;
        }
    }
    (came, missed)
}

fn slow_node(shards: (u16, u16)) {
    let links = || LinkOptions::new().window(64 << 10).outbox(256 << 10);
    let pair =
        pair_of(builder(FEED, shards.0).links(links()), builder("reader@localhost", shards.1).links(links()));
    let (owner, _) = puppet(&pair.feed, shards.0 - 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(100));
    let readers: Vec<_> = (0..shards.1).map(|shard| puppet(&pair.reader, shard)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    sends_to(&pair.feed, 1);
    let free = Arc::new(AtomicBool::new(false));
    for (reader, _) in &readers {
        pair.reader.send(*reader, Hold(Arc::clone(&free))).unwrap();
    }
    // Nobody waits for the node that does not read: all are published at once.
    publish(&pair.feed, owner, &topic, 1..=2000, 2000);
    assert_eq!(facts(&pair.feed).unwrap().published, 2000);
    free.store(true, Ordering::Relaxed);
    for (_, reports) in &readers {
        let (came, missed) = account(reports, 2000);
        assert!(missed > 0 && came >= 100, "{came} {missed}");
    }
    let (sent, got) = (counters(&pair.feed), counters(&pair.reader));
    assert_eq!(sent.events_out + sent.events_missed_out, 2000);
    assert_eq!((got.events_in, got.events_missed_in), (sent.events_out, sent.events_missed_out));
}

#[test]
fn a_node_that_does_not_keep_up_is_told_what_it_misses() {
    slow_node((2, 2));
}

#[test]
fn a_node_behind_a_link_of_another_shard_is_told_what_it_misses() {
    slow_node((9, 8));
}

#[test]
fn links_that_break_under_load_lose_and_double_nothing() {
    let feed = builder(FEED, 2).start().unwrap();
    let relay = Relay::to(address(&feed));
    let reader = builder("reader@localhost", 2).route(FEED, relay.address.clone()).start().unwrap();
    let pair = pair_up(feed, reader);
    let (owner, _) = puppet(&pair.feed, 0);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(20_000));
    let readers: Vec<_> = (0..2).map(|shard| puppet(&pair.reader, shard)).collect();
    for (reader, _) in &readers {
        subscribe(&pair.reader, *reader);
    }
    sends_to(&pair.feed, 1);
    let mut cuts = 0;
    for round in 0..20_u64 {
        publish(&pair.feed, owner, &topic, round * 500 + 1..=round * 500 + 500, 500);
        cuts += relay.cut_data();
        // The link comes back before it is cut again, or nothing would be under way.
        let arrived = round * 500;
        until("it goes on", || counters(&pair.reader).events_in > arrived);
    }
    assert!(cuts > 0);
    for (_, reports) in &readers {
        expect(reports, 1..=10_000);
        nothing(reports);
    }
    assert_eq!((counters(&pair.feed).events_out, counters(&pair.reader).events_in), (10_000, 10_000));
    assert!(pair.reader.stats().peers()[0].reconnections + pair.feed.stats().peers()[0].reconnections > 0);
}

#[test]
fn every_node_gets_its_own_frame_and_a_dedicated_thread_its_events() {
    let feed = builder(FEED, 2).start().unwrap();
    let (owner, told) = puppet(&feed, 1);
    let topic = register(&feed, owner, EventOptions::new().notify());
    let nodes: Vec<_> = (0..3)
        .map(|n| builder(&format!("reader{n}@localhost"), 1).route(FEED, address(&feed)).start().unwrap())
        .collect();
    let readers: Vec<_> =
        nodes.iter().map(|node| puppet_with(node, SpawnOptions::new().dedicated_thread())).collect();
    for (node, (reader, _)) in nodes.iter().zip(&readers) {
        let trial = |cx: &mut Context<'_>| format!("{:?}", cx.subscribe_at::<Note>("news", FEED));
        until("it is connected", || act(node, *reader, trial) == "Ok(())");
    }
    sends_to(&feed, 3);
    assert_eq!(next(&told), "start");
    publish(&feed, owner, &topic, 1..=50, 10);
    for (_, reports) in &readers {
        expect(reports, 1..=50);
    }
    assert_eq!(facts(&feed).unwrap().sent_to_nodes, 150);
    for (rest, node) in nodes.iter().enumerate() {
        node.stop();
        sends_to(&feed, 2 - rest as u64);
    }
    assert_eq!(next(&told), "stop");
    nothing(&told);
    feed.stop();
}

#[test]
fn a_publication_that_no_frame_holds_is_a_gap() {
    let pair =
        pair_of(builder(FEED, 2), builder("reader@localhost", 1).links(LinkOptions::new().max_message(4096)));
    let (owner, _) = puppet(&pair.feed, 1);
    let topic = register(&pair.feed, owner, EventOptions::new().buffer(8));
    let (reader, reports) = puppet(&pair.reader, 0);
    subscribe(&pair.reader, reader);
    sends_to(&pair.feed, 1);
    for (n, bytes) in [(1, 10), (2, 5000), (3, 10)] {
        publish(&pair.feed, owner, &topic, n..=n, bytes);
    }
    assert_eq!([next(&reports), next(&reports), next(&reports)], ["#1", "gap 2 to 2", "#3"]);
    assert_eq!(counters(&pair.feed).encode_errors, 2, "when it was published, and when it was tried again");
}

/// Hears of the sessions of the feed.
struct Listener {
    tell: Sender<String>,
}

#[actor]
impl Listener {
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    fn core(&mut self, m: Event<CoreEvent>, _cx: &mut Context<'_>) -> ActorResult {
        if let CoreEvent::NodeConnected { name } = m.message() {
            let _nobody_listens = self.tell.send(name.clone());
        }
        Ok(())
    }
}

#[test]
fn the_core_event_of_another_node_tells_of_its_sessions() {
    let pair = pair((2, 2));
    let (tell, told) = channel();
    let listener = pair.reader.spawn(move || Listener { tell }, SpawnOptions::new().on_shard(1)).unwrap();
    let listen = |cx: &mut Context<'_>| format!("{:?}", cx.subscribe_at::<CoreEvent>("core", FEED));
    assert_eq!(act(&pair.reader, listener, listen), "Ok(())");
    assert_eq!(next(&told), "reader@localhost", "kept");
    let other = builder("other@localhost", 1).route(FEED, address(&pair.feed)).start().unwrap();
    assert_eq!(next(&told), "other@localhost");
    other.stop();
}
