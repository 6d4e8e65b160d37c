//! The register of unsafe code: every module that may use it is in ARCHITECTURE.md, with its invariant and its proof.
//!
//! Owns: the comparison of three places: the `expect` line at the top of the module, the table row, the test that the
//! row names. A file of tests beside a registered module (`x_tests.rs`, `x_loom.rs`, `x/tests.rs`) belongs to it.

use super::source::has_word;
use super::{Source, Violation};

/// Heading of the table in ARCHITECTURE.md.
const HEADING: &str = "## Unsafe register";
const EXPECT: &str = "#![expect(";

/// Files where the word is only written into generated code, with the registered module that answers for it.
const EMITTED: &[(&str, &str)] = &[];

struct Row {
    path: String,
    invariant: String,
    tests: Vec<String>,
}

/// Registered modules, rows and tests agree; no other file has unsafe code.
#[must_use]
pub fn unsafe_register(sources: &[Source], architecture: &str) -> Vec<Violation> {
    let rows = rows(architecture);
    let mut violations = Vec::new();
    for source in sources {
        let registered = expects_unsafe(source);
        let row = rows.iter().find(|row| row.path == source.path);
        if registered && row.is_none() {
            let test = proof(source).unwrap_or_else(|| "name of the test".to_owned());
            let what = "expects unsafe code but is not in ARCHITECTURE.md's unsafe register; its row";
            violations.push(Violation::new(
                &source.path,
                format!("{what}: | `{}` | invariant | `{test}` |", source.path),
            ));
        }
        if !registered && has_word(&source.code, "unsafe") && !belongs_to_registered(source, sources) {
            let at = source.places_of("unsafe").into_iter().next().unwrap_or_default();
            violations.push(Violation::new(
                at,
                "unsafe code outside a registered module: move it into one, or register this one",
            ));
        }
    }
    for row in &rows {
        violations.extend(check_row(row, sources));
    }
    violations
}

fn check_row(row: &Row, sources: &[Source]) -> Vec<Violation> {
    let at = format!("ARCHITECTURE.md ({})", row.path);
    let Some(source) = sources.iter().find(|s| s.path == row.path) else {
        return vec![Violation::new(at, "is in the unsafe register but does not exist")];
    };
    let mut violations = Vec::new();
    if !expects_unsafe(source) {
        violations.push(Violation::new(
            &at,
            "is in the unsafe register but does not begin with `#![expect(unsafe_code`: remove the row",
        ));
    }
    if row.invariant.is_empty() {
        violations.push(Violation::new(&at, "names no invariant"));
    }
    if row.tests.is_empty() {
        violations.push(Violation::new(&at, "names no test that proves it"));
    }
    for test in &row.tests {
        let name = test.rsplit("::").next().unwrap_or(test);
        if !sources.iter().any(|s| has_function(&s.code, name)) {
            violations.push(Violation::new(&at, format!("the test `{test}` does not exist")));
        }
        let reason = expect_line(source);
        if !reason.contains(name) {
            violations.push(Violation::new(
                &at,
                format!("the reason in the module does not name the test `{test}`: {reason}"),
            ));
        }
    }
    violations
}

/// Whether a function of this name is there; a name that ends in `*` stands for all that begin so.
fn has_function(code: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(prefix) => code.contains(&format!("fn {prefix}")),
        None => has_word(code, &format!("fn {name}")),
    }
}

fn expects_unsafe(source: &Source) -> bool {
    attribute(source).is_some()
}

/// Where the attribute begins, whether it is on one line or on several.
fn attribute(source: &Source) -> Option<usize> {
    let places = source.code.match_indices(EXPECT).map(|(at, _)| at);
    let mut top = places.filter(|at| *at == 0 || source.code[..*at].ends_with('\n'));
    let at = top.find(|at| source.code[at + EXPECT.len()..].trim_start().starts_with("unsafe_code"))?;
    // Positions are counted in characters: blanking shortens text that is not ASCII.
    Some(source.code[..at].chars().count())
}

