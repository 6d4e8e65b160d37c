//! Processes: the record that is header and published counters in one, the table that holds it, and what is made on
//! first use only.

mod extension;
mod record;
mod table;

pub(crate) use extension::{Extension, InspectAnswer, PendingInspect, StartedAnswer};
pub(crate) use record::{Flags, Identity, Record, bump};
pub(crate) use table::{FIRST_SLOT, OwnedTable, Table};
