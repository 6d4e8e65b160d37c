//! The repository's rules, each a function from source text to violations, each with a bad sample it was seen red on.
//!
//! Owns: the layer table, the allow-lists and the limits of the house style. `tests/tests/tidy.rs` applies them to the
//! tree. A rule never reads files itself, so that its unit test can hand it a bad one.
//! Words are looked for after comments and literals are blanked out ([`Source::code`]).

mod conformance;
mod edges;
mod forbidden;
mod hot;
mod map;
mod metric_names;
mod register;
mod scan;
mod shape;
mod source;
mod tree;
mod uses;

pub use conformance::{CONFORMANCE, conformance};
pub use edges::{edges, manifests, wire_purity};
pub use forbidden::{leftovers, seam, sleeps, tokio};
pub use hot::hot_modules;
pub use map::paths_exist;
pub use metric_names::metric_names;
pub use register::unsafe_register;
pub use shape::{headers, lengths};
pub use source::Source;
pub use tree::Tree;

/// One broken rule: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path relative to the repository, with `:line` where a line is to blame.
    pub at: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl Violation {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

/// Panics with every violation, one per line; returns when there is none.
///
/// # Panics
/// If there is a violation.
#[track_caller]
pub fn assert_none(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(|v| format!("  {}: {}", v.at, v.what)).collect();
    assert!(violations.is_empty(), "{} broken rule(s):\n{}", violations.len(), lines.join("\n"));
}
