//! Bodies that travel compressed, with LZ4 in its block format.
//!
//! ```text
//! 0 length u32, of the body before | algorithm u8 (1: LZ4) | zeros 3      8 the compressed bytes
//! ```
//!
//! Only the body of a frame is compressed, never its header, and a frame says so by
//! [`FrameFlags::COMPRESSED`](crate::header::FrameFlags::COMPRESSED). Big messages are cut into parts afterwards.
//! Compressed bytes have no checksum: what they expand to is validated as every body is.
//!
//! Invariants: Z1 a body that does not shrink is sent as it is, so a compressed one that does not grow is refused. Z2 memory
//! for expanding is taken only for a length that the limit of the link allows and that the bytes at hand can reach.
//! Cost: on top of the encoding two copies of the body and the compression itself. Only who asks for it pays.

use crate::WireError;
use crate::cursor::Reader;
use crate::frame::{Batch, BodyWriter, FrameBuf, FrameHead, Parsed, parse};
use crate::limits::{BATCH_KEEP_BYTES, FRAME_ALIGN};
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

/// Bit of [`Introduction::flags`](crate::handshake::Introduction::flags) of a node that reads compressed bodies.
pub const COMPRESSES: u64 = 1 << 2;
/// Least length of a body that is compressed, in bytes: below that there is nothing to gain. Also the default.
pub const LEAST_THRESHOLD: u32 = 1024;
/// Bytes before the compressed ones.
pub const PREFIX_BYTES: usize = 8;

/// The algorithm and its format.
const LZ4_BLOCK: u64 = 1;
/// No byte of an LZ4 block stands for more than this many.
const LARGEST_GAIN: usize = 255;

/// Compresses bodies. Keeps its memory, up to 256 KiB for each of its two buffers.
#[derive(Debug, Default)]
pub struct Packer {
    frame: FrameBuf,
    packed: Vec<u8>,
}

/// A body, ready to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packed<'a> {
    /// It is too short to be compressed, or does not shrink.
    Whole(&'a [u8]),
    /// It is compressed: the frame must say so.
    Smaller {
        /// The prefix and the compressed bytes.
        body: &'a [u8],
        /// Length before, in bytes.
        before: usize,
    },
}

impl Packer {
    /// Encodes the body of a frame, and compresses it if it has at least `threshold` bytes and becomes smaller.
    ///
    /// `max_frame` is the length of the longest frame that may be sent, in bytes; it bounds the frame before compression.
    ///
    /// # Errors
    /// What `write` gives, and what [`FrameBuf::push_frame`] refuses.
    pub fn pack<F>(
        &mut self,
        head: &FrameHead<'_>,
        max_frame: usize,
        threshold: u32,
        write: F,
    ) -> Result<Packed<'_>, WireError>
    where
        F: FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    {
        if self.frame.max_frame() == max_frame - max_frame % FRAME_ALIGN {
            self.frame.clear();
        } else {
            self.frame = FrameBuf::with_max_frame(max_frame)?;
        }
        self.frame.push_frame(head, write)?;
        let body = match parse(self.frame.as_slice(), self.frame.max_frame())? {
            Parsed::Frame(frame) => frame.body,
            // A frame that was just built is whole.
            Parsed::Need(_) => &[],
        };
        let is_long = body.len() >= threshold.max(LEAST_THRESHOLD) as usize;
        if is_long && compress(body, &mut self.packed) {
            return Ok(Packed::Smaller { body: &self.packed, before: body.len() });
        }
        Ok(Packed::Whole(body))
    }

    /// Gives memory back after a big body.
    pub fn trim(&mut self) {
        self.frame.clear();
        if self.packed.capacity() > BATCH_KEEP_BYTES {
            self.packed = Vec::new();
        }
    }
}

