//! The routes of a node: where other nodes are dialled, and with what.

mod options;
mod pattern;
mod table;

pub use options::{NodeRoute, RouteOptions};

pub(crate) use table::{Credentials, Routes, Way, off_loopback};
