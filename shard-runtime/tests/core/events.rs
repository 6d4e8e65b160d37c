//! Events: one value for all subscribers, in order, what is kept first, losses counted.

use crate::world::{Fail, Note, Reports, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{EventFacts, Target, Utilization};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

/// Has a puppet register an event.
fn register(world: &mut World, owner: Pid, name: &'static str, options: EventOptions) -> Topic<Note> {
    let (give, taken) = channel();
    let said = world.run(owner, move |cx| {
        let topic = cx.register_event::<Note>(name, options);
        let said = format!("{:?}", topic.as_ref().map(|_| ()));
        give.send(topic).unwrap();
        said
    });
    assert_eq!(said, "Ok(())");
    taken.recv().unwrap().unwrap()
}

fn publish(world: &mut World, publisher: Pid, topic: &Topic<Note>, note: u32) {
    let topic = topic.clone();
    assert_eq!(world.run(publisher, move |cx| format!("{:?}", cx.publish(&topic, Note(note)))), "Ok(())");
}

fn subscribe(world: &mut World, subscriber: Pid, name: &'static str) -> String {
    world.run(subscriber, move |cx| format!("{:?}", cx.subscribe::<Note>(name)))
}

/// Subscribes and waits until the producer's side knows it.
fn subscribed(world: &mut World, subscriber: Pid, name: &'static str) {
    let before = facts(world, name).subscribers;
    assert_eq!(subscribe(world, subscriber, name), "Ok(())");
    world.until("the subscription has arrived", |world| facts(world, name).subscribers == before + 1);
}

fn facts(world: &World, name: &str) -> EventFacts {
    world.events().into_iter().find(|event| &*event.name == name).expect("the event is registered")
}

fn next(world: &mut World, reports: &Reports, expected: &str) {
    assert_eq!(reports.next(world), expected);
}

both! {
    fn every_subscriber_gets_every_publication_in_order(world, other) {
        let (owner, _) = world.puppet(0, SpawnOptions::new());
        let topic = register(world, owner, "news", EventOptions::new());
        assert!(!topic.has_subscribers());
        publish(world, owner, &topic, 1);
        let readers: Vec<_> = [0, other, other].map(|shard| world.puppet(shard, SpawnOptions::new())).into();
        for (reader, _) in &readers {
            subscribed(world, *reader, "news");
        }
        assert!(topic.has_subscribers());
        // The topic is the right to publish: a process elsewhere has it, and the node itself.
        let (publisher, _) = world.puppet(other, SpawnOptions::new());
        for note in 2..5 {
            publish(world, owner, &topic, note);
        }
        for (_, reports) in &readers {
            for note in 2..5 {
                next(world, reports, &format!("news #{note} note {note}"));
            }
        }
        publish(world, publisher, &topic, 5);
        for (_, reports) in &readers {
            next(world, reports, "news #5 note 5");
        }
        world.publish(&topic, 6).unwrap();
        for (_, reports) in &readers {
            next(world, reports, "news #6 note 6");
        }
        world.until("all are counted", |world| facts(world, "news").delivered == 15);
        let facts = facts(world, "news");
        assert_eq!((facts.published, facts.lost, facts.subscribers, facts.kept), (6, 0, 3, 0));
        assert_eq!((facts.utilization(), facts.producer), (Utilization::Active, owner.local));
        assert!(facts.last_published_at.is_some_and(|last| last >= facts.created_at));
        let counters = world.counters();
        assert_eq!((counters.events_published, counters.events_delivered, counters.events_lost), (6, 15, 0));
    }

    fn what_is_kept_comes_first_and_nothing_twice(world, other) {
        let (owner, _) = world.puppet(other, SpawnOptions::new());
        let topic = register(world, owner, "prices", EventOptions::new().buffer(2));
        for note in 1..=4 {
            publish(world, owner, &topic, note);
        }
        assert_eq!(facts(world, "prices").kept, 2);
        let (reader, reports) = world.puppet(0, SpawnOptions::new());
        subscribed(world, reader, "prices");
        publish(world, owner, &topic, 5);
        for note in 3..=5 {
            next(world, &reports, &format!("prices #{note} note {note}"));
        }
        // A second relation to the same event delivers nothing twice, and the first one may go.
        assert_eq!(subscribe(world, reader, "prices"), "Err(Link(Exists))");
        assert_eq!(world.run(reader, |cx| format!("{:?}", cx.subscribe_linked::<Note>("prices"))), "Ok(())");
        world.until("both relations are known", |world| facts(world, "prices").subscribers == 2);
        publish(world, owner, &topic, 6);
        next(world, &reports, "prices #6 note 6");
        assert_eq!(world.run(reader, |cx| format!("{:?}", cx.demonitor(Target::event("prices")))), "Ok(())");
        publish(world, owner, &topic, 7);
        next(world, &reports, "prices #7 note 7");
        assert_eq!(world.run(reader, |cx| format!("{:?}", cx.unsubscribe("prices"))), "Ok(())");
        world.until("nobody is left", |world| facts(world, "prices").subscribers == 0);
        publish(world, owner, &topic, 8);
        assert_eq!(world.run(reader, |cx| format!("{:?}", cx.unsubscribe("prices"))), "Err(Link(Missing))");
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn the_producer_is_told_of_the_first_and_the_last_subscriber(world, other) {
        let (owner, told) = world.puppet(0, SpawnOptions::new());
        let _topic = register(world, owner, "ticks", EventOptions::new().notify());
        assert_eq!(facts(world, "ticks").utilization(), Utilization::OnDemand);
        let (first, _first_reports) = world.puppet(other, SpawnOptions::new());
        let (second, _second_reports) = world.puppet(0, SpawnOptions::new());
        subscribed(world, first, "ticks");
        next(world, &told, "start ticks");
        subscribed(world, second, "ticks");
        assert_eq!(world.run(second, |cx| format!("{:?}", cx.unsubscribe("ticks"))), "Ok(())");
        // A subscriber that dies is one that leaves.
        world.kill(first);
        next(world, &told, "stop ticks");
        subscribed(world, second, "ticks");
        next(world, &told, "start ticks");
        assert_eq!(told.all(), Vec::<String>::new());
    }

    fn only_those_who_may_publish_can(world, other) {
        let (owner, _) = world.puppet(0, SpawnOptions::new());
        let (stranger, reports) = world.puppet(other, SpawnOptions::new());
        let _closed = register(world, owner, "closed", EventOptions::new());
        let _open = register(world, owner, "open", EventOptions::new().open());
        assert_eq!(subscribe(world, owner, "open"), "Err(Link(NotAllowed))");
        subscribed(world, stranger, "open");
        let by_name = |name: &'static str| move |cx: &mut Context<'_>| format!("{:?}", cx.publish_by_name(name, Note(1)));
        assert_eq!(world.run(stranger, by_name("closed")), "Err(NotOwner)");
        assert_eq!(world.run(owner, by_name("closed")), "Ok(())");
        assert_eq!(world.run(stranger, by_name("open")), "Ok(())");
        next(world, &reports, "open #1 note 1");
        assert_eq!(world.run(stranger, by_name("nothing")), "Err(Unknown)");
        let said = world.run(stranger, |cx| {
            let wrong = cx.publish_by_name("open", crate::world::Double(1));
            let other = cx.subscribe::<crate::world::Double>("open");
            let unknown = cx.subscribe::<Note>("nothing");
            format!("{} {} {:?}", wrong.unwrap_err(), other.unwrap_err(), unknown)
        });
        assert!(said.contains("of the type core::world::Note, not core::world::Double"), "{said}");
        assert!(said.ends_with("Err(Unknown)"), "{said}");
    }

    fn the_end_of_an_event_is_told_and_its_topic_is_dead(world, other) {
        let (owner, _) = world.puppet(0, SpawnOptions::new());
        let (watcher, reports) = world.puppet(other, SpawnOptions::new());
        let (linked, last_words) = world.puppet(other, SpawnOptions::new());
        let topic = register(world, owner, "once", EventOptions::new().buffer(5));
        subscribed(world, watcher, "once");
        assert_eq!(world.run(owner, |cx| format!("{:?}", cx.unregister_event("once"))), "Ok(())");
        next(world, &reports, "down event once unregistered");
        let dead = topic.clone();
        assert_eq!(world.run(owner, move |cx| format!("{:?}", cx.publish(&dead, Note(1)))), "Err(Unknown)");
        assert!(world.publish(&topic, 1).is_err() && world.events().is_empty());
        assert!(!topic.has_subscribers());
        // The name is free for another event; the old topic is not its own.
        let again = register(world, owner, "once", EventOptions::new());
        assert_eq!(world.run(linked, |cx| format!("{:?}", cx.subscribe_linked::<Note>("once"))), "Ok(())");
        world.until("the link has arrived", |world| facts(world, "once").subscribers == 1);
        subscribed(world, watcher, "once");
        publish(world, owner, &again, 2);
        next(world, &reports, "once #1 note 2");
        next(world, &last_words, "once #1 note 2");
        assert!(world.publish(&topic, 3).is_err());
        world.send(owner, Fail("boom")).unwrap();
        next(world, &reports, "down event once custom boom");
        next(world, &last_words, "terminate custom boom");
        assert!(world.events().is_empty());
    }

    fn what_a_full_mailbox_refuses_is_a_gap_that_is_counted(world, other) {
        let (owner, _) = world.puppet(0, SpawnOptions::new());
        let topic = register(world, owner, "flood", EventOptions::new());
        let (reader, reports) = world.puppet(other, SpawnOptions::new().with_mailbox(2));
        let (free, free_reports) = world.puppet(other, SpawnOptions::new());
        for subscriber in [reader, free] {
            subscribed(world, subscriber, "flood");
        }
        world.hold(reader);
        for note in 1..=5 {
            publish(world, owner, &topic, note);
        }
        for note in 1..=5 {
            next(world, &free_reports, &format!("flood #{note} note {note}"));
        }
        world.until("losses are counted", |world| facts(world, "flood").lost == 3);
        assert_eq!(world.counters().events_lost, 3);
        world.cancel_waits(reader);
        for note in 1..=2 {
            next(world, &reports, &format!("flood #{note} note {note}"));
        }
        publish(world, owner, &topic, 6);
        next(world, &reports, "flood #6 note 6");
    }

    fn an_event_arrives_in_the_queue_of_its_publishers_priority(world, other) {
        let urgent = SpawnOptions::new().with_send_priority(Priority::Max);
        let (owner, _) = world.puppet(0, urgent);
        let (plain, _) = world.puppet(0, SpawnOptions::new());
        let topic = register(world, owner, "alarm", EventOptions::new());
        let (reader, reports) = world.puppet(other, SpawnOptions::new());
        subscribed(world, reader, "alarm");
        world.hold(reader);
        publish(world, plain, &topic, 1);
        world.until("the first has arrived", |world| facts(world, "alarm").delivered == 1);
        publish(world, owner, &topic, 2);
        world.until("both have arrived", |world| facts(world, "alarm").delivered == 2);
        world.cancel_waits(reader);
        next(world, &reports, "alarm #2 note 2");
        next(world, &reports, "alarm #1 note 1");
    }

    fn a_process_on_its_own_thread_publishes_and_subscribes(world, other) {
        let (owner, told) = world.dedicated(0, SpawnOptions::new());
        let topic = register(world, owner, "slow", EventOptions::new().notify().buffer(1));
        let (reader, reports) = world.puppet(other, SpawnOptions::new());
        let (apart, apart_reports) = world.dedicated(other, SpawnOptions::new());
        publish(world, owner, &topic, 1);
        world.until("it is kept", |world| facts(world, "slow").kept == 1);
        for (subscriber, reports) in [(reader, &reports), (apart, &apart_reports)] {
            subscribed(world, subscriber, "slow");
            next(world, reports, "slow #1 note 1");
        }
        next(world, &told, "start slow");
        publish(world, owner, &topic, 2);
        for reports in [&reports, &apart_reports] {
            next(world, reports, "slow #2 note 2");
        }
        world.kill(owner);
        for reports in [&reports, &apart_reports] {
            next(world, reports, "down event slow kill");
        }
    }

    fn many_subscribers_share_one_value_and_get_it_over_several_turns(world, other) {
        const READERS: usize = 10_000;
        let (owner, _) = world.puppet(0, SpawnOptions::new());
        let (give, taken) = channel();
        world.run(owner, move |cx| {
            give.send(cx.register_event::<Counted>("wide", EventOptions::new())).unwrap();
            String::new()
        });
        let topic = taken.recv().unwrap().unwrap();
        let (seen, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for index in 0..READERS {
            let seen = Arc::clone(&seen);
            let shard = if index % 2 == 0 { 0 } else { other };
            world.spawn(shard, move || Reader { seen, last: 0 }, SpawnOptions::new()).unwrap();
        }
        world.until("all are subscribed", |world| facts(world, "wide").subscribers == READERS as u64);
        for round in 1..=3 {
            let (topic, dropped) = (topic.clone(), Arc::clone(&dropped));
            world.run(owner, move |cx| format!("{:?}", cx.publish(&topic, Counted { round, dropped })));
        }
        world.until("all have all", |_| seen.load(Ordering::Relaxed) == 3 * READERS);
        world.until("each value is dropped once", |_| dropped.load(Ordering::Relaxed) == 3);
        assert_eq!(facts(world, "wide").delivered, 3 * READERS as u64);
        // What is published in the event's last moment comes before its end.
        let dropped_last = Arc::clone(&dropped);
        world.run(owner, move |cx| {
            let last = Counted { round: 4, dropped: dropped_last };
            format!("{:?}{:?}", cx.publish(&topic, last), cx.unregister_event("wide"))
        });
        world.until("all have the last one", |_| seen.load(Ordering::Relaxed) == 4 * READERS);
        world.until("it is dropped, too", |_| dropped.load(Ordering::Relaxed) == 4);
    }
}

/// Counts how often it is dropped.
#[message(local)]
struct Counted {
    round: u64,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

struct Reader {
    seen: Arc<AtomicUsize>,
    last: u64,
}

#[actor]
impl Reader {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.subscribe::<Counted>("wide")?;
        Ok(())
    }
    #[handle]
    fn wide(&mut self, event: Event<Counted>, _cx: &mut Context<'_>) -> ActorResult {
        assert_eq!((event.round, event.sequence()), (self.last + 1, self.last + 1), "in order, none twice");
        self.last += 1;
        self.seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
