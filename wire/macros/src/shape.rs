//! The structural hash of a type, as an expression.

use crate::options::Options;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Fields, Item};

/// An expression of type `u64`. With `schema = N` it is built from the number, else from fields and variants.
pub(crate) fn hash(item: &Item, options: &Options, root: &TokenStream) -> TokenStream {
    let shape = quote!(#root::__private::Shape);
    if let Some(number) = &options.schema {
        return quote!(#shape::new("declared").version(#number).finish());
    }
    let steps = match item {
        Item::Struct(item) => {
            let steps = attributes(&item.attrs).chain(fields(&item.fields, root));
            let steps: TokenStream = steps.collect();
            quote!(#shape::new("struct")#steps)
        }
        Item::Enum(item) => {
            let variants = item.variants.iter().flat_map(|variant| {
                let name = variant.ident.unraw().to_string();
                let head = std::iter::once(quote!(.variant(#name)));
                head.chain(attributes(&variant.attrs))
                    .chain(fields(&variant.fields, root))
                    .collect::<Vec<_>>()
            });
            let steps: TokenStream = attributes(&item.attrs).chain(variants).collect();
            quote!(#shape::new("enum")#steps)
        }
        _ => quote!(#shape::new("")),
    };
    quote!(#steps.finish())
}

fn fields<'a>(fields: &'a Fields, root: &'a TokenStream) -> impl Iterator<Item = TokenStream> + 'a {
    fields.iter().enumerate().flat_map(move |(index, field)| {
        let name = field.ident.as_ref().map_or_else(|| index.to_string(), |ident| ident.unraw().to_string());
        let ty = &field.ty;
        let step = quote!(.field(#name, <#ty as #root::__private::Schema>::HASH));
        attributes(&field.attrs).chain(std::iter::once(step)).collect::<Vec<_>>()
    })
}

/// An attribute of rkyv may change the archived form, so its text counts.
fn attributes(attributes: &[Attribute]) -> impl Iterator<Item = TokenStream> + '_ {
    attributes.iter().filter(|attribute| attribute.path().is_ident("rkyv")).map(|attribute| {
        let text: String = attribute.meta.to_token_stream().to_string().split_whitespace().collect();
        quote!(.attribute(#text))
    })
}
