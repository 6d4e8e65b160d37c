//! The attributes `#[message]` and `#[data]` of shard-wire.
//!
//! Owns: reading the attributes, and the code they emit. All names in that code go through the `__private` module of
//! shard-wire, so that a user depends on shard-runtime (or shard-wire) only.
//! Invariant: X1 emitted code has no `unsafe` of its own and no name that can clash with the user's.

mod emit;
mod options;
mod path;
mod shape;

use proc_macro::TokenStream;
use syn::{Item, parse_macro_input};

/// Makes a struct or enum a message.
///
/// - `#[message]`: one-way, may leave the node. All fields must be able to: numbers, texts, collections, identities, and
///   types with `#[data]`.
/// - `#[message(reply = T)]`: a request that is answered with a `T`, which must be able to leave the node too.
/// - `#[message(local)]`, `#[message(local, reply = T)]`: never leaves the node; any `Send` type, also generic ones.
/// - `#[message(schema = 2)]`: for recursive types, whose structure cannot be hashed. Raise the number with each change.
/// - `#[message(name = "app::Add")]`: the name on the wire, instead of `crate::module::Type`.
/// - `#[message(old, name = "app::Add")]`: an earlier version of a message, which has its name. It may be sent, and an actor that
///   handles the later version receives it as that.
/// - `#[message(name = "app::Add", replaces = AddV1)]`, `replaces = (AddV2, AddV1)`, the newest first: the later version. It
///   needs `From<AddV1> for Add`, for what comes from older nodes, and `From<&Add> for AddV1`, for what goes to them; both have
///   the same reply.
/// - `#[message(crate = path)]`: where shard-wire is found, if the dependency cannot tell.
#[proc_macro_attribute]
pub fn message(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attribute as options::Options);
    let item = parse_macro_input!(item as Item);
    emit::message(&options, item).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct or enum usable inside messages and replies.
///
/// - `#[data(schema = 2)]`: for recursive types, whose structure cannot be hashed. Raise the number with each change.
/// - `#[data(crate = path)]`: where shard-wire is found, if the dependency cannot tell.
#[proc_macro_attribute]
pub fn data(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attribute as options::Options);
    let item = parse_macro_input!(item as Item);
    emit::data(&options, item).unwrap_or_else(|error| error.to_compile_error()).into()
}
