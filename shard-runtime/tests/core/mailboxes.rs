//! Bounded mailboxes: what happens to the message that finds no place, and how a sender waits for one.

use crate::world::{Act, ActAsync, Double, Large, Never, Note, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{OnFull, Priority, SendReason};
use std::time::Duration;

/// Has a puppet send notes until one is refused, and say how many went and why.
fn fill(cx: &mut Context<'_>, to: Pid, most: u32) -> String {
    for n in 0..most {
        if let Err(error) = cx.send(to, Note(n)) {
            let (reason, message) = error.into_parts();
            return format!("{n} {reason:?} {}", message.0);
        }
    }
    format!("{most}")
}

both! {
    fn a_full_mailbox_gives_the_message_back(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new().with_mailbox(3));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        world.send(target, Never).unwrap();
        world.until("it waits", |world| world.process(target).is_some_and(|process| process.messages_in == 1 && process.mailbox == 0));
        assert_eq!(world.run(sender, move |cx| fill(cx, target, 10)), "3 MailboxFull 3");
        // Each queue has places of its own, and outside senders are bound too.
        let said = world.run(sender, move |cx| {
            (0..5).map(|n| cx.send_with(target, Note(n), Priority::High).is_ok().to_string()).collect()
        });
        assert_eq!(said, "truetruetruefalsefalse");
        assert_eq!(world.send(target, Note(9)).unwrap_err().reason, SendReason::MailboxFull);
        let said = world.run_async(sender, move |cx| Box::pin(async move { format!("{:?}", cx.call(target, Double(1)).await) }));
        assert_eq!(said.unwrap(), "Err(Send(MailboxFull))");
        world.until("all have come", |world| world.facts(target).queues == [3, 3, 0, 0]);
        let facts = world.facts(target);
        assert_eq!((facts.mailbox_limit, facts.on_full), (Some(3), OnFull::Reject));
        // A signal of the runtime is never refused.
        world.kill(target);
        assert_eq!(reports.next(world), "terminate kill");
    }

    fn places_come_back_when_messages_are_handled(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new().with_mailbox(4));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let mut next = 0;
        for _ in 0..50 {
            let from = next;
            next += 4;
            let said = world.run(sender, move |cx| {
                (from..from + 4).map(|n| cx.send(target, Note(n)).is_ok().to_string()).collect()
            });
            assert_eq!(said, "truetruetruetrue");
            for n in from..from + 4 {
                assert_eq!(reports.next(world), format!("note {n}"));
            }
            world.until("it is empty", |world| world.process(target).is_some_and(|process| process.mailbox == 0));
        }
    }

    fn drop_newest_keeps_what_is_there(world, other) {
        let options = SpawnOptions::new().with_mailbox(3).on_full(OnFull::DropNewest);
        let (target, reports) = world.puppet(other, options);
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let before = world.counters().policy_dropped;
        hold(world, target);
        assert_eq!(world.run(sender, move |cx| fill(cx, target, 10)), "10");
        let said = world.run_async(sender, move |cx| Box::pin(async move { format!("{:?}", cx.call(target, Double(1)).await) }));
        assert_eq!(said.unwrap(), "Err(Dropped)");
        release(world, target);
        for n in 0..3 {
            assert_eq!(reports.next(world), format!("note {n}"));
        }
        assert_eq!(world.counters().policy_dropped - before, 8);
    }

    fn drop_oldest_keeps_the_newest_and_answers_a_dropped_call(world, other) {
        let options = SpawnOptions::new().with_mailbox(3).on_full(OnFull::DropOldest);
        let (target, reports) = world.puppet(other, options);
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let (caller, caller_reports) = world.puppet(0, SpawnOptions::new());
        let before = world.counters().policy_dropped;
        hold(world, target);
        world.send(caller, ActAsync(Box::new(move |cx| Box::pin(async move {
            let said = cx.call(target, Double(1)).await;
            assert_eq!(format!("{said:?}"), "Err(Dropped)");
            cx.send(cx.pid(), Note(77)).unwrap();
            String::new()
        })))).unwrap();
        world.until("the call is queued", |world| world.process(target).is_some_and(|process| process.mailbox == 1));
        assert_eq!(world.run(sender, move |cx| fill(cx, target, 10)), "10");
        assert_eq!(caller_reports.next(world), "note 77");
        world.until("three are left", |world| world.process(target).is_some_and(|process| process.mailbox == 3 && process.messages_in == 12));
        release(world, target);
        for n in 7..10 {
            assert_eq!(reports.next(world), format!("note {n}"));
        }
        assert_eq!(world.counters().policy_dropped - before, 8);
    }

    fn a_process_that_floods_its_own_bounded_mailbox_drops_the_new(world, other) {
        let options = SpawnOptions::new().with_mailbox(3).on_full(OnFull::DropOldest);
        let (target, reports) = world.puppet(other, options);
        world.send(target, Act(Box::new(|cx| fill(cx, cx.pid(), 10)))).unwrap();
        // The message in hand has its place until it is done.
        assert_eq!((reports.next(world).as_str(), reports.next(world).as_str()), ("note 0", "note 1"));
        world.until("it is empty", |world| world.process(target).is_some_and(|process| process.mailbox == 0));
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn what_is_refused_goes_to_the_fallback(world, other) {
        let options = SpawnOptions::new().with_mailbox(2).with_fallback("spare", "overflow");
        let (target, _reports) = world.puppet(other, options);
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        hold(world, target);
        // Without a holder of the name the sender gets the message back.
        assert_eq!(world.run(sender, move |cx| fill(cx, target, 10)), "2 MailboxFull 2");
        let (_spare, spare_reports) = world.puppet(0, SpawnOptions::named("spare"));
        assert_eq!(world.run(sender, move |cx| fill(cx, target, 2)), "2");
        for n in 0..2 {
            assert_eq!(spare_reports.next(world), format!("fallback overflow Some({n}) from false"));
        }
        let said = world.run_async(sender, move |cx| Box::pin(async move { format!("{:?}", cx.call(target, Double(1)).await) }));
        assert_eq!(said.unwrap(), "Err(Send(MailboxFull))");
        assert_eq!(world.facts(target).fallback, Some(("spare".to_owned(), "overflow".to_owned())));
        world.kill(target);
    }

    fn a_sender_waits_for_room_and_gives_up_in_time(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new().with_mailbox(1));
        let (sender, sender_reports) = world.puppet(0, SpawnOptions::new());
        hold(world, target);
        let waits = move |n: u32, within: Duration| {
            ActAsync(Box::new(move |cx| Box::pin(async move {
                let said = cx.send_wait(target, Note(n), within).await;
                let done = match &said { Ok(()) => 1000 + n, Err(error) => { assert_eq!(error.reason, SendReason::Expired); 2000 + n } };
                if let Err(error) = said { assert_eq!(error.into_inner().0, n); }
                cx.send(cx.pid(), Note(done)).unwrap();
                String::new()
            })))
        };
        world.send(sender, waits(1, Duration::from_secs(60))).unwrap();
        assert_eq!(sender_reports.next(world), "note 1001");
        world.send(sender, waits(2, Duration::from_millis(50))).unwrap();
        assert_eq!(sender_reports.next(world), "note 2002");
        world.send(sender, waits(3, Duration::from_secs(60))).unwrap();
        release(world, target);
        assert_eq!(sender_reports.next(world), "note 1003");
        assert_eq!((reports.next(world).as_str(), reports.next(world).as_str()), ("note 1", "note 3"));
    }

    fn two_full_mailboxes_do_not_wait_for_each_other_for_ever(world, other) {
        let (one, one_reports) = world.puppet(0, SpawnOptions::new().with_mailbox(1));
        let (two, two_reports) = world.puppet(other, SpawnOptions::new().with_mailbox(1));
        let waits = |to: Pid| {
            ActAsync(Box::new(move |cx| Box::pin(async move {
                let mut done = 0;
                for n in 0..3 {
                    if cx.send_wait(to, Large([n; 9]), Duration::from_millis(100)).await.is_ok() { done += 1; }
                }
                done.to_string()
            })))
        };
        world.send(one, waits(two)).unwrap();
        world.send(two, waits(one)).unwrap();
        assert_eq!(one_reports.next(world), "large 0");
        assert_eq!(two_reports.next(world), "large 0");
    }
}

/// Suspends a puppet's handler in a call, so that its mailbox fills.
fn hold(world: &mut World, target: Pid) {
    let (gate, _) = world.puppet(0, SpawnOptions::new());
    world
        .send(
            target,
            ActAsync(Box::new(move |cx| {
                Box::pin(async move {
                    format!("{:?}", cx.call_timeout(gate, Never, Duration::from_secs(1_000_000)).await)
                })
            })),
        )
        .unwrap();
    world.until("it is held", |world| world.facts(target).awaited == 1);
}

/// Lets it go on.
fn release(world: &mut World, target: Pid) {
    world.cancel_waits(target);
}
