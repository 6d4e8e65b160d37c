//! A job at times of the wall clock, with a time zone: on a real node by the second, on a simulated one over a year.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use shard_runtime::{CronJob, CronTick, Simulation};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime};

struct Reporter {
    told: Sender<SystemTime>,
}

#[actor]
impl Reporter {
    #[handle]
    fn report(&mut self, tick: CronTick, _cx: &mut Context<'_>) -> ActorResult {
        self.told.send(tick.time)?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Six fields: the first one is the second.
    let (told, ticks) = channel();
    let node = Node::builder("cron@localhost").start()?;
    node.spawn(move || Reporter { told }, SpawnOptions::named("reporter"))?;
    node.cron_add(CronJob::new("each second", "* * * * * *").tick("reporter"))?;
    let (first, second) = (ticks.recv()?, ticks.recv()?);
    println!("two ticks, {:?} apart", second.duration_since(first)?);
    node.stop();

    // The last day of each month at noon in Berlin, whether it is summer there or not.
    let (told, ticks) = channel();
    let mut year = Simulation::new("year@localhost", 1, 1)?;
    year.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200)); // 2024-01-01
    year.spawn(0, move || Reporter { told }, &SpawnOptions::named("reporter"))?;
    year.cron_add(CronJob::new("books", "0 12 L * *").zone("Europe/Berlin").tick("reporter"))?;
    for _ in 0..366 {
        year.advance(Duration::from_secs(24 * 3600));
    }
    let count = ticks.try_iter().count();
    println!("{count} ticks in a year of no time");
    assert_eq!(count, 12);
    Ok(())
}
