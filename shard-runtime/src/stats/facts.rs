//! What a process's shard knows of it beyond its published counters: relations, addresses, options. Asked for, not swept.

use crate::actor::{Priority, Target};
use crate::process::OnFull;
use shard_wire::{Alias, Pid};

/// What a process's shard knows of it. Its counters are in [`ProcessStats`](super::ProcessStats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessFacts {
    /// The process.
    pub pid: Pid,
    /// Who spawned it.
    pub parent: Pid,
    /// Its group's leader.
    pub leader: Pid,
    /// What it is linked to.
    pub links: Vec<Target>,
    /// Who is linked to it, by any of its addresses.
    pub linked_by: Vec<Pid>,
    /// What it monitors.
    pub monitors: Vec<Target>,
    /// Who monitors it, by any of its addresses.
    pub monitored_by: Vec<Pid>,
    /// Its aliases.
    pub aliases: Vec<Alias>,
    /// Events it has registered.
    pub events: Vec<String>,
    /// Keys of its environment, in order.
    pub env: Vec<String>,
    /// Its environment as tools show it, see [`Env::shown`](crate::Env::shown).
    pub env_shown: Vec<(String, String)>,
    /// Messages in Main, System, Urgent and Log.
    pub queues: [u64; 4],
    /// Places of each queue; `None`: without a bound.
    pub mailbox_limit: Option<u32>,
    /// What happens to a message that finds its queue full.
    pub on_full: OnFull,
    /// Name and tag of its fallback.
    pub fallback: Option<(String, String)>,
    /// Whether exit signals arrive as messages.
    pub traps_exits: bool,
    /// Whether messages by name or alias arrive as such.
    pub splits_handles: bool,
    /// Priority of what it sends without naming one.
    pub send_priority: Priority,
    /// Replies it waits for.
    pub awaited: usize,
}
