//! A message value without its type: 24 bytes inline, or one box.
//!
//! Owns: the rule which types are stored inline and which are boxed, for envelopes, ring slots and waiters.
//! Invariants: P1 a `Payload` written as `T` is read, borrowed or dropped as `T`, exactly once by value.
//! P2 an `Erased` always holds a live value of the type its vtable describes.
//! Cost: no allocation for types up to 24 bytes with an alignment up to 8; one box for all others.
#![expect(
    unsafe_code,
    reason = "type-erased storage; proven by payload::tests::each_value_is_dropped_exactly_once"
)]

use crate::message::{Message, Vtable, vtable};
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};

/// Largest message, in bytes, that is stored without an allocation.
pub const INLINE_BYTES: usize = 24;

/// Untyped storage for one message. What it holds is known to whoever wrote it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Payload([MaybeUninit<u64>; 3]);

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payload(..)")
    }
}

impl Payload {
    /// Storage that holds nothing yet.
    pub const EMPTY: Self = Self([MaybeUninit::uninit(); 3]);

    /// Whether a `T` is stored inline. Decided at compile time.
    #[must_use]
    pub const fn is_inline<T>() -> bool {
        size_of::<T>() <= INLINE_BYTES && align_of::<T>() <= align_of::<u64>()
    }

    /// Stores `value`.
    ///
    /// # Safety
    /// `this` is valid for writes. Whatever it held before is overwritten without being dropped.
    #[inline(always)]
    pub unsafe fn write<T>(this: *mut Self, value: T) {
        if const { Self::is_inline::<T>() } {
            // SAFETY: the caller gives a writable payload; `is_inline` checked size and alignment.
            unsafe { this.cast::<T>().write(value) }
        } else {
            // SAFETY: the caller gives a writable payload, and a thin pointer fits it.
            unsafe { this.cast::<*mut T>().write(Box::into_raw(Box::new(value))) }
        }
    }

    /// Takes the value out.
    ///
    /// # Safety
    /// `this` was written by `write::<T>` and has not been read or dropped since.
    #[inline(always)]
    #[must_use]
    pub unsafe fn read<T>(this: *const Self) -> T {
        if const { Self::is_inline::<T>() } {
            // SAFETY: P1: the caller promises a live, inline `T`.
            unsafe { this.cast::<T>().read() }
        } else {
            // SAFETY: P1: the caller promises a live, boxed `T`.
            let raw = unsafe { this.cast::<*mut T>().read() };
            // SAFETY: the pointer came from `Box::into_raw` in `write` and is taken back once.
            *unsafe { Box::from_raw(raw) }
        }
    }

    /// Borrows the value.
    ///
    /// # Safety
    /// `this` was written by `write::<T>`, has not been read or dropped since, and outlives `'a` unchanged.
    #[inline(always)]
    #[must_use]
    pub unsafe fn borrow<'a, T>(this: *const Self) -> &'a T {
        if const { Self::is_inline::<T>() } {
            // SAFETY: P1: the caller promises a live, inline `T` for `'a`.
            unsafe { &*this.cast::<T>() }
        } else {
            // SAFETY: P1: the caller promises a live, boxed `T`.
            let raw = unsafe { this.cast::<*const T>().read() };
            // SAFETY: the box stays live for `'a` by the caller's promise.
            unsafe { &*raw }
        }
    }

    /// Shows a value as the payload that `write` would make of it, without moving it.
    ///
    /// What `f` gets may be borrowed as a `T` while `f` runs, and is not to be read out or dropped.
    #[inline(always)]
    pub fn lend<T, R>(value: &T, f: impl FnOnce(*const Self) -> R) -> R {
        let address = std::ptr::from_ref(value);
        if const { Self::is_inline::<T>() } {
            f(address.cast::<Self>())
        } else {
            f((&raw const address).cast::<Self>())
        }
    }

    /// Drops the value in place.
    ///
    /// # Safety
    /// As for [`Payload::read`].
    pub unsafe fn drop_as<T>(this: *mut Self) {
        // SAFETY: forwarded; the value is moved out once and dropped here.
        drop(unsafe { Self::read::<T>(this) });
    }
}

/// A message value that carries its own type.
///
/// What crosses between threads, nodes and tests where no static type is at hand.
#[derive(Debug)]
pub struct Erased {
    vtable: &'static Vtable,
    payload: Payload,
}

// SAFETY: P2: it holds a `Message`, and every message is `Send`.
unsafe impl Send for Erased {}

impl Erased {
    /// Wraps a message.
    pub fn new<M: Message>(message: M) -> Self {
        let mut payload = Payload::EMPTY;
        // SAFETY: the payload is local and empty.
        unsafe { Payload::write(&raw mut payload, message) };
        Self { vtable: vtable::<M>(), payload }
    }

