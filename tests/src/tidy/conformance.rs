//! The conformance table is true: every test that docs/conformance.md names exists, and no row is without an answer.
//!
//! Owns: how a row names its proof. A test is `file::name`, where `file` is the end of its path without `.rs`; a decision is the
//! path of its record; a row that has neither says `later` or `not offered`, and why.

use super::Source;
use super::Violation;
use super::register::quoted;
use super::source::has_word;

/// Where the table is.
pub const CONFORMANCE: &str = "docs/conformance.md";
/// How the last cell of a row without a test begins.
const WITHOUT_TEST: [&str; 2] = ["later", "not offered"];

/// Every row of every table names a test or a decision that exists, or says why it does not.
#[must_use]
pub fn conformance(document: &str, sources: &[Source], paths: &[String]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in (1_usize..).zip(document.lines()) {
        let Some(proof) = last_cell(line) else { continue };
        let mut blame =
            |what: String| violations.push(Violation::new(format!("{CONFORMANCE}:{number}"), what));
        let named = quoted(proof);
        if named.is_empty() && !WITHOUT_TEST.iter().any(|word| proof.starts_with(word)) {
            blame("names no test: name one, or say `later` or `not offered`, and why".to_owned());
        }
        for word in named {
            let exists = match word.rsplit_once("::") {
                Some((file, name)) => is_test(file, name, sources),
                None => paths.contains(&word),
            };
            if !exists {
                blame(format!("`{word}` does not exist"));
            }
        }
    }
    violations
}

/// The last cell of a row; `None` for a heading, a rule under it, and what is no row.
fn last_cell(line: &str) -> Option<&str> {
    let row = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
    let cell = row.rsplit('|').next()?.trim();
    let is_rule = !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':' | ' '));
    (cell != "Proof" && !is_rule).then_some(cell)
}

fn is_test(file: &str, name: &str, sources: &[Source]) -> bool {
    let is_it = |source: &&Source| {
        let before = source.path.strip_suffix(".rs").and_then(|path| path.strip_suffix(file));
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    sources.iter().filter(is_it).any(|source| has_word(&source.code, &format!("fn {name}")))
}

#[cfg(test)]
mod tests {
    use super::conformance;
    use crate::tidy::Source;

    fn see(row: &str) -> Vec<String> {
        let sources = [
            Source::new("a/tests/core/relations.rs", "//! T.\nfn it_fires_once() {}\n// fn it_sleeps() {}\n"),
            Source::new("a/src/wheel.rs", "//! T.\nfn loom_wheel() {}\n"),
        ];
        let table = format!("# T\n\n| Row | Here | Proof |\n| --- | --- | --- |\n{row}\n");
        let paths = ["docs/adr/0001-a.md".to_owned()];
        conformance(&table, &sources, &paths).into_iter().map(|v| format!("{} {}", v.at, v.what)).collect()
    }

    #[test]
    fn a_row_with_its_test_or_decision_holds() {
        for row in [
            "| exits | once | `core/relations::it_fires_once`, `wheel::loom_wheel`, `a/src/wheel::loom_wheel` |",
            "| exits | once | `docs/adr/0001-a.md` says why not |",
            "| nodes | no | later: links |",
            "| `a::b` | not offered | not offered: typed |",
            "text with `no::test`",
        ] {
            assert_eq!(see(row), Vec::<String>::new());
        }
    }

    #[test]
    fn a_row_without_proof_is_seen() {
        for (row, what) in [
            ("| exits | once | |", "names no test"),
            ("| exits | once | surely |", "names no test"),
            ("| exits | once | `core/relations::it_sleeps` |", "does not exist"),
            ("| exits | once | `wheel::it_fires_once` |", "does not exist"),
            ("| exits | once | `elations::it_fires_once` |", "does not exist"),
            ("| exits | once | `docs/adr/0002-b.md` |", "does not exist"),
        ] {
            let seen = see(row).concat();
            assert!(seen.starts_with("docs/conformance.md:5 ") && seen.contains(what), "{row}: {seen}");
        }
    }
}
