//! The embedded registrar, as far as it moves bytes: the first node on a host serves, the others are its clients, and
//! when the server goes one of them takes over.
//!
//! Invariants: E1 whoever binds the address serves; there is no other election. E2 both sides prove that they know the
//! cookie before either believes a record, on a channel of their own, so a proof for a link is none here. E3 what
//! crosses is bounded in size and in number; garbage costs its sender the connection, nothing else.
//! Threads: the control thread.

mod client;
mod connection;
mod membership;
mod registrar;
mod server;

pub(super) use registrar::Embedded;
