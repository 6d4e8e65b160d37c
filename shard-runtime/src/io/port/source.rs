//! What a program writes, cut into lines, frames or reads.
//!
//! Invariant: D1 what is kept of an unfinished line never exceeds the longest line and one read; what a line has more is thrown
//! away, and the program goes on.

use crate::error::IoEnd;
use crate::io::Chunk;
use crate::reactor::poller::Watched;
use bytes::{Bytes, BytesMut};
use std::os::fd::OwnedFd;

/// How output is cut.
pub(super) enum Cut {
    Lines {
        limit: usize,
        /// The rest of a line that was too long is thrown away.
        skips: bool,
    },
    Reads,
    Frames(Chunk),
}

/// A piece of output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Line { text: String, is_cut: bool },
    Bytes(Bytes),
}

/// One of the two outputs of a program.
pub(super) struct Source {
    /// `None`: it has ended.
    pub(super) pipe: Option<Watched<OwnedFd>>,
    pub(super) cutter: Cutter,
}

pub(super) struct Cutter {
    cut: Cut,
    partial: BytesMut,
    scanned: usize,
    pub(super) has_ended: bool,
}

impl Cutter {
    pub(super) fn new(cut: Cut) -> Self {
        Self { cut, partial: BytesMut::new(), scanned: 0, has_ended: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
    }

    /// The next whole piece.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, IoEnd> {
        match &mut self.cut {
            Cut::Reads if self.partial.is_empty() => Ok(None),
            Cut::Reads => Ok(Some(Piece::Bytes(self.partial.split().freeze()))),
            Cut::Frames(chunk) => Ok(chunk.next(&mut self.partial, &mut self.scanned)?.map(Piece::Bytes)),
            Cut::Lines { .. } => Ok(self.next_line()),
        }
    }

    fn next_line(&mut self) -> Option<Piece> {
        let Cut::Lines { limit, skips } = &mut self.cut else { return None };
        loop {
            let rest = self.partial.get(self.scanned..).unwrap_or_default();
            let end = rest.iter().position(|&byte| byte == b'\n').map(|end| self.scanned + end);
            self.scanned = if end.is_some() { 0 } else { self.partial.len() };
            match end {
                Some(end) => {
                    let line = self.partial.split_to(end + 1);
                    if std::mem::take(skips) {
                        continue;
                    }
                    let line = line.get(..end).unwrap_or_default();
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    return Some(piece(line, *limit));
                }
                None if *skips => {
                    self.partial.clear();
                    self.scanned = 0;
                    return None;
                }
                // One more for a carriage return.
                None if self.partial.len() > *limit + 1 => {
                    let line = std::mem::take(&mut self.partial);
                    self.scanned = 0;
                    *skips = true;
                    return Some(piece(&line, *limit));
                }
                None if self.has_ended && !self.partial.is_empty() => {
                    let line = std::mem::take(&mut self.partial);
                    self.scanned = 0;
                    return Some(piece(&line, *limit));
                }
                None => return None,
            }
        }
    }
}

fn piece(line: &[u8], limit: usize) -> Piece {
    let is_cut = line.len() > limit;
    let mut line = line.get(..limit).unwrap_or(line);
    if is_cut
        && let Err(error) = std::str::from_utf8(line)
        && error.error_len().is_none()
    {
        // Not through the middle of a character.
        line = line.get(..error.valid_up_to()).unwrap_or_default();
    }
    Piece::Line { text: String::from_utf8_lossy(line).into_owned(), is_cut }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Cutter, Piece};

    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<(String, bool)> {
        let mut cutter = Cutter::new(Cut::Lines { limit, skips: false });
        let mut all = Vec::new();
        let mut take = |cutter: &mut Cutter| {
            while let Some(piece) = cutter.next().unwrap() {
                let Piece::Line { text, is_cut } = piece else { panic!("lines only") };
                all.push((text, is_cut));
            }
        };
        for piece in pieces {
            cutter.push(piece);
            take(&mut cutter);
            assert!(cutter.partial.len() <= limit + 1, "more than a line is kept");
        }
        cutter.has_ended = true;
        take(&mut cutter);
        all
    }

    fn whole(text: &str) -> (String, bool) {
        (text.to_owned(), false)
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let expected = [whole("one"), whole("two"), whole(""), whole("end")];
        let bytes = b"one\r\ntwo\n\nend";
        assert_eq!(lines(10, &[bytes]), expected);
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(lines(10, &bytewise), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_once() {
        let expected = [whole("ok"), ("12345".to_owned(), true), whole("next"), whole("12345")];
        let bytes = b"ok\n1234567890abc\nnext\n12345\r\n";
        assert_eq!(lines(5, &[bytes]), expected);
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(lines(5, &bytewise), expected);
    }

    #[test]
    fn no_character_is_cut_through() {
        assert_eq!(lines(4, &["aaaé\n".as_bytes()]), [("aaa".to_owned(), true)]);
        assert_eq!(lines(9, &[b"a\xffb\n"]), [whole("a\u{fffd}b")]);
    }
}
