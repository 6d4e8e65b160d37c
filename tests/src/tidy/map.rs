//! The map is true: what ARCHITECTURE.md points at exists.
//!
//! Owns: what counts as a path of the repository among the words in backticks.

use super::Violation;
use super::register::quoted;

/// Every path in backticks in `document` is in `paths`. Code blocks are not looked at.
#[must_use]
pub fn paths_exist(document: &str, paths: &[String]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut fenced = false;
    for (number, line) in (1_usize..).zip(document.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for word in quoted(line).iter().filter(|word| looks_like_path(word, paths)) {
            let path = word.trim_end_matches('/');
            if !paths.iter().any(|p| p == path) {
                violations.push(Violation::new(
                    format!("ARCHITECTURE.md:{number}"),
                    format!("`{word}` does not exist"),
                ));
            }
        }
    }
    violations
}

/// Plain characters only; begins with a folder of the repository, or ends like a file of ours.
fn looks_like_path(word: &str, paths: &[String]) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'));
    let Some(first) = word.split('/').next().filter(|first| plain && !first.is_empty()) else { return false };
    let known = word.contains('/') && paths.iter().any(|p| p == first);
    known || [".rs", ".toml", ".md"].iter().any(|ending| word.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::paths_exist;

    #[test]
    fn a_dead_path_is_seen() {
        let paths = ["wire", "wire/src", "wire/src/ids.rs", "README.md"].map(String::from);
        let good = "`wire/` `wire/src/ids.rs` `/metrics` `a::b` `text/plain` `wire/src` `README.md` `x.y`\n```\n`wire/no`\n```\n";
        assert_eq!(paths_exist(good, &paths), []);
        let bad = paths_exist("`wire/src/gone.rs`\n\n`GONE.md` and `wire/old/`", &paths);
        assert_eq!(
            bad.iter().map(|v| v.at.as_str()).collect::<Vec<_>>(),
            ["ARCHITECTURE.md:1", "ARCHITECTURE.md:3", "ARCHITECTURE.md:3"]
        );
    }
}
