//! Applications that show and load the product.
//!
//! | Scenario | What it shows | What you should see |
//! |---|---|---|
//! | [`messaging`] | bursts of 256 B to 10 KB messages to pools of workers on other nodes | traffic on every link, workers that share it evenly |
//! | [`hog`] | a handler that does not come back for a while | tools and heartbeats that answer all the same |
//!
//! The programs `node` (one node) and `demo` (five of them on this machine) run them.
//! [`soak`] is a program of its own: it loads one node at random and accounts for every message.
//! [`traffic`] is a program, too: two nodes that count what they send each other, for networks that misbehave.
//! `sample_service` is what an ordinary program looks like: HTTP, a supervised pool, cron, an event and a TCP feed.

mod catalogue;
pub mod exit;
pub mod hog;
pub mod http;
pub mod messaging;
mod random;
mod settings;
pub mod soak;
pub mod traffic;

pub use catalogue::{Scenario, UnknownScenario, start};
pub use random::Random;
pub use settings::Settings;
