//! Where the emitted code finds shard-wire.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Ident;

/// Path of shard-wire as seen from the crate being compiled: itself if it is a dependency, else through
/// shard-runtime, which re-exports it as `wire`.
pub(crate) fn root() -> syn::Result<TokenStream> {
    if let Some(name) = dependency("shard-wire") {
        return Ok(quote!(::#name));
    }
    if let Some(name) = dependency("shard-runtime") {
        return Ok(quote!(::#name::wire));
    }
    let text = "neither shard-runtime nor shard-wire is a dependency of this crate: add one, or name the path with \
                `crate = some::path`";
    Err(syn::Error::new(Span::call_site(), text))
}

fn dependency(package: &str) -> Option<Ident> {
    let name = match crate_name(package).ok()? {
        // Both crates name themselves by `extern crate self as ..`, which also covers their tests and examples.
        FoundCrate::Itself => package.replace('-', "_"),
        FoundCrate::Name(name) => name,
    };
    Some(Ident::new(&name, Span::call_site()))
}
