//! Diagnostics over real sockets, against a node made of plain data.

#![expect(clippy::disallowed_methods, reason = "the tests measure what a client outside any shard waits for")]

mod client;
mod fake;
mod lately;
mod limits;
mod links;
mod node;
mod processes;
mod radar;
mod tools;
