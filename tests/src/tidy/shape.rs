//! The shape of a file: it begins with a header and ends before it gets long.
//!
//! Owns: the limits of the house style and their exceptions.

use super::{Source, Violation};

/// Lines of a file before its tests.
const FILE_LINES: usize = 800;
/// Lines of a `mod.rs` before its tests.
const MOD_LINES: usize = 120;
/// Files that are longer, and the length they may not exceed. This list only shrinks.
const LONG: &[(&str, usize)] = &[];

/// Every file within its limit.
#[must_use]
pub fn lengths(sources: &[Source]) -> Vec<Violation> {
    lengths_with(sources, LONG)
}

fn lengths_with(sources: &[Source], long: &[(&str, usize)]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        let lines = source.lines_before_tests();
        let is_mod = source.path.ends_with("/mod.rs");
        let limit = if is_mod { MOD_LINES } else { FILE_LINES };
        let exception = long.iter().find(|(path, _)| *path == source.path).map(|(_, limit)| *limit);
        if lines > exception.unwrap_or(limit) {
            let remedy = if is_mod {
                "a mod.rs holds docs, `mod` lines and re-exports"
            } else {
                "split it by concern"
            };
            violations.push(Violation::new(
                &source.path,
                format!("{lines} lines before tests, {limit} allowed: {remedy}"),
            ));
        }
        if exception.is_some() && lines <= limit {
            violations.push(Violation::new(
                &source.path,
                "is within the limit again: take it off the list of exceptions",
            ));
        }
    }
    for (path, _) in long.iter().filter(|(path, _)| !sources.iter().any(|s| s.path == *path)) {
        violations.push(Violation::new(*path, "is gone: take it off the list of exceptions"));
    }
    violations
}

/// Every file begins with a `//!` header, after inner attributes if there are any. Samples for the compiler in
/// `tests/ui` do not.
#[must_use]
pub fn headers(sources: &[Source]) -> Vec<Violation> {
    let candidates = sources.iter().filter(|s| !s.path.contains("tests/ui/"));
    let bare = candidates.filter(|s| !after_attributes(&s.text).starts_with("//!"));
    let what = "begins without a `//!` header: say what it owns, its invariants, threads and cost";
    bare.map(|s| Violation::new(&s.path, what)).collect()
}

fn after_attributes(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with("#![") {
        let Some(end) = rest.find("]\n") else { break };
        rest = rest[end + 2..].trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::{headers, lengths, lengths_with};
    use crate::tidy::Source;

    #[test]
    fn a_long_file_is_seen_and_its_tests_are_free() {
        let long = |path: &str, lines: usize| {
            Source::new(path, "//! x\n".repeat(lines) + "#[cfg(test)]\n" + &"x\n".repeat(900))
        };
        assert_eq!(lengths(&[long("wire/src/a.rs", 800), long("wire/src/b/mod.rs", 120)]), []);
        assert_eq!(lengths(&[long("wire/src/a.rs", 801), long("wire/src/b/mod.rs", 121)]).len(), 2);
    }

    #[test]
    fn the_list_of_exceptions_only_shrinks() {
        let file = |lines: usize| [Source::new("a.rs", "x\n".repeat(lines))];
        assert_eq!(lengths_with(&file(900), &[("a.rs", 900)]), []);
        assert_eq!(lengths_with(&file(901), &[("a.rs", 900)]).len(), 1);
        assert_eq!(lengths_with(&file(10), &[("a.rs", 900)]).len(), 1);
        assert_eq!(lengths_with(&file(10), &[("b.rs", 900)]).len(), 1);
    }

    #[test]
    fn a_file_without_a_header_is_seen() {
        assert_eq!(headers(&[Source::new("a.rs", "use std::fmt;\n")]).len(), 1);
        assert_eq!(headers(&[Source::new("a.rs", "#![no_main]\n// A.\n")]).len(), 1);
        assert_eq!(headers(&[Source::new("a.rs", "#![expect(\n  unsafe_code\n)]\n\n//! A.\n")]), []);
        assert_eq!(
            headers(&[Source::new("a.rs", "//! A.\n"), Source::new("x/tests/ui/a.rs", "fn main() {}")]),
            []
        );
    }
}
