//! Workloads, their peers, and how they are measured.
//!
//! A *workload* is one measurement with a name, a unit and a direction. Each of its *sides* (ours, and every peer that
//! does the same work) is a function that does the work once and returns one figure. The program `runs` executes each
//! side of each round in a fresh child process, rotates the order of the sides from round to round, and reports medians
//! and the median of the ratios taken within a round.
//!
//! Threads: a side pins the threads it starts; nothing here runs beside it but a sleeping watchdog.
//! Clock: only [`timing`] reads one.

pub mod error;
#[cfg(feature = "own")]
pub mod frames;
pub mod machine;
#[cfg(feature = "peers")]
pub mod network_rows;
pub mod outside;
#[cfg(feature = "own")]
pub mod own;
#[cfg(feature = "peers")]
pub mod peer;
#[cfg(feature = "peers")]
pub mod reference;
#[cfg(feature = "peers")]
pub mod registry;
#[cfg(feature = "peers")]
pub mod report;
pub mod round;
pub mod spsc;
pub mod timing;
pub mod workload;
