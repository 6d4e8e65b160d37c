//! How a process is started.

use crate::actor::Priority;
use crate::process::{Env, Far, OnFull};
use crate::shard::LogLevel;
use shard_wire::Pid;
use shard_wire::compress::LEAST_THRESHOLD;
use std::any::Any;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// How long `init` may take by default.
pub(crate) const DEFAULT_INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// On which shard a process starts. It stays there for its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Placement {
    /// The spawner's shard. From outside any shard: shards take turns.
    #[default]
    Caller,
    /// This shard.
    Shard(u16),
    /// The shard with the fewest ready and live processes at that moment.
    LeastLoaded,
    /// The shard that this hash leads to: equal keys meet on one shard while the number of shards stays.
    Key(u64),
}

impl Placement {
    /// The shard that a key leads to.
    pub fn by_key(key: &impl Hash) -> Self {
        let mut hasher = rustc_hash::FxHasher::default();
        key.hash(&mut hasher);
        // The low bits of this hash are weak; a multiplication mixes them into the high ones.
        Self::Key(hasher.finish().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32)
    }
}

/// Options of a spawn. The default: no name, the spawner's shard, a mailbox without a bound, a budget of 256 messages,
/// 5 seconds for `init`.
#[derive(Clone, Debug, Default)]
pub struct SpawnOptions {
    name: Option<String>,
    placement: Placement,
    budget: Option<u32>,
    /// What few processes have: one test for all of it.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rare {
    pub(crate) mailbox: Option<u32>,
    pub(crate) on_full: OnFull,
    pub(crate) fallback: Option<(String, String)>,
    pub(crate) leader: Option<Pid>,
    pub(crate) env: Env,
    pub(crate) priority: Priority,
    /// Least length of a body that is compressed for other nodes, in bytes; 0: none is.
    pub(crate) compress_at: u32,
    pub(crate) link_parent: bool,
    pub(crate) link_child: bool,
    pub(crate) trap_exit: bool,
    pub(crate) split: bool,
    /// Keep what is queued when it ends abnormally, for its successor.
    pub(crate) preserve: bool,
    /// Take over what a process had queued.
    pub(crate) adopt: Option<Pid>,
    pub(crate) init_timeout: Duration,
    pub(crate) dedicated: bool,
    /// Symbol of the application it belongs to; 0: its parent's.
    pub(crate) application: u32,
    /// Who has asked for it from another node.
    pub(crate) far: Option<Far>,
    /// The level of its log lines.
    pub(crate) log_level: Option<LogLevel>,
}

impl Default for Rare {
    fn default() -> Self {
        Self {
            mailbox: None,
            on_full: OnFull::default(),
            fallback: None,
            leader: None,
            env: Env::default(),
            priority: Priority::default(),
            compress_at: 0,
            link_parent: false,
            link_child: false,
            trap_exit: false,
            split: false,
            preserve: false,
            adopt: None,
            init_timeout: DEFAULT_INIT_TIMEOUT,
            dedicated: false,
            application: 0,
            far: None,
            log_level: None,
        }
    }
}

