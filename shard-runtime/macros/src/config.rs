//! The arguments of `#[actor(..)]`.

use syn::Token;
use syn::parse::{Parse, ParseStream};

/// Where the emitted code finds the runtime.
pub(crate) struct Config {
    pub(crate) runtime: syn::Path,
}

impl Default for Config {
    fn default() -> Self {
        Self { runtime: syn::parse_quote!(::shard_runtime) }
    }
}

impl Parse for Config {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        if !input.peek(Token![crate]) {
            return Err(input.error("unknown argument of `#[actor]`: only `crate = path` is known"));
        }
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        let runtime = input.call(syn::Path::parse_mod_style)?;
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() {
            return Err(input.error("unknown argument of `#[actor]`: only `crate = path` is known"));
        }
        Ok(Self { runtime })
    }
}
