//! A soak: every kind of message, every kind of end, at random and for long; and an account of it to the unit.
//!
//! On each shard two drivers keep a population of processes going and replace those that end. Each message, and each reply,
//! carries a token. At the end the sources stop, everything drains, everything ends, and then must hold, exactly: sent =
//! handled + came back + dropped by policy + dead letters + lost with the mailbox of an ended process + dropped in
//! mid-handler; and each of these as the program saw it equals what the runtime counted.
//!
//! Memory must be flat after the warm-up. [`run_simulated`] runs the same mix on the simulation, where one seed gives one
//! run: to find out what a difference comes from, use that.

mod account;
mod act;
mod driver;
mod hall;
mod ledger;
mod memory;
mod message;
mod run;
mod worker;
mod world;

pub use account::Account;
pub use run::{Settings, run, run_simulated};
