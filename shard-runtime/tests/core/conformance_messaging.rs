//! Rows of the conformance table about messages: full queues, fallback, delays, calls and their ends, requests.

use crate::world::{Act, ActAsync, Custom, Double, Never, Note, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{CallError, DeliveryError, OnFull, Priority, SendReason, Target};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

#[message(local, reply = ())]
struct Unit;
#[message(local, reply = Option<u32>)]
struct Maybe;
#[message(local, reply = Result<u32, String>)]
struct Fallible(bool);
#[message(local, reply = u32)]
struct Failing;
#[message(local, reply = u32)]
struct AnswerAndStop;
#[message(local, reply = u32)]
struct Later;
/// Brings the right to answer a call of somebody else.
#[message(local)]
struct Duty(ReplyTo<u32>, Option<u32>);

/// Answers in every way there is.
struct Answers {
    duty: Option<Pid>,
    tell: Sender<String>,
}

#[actor]
impl Answers {
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        let _nobody_listens = self.tell.send(format!("terminate {reason}"));
    }
    #[handle]
    fn unit(&mut self, _: Unit, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
    #[handle]
    fn maybe(&mut self, _: Maybe, _cx: &mut Context<'_>) -> Result<Option<u32>, ActorError> {
        Ok(None)
    }
    #[handle]
    fn fallible(&mut self, m: Fallible, _cx: &mut Context<'_>) -> Result<Result<u32, String>, ActorError> {
        Ok(if m.0 { Ok(1) } else { Err("sold out".to_owned()) })
    }
    #[handle]
    fn failing(&mut self, _: Failing, _cx: &mut Context<'_>) -> Result<u32, ActorError> {
        Err(Custom("no answer").into())
    }
    #[handle]
    fn answer_and_stop(
        &mut self,
        _: AnswerAndStop,
        reply: ReplyTo<u32>,
        _cx: &mut Context<'_>,
    ) -> ActorResult {
        reply.send(5);
        Err(ActorError::normal())
    }
    /// Hands the right to answer on, to a process that may be of another shard.
    #[handle]
    fn later(&mut self, _: Later, reply: ReplyTo<u32>, cx: &mut Context<'_>) -> ActorResult {
        if let Some(duty) = self.duty {
            cx.send(duty, Duty(reply, Some(7)))?;
        } else {
            cx.send_after(cx.pid(), Duty(reply, Some(8)), Duration::from_millis(50))?;
        }
        Ok(())
    }
    #[handle]
    fn duty(&mut self, m: Duty, _cx: &mut Context<'_>) -> ActorResult {
        match m.1 {
            Some(value) => m.0.send(value),
            None => m.0.refuse(CallError::Busy),
        }
        Ok(())
    }
}

fn answers(world: &mut World, shard: u16, duty: Option<Pid>) -> (Pid, Receiver<String>) {
    let (tell, told) = channel();
    (world.spawn(shard, move || Answers { duty, tell }, SpawnOptions::new()).unwrap(), told)
}

fn next(world: &mut World, told: &Receiver<String>) -> String {
    let mut found = None;
    world.until("a report", |_| {
        found = told.try_recv().ok();
        found.is_some()
    });
    found.unwrap()
}

/// Makes a puppet wait at a gate and then do something: nothing else is handled in between.
fn behind_a_gate(
    world: &mut World,
    puppet: Pid,
    then: impl for<'a> FnOnce(&'a mut Context<'_>) -> std::pin::Pin<Box<dyn Future<Output = String> + 'a>>
    + Send
    + 'static,
) {
    let (gate, _) = world.puppet(0, SpawnOptions::new());
    let wait = ActAsync(Box::new(move |cx| {
        Box::pin(async move {
            let said = cx.call_timeout(gate, Never, Duration::from_secs(1_000_000)).await;
            assert_eq!(said, Err(CallError::Canceled));
            then(cx).await
        })
    }));
    world.send(puppet, wait).unwrap();
    world.until("it is at the gate", |world| world.facts(puppet).awaited == 1);
}

both! {
    fn signals_find_a_place_in_full_queues_and_go_first(world, other) {
        let options = SpawnOptions::new().with_mailbox(1).trap_exit();
        let (target, reports) = world.puppet(other, options);
        let (linked, _) = world.puppet(0, SpawnOptions::new());
        let (watched, _) = world.puppet(0, SpawnOptions::new());
        world.run(target, move |cx| format!("{:?} {:?}", cx.link(linked), cx.monitor(watched)));
        world.until("they are known", |world| world.facts(linked).linked_by.len() + world.facts(watched).monitored_by.len() == 2);
        world.hold(target);
        let (sender, _) = world.puppet(0, SpawnOptions::new());
        let said = world.run(sender, move |cx| {
            [Priority::Normal, Priority::High, Priority::Max].into_iter().enumerate().map(|(n, priority)| {
                let n = n as u32;
                format!("{:?} {:?} ", cx.send_with(target, Note(n), priority).is_ok(), cx.send_with(target, Note(n + 10), priority).is_ok())
            }).collect()
        });
        assert_eq!(said, "true false true false true false ");
        world.kill(linked);
        world.kill(watched);
        world.until("both signals have come", |world| world.facts(target).queues == [1, 2, 2, 0]);
        world.cancel_waits(target);
        let heard: Vec<_> = (0..5).map(|_| reports.next(world)).collect();
        assert_eq!(heard, ["note 2", "exit pid kill", "note 1", "down pid kill", "note 0"]);
        // The places come back: the queues are as large as before.
        world.until("it is idle", |world| world.facts(target).queues == [0; 4]);
        assert!(world.send(target, Note(20)).is_ok());
        assert_eq!(reports.next(world), "note 20");
    }

    fn what_is_forwarded_or_called_has_no_fallback(world, other) {
        let options = SpawnOptions::new().with_mailbox(1).with_fallback("spare", "t");
        let (target, _reports) = world.puppet(other, options);
        let (_spare, spare_reports) = world.puppet(0, SpawnOptions::named("spare"));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        world.hold(target);
        let said = world.run(sender, move |cx| {
            assert!(cx.send(target, Note(1)).is_ok());
            let (reason, message) = cx.forward(target, Note(2)).unwrap_err().into_parts();
            let nobody = cx.forward("nobody", Note(3)).unwrap_err().reason;
            let request = cx.request(target, Double(4), 0, Duration::from_secs(1)).unwrap_err().reason;
            format!("{reason:?} {} {nobody:?} {request:?}", message.0)
        });
        assert_eq!(said, "MailboxFull 2 NoProcess MailboxFull");
        // An important send that is refused goes to the fallback as a plain one does.
        let said = world.run_async(sender, move |cx| Box::pin(async move {
            match cx.send_important(target, Note(5), Duration::from_secs(5)).await {
                Ok(()) => "ok".to_owned(),
                Err(DeliveryError::Refused(error)) => format!("{:?}", error.reason),
                Err(other) => format!("{other:?}"),
            }
        }));
        assert_eq!(said.unwrap(), "ok");
        assert_eq!(spare_reports.next(world), "fallback t Some(5) from false");
        assert_eq!(spare_reports.all(), Vec::<String>::new());
    }

    fn a_fallback_keeps_the_priority_and_its_own_failure_is_told(world, other) {
        let options = SpawnOptions::new().with_mailbox(1).with_fallback("spare", "t");
        let (target, _reports) = world.puppet(other, options);
        let (spare, _spare_reports) = world.puppet(0, SpawnOptions::named("spare").with_mailbox(1));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        world.hold(target);
        world.hold(spare);
        let said = world.run(sender, move |cx| {
            let sent = (0..3).map(|n| cx.send_with(target, Note(n), Priority::High));
            let told: Vec<_> = sent.map(|sent| sent.map_err(|error| { let (reason, message) = error.into_parts(); (reason, message.0) })).collect();
            format!("{told:?}")
        });
        assert_eq!(said, "[Ok(()), Ok(()), Err((MailboxFull, 2))]");
        world.until("the fallback has one", |world| world.facts(spare).queues == [0, 1, 0, 0]);
    }

    fn a_fallback_to_oneself_means_nothing_and_so_it_does_for_oneself(world, other) {
        let options = SpawnOptions::named("own").with_mailbox(1).with_fallback("own", "t");
        let (own, own_reports) = world.puppet(other, options);
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        world.hold(own);
        let said = world.run(sender, move |cx| format!("{:?} {:?}", cx.send(own, Note(1)).is_ok(), cx.send(own, Note(2)).unwrap_err().reason));
        assert_eq!(said, "true MailboxFull");
        world.cancel_waits(own);
        assert_eq!(own_reports.next(world), "note 1");
        let options = SpawnOptions::new().with_mailbox(1).with_fallback("spare", "t");
        let (full, full_reports) = world.puppet(other, options);
        let (_spare, spare_reports) = world.puppet(0, SpawnOptions::named("spare"));
        // The message in hand has the one place of Main.
        world.send(full, Act(Box::new(|cx| {
            assert_eq!(cx.send(cx.pid(), Note(3)).unwrap_err().reason, SendReason::MailboxFull);
            cx.send_with(cx.pid(), Note(4), Priority::High).unwrap();
            String::new()
        }))).unwrap();
        assert_eq!(full_reports.next(world), "note 4");
        world.call(full, Double(1)).unwrap();
        assert_eq!(spare_reports.all(), Vec::<String>::new());
    }

    fn a_refused_call_of_a_dropping_mailbox_is_answered_at_once(world, other) {
        for policy in [OnFull::DropNewest, OnFull::DropOldest] {
            let (target, _reports) = world.puppet(other, SpawnOptions::new().with_mailbox(1).on_full(policy));
            let (asker, reports) = world.puppet(0, SpawnOptions::new());
            let before = world.counters().policy_dropped;
            world.hold(target);
            let said = world.run(asker, move |cx| {
                let asked: Vec<_> = (0..3).map(|n| cx.request(target, Double(n), u64::from(n), Duration::from_secs(60)).is_ok()).collect();
                format!("{asked:?}")
            });
            assert_eq!(said, "[true, true, true]");
            let mut dropped = [reports.next(world), reports.next(world)];
            dropped.sort();
            let lost = if policy == OnFull::DropNewest { ["response 1 Err(Dropped)", "response 2 Err(Dropped)"] } else { ["response 0 Err(Dropped)", "response 1 Err(Dropped)"] };
            assert_eq!(dropped, lost);
            world.cancel_waits(target);
            let kept = if policy == OnFull::DropNewest { "response 0 Ok(0)" } else { "response 2 Ok(4)" };
            assert_eq!(reports.next(world), kept);
            assert_eq!(world.counters().policy_dropped - before, 2);
        }
    }

    fn a_delayed_send_outlives_its_sender_and_a_repeated_one_survives_a_refusal(world, other) {
        let (target, reports) = world.puppet(other, SpawnOptions::named("target"));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let ms = Duration::from_millis;
        world.run(sender, move |cx| {
            cx.send_after(target, Note(1), ms(30)).unwrap();
            String::new()
        });
        world.kill(sender);
        world.until_gone(sender);
        world.pass(ms(40));
        assert_eq!(reports.next(world), "note 1");

        let (sender, sender_reports) = world.puppet(0, SpawnOptions::new());
        let before = world.counters().dead_letters;
        world.run(sender, move |cx| {
            cx.send_every("nobody", Note(2), ms(10)).unwrap();
            cx.send_after(cx.pid(), Note(3), ms(1)).unwrap();
            String::new()
        });
        assert_eq!(sender_reports.next(world), "note 3");
        world.until("some were refused", |world| world.counters().dead_letters >= before + 3);
        // One that holds the name later gets the rest.
        let (_late, late_reports) = world.puppet(other, SpawnOptions::named("nobody"));
        assert_eq!((late_reports.next(world).as_str(), late_reports.next(world).as_str()), ("note 2", "note 2"));
    }

    fn a_timer_that_has_fired_cannot_be_cancelled(world, other) {
        let (pid, reports) = world.puppet(other, SpawnOptions::new());
        let (say, said) = channel();
        world.run(pid, move |cx| {
            say.send(cx.send_after(cx.pid(), Note(1), Duration::from_millis(1)).unwrap()).unwrap();
            String::new()
        });
        let timer = said.recv().unwrap();
        assert_eq!(reports.next(world), "note 1");
        assert_eq!(world.run(pid, move |cx| cx.cancel_timer(timer).to_string()), "false");
        // A period of nothing is the wheel's tick: a millisecond or so.
        let said = world.run(pid, |cx| {
            let every = cx.send_every(cx.pid(), Note(2), Duration::ZERO).unwrap();
            cx.send_after(cx.pid(), Note(3), Duration::from_millis(20)).unwrap();
            format!("{}", cx.cancel_timer(every))
        });
        assert_eq!((said.as_str(), reports.next(world).as_str()), ("true", "note 3"));
    }

    fn what_a_handler_returns_is_the_answer_or_the_end(world, other) {
        let (pid, told) = answers(world, other, None);
        assert_eq!(world.call(pid, Unit), Ok(()));
        assert_eq!(world.call(pid, Maybe), Ok(None));
        assert_eq!(world.call(pid, Fallible(true)), Ok(Ok(1)));
        assert_eq!(world.call(pid, Fallible(false)), Ok(Err("sold out".to_owned())));
        assert_eq!(world.call(pid, Failing), Err(CallError::Terminated));
        assert_eq!(next(world, &told), "terminate custom no answer");
        world.until_gone(pid);
        let (pid, told) = answers(world, other, None);
        assert_eq!(world.call(pid, AnswerAndStop), Ok(5));
        assert_eq!(next(world, &told), "terminate normal");
    }

    fn an_answer_may_come_from_anybody(world, other) {
        let (clerk, _clerk_told) = answers(world, other, None);
        let (front, _front_told) = answers(world, 0, Some(clerk));
        assert_eq!(world.call(front, Later), Ok(7));
        // Whoever was asked may be gone by then.
        let (asker, reports) = world.puppet(0, SpawnOptions::new());
        let (say, said) = channel();
        let relay = world.spawn(other, move || Relay { say }, SpawnOptions::new()).unwrap();
        world.send(asker, ActAsync(Box::new(move |cx| Box::pin(async move {
            let said = cx.call(relay, Later).await;
            cx.send(cx.pid(), Note(said.unwrap())).unwrap();
            String::new()
        })))).unwrap();
        let mut reply = None;
        world.until("the right to answer is here", |_| { reply = said.try_recv().ok(); reply.is_some() });
        world.kill(relay);
        world.until_gone(relay);
        world.send(clerk, Duty(reply.unwrap(), Some(9))).unwrap();
        assert_eq!(reports.next(world), "note 9");
    }

    fn a_refusal_is_an_answer(world, other) {
        let (clerk, _told) = answers(world, other, None);
        let (say, said) = channel();
        let relay = world.spawn(other, move || Relay { say }, SpawnOptions::new()).unwrap();
        let (asker, asker_reports) = world.puppet(0, SpawnOptions::new());
        world.send(asker, ActAsync(Box::new(move |cx| Box::pin(async move {
            let said = cx.call(relay, Later).await;
            cx.send(cx.pid(), Note(u32::from(said == Err(CallError::Busy)))).unwrap();
            String::new()
        })))).unwrap();
        let mut reply = None;
        world.until("the right to answer is here", |_| { reply = said.try_recv().ok(); reply.is_some() });
        world.send(clerk, Duty(reply.unwrap(), None)).unwrap();
        assert_eq!(asker_reports.next(world), "note 1");
    }

    fn a_late_answer_is_counted_and_dropped(world, other) {
        let (clerk, _told) = answers(world, other, None);
        let (asker, _reports) = world.puppet(0, SpawnOptions::new());
        let before = world.counters().late_replies;
        let said = world.run_async(asker, move |cx| Box::pin(async move {
            format!("{:?}", cx.call_timeout(clerk, Later, Duration::from_millis(5)).await)
        }));
        assert_eq!(said.unwrap(), "Err(Timeout)");
        world.until("it is counted", |world| world.counters().late_replies == before + 1);
        assert_eq!(world.counters().waiters, 0);
    }

    fn two_that_call_each_other_wait_until_one_gives_up(world, other) {
        let (one, one_reports) = world.puppet(0, SpawnOptions::new());
        let (two, two_reports) = world.puppet(other, SpawnOptions::new());
        let before = world.counters().late_replies;
        for (puppet, to, patience, expected) in [(one, two, 50, Err(CallError::Timeout)), (two, one, 3_600_000, Ok(4))] {
            behind_a_gate(world, puppet, move |cx| Box::pin(async move {
                let said = cx.call_timeout(to, Double(2), Duration::from_millis(patience)).await;
                cx.send(cx.pid(), Note(u32::from(said == expected))).unwrap();
                String::new()
            }));
        }
        world.cancel_waits(two);
        world.until("the second one's call is queued", |world| world.process(one).is_some_and(|process| process.mailbox == 1));
        world.cancel_waits(one);
        // The first to give up answers the other one, whose own answer comes too late.
        assert_eq!((two_reports.next(world).as_str(), one_reports.next(world).as_str()), ("note 1", "note 1"));
        world.until("one was answered too late", |world| world.counters().late_replies == before + 1);
    }

    fn a_call_of_oneself_is_refused_by_every_address(world, other) {
        let (own, _reports) = world.puppet(other, SpawnOptions::named("own"));
        let said = world.run_async(own, |cx| Box::pin(async move {
            let alias = cx.create_alias().unwrap();
            let (by_pid, by_name, by_alias) = (cx.call(cx.pid(), Double(1)).await, cx.call("own", Double(1)).await, cx.call(alias, Double(1)).await);
            let by_node = cx.call(("own", "core@localhost"), Double(1)).await;
            let urgent = cx.call_with("own", Double(1), Priority::Max, Duration::from_secs(1)).await;
            assert_eq!([by_pid, by_name, by_alias, by_node, urgent], [Err(CallError::SelfCall); 5]);
            format!("{:?}", cx.call("nobody", Double(1)).await)
        }));
        assert_eq!(said.unwrap(), "Err(Send(NameUnknown))");
    }

    fn a_wait_ends_with_an_exit_unless_that_is_trapped(world, other) {
        for traps in [false, true] {
            let options = if traps { SpawnOptions::new().trap_exit() } else { SpawnOptions::new() };
            let (caller, reports) = world.puppet(other, options);
            let (stranger, _) = world.puppet(0, SpawnOptions::new());
            world.hold(caller);
            let said = world.run(stranger, move |cx| format!("{:?}", cx.exit(caller, ExitReason::custom(Custom("enough")))));
            assert_eq!(said, "Ok(())");
            if traps {
                world.until("it waits in Urgent", |world| world.facts(caller).queues == [0, 0, 1, 0]);
                assert_eq!(world.facts(caller).awaited, 1);
                world.cancel_waits(caller);
                assert_eq!(reports.next(world), "exit pid custom enough");
                assert!(world.process(caller).is_some());
            } else {
                assert_eq!(reports.next(world), "terminate custom enough");
                world.until_gone(caller);
            }
        }
        world.until("nobody waits for its call", |world| world.counters().waiters <= 2);
    }

    fn calls_have_priorities(world, other) {
        let (target, _reports) = world.puppet(other, SpawnOptions::new());
        let (asker, reports) = world.puppet(0, SpawnOptions::new());
        world.hold(target);
        let said = world.run(asker, move |cx| {
            let asked = [Priority::Normal, Priority::High, Priority::Max].into_iter().zip(0..);
            let asked: Vec<_> = asked.map(|(priority, n)| cx.request_with(target, Double(n), u64::from(n), priority, Duration::from_secs(60)).is_ok()).collect();
            format!("{asked:?}")
        });
        assert_eq!(said, "[true, true, true]");
        world.until("all have come", |world| world.facts(target).queues == [1, 1, 1, 0]);
        // The answers, too: the asker is held until all three are there.
        world.hold(asker);
        world.cancel_waits(target);
        world.until("all are answered", |world| world.facts(asker).queues == [1, 1, 1, 0]);
        world.cancel_waits(asker);
        let heard: Vec<_> = (0..3).map(|_| reports.next(world)).collect();
        assert_eq!(heard, ["response 2 Ok(4)", "response 1 Ok(2)", "response 0 Ok(0)"]);
    }

    fn an_answer_finds_a_place_in_a_full_mailbox(world, other) {
        let (target, _reports) = world.puppet(other, SpawnOptions::new());
        let (asker, reports) = world.puppet(0, SpawnOptions::new().with_mailbox(1));
        world.hold(target);
        world.run(asker, move |cx| format!("{:?}", cx.request(target, Double(3), 1, Duration::from_secs(60)).is_ok()));
        world.hold(asker);
        assert!(world.send(asker, Note(1)).is_ok());
        world.until("it is queued", |world| world.facts(asker).queues[0] == 1);
        assert_eq!(world.send(asker, Note(2)).unwrap_err().reason, SendReason::MailboxFull);
        world.cancel_waits(target);
        world.until("the answer is there", |world| world.facts(asker).queues[0] == 2);
        world.cancel_waits(asker);
        assert_eq!((reports.next(world).as_str(), reports.next(world).as_str()), ("note 1", "response 1 Ok(6)"));
    }

    fn a_request_of_the_dead_is_answered_to_nobody(world, other) {
        let (target, _reports) = world.puppet(other, SpawnOptions::new());
        let (asker, _asker_reports) = world.puppet(0, SpawnOptions::new());
        let before = world.counters().late_replies;
        world.hold(target);
        world.run(asker, move |cx| format!("{:?}", cx.request(target, Double(3), 1, Duration::from_secs(60)).is_ok()));
        world.until("it is queued", |world| world.process(target).is_some_and(|process| process.mailbox == 1));
        world.kill(asker);
        world.until_gone(asker);
        world.cancel_waits(target);
        world.until("the answer is counted", |world| world.counters().late_replies == before + 1);
    }

    fn a_handler_that_ends_badly_answers_its_caller_at_once(world, other) {
        let (caller, _reports) = world.puppet(0, SpawnOptions::new());
        for (act, expected) in [(true, "Err(Panicked)"), (false, "Err(Terminated)")] {
            let (target, _) = world.puppet(other, SpawnOptions::new());
            let said = world.run_async(caller, move |cx| Box::pin(async move {
                let fatal = Act(Box::new(move |cx| {
                    assert!(!act, "told to");
                    cx.send_with(cx.pid(), crate::world::Stop, Priority::Max).unwrap();
                    String::new()
                }));
                let first = cx.call(target, fatal).await.map(|_| ());
                let second = if act { first } else { first.and(cx.call(target, Never).await.map(|_| ())) };
                format!("{second:?}")
            }));
            let said = said.unwrap();
            // It may have gone before the second call was sent.
            assert!(said == expected || !act && said == "Err(Send(NoProcess))", "{said}");
        }
    }

    fn a_message_is_moved_not_copied(world, other) {
        let (target, _reports) = world.puppet(other, SpawnOptions::new());
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let shared = std::sync::Arc::new(());
        let (inside, watched) = (std::sync::Arc::clone(&shared), shared);
        let said = world.run(sender, move |cx| {
            let keep = Act(Box::new(move |_| { drop(inside); String::new() }));
            format!("{:?}", cx.send(target, keep).is_ok())
        });
        assert_eq!(said, "true");
        world.until("it was dropped where it was handled", |_| std::sync::Arc::strong_count(&watched) == 1);
    }

    fn addresses_of_the_same_process_are_told_apart_by_their_errors(world, other) {
        let (target, _reports) = world.puppet(other, SpawnOptions::named("target"));
        let (say, said) = channel();
        world.run(target, move |cx| { say.send(cx.create_alias().unwrap()).unwrap(); String::new() });
        let alias = said.recv().unwrap();
        assert_eq!(world.facts(target).aliases, [alias]);
        world.run(target, move |cx| format!("{:?}{:?}", cx.unregister(), cx.delete_alias(alias)));
        let (sender, _sender_reports) = world.puppet(0, SpawnOptions::new());
        let said = world.run(sender, move |cx| {
            let sent = [cx.send("target", Note(1)).unwrap_err().reason, cx.send(alias, Note(2)).unwrap_err().reason];
            let bound = [cx.link("target").unwrap_err(), cx.link(alias).unwrap_err(), cx.monitor(Target::event("none")).unwrap_err()];
            format!("{sent:?} {bound:?} {}", cx.send(target, Note(3)).is_ok())
        });
        assert_eq!(said, "[NameUnknown, AliasUnknown] [NameUnknown, AliasUnknown, EventUnknown] true");
    }
}

/// Gives the right to answer away to the test.
struct Relay {
    say: Sender<ReplyTo<u32>>,
}

#[actor]
impl Relay {
    #[handle]
    fn later(&mut self, _: Later, reply: ReplyTo<u32>, _cx: &mut Context<'_>) -> ActorResult {
        self.say.send(reply).map_err(|_| Custom("nobody listens"))?;
        Ok(())
    }
}
