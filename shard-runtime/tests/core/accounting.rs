//! Every message is counted once, where it is lost or refused; what is not a message of the user's is not counted as one.

use crate::world::{Double, Never, Note, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{DeliveryError, OnFull, Priority, SendReason, ShardCounters};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(30);

/// Keeps a puppet inside a handler that never returns.
fn hold(world: &mut World, target: Pid) {
    world.send(target, Never).unwrap();
    world.until("it is held", |world| {
        world.process(target).is_some_and(|process| process.messages_in > 0 && process.mailbox == 0)
    });
}

/// Failed sends, failed calls, dead letters, late replies.
fn losses(counters: &ShardCounters) -> [u64; 4] {
    let ShardCounters { send_errors_local, call_errors_local, dead_letters, late_replies, .. } = *counters;
    [send_errors_local, call_errors_local, dead_letters, late_replies]
}

both! {
    /// It recursed until the stack was used up.
    fn two_full_mailboxes_that_fall_back_to_each_other_refuse(world, other) {
        let bounded = |name: &str, to: &str| SpawnOptions::named(name).with_mailbox(1).with_fallback(to, "x");
        let (one, _one) = world.puppet(other, bounded("one", "two"));
        let (two, _two) = world.puppet(other, bounded("two", "one"));
        let (sender, _reports) = world.puppet(0, SpawnOptions::new());
        hold(world, one);
        hold(world, two);
        let said = world.run(sender, move |cx| {
            (0..3).map(|n| match cx.send(one, Note(n)) {
                Ok(()) => "ok ".to_owned(),
                Err(error) => format!("{:?}", error.reason),
            }).collect()
        });
        assert_eq!(said, "ok ok MailboxFull");
        assert_eq!(losses(&world.counters()), [1, 0, 0, 0]);
    }

    /// It looked for room in Main, found it, and tried again, for ever, within one activation.
    fn a_sender_with_a_priority_of_its_own_waits_for_room_in_its_own_queue(world, other) {
        let (target, _target) = world.puppet(other, SpawnOptions::new().with_mailbox(1));
        let (sender, _sender) = world.puppet(0, SpawnOptions::new().with_send_priority(Priority::High));
        hold(world, target);
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            let first = cx.send_wait(target, Note(1), SHORT).await.map_err(|error| error.reason);
            let second = cx.send_wait(target, Note(2), SHORT).await.map_err(|error| error.reason);
            format!("{first:?} {second:?}")
        }));
        assert_eq!(said.unwrap(), "Ok(()) Err(Expired)");
        // One send failed, however often it tried; waiting for room is no call.
        assert_eq!(losses(&world.counters()), [1, 0, 0, 0]);
    }

    fn a_delayed_send_that_is_refused_is_a_dead_letter_and_no_failed_send(world, other) {
        let (target, _target) = world.puppet(other, SpawnOptions::new());
        let (listener, heard) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender) = world.puppet(0, SpawnOptions::new());
        world.kill(target);
        world.until_gone(target);
        let before = world.process(sender).unwrap().messages_out;
        world.run(sender, move |cx| {
            cx.send_after(target, Note(1), Duration::from_millis(5)).unwrap();
            cx.send_after(listener, Note(2), Duration::from_millis(10)).unwrap();
            String::new()
        });
        assert_eq!(heard.next(world), "note 2");
        world.until("it counts as sent", |world| world.process(sender).unwrap().messages_out == before + 1);
        assert_eq!(losses(&world.counters()), [0, 0, 1, 0]);
    }

    fn a_forward_counts_as_a_send(world, other) {
        let (target, heard) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender) = world.puppet(0, SpawnOptions::new());
        let before = world.process(sender).unwrap().messages_out;
        world.run(sender, move |cx| format!("{:?}", cx.forward(target, Note(1)).is_ok()));
        assert_eq!(heard.next(world), "note 1");
        world.until("it counts", |world| world.process(sender).unwrap().messages_out == before + 1);
        world.kill(target);
        world.until_gone(target);
        let said = world.run(sender, move |cx| format!("{:?}", cx.forward(target, Note(2)).map_err(|error| error.reason)));
        assert_eq!(said, "Err(NoProcess)");
        assert_eq!(losses(&world.counters()), [1, 0, 0, 0]);
    }

    fn an_important_send_that_is_refused_is_counted_once(world, other) {
        let (target, _target) = world.puppet(other, SpawnOptions::new().with_mailbox(1));
        let (sender, _sender) = world.puppet(0, SpawnOptions::new());
        hold(world, target);
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            let mut said = String::new();
            for n in 0..2 {
                match cx.send_important(target, Note(n), Duration::from_secs(10)).await {
                    Ok(()) => said.push_str("ok "),
                    Err(DeliveryError::Refused(refused)) => said.push_str(&format!("{:?}", refused.reason)),
                    Err(_) => said.push_str("unknown"),
                }
            }
            said
        }));
        assert_eq!(said.unwrap(), "ok MailboxFull");
        assert_eq!(losses(&world.counters()), [1, 0, 0, 0]);
    }

    fn a_send_from_outside_that_comes_back_is_counted(world, other) {
        let (target, _target) = world.puppet(other, SpawnOptions::new().with_mailbox(1));
        hold(world, target);
        world.send(target, Note(1)).unwrap();
        assert_eq!(world.send(target, Note(2)).unwrap_err().reason, SendReason::MailboxFull);
        assert_eq!(world.send("nobody", Note(3)).unwrap_err().reason, SendReason::NameUnknown);
        assert_eq!(losses(&world.counters()), [2, 0, 0, 0]);
    }

    /// A down message is promised exactly once: dropping what is oldest must not break that.
    fn drop_oldest_spares_what_comes_from_the_runtime(world, other) {
        let options = SpawnOptions::new().with_mailbox(2).on_full(OnFull::DropOldest);
        let (target, heard) = world.puppet(other, options);
        let (watched, _watched) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender) = world.puppet(0, SpawnOptions::new());
        world.run(target, move |cx| format!("{:?}", cx.monitor(watched)));
        let held = world.run(target, |_| String::new());
        assert_eq!(held, "");
        let (gate, _gate) = world.puppet(0, SpawnOptions::new());
        world.send(target, crate::world::ActAsync(Box::new(move |cx| Box::pin(async move {
            format!("{:?}", cx.call_timeout(gate, Never, Duration::from_secs(1_000_000)).await)
        })))).unwrap();
        world.until("it is held", |world| world.facts(target).awaited == 1);
        world.kill(watched);
        world.until_gone(watched);
        world.until("the down message is queued", |world| world.facts(target).queues[1] == 1);
        world.run(sender, move |cx| {
            for n in 0..5 {
                cx.send_with(target, Note(n), Priority::High).unwrap();
            }
            String::new()
        });
        world.until("the rest is dropped", |world| world.counters().policy_dropped == 4);
        world.cancel_waits(target);
        let reports = [heard.next(world), heard.next(world)];
        assert_eq!(reports, ["down pid kill", "note 4"]);
        assert_eq!(world.counters().posted, 1);
    }

    fn a_spawn_that_fails_is_counted_once_and_is_no_call(world, other) {
        struct Fails;
        #[actor]
        impl Fails {
            fn init(&mut self, _cx: &mut Context<'_>) -> ActorResult {
                Err(ActorError::normal())
            }
        }
        let (sender, _sender) = world.puppet(0, SpawnOptions::named("held"));
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            let spawned = cx.spawn_wait(|| Fails, SpawnOptions::new().on_shard(other)).await;
            let named = cx.spawn(|| Fails, SpawnOptions::named("held"));
            format!("{} {}", spawned.is_ok(), named.is_ok())
        }));
        assert_eq!(said.unwrap(), "false false");
        assert_eq!(world.counters().spawn_failed, 2);
        assert_eq!(losses(&world.counters()), [0, 0, 0, 0]);
    }

    /// A reply that is there when its caller is killed is lost like one that comes afterwards.
    fn a_reply_that_nobody_takes_is_late(world, other) {
        let (target, _target) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender) = world.puppet(0, SpawnOptions::new());
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            let unread = cx.call(target, Double(1));
            let read = cx.call(target, Double(2)).await;
            drop(unread);
            format!("{read:?}")
        }));
        assert_eq!(said.unwrap(), "Ok(4)");
        assert_eq!(losses(&world.counters()), [0, 0, 0, 1]);
    }
}
