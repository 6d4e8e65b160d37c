//! The testing kit: each assertion holds where it should, and fails with a text that says why where it should not.

use shard_runtime::prelude::*;
use shard_runtime::testing::{Bed, Query};
use shard_runtime::{CronJob, LogLevel, Simulation};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[message(local, reply = u32)]
#[derive(Clone, Debug)]
struct Stock {
    item: u32,
}

#[message(local)]
#[derive(Clone, Debug, PartialEq)]
struct Reorder {
    item: u32,
}

/// Has no `Clone`.
#[message(local)]
struct Check {
    item: u32,
}

#[message(local)]
struct Later;

#[message(local)]
struct Hire;

#[message(local)]
struct Dismiss {
    whom: Pid,
}

#[message(local)]
#[derive(Clone, Debug)]
struct Low(u32);

#[message(local)]
struct Fail;

#[derive(Default)]
struct Clerk;

#[actor]
impl Clerk {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.log().debug("here");
        Ok(())
    }

    #[handle]
    fn fail(&mut self, _: Fail, _cx: &mut Context<'_>) -> ActorResult {
        Err(std::io::Error::other("no paper").into())
    }
}

#[derive(Default)]
struct Keeper {
    low: Option<Topic<Low>>,
}

#[actor]
impl Keeper {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        self.low = Some(cx.register_event("low", EventOptions::new())?);
        Ok(())
    }

    #[handle]
    async fn check(&mut self, m: Check, cx: &mut Context<'_>) -> ActorResult {
        match cx.call("store", Stock { item: m.item }).await {
            Ok(stock) if stock >= 10 => {}
            Ok(stock) => {
                cx.log().with("item", m.item).warning(format_args!("stock is low: {stock}"));
                if let Some(low) = &self.low {
                    cx.publish(low, Low(m.item))?;
                }
                cx.send("buyer", Reorder { item: m.item })?;
            }
            Err(error) => cx.log().error(format_args!("no stock: {error}")),
        }
        Ok(())
    }

    #[handle]
    fn later(&mut self, _: Later, cx: &mut Context<'_>) -> ActorResult {
        cx.send_after("buyer", Reorder { item: 9 }, Duration::from_secs(60))?;
        Ok(())
    }

    #[handle]
    fn hire(&mut self, _: Hire, cx: &mut Context<'_>) -> ActorResult {
        cx.spawn(Clerk::default, SpawnOptions::named("clerk"))?;
        Ok(())
    }

    #[handle]
    fn dismiss(&mut self, m: Dismiss, cx: &mut Context<'_>) -> ActorResult {
        cx.exit(m.whom, ExitReason::Shutdown)?;
        Ok(())
    }
}

/// A bed with a keeper, a store with 3 of each item, and a buyer.
fn shop() -> (Bed, Pid, Pid) {
    shop_on(1)
}

fn shop_on(shards: u16) -> (Bed, Pid, Pid) {
    let mut bed = Bed::with_shards(shards, 7).unwrap();
    bed.watch::<Reorder>();
    let store = bed.stub_with(SpawnOptions::named("store"), |m: Stock| m.item);
    let buyer = bed.probe_with(SpawnOptions::named("buyer").on_shard(shards - 1));
    let keeper = bed.spawn(Keeper::default, SpawnOptions::named("keeper")).unwrap();
    assert_eq!(store.asked(), 0);
    (bed, keeper, buyer.pid())
}

