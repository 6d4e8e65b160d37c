//! Diagnostics over real sockets, against a node made of plain data.

mod client;
mod fake;
mod limits;
mod radar;
mod tools;
