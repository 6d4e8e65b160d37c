//! Two nodes that count what they send each other: to see what a network does to links.
//!
//! Each node sends numbered messages to the sinks of the other one, by name and by pid, calls them, and watches them. A
//! sink counts what is missing, doubled or late. The program `traffic` runs one such node and prints its [`Tally`].
//! Invariants: F1 the number of a source grows by one with each message that was accepted, so a sink sees every loss
//! but that of the last ones. F2 what a sink sees again, or after a later one, is counted as `behind`, which is a defect.

mod message;
mod sink;
mod source;
mod tally;
mod watcher;

pub use source::Load;
pub use tally::{Snapshot, Tally};

use shard_runtime::{Node, SpawnError, SpawnOptions};
use std::sync::Arc;

/// The name of the sink on a shard.
fn sink_name(shard: u16) -> String {
    format!("traffic_sink_{shard}")
}

/// Starts a sink, two sources, a caller and a watcher on each shard.
///
/// # Errors
/// If a process cannot be started.
pub fn start(node: &Node, shards: u16, load: &Load, tally: &Arc<Tally>) -> Result<(), SpawnError> {
    for shard in 0..shards {
        let on = || SpawnOptions::new().on_shard(shard);
        let (of_sink, of_watcher) = (Arc::clone(tally), Arc::clone(tally));
        node.spawn(move || sink::Sink::new(of_sink), on().with_name(sink_name(shard)))?;
        let name = sink_name(shard);
        let peer = load.peer.clone();
        node.spawn(move || watcher::Watcher::new(name, peer, of_watcher), on())?;
        for by_pid in [false, true] {
            let (load, tally) = (load.clone(), Arc::clone(tally));
            node.spawn(move || source::Source::new(load, sink_name(shard), by_pid, tally), on())?;
        }
        let (load, tally) = (load.clone(), Arc::clone(tally));
        node.spawn(move || source::Caller::new(load, sink_name(shard), tally), on())?;
    }
    Ok(())
}
