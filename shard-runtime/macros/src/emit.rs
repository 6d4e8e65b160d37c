//! The text that `#[actor]` writes: the block itself, and `impl Actor` for its type.
//!
//! Owns: the contract with `<crate>::__private` (named `rt` here). It uses of it: the traits `Actor` and `Message`
//! (`Reply`), the types `Batch`, `Closed`, `Exit`, `Inspect`, `Vtable` and `vtable`, and of `Batch` the methods `next`,
//! `plain`, `ready`, `run`, `deferred`, `deferred_run`, `unmatched`, `hook`, `hook_plain`, `hook_terminate`,
//! `hook_terminate_plain` and `close`. Only `close` and the hooks make a `Closed`, so no emitted function can forget it.
//! Invariants: E1 handlers are passed as paths, so no emitted code holds `&mut self` across two messages. E2 emitted
//! tokens stand at the user's own text (`located_at`), so that a type error is shown there, but keep the hygiene of a
//! macro, so that no lint takes them for the user's.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{ItemImpl, Path};

use crate::block::Block;
use crate::config::Config;
use crate::handler::Handler;
use crate::hook::{Hook, HookKind};
use crate::signature::Conditions;

pub(crate) fn actor(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let config = syn::parse2::<Config>(arguments);
    let fault = config.as_ref().err().map(syn::Error::to_compile_error);
    let runtime = config.unwrap_or_default().runtime;
    let Ok(block) = syn::parse2::<ItemImpl>(item.clone()) else {
        let other = syn::Error::new(
            Span::call_site(),
            "`#[actor]` stands on an `impl Type { .. }` block: move it there",
        );
        let fault = if is_impl(item) { None } else { Some(other.to_compile_error()) };
        return quote!(#fault #item);
    };
    let block = Block::read(block);
    let faults = block.faults.to_compile_errors();
    let written = &block.item;
    let emitted = block.name.as_ref().map(|name| implementation(&runtime, name, &block));
    let marks = marks(&block.marks);
    quote!(#fault #faults #written #emitted #marks)
}

/// The argument by which `#[handle]` knows its own emitted marks.
const TAKEN: &str = "__taken";

/// Names `#[handle]` as the user did: what was taken from the methods would leave the user's import unused.
fn marks(paths: &[Path]) -> TokenStream {
    let taken = Ident::new(TAKEN, Span::mixed_site());
    quote!(#(#[#paths(#taken)] const _: () = ();)*)
}

pub(crate) fn handle(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    if arguments.to_string() == TAKEN {
        return TokenStream::new();
    }
    let text = "`#[handle]` marks a method inside an `impl` block that is marked `#[actor]`: mark the block too, or remove it";
    let fault = syn::Error::new(Span::call_site(), text).to_compile_error();
    quote!(#fault #item)
}

/// Whether the item begins like an `impl` block; the compiler then says itself what it cannot parse in it.
fn is_impl(item: &TokenStream) -> bool {
    item.clone().into_iter().any(|tree| matches!(tree, proc_macro2::TokenTree::Ident(word) if word == "impl"))
}

fn at(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

fn implementation(runtime: &Path, name: &Ident, block: &Block) -> TokenStream {
    let rt = quote!(#runtime::__private);
    let (generics, _, clause) = block.item.generics.split_for_impl();
    let actor = &block.item.self_ty;
    let behavior = behavior(name);
    let types = block.handlers.iter().map(|handler| vtable(&rt, handler));
    let dispatch = dispatch(&rt, &block.handlers);
    let has_init = has(&block.hooks, HookKind::Init);
    let has_terminate = has(&block.hooks, HookKind::Terminate);
    let hooks = hooks(&rt, &block.hooks);
    let single = single_handlers(block);
    let attributes = attributes(&block.item);
    quote_spanned! {Span::mixed_site()=>
        #attributes
        #[automatically_derived]
        impl #generics #rt::Actor for #actor #clause {
            const BEHAVIOR: &'static str = #behavior;
            const TYPES: &'static [&'static #rt::Vtable] = &[#(#types),*];
            const HAS_INIT: bool = #has_init;
            const HAS_TERMINATE: bool = #has_terminate;
            #dispatch
            #hooks
        }
        #single
    }
}

/// What stands before each emitted item: the block's own conditions, and silence about what the block itself names.
fn attributes(item: &ItemImpl) -> TokenStream {
    let conditions = Conditions::of(&item.attrs).attributes();
    quote_spanned! {Span::mixed_site()=>
        #conditions
        #[allow(deprecated, reason = "the block itself is warned of the messages that it names")]
    }
}

/// `module_path!()` is known to the compiler only, so the last segment is cut out in a constant.
fn behavior(name: &Ident) -> TokenStream {
    let name = name.to_string();
    let name = name.trim_start_matches("r#");
    quote_spanned! {Span::mixed_site()=> {
        let full = ::core::concat!(::core::module_path!(), ".", #name);
        let mut head = full.as_bytes();
        while let [rest @ .., last] = head {
            if *last == b':' {
                break;
            }
            head = rest;
        }
        full.split_at(head.len()).1
    }}
}

fn vtable(rt: &TokenStream, handler: &Handler) -> TokenStream {
    let (conditions, message) = (handler.conditions.attributes(), &handler.message);
    quote_spanned!(at(message.span())=> #conditions #rt::vtable::<#message>())
}

fn dispatch(rt: &TokenStream, handlers: &[Handler]) -> TokenStream {
    let outputs = handlers.iter().map(|handler| output(rt, handler));
    let arms = handlers.iter().map(arm);
    quote_spanned! {Span::mixed_site()=>
        #[inline]
        fn dispatch(mut b: #rt::Batch<'_, Self>) -> #rt::Closed<'_> {
            #(#outputs)*
            while let ::core::option::Option::Some(mut e) = b.next() {
                loop {
                    #(#arms)*
                    match b.unmatched(e, <Self as #rt::Actor>::TYPES) {
                        ::core::option::Option::Some(again) => e = again,
                        ::core::option::Option::None => break,
                    }
                }
            }
            b.close(#rt::Exit::Continue)
        }
    }
}

/// Checks the return type at its own place, where the error of the arm would speak of futures and closures.
fn output(rt: &TokenStream, handler: &Handler) -> TokenStream {
    let (conditions, written, message) = (handler.conditions.attributes(), &handler.output, &handler.message);
    let span = at(written.span());
    let reply = if handler.kind.is_deferred() {
        quote_spanned!(span=> ())
    } else {
        quote_spanned!(span=> <#message as #rt::Message>::Reply)
    };
    quote_spanned!(span=> #conditions let _ = |r: #written| -> ::core::result::Result<#reply, _> { r };)
}

fn arm(handler: &Handler) -> TokenStream {
    let (conditions, message, name) = (handler.conditions.attributes(), &handler.message, &handler.name);
    let span = at(message.span());
    let method = handler.kind.method(span);
    let path = quote_spanned!(at(name.span())=> Self::#name);
    quote_spanned! {span=>
        #conditions
        if e.is::<#message>() {
            if let ::core::option::Option::Some(x) = b.#method::<#message>(e, #path) {
                return b.close(x);
            }
            break;
        }
    }
}

/// A predicate that holds if one of the conditions does, or `None` if one always does.
fn any<'a>(conditions: impl Iterator<Item = &'a Conditions>) -> Option<TokenStream> {
    let mut predicates = Vec::new();
    for condition in conditions {
        if condition.is_empty() {
            return None;
        }
        predicates.push(condition.predicate());
    }
    Some(quote!(any(#(#predicates),*)))
}

fn of(hooks: &[Hook], kind: HookKind) -> impl Iterator<Item = &Hook> {
    hooks.iter().filter(move |hook| hook.kind == kind)
}

fn has(hooks: &[Hook], kind: HookKind) -> TokenStream {
    if of(hooks, kind).next().is_none() {
        return quote!(false);
    }
    match any(of(hooks, kind).map(|hook| &hook.conditions)) {
        None => quote!(true),
        Some(predicate) => quote_spanned!(Span::mixed_site()=> ::core::cfg!(#predicate)),
    }
}

fn hooks(rt: &TokenStream, hooks: &[Hook]) -> TokenStream {
    let written = hooks.iter().map(|hook| hook_function(rt, hook));
    let absent = [HookKind::Init, HookKind::Terminate].into_iter().filter_map(|kind| {
        let predicate = any(of(hooks, kind).map(|hook| &hook.conditions))?;
        let name = kind.ident(Span::mixed_site());
        let otherwise = of(hooks, kind).next().map(|_| quote!(#[cfg(not(#predicate))]));
        Some(quote_spanned! {Span::mixed_site()=>
            #otherwise
            fn #name(b: #rt::Batch<'_, Self>) -> #rt::Closed<'_> {
                b.close(#rt::Exit::Continue)
            }
        })
    });
    quote!(#(#written)* #(#absent)*)
}

fn hook_function(rt: &TokenStream, hook: &Hook) -> TokenStream {
    let (conditions, name) = (hook.conditions.attributes(), &hook.name);
    let span = at(name.span());
    let method = match (hook.kind, hook.is_async) {
        (HookKind::Inspect, _) => {
            return quote_spanned! {span=>
                #conditions
                fn inspect(&self, out: &mut #rt::Inspect) {
                    Self::inspect(self, out)
                }
            };
        }
        (HookKind::Init, true) => "hook",
        (HookKind::Init, false) => "hook_plain",
        (HookKind::Terminate, true) => "hook_terminate",
        (HookKind::Terminate, false) => "hook_terminate_plain",
    };
    let method = Ident::new(method, span);
    quote_spanned! {span=>
        #conditions
        fn #name(b: #rt::Batch<'_, Self>) -> #rt::Closed<'_> {
            b.#method(Self::#name)
        }
    }
}

/// Lets the compiler find two handlers of one message type that is written in two ways (`Add` and `View<crate::Add>`):
/// implementing a trait twice is an error that shows both.
fn single_handlers(block: &Block) -> TokenStream {
    let (generics, _, clause) = block.item.generics.split_for_impl();
    let actor = &block.item.self_ty;
    let implementations = block.handlers.iter().map(|handler| {
        let (conditions, message) = (handler.conditions.attributes(), handler.subject());
        quote_spanned! {at(message.span())=>
            #conditions
            impl #generics _OneHandlerFor<#message> for #actor #clause {}
        }
    });
    let attributes = attributes(&block.item);
    quote_spanned! {Span::mixed_site()=>
        #attributes
        const _: () = {
            trait _OneHandlerFor<M> {}
            #(#implementations)*
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{actor, handle};
    use proc_macro2::TokenStream;
    use quote::quote;

    /// Emitted text without spaces, so that the test does not depend on how tokens are printed.
    fn emitted(arguments: TokenStream, item: &TokenStream) -> String {
        actor(arguments, item).to_string().replace([' ', '\n'], "")
    }

    #[test]
    fn the_contract_is_written_out() {
        let text = emitted(
            TokenStream::new(),
            &quote! {
                impl Counter {
                    #[handle] async fn add(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { Ok(()) }
                    #[handle] fn later(&mut self, m: Later, r: ReplyTo<u8>, cx: &mut Context<'_>) -> ActorResult { Ok(()) }
                    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult { Ok(()) }
                }
            },
        );
        for part in [
            "impl::shard_runtime::__private::ActorforCounter{",
            "constTYPES:&'static[&'static::shard_runtime::__private::Vtable]=&[::shard_runtime::__private::vtable::<Add>(),::shard_runtime::__private::vtable::<Later>()",
            "constHAS_INIT:bool=true;constHAS_TERMINATE:bool=false;",
            "ife.is::<Add>(){iflet::core::option::Option::Some(x)=b.ready::<Add>(e,Self::add){returnb.close(x);}break;}\
             ife.is::<Later>(){iflet::core::option::Option::Some(x)=b.deferred::<Later>(e,Self::later){returnb.close(x);}break;}\
             matchb.unmatched(e,<Selfas::shard_runtime::__private::Actor>::TYPES){",
            "fninit(b:::shard_runtime::__private::Batch<'_,Self>)->::shard_runtime::__private::Closed<'_>{b.hook_plain(Self::init)}",
            "fnterminate(b:::shard_runtime::__private::Batch<'_,Self>)->::shard_runtime::__private::Closed<'_>\
             {b.close(::shard_runtime::__private::Exit::Continue)}",
            "#[handle(__taken)]const_:()=();",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert!(
            !text.contains("compile_error") && !text.contains("unsafe") && !text.contains("#[handle]"),
            "{text}"
        );
    }

    #[test]
    fn the_runtime_can_be_named() {
        let text = emitted(quote!(crate = crate::rt), &quote!(impl Counter {}));
        assert!(text.contains("implcrate::rt::__private::ActorforCounter{"), "{text}");
        assert!(!text.contains("shard_runtime"), "{text}");
        for arguments in [quote!(name = "x"), quote!(crate = a, b), quote!(crate), quote!(crate = 1)] {
            let text = emitted(arguments, &quote!(impl Counter {}));
            assert!(text.contains("compile_error!") && text.contains("ActorforCounter"), "{text}");
        }
    }

    #[test]
    fn the_conditions_of_the_block_hold_for_what_is_emitted() {
        let text = emitted(
            TokenStream::new(),
            &quote!(
                #[cfg(unix)]
                impl<T: Send> Worker<T> where T: Copy {}
            ),
        );
        assert_eq!(text.matches("#[cfg(unix)]").count(), 3, "{text}");
        assert!(
            text.contains("impl<T:Send>::shard_runtime::__private::ActorforWorker<T>whereT:Copy{"),
            "{text}"
        );
    }

    #[test]
    fn a_faulty_block_comes_back_with_its_faults_and_its_good_handlers() {
        let text = emitted(
            TokenStream::new(),
            &quote! {
                impl Counter {
                    #[handle] fn bad(&self) {}
                    #[handle] fn add(&mut self, m: Add, cx: &mut Context<'_>) -> ActorResult { Ok(()) }
                }
            },
        );
        assert_eq!(text.matches("compile_error!").count(), 1, "{text}");
        assert!(
            text.contains("fnbad(&self){}") && text.contains("b.plain::<Add>") && !text.contains("Self::bad"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_actor_comes_back_as_it_was() {
        for item in [
            quote!(
                struct Counter;
            ),
            quote!(
                fn f() {}
            ),
            quote!(impl Display for Counter {}),
        ] {
            let text = emitted(TokenStream::new(), &item);
            assert_eq!(text.matches("compile_error!").count(), 1, "{text}");
            assert!(text.ends_with(&item.to_string().replace(' ', "")), "{text}");
        }
        let unfinished = quote!(impl Counter { fn f(&self) { let x = ; } });
        assert_eq!(actor(TokenStream::new(), &unfinished).to_string(), unfinished.to_string());
    }

    #[test]
    fn a_stray_mark_is_refused_and_an_emitted_one_vanishes() {
        let item = quote!(
            fn f(&self) {}
        );
        let text = handle(&TokenStream::new(), &item).to_string();
        assert!(text.contains("compile_error") && text.ends_with(&item.to_string()), "{text}");
        assert!(
            handle(
                &quote!(__taken),
                &quote!(
                    const _: () = ();
                )
            )
            .is_empty()
        );
    }
}
