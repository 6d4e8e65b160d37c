//! How a service is tested: on a simulated node with a virtual clock, with a stub and a probe for those it talks to, and a
//! journal of what it does.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::LogLevel;
use shard_runtime::prelude::*;
use shard_runtime::testing::Bed;
use std::time::Duration;

#[message(local, reply = bool)]
struct Charge {
    cents: u64,
}

#[message(local)]
#[derive(Clone, Debug, PartialEq)]
struct Shipped {
    order: u64,
}

#[message(local)]
struct Order {
    id: u64,
    cents: u64,
}

/// Charges an order, and ships it if that succeeds: by names, so that a test can take their places.
#[derive(Default)]
struct Desk;

#[actor]
impl Desk {
    #[handle]
    async fn order(&mut self, m: Order, cx: &mut Context<'_>) -> ActorResult {
        match cx.call_timeout("bank", Charge { cents: m.cents }, Duration::from_secs(30)).await {
            Ok(true) => cx.send("warehouse", Shipped { order: m.id })?,
            Ok(false) => {}
            // The bank does not answer: try again in a minute.
            Err(CallError::Timeout) => {
                cx.send_after(cx.pid(), m, Duration::from_secs(60))?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for seed in 0..20 {
        let mut bed = Bed::new(seed)?;
        bed.watch::<Shipped>();
        let bank = bed.stub_with(SpawnOptions::named("bank"), |charge: Charge| charge.cents < 1000);
        let warehouse = bed.probe_with(SpawnOptions::named("warehouse"));
        let desk = bed.spawn(Desk::default, SpawnOptions::new())?;

        // An order that can be paid for is shipped, another one is not.
        bed.send(desk, Order { id: 1, cents: 500 });
        bed.send(desk, Order { id: 2, cents: 5000 });
        bed.called::<Charge>().from(desk).to("bank").times(2);
        assert_eq!(bed.sent::<Shipped>().to(&warehouse).message(), Shipped { order: 1 });

        // A bank that is silent is asked again after 30 + 60 seconds, which take no time here.
        let before = bed.mark();
        bank.ignore_next(1);
        bed.send(desk, Order { id: 3, cents: 700 });
        bed.advance(Duration::from_secs(89));
        bed.called::<Charge>().since(before).once();
        bed.sent::<Shipped>().since(before).none();
        bed.advance(Duration::from_secs(2));
        bed.called::<Charge>().since(before).times(2);
        bed.sent::<Shipped>().since(before).with(|m| m.order == 3).once();

        // One that is down ends the desk, which says so in the log.
        bank.fail_next(1, CallError::Terminated);
        bed.send(desk, Order { id: 4, cents: 700 });
        bed.ended().of(desk).abnormally().once();
        bed.logged().by(desk).level(LogLevel::Error).once();
    }
    println!("20 runs in 20 orders, all the same");
    Ok(())
}
