//! An archived message with a hold on the chunk of memory that it lies in.
//!
//! Invariants: V1 the bytes of a view were validated when it was made, and do not change while it lives (L1 of
//! [`Lease`]): so what validation gave stays good. V2 a view never outlives its chunk.
//! Cost: a view is made with one validation and one count of the chunk, and read through one pointer.
#![expect(
    unsafe_code,
    reason = "keeps a borrow beside its owner; proven by archived::tests::a_view_holds_its_bytes"
)]

use crate::body::Body;
use crate::error::WireError;
use crate::frame::Batch;
use crate::key::MessageKey;
use crate::message::{Message, Table};
use crate::view::{Lease, ViewPool};
use rkyv::Archive;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// A message that may be handled as a [`View`]: every message that may leave its node. Implemented by `#[message]`.
#[diagnostic::on_unimplemented(
    message = "there are no views of `{Self}`",
    note = "views are of messages that may leave their node: declare it with `#[message]`, without `local`"
)]
pub trait Viewable: Message + Body + Archive<Archived: Sync> {
    /// The table of its view; a `static`, as every table.
    const VIEW: &'static Table<View<Self>>;
}

/// An archived message, read where it lies: for a message from another node that is the buffer it was received in.
///
/// It dereferences to the archived form of the message, `Archived<M>`, which has the fields of `M` in their archived forms:
/// numbers become `i64_le` and the like (`to_native`), a `String` becomes an `ArchivedString` (`as_str`), a `Vec` a slice.
/// The bytes were validated when the view was made. A view owns its hold on them, so that it can be kept, sent, and held
/// while something is awaited; for as long it keeps a whole buffer in memory.
///
/// ```
/// use shard_wire::{View, message};
///
/// #[message(name = "doc::Batch")]
/// struct Batch {
///     names: Vec<String>,
///     sum: i64,
/// }
///
/// let batch = Batch { names: vec!["a".into(), "b".into()], sum: 3 };
/// let view = View::new(&batch)?;
/// assert_eq!(view.names.len(), 2);
/// assert_eq!(view.names[1].as_str(), "b");
/// assert_eq!(view.sum.to_native(), 3);
/// assert_eq!(view.decode()?.names, batch.names);
/// # Ok::<(), shard_wire::WireError>(())
/// ```
pub struct View<M: Viewable> {
    chunk: Arc<Batch>,
    root: NonNull<M::Archived>,
    offset: u32,
    len: u32,
    of: PhantomData<fn() -> M>,
}

// SAFETY: what is shared is bytes that nobody writes (L1), seen as an archive that may be shared between threads.
unsafe impl<M: Viewable> Send for View<M> {}
// SAFETY: as above.
unsafe impl<M: Viewable> Sync for View<M> {}

impl<M: Viewable> Message for View<M> {
    type Reply = M::Reply;
    const TABLE: &'static Table<Self> = M::VIEW;
}

impl<M: Viewable> View<M> {
    /// A view of a message, in memory of its own.
    ///
    /// # Errors
    /// [`WireError::Encode`] if a value refuses, [`WireError::FrameTooLarge`] above 64 MiB, [`WireError::Body`] if it is
    /// nested too deeply.
    pub fn new(message: &M) -> Result<Self, WireError> {
        ViewPool::default().encode(|out| message.encode(out)).and_then(Self::open)
    }

    /// A view of the archive in these bytes, which start at a multiple of 16.
    ///
    /// # Errors
    /// [`WireError::Body`] if they are no archive of an `M`.
    #[inline]
    pub fn open(lease: Lease) -> Result<Self, WireError> {
        let root = NonNull::from(M::view(lease.bytes())?);
        let (chunk, offset, len) = lease.into_parts();
        Ok(Self { chunk, root, offset, len, of: PhantomData })
    }

    /// The message as a value of its own.
    ///
    /// # Errors
    /// [`WireError::Body`] if a value refuses; what is derived does not.
    pub fn decode(&self) -> Result<M, WireError> {
        M::from_archived(self)
    }

    /// The archive: what was, or would be, the body of a frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let start = self.offset as usize;
        self.chunk.as_slice().get(start..start + self.len as usize).unwrap_or_default()
    }

    /// The key of the message on the wire.
    #[must_use]
    pub fn key(&self) -> MessageKey {
        M::TABLE.erased().wire_ops().map_or(MessageKey::NONE, crate::wire_ops::WireOps::key)
    }

    /// Gives the bytes back without the type.
    #[must_use]
    pub fn into_lease(self) -> Lease {
        Lease::from_parts(self.chunk, self.offset, self.len)
    }
}

impl<M: Viewable> Deref for View<M> {
    type Target = M::Archived;

    #[inline]
    fn deref(&self) -> &M::Archived {
        // SAFETY: V1, V2: validation made this reference of the lent bytes, which are there unchanged while `chunk` is.
        unsafe { self.root.as_ref() }
    }
}

impl<M: Viewable> Clone for View<M> {
    /// One more hold on the same bytes.
    fn clone(&self) -> Self {
        Self { chunk: Arc::clone(&self.chunk), ..*self }
    }
}

impl<M: Viewable> fmt::Debug for View<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = std::any::type_name::<M>();
        f.debug_struct("View").field("of", &of).field("bytes", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
