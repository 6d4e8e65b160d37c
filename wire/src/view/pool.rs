//! Memory for views of messages that were not received: encoded into chunks that are used again.
//!
//! Invariant: P1 at most [`MAX_POOLED`] chunks are kept, none above 256 KiB; a chunk is written only while nobody has a
//! lease of it.

use crate::error::WireError;
use crate::frame::{Batch, BodyWriter, Scratch, Sink};
use crate::limits::{BATCH_KEEP_BYTES, CEILING_MAX_FRAME};
use crate::view::Lease;
use std::sync::Arc;

/// Chunks that a pool keeps.
const MAX_POOLED: usize = 8;

/// Encodes bodies into chunks that are used again when their views are gone.
#[derive(Debug, Default)]
pub struct ViewPool {
    chunks: Vec<Arc<Batch>>,
    scratch: Scratch,
}

impl ViewPool {
    /// Encodes one body.
    ///
    /// # Errors
    /// What `write` gives; [`WireError::FrameTooLarge`] above 64 MiB.
    pub fn encode<F>(&mut self, write: F) -> Result<Lease, WireError>
    where
        F: FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    {
        let max = CEILING_MAX_FRAME;
        let free = self.chunks.iter_mut().position(|chunk| Arc::get_mut(chunk).is_some());
        let mut chunk = free.map(|free| self.chunks.swap_remove(free)).unwrap_or_default();
        let mut bytes = Arc::get_mut(&mut chunk).map(std::mem::take).unwrap_or_default();
        bytes.clear();
        // If the value panics the memory is gone with it, and the pool goes on.
        let mut sink = Sink { bytes, limit: max, full: false };
        let written = write(&mut BodyWriter::new(&mut sink, &mut self.scratch, max));
        if let Some(place) = Arc::get_mut(&mut chunk) {
            *place = sink.bytes;
        }
        let lease = written
            .and_then(|()| Lease::whole(&chunk).ok_or(WireError::FrameTooLarge { message: "a view", max }));
        if chunk.capacity() <= BATCH_KEEP_BYTES && self.chunks.len() < MAX_POOLED {
            self.chunks.push(chunk);
        }
        lease
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_POOLED, ViewPool};
    use crate::error::WireError;
    use crate::limits::BATCH_KEEP_BYTES;

    #[test]
    fn memory_is_used_again_when_its_lease_is_gone() {
        let mut pool = ViewPool::default();
        let first = pool.encode(|out| out.put(&[1; 100])).unwrap();
        let at = first.bytes().as_ptr();
        let second = pool.encode(|out| out.put(&[2; 100])).unwrap();
        assert_eq!((first.bytes(), second.bytes()), (&[1; 100][..], &[2; 100][..]));
        drop(first);
        let third = pool.encode(|out| out.put(&[3; 50])).unwrap();
        assert_eq!((third.bytes(), third.bytes().as_ptr()), (&[3; 50][..], at));
        assert_eq!(second.bytes(), [2; 100]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = ViewPool::default();
        let leases: Vec<_> = (0..20_u8).map(|n| pool.encode(|out| out.put(&[n; 32])).unwrap()).collect();
        assert_eq!(pool.chunks.len(), MAX_POOLED);
        for (n, lease) in leases.iter().enumerate() {
            assert!(lease.bytes().iter().all(|byte| usize::from(*byte) == n));
        }
        drop(leases);
        let big = pool.encode(|out| out.put(&vec![7; BATCH_KEEP_BYTES + 1])).unwrap();
        assert_eq!(big.bytes().len(), BATCH_KEEP_BYTES + 1);
        assert!(pool.chunks.iter().all(|chunk| chunk.capacity() <= BATCH_KEEP_BYTES));
    }

    #[test]
    fn a_value_that_refuses_or_panics_spoils_nothing() {
        let mut pool = ViewPool::default();
        let refused = pool.encode(|out| {
            out.put(&[9; 10])?;
            Err(WireError::Encode { message: "it" })
        });
        assert!(matches!(refused, Err(WireError::Encode { .. })));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _never = pool.encode(|out| {
                out.put(&[9; 10])?;
                panic!("as asked")
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(pool.encode(|out| out.put(&[1])).unwrap().bytes(), [1]);
    }
}
