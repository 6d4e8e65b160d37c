//! One handler: its message type, what kind of arm it gets, and what is wrong with it.

use proc_macro2::{Ident, Span};
use syn::{ImplItemFn, PatType, Type};

use crate::signature::{self, Conditions};
use crate::suspend;

/// How the runtime runs a handler; chosen from the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `fn`.
    Plain,
    /// `async fn` that cannot suspend: polled once, on the stack.
    Ready,
    /// `async fn` that may suspend: pooled future.
    Run,
    /// `fn` that takes its `ReplyTo`.
    Deferred,
    /// `async fn` that takes its `ReplyTo`.
    DeferredRun,
}

impl Kind {
    /// The method of `Batch` that runs such a handler.
    pub(crate) fn method(self, span: Span) -> Ident {
        let name = match self {
            Self::Plain => "plain",
            Self::Ready => "ready",
            Self::Run => "run",
            Self::Deferred => "deferred",
            Self::DeferredRun => "deferred_run",
        };
        Ident::new(name, span)
    }

    pub(crate) const fn is_deferred(self) -> bool {
        matches!(self, Self::Deferred | Self::DeferredRun)
    }
}

pub(crate) struct Handler {
    pub(crate) name: Ident,
    pub(crate) message: Type,
    pub(crate) output: Type,
    pub(crate) kind: Kind,
    pub(crate) conditions: Conditions,
}

impl Handler {
    /// The message, whether it is taken as itself or as a view: it has one handler.
    pub(crate) fn subject(&self) -> &Type {
        signature::viewed(&self.message).unwrap_or(&self.message)
    }

    pub(crate) fn read(method: &ImplItemFn) -> syn::Result<Self> {
        let signature = &method.sig;
        signature::check_receiver(signature, true, "handler")?;
        signature::check_plain(signature, "handler")?;
        let (message, deferred) = arguments(method)?;
        let Some(output) = written_output(method) else {
            let text = format!(
                "handler `{}` lacks its return type: write `-> ActorResult`, or `-> Result<Reply, ActorError>` with the message's reply type",
                signature.ident
            );
            return Err(syn::Error::new(signature.paren_token.span.close(), text));
        };
        if matches!(output, Type::ImplTrait(_)) {
            let text = format!(
                "handler `{}` returns `impl ..`: name the type, `Result<Reply, ActorError>`",
                signature.ident
            );
            return Err(syn::Error::new_spanned(output, text));
        }
        let kind = match (signature.asyncness.is_some(), deferred) {
            (false, false) => Kind::Plain,
            (false, true) => Kind::Deferred,
            (true, true) => Kind::DeferredRun,
            (true, false) if suspend::may_suspend(method) => Kind::Run,
            (true, false) => Kind::Ready,
        };
        Ok(Self {
            name: signature.ident.clone(),
            message: message.clone(),
            output: output.clone(),
            kind,
            conditions: Conditions::of(&method.attrs),
        })
    }
}

fn written_output(method: &ImplItemFn) -> Option<&Type> {
    match &method.sig.output {
        syn::ReturnType::Default => None,
        syn::ReturnType::Type(_, ty) => Some(ty),
    }
}

/// The message type, and whether a `ReplyTo` follows it.
fn arguments(method: &ImplItemFn) -> syn::Result<(&Type, bool)> {
    let name = &method.sig.ident;
    let arguments = signature::arguments(&method.sig);
    match arguments.as_slice() {
        [] => Err(syn::Error::new(
            method.sig.paren_token.span.close(),
            format!(
                "handler `{name}` lacks its message and context: write `fn {name}(&mut self, message: Message, cx: &mut Context<'_>)`"
            ),
        )),
        [only] if is_context(only) => Err(syn::Error::new_spanned(
            only,
            format!("handler `{name}` lacks its message: write it between `&mut self` and the context"),
        )),
        [message] => Err(lacks_context(name, message)),
        [message, context] => {
            if !is_context(context) {
                return Err(lacks_context(name, context));
            }
            Ok((message_type(name, message)?, false))
        }
        [message, reply, context] => {
            if !is_context(context) {
                return Err(lacks_context(name, context));
            }
            let message = message_type(name, message)?;
            if !signature::is_named(&reply.ty, "ReplyTo") {
                let text = format!(
                    "handler `{name}`: only a `ReplyTo<Reply>` can stand between the message and the context"
                );
                return Err(syn::Error::new_spanned(reply, text));
            }
            Ok((message, true))
        }
        [_, _, _, extra, ..] => Err(syn::Error::new_spanned(
            extra,
            format!(
                "handler `{name}` has too many arguments: it takes the message, an optional `ReplyTo<Reply>` and the context"
            ),
        )),
    }
}

fn is_context(argument: &PatType) -> bool {
    signature::is_reference(&argument.ty, true)
}

fn lacks_context(name: &Ident, last: &PatType) -> syn::Error {
    syn::Error::new_spanned(
        last,
        format!("handler `{name}` lacks its context: its last argument is `cx: &mut Context<'_>`"),
    )
}