    /// Rebuilds a value from its parts.
    ///
    /// # Safety
    /// `payload` holds a live value of the type `vtable` describes, and the caller gives it up.
    #[must_use]
    pub unsafe fn from_parts(vtable: &'static Vtable, payload: Payload) -> Self {
        Self { vtable, payload }
    }

    /// Splits into parts. The caller now owns the value in the payload and must consume it.
    #[must_use]
    pub fn into_parts(self) -> (&'static Vtable, Payload) {
        let this = ManuallyDrop::new(self);
        (this.vtable, this.payload)
    }

    /// The type's table.
    #[must_use]
    pub fn vtable(&self) -> &'static Vtable {
        self.vtable
    }

    /// Address of the stored value's payload, for [`WireOps`](crate::WireOps) functions.
    #[must_use]
    pub fn payload(&self) -> *const Payload {
        &raw const self.payload
    }

    /// Whether it holds an `M`.
    #[must_use]
    pub fn is<M: Message>(&self) -> bool {
        self.vtable.is::<M>()
    }

    /// A look at the value, if it is an `M`.
    #[must_use]
    pub fn get<M: Message>(&self) -> Option<&M> {
        // SAFETY: P2 and the type test; the value stays where it is while it is borrowed.
        self.is::<M>().then(|| unsafe { Payload::borrow::<M>(&raw const self.payload) })
    }

    /// The value, if it is an `M`.
    ///
    /// # Errors
    /// Gives the value back if it is of another type.
    pub fn downcast<M: Message>(self) -> Result<M, Self> {
        if !self.is::<M>() {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: P2 and the type test above; `ManuallyDrop` keeps it from being dropped again.
        Ok(unsafe { Payload::read::<M>(&raw const this.payload) })
    }
}

impl Drop for Erased {
    fn drop(&mut self) {
        // SAFETY: P2: the payload holds a live value of this type, dropped once, here.
        unsafe { self.vtable.drop_payload(&raw mut self.payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Erased, Payload};
    use crate::message::{Message, Table};
    use std::sync::Arc;

    macro_rules! message {
        ($t:ty) => {
            impl Message for $t {
                type Reply = ();
                const TABLE: &'static Table<Self> = &const { Table::local() };
            }
        };
    }
    struct Small(Arc<()>);
    struct Large(Arc<()>, [u64; 9]);
    #[repr(align(32))]
    struct Wide(Arc<()>);
    message!(Small);
    message!(Large);
    message!(Wide);

    #[test]
    fn small_values_are_inline_and_others_are_boxed() {
        assert!(Payload::is_inline::<[u64; 3]>());
        assert!(!Payload::is_inline::<[u64; 4]>());
        assert!(!Payload::is_inline::<Wide>());
        assert_eq!(size_of::<Payload>(), 24);
    }

    #[test]
    fn each_value_is_dropped_exactly_once() {
        let count = Arc::new(());
        drop(Erased::new(Small(count.clone())));
        drop(Erased::new(Large(count.clone(), [7; 9])));
        drop(Erased::new(Wide(count.clone())));
        assert_eq!(Arc::strong_count(&count), 1);
        let large = Erased::new(Large(count.clone(), [7; 9]));
        assert!(large.get::<Small>().is_none());
        assert_eq!(large.get::<Large>().map(|large| large.1), Some([7; 9]));
        let large = large.downcast::<Small>().map(|small| small.0).unwrap_err();
        let large = large.downcast::<Large>().unwrap();
        assert_eq!(large.1, [7; 9]);
        assert_eq!(Arc::strong_count(&count), 2);
        let wide = Erased::new(Wide(large.0)).downcast::<Wide>().unwrap();
        assert_eq!(Arc::strong_count(&wide.0), 2);
    }

    #[test]
    fn a_lent_value_is_borrowed_where_it_lies() {
        let count = Arc::new(());
        let (small, large) = (Small(count.clone()), Large(count.clone(), [7; 9]));
        Payload::lend(&small, |lent| {
            // SAFETY: lent as the same type, for the time of the closure.
            let seen = unsafe { Payload::borrow::<Small>(lent) };
            assert!(std::ptr::eq(seen, &small));
        });
        Payload::lend(&large, |lent| {
            // SAFETY: lent as the same type, for the time of the closure.
            let seen = unsafe { Payload::borrow::<Large>(lent) };
            assert!(std::ptr::eq(seen, &large));
        });
        drop((small, large));
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn parts_round_trip() {
        let count = Arc::new(());
        let (vtable, payload) = Erased::new(Large(count.clone(), [1; 9])).into_parts();
        // SAFETY: the parts come from a live value that was just given up.
        let whole = unsafe { Erased::from_parts(vtable, payload) };
        assert!(whole.is::<Large>());
        drop(whole);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
