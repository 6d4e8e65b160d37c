//! The paths a file imports, with groups expanded and `self`/`super` resolved.
//!
//! Owns: reading `use` declarations out of blanked code. Macros that write `use` are not seen.

/// Paths of all `use` declarations in `code`, where the file at `path` is a module of its crate: `crate::a::b`.
/// Renames are dropped; a glob ends in `*`.
pub(super) fn imports(path: &str, code: &str) -> Vec<String> {
    let module = module_of(path);
    let mut found = Vec::new();
    for statement in statements(code) {
        expand("", &statement, &mut found);
    }
    found.iter().map(|import| resolve(&module, import)).collect()
}

/// Text between `use` and `;`, wherever `use` begins a declaration.
fn statements(code: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let before = rest[..at].trim_end();
        let begins = before.is_empty()
            || before.ends_with(['}', '{', ';', ']', ')', '*', '/'])
            || before.ends_with("pub")
            || before.ends_with("crate");
        let starts_word = !rest[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        rest = &rest[at + 4..];
        if let (true, Some(end)) = (begins && starts_word, rest.find(';')) {
            statements.push(rest[..end].to_owned());
        }
    }
    statements
}

fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        let path =
            if path == "self" { prefix.trim_end_matches("::").to_owned() } else { format!("{prefix}{path}") };
        found.push(path.split_whitespace().collect());
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let inner = tree[open + 1..].trim_end();
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..at], found);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&prefix, &inner[start..], found);
    }
}

/// Module path of a file below `src/`: `shard-runtime/src/ring/spsc.rs` is `["ring", "spsc"]`.
fn module_of(path: &str) -> Vec<String> {
    let below = path.split_once("/src/").map_or(path, |(_, below)| below);
    let below = below.trim_end_matches(".rs");
    let below = below.trim_end_matches("/mod");
    below.split('/').filter(|part| !matches!(*part, "lib" | "main" | "mod")).map(Into::into).collect()
}

fn resolve(module: &[String], import: &str) -> String {
    let mut here: Vec<&str> = module.iter().map(String::as_str).collect();
    let mut rest = import.trim_start_matches("::");
    let mut relative = false;
    loop {
        if let Some(after) = rest.strip_prefix("self::") {
            (rest, relative) = (after, true);
        } else if let Some(after) = rest.strip_prefix("super::") {
            here.pop();
            (rest, relative) = (after, true);
        } else {
            break;
        }
    }
    if relative {
        format!("crate::{}{}{rest}", here.join("::"), if here.is_empty() { "" } else { "::" })
    } else {
        rest.into()
    }
}

#[cfg(test)]
mod tests {
    use super::imports;

    #[test]
    fn groups_are_expanded_and_renames_dropped() {
        let code = "use std::{fmt::{self, Write as W}, time::Instant,};\npub(crate) use crate::link::*;\nfn f() { use a::b; }";
        assert_eq!(
            imports("x/src/a.rs", code),
            ["std::fmt", "std::fmt::Write", "std::time::Instant", "crate::link::*", "a::b"]
        );
    }

    #[test]
    fn relative_paths_are_resolved_from_the_file() {
        let code = "use super::super::link::Link;\nuse super::{node, self};\nuse self::x::Y;";
        assert_eq!(
            imports("shard-runtime/src/ring/spsc.rs", code),
            ["crate::link::Link", "crate::ring::node", "super", "crate::ring::spsc::x::Y"]
        );
        assert_eq!(imports("shard-runtime/src/ring/mod.rs", "use super::link;"), ["crate::link"]);
    }

    #[test]
    fn words_that_only_end_in_use_are_not_imports() {
        assert!(imports("x/src/a.rs", "let reuse = in_use + 1; // b\nlet x = because  ;").is_empty());
    }
}
