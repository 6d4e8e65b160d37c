//! Where one frame ends and the next begins in a stream of bytes.
//!
//! Invariants: C1 a frame is at least as long as its header and at least one byte, so decoding always goes forward. C2 what is
//! kept of an unfinished frame never exceeds the longest frame allowed and what one read brought.

use crate::error::{IoEnd, IoError};
use bytes::{Bytes, BytesMut};

/// How a stream is cut into frames. Without one, each read is a message of its own.
///
/// ```
/// use shard_runtime::Chunk;
/// // A big-endian length of 4 bytes, then as many bytes; at most 1 MiB.
/// let chunk = Chunk::header(4).length_at(0, 4).max_length(1 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    kind: Kind,
    max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Fixed(usize),
    Header { size: usize, position: usize, width: usize, includes_header: bool, little: bool },
    Lines,
}

/// Longest frame unless set: 16 MiB.
const DEFAULT_MAX: usize = 16 << 20;

impl Chunk {
    /// All frames have this length.
    #[must_use]
    pub fn fixed(length: usize) -> Self {
        Self { kind: Kind::Fixed(length), max: length }
    }

    /// Frames begin with a header of `size` bytes that says how long they are: by default a big-endian number of 4 bytes at its
    /// begin, or of all of a smaller header, that counts what follows the header. A frame is handed out with its header.
    #[must_use]
    pub fn header(size: usize) -> Self {
        let width = if size >= 4 { 4 } else { size.min(2) };
        let kind = Kind::Header { size, position: 0, width, includes_header: false, little: false };
        Self { kind, max: DEFAULT_MAX }
    }

    /// Frames are lines that end with a newline, which is not handed out, nor is a carriage return before it.
    #[must_use]
    pub fn lines() -> Self {
        Self { kind: Kind::Lines, max: 64 << 10 }
    }

    /// Where the length is in the header, and how many bytes it has: 1, 2, 4 or 8.
    #[must_use]
    pub fn length_at(mut self, at: usize, bytes: usize) -> Self {
        if let Kind::Header { position, width, .. } = &mut self.kind {
            (*position, *width) = (at, bytes);
        }
        self
    }

    /// The length counts the header, too. Default: it does not.
    #[must_use]
    pub fn length_includes_header(mut self) -> Self {
        if let Kind::Header { includes_header, .. } = &mut self.kind {
            *includes_header = true;
        }
        self
    }

    /// The length is little-endian. Default: big-endian.
    #[must_use]
    pub fn little_endian(mut self) -> Self {
        if let Kind::Header { little, .. } = &mut self.kind {
            *little = true;
        }
        self
    }

