//! The seam to the machine: threads, memory, the glommio executor, the simulation, and the checks before a start.
//!
//! Only this folder names glommio. A reactor drives a shard by calling its turns and parks it when it is idle.

pub(crate) mod annex;
mod bell;
pub(crate) mod executor;
pub(crate) mod memory;
pub(crate) mod nudge;
pub(crate) mod poller;
pub(crate) mod preflight;
pub(crate) mod sim;
pub(crate) mod sim_apps;
pub(crate) mod tcp;

use std::io;
use std::thread::JoinHandle;

/// Starts a named thread.
///
/// # Errors
/// The system refused it.
pub(crate) fn spawn_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}
