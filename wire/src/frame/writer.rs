//! Where a body is written: the tail of a batch buffer, bounded by the frame's limit.
//!
//! Invariant: W1 a sink never grows beyond its limit; the first write that would is refused and noted, so that the
//! caller can tell "too large" from "refused by the value".

use crate::error::WireError;
use crate::limits::FRAME_ALIGN;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::{Arena, ArenaHandle};
use rkyv::ser::{Positional, Serializer, Writer};
use rkyv::util::AlignedVec;

/// A bounded, 16-aligned byte buffer.
#[derive(Debug)]
pub struct Sink {
    pub(crate) bytes: AlignedVec<FRAME_ALIGN>,
    /// Largest length of `bytes`: the end of the longest frame that may be written now.
    pub(crate) limit: usize,
    /// Whether a write was refused at the limit.
    pub(crate) full: bool,
}

impl Positional for Sink {
    #[inline]
    fn pos(&self) -> usize {
        self.bytes.len()
    }
}

impl Writer<Failure> for Sink {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        // Alignment fills are mostly empty, and a copy of unknown length is a call.
        if bytes.is_empty() {
            return Ok(());
        }
        // LIMIT: W1.
        if bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            self.full = true;
            return Err(Failure);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Scratch memory of the serialiser, kept between bodies.
#[derive(Default)]
pub(crate) struct Scratch(Option<Arena>);

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scratch(..)")
    }
}

/// Appends one body to a frame under construction.
#[derive(Debug)]
pub struct BodyWriter<'a> {
    sink: &'a mut Sink,
    scratch: &'a mut Scratch,
    max: usize,
}

impl<'a> BodyWriter<'a> {
    /// `max` is the frame limit that errors name.
    #[inline]
    pub(crate) fn new(sink: &'a mut Sink, scratch: &'a mut Scratch, max: usize) -> Self {
        Self { sink, scratch, max }
    }

    /// Appends bytes that have a fixed layout already: the bodies of the framework's own frames.
    ///
    /// # Errors
    /// [`WireError::FrameTooLarge`] at the limit of the frame.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let max = self.max;
        self.sink.write(bytes).map_err(|Failure| WireError::FrameTooLarge { message: "a fixed layout", max })
    }

    /// Runs a serialiser that appends here.
    #[inline]
    pub(crate) fn serialize<F>(&mut self, write: F, message: fn() -> &'static str) -> Result<(), WireError>
    where
        F: for<'s> FnOnce(&mut Serializer<&'s mut Sink, ArenaHandle<'s>, ()>) -> Result<(), Failure>,
    {
        let arena = self.scratch.0.get_or_insert_default();
        let mut serializer = Serializer::new(&mut *self.sink, arena.acquire(), ());
        write(&mut serializer).map_err(|Failure| match self.sink.full {
            true => WireError::FrameTooLarge { message: message(), max: self.max },
            false => WireError::Encode { message: message() },
        })
    }
}