/// The whole attribute, from the text.
fn expect_line(source: &Source) -> String {
    let Some(from) = attribute(source) else { return String::new() };
    let rest: String = source.text.chars().skip(from).collect();
    rest[..rest.find(")]").unwrap_or(rest.len())].split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the reason says after "proven by".
fn proof(source: &Source) -> Option<String> {
    let reason = expect_line(source);
    let (_, after) = reason.split_once("proven by ")?;
    Some(after.trim_end_matches([' ', ',', '"']).to_owned())
}

fn belongs_to_registered(source: &Source, sources: &[Source]) -> bool {
    if EMITTED.iter().any(|(path, _)| *path == source.path) {
        return true;
    }
    let Some(parents) = source.tested_files() else { return false };
    sources.iter().any(|s| parents.contains(&s.path) && expects_unsafe(s))
}

/// Rows of the table below the heading: file, invariant, tests; the first and the last in backticks.
fn rows(architecture: &str) -> Vec<Row> {
    let section = architecture.split(HEADING).nth(1).unwrap_or("");
    let section = section.split("\n## ").next().unwrap_or("");
    let cells = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells
        .filter(|cells| cells.len() == 3 && cells[0].starts_with('`'))
        .map(|cells| Row {
            path: quoted(&cells[0]).concat(),
            invariant: cells[1].clone(),
            tests: quoted(&cells[2]),
        })
        .collect()
}

/// What stands between backticks.
pub(super) fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::unsafe_register;
    use crate::tidy::Source;

    const MODULE: &str = "//! A.\n#![expect(unsafe_code, reason = \"erased; proven by\n a::tests::dropped_once\")]\nfn f() { unsafe { g() } }\n";
    const TEST: &str = "//! T.\nfn dropped_once() {}\n";

    fn see(module: &str, test: &str, table: &str) -> Vec<String> {
        let sources = [Source::new("wire/src/a.rs", module), Source::new("wire/tests/t.rs", test)];
        let text = format!(
            "# A\n## Unsafe register\n\n| File | Invariant | Test |\n| --- | --- | --- |\n{table}\n## Next\n| `x.rs` | a | `b` |\n"
        );
        unsafe_register(&sources, &text).into_iter().map(|v| format!("{}: {}", v.at, v.what)).collect()
    }

    #[test]
    fn a_module_with_row_and_test_holds() {
        assert_eq!(
            see(MODULE, TEST, "| `wire/src/a.rs` | P1 | `a::tests::dropped_once` |"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_attribute_may_span_lines_and_stand_after_other_text() {
        let module = MODULE.replace("expect(unsafe", "expect(\n    unsafe").replace("//! A", "//! é, é");
        assert_eq!(see(&module, TEST, "| `wire/src/a.rs` | P1 | `dropped_once` |"), Vec::<String>::new());
    }

    #[test]
    fn a_star_stands_for_a_family_of_tests() {
        let module = MODULE.replace("a::tests::dropped_once", "dropped_*");
        assert_eq!(see(&module, TEST, "| `wire/src/a.rs` | P1 | `dropped_*` |"), Vec::<String>::new());
        assert_eq!(see(&module, "//! T.\n", "| `wire/src/a.rs` | P1 | `dropped_*` |").len(), 1);
    }

    #[test]
    fn each_missing_part_is_seen() {
        let row = "| `wire/src/a.rs` | P1 | `a::tests::dropped_once` |";
        let first = |v: Vec<String>| v.first().cloned().unwrap_or_default();
        assert!(
            first(see(MODULE, TEST, ""))
                .contains("its row: | `wire/src/a.rs` | invariant | `a::tests::dropped_once` |")
        );
        assert!(first(see(MODULE, "//! T.\n// fn dropped_once\n", row)).contains("does not exist"));
        assert!(first(see("//! A.\n", TEST, row)).contains("remove the row"));
        assert!(
            first(see(&MODULE.replace("dropped_once", "other"), TEST, row))
                .contains("does not name the test")
        );
        assert!(first(see(MODULE, TEST, "| `wire/src/a.rs` | P1 | none |")).contains("names no test"));
        assert!(first(see(MODULE, TEST, "| `wire/src/a.rs` |  | `dropped_once` |")).contains("no invariant"));
        assert!(
            first(see(MODULE, TEST, &format!("{row}\n| `wire/src/b.rs` | P1 | `dropped_once` |")))
                .contains("does not exist")
        );
    }

    #[test]
    fn unsafe_code_elsewhere_is_seen() {
        let plain = "//! A.\n// unsafe\nconst S: &str = \"unsafe\";\n#![deny(unsafe_code)]\n";
        assert_eq!(see(plain, TEST, ""), Vec::<String>::new());
        assert!(
            see("//! A.\nfn f() {\n    unsafe { g() }\n}\n", TEST, "")[0]
                .starts_with("wire/src/a.rs:3: unsafe code outside")
        );
    }

    #[test]
    fn tests_beside_a_registered_module_belong_to_it() {
        let row = "\n## Unsafe register\n| `wire/src/a/mod.rs` | P1 | `dropped_once` |\n";
        let child = |parent: &str| {
            [
                Source::new(parent, MODULE),
                Source::new("wire/src/a/tests.rs", "//! T.\nunsafe fn dropped_once() {}\n"),
            ]
        };
        assert_eq!(unsafe_register(&child("wire/src/a/mod.rs"), row), []);
        assert_eq!(unsafe_register(&child("wire/src/b/mod.rs"), "").len(), 2);
        let beside = |name: &str| {
            let tests = Source::new(name, "//! T.\nunsafe fn dropped_once() {}\n");
            unsafe_register(&[Source::new("wire/src/a.rs", MODULE), tests], &row.replace("a/mod.rs", "a.rs"))
                .len()
        };
        assert_eq!((beside("wire/src/a_loom.rs"), beside("wire/src/b_loom.rs")), (0, 1));
    }
}