/// Compresses a body into `out`. Whether it became smaller.
fn compress(body: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u32::try_from(body.len()) else { return false };
    out.clear();
    out.resize(PREFIX_BYTES + get_maximum_output_size(body.len()), 0);
    let Some((prefix, rest)) = out.split_at_mut_checked(PREFIX_BYTES) else { return false };
    let Ok(written) = compress_into(body, rest) else { return false };
    prefix.copy_from_slice(&(u64::from(length) | LZ4_BLOCK << 32).to_le_bytes());
    out.truncate(PREFIX_BYTES + written);
    out.len() < body.len()
}

/// What a compressed body expands to, aligned as bodies are. It has at most `max` bytes.
///
/// # Errors
/// [`WireError::Short`] without a whole prefix, [`WireError::Limit`] for a length above `max` or above what the bytes can
/// expand to, [`WireError::Invalid`] for another algorithm or a body that does not grow, [`WireError::Compressed`] for
/// garbage. Memory is taken only after the length was found possible.
pub fn expand(body: &[u8], max: usize) -> Result<Batch, WireError> {
    let mut reader = Reader::new(body);
    let what = "length of a compressed body";
    let claim = reader.u32(what)?;
    let algorithm = reader.u32("algorithm of a compressed body")?;
    if u64::from(algorithm) != LZ4_BLOCK {
        let what = "algorithm of a compressed body";
        return Err(WireError::Invalid { what, offset: 4, have: u64::from(algorithm) });
    }
    let packed = body.get(PREFIX_BYTES..).unwrap_or_default();
    let length = usize::try_from(claim).unwrap_or(usize::MAX);
    // LIMIT: Z2.
    let most = max.min(packed.len().saturating_mul(LARGEST_GAIN));
    if length > most {
        return Err(WireError::Limit { what, have: u64::from(claim), max: most as u64 });
    }
    if length <= body.len() {
        return Err(WireError::Invalid { what, offset: 0, have: u64::from(claim) });
    }
    let mut out = Batch::with_capacity(length);
    out.resize(length, 0);
    match decompress_into(packed, out.as_mut_slice()) {
        Ok(written) if written == length => Ok(out),
        _ => Err(WireError::Compressed { len: packed.len(), claim: length }),
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST_THRESHOLD, PREFIX_BYTES, Packed, Packer, expand};
    use crate::WireError;
    use crate::frame::FrameHead;
    use crate::header::FrameKind;
    use crate::limits::{BATCH_KEEP_BYTES, DEFAULT_MAX_FRAME};
    use proptest::prelude::*;

    const HEAD: FrameHead<'static> = FrameHead::new(FrameKind::Send);

    fn packed(body: &[u8]) -> Option<Vec<u8>> {
        let mut packer = Packer::default();
        match packer.pack(&HEAD, DEFAULT_MAX_FRAME, 0, |out| out.put(body)).unwrap() {
            Packed::Whole(whole) => {
                assert_eq!(whole, body);
                None
            }
            Packed::Smaller { body: packed, before } => {
                assert_eq!(before, body.len());
                Some(packed.to_vec())
            }
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_body_that_shrinks_is_compressed_and_comes_back_aligned() {
        let body = b"the same again and ".repeat(500);
        let packed = packed(&body).unwrap();
        assert!(packed.len() < body.len() / 10, "{}", packed.len());
        let back = expand(&packed, body.len()).unwrap();
        assert_eq!(back.as_slice(), body);
        assert!((back.as_ptr() as usize).is_multiple_of(16));
    }

    #[test]
    fn short_bodies_and_those_that_do_not_shrink_are_sent_as_they_are() {
        assert_eq!(packed(&vec![0; LEAST_THRESHOLD as usize - 1]), None);
        assert!(packed(&vec![0; LEAST_THRESHOLD as usize]).is_some());
        assert_eq!(packed(&noise(100_000)), None);
        assert_eq!(packed(&[]), None);
        let mut packer = Packer::default();
        let high = packer.pack(&HEAD, DEFAULT_MAX_FRAME, 5000, |out| out.put(&[0; 4999])).unwrap();
        assert_eq!(high, Packed::Whole(&[0; 4999]));
    }

    #[test]
    fn the_limit_of_a_frame_holds_before_compression() {
        let mut packer = Packer::default();
        let body = vec![0; 10_000];
        let refused = packer.pack(&HEAD, 4096, 0, |out| out.put(&body)).unwrap_err();
        assert!(matches!(refused, WireError::FrameTooLarge { max: 4096, .. }), "{refused}");
        let taken = packer.pack(&HEAD, 16_384, 0, |out| out.put(&body)).unwrap();
        assert!(matches!(taken, Packed::Smaller { before: 10_000, .. }));
        let big = vec![0; 900_000];
        packer.pack(&HEAD, DEFAULT_MAX_FRAME, 0, |out| out.put(&big)).unwrap();
        packer.trim();
        assert!(packer.packed.capacity() <= BATCH_KEEP_BYTES);
    }

    #[test]
    fn bombs_and_garbage_are_refused_before_memory_is_taken() {
        let good = packed(&vec![7; 1 << 16]).unwrap();
        let with_length = |length: u32| {
            let mut bytes = good.clone();
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            bytes
        };
        assert!(matches!(
            expand(&good, (1 << 16) - 1),
            Err(WireError::Limit { have: 65_536, max: 65_535, .. })
        ));
        // What the bytes cannot expand to is not even allocated, whatever the link's limit is.
        let most = (good.len() - PREFIX_BYTES) as u64 * 255;
        let bomb = expand(&with_length(u32::MAX), usize::MAX);
        assert!(
            matches!(bomb, Err(WireError::Limit { have, max, .. }) if have == u64::from(u32::MAX) && max == most)
        );
        assert!(matches!(expand(&with_length((1 << 16) - 1), 1 << 20), Err(WireError::Compressed { .. })));
        assert!(matches!(expand(&with_length((1 << 16) + 1), 1 << 20), Err(WireError::Compressed { .. })));
        assert!(matches!(expand(&with_length(0), 1 << 20), Err(WireError::Invalid { .. })));
        let mut other = good.clone();
        other[4] = 2;
        assert!(matches!(expand(&other, 1 << 20), Err(WireError::Invalid { offset: 4, have: 2, .. })));
        for cut in 0..PREFIX_BYTES {
            assert!(matches!(expand(&good[..cut], 1 << 20), Err(WireError::Short { .. })));
        }
        assert!(expand(&good[..PREFIX_BYTES], 1 << 20).is_err());
    }

    proptest! {
        #[test]
        fn what_is_compressed_expands_to_itself(
            seed in proptest::collection::vec(any::<u8>(), 1..64),
            times in 1_usize..400,
        ) {
            let body = seed.repeat(times);
            if let Some(packed) = packed(&body) {
                prop_assert!(packed.len() < body.len());
                let back = expand(&packed, body.len()).unwrap();
                prop_assert_eq!(back.as_slice(), body.as_slice());
            }
        }

        #[test]
        fn every_change_is_refused_or_expands_to_the_length_it_claims(
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
            keep in any::<prop::sample::Index>(),
        ) {
            let mut bytes = packed(&b"some text that repeats, ".repeat(200)).unwrap();
            let place = at.index(bytes.len());
            bytes[place] = value;
            bytes.truncate(keep.index(bytes.len()) + 1);
            let max = 8192;
            if let Ok(expanded) = expand(&bytes, max) {
                let claim = u32::from_le_bytes(*bytes.first_chunk().unwrap());
                prop_assert_eq!(expanded.len(), claim as usize);
                prop_assert!(expanded.len() <= max && expanded.capacity() <= max + 16);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_stay_within_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(expanded) = expand(&bytes, 4096) {
                prop_assert!(expanded.len() <= 4096);
            }
        }
    }
}
