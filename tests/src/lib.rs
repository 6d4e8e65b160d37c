//! What the tests of the whole stand on: never published, nothing depends on it.
//!
//! [`harness`] starts node processes and disturbs them; [`tidy`] holds the repository's rules as functions over
//! source text. The tests themselves are in `tests/tests`, one file per topic.

pub mod harness;
pub mod tidy;
