//! Testing services: processes under test on a virtual clock, and probes that stand in for those they talk to.
//!
//! Everything runs on one thread, in an order drawn from a seed: a test of an hour takes milliseconds and runs the same
//! twice. What runs is the runtime itself; only reactor and clock differ.
//!
//! ```
//! use shard_runtime::prelude::*;
//! use shard_runtime::testing::Bed;
//! use std::time::Duration;
//!
//! #[message(local, reply = u32)]
//! struct Price;
//! #[message(local)]
//! struct Ask { shop: Pid }
//!
//! #[derive(Default)]
//! struct Customer;
//! #[actor]
//! impl Customer {
//!     #[handle]
//!     async fn ask(&mut self, m: Ask, cx: &mut Context<'_>) -> ActorResult {
//!         assert!(cx.call(m.shop, Price).await? < 100);
//!         Ok(())
//!     }
//! }
//!
//! let mut bed = Bed::new(7)?;
//! let shop = bed.probe();
//! let customer = bed.spawn(Customer::default, SpawnOptions::new())?;
//! bed.send(customer, Ask { shop: shop.pid() });
//! let (_, reply) = bed.expect_call::<Price>(&shop);
//! bed.advance(Duration::from_secs(1));
//! reply.send(42);
//! bed.run();
//! assert!(bed.is_alive(customer));
//! # Ok::<(), NodeError>(())
//! ```

mod bed;
mod probe;

pub use bed::Bed;
pub use probe::{Probe, Received};
