//! What handlers and hooks have in common: receivers, arguments and `#[cfg]`, read from the source.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Attribute, FnArg, GenericArgument, PatType, PathArguments, ReturnType, Signature, Type};

/// Refuses what neither handlers nor hooks can have: generics, `unsafe`, a foreign ABI, variadic arguments.
pub(crate) fn check_plain(signature: &Signature, role: &str) -> syn::Result<()> {
    let name = &signature.ident;
    if let Some(generic) = signature.generics.params.first() {
        return Err(syn::Error::new_spanned(
            generic,
            format!(
                "{role} `{name}` is generic: make the actor generic (`impl<T> ..`), and leave lifetimes out (`&mut Context<'_>`)"
            ),
        ));
    }
    if let Some(clause) = &signature.generics.where_clause {
        return Err(syn::Error::new_spanned(
            clause,
            format!("{role} `{name}` has a where clause: move it to the `impl` block"),
        ));
    }
    if let Some(token) = &signature.unsafety {
        return Err(syn::Error::new(
            token.span,
            format!("{role} `{name}` is `unsafe`: the runtime calls it from safe code, make it safe"),
        ));
    }
    if let Some(abi) = &signature.abi {
        return Err(syn::Error::new_spanned(
            abi,
            format!("{role} `{name}` has a foreign ABI: remove `extern`"),
        ));
    }
    Ok(())
}

/// Demands `&mut self`, or `&self` where `exclusive` is false.
pub(crate) fn check_receiver(signature: &Signature, exclusive: bool, role: &str) -> syn::Result<()> {
    let wanted = if exclusive { "&mut self" } else { "&self" };
    let name = &signature.ident;
    let Some(receiver) = signature.receiver() else {
        return Err(syn::Error::new_spanned(
            name,
            format!("{role} `{name}` has no receiver: its first argument is `{wanted}`"),
        ));
    };
    let fits = match &*receiver.ty {
        Type::Reference(reference) => {
            reference.lifetime.is_none()
                && reference.mutability.is_some() == exclusive
                && matches!(&*reference.elem, Type::Path(path) if path.path.is_ident("Self"))
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(syn::Error::new_spanned(receiver, format!("{role} `{name}` takes its actor as `{wanted}`")))
    }
}

/// The arguments after the receiver.
pub(crate) fn arguments(signature: &Signature) -> Vec<&PatType> {
    signature
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        })
        .collect()
}

/// The type without the invisible groups that a declarative macro puts around its fragments.
pub(crate) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

/// Whether the type is `&mut ..`, or `& ..` where `exclusive` is false.
pub(crate) fn is_reference(ty: &Type, exclusive: bool) -> bool {
    matches!(ungrouped(ty), Type::Reference(reference) if reference.mutability.is_some() == exclusive)
}

/// Whether the last segment of a path type is `name`.
pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ungrouped(ty), Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// What is viewed by a type that is written `View<M>`, by any path.
pub(crate) fn viewed(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ungrouped(ty) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "View")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match (arguments.args.first()?, arguments.args.len()) {
        (GenericArgument::Type(message), 1) => Some(ungrouped(message)),
        _ => None,
    }
}

/// The written return type, unless it is missing or `()`.
pub(crate) fn output(signature: &Signature) -> Option<&Type> {
    match &signature.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => {
            Some(&**ty).filter(|ty| !matches!(ungrouped(ty), Type::Tuple(tuple) if tuple.elems.is_empty()))
        }
    }
}

/// The `#[cfg]` conditions of a method or block: they must hold for whatever names it. They are not yet evaluated when an
/// attribute macro runs.
#[derive(Clone, Default)]
pub(crate) struct Conditions(Vec<Attribute>);

impl Conditions {
    pub(crate) fn of(attributes: &[Attribute]) -> Self {
        Self(attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As attributes, to be put before an item, a statement or an array element.
    pub(crate) fn attributes(&self) -> TokenStream {
        self.0.iter().map(|attribute| attribute.to_token_stream()).collect()
    }

    /// As one predicate; `all()` is true.
    pub(crate) fn predicate(&self) -> TokenStream {
        let predicates =
            self.0.iter().filter_map(|attribute| attribute.meta.require_list().ok()).map(|list| &list.tokens);
        quote!(all(#(#predicates),*))
    }
}
