//! `#[actor]` and `#[handle]`: the attribute macros of shard-runtime.
//!
//! Owns: reading one inherent `impl` block, and emitting `impl Actor` for its type next to it. It knows no type of the
//! runtime: everything is named through `<crate>::__private`, whose contract is what `emit` writes.
//! Invariants: M1 the block comes back as written, also when it is faulty: without its `#[handle]` marks, and with the
//! lints silenced that dislike the signatures which the runtime demands. M2 a handler is polled on the stack only if
//! nothing in it can suspend; when in doubt it gets a pooled future. M3 all faults of a block are reported in one go,
//! each at its own place. M4 emitted code holds no `unsafe` and triggers no lint.
//! Cost: one pass over the tokens of each handler, at compile time; per message only the arm that the runtime inlines.

use proc_macro::TokenStream;

mod block;
mod config;
mod emit;
mod fault;
mod handler;
mod hook;
mod signature;
mod suspend;

/// Makes a type an actor: turns one inherent `impl` block into the actor's message dispatch.
///
/// Methods marked `#[handle]` are its handlers, one per message type:
///
/// ```text
/// #[actor]
/// impl Counter {
///     async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult { Ok(()) }
///     #[handle] async fn add(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { self.total += m.n; Ok(()) }
///     #[handle] fn total(&mut self, _: Total, cx: &mut Context<'_>) -> Result<i64, ActorError> { Ok(self.total) }
///     #[handle] fn later(&mut self, _: Later, reply: ReplyTo<i64>, cx: &mut Context<'_>) -> ActorResult { .. }
///     fn inspect(&self, out: &mut Inspect) { out.set("total", self.total); }
/// }
/// ```
///
/// # Handlers
/// A handler is a `fn` or an `async fn` with `&mut self`, the message by value, an optional `ReplyTo` and the
/// context. It returns `Result<Reply, ActorError>` with the message's reply type (`ActorResult` if that is `()`). With
/// a `ReplyTo` argument the answer may come later, from anywhere, and the handler itself returns `ActorResult`.
///
/// A message that may leave its node can be taken as `View<Message>` instead: its archived form, read where it was received.
/// Messages of this node are then encoded first. A message and its view are one: there is one handler for both.
///
/// An `async fn` without an `await` costs the same as a plain `fn`: it is polled once, on the stack. One with an
/// `await` gets a future from the shard's pool. A macro call that is not known to be free of `await` (everything
/// outside a list of `std` macros such as `format!` and `assert!`) and an attribute that may rewrite the handler count
/// as an `await`: correct in all cases, a little slower in some.
///
/// Arms are tried in the order of the source, so put the most frequent message first.
///
/// # Hooks
/// Three names are reserved in the block and need no mark; each is optional:
/// - `init(&mut self, cx: &mut Context<'_>) -> ActorResult`, plain or `async`: before the first message. An actor
///   without it is never activated before its first message.
/// - `terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>)`, plain or `async`: after the last one.
/// - `inspect(&self, out: &mut Inspect)`: what an operator sees of the actor's state.
///
/// # The rest
/// Everything else in the block (other methods, constants) is left alone. Generic actors are supported: generics and
/// where clauses are forwarded, `'static` is demanded by the runtime. `#[cfg]` on a handler or hook is honoured.
/// `#[actor(crate = path)]` names the runtime where it is not `::shard_runtime`.
///
/// The behaviour name that operators see is the last module segment, a dot and the type's name: `shop.Cart`.
///
/// # Errors
/// A faulty block is refused with one compile error per fault, at the fault, which says what to write instead.
///
#[proc_macro_attribute]
pub fn actor(arguments: TokenStream, item: TokenStream) -> TokenStream {
    emit::actor(arguments.into(), &item.into()).into()
}

/// Marks a method in a block marked `#[actor]` as the handler of its message type.
///
/// # Errors
/// Alone, outside such a block, it is a compile error.
#[proc_macro_attribute]
pub fn handle(arguments: TokenStream, item: TokenStream) -> TokenStream {
    emit::handle(&arguments.into(), &item.into()).into()
}
