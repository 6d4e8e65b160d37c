//! Messages to processes that want to know by which name or alias they were sent.
//!
//! One of this node is made an [`Addressed`](crate::Addressed) where it is sent, for there its type is known (decision 0007).
//! One of another node is received without its type. It is wrapped in [`Reached`], whose table no actor lists, so that it
//! meets what an unknown type meets, as a message of a trace does (decision 0021); behind the arms of the dispatch function,
//! which bring the tables of what they take, it becomes what its arm takes.
//! Invariant: S1 what is wrapped is the bare message; in a trace, the wrapping is what is traced.
//! Cost: for each such message of another node a box, and a second look at the arms.

use crate::actor::{Route, Target, local_message};
use crate::mailbox::EnvelopePtr;
use crate::process::{Flags, Record};
use crate::shard::Shard;
use shard_wire::{Erased, LocalId, Vtable};

/// A message of another node, with the name or alias that its sender used.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) by: Target,
    pub(crate) message: Erased,
}
local_message!(Reached);

/// What a process of this node is told of the address that led to it; `None` of its pid.
pub(crate) fn told_by(route: Route<'_>) -> Option<Target> {
    match route {
        Route::Pid(_) => None,
        Route::Alias(alias) => Some(Target::Alias(alias)),
        Route::Name(name) | Route::Remote { name, .. } => Some(Target::name(name)),
    }
}

impl Shard {
    /// Whether a process of this node, of whatever shard, wants to know by which name or alias it is sent to.
    #[inline]
    pub(crate) fn is_split(&self, local: LocalId) -> bool {
        let traits = self.node().port(local.shard()).and_then(|port| port.table.traits_of(local.0));
        traits.is_some_and(|traits| traits & Flags::SPLIT != 0)
    }

    /// Makes what was taken out of an envelope what the process takes, and puts it back. `false`: there is no handler for it,
    /// and it has been dropped.
    #[cold]
    pub(crate) fn open_reached(
        &self,
        record: &Record,
        envelope: EnvelopePtr,
        reached: Reached,
        types: &[&'static Vtable],
    ) -> bool {
        let Reached { by, message } = reached;
        let is_held = |own: &&'static Vtable| {
            let held = own.holding().map(|holding| holding.held().type_id());
            held == Some(message.vtable().type_id())
        };
        let arm = types.iter().copied().find(is_held);
        let made = match arm.and_then(Vtable::holding) {
            Some(holding) => holding.hold(&by, message),
            None => Err(message),
        };
        let (is_made, (vtable, payload)) = match made {
            Ok(made) => (true, made.into_parts()),
            Err(message) => (false, message.into_parts()),
        };
        // The table that the arm compares with: a type may have more than one.
        let table = arm.filter(|_| is_made).unwrap_or(vtable);
        envelope.fill_erased(table, envelope.from(), envelope.meta(), payload);
        if !is_made {
            self.no_handler(record, envelope, &format_args!("Addressed<{}>", vtable.type_name()));
        }
        is_made
    }
}
