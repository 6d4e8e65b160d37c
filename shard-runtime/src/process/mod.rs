//! Processes: the record that is header and published counters in one, the table that holds it, and what is made on
//! first use only.

mod alias;
mod bound;
mod env;
mod extension;
mod mark;
mod record;
mod relations;
mod table;

pub use bound::OnFull;
pub use env::Env;

pub(crate) use env::Value as EnvValue;

pub(crate) use alias::{AliasTable, OwnedAliases};
pub(crate) use bound::{Bound, MAIN as MAIN_QUEUE, NoPlace, QUEUES};
pub(crate) use extension::{Extension, Far, InspectAnswer, PendingInspect, StartedAnswer, Trap};
pub(crate) use mark::KillMark;
pub(crate) use record::{Flags, INSTRUMENTS, Identity, Record, bump};
pub(crate) use relations::{Bond, Relations, Subject, Tie, Watch};
pub(crate) use table::{FIRST_SLOT, OwnedTable, Published, Table};
