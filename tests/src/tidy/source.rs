//! One file, as text and as code.
//!
//! Owns: the two views of a file that rules look at, and where its tests begin.

use super::scan::blank;

/// A Rust file: its text, and the same with comments and literals blanked out.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path relative to the repository, with `/`.
    pub path: String,
    /// As it is on disk.
    pub text: String,
    /// Comments and the inside of literals replaced by spaces; positions are those of `text`.
    pub code: String,
}

impl Source {
    /// A file with this content.
    #[must_use]
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let code = blank(&text);
        Self { path: path.into(), text, code }
    }

    /// Whether the whole file is test code.
    #[must_use]
    pub fn is_test_file(&self) -> bool {
        self.path.split('/').any(|component| component == "tests") || self.tested_files().is_some()
    }

    /// The files whose child this one is, if it holds their tests: `x.rs` for `x_tests.rs` and `x_loom.rs`, `x/mod.rs`
    /// or `x.rs` for `x/tests.rs`.
    pub(super) fn tested_files(&self) -> Option<[String; 2]> {
        let stem = ["/tests.rs", "_tests.rs", "_loom.rs"]
            .iter()
            .find_map(|ending| self.path.strip_suffix(ending))?;
        Some([format!("{stem}.rs"), format!("{stem}/mod.rs")])
    }

    /// Number of lines before the first `#[cfg(test)]`, or `#[cfg(all(test, ..` at the left margin.
    #[must_use]
    pub fn lines_before_tests(&self) -> usize {
        let begins = |line: &str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,");
        self.code.lines().take_while(|line| !begins(line)).count()
    }

    /// The code before the tests.
    #[must_use]
    pub fn production(&self) -> &str {
        let lines = self.lines_before_tests();
        let end: usize = self.code.split_inclusive('\n').take(lines).map(str::len).sum();
        self.code.get(..end).unwrap_or(&self.code)
    }

    /// `path:line` of every place where `word` stands alone in the code.
    pub(super) fn places_of(&self, word: &str) -> Vec<String> {
        (1_usize..)
            .zip(self.code.lines())
            .filter(|(_, line)| has_word(line, word))
            .map(|(number, _)| format!("{}:{number}", self.path))
            .collect()
    }
}

/// Whether `word` occurs in `code` with no letter, digit or underscore on either side.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::{Source, has_word};

    #[test]
    fn a_word_stands_alone() {
        assert!(has_word("unsafe { x }", "unsafe") && has_word("(unsafe)", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe") && !has_word("not_unsafe", "unsafe"));
    }

    #[test]
    fn files_of_tests_are_known_by_name() {
        let is = |path: &str| Source::new(path, "").is_test_file();
        assert!(is("a/src/ring/tests.rs") && is("a/src/ring/spsc_tests.rs") && is("a/src/ring/spsc_loom.rs"));
        assert!(is("tests/src/lib.rs") && is("wire/tests/golden.rs"));
        assert!(!is("a/src/ring/spsc.rs") && !is("a/src/ring/contests.rs"));
    }

    #[test]
    fn production_ends_where_tests_begin() {
        let source = Source::new(
            "a.rs",
            "//! é\nfn a() {}\n    #[cfg(test)]\nfn b() {}\n#[cfg(test)]\nmod tests {}\n",
        );
        assert_eq!(source.lines_before_tests(), 4);
        assert!(source.production().ends_with("fn b() {}\n"));
        assert_eq!(source.places_of("tests"), ["a.rs:6"]);
        assert_eq!(
            Source::new("a.rs", "//! a\n#[cfg(all(test, loom))]\nmod loom_tests;\n").lines_before_tests(),
            1
        );
    }
}
