//! The code that `#[message]` and `#[data]` emit.

use crate::options::Options;
use crate::{path, shape};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Fields, Generics, Ident, Item, Type, parse_quote};

pub(crate) fn message(options: &Options, item: Item) -> syn::Result<TokenStream> {
    let root = root(options)?;
    let (name, generics) = parts(&item)?;
    let (name, generics) = (name.clone(), generics.clone());
    let unit: Type = parse_quote!(());
    let reply = options.reply.as_ref().unwrap_or(&unit);
    if options.local.is_some() {
        return local(options, &item, &root, &name, &generics, reply);
    }
    if !generics.params.is_empty() {
        let text = "a generic message has no single key and cannot leave the node: write `#[message(local)]`";
        return Err(syn::Error::new_spanned(&generics, text));
    }
    let wire_name = options.name.as_ref().map_or_else(
        || {
            let short = name.unraw().to_string();
            quote!(::core::concat!(::core::module_path!(), "::", #short))
        },
        ToTokens::to_token_stream,
    );
    if let Some(old) = &options.old
        && options.name.is_none()
    {
        let text = "an earlier version has the wire name of the later one: write `name = \"..\"` at both";
        return Err(syn::Error::new_spanned(old, text));
    }
    let versions: Vec<&Type> = match &options.replaces {
        None => Vec::new(),
        Some(Type::Tuple(all)) => all.elems.iter().collect(),
        Some(one) => vec![one],
    };
    let older_views = older(&root, &name, &wire_name, &versions, &quote!(of_views));
    let older = older(&root, &name, &wire_name, &versions, &quote!(of));
    // An earlier version is read as the later one, which registers it.
    let entry = options.old.is_none().then(|| {
        quote! {
            #[#root::__private::linkme::distributed_slice(#root::__private::MESSAGES)]
            #[linkme(crate = #root::__private::linkme)]
            static ENTRY: #root::__private::MessageEntry =
                #root::__private::MessageEntry::new(TABLE.erased(), &OPS, ::core::file!(), ::core::line!());
        }
    });
    let body = body(options, item, &root)?;
    Ok(quote! {
        #body
        const _: () = {
            static OPS: #root::__private::WireOps =
                #root::__private::WireOps::of::<#name>(#wire_name).with_views::<#name>() #older;
            static VIEW_OPS: #root::__private::WireOps =
                #root::__private::WireOps::of_views::<#name>(#wire_name) #older_views;
            static VIEW: #root::__private::Table<#root::__private::View<#name>> =
                #root::__private::Table::view(&VIEW_OPS);
            #[automatically_derived]
            impl #root::__private::Viewable for #name {
                const VIEW: &'static #root::__private::Table<#root::__private::View<Self>> = &VIEW;
            }
            static TABLE: #root::__private::Table<#name> = #root::__private::Table::wire(&OPS);
            #entry
            #[automatically_derived]
            impl #root::__private::Message for #name {
                type Reply = #reply;
                const TABLE: &'static #root::__private::Table<Self> = &TABLE;
            }
        };
    })
}

/// What is behind the operations of a message that has earlier versions.
fn older(
    root: &TokenStream,
    name: &Ident,
    wire_name: &TokenStream,
    versions: &[&Type],
    of: &TokenStream,
) -> Option<TokenStream> {
    (!versions.is_empty()).then(|| {
        let private = quote!(#root::__private);
        quote! {
            .with_older(&[#({
                static UPGRADING: #private::WireOps = #private::WireOps::upgrading::<#versions, #name>(#wire_name);
                #private::Older::#of::<#versions, #name>(&UPGRADING)
            }),*])
        }
    })
}

