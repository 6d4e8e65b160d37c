//! What the tests of the whole stand on: never published, nothing depends on it.
//!
//! [`harness`] starts node processes and disturbs them; [`tidy`] holds the repository's rules as functions over
//! source text. The tests themselves are in `tests/tests`, one file per topic.

pub mod harness;
pub mod tidy;

/// The checkout that cargo runs this test in.
pub(crate) fn root() -> std::path::PathBuf {
    // Asked at run time first: two checkouts that share a target directory may share this very program.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    std::path::Path::new(&here).join("..")
}
