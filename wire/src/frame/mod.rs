//! Frames: what travels over a link.

mod writer;

pub use writer::{BodyWriter, Sink};
