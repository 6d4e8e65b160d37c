//! How a process is started.

/// Options of a spawn. The default: no name, a shard of the runtime's choice, a budget of 256 messages.
#[derive(Clone, Debug, Default)]
pub struct SpawnOptions {
    name: Option<String>,
    shard: Option<u16>,
    budget: Option<u32>,
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

    /// Sets the shard, for spawns from outside.
    #[must_use]
    pub fn on_shard(mut self, shard: u16) -> Self {
        self.shard = Some(shard);
        self
    }

    /// Sets how many messages one activation may handle, at least 1. Default 256.
    #[must_use]
    pub fn with_budget(mut self, messages: u32) -> Self {
        self.budget = Some(messages.max(1));
        self
    }

    #[inline]
    pub(crate) fn name_text(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn shard(&self) -> Option<u16> {
        self.shard
    }

    #[inline]
    pub(crate) fn budget_or(&self, default: u32) -> u32 {
        self.budget.unwrap_or(default)
    }
}
