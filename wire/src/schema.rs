//! The structure of a type as one 64-bit hash, so that two definitions of a message never share a key.
//!
//! Owns: [`Schema`], its implementations for the types a message may be made of, and [`Shape`], with which
//! `#[message]` and `#[data]` build the hash of a user's type.
//! Invariant: S1 two types with one hash have one archived layout. `usize` and `isize` have no hash, because their
//! width differs between machines; a collection of values without a size has none, because a few hostile bytes could
//! claim four thousand million of them.
//! Cost: all of it runs at compile time.

use crate::key::{fold, hash_text};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{
    NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64,
};
use std::time::Duration;

/// A type with a structural hash. Written by `#[message]` and `#[data]`.
///
/// Types whose width differs between machines, and lists of nothing, are refused by the compiler:
/// ```compile_fail
/// #[shard_wire::message]
/// struct Count(usize);
/// ```
/// ```compile_fail
/// #[shard_wire::message]
/// struct Ticks(Vec<()>);
/// ```
/// So are generic messages that are not local, and replies that cannot leave the node:
/// ```compile_fail
/// #[shard_wire::message]
/// struct Holder<T>(T);
/// ```
/// ```compile_fail
/// #[shard_wire::message(reply = std::thread::ThreadId)]
/// struct Where;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a message that leaves the node",
    note = "put `#[data]` on `{Self}` if it is yours, or make the message `#[message(local)]`",
    note = "`usize` and `isize` have no fixed width: use `u64`, `u32` or `i64`"
)]
pub trait Schema {
    /// Hash of field names, order and types, through all levels.
    const HASH: u64;
}

/// Builds the hash of a struct or enum, field by field.
#[derive(Clone, Copy, Debug)]
pub struct Shape(u64);

impl Shape {
    /// Starts with the kind of type: `struct`, `enum`, or a fixed word.
    #[must_use]
    pub const fn new(kind: &str) -> Self {
        Self(hash_text(kind))
    }

    /// Starts a variant of an enum.
    #[must_use]
    pub const fn variant(self, name: &str) -> Self {
        Self(fold(fold(self.0, 1), hash_text(name)))
    }

    /// Adds a field; unnamed fields are named by their position.
    #[must_use]
    pub const fn field(self, name: &str, schema: u64) -> Self {
        Self(fold(fold(fold(self.0, 2), hash_text(name)), schema))
    }

    /// Adds something else that changes the archived form.
    #[must_use]
    pub const fn attribute(self, text: &str) -> Self {
        Self(fold(fold(self.0, 3), hash_text(text)))
    }

    /// Adds a number: the declared version of a recursive type.
    #[must_use]
    pub const fn version(self, number: u64) -> Self {
        Self(fold(fold(self.0, 4), number))
    }

    /// The hash.
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

macro_rules! leaf {
    ($($t:ty = $name:literal),* $(,)?) => { $(
        impl Schema for $t {
            const HASH: u64 = hash_text($name);
        }
    )* };
}

leaf! {
    () = "()", bool = "bool", char = "char", String = "string", Box<str> = "string", Duration = "duration",
    u8 = "u8", u16 = "u16", u32 = "u32", u64 = "u64", u128 = "u128",
    i8 = "i8", i16 = "i16", i32 = "i32", i64 = "i64", i128 = "i128", f32 = "f32", f64 = "f64",
    NonZeroU8 = "u8+", NonZeroU16 = "u16+", NonZeroU32 = "u32+", NonZeroU64 = "u64+",
    NonZeroI8 = "i8+", NonZeroI16 = "i16+", NonZeroI32 = "i32+", NonZeroI64 = "i64+",
    Ipv4Addr = "ipv4", Ipv6Addr = "ipv6", IpAddr = "ip",
    SocketAddrV4 = "socket-v4", SocketAddrV6 = "socket-v6", SocketAddr = "socket",
}

impl<T: Schema> Schema for Option<T> {
    const HASH: u64 = fold(hash_text("option"), T::HASH);
}

impl<T: Schema> Schema for Box<T> {
    // A box is archived as a pointer, its content elsewhere: not the layout of `T`.
    const HASH: u64 = fold(hash_text("box"), T::HASH);
}

impl<T: Schema, E: Schema> Schema for Result<T, E> {
    const HASH: u64 = fold(fold(hash_text("result"), T::HASH), E::HASH);
}

impl<T: Schema, const N: usize> Schema for [T; N] {
    const HASH: u64 = fold(fold(hash_text("array"), N as u64), T::HASH);
}

/// Refuses collections of values without a size at compile time (S1).
const fn sized<T>() {
    assert!(size_of::<T>() > 0, "a collection in a message needs elements with a size: use a count instead");
}

macro_rules! sequence {
    ($($t:ty = $name:literal),* $(,)?) => { $(
        impl<T: Schema> Schema for $t {
            const HASH: u64 = {
                sized::<T>();
                fold(hash_text($name), T::HASH)
            };
        }
    )* };
}

sequence! {
    Vec<T> = "list", Box<[T]> = "list", VecDeque<T> = "list", BTreeSet<T> = "btree-set", HashSet<T> = "hash-set",
}

macro_rules! mapping {
    ($($t:ident = $name:literal),* $(,)?) => { $(
        impl<K: Schema, V: Schema> Schema for $t<K, V> {
            const HASH: u64 = {
                sized::<K>();
                fold(fold(hash_text($name), K::HASH), V::HASH)
            };
        }
    )* };
}

mapping!(BTreeMap = "btree-map", HashMap = "hash-map");

macro_rules! tuple {
    ($($t:ident)+) => {
        impl<$($t: Schema),+> Schema for ($($t,)+) {
            const HASH: u64 = {
                let hash = hash_text("tuple");
                $(let hash = fold(hash, $t::HASH);)+
                hash
            };
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);

#[cfg(test)]
mod tests {
    use super::{Schema, Shape};
    use std::collections::BTreeMap;

    #[test]
    fn structure_decides_the_hash() {
        let all = [
            <u32 as Schema>::HASH,
            <Option<u32> as Schema>::HASH,
            <Box<u32> as Schema>::HASH,
            <Vec<u32> as Schema>::HASH,
            <[u32; 1] as Schema>::HASH,
            <[u32; 2] as Schema>::HASH,
            <(u32,) as Schema>::HASH,
            <(u32, u32) as Schema>::HASH,
            <(u32, u64) as Schema>::HASH,
            <(u64, u32) as Schema>::HASH,
            <BTreeMap<u32, u64> as Schema>::HASH,
            <BTreeMap<u64, u32> as Schema>::HASH,
            Shape::new("struct").finish(),
            Shape::new("struct").field("a", 1).finish(),
            Shape::new("struct").field("b", 1).finish(),
            Shape::new("enum").variant("a").field("b", 1).finish(),
            Shape::new("enum").variant("a").variant("b").finish(),
        ];
        let mut unique = all.to_vec();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), all.len());
    }
}
