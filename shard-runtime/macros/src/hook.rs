//! The hooks of an actor: `init`, `terminate` and `inspect`, found by name.

use proc_macro2::{Ident, Span};
use syn::ImplItemFn;

use crate::signature::{self, Conditions};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookKind {
    Init,
    Terminate,
    Inspect,
}

impl HookKind {
    pub(crate) fn of(name: &Ident) -> Option<Self> {
        [Self::Init, Self::Terminate, Self::Inspect].into_iter().find(|kind| name == kind.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Terminate => "terminate",
            Self::Inspect => "inspect",
        }
    }

    pub(crate) fn ident(self, span: Span) -> Ident {
        Ident::new(self.name(), span)
    }

    /// The signature to write.
    pub(crate) const fn shape(self) -> &'static str {
        match self {
            Self::Init => "async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult",
            Self::Terminate => "async fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>)",
            Self::Inspect => "fn inspect(&self, out: &mut Inspect)",
        }
    }
}

pub(crate) struct Hook {
    pub(crate) kind: HookKind,
    pub(crate) name: Ident,
    pub(crate) is_async: bool,
    pub(crate) conditions: Conditions,
}

impl Hook {
    pub(crate) fn read(kind: HookKind, method: &ImplItemFn) -> syn::Result<Self> {
        let signature = &method.sig;
        let name = kind.name();
        signature::check_receiver(signature, kind != HookKind::Inspect, "hook")
            .map_err(|fault| explain(kind, &signature.ident, &fault))?;
        signature::check_plain(signature, "hook")?;
        if let (HookKind::Inspect, Some(token)) = (kind, &signature.asyncness) {
            return Err(syn::Error::new(
                token.span,
                "hook `inspect` is `async`: it runs between two messages, make it a plain `fn`",
            ));
        }
        let arguments = signature::arguments(signature);
        let fits = match (kind, arguments.as_slice()) {
            (HookKind::Init | HookKind::Inspect, [only]) => signature::is_reference(&only.ty, true),
            (HookKind::Terminate, [reason, context]) => {
                signature::is_reference(&reason.ty, false) && signature::is_reference(&context.ty, true)
            }
            _ => false,
        };
        if !fits {
            let text = format!(
                "hook `{name}` has other arguments than `{}`: change them, or rename this method",
                kind.shape()
            );
            return Err(syn::Error::new_spanned(&signature.inputs, text));
        }
        match (kind, signature::output(signature)) {
            (HookKind::Init, None) => Err(syn::Error::new(
                signature.paren_token.span.close(),
                "hook `init` lacks its return type: write `-> ActorResult`",
            )),
            (HookKind::Terminate | HookKind::Inspect, Some(output)) => Err(syn::Error::new_spanned(
                output,
                format!("hook `{name}` returns nothing: remove its return type"),
            )),
            _ => Ok(Self {
                kind,
                name: signature.ident.clone(),
                is_async: signature.asyncness.is_some(),
                conditions: Conditions::of(&method.attrs),
            }),
        }
    }
}

/// Says that the name is reserved: a fault of the receiver often means that no hook was intended.
fn explain(kind: HookKind, name: &Ident, fault: &syn::Error) -> syn::Error {
    let text = format!(
        "{fault}; the name is reserved in an `#[actor]` block: write `{}`, or rename this function",
        kind.shape()
    );
    syn::Error::new_spanned(name, text)
}

#[cfg(test)]
mod tests {
    use super::{Hook, HookKind};
    use syn::{ImplItemFn, parse_str};

    fn read(text: &str) -> syn::Result<Hook> {
        let method: ImplItemFn = parse_str(text).unwrap();
        Hook::read(HookKind::of(&method.sig.ident).unwrap(), &method)
    }

    #[test]
    fn hooks_are_plain_or_async() {
        let hooks = [
            ("fn init(&mut self, cx: &mut Context<'_>) -> ActorResult { Ok(()) }", HookKind::Init, false),
            (
                "async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult { Ok(()) }",
                HookKind::Init,
                true,
            ),
            (
                "fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {}",
                HookKind::Terminate,
                false,
            ),
            (
                "async fn terminate(&mut self, _: &ExitReason, _: &mut Context<'_>) -> () {}",
                HookKind::Terminate,
                true,
            ),
            ("fn inspect(&self, out: &mut Inspect) {}", HookKind::Inspect, false),
        ];
        for (text, kind, is_async) in hooks {
            let hook = read(text).unwrap();
            assert_eq!((hook.kind, hook.is_async), (kind, is_async), "{text}");
        }
    }

    #[test]
    fn each_fault_says_what_to_write() {
        let faults = [
            ("fn init(total: i64) -> Self {}", "or rename this function"),
            ("fn init(&mut self) -> ActorResult {}", "other arguments than `async fn init(&mut self, cx"),
            ("fn init(&mut self, cx: &mut C) {}", "lacks its return type"),
            ("fn terminate(&mut self, cx: &mut C) {}", "other arguments than `async fn terminate"),
            ("fn terminate(&mut self, reason: ExitReason, cx: &mut C) {}", "other arguments than"),
            ("fn terminate(&mut self, reason: &ExitReason, cx: &mut C) -> ActorResult {}", "returns nothing"),
            ("fn inspect(&mut self, out: &mut Inspect) {}", "takes its actor as `&self`"),
            ("async fn inspect(&self, out: &mut Inspect) {}", "make it a plain `fn`"),
            ("fn inspect(&self) -> String {}", "other arguments than `fn inspect"),
            ("fn init<T>(&mut self, cx: &mut C) -> ActorResult {}", "is generic"),
        ];
        for (text, part) in faults {
            let fault = read(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
