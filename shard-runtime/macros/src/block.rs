//! The `impl` block under `#[actor]`, read into handlers and hooks.

use proc_macro2::{Ident, Span};
use quote::ToTokens as _;
use syn::{Attribute, ImplItem, ImplItemFn, ItemImpl, Path, Type};

use crate::fault::Faults;
use crate::handler::Handler;
use crate::hook::{Hook, HookKind};
use crate::signature;

/// What was read. The good handlers and hooks are there also if others are faulty.
pub(crate) struct Block {
    /// The block as written, without its `#[handle]` marks, and with `excuse` on handlers and hooks.
    pub(crate) item: ItemImpl,
    /// The type's name, or nothing if no actor can be made of this block.
    pub(crate) name: Option<Ident>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) hooks: Vec<Hook>,
    /// The paths by which `#[handle]` was named, each once.
    pub(crate) marks: Vec<Path>,
    pub(crate) faults: Faults,
}

impl Block {
    pub(crate) fn read(mut item: ItemImpl) -> Self {
        let mut faults = Faults::default();
        let name = faults.sift(actor_name(&item));
        let (mut handlers, mut hooks, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for member in &mut item.items {
            let marks = take_marks(member, &mut faults);
            for mark in &marks {
                if !paths.contains(mark.path()) {
                    paths.push(mark.path().clone());
                }
            }
            match member {
                ImplItem::Fn(method) if name.is_some() => {
                    read_method(method, &marks, &mut handlers, &mut hooks, &mut faults);
                    if !marks.is_empty() || HookKind::of(&method.sig.ident).is_some() {
                        method.attrs.insert(0, excuse());
                    }
                }
                _ if name.is_some() => {
                    if let Some(mark) = marks.first() {
                        faults
                            .push(syn::Error::new_spanned(mark, "`#[handle]` marks methods only: remove it"));
                    }
                }
                _ => {}
            }
        }
        Self { item, name, handlers, hooks, marks: paths, faults }
    }
}

/// Silences the lints that would have the user change what the runtime demands of a handler's signature. It comes
/// first, so that the user's own attributes override it.
fn excuse() -> Attribute {
    syn::parse_quote_spanned! {Span::mixed_site()=>
        #[allow(
            clippy::future_not_send,
            clippy::needless_pass_by_ref_mut,
            clippy::needless_pass_by_value,
            clippy::unnecessary_wraps,
            clippy::unused_async,
            clippy::unused_self,
            reason = "the signature is the one that the runtime calls"
        )]
    }
}

/// Whether the attribute is `#[handle]`, by any path.
fn is_handle(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "handle")
}

fn actor_name(item: &ItemImpl) -> syn::Result<Ident> {
    if let Some((_, path, _)) = &item.trait_ {
        let text = "`#[actor]` is for the actor's own `impl` block, not for a trait: move the handlers to `impl Type { .. }`";
        return Err(syn::Error::new_spanned(path, text));
    }
    if let Some(token) = &item.unsafety {
        return Err(syn::Error::new(token.span, "an actor's `impl` block is not `unsafe`: remove the word"));
    }
    if let Some(lifetime) = item.generics.lifetimes().next() {
        let text = "an actor outlives whoever spawns it, so it cannot borrow: remove the lifetime and own what it holds";
        return Err(syn::Error::new_spanned(lifetime, text));
    }
    match signature::ungrouped(&item.self_ty) {
        Type::Path(path) if path.qself.is_none() => {
            path.path.segments.last().map(|last| last.ident.clone()).ok_or_else(|| not_named(&item.self_ty))
        }
        other => Err(not_named(other)),
    }
}

fn not_named(ty: &Type) -> syn::Error {
    syn::Error::new_spanned(ty, "an actor is a struct or enum of this crate: write `impl Name { .. }`")
}

/// Removes the `#[handle]` marks of a member and returns them.
fn take_marks(member: &mut ImplItem, faults: &mut Faults) -> Vec<Attribute> {
    let attributes = match member {
        ImplItem::Fn(member) => &mut member.attrs,
        ImplItem::Const(member) => &mut member.attrs,
        ImplItem::Type(member) => &mut member.attrs,
        ImplItem::Macro(member) => &mut member.attrs,
        _ => return Vec::new(),
    };
    let (marks, rest) = std::mem::take(attributes).into_iter().partition(is_handle);
    *attributes = rest;
    for mark in &marks {
        let mark: &Attribute = mark;
        if !matches!(mark.meta, syn::Meta::Path(_)) {
            faults.push(syn::Error::new_spanned(
                mark,
                "`#[handle]` takes no argument: the message type is the method's argument",
            ));
        }
    }
    marks
}

fn read_method(
    method: &ImplItemFn,
    marks: &[Attribute],
    handlers: &mut Vec<Handler>,
    hooks: &mut Vec<Hook>,
    faults: &mut Faults,
) {
    let name = &method.sig.ident;
    match (HookKind::of(name), marks) {
        (None, []) => {}
        (Some(kind), []) => hooks.extend(faults.sift(Hook::read(kind, method))),
        (Some(kind), [mark, ..]) => {
            let text =
                format!("`{name}` is a hook, `{}`: remove `#[handle]`, or rename this method", kind.shape());
            faults.push(syn::Error::new_spanned(mark, text));
        }
        (None, [_, again, ..]) => {
            faults.push(syn::Error::new_spanned(again, "`#[handle]` is written twice: remove one"))
        }
        (None, [_]) => {
            let Some(handler) = faults.sift(Handler::read(method)) else { return };
            match rival(handlers, &handler) {
                Some(first) => faults.push(two_handlers(first, &handler)),
                None => handlers.push(handler),
            }
        }
    }
}

