//! What a user says about a supervisor and its children.
//!
//! Owns: the four types, the three strategies, budgets, shutdown policies, and their validation. The factory that
//! makes a child is not here: the machine carries it as an opaque value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::error::{InvalidSpec, SupervisorError};
use super::intensity::{DEFAULT_INTENSITY, DEFAULT_PERIOD};

/// How long a child may take to end before it is killed, when it says nothing else.
const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// Which children a restart concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SupervisorType {
    /// The failed child.
    #[default]
    OneForOne,
    /// All children.
    AllForOne,
    /// The failed child and all declared after it.
    RestForOne,
    /// Any number of unregistered instances of templates, made on demand; a restart concerns the failed instance.
    SimpleOneForOne,
}

impl SupervisorType {
    /// Whether a restart concerns more than the failed child.
    pub(super) const fn is_group(self) -> bool {
        matches!(self, Self::AllForOne | Self::RestForOne)
    }

    pub(super) const fn is_simple(self) -> bool {
        matches!(self, Self::SimpleOneForOne)
    }
}

impl fmt::Display for SupervisorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one for one",
            Self::AllForOne => "all for one",
            Self::RestForOne => "rest for one",
            Self::SimpleOneForOne => "simple one for one",
        })
    }
}

/// After which ends a child is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// After every end but `normal` and `shutdown`.
    #[default]
    Transient,
    /// Never.
    Temporary,
    /// Always.
    Permanent,
}

/// What happens when a child has used up its own intensity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnExceed {
    /// The supervisor ends, as if its own intensity were used up.
    #[default]
    TerminateSupervisor,
    /// The child is disabled until it is enabled again; an instance of a template is dropped.
    Disable,
}

/// How a child is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// It is sent an exit, and killed if it has not ended in this time.
    Graceful(Duration),
    /// It is killed.
    Kill,
    /// It is sent an exit and waited for without limit. For supervisors; anything else can block a node's stop.
    Infinity,
}

impl Default for Shutdown {
    /// Graceful, 5 s.
    fn default() -> Self {
        Self::Graceful(DEFAULT_SHUTDOWN)
    }
}

/// One child of a supervisor, or one template of a simple one for one supervisor, without what makes it.
///
/// ```
/// # use shard_runtime::{ChildSpec, OnExceed, Strategy, SupervisorSpec};
/// # let secs = std::time::Duration::from_secs;
/// let _spec = ChildSpec::new("cache").restart(Strategy::Permanent).intensity(3, secs(10)).on_exceed(OnExceed::Disable);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ChildSpec {
    pub(super) name: Arc<str>,
    pub(super) strategy: Option<Strategy>,
    pub(super) intensity: u16,
    pub(super) period: Duration,
    pub(super) on_exceed: OnExceed,
    pub(super) backoff: Option<Backoff>,
    /// `None`: graceful within 5 s, or without limit for a supervisor.
    pub(super) shutdown: Option<Shutdown>,
    pub(super) significant: bool,
    pub(super) preserve_mailbox: bool,
}

impl ChildSpec {
    /// A child with the supervisor's strategy and budget, stopped gracefully within 5 s. Unless the supervisor is simple
    /// one for one, its process is registered under this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            strategy: None,
            intensity: 0,
            period: Duration::ZERO,
            on_exceed: OnExceed::default(),
            backoff: None,
            shutdown: None,
            significant: false,
            preserve_mailbox: false,
        }
    }

    /// Sets after which ends it is restarted. Default: as the supervisor says.
    ///
    /// Under all for one and rest for one this decides whether the child's own end restarts the group; with the group it
    /// is restarted in any case.
    #[must_use]
    pub const fn restart(mut self, strategy: Strategy) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// Gives it a budget of its own: more than `restarts` within `period` are too many (a period of 0 is 5 s). Its
    /// restarts then no longer count against the supervisor's. Not under all for one and rest for one.
    #[must_use]
    pub const fn intensity(mut self, restarts: u16, period: Duration) -> Self {
        self.intensity = restarts;
        self.period = period;
        self
    }

    /// Sets what happens when its own budget is used up. Default: the supervisor ends.
    #[must_use]
    pub const fn on_exceed(mut self, on_exceed: OnExceed) -> Self {
        self.on_exceed = on_exceed;
        self
    }

    /// Sets how long its restarts wait. Default: as the supervisor says.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Sets how it is made to end. Default: gracefully within 5 s; a supervisor is waited for without limit.
    #[must_use]
    pub const fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = Some(shutdown);
        self
    }

    /// Makes its end, when it is not restarted after it, the supervisor's end. No effect under simple one for one.
    #[must_use]
    pub const fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Hands the messages it has not handled to the process that replaces it after an abnormal end. The message that
    /// it was handling is not repeated. Not under all for one and rest for one.
    #[must_use]
    pub const fn preserve_mailbox(mut self) -> Self {
        self.preserve_mailbox = true;
        self
    }

    /// Sets how it is made to end, unless that was said.
    pub(super) fn or_shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = self.shutdown.or(Some(shutdown));
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own budget, if it has one.
    pub(super) fn own_budget(&self) -> Option<(u16, Duration)> {
        (self.intensity > 0).then(|| (self.intensity, or_default(self.period)))
    }

    pub(super) fn validate(&self, kind: SupervisorType) -> Result<(), SupervisorError> {
        self.flaw(kind)
            .map_or(Ok(()), |why| Err(SupervisorError::InvalidSpec { name: Arc::clone(&self.name), why }))
    }

    fn flaw(&self, kind: SupervisorType) -> Option<InvalidSpec> {
        if self.name.is_empty() {
            return Some(InvalidSpec::NoName);
        }
        if kind.is_group() && self.intensity > 0 {
            return Some(InvalidSpec::GroupIntensity);
        }
        if kind.is_group() && self.preserve_mailbox {
            return Some(InvalidSpec::GroupPreserveMailbox);
        }
        if self.intensity == 0 && self.on_exceed == OnExceed::Disable {
            return Some(InvalidSpec::DisableWithoutIntensity);
        }
        if self.intensity == 0 && !self.period.is_zero() {
            return Some(InvalidSpec::PeriodWithoutIntensity);
        }
        self.backoff.and_then(|backoff| backoff.validate().err())
    }
}

