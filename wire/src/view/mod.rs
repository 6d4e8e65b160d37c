//! Messages that are read where their bytes lie: [`View`], and what the runtime needs to make one of what it has.

mod archived;
mod lease;
mod ops;
mod pool;

pub(crate) use ops::{body_ops, encode_as};

pub use archived::{View, Viewable};
pub use lease::Lease;
pub use ops::ViewOps;
pub use pool::ViewPool;
