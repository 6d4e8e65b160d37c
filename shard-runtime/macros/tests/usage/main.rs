//! Uses of `#[actor]` and `#[handle]` that compile under the strictest lints.

pub mod conditions;
pub mod generic;
pub mod names;
pub mod shapes;