/// The text of a panic.
fn said(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("the assertion fails");
    panic.downcast_ref::<String>().cloned().expect("with a text")
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn what_was_sent_is_found_by_type_sender_receiver_and_content() {
    for shards in [1, 2] {
        let (mut bed, keeper, buyer) = shop_on(shards);
        bed.send(keeper, Check { item: 7 });
        bed.send(keeper, Check { item: 8 });
        bed.send(keeper, Check { item: 50 });
        let sent = bed.sent::<Reorder>().from(keeper).to(buyer).with(|m| m.item == 7).once();
        assert_eq!((sent.from.name.as_deref(), sent.to.pid, sent.is_call), (Some("keeper"), buyer, false));
        assert_eq!(sent.message::<Reorder>(), Some(&Reorder { item: 7 }));
        assert!(sent.message::<Check>().is_none() && sent.type_name().ends_with("Reorder"));
        assert_eq!(bed.sent::<Reorder>().from("keeper").to("buyer").times(2).len(), 2);
        assert_eq!(bed.sent::<Reorder>().messages(), [Reorder { item: 7 }, Reorder { item: 8 }]);
        assert_eq!(bed.sent::<Reorder>().with(|m| m.item > 7).message(), Reorder { item: 8 });
        assert_eq!(bed.sent::<Reorder>().at_least(1).len(), 2);
        bed.sent::<Reorder>().with(|m| m.item == 50).none();
        bed.sent::<Reorder>().to(keeper).none();
        // The test's own messages are not what processes do.
        bed.sent::<Check>().none();

        let text = said(|| drop(bed.sent::<Reorder>().to("buyer").once()));
        has(&text, &["expected once: sent ", "Reorder, to \"buyer\"; found 2", "Reorder { item: 8 }"]);
        let text = said(|| drop(bed.sent::<Reorder>().with(|m| m.item == 7).times(2)));
        has(&text, &["expected 2 times", "the predicate at ", "testing.rs:", "found 1", "\n * ", "\n   "]);
        has(&said(|| drop(bed.sent::<Reorder>().at_least(3))), &["expected at least 3 times", "found 2"]);
        has(&said(|| bed.sent::<Reorder>().none()), &["expected never", "found 2"]);
        has(&said(|| drop(bed.sent::<Check>().to(buyer).once())), &["found 0; all of this kind:"]);
    }
}

#[test]
fn calls_are_apart_from_messages_and_types_without_copies_have_names_only() {
    let (mut bed, keeper, _) = shop();
    bed.send(keeper, Check { item: 7 });
    let call = bed.called::<Stock>().from(keeper).to("store").once();
    assert!(call.is_call);
    bed.sent::<Stock>().none();
    bed.called::<Reorder>().none();
    let text = said(|| bed.called::<Stock>().with(|m| m.item == 7).none());
    has(&text, &["no copy was kept", "bed.watch::<", "Stock>()"]);
    has(&said(|| drop(bed.called::<Stock>().messages())), &["no copy was kept"]);
    has(&said(|| drop(bed.called::<Stock>().to(keeper).once())), &["called", "Stock, to ", "found 0"]);
}

#[test]
fn a_delayed_message_is_sent_when_it_is_due_and_a_refused_one_never() {
    let (mut bed, keeper, buyer) = shop();
    bed.send(keeper, Later);
    bed.sent::<Reorder>().none();
    // A timer is never early, and late by less than its wheel's tick.
    bed.advance(Duration::from_secs(61));
    let sent = bed.sent::<Reorder>().from(keeper).once();
    assert!(sent.at >= Duration::from_secs(60) && sent.at < Duration::from_secs(61), "{:?}", sent.at);
    // Without its buyer the keeper's send is refused, and it ends.
    let mark = bed.mark();
    bed.kill(buyer);
    bed.send(keeper, Check { item: 1 });
    bed.sent::<Reorder>().since(mark).none();
    bed.ended().of(keeper).abnormally().once();
}

#[test]
fn a_mark_divides_what_was_before_from_what_comes_after() {
    let (mut bed, keeper, _) = shop();
    bed.send(keeper, Check { item: 1 });
    let mark = bed.mark();
    bed.send(keeper, Check { item: 2 });
    assert_eq!(bed.sent::<Reorder>().since(mark).message().item, 2);
    assert_eq!(bed.sent::<Reorder>().all().len(), 2);
    let text = said(|| bed.sent::<Reorder>().since(mark).none());
    has(&text, &["since the mark", "item: 2"]);
    assert!(!text.contains("item: 1"), "{text}");
    assert!(bed.history().iter().any(|line| line.contains("called \"store\"")), "{:?}", bed.history());
    bed.forget();
    bed.sent::<Reorder>().none();
    assert!(bed.history().is_empty());
    has(&said(|| drop(bed.sent::<Reorder>().once())), &["nothing of this kind happened"]);
    bed.send(keeper, Check { item: 3 });
    bed.sent::<Reorder>().since(mark).once();
}

#[test]
fn log_lines_are_found_by_writer_level_text_and_field() {
    let (mut bed, keeper, _) = shop();
    bed.send(keeper, Check { item: 7 });
    bed.send(keeper, Hire);
    let line = bed.logged().by(keeper).level(LogLevel::Warning).containing("low").field("item", 7).once();
    assert_eq!((&*line.text, line.level), ("stock is low: 7", LogLevel::Warning));
    bed.logged().by("clerk").level(LogLevel::Debug).once();
    assert_eq!(bed.logged().times(2).len(), 2);
    bed.logged().from_level(LogLevel::Warning).once();
    bed.logged().from_level(LogLevel::Error).none();
    bed.logged().field("item", 8).none();
    let text = said(|| drop(bed.logged().level(LogLevel::Error).containing("low").once()));
    has(&text, &["expected once: logged, at level Error, containing \"low\"; found 0"]);
    has(&text, &["logged Warning: stock is low: 7 item=7", "logged Debug: here"]);
    has(&said(|| bed.logged().by(keeper).none()), &["expected never: logged, by ", "found 1"]);

    let mut quiet = Bed::with_level(1, 7, LogLevel::Warning).unwrap();
    quiet.spawn(Clerk::default, SpawnOptions::new()).unwrap();
    quiet.logged().none();
}

#[test]
fn starts_and_ends_of_processes_are_found() {
    let (mut bed, keeper, _) = shop();
    bed.spawned_any().none();
    bed.send(keeper, Hire);
    let clerk = bed.spawned::<Clerk>().by(keeper).as_child("clerk").once().child.pid;
    bed.spawned::<Keeper>().none();
    bed.ended().none();
    has(&said(|| bed.spawned::<Clerk>().none()), &["expected never: spawned, a ", "found 1", "\"clerk\""]);
    has(&said(|| drop(bed.spawned::<Keeper>().once())), &["Keeper", "found 0; all of this kind:"]);

    bed.send(clerk, Fail);
    let end = bed.ended().of("clerk").abnormally().once();
    assert_eq!((end.who.pid, end.reason.to_string()), (clerk, "no paper".to_owned()));
    bed.ended().because(|reason| reason.to_string() == "no paper").once();
    bed.ended().behavior(end.behavior).once();
    bed.ended().normally().none();
    // Its end is a line of the log, too.
    bed.logged().level(LogLevel::Error).containing("no paper").once();
    has(
        &said(|| drop(bed.ended().normally().once())),
        &["expected once: ended, normally; found 0", "no paper"],
    );
    has(&said(|| bed.ended().of(clerk).none()), &["expected never: ended, of "]);
}

#[test]
fn exits_that_are_sent_are_found() {
    let (mut bed, keeper, buyer) = shop();
    bed.send(keeper, Hire);
    let clerk = bed.spawned::<Clerk>().once().child.pid;
    bed.send(keeper, Dismiss { whom: clerk });
    bed.exits_sent().from(keeper).to(clerk).because(ExitReason::is_ordinary).once();
    bed.ended().of(clerk).normally().once();
    bed.exits_sent().to(buyer).none();
    let text = said(|| bed.exits_sent().from("keeper").none());
    has(&text, &["expected never: sent an exit, from \"keeper\"; found 1", ": shutdown"]);
}

#[test]
fn events_are_found_where_they_are_registered_and_published_also_without_subscribers() {
    let (mut bed, keeper, _) = shop();
    bed.watch::<Low>();
    bed.registered("low").by(keeper).once();
    bed.registered("high").none();
    bed.published::<Low>("low").none();
    bed.send(keeper, Check { item: 7 });
    let published = bed.published::<Low>("low").by("keeper").with(|m| m.0 == 7).once();
    assert!(
        published.message::<Low>().is_some_and(|low| low.0 == 7) && published.type_name().ends_with("Low")
    );
    assert_eq!(bed.published::<Low>("low").message().0, 7);
    bed.published::<Low>("high").none();
    bed.published::<Reorder>("low").none();
    has(&said(|| bed.registered("low").none()), &["expected never: registered \"low\"; found 1"]);
    has(&said(|| drop(bed.published::<Low>("high").once())), &["published \"high\"", "Low(7)"]);
}

#[test]
fn runs_of_cron_jobs_and_what_they_send_are_found() {
    let mut bed = Bed::new(7).unwrap();
    bed.watch::<Reorder>();
    let buyer = bed.probe();
    let job = CronJob::new("daily", "0 0 * * *").send(buyer.pid(), Reorder { item: 1 });
    bed.simulation().cron_add(job).unwrap();
    bed.cron_ran("daily").none();
    bed.advance(Duration::from_secs(3 * 24 * 3600 + 60));
    bed.cron_ran("daily").times(3);
    bed.cron_ran("weekly").none();
    assert_eq!(bed.sent::<Reorder>().to(&buyer).messages().len(), 3);
    let text = said(|| drop(bed.cron_ran("daily").once()));
    has(&text, &["expected once: ran, the job \"daily\"; found 3", "the job \"daily\" ran"]);
}

#[test]
fn a_predicate_sees_the_whole_record() {
    let (mut bed, keeper, _) = shop();
    bed.send(keeper, Check { item: 7 });
    bed.logged().that(|line| line.fields == [("item", "7".to_owned())]).once();
    let never: Query<_> = bed.logged().that(|line| line.text.is_empty());
    has(&said(|| drop(never.once())), &["that passes the predicate at ", "testing.rs:"]);
}

#[test]
fn a_stub_answers_fails_and_is_silent_as_told() {
    let mut bed = Bed::new(7).unwrap();
    let mut stock = 10;
    let store = bed.stub_with(SpawnOptions::named("store"), move |_: Stock| {
        stock -= 1;
        stock
    });
    bed.probe_with(SpawnOptions::named("buyer"));
    let keeper = bed.spawn(Keeper::default, SpawnOptions::new()).unwrap();
    store.answer_next(1).fail_next(1, CallError::Killed).ignore_next(1);
    bed.send(keeper, Check { item: 1 });
    bed.sent::<Reorder>().once();
    bed.send(keeper, Check { item: 1 });
    let killed = CallError::Killed.to_string();
    bed.logged().level(LogLevel::Error).containing(&killed).once();
    bed.send(keeper, Check { item: 1 });
    assert_eq!(store.asked(), 3);
    bed.advance(Duration::from_secs(6));
    bed.logged().level(LogLevel::Error).containing(&CallError::Timeout.to_string()).once();
    bed.called::<Stock>().to(&store).times(3);
    // Nothing is planned any more.
    assert_eq!(bed.call(store.pid(), Stock { item: 1 }).unwrap(), 8);
    bed.send(store.pid(), Stock { item: 1 });
    assert_eq!(store.asked(), 5);
    // What it does not know is refused, as by any actor.
    bed.send(store.pid(), Later);
    assert!(bed.is_alive(store.pid()));
    assert_eq!(store.asked(), 5);
}

#[test]
fn a_process_on_a_thread_of_its_own_is_watched_too() {
    let (mut bed, _, buyer) = shop();
    let alone =
        bed.simulation().spawn_wait(Keeper::default, &SpawnOptions::named("alone").dedicated_thread());
    // The event has its producer already.
    assert!(alone.is_err(), "{alone:?}");
    bed.ended().of("alone").abnormally().once();
    let clerk = bed
        .simulation()
        .spawn_wait(Clerk::default, &SpawnOptions::named("clerk").dedicated_thread())
        .unwrap();
    bed.run();
    bed.logged().by(clerk).containing("here").once();
    bed.send(clerk, Fail);
    bed.ended().of(clerk).abnormally().once();
    bed.sent::<Reorder>().to(buyer).none();
}

#[test]
fn a_watched_node_does_what_another_one_does() {
    // The same work on a bed and on a plain simulation: all counters agree.
    let work = |sim: &mut Simulation, shards: u16| {
        let buyer = sim.spawn(shards - 1, Keeper::default, &SpawnOptions::named("buyer")).unwrap();
        sim.run();
        for item in 0..20 {
            sim.send(buyer, Check { item }).unwrap();
        }
        sim.send("buyer", Later).unwrap();
        sim.send(buyer, Hire).unwrap();
        sim.run();
        sim.advance(Duration::from_secs(61));
        sim.kill(buyer);
        let counters = sim.counters();
        [
            counters.spawned,
            counters.terminated,
            counters.send_errors_local,
            counters.call_errors_local,
            counters.dead_letters,
        ]
    };
    for shards in [1, 2] {
        let mut plain = Simulation::new("plain@localhost", shards, 7).unwrap();
        // A bed has one more process: the one that watches ends.
        let mut bed = Bed::with_shards(shards, 7).unwrap();
        let ([one, two @ ..], [bed_one, bed_two @ ..]) =
            (work(&mut plain, shards), work(bed.simulation(), shards));
        assert_eq!((one + 1, two), (bed_one, bed_two));
    }
}