fn local(
    options: &Options,
    item: &Item,
    root: &TokenStream,
    name: &Ident,
    generics: &Generics,
    reply: &Type,
) -> syn::Result<TokenStream> {
    for (given, what) in [
        (options.schema.to_token_stream(), "schema"),
        (options.name.to_token_stream(), "name"),
        (options.old.to_token_stream(), "old"),
        (options.replaces.to_token_stream(), "replaces"),
    ] {
        if !given.is_empty() {
            return Err(syn::Error::new_spanned(
                given,
                format!("a local message has no `{what}`: it has no key"),
            ));
        }
    }
    if let Some(lifetime) = generics.lifetimes().next() {
        return Err(syn::Error::new_spanned(
            lifetime,
            "a message owns what it holds: it cannot have a lifetime",
        ));
    }
    let table = quote!(#root::__private::Table);
    if generics.params.is_empty() {
        return Ok(quote! {
            #item
            const _: () = {
                static TABLE: #table<#name> = #table::local();
                #[automatically_derived]
                impl #root::__private::Message for #name {
                    type Reply = #reply;
                    const TABLE: &'static #table<Self> = &TABLE;
                }
            };
        });
    }
    let mut bounded = generics.clone();
    for parameter in bounded.type_params_mut() {
        parameter.bounds.push(parse_quote!(::core::marker::Send));
        parameter.bounds.push(parse_quote!('static));
    }
    let (implementation, _, _) = bounded.split_for_impl();
    let (_, arguments, clause) = generics.split_for_impl();
    Ok(quote! {
        #item
        // A static cannot be generic: the table of each instance is promoted, and may have several addresses.
        #[automatically_derived]
        impl #implementation #root::__private::Message for #name #arguments #clause {
            type Reply = #reply;
            const TABLE: &'static #table<Self> = &const { #table::local() };
        }
    })
}

pub(crate) fn data(options: &Options, item: Item) -> syn::Result<TokenStream> {
    let message_only = [
        (options.local.to_token_stream(), "local"),
        (options.reply.to_token_stream(), "reply"),
        (options.name.to_token_stream(), "name"),
        (options.old.to_token_stream(), "old"),
        (options.replaces.to_token_stream(), "replaces"),
    ];
    for (given, what) in message_only {
        if !given.is_empty() {
            return Err(syn::Error::new_spanned(
                given,
                format!("`{what}` belongs to `#[message]`, not to `#[data]`"),
            ));
        }
    }
    let root = root(options)?;
    body(options, item, &root)
}

/// The item with its derives, and its structural hash.
fn body(options: &Options, mut item: Item, root: &TokenStream) -> syn::Result<TokenStream> {
    let hash = shape::hash(&item, options, root);
    let (name, generics) = parts(&item)?;
    let (name, generics) = (name.clone(), generics.clone());
    if let Some(lifetime) = generics.lifetimes().next() {
        return Err(syn::Error::new_spanned(
            lifetime,
            "what leaves the node owns what it holds: no lifetimes",
        ));
    }
    let private = quote!(#root::__private);
    let serde = quote!(#private::serde).to_string().replace(' ', "");
    let schemars = quote!(#private::schemars).to_string().replace(' ', "");
    let derives: Vec<Attribute> = vec![
        parse_quote!(#[derive(
            #private::rkyv::Archive, #private::rkyv::Serialize, #private::rkyv::Deserialize,
            #private::serde::Serialize, #private::serde::Deserialize, #private::schemars::JsonSchema,
        )]),
        parse_quote!(#[rkyv(crate = #private::rkyv)]),
        parse_quote!(#[serde(crate = #serde)]),
        parse_quote!(#[schemars(crate = #schemars)]),
    ];
    let derives = if options.schema.is_some() && generics.params.is_empty() {
        omit_bounds(&mut item);
        derives.into_iter().chain(recursive_bounds(&private)).collect()
    } else {
        derives
    };
    // In front, because attributes of the user may be helpers of these derives.
    match &mut item {
        Item::Struct(item) => drop(item.attrs.splice(..0, derives)),
        Item::Enum(item) => drop(item.attrs.splice(..0, derives)),
        _ => {}
    }
    let mut bounded = generics.clone();
    for parameter in bounded.type_params_mut() {
        parameter.bounds.push(parse_quote!(#private::Schema));
    }
    let (implementation, _, _) = bounded.split_for_impl();
    let (_, arguments, clause) = generics.split_for_impl();
    Ok(quote! {
        #item
        #[automatically_derived]
        impl #implementation #private::Schema for #name #arguments #clause {
            const HASH: u64 = #hash;
        }
    })
}

/// A recursive type cannot ask for its fields' bounds: that would ask for its own. It asks for what they all come
/// down to instead.
fn recursive_bounds(private: &TokenStream) -> [Attribute; 3] {
    let rkyv = quote!(#private::rkyv);
    [
        parse_quote!(#[rkyv(serialize_bounds(
            __S: #rkyv::ser::Writer + #rkyv::ser::Allocator, __S::Error: #rkyv::rancor::Source,
        ))]),
        parse_quote!(#[rkyv(deserialize_bounds(__D::Error: #rkyv::rancor::Source))]),
        parse_quote!(#[rkyv(bytecheck(bounds(
            __C: #rkyv::validation::ArchiveContext, __C::Error: #rkyv::rancor::Source,
        )))]),
    ]
}

fn omit_bounds(item: &mut Item) {
    let omit = |fields: &mut Fields| {
        fields.iter_mut().for_each(|field| field.attrs.push(parse_quote!(#[rkyv(omit_bounds)])))
    };
    match item {
        Item::Struct(item) => omit(&mut item.fields),
        Item::Enum(item) => item.variants.iter_mut().for_each(|variant| omit(&mut variant.fields)),
        _ => {}
    }
}

fn root(options: &Options) -> syn::Result<TokenStream> {
    options.root.as_ref().map_or_else(path::root, |path| Ok(path.to_token_stream()))
}

fn parts(item: &Item) -> syn::Result<(&Ident, &Generics)> {
    match item {
        Item::Struct(item) => Ok((&item.ident, &item.generics)),
        Item::Enum(item) => Ok((&item.ident, &item.generics)),
        other => Err(syn::Error::new_spanned(other, "expected a struct or an enum")),
    }
}
