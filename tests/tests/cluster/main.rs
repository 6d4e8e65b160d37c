//! Several real nodes: that they find each other and talk, and what happens when one dies, lies, hangs or may not start.
//!
//! Each test has a cluster of its own, on ports the kernel chose; nothing is shared. Every wait is for a condition.

mod demo;
mod hang;
mod loss;
mod nodes;
mod refusal;
mod start;
mod talk;
mod tree;
