//! What a user writes and what `#[actor]` emits: the actor trait, the batch it dispatches, the context a handler gets.

/// Makes a type of this crate a message that never leaves its node.
macro_rules! local_message {
    ($name:ty) => {
        local_message!($name => ());
    };
    ($name:ty => $reply:ty) => {
        impl shard_wire::Message for $name {
            type Reply = $reply;
            const TABLE: &'static shard_wire::Table<Self> = {
                static TABLE: shard_wire::Table<$name> = shard_wire::Table::local();
                &TABLE
            };
        }
    };
}
pub(crate) use local_message;

mod address;
mod batch;
mod call;
mod context;
mod events;
mod family;
mod inspect;
mod live;
mod options;
mod relation;
mod remote;
mod reply;
mod table;

pub use address::{Address, Named, Route};
pub use batch::{Batch, Closed, Envelope, Exit};
pub use call::Call;
pub use context::{Context, Priority, Sleep, TimerRef, YieldNow};

pub(crate) use context::DEFAULT_CALL_TIMEOUT;
pub use inspect::Inspect;
pub use options::{Placement, SpawnOptions};
pub use relation::{Addressed, Down, ExitSignal, Fallback, Request, Response, Target};
pub use remote::{RemoteApp, RemoteSpawnOptions};
pub use reply::ReplyTo;
pub use table::Actor;

pub(crate) use address::OwnedRoute;
pub(crate) use live::Live;
pub(crate) use options::{DEFAULT_INIT_TIMEOUT, Rare};
pub(crate) use remote::{done, facts, mode_code, mode_of, state_code};
pub(crate) use table::{ActorTable, TableOf};