/// A supervisor's own settings.
///
/// ```
/// # use shard_runtime::{ChildSpec, OnExceed, Strategy, SupervisorSpec};
/// # let secs = std::time::Duration::from_secs;
/// let _spec = SupervisorSpec::rest_for_one().strategy(Strategy::Permanent).intensity(3, secs(10)).keep_order();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorSpec {
    pub(super) kind: SupervisorType,
    pub(super) strategy: Strategy,
    pub(super) intensity: u16,
    pub(super) period: Duration,
    pub(super) keep_order: bool,
    pub(super) auto_shutdown: bool,
    pub(super) handle_children: bool,
    pub(super) backoff: Option<Backoff>,
}

impl SupervisorSpec {
    /// A supervisor of this type: transient, 5 restarts in 5 s, no order, auto-shutdown on, no notices, no back-off.
    #[must_use]
    pub const fn new(kind: SupervisorType) -> Self {
        Self {
            kind,
            strategy: Strategy::Transient,
            intensity: DEFAULT_INTENSITY,
            period: DEFAULT_PERIOD,
            keep_order: false,
            auto_shutdown: true,
            handle_children: false,
            backoff: None,
        }
    }

    /// Restarts the failed child.
    #[must_use]
    pub const fn one_for_one() -> Self {
        Self::new(SupervisorType::OneForOne)
    }

    /// Restarts all children.
    #[must_use]
    pub const fn all_for_one() -> Self {
        Self::new(SupervisorType::AllForOne)
    }

    /// Restarts the failed child and all declared after it.
    #[must_use]
    pub const fn rest_for_one() -> Self {
        Self::new(SupervisorType::RestForOne)
    }

    /// Starts instances of templates on demand.
    #[must_use]
    pub const fn simple_one_for_one() -> Self {
        Self::new(SupervisorType::SimpleOneForOne)
    }

    /// Sets after which ends children are restarted that do not say themselves. Default: transient.
    #[must_use]
    pub const fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Sets the budget: more than `restarts` within `period` end the supervisor. 0 stands for the default, 5 in 5 s.
    #[must_use]
    pub fn intensity(mut self, restarts: u16, period: Duration) -> Self {
        self.intensity = if restarts == 0 { DEFAULT_INTENSITY } else { restarts };
        self.period = or_default(period);
        self
    }

    /// Stops the children of a group restart one after the other, the last declared first, each after the one before it
    /// has ended. Default: all at once. No effect under one for one and simple one for one.
    #[must_use]
    pub const fn keep_order(mut self) -> Self {
        self.keep_order = true;
        self
    }

    /// Keeps the supervisor when its last child has ended. Default: it ends, too, with that child's reason. A permanent
    /// and a simple one for one supervisor always stay.
    #[must_use]
    pub const fn disable_auto_shutdown(mut self) -> Self {
        self.auto_shutdown = false;
        self
    }

    /// Tells the supervisor's own callbacks of every start and end of a child. Default: not.
    #[must_use]
    pub const fn handle_children(mut self) -> Self {
        self.handle_children = true;
        self
    }

    /// Sets how long restarts wait. Default: they do not.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Whether its children are instances without names.
    pub(super) const fn is_simple(&self) -> bool {
        self.kind.is_simple()
    }

    /// Whether the end of the last child is the supervisor's.
    pub(super) fn ends_with_last_child(&self) -> bool {
        self.auto_shutdown && !self.kind.is_simple() && self.strategy != Strategy::Permanent
    }

    pub(super) fn validate(&self) -> Result<(), SupervisorError> {
        match self.backoff.map_or(Ok(()), |backoff| backoff.validate()) {
            Ok(()) => Ok(()),
            Err(why) => Err(Self::invalid(why)),
        }
    }

    pub(super) fn invalid(why: InvalidSpec) -> SupervisorError {
        SupervisorError::InvalidSpec { name: "supervisor".into(), why }
    }
}

fn or_default(period: Duration) -> Duration {
    if period.is_zero() { DEFAULT_PERIOD } else { period }
}
