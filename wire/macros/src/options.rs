//! The arguments of `#[message(..)]` and `#[data(..)]`.

use syn::parse::{Parse, ParseStream};
use syn::{LitInt, LitStr, Path, Token, Type};

/// What stands in the parentheses.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) local: Option<syn::Ident>,
    pub(crate) reply: Option<Type>,
    pub(crate) schema: Option<LitInt>,
    pub(crate) name: Option<LitStr>,
    pub(crate) root: Option<Path>,
    /// An earlier version: it is not registered by itself.
    pub(crate) old: Option<syn::Ident>,
    /// Earlier versions, the newest first.
    pub(crate) replaces: Option<Type>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            options.one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(Token![crate]) {
            let word = input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            return set(&mut self.root, input.parse()?, word.span);
        }
        let word: syn::Ident = input.parse()?;
        let span = word.span();
        if word == "local" {
            return set(&mut self.local, word, span);
        }
        if word == "old" {
            return set(&mut self.old, word, span);
        }
        if !["reply", "schema", "name", "replaces"].iter().any(|known| word == known) {
            let text = format!(
                "unknown argument `{word}`: expected `local`, `reply`, `schema`, `name`, `old`, `replaces` or `crate`"
            );
            return Err(syn::Error::new(span, text));
        }
        input.parse::<Token![=]>()?;
        if word == "reply" {
            return set(&mut self.reply, input.parse()?, span);
        }
        if word == "replaces" {
            return set(&mut self.replaces, input.parse()?, span);
        }
        if word == "schema" {
            let number: LitInt = input.parse()?;
            number.base10_parse::<u64>()?;
            return set(&mut self.schema, number, span);
        }
        let name: LitStr = input.parse()?;
        if name.value().is_empty() {
            return Err(syn::Error::new(name.span(), "a wire name cannot be empty"));
        }
        set(&mut self.name, name, span)
    }
}

fn set<T>(slot: &mut Option<T>, value: T, span: proc_macro2::Span) -> syn::Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(syn::Error::new(span, "this argument is given twice")),
    }
}
