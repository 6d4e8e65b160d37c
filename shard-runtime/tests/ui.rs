//! Misuse of `#[actor]` and `#[handle]` is refused at its own place with what to write instead, and use of it compiles
//! under the strictest lints.
//!
//! After an intended change of a message: `TRYBUILD=overwrite cargo test -p shard-runtime --test ui`, and read the diff.

#[test]
fn misuse_is_explained_and_use_compiles() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
