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
    pub(crate) limit: usize,
    pub(crate) full: bool,
}

impl Sink {
    /// An empty buffer that holds at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: AlignedVec::new(), limit, full: false }
    }
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
        // LIMIT: W1; `len <= limit` always holds, so the subtraction cannot wrap.
        if bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            self.full = true;
            return Err(Failure);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends one body to a frame under construction.
#[derive(Debug)]
pub struct BodyWriter<'a> {
    sink: &'a mut Sink,
    arena: &'a mut Scratch,
}

/// Scratch memory of the serialiser, kept between bodies.
#[derive(Default)]
pub(crate) struct Scratch(Option<Arena>);

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scratch(..)")
    }
}

impl<'a> BodyWriter<'a> {
    pub(crate) fn new(sink: &'a mut Sink, arena: &'a mut Scratch) -> Self {
        Self { sink, arena }
    }

    /// Appends bytes that have a fixed layout already: the bodies of the framework's own frames.
    ///
    /// # Errors
    /// [`WireError::FrameTooLarge`] at the limit of the frame.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let max = self.sink.limit;
        self.sink.write(bytes).map_err(|Failure| WireError::FrameTooLarge { message: "control body", max })
    }

    /// Runs a serialiser that appends here.
    #[inline]
    pub(crate) fn serialize<F>(&mut self, write: F, message: fn() -> &'static str) -> Result<(), WireError>
    where
        F: for<'s> FnOnce(&mut Serializer<&'s mut Sink, ArenaHandle<'s>, ()>) -> Result<(), Failure>,
    {
        let arena = self.arena.0.get_or_insert_default();
        let mut serializer = Serializer::new(&mut *self.sink, arena.acquire(), ());
        match write(&mut serializer) {
            Ok(()) => Ok(()),
            Err(Failure) if self.sink.full => {
                Err(WireError::FrameTooLarge { message: message(), max: self.sink.limit })
            }
            Err(Failure) => Err(WireError::Encode { message: message() }),
        }
    }
}
