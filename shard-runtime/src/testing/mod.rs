//! Testing services: processes under test on a virtual clock, probes and stubs that stand in for those they talk to, and a
//! journal of what they do.
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
//! bed.called::<Price>().from(customer).to(&shop).once();
//! bed.ended().none();
//! # Ok::<(), NodeError>(())
//! ```
//!
//! A [`Query`] on the journal is what is looked for ([`Bed::sent`], [`Bed::logged`], [`Bed::spawned`] and others), filters,
//! and how often it must be there; it returns the records it found. Messages move when they are sent: the journal has copies
//! of those of the types that [`Bed::watch`] was told of before, and of all others the type.

mod bed;
mod filters;
mod journal;
mod probe;
mod query;
mod records;
mod stub;
mod watching;

pub use bed::Bed;
pub use filters::Who;
pub use probe::{Probe, Received};
pub use query::{Mark, Query};
pub use records::{CronRan, Ended, ExitSent, Logged, Party, Published, Registered, Sent, Spawned};
pub use stub::Stub;

pub(crate) use journal::{Copied, Journal};
pub(crate) use records::Record;
