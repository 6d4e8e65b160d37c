//! Every maximum of the wire, with assertions between them and the widths of the fields that carry them.

use std::num::NonZeroUsize;

/// Length of the fixed part of a frame header, in bytes.
pub const HEADER_BYTES: usize = 48;

/// Frames start and end, and bodies start, at multiples of this many bytes.
pub const FRAME_ALIGN: usize = 16;

/// The same, as wide as the padding field.
pub(crate) const FRAME_ALIGN_U8: u8 = 16;

/// Alignment of a body in every buffer, in bytes.
pub const BODY_ALIGN: usize = FRAME_ALIGN;

/// Length of the optional trace block, in bytes.
pub const TRACE_BYTES: usize = 32;

/// Length of the optional fragment block, in bytes.
pub const FRAGMENT_BYTES: usize = 16;

/// Longest registered name in a frame, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Longest name block: one byte of length, the name, filled up to a multiple of 16.
pub const MAX_NAME_BLOCK_BYTES: usize = (1 + MAX_NAME_BYTES).next_multiple_of(FRAME_ALIGN);

/// Longest header with all blocks, in bytes.
pub const MAX_HEADER_BYTES: usize = HEADER_BYTES + TRACE_BYTES + FRAGMENT_BYTES + MAX_NAME_BLOCK_BYTES;

/// Longest frame unless configured otherwise: 1 MiB.
pub const DEFAULT_MAX_FRAME: usize = 1 << 20;

/// Longest frame that can be configured: 64 MiB.
pub const CEILING_MAX_FRAME: usize = 64 << 20;

/// Shortest limit that can be configured: one frame with all blocks and a little body.
pub const FLOOR_MAX_FRAME: usize = 1024;

/// First size of a receive buffer: 16 KiB.
pub const RECV_INITIAL_BYTES: usize = 16 << 10;

/// Size up to which a receive buffer grows by itself; above that it grows only to hold one frame: 256 KiB.
pub const RECV_BATCH_BYTES: usize = 256 << 10;

/// A batch buffer is handed to the socket when it holds this many bytes: 64 KiB.
pub const BATCH_BYTES: usize = 64 << 10;

/// A batch buffer larger than this is given back to the allocator when it has been sent: 256 KiB.
pub const BATCH_KEEP_BYTES: usize = 256 << 10;

/// Deepest nesting of pointers in a body. Validation descends by recursion, so this bounds the stack it needs.
pub const MAX_BODY_DEPTH: Option<NonZeroUsize> = NonZeroUsize::new(128);

const _: () = {
    assert!(HEADER_BYTES.is_multiple_of(FRAME_ALIGN), "blocks start aligned");
    assert!(
        TRACE_BYTES.is_multiple_of(FRAME_ALIGN) && FRAGMENT_BYTES.is_multiple_of(FRAME_ALIGN),
        "bodies start aligned"
    );
    assert!(MAX_NAME_BYTES <= u8::MAX as usize, "a name block has one byte of length");
    assert!(FLOOR_MAX_FRAME >= MAX_HEADER_BYTES + FRAME_ALIGN, "every header fits every limit");
    assert!(
        FLOOR_MAX_FRAME <= DEFAULT_MAX_FRAME && DEFAULT_MAX_FRAME <= CEILING_MAX_FRAME,
        "the default is allowed"
    );
    assert!(CEILING_MAX_FRAME <= u32::MAX as usize, "the length field has 32 bits");
    assert!(CEILING_MAX_FRAME + RECV_BATCH_BYTES < i32::MAX as usize, "archived pointers have 32 bits");
    assert!(FRAME_ALIGN_U8 as usize == FRAME_ALIGN, "the padding field has 8 bits");
    assert!(
        RECV_INITIAL_BYTES <= RECV_BATCH_BYTES && BATCH_BYTES <= BATCH_KEEP_BYTES,
        "buffers grow upwards"
    );
    assert!(MAX_BODY_DEPTH.is_some(), "an unlimited depth would let a peer exhaust the stack");
};
