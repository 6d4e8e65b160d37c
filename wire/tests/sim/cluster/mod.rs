//! The simulated cluster: nodes, an in-memory network with virtual time, and the chaos that befalls them.

mod chaos;
mod world;

pub(crate) use world::{Options, World};