    /// Longest frame, with its header. A longer one ends the connection. Default 16 MiB, 64 KiB for lines. Means nothing for
    /// frames of a fixed length.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> Self {
        if !matches!(self.kind, Kind::Fixed(_)) {
            self.max = bytes;
        }
        self
    }

    pub(crate) fn check(&self) -> Result<(), IoError> {
        let bad = |option, value: usize, must_be| {
            Err(IoError::BadOption { option, value: value.to_string(), must_be })
        };
        match self.kind {
            Kind::Fixed(0) => bad("Chunk::fixed", 0, "at least 1"),
            Kind::Header { size: 0, .. } => bad("Chunk::header", 0, "at least 1"),
            Kind::Header { width, .. } if !matches!(width, 1 | 2 | 4 | 8) => {
                bad("Chunk::length_at", width, "1, 2, 4 or 8 bytes wide")
            }
            Kind::Header { size, position, width, .. } if position.saturating_add(width) > size => {
                bad("Chunk::length_at", position, "inside the header")
            }
            Kind::Header { size, .. } if self.max < size => {
                bad("Chunk::max_length", self.max, "at least the header")
            }
            Kind::Lines if self.max == 0 => bad("Chunk::max_length", 0, "at least 1"),
            _ => Ok(()),
        }
    }

    /// The next whole frame, taken out of what was read. `scanned` remembers how far a line was looked through.
    pub(crate) fn next(&self, from: &mut BytesMut, scanned: &mut usize) -> Result<Option<Bytes>, IoEnd> {
        match self.kind {
            Kind::Fixed(length) => Ok((from.len() >= length).then(|| from.split_to(length).freeze())),
            Kind::Lines => self.next_line(from, scanned),
            Kind::Header { size, position, width, includes_header, little } => {
                let Some(field) = from.get(..size).and_then(|header| header.get(position..position + width))
                else {
                    return Ok(None);
                };
                let length = field.iter().enumerate().fold(0_u64, |length, (index, &byte)| {
                    let shift = if little { index } else { width - 1 - index };
                    length | u64::from(byte) << (8 * shift)
                });
                let header = size as u64;
                let whole = if includes_header { Some(length) } else { length.checked_add(header) };
                let whole = whole.filter(|&whole| whole <= self.max as u64);
                let Some(whole) = whole else {
                    return Err(IoEnd::TooLarge { length, limit: self.max as u64 });
                };
                if whole < header {
                    return Err(IoEnd::BadFrame { length, header });
                }
                Ok((from.len() as u64 >= whole).then(|| from.split_to(whole as usize).freeze()))
            }
        }
    }

    fn next_line(&self, from: &mut BytesMut, scanned: &mut usize) -> Result<Option<Bytes>, IoEnd> {
        let rest = from.get(*scanned..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            *scanned = from.len();
            if from.len() > self.max {
                return Err(IoEnd::TooLarge { length: from.len() as u64, limit: self.max as u64 });
            }
            return Ok(None);
        };
        let end = *scanned + end;
        *scanned = 0;
        if end > self.max {
            return Err(IoEnd::TooLarge { length: end as u64, limit: self.max as u64 });
        }
        let mut line = from.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::Chunk;
    use crate::error::IoEnd;
    use bytes::BytesMut;
    use proptest::prelude::{Strategy, any, prop, proptest};

    fn all(chunk: &Chunk, bytes: &[u8]) -> (Vec<Vec<u8>>, Option<IoEnd>, usize) {
        let (mut from, mut scanned, mut frames) = (BytesMut::from(bytes), 0, Vec::new());
        loop {
            match chunk.next(&mut from, &mut scanned) {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => return (frames, None, from.len()),
                Err(end) => return (frames, Some(end), from.len()),
            }
        }
    }

    #[test]
    fn a_length_may_count_its_header_or_not() {
        let chunk = Chunk::header(2).length_at(0, 2);
        assert_eq!(all(&chunk, b"\0\x03abc\0\0\0\x01").0, [&b"\0\x03abc"[..], b"\0\0"]);
        let chunk = chunk.length_includes_header();
        assert_eq!(all(&chunk, b"\0\x03a\0\x02\0").0, [&b"\0\x03a"[..], b"\0\x02"]);
        let little = Chunk::header(3).length_at(1, 2).little_endian();
        assert_eq!(all(&little, b"x\x01\0y").0, [&b"x\x01\0y"[..]]);
    }

    #[test]
    fn a_length_shorter_than_its_header_ends_it() {
        let chunk = Chunk::header(4).length_includes_header();
        let (frames, end, _) = all(&chunk, &[0; 64]);
        assert!(frames.is_empty(), "a length of 0 must not loop");
        assert_eq!(end, Some(IoEnd::BadFrame { length: 0, header: 4 }));
    }

    #[test]
    fn a_length_beyond_the_limit_ends_it_before_anything_is_kept() {
        let chunk = Chunk::header(4).max_length(1000);
        let (_, end, _) = all(&chunk, &[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(end, Some(IoEnd::TooLarge { length: 0xffff_ffff, limit: 1000 }));
        let (_, end, _) = all(&Chunk::header(8).length_at(0, 8), &[0xff; 8]);
        assert!(matches!(end, Some(IoEnd::TooLarge { .. })), "no overflow");
    }

    #[test]
    fn lines_have_a_limit_and_lose_their_ends() {
        let chunk = Chunk::lines().max_length(5);
        assert_eq!(all(&chunk, b"one\r\ntwo\n\nthr").0, [&b"one"[..], b"two", b""]);
        assert!(matches!(all(&chunk, b"123456").1, Some(IoEnd::TooLarge { .. })));
        assert!(matches!(all(&chunk, b"123456\n").1, Some(IoEnd::TooLarge { .. })));
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for bad in [
            Chunk::fixed(0),
            Chunk::header(0),
            Chunk::header(4).length_at(0, 3),
            Chunk::header(4).length_at(2, 4),
            Chunk::header(4).length_at(usize::MAX, 4),
            Chunk::header(4).max_length(3),
            Chunk::lines().max_length(0),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(Chunk::header(1).check().is_ok() && Chunk::header(3).check().is_ok());
    }

    fn chunk() -> impl Strategy<Value = Chunk> {
        let header = (1_usize..12, 0_usize..12, prop::sample::select(vec![1_usize, 2, 4, 8]));
        let header = header.prop_map(|(size, at, width)| Chunk::header(size).length_at(at, width));
        let header =
            (header, any::<bool>(), any::<bool>(), 12_usize..4096).prop_map(|(chunk, incl, little, max)| {
                let chunk = if incl { chunk.length_includes_header() } else { chunk };
                if little { chunk.little_endian() } else { chunk }.max_length(max)
            });
        prop::strategy::Union::new([
            header.boxed(),
            (1_usize..64).prop_map(Chunk::fixed).boxed(),
            (1_usize..64).prop_map(|max| Chunk::lines().max_length(max)).boxed(),
        ])
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_frames(
            chunk in chunk().prop_filter("sound", |chunk| chunk.check().is_ok()),
            bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 7, 10, 13, 255]), 0..300),
            cuts in prop::collection::vec(0_usize..300, 0..8),
        ) {
            let (whole, end, _) = all(&chunk, &bytes);
            let (mut from, mut scanned, mut frames, mut last) = (BytesMut::new(), 0, Vec::new(), None);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut begin = 0;
            'pieces: for cut in cuts {
                from.extend_from_slice(&bytes[begin..cut]);
                begin = cut;
                loop {
                    match chunk.next(&mut from, &mut scanned) {
                        Ok(Some(frame)) => frames.push(frame.to_vec()),
                        Ok(None) => break,
                        Err(found) => {
                            last = Some(found);
                            break 'pieces;
                        }
                    }
                }
            }
            assert_eq!(frames, whole);
            // A line that is too long may be seen before all of it has come.
            assert_eq!(last.is_some(), end.is_some());
        }
    }
}
