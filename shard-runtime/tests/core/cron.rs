//! Cron: jobs run at their times, once each, whatever the clocks do; over virtual days on the simulation.

use crate::world::{Note, Reports, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{
    CronError, CronFallback, CronJob, CronJobFacts, CronTick, Missed, Overlap, Priority, Simulation,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn at(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

fn text(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap();
    time.round(jiff::Unit::Second).unwrap().to_string()
}

/// Reports ticks and failures by their planned times.
struct Clerk(Sender<String>);

#[actor]
impl Clerk {
    #[handle]
    fn tick(&mut self, m: CronTick, cx: &mut Context<'_>) -> ActorResult {
        assert_eq!((&*m.node, cx.sender()), (cx.node_name(), cx.core()));
        self.0.send(format!("{} {}", m.job, text(m.time))).unwrap();
        Ok(())
    }
    #[handle]
    fn fallback(&mut self, m: CronFallback, _cx: &mut Context<'_>) -> ActorResult {
        self.0.send(format!("{} {} failed: {}", m.tag, m.job, m.error)).unwrap();
        Ok(())
    }
}

/// A simulated node with a clerk on its last shard.
fn sim(shards: u16, wall: &str) -> (Simulation, Receiver<String>) {
    let mut sim = Simulation::new("cron@localhost", shards, 3).unwrap();
    sim.set_wall(at(wall));
    let (tell, told) = channel();
    sim.spawn(shards - 1, || Clerk(tell), &SpawnOptions::named("clerk")).unwrap();
    sim.run();
    (sim, told)
}

fn add(sim: &mut Simulation, job: CronJob) {
    sim.cron_add(job).unwrap();
    sim.run();
}

fn all(told: &Receiver<String>) -> Vec<String> {
    told.try_iter().collect()
}

fn facts(sim: &Simulation, name: &str) -> CronJobFacts {
    sim.stats().cron().jobs.into_iter().find(|job| &*job.name == name).unwrap()
}

#[test]
fn a_left_out_hour_does_not_fire_and_a_repeated_one_fires_once() {
    for shards in [1, 2] {
        let (mut sim, told) = sim(shards, "2026-03-28T00:00:00Z");
        add(&mut sim, CronJob::new("berlin", "30 2 * * *").zone("Europe/Berlin").tick("clerk"));
        sim.advance(3 * DAY);
        assert_eq!(all(&told), ["berlin 2026-03-28T01:30:00Z", "berlin 2026-03-30T00:30:00Z"]);
        sim.set_wall(at("2026-10-24T12:00:00Z"));
        sim.advance(2 * DAY);
        assert_eq!(all(&told), ["berlin 2026-10-25T00:30:00Z", "berlin 2026-10-26T01:30:00Z"]);

        let (mut sim, told) = self::sim(shards, "2026-03-07T12:00:00Z");
        add(&mut sim, CronJob::new("york", "30 2 * * *").zone("America/New_York").tick("clerk"));
        sim.advance(3 * DAY);
        assert_eq!(all(&told), ["york 2026-03-09T06:30:00Z", "york 2026-03-10T06:30:00Z"]);
        sim.set_wall(at("2026-10-31T12:00:00Z"));
        add(&mut sim, CronJob::new("back", "30 1 * * *").zone("America/New_York").tick("clerk"));
        sim.cron_remove("york").unwrap();
        sim.advance(2 * DAY);
        assert_eq!(all(&told), ["back 2026-11-01T05:30:00Z", "back 2026-11-02T06:30:00Z"]);
    }
}

#[test]
fn a_job_of_every_hour_goes_on_through_both_changes() {
    let (mut sim, told) = sim(1, "2026-03-29T00:00:00Z");
    add(&mut sim, CronJob::new("j", "*/30 * * * *").zone("Europe/Berlin").tick("clerk"));
    sim.advance(4 * HOUR + Duration::from_secs(1));
    assert_eq!(all(&told).len(), 8);
    sim.set_wall(at("2026-10-24T23:00:00Z"));
    sim.advance(Duration::from_secs(61));
    all(&told);
    sim.advance(4 * HOUR);
    assert_eq!(all(&told).len(), 8);
}

#[test]
fn leap_days_month_ends_last_and_numbered_weekdays() {
    let (mut sim, told) = sim(2, "2028-02-01T00:00:30Z");
    for (name, spec) in
        [("leap", "0 12 29 2 *"), ("end", "0 0 L * *"), ("friday", "0 6 * * 5L"), ("second", "0 7 * * 2#2")]
    {
        add(&mut sim, CronJob::new(name, spec).zone("UTC").tick("clerk"));
    }
    sim.advance(60 * DAY);
    assert_eq!(
        all(&told),
        [
            "second 2028-02-08T07:00:00Z",
            "friday 2028-02-25T06:00:00Z",
            "end 2028-02-29T00:00:00Z",
            "leap 2028-02-29T12:00:00Z",
            "second 2028-03-14T07:00:00Z",
            "end 2028-03-31T00:00:00Z",
            "friday 2028-03-31T06:00:00Z",
        ]
    );
    assert_eq!(text(facts(&sim, "leap").next.unwrap()), "2032-02-29T12:00:00Z");
}

#[test]
fn a_clock_set_forward_leaves_out_or_makes_up() {
    let (mut sim, told) = sim(1, "2026-06-01T00:00:30Z");
    add(&mut sim, CronJob::new("skip", "*/10 * * * *").tick("clerk"));
    add(&mut sim, CronJob::new("once", "*/10 * * * *").missed(Missed::RunOnce).tick("clerk"));
    sim.advance(Duration::from_secs(5));
    sim.set_wall(at("2026-06-01T05:05:00Z"));
    sim.advance(Duration::from_secs(60));
    assert_eq!(all(&told), ["once 2026-06-01T05:00:00Z"]);
    assert_eq!((facts(&sim, "skip").missed_runs, facts(&sim, "skip").runs), (30, 0));
    assert_eq!((facts(&sim, "once").missed_runs, facts(&sim, "once").runs), (30, 1));
    sim.advance(Duration::from_secs(300));
    assert_eq!(all(&told), ["skip 2026-06-01T05:10:00Z", "once 2026-06-01T05:10:00Z"]);
    // A little late is not too late.
    sim.set_wall(at("2026-06-01T05:20:20Z"));
    sim.advance(Duration::from_secs(60));
    assert_eq!(all(&told), ["skip 2026-06-01T05:20:00Z", "once 2026-06-01T05:20:00Z"]);
}

#[test]
fn a_clock_set_back_does_not_fire_twice() {
    let (mut sim, told) = sim(2, "2026-06-01T00:00:30Z");
    add(&mut sim, CronJob::new("j", "*/10 * * * *").tick("clerk"));
    sim.advance(Duration::from_secs(30 * 60));
    assert_eq!(all(&told).len(), 3);
    sim.set_wall(at("2026-06-01T00:05:00Z"));
    sim.cron_disable("j").unwrap();
    sim.run();
    sim.cron_enable("j").unwrap();
    sim.advance(Duration::from_secs(26 * 60));
    assert_eq!(all(&told), Vec::<String>::new(), "00:10 to 00:30 have been");
    sim.advance(Duration::from_secs(10 * 60));
    assert_eq!(all(&told), ["j 2026-06-01T00:40:00Z"]);
    // Years back it was wrong before: the schedule begins anew.
    sim.set_wall(at("2020-06-01T00:05:00Z"));
    sim.advance(Duration::from_secs(6 * 60));
    assert_eq!(all(&told), ["j 2020-06-01T00:10:00Z"]);
}

#[test]
fn enabling_twice_runs_once_and_a_new_job_waits_for_its_time() {
    let (mut sim, told) = sim(1, "2026-06-01T00:00:10Z");
    add(&mut sim, CronJob::new("j", "* * * * *").disabled().tick("clerk"));
    assert_eq!(all(&told), Vec::<String>::new(), "nothing is due before the first minute");
    sim.advance(Duration::from_secs(120));
    assert_eq!((all(&told), facts(&sim, "j").next), (Vec::new(), None));
    assert_eq!((sim.cron_enable("j"), sim.cron_enable("j")), (Ok(true), Ok(false)));
    sim.run();
    assert_eq!(sim.cron_enable("j"), Ok(false));
    sim.advance(Duration::from_secs(60));
    assert_eq!(all(&told), ["j 2026-06-01T00:03:00Z"]);
    assert_eq!((sim.cron_disable("j"), sim.cron_disable("j")), (Ok(true), Ok(false)));
    sim.advance(Duration::from_secs(600));
    assert_eq!(all(&told), Vec::<String>::new());
    sim.cron_remove("j").unwrap();
    assert_eq!(sim.cron_remove("j"), Err(CronError::Unknown { name: "j".into() }));
    assert_eq!(sim.cron_enable("j"), Err(CronError::Unknown { name: "j".into() }));
    // The name is free again.
    add(&mut sim, CronJob::new("j", "* * * * *").tick("clerk"));
    sim.advance(Duration::from_secs(60));
    assert_eq!(all(&told).len(), 1);
}

/// Lives until it is told to stop.
struct Worker(Sender<String>);

#[actor]
impl Worker {
    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let job = cx.env::<String>("CRON_JOB_NAME").map(|job| job.to_string()).unwrap_or_default();
        let time = cx.env::<SystemTime>("CRON_JOB_ACTION_TIME").map(|time| text(*time)).unwrap_or_default();
        self.0.send(format!("{job} {time} {}", cx.pid().local.shard())).unwrap();
        Ok(())
    }
    #[handle]
    fn note(&mut self, _: Note, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

#[test]
fn a_process_that_lives_on_is_skipped_allowed_or_queued_for() {
    for shards in [1, 2] {
        let (mut sim, _) = sim(shards, "2026-06-01T00:00:30Z");
        let (tell, told) = channel();
        for (name, overlap) in [("allow", Overlap::Allow), ("queue", Overlap::Queue), ("skip", Overlap::Skip)]
        {
            let tell = tell.clone();
            let options = SpawnOptions::new().on_shard(shards - 1);
            // One instance has the name, so that the test can end it; a second one could not have it.
            let options = if overlap == Overlap::Allow { options } else { options.with_name(name) };
            add(
                &mut sim,
                CronJob::new(name, "* * * * *").overlap(overlap).spawn(move || Worker(tell), options),
            );
        }
        sim.advance(Duration::from_secs(181));
        let home = shards - 1;
        let mut begun = all(&told);
        begun.sort();
        let expected = |job: &str, minute: u32| format!("{job} 2026-06-01T00:0{minute}:00Z {home}");
        let allowed = [1, 2, 3].map(|minute| expected("allow", minute));
        assert_eq!(begun[..3], allowed);
        assert_eq!(begun[3..], [expected("queue", 1), expected("skip", 1)]);
        assert_eq!((facts(&sim, "skip").skipped, facts(&sim, "skip").runs), (2, 1));
        sim.cron_remove("allow").unwrap();
        for name in ["queue", "skip"] {
            sim.send(name, Note(0)).unwrap();
        }
        sim.advance(Duration::from_secs(2));
        assert_eq!(all(&told), [expected("queue", 2)], "what waited runs when the process has ended");
        sim.send("queue", Note(0)).unwrap();
        sim.advance(Duration::from_secs(2));
        assert_eq!(all(&told), [expected("queue", 3)]);
        // Nobody ends it: the queue is bounded.
        sim.advance(Duration::from_secs(40 * 60));
        assert_eq!((facts(&sim, "queue").runs, facts(&sim, "queue").skipped), (3, 24));
    }
}

#[test]
fn failures_and_panics_are_noted_told_and_survived() {
    let (mut sim, told) = sim(2, "2026-06-01T00:00:30Z");
    let mut runs = 0;
    add(
        &mut sim,
        CronJob::new("flaky", "* * * * *").fallback("clerk", "tag").run(move |run| {
            runs += 1;
            assert_eq!((run.whereis("clerk").is_some(), &*run.tick().job), (true, "flaky"));
            match runs {
                1 => Err("no luck"),
                2 => panic!("told to"),
                _ => Ok(()),
            }
        }),
    );
    add(&mut sim, CronJob::new("lost", "* * * * *").fallback("clerk", "tag").tick("nobody"));
    sim.advance(Duration::from_secs(31));
    let reports = all(&told);
    assert_eq!(reports[0], "tag flaky failed: no luck");
    assert!(reports[1].starts_with("tag lost failed: "), "{reports:?}");
    assert_eq!(facts(&sim, "flaky").last_error.as_deref(), Some("no luck"));
    sim.advance(Duration::from_secs(60));
    assert_eq!(all(&told)[0], "tag flaky failed: panic: told to");
    assert_eq!(sim.counters().panics, 1);
    sim.advance(Duration::from_secs(60));
    let flaky = facts(&sim, "flaky");
    assert_eq!((flaky.runs, flaky.failures, flaky.last_error), (3, 2, None));
    assert_eq!(text(flaky.last_run.unwrap()), "2026-06-01T00:03:00Z");
    assert_eq!((facts(&sim, "lost").failures, sim.counters().dead_letters), (3, 0));
}

#[test]
fn a_schedule_is_foretold_and_cut() {
    let (mut sim, _) = sim(1, "2026-06-01T00:00:00Z");
    add(&mut sim, CronJob::new("a", "*/20 * * * *").tick("clerk"));
    add(&mut sim, CronJob::new("b", "0 * * * *").tick("clerk"));
    let cron = sim.stats().cron();
    assert_eq!((text(cron.next.unwrap()), cron.spool), ("2026-06-01T00:20:00Z".into(), vec!["a".into()]));
    let found = sim.stats().cron_schedule(sim.wall(), HOUR, 100, None);
    let slots: Vec<_> = found.slots.iter().map(|slot| (text(slot.time), slot.jobs.len())).collect();
    let expected = [("00:20", 1), ("00:40", 1), ("01:00", 2)];
    assert_eq!(slots, expected.map(|(time, jobs)| (format!("2026-06-01T{time}:00Z"), jobs)));
    assert!(!found.truncated);
    let cut = sim.stats().cron_schedule(sim.wall(), 1000 * DAY, 5, Some("b"));
    assert_eq!((cut.slots.len(), cut.truncated), (5, true));
}

#[test]
fn what_cannot_be_added_says_why() {
    let (mut sim, _) = sim(1, "2026-06-01T00:00:00Z");
    let bad = |sim: &mut Simulation, job| sim.cron_add(job).unwrap_err();
    assert!(matches!(bad(&mut sim, CronJob::new("j", "x").tick("clerk")), CronError::BadSpec { .. }));
    let never = bad(&mut sim, CronJob::new("j", "0 0 30 2 *").tick("clerk"));
    assert_eq!(never, CronError::Never { spec: "0 0 30 2 *".into() });
    assert_eq!(bad(&mut sim, CronJob::new("", "* * * * *").tick("clerk")), CronError::BadName);
    assert_eq!(bad(&mut sim, CronJob::new("j", "* * * * *")), CronError::NoAction { name: "j".into() });
    add(&mut sim, CronJob::new("j", "* * * * *").tick("clerk"));
    let taken = bad(&mut sim, CronJob::new("j", "* * * * *").tick("clerk"));
    assert_eq!(taken, CronError::Taken { name: "j".into() });
}

fn note(world: &mut World, reports: &Reports, expected: &str) {
    assert_eq!(reports.next(world), expected);
}

both! {
    fn every_second_a_message_arrives_until_the_job_is_removed(world, other) {
        let (pid, reports) = world.puppet(other, SpawnOptions::named("target"));
        let said = world.run(pid, |cx| {
            let job = CronJob::new("beat", "* * * * * *").send_with("target", Note(7), Priority::High);
            let first = format!("{:?}", cx.cron_add(job));
            format!("{first} {} {:?}", cx.cron_info().jobs.len(), cx.cron_job("beat").unwrap().action)
        });
        assert_eq!(said, "Ok(()) 1 \"Note to target\"");
        note(world, &reports, "note 7");
        note(world, &reports, "note 7");
        assert_eq!(world.run(pid, |cx| format!("{:?}", cx.cron_disable("beat"))), "Ok(true)");
        let said = world.run(pid, |cx| format!("{} {:?}", cx.cron_job("beat").unwrap().runs > 1, cx.cron_remove("beat")));
        assert_eq!(said, "true Ok(())");
    }
}

#[test]
fn a_node_starts_with_its_jobs_or_not_at_all() {
    let (tell, told) = channel();
    let node = Node::builder("crond@localhost")
        .cron(
            CronJob::new("beat", "*/1 * * * * *")
                .run(move |_| tell.send(()).map_err(|error| error.to_string())),
        )
        .start()
        .unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(node.cron_info().jobs[0].failures, 0);
    node.stop();
    let refused = Node::builder("crond@localhost").cron(CronJob::new("beat", "* * *")).start();
    assert!(matches!(refused.unwrap_err(), NodeError::Cron(CronError::BadSpec { .. })));
}
