//! The `/metrics` page: the list of families, and the collector that fills them from a snapshot.

mod collector;
mod names;
mod network;
mod page;

pub(crate) use collector::Exporter;
pub use names::{FAMILIES, Family, Kind};
