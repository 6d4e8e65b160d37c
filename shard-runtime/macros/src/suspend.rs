//! Whether a handler's future can suspend: decided on tokens, because the macro sees the source before any expansion.
//!
//! Invariants: S1 "cannot suspend" is only said when no `await` token is in the body, no macro call in it can expand
//! to one, and no attribute of the handler may rewrite the body. S2 every doubt counts as an `await`: a needless
//! pooled future costs time, a suspended future on the stack would be a bug.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Attribute, ImplItemFn};

/// Macros of `std` that expand to no `await` unless their arguments hold one.
const AWAIT_FREE: &[&str] = &[
    "addr_of",
    "addr_of_mut",
    "assert",
    "assert_eq",
    "assert_ne",
    "cfg",
    "column",
    "compile_error",
    "concat",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "env",
    "eprint",
    "eprintln",
    "file",
    "format",
    "format_args",
    "include_bytes",
    "include_str",
    "line",
    "macro_rules",
    "matches",
    "module_path",
    "option_env",
    "panic",
    "print",
    "println",
    "stringify",
    "thread_local",
    "todo",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// Attributes that leave the body as it is written.
const INERT: &[&str] = &[
    "allow",
    "cfg",
    "cold",
    "deny",
    "deprecated",
    "doc",
    "expect",
    "forbid",
    "inline",
    "must_use",
    "optimize",
    "track_caller",
    "warn",
];

/// Attribute tools that never rewrite.
const INERT_TOOLS: &[&str] = &["clippy", "diagnostic", "rustfmt", "rust_analyzer"];

/// Keywords after which `!` is a negation, not a macro call.
const KEYWORDS: &[&str] = &[
    "as", "async", "box", "break", "const", "continue", "do", "dyn", "else", "for", "if", "impl", "in",
    "let", "loop", "match", "move", "mut", "ref", "return", "static", "try", "unsafe", "where", "while",
    "yield",
];

/// Whether the future of this `async fn` may be pending at its first poll.
pub(crate) fn may_suspend(method: &ImplItemFn) -> bool {
    method.attrs.iter().any(may_rewrite) || hides_await(method.block.to_token_stream())
}

fn may_rewrite(attribute: &Attribute) -> bool {
    let path = attribute.path();
    match path.segments.first() {
        Some(first) if path.segments.len() == 1 => !INERT.iter().any(|name| first.ident == name),
        Some(first) => !INERT_TOOLS.iter().any(|name| first.ident == name),
        None => true,
    }
}

fn hides_await(tokens: TokenStream) -> bool {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    trees.iter().enumerate().any(|(at, tree)| match tree {
        TokenTree::Ident(word) => word == "await",
        TokenTree::Group(group) => hides_await(group.stream()),
        TokenTree::Punct(mark) => {
            let (before, after) = trees.split_at(at);
            mark.as_char() == '!' && is_call(before, after) && !is_await_free(before)
        }
        TokenTree::Literal(_) => false,
    })
}

/// Whether a `!` between these tokens (`after` begins with it) calls a macro: `name!(..)`, or `macro_rules! name {..}`.
fn is_call(before: &[TokenTree], after: &[TokenTree]) -> bool {
    let Some(TokenTree::Ident(name)) = before.last() else { return false };
    matches!(after.get(1), Some(TokenTree::Group(_) | TokenTree::Ident(_)))
        && !KEYWORDS.iter().any(|word| name == word)
}

/// Whether the macro path that ends `before` is one of [`AWAIT_FREE`], plain or through `std`, `core` or `alloc`.
fn is_await_free(before: &[TokenTree]) -> bool {
    let mut path = path_at_end(before);
    let Some(name) = path.next() else { return false };
    let root = path.last();
    AWAIT_FREE.contains(&name.as_str())
        && root.is_none_or(|root| matches!(root.as_str(), "std" | "core" | "alloc"))
}

/// The segments of the path that ends `tokens`, last one first.
fn path_at_end(mut tokens: &[TokenTree]) -> impl Iterator<Item = String> {
    let mut segments = Vec::new();
    while let [rest @ .., TokenTree::Ident(segment)] = tokens {
        segments.push(segment.to_string());
        match rest {
            [rest @ .., TokenTree::Punct(one), TokenTree::Punct(two)]
                if one.as_char() == ':' && two.as_char() == ':' =>
            {
                tokens = rest;
            }
            _ => break,
        }
    }
    segments.into_iter()
}

#[cfg(test)]
mod tests {
    use super::may_suspend;
    use syn::{ImplItemFn, parse_str};

    fn body(text: &str) -> bool {
        may_suspend(&parse_str::<ImplItemFn>(&format!("async fn f(&mut self) {{ {text} }}")).unwrap())
    }

    fn attributes(text: &str) -> bool {
        may_suspend(&parse_str::<ImplItemFn>(&format!("{text} async fn f(&mut self) {{}}")).unwrap())
    }

    #[test]
    fn an_await_anywhere_counts() {
        for text in [
            "x.await;",
            "if a { loop { f(x.await) } }",
            "let later = async { x.await };",
            "println!(\"{}\", x.await);",
            "vec![1, { x.await }];",
            "assert!(matches!(x.await, Some(_)));",
            "macro_rules! wait { ($x:expr) => { $x.await } }",
        ] {
            assert!(body(text), "{text}");
        }
    }

    #[test]
    fn a_body_without_one_is_ready() {
        for text in [
            "",
            "self.total += m.n; Ok(())",
            "if a != b { return !(a); }",
            "while !(done) {} match !(a) { _ => {} }",
            "let awaited = \"x.await\"; /* x.await */",
            "let r#await = 1;",
            "let never: fn() -> ! = panic;",
        ] {
            assert!(!body(text), "{text}");
        }
    }

    #[test]
    fn std_macros_are_free_of_await() {
        for text in [
            "println!(\"await\");",
            "let s = std::format!(\"{}\", 1);",
            "::core::assert_eq!(vec![1; 3], [1, 1, 1]);",
            "write!(out, \"{}\", format!(\"x\"))?;",
            "if matches!(x, Some(_)) { panic!() }",
            "std::ptr::addr_of!(x);",
        ] {
            assert!(!body(text), "{text}");
        }
    }

    #[test]
    fn any_other_macro_may_hide_one() {
        for text in [
            "join!(a, b);",
            "futures::join!(a, b);",
            "mine::format!(\"x\");",
            "println!(\"{}\", wait!(x));",
            "let x = wait! { x };",
            "wait!{x}",
            "std::thread_local::wait!(x);",
            "macro_rules! wait { ($x:expr) => { other!($x) } }",
        ] {
            assert!(body(text), "{text}");
        }
    }

    #[test]
    fn attributes_that_may_rewrite_the_body_count() {
        for text in ["#[instrument]", "#[tracing::instrument]", "#[cfg_attr(feature = \"x\", instrument)]"] {
            assert!(attributes(text), "{text}");
        }
        for text in
            ["/// await\n", "#[inline]", "#[expect(unused, reason = \"x\")]", "#[clippy::msrv = \"1.95\"]"]
        {
            assert!(!attributes(text), "{text}");
        }
    }
}
