//! What a user writes and what `#[actor]` emits: the actor trait, the batch it dispatches, the context a handler gets.

mod address;
mod batch;
mod call;
mod context;
mod inspect;
mod live;
mod options;
mod reply;
mod table;

pub use address::{Address, Named, Route};
pub use batch::{Batch, Closed, Envelope, Exit};
pub use call::Call;
pub use context::{Context, Priority, Sleep, YieldNow};

pub(crate) use context::DEFAULT_CALL_TIMEOUT;
pub use inspect::Inspect;
pub use options::SpawnOptions;
pub use reply::ReplyTo;
pub use table::Actor;

pub(crate) use batch::Slot;
pub(crate) use live::Live;
pub(crate) use table::{ActorTable, TableOf};