impl SpawnOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Defaults, with a registered name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Sets the registered name, claimed before the process exists.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the shard.
    #[must_use]
    pub fn on_shard(self, shard: u16) -> Self {
        self.with_placement(Placement::Shard(shard))
    }

    /// Sets where the process starts.
    #[must_use]
    pub fn with_placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Sets how many messages one activation may handle, at least 1. Default 256.
    #[must_use]
    pub fn with_budget(mut self, messages: u32) -> Self {
        self.budget = Some(messages.max(1));
        self
    }

    /// Bounds each queue of the mailbox to this many messages, at least 1. Exit signals, down messages and answers are never
    /// refused; they take places all the same.
    #[must_use]
    pub fn with_mailbox(self, messages: u32) -> Self {
        self.rarely(|rare| rare.mailbox = Some(messages.max(1)))
    }

    /// Sets what happens to a message that finds its queue full. Means nothing without [`with_mailbox`](Self::with_mailbox).
    #[must_use]
    pub fn on_full(self, policy: OnFull) -> Self {
        self.rarely(|rare| rare.on_full = policy)
    }

    /// Sends what is refused on to the process registered as `name`, wrapped in [`Fallback`](crate::Fallback) with `tag`.
    /// For sends, not for calls; only under [`OnFull::Reject`]. A name that this process itself holds means nothing.
    #[must_use]
    pub fn with_fallback(self, name: impl Into<String>, tag: impl Into<String>) -> Self {
        self.rarely(|rare| rare.fallback = Some((name.into(), tag.into())))
    }

    /// Sets the leader: a label of the process's group. Default: the parent's leader.
    #[must_use]
    pub fn with_leader(self, leader: Pid) -> Self {
        self.rarely(|rare| rare.leader = Some(leader))
    }

    /// Sets a value of the environment, over what is inherited from the parent. Keys do not depend on case.
    #[must_use]
    pub fn with_env<T: Any + Send + Sync>(self, key: &str, value: T) -> Self {
        self.rarely(|rare| rare.env.set(key, value))
    }

    /// Sets a value of the environment that is never shown.
    #[must_use]
    pub fn with_secret_env<T: Any + Send + Sync>(self, key: &str, value: T) -> Self {
        self.rarely(|rare| rare.env.set_secret(key, value))
    }

    /// Sets the priority of what the process sends without naming one.
    #[must_use]
    pub fn with_send_priority(self, priority: Priority) -> Self {
        self.rarely(|rare| rare.priority = priority)
    }

    /// Has messages, calls and replies of the process to other nodes compressed (LZ4) if their encoded body has at least
    /// `threshold` bytes; less than 1024 is taken as 1024. Default: nothing is compressed.
    ///
    /// A body that does not become smaller is sent as it is, and so is everything to a node that does not read compressed
    /// bodies. The limit of a message holds before compression. Inside a node nothing is compressed.
    #[must_use]
    pub fn compression(self, threshold: u32) -> Self {
        self.rarely(|rare| rare.compress_at = threshold.max(LEAST_THRESHOLD))
    }

    /// Sets the least level of the process's log lines that are kept. Default: that of its application, or of the node.
    #[must_use]
    pub fn with_log_level(self, level: LogLevel) -> Self {
        self.rarely(|rare| rare.log_level = Some(level))
    }

    /// Links the process to its parent: it ends when the parent ends. Means nothing for spawns from outside.
    #[must_use]
    pub fn link_parent(self) -> Self {
        self.rarely(|rare| rare.link_parent = true)
    }

    /// Links the parent to the process: the parent gets an exit signal when it ends. Means nothing for spawns from outside.
    #[must_use]
    pub fn link_child(self) -> Self {
        self.rarely(|rare| rare.link_child = true)
    }

    /// Exit signals arrive as [`ExitSignal`](crate::ExitSignal) messages, except those of the parent.
    #[must_use]
    pub fn trap_exit(self) -> Self {
        self.rarely(|rare| rare.trap_exit = true)
    }

    /// Messages sent by name or alias, from this node or another one, arrive as [`Addressed`](crate::Addressed).
    #[must_use]
    pub fn split_handle(self) -> Self {
        self.rarely(|rare| rare.split = true)
    }

    /// Sets how long `init` may take. A process that takes longer ends with `InitTimeout`. Default 5 seconds.
    #[must_use]
    pub fn with_init_timeout(self, limit: Duration) -> Self {
        self.rarely(|rare| rare.init_timeout = limit)
    }

    /// Gives the process a thread of its own, for callbacks that block: files, mutexes, foreign functions, long computations.
    /// The same API; such a process may also make blocking calls. The shard it is placed on owns its pid, names, links and
    /// limits. Killed inside a callback, it ends for everybody else at once (within 100 ms), and is a `zombee` until the
    /// callback returns. Its budget is 1 message unless set. A node has at most 256 of these. For spawns that wait, whose
    /// factory can go to the thread: [`Node::spawn`](crate::Node::spawn) and
    /// [`Context::spawn_wait`](crate::Context::spawn_wait).
    #[must_use]
    pub fn dedicated_thread(self) -> Self {
        self.rarely(|rare| rare.dedicated = true)
    }

    /// Keeps what is queued when the process ends abnormally. Its supervisor hands it to the successor.
    pub(crate) fn preserve_mailbox(self) -> Self {
        self.rarely(|rare| rare.preserve = true)
    }

    /// Takes over what this process had queued, if it was of the same shard.
    pub(crate) fn adopt_mailbox(self, before: Pid) -> Self {
        self.rarely(|rare| rare.adopt = Some(before))
    }

    /// Makes it part of an application that is not its parent's.
    pub(crate) fn in_application(self, symbol: u32) -> Self {
        self.rarely(|rare| rare.application = symbol)
    }

    /// Makes it a process that another node has asked for.
    pub(crate) fn asked_by(self, far: Far) -> Self {
        self.rarely(|rare| rare.far = Some(far))
    }

    fn rarely(mut self, set: impl FnOnce(&mut Rare)) -> Self {
        set(self.rare.get_or_insert_default());
        self
    }

    #[inline]
    pub(crate) fn name_text(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn placement(&self) -> Placement {
        self.placement
    }

    #[inline]
    pub(crate) fn budget_or(&self, default: u32) -> u32 {
        self.budget.unwrap_or(default)
    }

    #[inline]
    pub(crate) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    /// Whether the process gets a thread of its own.
    #[inline]
    pub(crate) fn is_dedicated(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.dedicated)
    }

    pub(crate) fn init_timeout(&self) -> Duration {
        self.rare.as_ref().map_or(DEFAULT_INIT_TIMEOUT, |rare| rare.init_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::Placement;

    #[test]
    fn keys_spread_over_shards_and_repeat() {
        let shard = |key: u32| match Placement::by_key(&key) {
            Placement::Key(hash) => hash % 4,
            other => panic!("{other:?}"),
        };
        let mut counts = [0; 4];
        for key in 0..4000 {
            assert_eq!(shard(key), shard(key));
            counts[shard(key) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count > 700), "{counts:?}");
    }
}
