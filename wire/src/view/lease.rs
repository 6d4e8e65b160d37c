//! Bytes that stay where they are while somebody looks at them.
//!
//! Invariant: L1 a chunk that has a lease is written by nobody: who wants to write asks [`Arc::get_mut`] or takes another.

use crate::frame::Batch;
use std::fmt;
use std::sync::Arc;

/// A part of a chunk of memory, which lives and does not change for as long as there is a lease of it.
#[derive(Clone)]
pub struct Lease {
    chunk: Arc<Batch>,
    offset: u32,
    len: u32,
}

impl Lease {
    /// These bytes, if they lie in the chunk; else they have to be copied.
    #[must_use]
    #[inline]
    pub fn within(chunk: &Arc<Batch>, bytes: &[u8]) -> Option<Self> {
        let offset = bytes.as_ptr().addr().checked_sub(chunk.as_slice().as_ptr().addr())?;
        if offset + bytes.len() > chunk.len() {
            return None;
        }
        let (offset, len) = (u32::try_from(offset).ok()?, u32::try_from(bytes.len()).ok()?);
        Some(Self { chunk: Arc::clone(chunk), offset, len })
    }

    /// A copy of these bytes in a chunk of exactly their length. `None` above 4 GiB.
    #[must_use]
    pub fn copied(bytes: &[u8]) -> Option<Self> {
        let mut chunk = Batch::with_capacity(bytes.len());
        chunk.extend_from_slice(bytes);
        Self::whole(&Arc::new(chunk))
    }

    /// All of a chunk. `None` above 4 GiB.
    #[must_use]
    pub fn whole(chunk: &Arc<Batch>) -> Option<Self> {
        let len = u32::try_from(chunk.len()).ok()?;
        Some(Self { chunk: Arc::clone(chunk), offset: 0, len })
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let start = self.offset as usize;
        self.chunk.as_slice().get(start..start + self.len as usize).unwrap_or_default()
    }

    pub(super) fn into_parts(self) -> (Arc<Batch>, u32, u32) {
        (self.chunk, self.offset, self.len)
    }

    pub(super) fn from_parts(chunk: Arc<Batch>, offset: u32, len: u32) -> Self {
        Self { chunk, offset, len }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("offset", &self.offset).field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;
    use crate::frame::Batch;
    use std::sync::Arc;

    fn chunk(len: u8) -> Arc<Batch> {
        let mut bytes = Batch::new();
        bytes.extend_from_slice(&(0..len).collect::<Vec<_>>());
        Arc::new(bytes)
    }

    #[test]
    fn bytes_of_a_chunk_are_lent_where_they_lie() {
        let chunk = chunk(64);
        for range in [0..64, 16..48, 63..64, 64..64, 0..0] {
            let lease = Lease::within(&chunk, &chunk[range.clone()]).unwrap();
            assert_eq!(lease.bytes(), &chunk[range.clone()]);
            assert!(std::ptr::eq(lease.bytes(), &raw const chunk[range]));
        }
    }

    #[test]
    fn bytes_of_elsewhere_are_not_lent() {
        let both = chunk(64);
        let (front, back) = both.split_at(32);
        let mut own = Batch::new();
        own.extend_from_slice(front);
        let own = Arc::new(own);
        assert!(Lease::within(&own, front).is_none() && Lease::within(&own, back).is_none());
        // Begins inside and ends outside.
        let short = chunk(16);
        assert!(Lease::within(&short, &[0; 4096]).is_none());
    }

    #[test]
    fn a_chunk_is_writable_again_when_its_leases_are_gone() {
        let mut chunk = chunk(32);
        let one = Lease::whole(&chunk).unwrap();
        let two = one.clone();
        assert!(Arc::get_mut(&mut chunk).is_none());
        drop(one);
        assert!(Arc::get_mut(&mut chunk).is_none());
        drop(two);
        assert!(Arc::get_mut(&mut chunk).is_some());
        let copy = Lease::copied(&chunk[3..5]).unwrap();
        assert_eq!(copy.bytes(), [3, 4]);
        assert!(Arc::get_mut(&mut chunk).is_some());
    }
}
