//! How a service is tested: on a simulated node with a virtual clock, with probes for those it talks to.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use shard_runtime::testing::Bed;
use std::time::Duration;

#[message(local, reply = bool)]
struct Charge {
    cents: u64,
}

#[message(local)]
#[derive(Debug, PartialEq)]
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
        let bank = bed.probe_with(SpawnOptions::named("bank"));
        let warehouse = bed.probe_with(SpawnOptions::named("warehouse"));
        let desk = bed.spawn(Desk::default, SpawnOptions::new())?;

        // An order that can be paid for is shipped.
        bed.send(desk, Order { id: 1, cents: 500 });
        let (charge, reply) = bed.expect_call::<Charge>(&bank);
        assert_eq!(charge.cents, 500);
        bed.expect_nothing(&warehouse);
        reply.send(true);
        assert_eq!(bed.expect::<Shipped>(&warehouse).message, Shipped { order: 1 });

        // A bank that is silent is asked again after 30 + 60 seconds, which take no time here.
        bed.send(desk, Order { id: 2, cents: 700 });
        let (_, forgotten) = bed.expect_call::<Charge>(&bank);
        bed.advance(Duration::from_secs(89));
        bed.expect_nothing(&bank);
        bed.advance(Duration::from_secs(2));
        let (_, reply) = bed.expect_call::<Charge>(&bank);
        reply.send(false);
        drop(forgotten);
        bed.expect_nothing(&warehouse);
        assert!(bed.is_alive(desk));
    }
    println!("20 runs in 20 orders, all the same");
    Ok(())
}