/// An earlier handler of the same message type. Under `#[cfg]` two may be written, the compiler sees which one is left.
fn rival<'a>(handlers: &'a [Handler], handler: &Handler) -> Option<&'a Handler> {
    handlers.iter().find(|other| {
        other.subject() == handler.subject() && other.conditions.is_empty() && handler.conditions.is_empty()
    })
}

fn two_handlers(first: &Handler, second: &Handler) -> syn::Error {
    let message = second.subject().to_token_stream().to_string().replace(' ', "");
    let (one, two) = (&first.name, &second.name);
    let is_view = |handler: &Handler| signature::viewed(&handler.message).is_some();
    let text = match (is_view(first), is_view(second)) {
        (false, true) => of_both_forms(&message, one, two),
        (true, false) => of_both_forms(&message, two, one),
        _ => format!("`{message}` has two handlers, `{one}` and `{two}`: keep one"),
    };
    syn::Error::new_spanned(&second.message, text)
}

/// What to say of a message that is taken as itself and as its view.
fn of_both_forms(message: &str, as_value: &Ident, as_view: &Ident) -> String {
    format!(
        "`{message}` has two handlers, `{as_value}` for the message and `{as_view}` for its view, and a message is handled \
         once: keep one; each gets all that is sent in either form, `{as_value}` as `{message}`, `{as_view}` as \
         `View<{message}>`"
    )
}

#[cfg(test)]
mod tests {
    use super::Block;
    use quote::ToTokens as _;
    use syn::parse_str;

    fn read(text: &str) -> Block {
        Block::read(parse_str(text).unwrap())
    }

    const ADD: &str = "(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { Ok(()) }";

    #[test]
    fn handlers_come_in_the_order_of_the_source_and_lose_only_their_mark() {
        let block = read(&format!(
            "impl Counter {{ /// One.\n #[handle] #[inline] fn b{ADD} fn helper(&self) {{}} #[rt::handle] fn a{} }}",
            ADD.replace("Add", "Total")
        ));
        assert_eq!(block.faults.texts(), Vec::<String>::new());
        let names: Vec<String> = block.handlers.iter().map(|handler| handler.name.to_string()).collect();
        assert_eq!(names, ["b", "a"]);
        let text = block.item.to_token_stream().to_string();
        assert!(
            !text.contains("handle]")
                && text.contains("inline")
                && text.contains("One.")
                && text.contains("helper"),
            "{text}"
        );
    }

    #[test]
    fn a_second_handler_names_the_first() {
        let block = read(&format!("impl Counter {{ #[handle] fn one{ADD} #[handle] fn two{ADD} }}"));
        assert_eq!(block.faults.texts(), ["`Add` has two handlers, `one` and `two`: keep one"]);
        assert_eq!(block.handlers.len(), 1);
    }

    #[test]
    fn a_message_and_its_view_are_one() {
        let view = ADD.replace("m: Add", "m: rt::View<Add>");
        let text = "`Add` has two handlers, `one` for the message and `two` for its view, and a message is handled once: \
                    keep one; each gets all that is sent in either form, `one` as `Add`, `two` as `View<Add>`";
        for (first, second) in
            [(format!("one{ADD}"), format!("two{view}")), (format!("two{view}"), format!("one{ADD}"))]
        {
            let block = read(&format!("impl Counter {{ #[handle] fn {first} #[handle] fn {second} }}"));
            assert_eq!(block.faults.texts(), [text]);
        }
        let block = read(&format!("impl Counter {{ #[handle] fn one{view} #[handle] fn two{view} }}"));
        assert_eq!(block.faults.texts(), ["`Add` has two handlers, `one` and `two`: keep one"]);
    }

    #[test]
    fn handlers_of_one_message_may_exclude_each_other() {
        let block = read(&format!(
            "impl Counter {{ #[cfg(a)] #[handle] fn one{ADD} #[cfg(not(a))] #[handle] fn two{ADD} }}"
        ));
        assert_eq!(block.faults.texts(), Vec::<String>::new());
        assert_eq!(block.handlers.len(), 2);
    }

    #[test]
    fn all_faults_are_reported_and_the_good_handlers_kept() {
        let block = read(&format!(
            "impl Counter {{ #[handle] fn good{ADD} #[handle] fn one(&self) {{}} #[handle] const N: u8 = 1; \
             #[handle] fn init{ADD} #[handle(Add)] fn three{} #[handle] #[handle] fn four{ADD} }}",
            ADD.replace("Add", "Third")
        ));
        let texts = block.faults.texts();
        assert_eq!(texts.len(), 5, "{texts:?}");
        for part in
            ["takes its actor", "marks methods only", "is a hook", "takes no argument", "written twice"]
        {
            assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:?}");
        }
        assert_eq!(block.handlers.len(), 2);
    }

    #[test]
    fn only_a_named_type_of_its_own_can_be_an_actor() {
        for (text, part) in [
            ("impl Handler for Counter {}", "not for a trait"),
            ("impl<'a> Counter<'a> {}", "cannot borrow"),
            ("unsafe impl Counter {}", "not `unsafe`"),
            ("impl dyn Thing {}", "write `impl Name"),
            ("impl (A, B) {}", "write `impl Name"),
            ("impl <A as B>::C {}", "write `impl Name"),
        ] {
            let block = read(text);
            assert!(block.name.is_none());
            assert!(block.faults.texts()[0].contains(part), "{text}: {:?}", block.faults.texts());
        }
        assert_eq!(read("impl<T: Send> shop::Worker<T> {}").name.unwrap(), "Worker");
    }
}
