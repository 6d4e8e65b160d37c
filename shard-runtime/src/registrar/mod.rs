//! How nodes of a cluster find each other.
//!
//! A registrar tells a node who else is there and at which addresses. Existing links never depend on it: while it is
//! away, sessions live on and known addresses stay in use.
//! Owns: the [`Registrar`] contract, the record of a node, and the embedded registrar as far as it needs no socket: its
//! messages and its directory. Sockets are moved by the control thread.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod contract;
mod directory;
mod message;
mod record;
mod spec;
#[cfg(test)]
mod tests;

pub use contract::{Registrar, RegistrarEvent, RegistrarRole, RegistrarState};
pub use record::NodeRecord;
pub use spec::RegistrarSpec;

pub(crate) use directory::{Change, ClientId, Directory, View};
pub(crate) use message::{BAD_RECORD, CHANNEL, FULL, RegistrarMsg, TAKEN};
pub(crate) use record::is_address;
