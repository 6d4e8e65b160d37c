//! The simulated cluster and what is checked of it at every step.

mod check;
mod cluster;
mod traffic;

pub(crate) use cluster::{Options, World};
