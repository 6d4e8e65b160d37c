//! A handler that keeps its shard for as long as it is told to: the mistake every actor system has to survive.
//!
//! What you should see while it runs: its process `running` with a growing time in the callback, the processes behind it
//! on the shard waiting, metrics and tools that answer at once, and no node that counts this one as down.

use shard_runtime::prelude::*;
use std::time::{Duration, Instant};

/// The registered name of the process.
pub const HOG: &str = "hog";

/// Longest time one message may ask for, in seconds.
const LONGEST_S: u32 = 120;

/// Keeps the shard of the process [`HOG`] busy.
#[message]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hog {
    /// For how many seconds; at most 120.
    pub seconds: u32,
}

#[derive(Debug, Default)]
struct Hogger {
    hogged: u64,
    hogged_s: u64,
}

#[actor]
impl Hogger {
    #[handle]
    #[expect(
        clippy::disallowed_methods,
        reason = "it burns real time; the shard's clock stands still meanwhile"
    )]
    fn hog(&mut self, message: Hog, cx: &mut Context<'_>) -> ActorResult {
        // LIMIT: what a peer may ask for.
        let seconds = message.seconds.min(LONGEST_S);
        cx.log().warning(format_args!("keeping this shard busy for {seconds} s, as told"));
        let end = Instant::now() + Duration::from_secs(u64::from(seconds));
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        self.hogged += 1;
        self.hogged_s += u64::from(seconds);
        Ok(())
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("hogged", self.hogged);
        out.set("hogged_seconds", self.hogged_s);
    }
}

/// Starts the process [`HOG`].
///
/// # Errors
/// It runs already, or the node is stopping.
pub fn start(node: &Node) -> Result<(), SpawnError> {
    node.spawn(Hogger::default, SpawnOptions::named(HOG)).map(drop)
}