fn message_type<'a>(name: &Ident, argument: &'a PatType) -> syn::Result<&'a Type> {
    let ty = signature::ungrouped(&argument.ty);
    if signature::is_named(ty, "ReplyTo") {
        return Err(syn::Error::new_spanned(
            ty,
            format!("handler `{name}`: the `ReplyTo` comes after the message"),
        ));
    }
    match ty {
        Type::Path(_) => Ok(ty),
        Type::Reference(_) => Err(syn::Error::new_spanned(
            ty,
            format!("handler `{name}` borrows its message: take it by value, it is the handler's own"),
        )),
        _ => Err(syn::Error::new_spanned(
            ty,
            format!("handler `{name}`: its message is not a named type, declare one with `#[message]`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Handler, Kind};
    use quote::ToTokens as _;
    use syn::parse_str;

    fn read(text: &str) -> syn::Result<Handler> {
        Handler::read(&parse_str(text).unwrap())
    }

    #[test]
    fn each_shape_gets_its_kind() {
        let shapes = [
            ("fn f(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { Ok(()) }", Kind::Plain),
            (
                "async fn f(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { self.total += m.n; Ok(()) }",
                Kind::Ready,
            ),
            (
                "async fn f(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { println!(\"x\"); Ok(()) }",
                Kind::Ready,
            ),
            (
                "async fn f(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { cx.call(p, T).await?; Ok(()) }",
                Kind::Run,
            ),
            (
                "async fn f(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { join!(a, b); Ok(()) }",
                Kind::Run,
            ),
            (
                "#[instrument] async fn f(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { Ok(()) }",
                Kind::Run,
            ),
            (
                "fn f(&mut self, m: Add, r: ReplyTo<i64>, cx: &mut Context<'_>) -> ActorResult { Ok(()) }",
                Kind::Deferred,
            ),
            (
                "fn f(&mut self, m: Add, r: rt::ReplyTo<i64>, cx: &mut Context<'_>) -> ActorResult { Ok(()) }",
                Kind::Deferred,
            ),
            (
                "async fn f(&mut self, m: Add, r: ReplyTo<i64>, cx: &mut Context<'_>) -> ActorResult { Ok(()) }",
                Kind::DeferredRun,
            ),
            (
                "fn f(self: &mut Self, Add { n }: Add, _: &mut Context<'_>) -> ActorResult { Ok(()) }",
                Kind::Plain,
            ),
        ];
        for (text, kind) in shapes {
            let handler = read(text).unwrap();
            assert_eq!(handler.kind, kind, "{text}");
            assert_eq!(handler.message.to_token_stream().to_string(), "Add");
        }
    }

    #[test]
    fn a_view_is_of_its_message() {
        for (text, subject) in [
            ("View<Add>", "Add"),
            ("rt::View<shop::Add>", "shop :: Add"),
            ("Add", "Add"),
            ("View<A, B>", "View < A , B >"),
            ("View", "View"),
            ("Views<Add>", "Views < Add >"),
        ] {
            let text =
                format!("fn f(&mut self, m: {text}, cx: &mut Context<'_>) -> ActorResult {{ Ok(()) }}");
            assert_eq!(read(&text).unwrap().subject().to_token_stream().to_string(), subject);
        }
    }

    #[test]
    fn each_fault_says_what_to_write() {
        let faults = [
            ("fn f(self, m: Add, cx: &mut C) -> R {}", "handler `f` takes its actor as `&mut self`"),
            ("fn f(&self, m: Add, cx: &mut C) -> R {}", "handler `f` takes its actor as `&mut self`"),
            ("fn f(m: Add, cx: &mut C) -> R {}", "has no receiver"),
            ("fn f(&mut self) -> R {}", "lacks its message and context"),
            ("fn f(&mut self, cx: &mut C) -> R {}", "lacks its message:"),
            ("fn f(&mut self, m: Add) -> R {}", "lacks its context"),
            ("fn f(&mut self, m: Add, r: ReplyTo<u8>) -> R {}", "lacks its context"),
            ("fn f(&mut self, m: Add, cx: &C) -> R {}", "lacks its context"),
            ("fn f(&mut self, m: Add, x: u8, cx: &mut C) -> R {}", "only a `ReplyTo<Reply>`"),
            ("fn f(&mut self, r: ReplyTo<u8>, m: Add, cx: &mut C) -> R {}", "comes after the message"),
            ("fn f(&mut self, m: Add, r: ReplyTo<u8>, x: u8, cx: &mut C) -> R {}", "too many arguments"),
            ("fn f(&mut self, m: &Add, cx: &mut C) -> R {}", "borrows its message"),
            ("fn f(&mut self, m: (u8, u8), cx: &mut C) -> R {}", "not a named type"),
            ("fn f(&mut self, m: impl Message, cx: &mut C) -> R {}", "not a named type"),
            ("fn f(&mut self, m: Add, cx: &mut C) {}", "lacks its return type"),
            ("fn f(&mut self, m: Add, cx: &mut C) -> impl Future {}", "name the type"),
            ("fn f<M: Message>(&mut self, m: M, cx: &mut C) -> R {}", "is generic"),
            ("fn f<'a>(&mut self, m: Add, cx: &'a mut C) -> R {}", "is generic"),
            ("unsafe fn f(&mut self, m: Add, cx: &mut C) -> R {}", "is `unsafe`"),
            ("extern \"C\" fn f(&mut self, m: Add, cx: &mut C) -> R {}", "foreign ABI"),
        ];
        for (text, part) in faults {
            let fault = read(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
