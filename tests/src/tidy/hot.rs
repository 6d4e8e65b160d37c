//! The hot modules use nothing that could cost: no diagnostics, no clock, no log, no default hasher.
//!
//! Owns: which folders are hot and what they must not reach. Test code in them is free.

use super::uses::imports;
use super::{Source, Violation};

/// Folders whose code runs per message.
const HOT: &[&str] = &["process", "mailbox", "ring", "shard", "actor"];

/// Paths that hot code must not reach, by prefix.
const MUST_NOT_REACH: &[&str] = &[
    "crate::diag",
    "crate::control",
    "crate::link",
    "crate::registrar",
    "crate::node",
    "shard_diag",
    "tokio",
    "tracing",
    "log",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// What may be reached all the same: the state of the network, which a shard holds and its send path asks.
const MAY_REACH: &[&str] = &["crate::link::Net"];

/// Macros that format text.
const LOG_MACROS: &[&str] =
    &["println", "eprintln", "print", "eprint", "trace", "debug", "info", "warn", "error", "event"];

/// The production code of the hot modules against the lists above.
#[must_use]
pub fn hot_modules(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|s| is_hot(&s.path) && !s.is_test_file()) {
        let code = source.production();
        let mut bad: Vec<String> = Vec::new();
        let imported = imports(&source.path, code);
        let inline = inline_paths(code);
        for path in imported.iter().chain(&inline).filter(|path| !MAY_REACH.contains(&path.as_str())) {
            if let Some(prefix) =
                MUST_NOT_REACH.iter().find(|p| path == *p || path.starts_with(&format!("{p}::")))
            {
                bad.push(format!("reaches {prefix} (`{path}`)"));
            }
        }
        bad.extend(
            LOG_MACROS.iter().filter(|m| calls_macro(code, m)).map(|m| format!("formats text with `{m}!`")),
        );
        bad.extend(default_hashers(code));
        bad.sort();
        bad.dedup();
        violations
            .extend(bad.into_iter().map(|what| Violation::new(&source.path, format!("hot module {what}"))));
    }
    violations
}

fn is_hot(path: &str) -> bool {
    path.strip_prefix("shard-runtime/src/").is_some_and(|below| {
        HOT.iter()
            .any(|hot| below.strip_prefix(hot).is_some_and(|rest| rest.starts_with('/') || rest == ".rs"))
    })
}

/// Every `a::b::c` in the code, `use` or not.
fn inline_paths(code: &str) -> Vec<String> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .map(|path| path.trim_matches(':'))
        .filter(|path| path.contains("::"))
        .map(Into::into)
        .collect()
}

fn calls_macro(code: &str, name: &str) -> bool {
    let call = format!("{name}!");
    code.match_indices(&call).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + call.len()..].trim_start().chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_') && matches!(after, Some('(' | '[' | '{'))
    })
}

/// Maps and sets that hash with the default hasher: too few type arguments, or a constructor only the default has.
fn default_hashers(code: &str) -> Vec<String> {
    let mut bad = Vec::new();
    for (name, arguments) in [("HashMap", 3), ("HashSet", 2)] {
        for (at, _) in code.match_indices(name) {
            let rest = &code[at + name.len()..];
            let constructed = ["::new(", "::with_capacity(", "::from("].iter().any(|c| rest.starts_with(c));
            let list = rest.strip_prefix("::<").or_else(|| rest.strip_prefix('<'));
            if constructed || list.is_some_and(|list| count_arguments(list) < arguments) {
                bad.push(format!("hashes with the default hasher (`{name}`): give it a cheap one"));
            }
        }
    }
    bad
}

/// Number of type arguments up to the closing `>`.
fn count_arguments(list: &str) -> usize {
    let mut depth = 0_i32;
    let mut count = 1;
    let mut previous = ' ';
    for c in list.chars() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if previous == '-' => {}
            '>' if depth == 0 => break,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => count += 1,
            _ => {}
        }
        previous = c;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::hot_modules;
    use crate::tidy::Source;

    fn see(path: &str, code: &str) -> usize {
        hot_modules(&[Source::new(path, code)]).len()
    }

    #[test]
    fn what_costs_is_seen() {
        let path = "shard-runtime/src/mailbox/queue.rs";
        assert_eq!(see(path, "use crate::link::Link;"), 1);
        assert_eq!(see(path, "use super::super::node::Node;"), 1);
        assert_eq!(see(path, "use crate::{ring::Spsc, control::Thread};"), 1);
        assert_eq!(see(path, "fn f() { let _ = std::time::Instant::now(); }"), 1);
        assert_eq!(see(path, "use std::time::{Duration, Instant};"), 1);
        assert_eq!(see(path, "fn f() { tracing::info!(\"x\"); }"), 2);
        assert_eq!(see(path, "fn f() { tokio::spawn(x); }"), 1);
        assert_eq!(see(path, "struct A { m: HashMap<u64, fn(u8) -> Vec<u8>> }"), 1);
        assert_eq!(see(path, "fn f() { let m = HashSet::new(); }"), 1);
    }

    #[test]
    fn what_is_free_or_elsewhere_is_not() {
        let path = "shard-runtime/src/mailbox/queue.rs";
        assert_eq!(see(path, "use super::node::Node; use std::time::Duration; // crate::link::Link"), 0);
        assert_eq!(see(path, "struct A { m: HashMap<u64, Vec<(u8, u8)>, Fast>, s: HashSet<u8, Fast> }"), 0);
        assert_eq!(see(path, "//! x\n#[cfg(test)]\nmod tests { use crate::node::Node; }"), 0);
        assert_eq!(see("shard-runtime/src/mailbox/tests.rs", "use crate::node::Node;"), 0);
        assert_eq!(see("shard-runtime/src/names.rs", "use crate::node::Node;"), 0);
        assert_eq!(see("shard-runtime/src/shards/a.rs", "use crate::node::Node;"), 0);
    }
}
