//! Misuse of `#[actor]` and `#[handle]` is refused at its own place with what to write instead.
//!
//! After an intended change of a message: `TRYBUILD=overwrite cargo test -p shard-runtime-macros --test ui`, and read the
//! diff. Uses that compile are in `usage`: with one of them here, all that is depended on would be compiled to the end.

#[test]
fn misuse_is_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
