//! Frames: what travels over a link, how they are built in a batch buffer and found in a receive buffer.

mod batch;
mod parse;
mod writer;

pub use batch::{FrameBuf, FrameHead, checked_max_frame};
pub use parse::{Frame, Parsed, RecvBuf, parse};
pub use writer::{BodyWriter, Sink};

/// Bytes of whole frames, aligned as frames are: what [`FrameBuf::take`] gives.
pub type Batch = rkyv::util::AlignedVec<{ crate::limits::FRAME_ALIGN }>;
