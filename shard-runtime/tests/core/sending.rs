//! Every way to send: addresses, priorities, delays, requests, forwarding, important sends.

use crate::world::{Act, ActAsync, Double, Large, Never, Note, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{Alias, CallError, DeliveryError, Priority, SendReason};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Hands everything on to another process.
struct Porter {
    to: Pid,
}

#[actor]
impl Porter {
    #[handle]
    fn note(&mut self, m: Note, cx: &mut Context<'_>) -> ActorResult {
        cx.forward(self.to, m)?;
        Ok(())
    }
    #[handle]
    fn double(&mut self, m: Double, reply: ReplyTo<u32>, cx: &mut Context<'_>) -> ActorResult {
        let _told = cx.forward_call(self.to, m, reply);
        Ok(())
    }
}

/// Hands calls on to the first of two that takes them, and answers itself if none does.
struct Detour([Pid; 2]);

#[actor]
impl Detour {
    #[handle]
    fn double(&mut self, mut m: Double, mut reply: ReplyTo<u32>, cx: &mut Context<'_>) -> ActorResult {
        for to in self.0 {
            let Err(refused) = cx.forward_call(to, m, reply) else { return Ok(()) };
            let (reason, request, back) = refused.into_parts();
            assert_eq!((reason, back.is_awaited()), (SendReason::NoProcess, true));
            (m, reply) = (request, back);
        }
        reply.send(m.0 + 1000);
        Ok(())
    }
}

fn alias_of(world: &mut World, pid: Pid) -> Alias {
    let (tell, told) = channel();
    world.run(pid, move |cx| {
        tell.send(cx.create_alias().unwrap()).unwrap();
        String::new()
    });
    told.recv().unwrap()
}

both! {
    fn every_address_leads_to_the_process_in_one_order(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::named("target"));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let alias = alias_of(world, target);
        world.run(sender, move |cx| {
            for n in 0..100 {
                match n % 4 {
                    0 => cx.send(target, Note(n)),
                    1 => cx.send("target", Note(n)),
                    2 => cx.send(alias, Note(n)),
                    _ => cx.send(("target", "core@localhost"), Note(n)),
                }
                .unwrap();
            }
            String::new()
        });
        for n in 0..100 {
            assert_eq!(reports.next(world), format!("note {n}"));
        }
        assert_eq!(world.call(target, Double(4)), Ok(8));
        world.kill(target);
        world.until_gone(target);
        let said = world.run(sender, move |cx| {
            let refused = [cx.send(target, Note(1)), cx.send("target", Note(2)), cx.send(alias, Note(3))];
            refused.map(|sent| sent.map_err(|error| (error.reason, error.into_inner().0)).unwrap_err()).map(|error| format!("{error:?}")).concat()
        });
        assert_eq!(said, "(NoProcess, 1)(NameUnknown, 2)(AliasUnknown, 3)");
    }

    fn a_process_may_ask_by_which_address_it_was_reached(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::named("target").split_handle());
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let alias = alias_of(world, target);
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            cx.send(target, Note(1)).unwrap();
            cx.send("target", Note(2)).unwrap();
            cx.send(alias, Note(3)).unwrap();
            format!("{:?} {:?}", cx.call("target", Double(4)).await, cx.call(target, Double(5)).await)
        }));
        assert_eq!(said.unwrap(), "Ok(8) Ok(10)");
        let heard: Vec<_> = (0..4).map(|_| reports.next(world)).collect();
        assert_eq!(heard, ["note 1", "note 2 by name target", "note 3 by alias", "double 4 by name target"]);
        world.run(target, |cx| { cx.split_handle(false); String::new() });
        world.run(sender, move |cx| format!("{:?}", cx.send("target", Note(6))));
        assert_eq!(reports.next(world), "note 6");
    }

    fn a_higher_priority_goes_first_and_cuts_the_batch(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new());
        // In one handler, so that all are queued before the target runs.
        world.send(target, Act(Box::new(|cx| {
            let own = cx.pid();
            cx.send(own, Note(1)).unwrap();
            cx.send_with(own, Note(2), Priority::High).unwrap();
            cx.send_with(own, Note(3), Priority::Max).unwrap();
            cx.send(own, Note(4)).unwrap();
            cx.send_with(own, Note(5), Priority::High).unwrap();
            String::new()
        }))).unwrap();
        let heard: Vec<_> = (0..5).map(|_| reports.next(world)).collect();
        assert_eq!(heard, ["note 3", "note 2", "note 5", "note 1", "note 4"]);
    }

    fn a_flood_of_urgent_messages_does_not_starve_the_others(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new().with_budget(4));
        world.send(target, Act(Box::new(|cx| {
            let own = cx.pid();
            cx.send(own, Note(1000)).unwrap();
            cx.send_with(own, Note(2000), Priority::High).unwrap();
            for n in 0..400 {
                cx.send_with(own, Note(n), Priority::Max).unwrap();
            }
            String::new()
        }))).unwrap();
        let heard: Vec<_> = (0..402).map(|_| reports.next(world)).collect();
        let place = |text: &str| heard.iter().position(|heard| heard == text).unwrap();
        // 16 activations of 4 messages each, then each lower queue has a turn.
        assert_eq!((place("note 2000"), place("note 1000")), (64, 65));
        assert_eq!(heard[401], "note 399");
    }

    fn a_process_may_have_a_priority_of_its_own(world, other) {
        let (target, _reports) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new().with_send_priority(Priority::High));
        let (gate, _gate_reports) = world.puppet(0, SpawnOptions::new());
        world.send(target, ActAsync(Box::new(move |cx| Box::pin(async move {
            format!("{:?}", cx.call_timeout(gate, Never, Duration::from_secs(1_000_000)).await)
        })))).unwrap();
        world.until("it is held", |world| world.facts(target).awaited == 1);
        world.run(sender, move |cx| {
            cx.send(target, Note(1)).unwrap();
            cx.send_with(target, Note(2), Priority::Normal).unwrap();
            cx.send_with(target, Note(3), Priority::Max).unwrap();
            String::new()
        });
        world.until("all have come", |world| world.facts(target).queues == [1, 1, 1, 0]);
        assert_eq!(world.facts(sender).send_priority, Priority::High);
        world.kill(target);
    }

    fn delayed_and_repeated_sends_come_in_time_unless_cancelled(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::named("target"));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let ms = Duration::from_millis;
        let said = world.run(sender, move |cx| {
            cx.send_after("target", Note(2), ms(40)).unwrap();
            cx.send_after_with(target, Note(1), Priority::High, ms(10)).unwrap();
            let never = cx.send_after(target, Note(9), ms(20)).unwrap();
            format!("{} {}", cx.cancel_timer(never), cx.cancel_timer(never))
        });
        assert_eq!(said, "true false");
        world.pass(ms(100));
        assert_eq!((reports.next(world).as_str(), reports.next(world).as_str()), ("note 1", "note 2"));
        world.run(sender, move |cx| { cx.send_every(target, Note(5), ms(10)).unwrap(); String::new() });
        for _ in 0..5 {
            assert_eq!(reports.next(world), "note 5");
        }
        // It ends with its owner.
        world.kill(sender);
        world.until_gone(sender);
        world.until("no timer is left", |world| world.counters().timers == 0);
        let (one, one_reports) = world.puppet(other, SpawnOptions::new());
        world.run(one, move |cx| {
            let every = cx.send_every(cx.pid(), Note(1), ms(10)).unwrap();
            let _kept = (cx.exit_after(target, ExitReason::Shutdown, ms(30)), every);
            String::new()
        });
        assert_eq!(one_reports.next(world), "note 1");
        world.until_gone(target);
        world.kill(one);
    }

    fn a_request_is_answered_once_as_a_message(world, other) {
        let (target, target_reports) = world.puppet(other, SpawnOptions::new());
        let (asker, reports) = world.puppet(0, SpawnOptions::new());
        let seconds = Duration::from_secs;
        world.run(asker, move |cx| format!("{:?}", cx.request(target, Double(21), 7, seconds(5)).is_ok()));
        assert_eq!(reports.next(world), "response 7 Ok(42)");
        world.run(asker, move |cx| format!("{:?}", cx.request(target, Never, 8, Duration::from_millis(20)).is_ok()));
        assert_eq!(reports.next(world), "response 8 Err(Timeout)");
        world.kill(target);
        assert_eq!(target_reports.next(world), "terminate kill");
        world.until_gone(target);
        let said = world.run(asker, move |cx| {
            let refused = cx.request(target, Double(1), 9, seconds(5)).unwrap_err();
            let (reason, message) = refused.into_parts(); format!("{reason:?} {}", message.0)
        });
        assert_eq!(said, "NoProcess 1");
        let (target, _reports) = world.puppet(other, SpawnOptions::new());
        let said = world.run(asker, move |cx| {
            let request = cx.request(target, Never, 10, seconds(5)).unwrap();
            format!("{} {}", cx.cancel_request(request), cx.cancel_request(request))
        });
        assert_eq!(said, "true false");
        world.run(asker, move |cx| format!("{:?}", cx.request(target, Double(3), 11, seconds(60)).is_ok()));
        world.kill(target);
        world.until_gone(target);
        let said = reports.next(world);
        let ends = ["response 11 Err(Killed)", "response 11 Ok(6)", "response 11 Err(Send(NoProcess))"];
        assert!(ends.contains(&said.as_str()), "{said}");
        world.until("nobody waits", |world| world.counters().waiters == 0);
    }

    fn what_is_forwarded_keeps_its_sender_and_its_caller(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new());
        let porter = world.spawn(0, move || Porter { to: target }, SpawnOptions::new()).unwrap();
        let (sender, _sender_reports) = world.puppet(other, SpawnOptions::new());
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            cx.send(porter, Note(1)).unwrap();
            let doubled = cx.call(porter, Double(4)).await;
            format!("{doubled:?} {}", cx.pid())
        })).unwrap();
        assert_eq!(said, format!("Ok(8) {sender}"));
        assert_eq!(reports.next(world), "note 1");
        let seen = world.inspect(target);
        assert_eq!(seen, [("note".to_owned(), sender.to_string())]);
        world.kill(target);
        world.until_gone(target);
        let said = world.run_async(sender, move |cx| Box::pin(async move { format!("{:?}", cx.call(porter, Double(4)).await) }));
        assert_eq!(said.unwrap(), "Err(Send(NoProcess))");
    }

    fn a_call_that_cannot_be_handed_on_comes_back_with_the_right_to_answer_it(world, other) {
        let (dead, _reports) = world.puppet(other, SpawnOptions::new());
        let (target, _target_reports) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender_reports) = world.puppet(other, SpawnOptions::new());
        world.kill(dead);
        world.until_gone(dead);
        let ask = move |world: &mut World, to: [Pid; 2]| {
            let detour = world.spawn(0, move || Detour(to), SpawnOptions::new()).unwrap();
            world.run_async(sender, move |cx| Box::pin(async move {
                format!("{:?}", cx.call(detour, Double(4)).await)
            })).unwrap()
        };
        assert_eq!(ask(world, [dead, target]), "Ok(8)");
        assert_eq!(ask(world, [dead, dead]), "Ok(1004)", "answered by who could not hand it on");
    }

    fn an_important_send_learns_what_became_of_it(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new().with_mailbox(1));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let send = move |world: &mut World, n: u32| {
            world.run_async(sender, move |cx| Box::pin(async move {
                match cx.send_important(target, Note(n), Duration::from_secs(5)).await {
                    Ok(()) => "ok".to_owned(),
                    Err(DeliveryError::Refused(error)) => { let (reason, message) = error.into_parts(); format!("{reason:?} {}", message.0) }
                    Err(other) => format!("{other:?}"),
                }
            })).unwrap()
        };
        assert_eq!(send(world, 1), "ok");
        assert_eq!(reports.next(world), "note 1");
        world.send(target, Never).unwrap();
        world.until("it waits", |world| world.process(target).is_some_and(|process| process.messages_in == 2 && process.mailbox == 0));
        assert_eq!((send(world, 2), send(world, 3)), ("ok".to_owned(), "MailboxFull 3".to_owned()));
        world.kill(target);
        world.until_gone(target);
        assert_eq!(send(world, 4), "NoProcess 4");
    }

    fn large_messages_arrive_and_calls_end_with_their_callee(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::new());
        let (sender, sender_reports) = world.puppet(0, SpawnOptions::new());
        world.run(sender, move |cx| { cx.send(target, Large([6; 9])).unwrap(); String::new() });
        assert_eq!(reports.next(world), "large 6");
        world.send(sender, ActAsync(Box::new(move |cx| Box::pin(async move {
            let said = cx.call_with(target, Never, Priority::High, Duration::from_secs(3600)).await;
            assert_eq!(said, Err(CallError::Killed));
            cx.send(cx.pid(), Note(1)).unwrap();
            String::new()
        })))).unwrap();
        world.until("it is asked", |world| world.process(target).is_some_and(|process| process.messages_in == 2 && process.mailbox == 0));
        world.kill(target);
        assert_eq!(sender_reports.next(world), "note 1");
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            format!("{:?} {:?}", cx.call(cx.pid(), Double(1)).await, cx.call(target, Double(1)).await)
        }));
        assert_eq!(said.unwrap(), "Err(SelfCall) Err(Send(NoProcess))");
        assert_eq!(world.send(target, Note(1)).unwrap_err().reason, SendReason::NoProcess);
    }
}
