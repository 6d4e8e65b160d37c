//! Events of other nodes, over real sockets: nodes of one OS process.

mod delivery;
mod lifetimes;
mod support;
