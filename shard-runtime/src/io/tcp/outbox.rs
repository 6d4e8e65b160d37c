//! What a connection has to write, in order, and who waits for it to be written.
//!
//! Invariant: O1 a write is answered once: when its last byte was handed to the system, or with the end of the connection.

use crate::actor::ReplyTo;
use crate::error::{IoEnd, IoError};
use crate::io::IoBytes;
use std::collections::VecDeque;
use std::io::IoSlice;

/// What a write that waits costs beside its bytes.
const ITEM: usize = 64;
/// Buffers handed to the system with one call.
const SLICES: usize = 32;

pub(crate) type Written = ReplyTo<Result<(), IoError>>;

/// What waits to be written.
#[derive(Default)]
pub(crate) struct Outbox {
    items: VecDeque<(IoBytes, Option<Written>)>,
    /// Bytes of the first that are written.
    written: usize,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, bytes: IoBytes, written: Option<Written>) {
        self.bytes += bytes.len();
        self.items.push_back((bytes, written));
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What waits with what it costs beside its bytes: many small writes take memory, too.
    pub(crate) fn weight(&self) -> usize {
        self.bytes + self.items.len() * ITEM
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Lends the first buffers.
    pub(crate) fn with_slices<R>(&self, f: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, (bytes, _)) in slices.iter_mut().zip(&self.items) {
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(bytes.get(skip..).unwrap_or_default());
            count += 1;
        }
        f(slices.get(..count).unwrap_or_default())
    }

    /// Takes out what was written.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        self.bytes -= bytes.min(self.bytes);
        while let Some((first, _)) = self.items.front() {
            let left = first.len() - self.written;
            if bytes < left {
                self.written += bytes;
                return;
            }
            bytes -= left;
            self.written = 0;
            if let Some((_, Some(written))) = self.items.pop_front() {
                written.send(Ok(()));
            }
        }
    }

    /// Drops what waits and tells who waits for it.
    pub(crate) fn fail(&mut self, end: &IoEnd) {
        self.bytes = 0;
        self.written = 0;
        for (_, written) in self.items.drain(..) {
            if let Some(written) = written {
                written.send(Err(IoError::Ended(end.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outbox;

    #[test]
    fn what_is_written_in_part_goes_on_where_it_stopped() {
        let mut outbox = Outbox::default();
        for text in ["one", "", "two", "three"] {
            outbox.push(text.into(), None);
        }
        let rest = |outbox: &Outbox| {
            outbox.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>())
        };
        assert_eq!((outbox.bytes(), rest(&outbox)), (11, b"onetwothree".to_vec()));
        outbox.advance(2);
        assert_eq!((outbox.bytes(), rest(&outbox)), (9, b"etwothree".to_vec()));
        outbox.advance(3);
        assert_eq!(rest(&outbox), b"othree");
        outbox.advance(6);
        assert!(outbox.is_empty() && outbox.bytes() == 0);
    }
}
