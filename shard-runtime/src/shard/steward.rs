//! What a shard does for the node's steward and for applications: birth, belonging, watching.
//!
//! Invariant: W1 a process that belongs to an application is counted there from before its record exists until after it is gone.

use crate::actor::SpawnOptions;
use crate::app::{CORE_EVENT, CoreEvent, Emptied, STEWARD, Steward};
use crate::error::SpawnError;
use crate::event::EventOptions;
use crate::process::{Bond, Subject, Tie, Watch};
use crate::shard::watch::SPAWN_LINK;
use crate::shard::{Origin, Shard};
use crate::symbol::Symbol;
use shard_wire::LocalId;
use std::sync::atomic::Ordering::Relaxed;

/// Publications of the node's own event that are kept.
const CORE_BUFFER: usize = 1000;

impl Shard {
    /// Starts the steward and registers the node's own event.
    pub(super) fn raise_steward(&self) {
        self.raise(STEWARD, Steward::new(self.node.app_failure()));
        let options = EventOptions::new().buffer(CORE_BUFFER);
        // Nobody else has an event yet, so the name is free.
        let _first = self.as_steward(|| self.register_event::<CoreEvent>(CORE_EVENT, options));
    }

    /// Runs something on behalf of the steward: what it registers is the node's.
    pub(crate) fn as_steward<R>(&self, run: impl FnOnce() -> R) -> R {
        self.speaking_as(STEWARD, run)
    }

    /// Links the steward to a process of this shard that has just been started.
    pub(crate) fn watch_for(&self, consumer: u64, born: u64) {
        let tie = Tie { subject: Subject::Pid(born), bond: Bond::Link };
        self.add_watch(born, Watch::near(consumer, tie), SPAWN_LINK, false);
    }

    /// Says to which application a process that is being spawned belongs: that of its options, or its parent's.
    #[inline]
    pub(super) fn ascribe(&self, origin: &mut Origin, options: &SpawnOptions) {
        if let Some(rare) = options.rare()
            && rare.application != 0
        {
            origin.application = rare.application;
        } else if origin.application == 0 && origin.parent != LocalId::CORE.0 {
            origin.application = self.application_of(origin.parent);
        }
    }

    /// Symbol of the application of a process; 0: of none.
    #[inline]
    pub(crate) fn application_of(&self, local: u64) -> u32 {
        let home = LocalId(local).shard();
        if home == self.index {
            return self.table.table().identity(local as u32).application.load(Relaxed);
        }
        self.node.port(home).map_or(0, |port| port.table.identity(local as u32).application.load(Relaxed))
    }

    /// A process is about to be spawned in an application.
    #[cold]
    pub(super) fn enter_application(&self, application: u32) -> Result<(), SpawnError> {
        if self.node.apps().enter(application) {
            return Ok(());
        }
        let name = self.node.symbols().text(Symbol(application)).unwrap_or_default();
        Err(SpawnError::AppStopping { application: name.into() })
    }

    /// A process of an application has gone, or was not spawned after all.
    #[inline(always)]
    pub(super) fn leave_application(&self, application: u32) {
        if application != 0 && self.node.apps().leave(application) {
            self.tell(0, move |shard| shard.post_steward(Emptied(application)));
        }
    }
}
