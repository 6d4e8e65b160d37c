//! Frames: what travels over a link, how they are built in a batch buffer and found in a receive buffer.

mod batch;
mod parse;
mod recv;
mod writer;

pub use batch::{FrameBuf, FrameHead, checked_max_frame};
pub use parse::{Frame, Parsed, parse};
pub use recv::{Frames, RecvBuf, Source};
pub use writer::{BodyWriter, Sink};

pub(crate) use writer::Scratch;

/// Bytes of whole frames, aligned as frames are: what [`FrameBuf::take`] gives.
pub type Batch = rkyv::util::AlignedVec<{ crate::limits::FRAME_ALIGN }>;
